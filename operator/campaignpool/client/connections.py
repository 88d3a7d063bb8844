"""The connections that an application lends or that the client opens, and the pauses between attempts."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from campaignpool.ledger.database import CONNECTION_FAULTS, open_connection

_PAUSES = (0.05, 2.0)
_CLOSE_SECONDS = 1.0

OwnConnection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Connection: TypeAlias = "OwnConnection | PoolConnectionProxy[asyncpg.Record]"
Connect: TypeAlias = Callable[[], Awaitable[OwnConnection]]
Database: TypeAlias = "str | asyncpg.Pool[asyncpg.Record] | Connect"
Open: TypeAlias = "Callable[[float], AbstractAsyncContextManager[Connection]]"
"""Opens a connection for the length of a block, within so many seconds."""


def pauses(draw: Callable[[], float] = random.random) -> Iterator[float]:
    """Yield seconds to pause between attempts, without end: doubled up to a bound, each shortened by up to half."""
    pause, longest = _PAUSES
    while True:
        yield pause * (1 - draw() / 2)
        pause = min(pause * 2, longest)


def opener(database: Database) -> Open:
    """Return a function that opens a connection for the length of a block. It raises TimeoutError in time."""
    if isinstance(database, asyncpg.Pool):
        return lambda seconds: database.acquire(timeout=seconds)
    connect = _connector(database) if isinstance(database, str) else database

    @asynccontextmanager
    async def opened(seconds: float) -> AsyncIterator[OwnConnection]:
        async with asyncio.timeout(seconds):
            connection = await connect()
        try:
            yield connection
        finally:
            try:
                await connection.close(timeout=_CLOSE_SECONDS)
            except CONNECTION_FAULTS:
                connection.terminate()

    return opened


def _connector(url: str) -> Connect:
    return lambda: open_connection(url)
