"""The ledger's side of every Job: its connection slot, retries with backoff, and the request to stop."""

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

from campaignpool.backoff import retry_delay
from campaignpool.errors import TransientError, UnreachableError
from campaignpool.ledger import seeding
from campaignpool.ledger.database import Connection, close, connect, translated

log = logging.getLogger(__name__)

APPLICATION_NAME = "campaignpool-seeder"
"""The session's name until it has a connection slot; the ledger then appends the pool's name."""

RETRIES = 5
"""Retries in a row without progress; after the last one the pod exits, and the Job decides."""

FIRST_SECONDS, LONGEST_SECONDS = 0.5, 8.0
"""Bounds of the pauses between retries."""

Sleep = Callable[[float], Awaitable[None]]

P = ParamSpec("P")
T = TypeVar("T")


class StoppedError(TransientError):
    """The pod was asked to stop. Committed batches are kept; a retry continues after them."""

    default_reason = "Stopped"


class StoppableSleep:
    """Sleeps, and raises StoppedError as soon as `stop` is set."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    async def __call__(self, seconds: float) -> None:
        """Sleep for `seconds`. Raises StoppedError."""
        if not self._stop.is_set() and seconds > 0:
            try:
                await asyncio.wait_for(self._stop.wait(), seconds)
            except TimeoutError:
                return
        if self._stop.is_set():
            raise StoppedError("the pod was asked to stop")

    def now(self) -> float:
        """Return the seconds of a monotonic clock."""
        return time.monotonic()


def stop_on_signals() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


class Backoff:
    """Pauses between retries, which grow with the failures in a row."""

    def __init__(self, sleep: Sleep) -> None:
        self._sleep = sleep
        self._failures = 0

    def reset(self) -> None:
        """Forget the failures: there was progress."""
        self._failures = 0

    async def pause(self, error: TransientError) -> None:
        """Sleep before the next retry. Raises `error` itself where no retry is left, or the pod was asked to stop."""
        self._failures += 1
        if self._failures > RETRIES or isinstance(error, StoppedError):
            raise error
        delay = retry_delay(self._failures, FIRST_SECONDS, LONGEST_SECONDS)
        log.warning("retrying", extra={"reason": error.reason, "cause": error.message, "seconds": delay})
        await self._sleep(delay)


async def require_connection_slot(connection: Connection, pool: str, limit: int) -> None:
    """Count this session as one of the pool's Jobs. Raises TransientError where `limit` of them are connected."""
    if not await seeding.acquire_connection_slot(connection, pool, limit):
        raise TransientError(
            f"no connection slot: the Jobs of the pool hold {limit} connections, or all Jobs half of the server's "
            "max_connections: raise spec.database.maxConnections, or lower spec.seeding.maxConcurrent",
            reason="TooManyConnections",
        )


class LedgerSession:
    """One connection to the ledger, used by one query at a time and reopened when it is lost.

    Args:
        url: The database's URL.
        admit: Is called with each new connection before its first query; it may refuse the connection.
        sleep: Sleeps between retries.
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

    async def run(
        self, query: Callable[Concatenate[Connection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a query that may be repeated, and return its result.

        Raises:
            TransientError: The retries are used up: the database is unreachable or has no connection slot.
            ConfigurationError: The database refuses the user or a right.
            SeedingError: The database refuses the data.
        """
        async with self._lock:
            backoff = Backoff(self._sleep)
            while True:
                try:
                    connection = await self._opened()
                    with translated():
                        return await query(connection, *args, **kwargs)
                except TransientError as error:
                    if isinstance(error, UnreachableError):
                        await self._close()
                    await backoff.pause(error)

    async def _opened(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._url, APPLICATION_NAME)
            try:
                with translated():
                    await self._admit(self._connection)
            except BaseException:
                await self._close()
                raise
        return self._connection

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await close(connection)
