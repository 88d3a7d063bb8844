"""Send viewers the names of pools that changed, as server-sent events: they ask for nothing until then."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress

from campaignpool.errors import CampaignPoolError
from campaignpool_operator.cluster.client import Json

TICK_SECONDS = 5.0
"""A viewer hears at least this often that the connection is alive."""

TOGETHER_SECONDS = 0.25
"""Changes that follow each other faster are sent together: a busy pool is read four times a second at most."""

POLL_SECONDS = 1.0
"""How often resources are compared while somebody looks. A replica that leads says at once what it changed."""


class Hub:
    """Keeps who listens.

    Args:
        resources: Returns all CampaignPools, current.
    """

    def __init__(self, resources: Callable[[], Awaitable[Iterable[Json]]]) -> None:
        self._resources = resources
        self._pending: dict[asyncio.Event, set[str]] = {}
        self._changed: set[str] = set()
        self._told_at = -TOGETHER_SECONDS
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self.on_change: Callable[[str], None] = lambda _: None
        """Called with the name of a pool before viewers hear that it changed."""

    def start(self) -> None:
        """Begin to compare resources."""
        self._task = asyncio.create_task(self._poll(), name="dashboard events")

    async def close(self) -> None:
        """End, and with it every stream."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def changed(self, pool: str) -> None:
        """Send the name of a pool that changed: at once, or together with what changes in the next moment."""
        self._changed.add(pool)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, self._told_at + TOGETHER_SECONDS - loop.time()), self._tell)

    def _tell(self) -> None:
        self._timer, self._told_at = None, asyncio.get_running_loop().time()
        changed, self._changed = self._changed, set()
        for pool in changed:
            self.on_change(pool)
        for woken, pools in self._pending.items():
            pools.update(changed)
            woken.set()

    async def events(self) -> AsyncIterator[set[str]]:
        """Yield the names of pools that changed, together; an empty set after a while without a change."""
        woken, pools = asyncio.Event(), set[str]()
        self._pending[woken] = pools
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(TICK_SECONDS):
                        await woken.wait()
                names = set(pools)
                pools.clear()
                woken.clear()
                yield names
        finally:
            del self._pending[woken]

    async def _poll(self) -> None:
        before: Mapping[str, str] | None = None
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if not self._pending:
                before = None
                continue
            with suppress(CampaignPoolError):
                now = {
                    _key(resource): resource["metadata"]["resourceVersion"] for resource in await self._resources()
                }
                if before is not None:
                    for pool in {pool for pool, _ in now.items() ^ before.items()}:
                        self.changed(pool)
                before = now


def event(name: str, data: str = "{}") -> bytes:
    """Return an event in the form of a stream; its data are JSON in one line."""
    return f"event: {name}\ndata: {data}\n\n".encode()


def _key(resource: Json) -> str:
    return f"{resource['metadata']['namespace']}/{resource['metadata']['name']}"
