"""One LISTEN connection that all waiting claims share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from campaignpool.client.connections import Open, pauses
from campaignpool.ledger.database import CONNECTION_FAULTS

READY_CHANNEL = "campaign_pool_ready"
"""Channel of the notifications that campaigns became ready; the payload is the pool's name."""

CONNECT_SECONDS = 5.0
"""A database that does not answer by then is tried again."""


class ReadyListener:
    """Shares one LISTEN connection among all waiting claims; there is none while no claim waits.

    Args:
        pool: The pool's name.
        opened: Opens the connection; None: there are no notifications.
    """

    def __init__(self, pool: str, opened: "Open | None") -> None:
        self._pool = pool
        self._opened = opened
        self._waiting: set[asyncio.Event] = set()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[asyncio.Event]:
        """Yield an event that is set when a claim should be tried: listening began, or campaigns became ready."""
        ready = asyncio.Event()
        self._waiting.add(ready)
        if self._task is not None:
            ready.set()  # earlier notifications went to others
        elif self._opened is not None:
            self._task = asyncio.create_task(self._listen(self._opened), name="campaignpool-listener")
        try:
            yield ready
        finally:
            self._waiting.discard(ready)
            if self._task is not None and not self._waiting:
                task, self._task = self._task, None
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _listen(self, opened: Open) -> None:
        """Listen until cancelled. Errors are not reported here: a waiting claim also polls, and reports its own."""
        for pause in pauses():
            with suppress(*CONNECTION_FAULTS):
                async with opened(CONNECT_SECONDS) as connection:
                    lost = asyncio.Event()
                    connection.add_termination_listener(lambda *_, lost=lost: lost.set())
                    await connection.add_listener(READY_CHANNEL, self._on_notification)
                    self._wake()
                    await lost.wait()
            await asyncio.sleep(pause)

    def _on_notification(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        if payload == self._pool:
            self._wake()

    def _wake(self) -> None:
        for ready in self._waiting:
            ready.set()
