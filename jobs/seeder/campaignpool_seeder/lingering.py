"""Wait until a pool lacks campaigns again: a seeder that waits needs no new pod."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

from campaignpool.ledger import seeding
from campaignpool.ledger.database import Connection, translated
from campaignpool_seeder.arguments import SeedArgs

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""A seeder that waits looks this often without a notification: a pooler in transaction mode passes none on."""

More: TypeAlias = Callable[[], Awaitable[int]]
"""Waits until campaigns are lacking, and reserves them; returns how many, or 0 once the seeder should end."""


@asynccontextmanager
async def lingering(
    connection: Connection, request: SeedArgs, stop: asyncio.Event, end: float
) -> AsyncIterator[More]:
    """Listen for a pool's notifications, and yield how to wait for more to make.

    Args:
        connection: Of the run. It is idle while the seeder waits.
        request: Says for how long.
        stop: Ends the waiting.
        end: So does this time of the event loop's clock.
    """
    if not request.linger_seconds:
        yield _none
        return
    loop, changed, released = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def on_notification(_connection: object, _pid: int, _channel: str, payload: object) -> None:
        if payload == f"{request.pool} end":
            released.set()
        if payload in (request.pool, f"{request.pool} end"):
            changed.set()

    async def more() -> int:
        until = min(end, loop.time() + request.linger_seconds)
        released.clear()
        while not (stop.is_set() or released.is_set()):
            changed.clear()
            with translated():
                reserved = await seeding.reserve_more(connection, request.pool, request.job, request.job_size)
            left = until - loop.time()
            if reserved or left <= 0:
                return reserved
            await _first(changed, stop, min(left, LOOK_SECONDS))
        return 0

    with translated():
        for channel in seeding.CHANNELS:
            await connection.add_listener(channel, on_notification)
    yield more


async def _none() -> int:
    return 0


async def _first(one: asyncio.Event, other: asyncio.Event, seconds: float) -> None:
    """Wait until one of two events is set, for some seconds at most."""
    waits = [asyncio.create_task(event.wait()) for event in (one, other)]
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
        with suppress(asyncio.CancelledError):
            await wait
