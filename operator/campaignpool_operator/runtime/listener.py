"""Hear of claims: one connection for each database in use, listening on the ledger's channel.

Nothing depends on it: whatever is missed, the resync finds. A connection that is lost is opened again with growing
pauses, and every pool of its database is then looked at once, for what was said meanwhile went unheard.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress

import asyncpg

from campaignpool.errors import CampaignPoolError
from campaignpool.ledger import pools
from campaignpool.ledger.database import CONNECT_SECONDS, Connection, connect
from campaignpool.ledger.pools import CHANNEL
from campaignpool_operator.observe.observe import APPLICATION

PROBE_SECONDS = 30.0
"""A connection that died in silence is noticed by a query this often."""

SPACING_SECONDS = 0.25
"""A pool that is claimed from all the time is looked at this often: each look costs API calls and statements."""

_PAUSES = (1.0, 60.0)

_log = logging.getLogger(__name__)


class Spaced:
    """Pass on what is said of a pool: the first at once, and what follows soon after together, at the end of a pause.

    Args:
        heard: Called with the pool's key.
        seconds: Least time from one call for a pool to the next.
    """

    def __init__(self, heard: Callable[[str], None], seconds: float = SPACING_SECONDS) -> None:
        self._heard = heard
        self._seconds = seconds
        self._pauses: dict[str, asyncio.TimerHandle] = {}
        self._waiting: set[str] = set()

    def __call__(self, key: str) -> None:
        """Pass it on now, or once more when the pause since the last time has ended."""
        if key in self._pauses:
            self._waiting.add(key)
            return
        self._pauses[key] = asyncio.get_running_loop().call_later(self._seconds, self._end, key)
        self._heard(key)

    def _end(self, key: str) -> None:
        del self._pauses[key]
        if key in self._waiting:
            self._waiting.discard(key)
            self(key)

    def drop(self, key: str) -> None:
        """Pass on no more of a pool."""
        self._waiting.discard(key)

    def close(self) -> None:
        """Pass on nothing that waits."""
        for pause in self._pauses.values():
            pause.cancel()
        self._pauses.clear()
        self._waiting.clear()


class Listeners:
    """Who listens where.

    Args:
        heard: Called with a pool's key when its ledger says that something changed.
    """

    def __init__(self, heard: Callable[[str], None]) -> None:
        self._heard = Spaced(heard)
        self._url_of: dict[str, str] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def want(self, key: str, url: str) -> None:
        """Listen for a pool at this URL, and no more where it was before."""
        if self._url_of.get(key) == url:
            return
        self.drop(key)
        self._url_of[key] = url
        if url not in self._tasks:
            # Not named after the URL: names of tasks get into logs.
            self._tasks[url] = asyncio.create_task(self._listen(url), name="listener")

    def drop(self, key: str) -> None:
        """Listen for a pool no more."""
        self._heard.drop(key)
        url = self._url_of.pop(key, None)
        if url is not None and url not in self._url_of.values():
            self._tasks.pop(url).cancel()

    async def close(self) -> None:
        """End all connections."""
        self._heard.close()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        self._url_of.clear()

    def _pools(self, url: str) -> list[str]:
        return [key for key, each in self._url_of.items() if each == url]

    async def _listen(self, url: str) -> None:
        failures = 0
        while True:
            try:
                connection = await connect(url, APPLICATION)
            except CampaignPoolError as error:
                if not failures:  # the loop of each pool says it in its conditions; the log need not repeat it
                    _log.warning("not listening", extra={"reason": error.reason, "pools": len(self._pools(url))})
            else:
                failures = 0
                try:
                    await self._hear(connection, url)
                finally:
                    await _closed(connection)
            failures += 1
            first, last = _PAUSES
            await asyncio.sleep(min(first * 2 ** min(failures - 1, 10), last) * random.uniform(0.8, 1.2))  # noqa: S311 (jitter)

    async def _hear(self, connection: Connection, url: str) -> None:
        """Pass on what is said until the connection is lost."""
        stirred = asyncio.Event()
        told: set[str] = set()

        def notified(_connection: object, _pid: int, _channel: str, payload: object) -> None:
            # Any role may notify: only pools that are known to be at this database are looked at.
            if self._url_of.get(str(payload)) == url:
                self._heard(str(payload))
                told.add(str(payload))
                stirred.set()

        connection.add_termination_listener(lambda _: stirred.set())
        try:
            await connection.add_listener(CHANNEL, notified)
            for key in self._pools(url):
                self._heard(key)
            while not connection.is_closed():
                with suppress(TimeoutError):
                    async with asyncio.timeout(PROBE_SECONDS):
                        await stirred.wait()
                stirred.clear()
                if not told:
                    await connection.execute("SELECT 1", timeout=CONNECT_SECONDS)
                while told:
                    await pools.wake(connection, told.pop())
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            _log.info("listening was interrupted", extra={"cause": type(error).__name__})


async def _closed(connection: Connection) -> None:
    """Close a connection in a moment, or cut it."""
    try:
        await connection.close(timeout=1.0)
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()
