"""Single flight: one loop at a time for each pool, and what is asked for meanwhile coalesces into one more.

Every pool has a task of its own, so that a pool that hangs or fails never delays another. The task ends when its step
says that the pool is gone; a later request begins a new one. A restart needs nothing but the first requests.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias

Step: TypeAlias = Callable[[str], Awaitable[float | None]]
"""One loop of a pool, by its key. Gives the seconds until the next; None: the pool is gone."""

STEP_SECONDS = 900.0
"""Bound of one loop: beyond the longest statement, so that it ends only what hangs."""

STUCK_SECONDS = STEP_SECONDS + 60
"""A loop that goes on for longer does not even obey its bound: the process is not alive."""

_ERROR_SECONDS = (5.0, 300.0)

_log = logging.getLogger(__name__)


@dataclass
class _Flight:
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None
    began: float | None = None
    errors: int = 0


class Loops:
    """The loops of all pools.

    Args:
        step: One loop. Expected faults end inside it; what it raises is logged and tried again with backoff.
        limit: Most loops in the same moment.
        failed: Called with the key when a step raised.
    """

    def __init__(self, step: Step, limit: int = 64, failed: Callable[[str], None] = lambda _: None) -> None:
        self._step = step
        self._failed = failed
        self._slots = asyncio.Semaphore(limit)
        self._flights: dict[str, _Flight] = {}
        self._closed = False

    def request(self, key: str) -> None:
        """Ask for a loop of a pool: now, or once more after the one that is under way."""
        if self._closed:
            return
        flight = self._flights.setdefault(key, _Flight())
        flight.wanted.set()
        if flight.task is None:
            flight.task = asyncio.create_task(self._fly(key, flight), name=f"pool {key}")

    def known(self) -> frozenset[str]:
        """Give the keys of the pools that are looked after."""
        return frozenset(self._flights)

    def stuck(self, seconds: float = STUCK_SECONDS) -> list[str]:
        """Give the pools whose present loop has taken longer than this."""
        now = asyncio.get_running_loop().time()
        return [key for key, each in self._flights.items() if each.began is not None and now - each.began > seconds]

    async def close(self) -> None:
        """End all loops where they are: whatever they leave undone, the next start finds."""
        self._closed = True
        tasks = [flight.task for flight in self._flights.values() if flight.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._flights.clear()

    async def _fly(self, key: str, flight: _Flight) -> None:
        while True:
            flight.wanted.clear()
            delay = await self._once(key, flight)
            if delay is None and not flight.wanted.is_set():
                del self._flights[key]
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await flight.wanted.wait()

    async def _once(self, key: str, flight: _Flight) -> float | None:
        async with self._slots:
            flight.began = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(STEP_SECONDS):
                    delay = await self._step(key)
            except Exception as error:  # noqa: BLE001 (a defect in the loop of one pool must not end those of all others)
                flight.errors += 1
                self._failed(key)
                _log.error("the loop of %s failed: %s", key, error, exc_info=error)
                first, last = _ERROR_SECONDS
                return min(first * 2.0 ** min(flight.errors - 1, 10), last) * random.uniform(0.9, 1.1)  # noqa: S311 (jitter)
            finally:
                flight.began = None
        flight.errors = 0
        return delay
