"""Listen for notifications of the ledgers: one connection for each database in use.

Nothing depends on it: the resync finds whatever is missed. A connection that is lost is opened again with backoff,
and every pool of its database is then reconciled once, for notifications may have been missed in between.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress

from campaignpool.backoff import retry_delay
from campaignpool.errors import CampaignPoolError
from campaignpool.ledger.database import CONNECT_SECONDS, CONNECTION_FAULTS, Connection, connect
from campaignpool.ledger.pools import CHANNEL
from campaignpool_operator.cluster.client import APPLICATION

PROBE_SECONDS = 30.0
"""A connection that died in silence is noticed by a query this often."""

DEBOUNCE_SECONDS = 0.25
"""A pool with claims all the time is reconciled this often: each loop costs API calls and statements."""

_RETRY_SECONDS = (1.0, 60.0)

_log = logging.getLogger(__name__)


class Debounce:
    """Pass on notifications of a pool: the first at once, and those that follow soon after as one, after a pause.

    Args:
        callback: Called with the pool's key.
        seconds: Least time from one call for a pool to the next.
    """

    def __init__(self, callback: Callable[[str], None], seconds: float = DEBOUNCE_SECONDS) -> None:
        self._callback = callback
        self._seconds = seconds
        self._pauses: dict[str, asyncio.TimerHandle] = {}
        self._waiting: set[str] = set()

    def __call__(self, key: str) -> None:
        """Call back now, or once more when the pause since the last time has ended."""
        if key in self._pauses:
            self._waiting.add(key)
            return
        self._pauses[key] = asyncio.get_running_loop().call_later(self._seconds, self._end, key)
        self._callback(key)

    def _end(self, key: str) -> None:
        del self._pauses[key]
        if key in self._waiting:
            self._waiting.discard(key)
            self(key)

    def drop(self, key: str) -> None:
        """Cancel the callback that waits for a pool."""
        self._waiting.discard(key)

    def close(self) -> None:
        """Cancel all callbacks that wait."""
        for pause in self._pauses.values():
            pause.cancel()
        self._pauses.clear()
        self._waiting.clear()


class Listeners:
    """The connections that listen, one for each database in use.

    Args:
        callback: Called with a pool's key when its ledger changed.
    """

    def __init__(self, callback: Callable[[str], None]) -> None:
        self._changed = Debounce(callback)
        self._url_of: dict[str, str] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.connected = 0
        """How many connections listen."""

    def want(self, key: str, url: str) -> None:
        """Listen for a pool at this URL, and no more where it was before."""
        if self._url_of.get(key) == url:
            return
        self.drop(key)
        self._url_of[key] = url
        if url not in self._tasks:
            # Not named after the URL: names of tasks get into logs.
            self._tasks[url] = asyncio.create_task(self._run(url), name="listener")

    def drop(self, key: str) -> None:
        """Stop listening for a pool."""
        self._changed.drop(key)
        url = self._url_of.pop(key, None)
        if url is not None and url not in self._url_of.values():
            self._tasks.pop(url).cancel()

    async def close(self) -> None:
        """Close all connections."""
        self._changed.close()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        self._url_of.clear()

    def _pools(self, url: str) -> list[str]:
        return [key for key, wanted in self._url_of.items() if wanted == url]

    async def _run(self, url: str) -> None:
        failures = 0
        while True:
            try:
                connection = await connect(url, APPLICATION)
            except CampaignPoolError as error:
                if not failures:  # the conditions of each pool say why; the log need not repeat it
                    fields = {"reason": error.reason, "pools": len(self._pools(url))}
                    _log.warning("cannot listen for notifications; will retry", extra=fields)
            else:
                failures = 0
                self.connected += 1
                try:
                    await self._listen(connection, url)
                finally:
                    self.connected -= 1
                    await _close(connection)
            failures += 1
            await asyncio.sleep(retry_delay(failures, *_RETRY_SECONDS) * random.uniform(0.8, 1.2))  # noqa: S311 (jitter)

    async def _listen(self, connection: Connection, url: str) -> None:
        """Pass on notifications until the connection is lost."""
        lost = asyncio.Event()

        def on_notification(_connection: object, _pid: int, _channel: str, payload: object) -> None:
            # Any role may notify: only pools that are known to be at this database are reconciled.
            if self._url_of.get(str(payload)) == url:
                self._changed(str(payload))

        connection.add_termination_listener(lambda _: lost.set())
        try:
            await connection.add_listener(CHANNEL, on_notification)
            for key in self._pools(url):
                self._changed(key)
            while not connection.is_closed():
                with suppress(TimeoutError):
                    async with asyncio.timeout(PROBE_SECONDS):
                        await lost.wait()
                await connection.execute("SELECT 1", timeout=CONNECT_SECONDS)
        except CONNECTION_FAULTS as error:
            _log.info("the listening connection was lost", extra={"cause": type(error).__name__})


async def _close(connection: Connection) -> None:
    """Close a connection within a second, or cut it."""
    try:
        await connection.close(timeout=1.0)
    except CONNECTION_FAULTS:
        connection.terminate()
