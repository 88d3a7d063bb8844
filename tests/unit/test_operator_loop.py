"""Single flight: one loop a pool, coalesced requests, and pools that do not delay each other. No sleeps: gates."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from campaignpool_operator.runtime import scheduler as module
from campaignpool_operator.runtime.scheduler import Scheduler


class Step:
    """A step that waits at a gate, and takes notes."""

    def __init__(self) -> None:
        self.began: asyncio.Queue[str] = asyncio.Queue()
        self.gates: dict[str, asyncio.Semaphore] = {}
        self.active: dict[str, int] = {}
        self.most = 0
        self.delays: dict[str, float | None] = {}
        self.errors: dict[str, Exception] = {}

    async def __call__(self, key: str) -> float | None:
        self.active[key] = self.active.get(key, 0) + 1
        self.most = max(self.most, self.active[key])
        self.began.put_nowait(key)
        try:
            await self.gate(key).acquire()
            if key in self.errors:
                raise self.errors.pop(key)
            return self.delays.get(key, 3600.0)
        finally:
            self.active[key] -= 1

    def gate(self, key: str) -> asyncio.Semaphore:
        return self.gates.setdefault(key, asyncio.Semaphore(0))


@pytest.fixture
def step() -> Step:
    return Step()


@pytest.fixture
async def loops(step: Step) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(step)
    yield scheduler
    await scheduler.close()


async def idle(turns: int = 20) -> None:
    """Let everything run that can."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def test_requests_during_a_loop_coalesce_into_one_more(loops: Scheduler, step: Step) -> None:
    loops.enqueue("a")
    assert await step.began.get() == "a"
    for _ in range(100):
        loops.enqueue("a")
    await idle()
    assert step.began.empty(), "one at a time"
    step.gate("a").release()
    assert await step.began.get() == "a"
    step.gate("a").release()
    await idle()
    assert step.began.empty(), "a hundred requests were one"
    assert step.most == 1


async def test_a_pool_that_hangs_does_not_delay_another(loops: Scheduler, step: Step) -> None:
    loops.enqueue("hangs")
    loops.enqueue("works")
    assert {await step.began.get(), await step.began.get()} == {"hangs", "works"}
    step.gate("works").release()
    await idle()
    loops.enqueue("works")
    assert await step.began.get() == "works"


async def test_a_loop_that_names_a_delay_comes_again_by_itself(loops: Scheduler, step: Step) -> None:
    step.delays["a"] = 0.0
    loops.enqueue("a")
    for _ in range(3):
        await step.began.get()
        step.gate("a").release()
    await step.began.get()


async def test_a_pool_that_is_gone_is_pruned_and_may_come_back(loops: Scheduler, step: Step) -> None:
    step.delays["a"] = None
    loops.enqueue("a")
    await step.began.get()
    assert loops.pools() == {"a"}
    step.gate("a").release()
    await idle()
    assert loops.pools() == frozenset()
    loops.enqueue("a")
    assert await step.began.get() == "a"


async def test_a_request_while_a_pool_goes_is_not_lost(loops: Scheduler, step: Step) -> None:
    step.delays["a"] = None
    loops.enqueue("a")
    await step.began.get()
    loops.enqueue("a")
    step.gate("a").release()
    assert await step.began.get() == "a"


async def test_a_defect_is_counted_logged_and_tried_again(
    step: Step, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_ERROR_SECONDS", (0.0, 0.0))
    failed: list[str] = []
    loops = Scheduler(step, failed=failed.append)
    step.errors["a"] = RuntimeError("a defect")
    loops.enqueue("a")
    await step.began.get()
    step.gate("a").release()
    assert await step.began.get() == "a"
    assert failed == ["a"]
    assert "the loop of a failed: a defect" in caplog.text
    await loops.close()


async def test_no_more_loops_at_once_than_the_limit(step: Step) -> None:
    loops = Scheduler(step, limit=2)
    for key in "abc":
        loops.enqueue(key)
    await idle()
    assert step.began.qsize() == 2
    first = step.began.get_nowait()
    step.gate(first).release()
    await idle()
    assert step.began.qsize() == 2
    await loops.close()


async def test_a_loop_that_outruns_its_bound_is_seen(loops: Scheduler, step: Step) -> None:
    loops.enqueue("a")
    await step.began.get()
    assert loops.stuck(seconds=3600) == []
    assert loops.stuck(seconds=-1) == ["a"]
    step.gate("a").release()
    await idle()
    assert loops.stuck(seconds=-1) == []


async def test_closing_ends_everything_and_takes_no_more(step: Step) -> None:
    loops = Scheduler(step)
    loops.enqueue("a")
    await step.began.get()
    await loops.close()
    assert step.active == {"a": 0}
    loops.enqueue("a")
    await idle()
    assert step.began.empty()


async def test_closing_ends_a_loop_whose_step_ends_in_spite_of_it() -> None:
    """A connection that fails while the step is cancelled: the error takes the place of the cancellation."""
    began = asyncio.Event()

    async def step(_: str) -> float:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return 3600.0
        return 0.0

    scheduler = Scheduler(step)
    scheduler.enqueue("game/chiwar")
    await began.wait()
    async with asyncio.timeout(5):
        await scheduler.close()
    assert scheduler.pools() == frozenset()
