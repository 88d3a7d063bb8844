"""The one connection of an images Job: used by one at a time, and opened again when it is lost."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

import asyncpg

from campaignpool.errors import TransientError, UnreachableError
from campaignpool.ledger.database import CONNECT_SECONDS, Connection, connect, translated
from campaignpool_seeder.run import CANDIDATE, PAUSES, Sleep

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class Desk:
    """Where queries are made. Use it as a context manager.

    Args:
        url: Of the database.
        admit: Is called with each new connection before it is used, and may refuse it.
        sleep: Waits between two tries.
    """

    def __init__(self, url: str, admit: Callable[[Connection], Awaitable[None]], sleep: Sleep) -> None:
        self._url, self._admit, self._sleep = url, admit, sleep
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def ask(
        self, query: Callable[Concatenate[Connection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Make a query, which has to bear being repeated.

        Raises:
            TransientError: The database was out of reach for too long, or has no connection left for this pool.
            ConfigurationError: It refuses the user or a right.
            SeedingError: It refuses the data.
        """
        async with self._lock:
            for pause in (*PAUSES, None):
                try:
                    connection = await self._opened()
                    with translated():
                        return await query(connection, *args, **kwargs)
                except TransientError as error:
                    if isinstance(error, UnreachableError):
                        await self._close()
                    if pause is None:
                        raise
                    facts = {"reason": error.reason, "cause": error.message, "seconds": pause}
                    log.warning("trying again", extra=facts)
                    await self._sleep(pause)
        raise AssertionError("unreachable: the last try returns or raises")

    async def _opened(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._url, CANDIDATE)
            try:
                with translated():
                    await self._admit(self._connection)
            except BaseException:
                await self._close()
                raise
        return self._connection

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None or connection.is_closed():
            return
        try:
            await connection.close(timeout=CONNECT_SECONDS)
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            connection.terminate()
