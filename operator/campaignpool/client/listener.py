"""Connections of an application, and one of them that hears when campaigns became ready, for all who wait."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

READY_CHANNEL = "campaign_pool_ready"
"""Channel on which Postgres says that campaigns became ready; the payload is the pool's name."""

CONNECT_SECONDS = 5.0
"""A database at a URL that does not answer by then is tried again."""

_PAUSES = (0.05, 2.0)
_CLOSE_SECONDS = 1.0

OwnConnection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Connection: TypeAlias = "OwnConnection | PoolConnectionProxy[asyncpg.Record]"
Connect: TypeAlias = Callable[[], Awaitable[OwnConnection]]
Database: TypeAlias = "str | asyncpg.Pool[asyncpg.Record] | Connect"


def pauses(draw: Callable[[], float] = random.random) -> Iterator[float]:
    """Give seconds to pause between attempts: doubling up to a bound, each shortened by up to half, without end."""
    pause, longest = _PAUSES
    while True:
        yield pause * (1 - draw() / 2)
        pause = min(pause * 2, longest)


class Ear:
    """Hears that campaigns became ready: one connection for all who wait, and none while nobody does.

    Args:
        pool: Whose campaigns.
        opened: Opens the connection; None: nothing is heard.
    """

    def __init__(self, pool: str, opened: "Callable[[], AbstractAsyncContextManager[Connection]] | None") -> None:
        self._pool = pool
        self._opened = opened
        self._waiting: set[asyncio.Event] = set()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[asyncio.Event]:
        """Give an event that is set when there is reason to ask: listening began, or campaigns became ready."""
        woken = asyncio.Event()
        self._waiting.add(woken)
        if self._task is not None:
            woken.set()  # what was said before this one came went unheard by it
        elif self._opened is not None:
            self._task = asyncio.create_task(self._listen(self._opened), name="campaignpool-ear")
        try:
            yield woken
        finally:
            self._waiting.discard(woken)
            if self._task is not None and not self._waiting:
                task, self._task = self._task, None
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _listen(self, opened: "Callable[[], AbstractAsyncContextManager[Connection]]") -> None:
        """Listen until cancelled. What is in the way is not said here: who waits asks, and is told."""
        for pause in pauses():
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                async with opened() as connection:
                    lost = asyncio.Event()
                    connection.add_termination_listener(lambda *_, lost=lost: lost.set())
                    await connection.add_listener(READY_CHANNEL, self._heard)
                    self._wake()
                    await lost.wait()
            await asyncio.sleep(pause)

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        if payload == self._pool:
            self._wake()

    def _wake(self) -> None:
        for woken in self._waiting:
            woken.set()


def opener(database: Database) -> "Callable[[], AbstractAsyncContextManager[Connection]]":
    """Give what opens a connection for the length of a block."""
    if isinstance(database, asyncpg.Pool):
        return database.acquire
    connect = _connector(database) if isinstance(database, str) else database

    @asynccontextmanager
    async def opened() -> AsyncIterator[OwnConnection]:
        connection = await connect()
        try:
            yield connection
        finally:
            try:
                await connection.close(timeout=_CLOSE_SECONDS)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection.terminate()

    return opened


def _connector(url: str) -> Connect:
    # Without named statements, which a pooler in transaction mode may not know.
    return lambda: asyncpg.connect(url, timeout=CONNECT_SECONDS, statement_cache_size=0)
