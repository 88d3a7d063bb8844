"""What is read once for all who look, and read again where something happened."""

import asyncio
from collections.abc import Callable

import pytest

from campaignpool.errors import ClusterError
from campaignpool_operator.dashboard import board as boards
from campaignpool_operator.dashboard.board import Board, Shared
from campaignpool_operator.dashboard.hub import Hub


class Source:
    """Something that is read by key, and what was heard of its changes."""

    def __init__(self) -> None:
        self.value, self.read = 1, 0
        self.error: ClusterError | None = None
        self.changes: list[tuple[str, int, int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, key: str) -> int:
        assert key == "pool"
        self.read += 1
        value = self.value
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return value

    def changed(self, key: str, before: int, now: int) -> None:
        self.changes.append((key, before, now))


async def until(check: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not check():  # noqa: ASYNC110 (what it checks has no event)
            await asyncio.sleep(0)


async def test_who_looks_gets_the_last_answer_at_once_and_hears_of_a_new_one() -> None:
    source = Source()
    board = Board(source, source.changed, 0.0)
    assert await board.known("pool") == 1
    source.value = 2
    assert await board.known("pool") == 1, "nothing is known to have happened"
    board.touch("pool")
    assert await board.known("pool") == 1
    await until(lambda: source.changes)
    assert (source.changes, await board.known("pool")) == ([("pool", 1, 2)], 2)
    board.touch("pool")
    await until(lambda: source.read == 3)
    await board.fresh("pool")
    assert source.changes == [("pool", 1, 2)], "nothing differs"


async def test_many_who_ask_at_once_cost_one_reading_and_what_happens_meanwhile_another() -> None:
    source = Source()
    board = Board(source, source.changed, 0.0)
    source.gate.clear()
    asked = [asyncio.create_task(board.fresh("pool")) for _ in range(20)]
    await until(lambda: source.read)
    source.value = 2
    board.touch("pool")
    asked.pop().cancel()
    source.gate.set()
    assert await asyncio.gather(*asked) == [1] * 19
    await until(lambda: source.changes)
    assert (source.read, source.changes) == (2, [("pool", 1, 2)])


async def test_readings_keep_a_distance_however_much_happens() -> None:
    source = Source()
    board = Board(source, source.changed, 3600.0)
    assert await board.fresh("pool") == 1
    for _ in range(5):
        board.touch("pool")
        await asyncio.sleep(0)
        assert await board.known("pool") == 1
    assert source.read == 1
    assert await board.fresh("pool") == 1, "who wants the newest gets it"
    assert source.read == 2
    board.close()


async def test_nothing_is_read_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source()
    board = Board(source, source.changed, 0.0)
    board.touch("pool")
    await board.fresh("pool")
    monkeypatch.setattr(boards, "FORGOTTEN_SECONDS", -1.0)
    board.touch("pool")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert source.read == 1


async def test_an_answer_that_is_old_is_read_again_while_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source()
    board = Board(source, source.changed, 0.0)
    await board.known("pool")
    source.value = 2
    monkeypatch.setattr(boards, "OLD_SECONDS", -1.0)
    assert await board.known("pool") == 1
    await until(lambda: source.changes)


async def test_a_failure_is_raised_to_who_waits_and_is_not_kept() -> None:
    source, shared = Source(), Shared()
    board = Board(source, source.changed, 0.0)
    source.error = ClusterError("no answer")
    for ask in (board.fresh, board.known):
        with pytest.raises(ClusterError):
            await ask("pool")
    with pytest.raises(ClusterError):
        await shared.get("key", 60.0, lambda: source("pool"))
    source.error = None
    assert (await board.known("pool"), await shared.get("key", 60.0, lambda: source("pool"))) == (1, 1)


async def test_a_viewer_of_one_pool_is_not_woken_by_others() -> None:
    hub = Hub()
    one, every = hub.changes("game/chiwar"), hub.changes()
    assert (await anext(one)).pools == {"game/chiwar"}, "it may have changed since the page was loaded"
    heard = [asyncio.ensure_future(anext(one)), asyncio.ensure_future(anext(every))]
    await asyncio.sleep(0)
    hub.changed("game/other")
    await until(heard[1].done)
    assert heard[1].result().pools == {"game/other"}
    assert not heard[0].done()
    hub.changed("game/chiwar")
    assert (await heard[0]).pools == {"game/chiwar"}
    assert (await heard[0]).number == (await anext(every)).number, "they get the same answer"
    hub.close()
