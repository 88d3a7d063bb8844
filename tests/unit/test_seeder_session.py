"""The session of a Job: retries that start over after progress, and sleeps that end when the pod is asked to stop."""

import asyncio

import pytest

from campaignpool.errors import UnreachableError
from campaignpool_seeder.session import RETRIES, Backoff, StoppableSleep, StoppedError

LOST = UnreachableError("lost")


async def test_retries_without_progress_end_with_the_cause() -> None:
    delays: list[float] = []

    async def sleep(seconds: float) -> None:
        delays.append(seconds)

    backoff = Backoff(sleep)
    for _ in range(RETRIES):
        await backoff.pause(LOST)
    with pytest.raises(UnreachableError):
        await backoff.pause(LOST)
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0]


async def test_progress_starts_the_retries_over() -> None:
    """A long run loses more than `RETRIES` connections, each of which was recovered."""
    delays: list[float] = []

    async def sleep(seconds: float) -> None:
        delays.append(seconds)

    backoff = Backoff(sleep)
    for _ in range(3 * RETRIES):
        await backoff.pause(LOST)
        backoff.reset()
    assert set(delays) == {0.5}


async def test_a_request_to_stop_is_not_retried() -> None:
    stop = asyncio.Event()
    backoff = Backoff(StoppableSleep(stop))
    with pytest.raises(StoppedError):
        await backoff.pause(StoppedError("asked to stop"))
    stop.set()
    with pytest.raises(StoppedError):
        await backoff.pause(LOST)
