"""Send viewers the names of pools that changed, as server-sent events: they ask for nothing until then."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field

TICK_SECONDS = 5.0
"""A viewer hears at least this often that the connection is alive."""

TOGETHER_SECONDS = 0.25
"""Changes that follow each other faster are sent together: a busy pool is drawn four times a second at most."""


@dataclass(frozen=True)
class Change:
    """What a viewer hears of at once.

    Attributes:
        number: Grows with each change; viewers who hear of the same one get the same answers.
        pools: Names of pools that changed; none: the connection is alive.
    """

    number: int
    pools: frozenset[str]


@dataclass(eq=False)
class _Listener:
    only: str
    number: int = 0
    pools: set[str] = field(default_factory=set)
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class Hub:
    """Keeps who listens."""

    def __init__(self) -> None:
        self.current: Callable[[], bool] = lambda: True
        """Returns whether what viewers see is current; while it is not, they hear nothing."""
        self._listeners: set[_Listener] = set()
        self._changed: set[str] = set()
        self._number = 0
        self._told_at = -TOGETHER_SECONDS
        self._timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Send no more."""
        if self._timer is not None:
            self._timer.cancel()

    def changed(self, pool: str) -> None:
        """Send the name of a pool that changed: at once, or together with what changes in the next moment."""
        self._changed.add(pool)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, self._told_at + TOGETHER_SECONDS - loop.time()), self._tell)

    def _tell(self) -> None:
        self._timer, self._told_at = None, asyncio.get_running_loop().time()
        changed, self._changed = self._changed, set()
        self._number += 1
        for listener in self._listeners:
            if pools := changed & {listener.only} if listener.only else changed:
                listener.pools |= pools
                listener.number = self._number
                listener.woken.set()

    async def changes(self, only: str = "") -> AsyncIterator[Change]:
        """Yield what changes of one pool (it first) or of all, and now and then that nothing did."""
        listener = _Listener(only, self._number, {only} - {""})
        if only:  # it may have changed since the page was loaded
            listener.woken.set()
        self._listeners.add(listener)
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(TICK_SECONDS):
                        await listener.woken.wait()
                change = Change(listener.number, frozenset(listener.pools))
                listener.pools.clear()
                listener.woken.clear()
                if change.pools or self.current():
                    yield change
        finally:
            self._listeners.discard(listener)


def event(name: str, data: str = "{}") -> bytes:
    """Return an event in the form of a stream; its data are JSON in one line."""
    return f"event: {name}\ndata: {data}\n\n".encode()
