"""Connections to the applications' databases: a few for each URL, shared by the pools that are in it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, cast

import asyncpg

from campaignpool.errors import UnreachableError
from campaignpool.ledger.database import (
    CONNECT_SECONDS,
    CONNECTION_FAULTS,
    Connection,
    configure,
    connect,
    translated,
)
from campaignpool.ledger.migrate import migrate
from campaignpool_operator.cluster.client import APPLICATION

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

CONNECTIONS = 4
"""Most connections to one database, beside the one that listens; a loop waits until one is free."""

_IDLE_SECONDS = 90.0
"""A connection that no loop used for so long is closed."""

_log = logging.getLogger(__name__)


class _Database:
    """The connections to one URL."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self.migrated = False
        self.migrating = asyncio.Lock()

    async def any(self) -> Connection:
        """Return a connection, which may have been cut while nobody used it."""
        if self._pool is None:
            self._pool = asyncpg.create_pool(
                min_size=0,
                max_size=CONNECTIONS,
                max_inactive_connection_lifetime=_IDLE_SECONDS,
                connect=self._connect,
                reset=_keep,
            )
            await self._pool
        return cast("Connection", await self._pool.acquire())

    async def acquire(self) -> Connection:
        """Return a connection that answers."""
        for attempt in range(CONNECTIONS + 1):
            connection = await self.any()
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await configure(connection, APPLICATION)
            except CONNECTION_FAULTS:
                # It was cut while nobody used it; a new connection shows whether the server is there.
                connection.terminate()
                await self.release(connection)
                if attempt == CONNECTIONS:
                    raise
            else:
                return connection
        raise AssertionError("unreachable")

    async def release(self, connection: Connection) -> None:
        """Take a connection back."""
        if self._pool is not None:
            proxy = cast("PoolConnectionProxy[asyncpg.Record]", connection)
            with suppress(*CONNECTION_FAULTS):  # asyncpg has cut it then
                await self._pool.release(proxy, timeout=CONNECT_SECONDS)

    def connections(self) -> tuple[int, int]:
        """Return how many connections are open, and how many of them are idle."""
        return (self._pool.get_size(), self._pool.get_idle_size()) if self._pool is not None else (0, 0)

    def close(self) -> None:
        """Cut all connections."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def _connect(self, *_: object, **__: object) -> Connection:
        return await connect(self._url, APPLICATION)


async def _keep(_: object) -> None:
    """Change nothing of a connection that is taken back: loops change only what `acquire` sets again."""


class Databases:
    """The databases of all pools; a pool of campaigns uses one URL at a time."""

    def __init__(self) -> None:
        self._databases: dict[str, _Database] = {}
        self._url_of: dict[str, str] = {}

    def url_of(self, key: str) -> str | None:
        """Return the URL that a pool was last found at, in this process; its Secret may be gone since."""
        return self._url_of.get(key)

    def connections(self) -> dict[str, int]:
        """Return how many connections are active and idle."""
        counts = [database.connections() for database in self._databases.values()]
        open_, idle = sum(count for count, _ in counts), sum(count for _, count in counts)
        return {"active": open_ - idle, "idle": idle}

    async def acquire(self, key: str, url: str) -> Connection:
        """Return a connection for a pool, with the ledger's schema up to date; `release` takes it back.

        Raises:
            CampaignPoolError: As `campaignpool.ledger.database.connect` and `migrate` do.
        """
        self._use(key, url)
        database = self._databases[url]
        with translated():
            connection = await database.acquire()
            try:
                async with database.migrating:
                    if not database.migrated:
                        for name in await migrate(connection):
                            _log.info("migration applied", extra={"migration": name})
                        database.migrated = True
            except BaseException:
                await database.release(connection)
                raise
        return connection

    @asynccontextmanager
    async def borrowed(self, key: str) -> AsyncIterator[Connection]:
        """Lend a connection for a pool, without a statement before or after the block.

        Raises:
            CampaignPoolError: The pool was found at no database, or the connection was lost.
        """
        database = self._databases.get(self._url_of.get(key, ""))
        if database is None:
            raise UnreachableError("the database of the pool is not known")
        with translated():
            connection = await database.any()
            try:
                yield connection
            except CONNECTION_FAULTS:
                connection.terminate()
                raise
            finally:
                await database.release(connection)

    async def release(self, key: str, connection: Connection) -> None:
        """Take back a connection that `acquire` returned for a pool."""
        database = self._databases.get(self._url_of.get(key, ""))
        if database is None:
            with suppress(asyncpg.InterfaceError):  # its pool was closed meanwhile, and it with it
                connection.terminate()
        else:
            await database.release(connection)

    def recheck_schema(self, key: str) -> None:
        """Bring the schema up to date next time: the database may have been dropped and created again."""
        database = self._databases.get(self._url_of.get(key, ""))
        if database is not None:
            database.migrated = False

    def forget(self, key: str) -> None:
        """Forget a pool that is gone, and close connections that no other pool uses."""
        url = self._url_of.pop(key, None)
        if url is not None and url not in self._url_of.values():
            self._databases.pop(url).close()

    async def close(self) -> None:
        """Cut all connections."""
        for database in self._databases.values():
            database.close()
        self._databases.clear()
        self._url_of.clear()

    def _use(self, key: str, url: str) -> None:
        if self._url_of.get(key) != url:
            self.forget(key)
            self._url_of[key] = url
            self._databases.setdefault(url, _Database(url))
