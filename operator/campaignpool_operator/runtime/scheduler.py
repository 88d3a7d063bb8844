"""One loop at a time for each pool; requests that arrive during a loop are coalesced into one more.

Every pool has a task of its own, so that a pool that hangs or fails never delays another. The task ends when its step
finds the pool gone; a later request begins a new one. After a restart the first requests are all that is needed.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias

from campaignpool.backoff import retry_delay

Step: TypeAlias = Callable[[str], Awaitable[float | None]]
"""One loop of a pool, by its key. Returns the seconds until the next at the latest; None: the pool is gone."""

STEP_SECONDS = 900.0
"""Bound of one loop: beyond the longest statement, so that it ends only what hangs."""

STUCK_SECONDS = STEP_SECONDS + 60
"""A loop that goes on for longer does not even obey its bound: the process is not alive."""

_ERROR_SECONDS = (5.0, 300.0)

_log = logging.getLogger(__name__)


@dataclass
class _PoolTask:
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None
    began: float | None = None
    errors: int = 0


class Scheduler:
    """The loops of all pools.

    Args:
        step: One loop. Expected faults end inside it; what it raises is logged and retried with backoff.
        limit: Most loops at the same time.
        failed: Called with the key when a step raised.
    """

    def __init__(self, step: Step, limit: int = 64, failed: Callable[[str], None] = lambda _: None) -> None:
        self._step = step
        self._failed = failed
        self._slots = asyncio.Semaphore(limit)
        self._pools: dict[str, _PoolTask] = {}
        self._closed = False

    def enqueue(self, key: str) -> None:
        """Ask for a loop of a pool: now, or once more after the one that is running."""
        if self._closed:
            return
        pool = self._pools.setdefault(key, _PoolTask())
        pool.wanted.set()
        if pool.task is None:
            pool.task = asyncio.create_task(self._run(key, pool), name=f"pool {key}")

    def pools(self) -> frozenset[str]:
        """Return the keys of the pools that have a task."""
        return frozenset(self._pools)

    def stuck(self, seconds: float = STUCK_SECONDS) -> list[str]:
        """Return the pools whose present loop has taken longer than this."""
        now = asyncio.get_running_loop().time()
        return [key for key, pool in self._pools.items() if pool.began is not None and now - pool.began > seconds]

    async def close(self) -> None:
        """End all loops where they are: the next start finds whatever they leave undone."""
        self._closed = True
        tasks = [pool.task for pool in self._pools.values() if pool.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._pools.clear()

    async def _run(self, key: str, pool: _PoolTask) -> None:
        while True:
            pool.wanted.clear()
            delay = await self._once(key, pool)
            if self._closed:
                return  # the step ended in spite of being cancelled: what it awaited failed at that moment
            if delay is None and not pool.wanted.is_set():
                del self._pools[key]
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await pool.wanted.wait()

    async def _once(self, key: str, pool: _PoolTask) -> float | None:
        async with self._slots:
            pool.began = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(STEP_SECONDS):
                    delay = await self._step(key)
            except Exception as error:  # noqa: BLE001 (a defect in the loop of one pool must not end those of all others)
                pool.errors += 1
                self._failed(key)
                _log.error("the loop of %s failed: %s", key, error, exc_info=error)
                return retry_delay(pool.errors, *_ERROR_SECONDS) * random.uniform(0.9, 1.1)  # noqa: S311 (jitter)
            finally:
                pool.began = None
        pool.errors = 0
        return delay
