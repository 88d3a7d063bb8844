"""Answers that many ask for: computed once for all, and kept for those who would rather have the last one at once."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")

OLD_SECONDS = 5.0
"""While somebody looks, an answer is read again after this long even if nothing is known to have happened."""

FORGOTTEN_SECONDS = 30.0
"""An answer that nobody asked for in this time is not read again when something happens."""


class Shared:
    """Answers that are computed once for all who ask at the same time and, but for failures, kept for seconds."""

    def __init__(self) -> None:
        self._answers: dict[object, tuple[float, asyncio.Task[Any]]] = {}

    async def get(self, key: object, seconds: float, compute: Callable[[], Awaitable[T]]) -> T:
        """Return the answer for a key; raise what computing it raises."""
        now = time.monotonic()
        cached = self._answers.get(key)
        if cached is None or (cached[0] <= now and cached[1].done()) or _failed(cached[1]):
            for old in [old for old, (until, task) in self._answers.items() if until <= now and task.done()]:
                del self._answers[old]
            task = asyncio.ensure_future(compute())
            task.add_done_callback(_seen)
            cached = self._answers[key] = (now + seconds, task)
        # A viewer who goes away does not end it for the others.
        result: T = await asyncio.shield(cached[1])
        return result

    def close(self) -> None:
        """End what is being computed."""
        for _, task in self._answers.values():
            task.cancel()
        self._answers.clear()


@dataclass
class _Entry(Generic[T]):
    answer: T | None = None
    read_at: float = float("-inf")
    asked_at: float = 0.0
    stale: bool = True
    reading: "asyncio.Task[T] | None" = None
    timer: asyncio.TimerHandle | None = None


class Board(Generic[T]):
    """Answers by key; each is read again where something happened and somebody looks, but not all the time.

    Args:
        read: Reads the answer for a key.
        changed: Called with a key, the answer before and a new one that differs.
        seconds: Least time from one reading for a key to the next.
    """

    def __init__(
        self, read: Callable[[str], Awaitable[T]], changed: Callable[[str, T, T], None], seconds: float
    ) -> None:
        self._read, self._changed, self._seconds = read, changed, seconds
        self._entries: dict[str, _Entry[T]] = {}

    async def fresh(self, key: str) -> T:
        """Return an answer since which nothing is known to have happened; raise what reading it raises."""
        entry = self._asked(key)
        if entry.answer is not None and not entry.stale and time.monotonic() - entry.read_at < self._seconds:
            return entry.answer
        # A viewer who goes away does not end it for the others.
        return await asyncio.shield(entry.reading or self._begin(key, entry))

    async def known(self, key: str) -> T:
        """Return the last answer at once, and have an old one read again; the first is waited for."""
        entry = self._asked(key)
        if entry.answer is None:
            return await asyncio.shield(entry.reading or self._begin(key, entry))
        if time.monotonic() - entry.read_at > OLD_SECONDS:
            self.touch(key)
        return entry.answer

    def touch(self, key: str) -> None:
        """Have an answer read again: something happened. Does nothing where nobody asked for it lately."""
        entry = self._entries.get(key)
        if entry is None:
            return
        if time.monotonic() - entry.asked_at > FORGOTTEN_SECONDS:
            del self._entries[key]
            return
        entry.stale = True
        if entry.timer is None and entry.reading is None:
            wait = max(0.0, entry.read_at + self._seconds - time.monotonic())
            entry.timer = asyncio.get_running_loop().call_later(wait, self._begin, key, entry)

    def close(self) -> None:
        """End what is being read."""
        for entry in self._entries.values():
            if entry.timer is not None:
                entry.timer.cancel()
            if entry.reading is not None:
                entry.reading.cancel()
        self._entries.clear()

    def _asked(self, key: str) -> _Entry[T]:
        entry = self._entries.setdefault(key, _Entry())
        entry.asked_at = time.monotonic()
        return entry

    def _begin(self, key: str, entry: _Entry[T]) -> asyncio.Task[T]:
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None
        entry.reading = asyncio.get_running_loop().create_task(self._once(key, entry))
        entry.reading.add_done_callback(_seen)
        return entry.reading

    async def _once(self, key: str, entry: _Entry[T]) -> T:
        entry.stale = False
        try:
            answer = await self._read(key)
        finally:
            entry.read_at, entry.reading = time.monotonic(), None
            if entry.stale:  # something happened meanwhile
                self.touch(key)
        before, entry.answer = entry.answer, answer
        if before is not None and before != answer:
            self._changed(key, before, answer)
        return answer


def _failed(task: "asyncio.Task[Any]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _seen(task: "asyncio.Task[Any]") -> None:
    """Take note of a failure that nobody waits for any more."""
    if not task.cancelled():
        task.exception()
