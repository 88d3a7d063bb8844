"""What a busy pool says is passed on at once, and then no more often than it is worth looking."""

import asyncio

from campaignpool_operator.runtime.listener import Spaced


async def test_the_first_is_passed_on_at_once_and_what_follows_together() -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    spaced = Spaced(heard.put_nowait, 0.02)
    for _ in range(5):
        spaced("a")
    assert heard.get_nowait() == "a"
    assert heard.empty(), "the others wait for the end of the pause"
    assert await asyncio.wait_for(heard.get(), 5) == "a"
    assert heard.empty(), "and are one by then"
    spaced("b")
    assert heard.get_nowait() == "b", "pools do not wait for each other"


async def test_after_a_pause_in_which_nothing_was_said_there_is_no_wait() -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    over = asyncio.Event()
    spaced = Spaced(heard.put_nowait, 0.01)
    spaced("a")
    asyncio.get_running_loop().call_later(0.02, over.set)
    await over.wait()
    assert heard.get_nowait() == "a"
    assert heard.empty()
    spaced("a")
    assert heard.get_nowait() == "a"


async def test_nothing_is_passed_on_of_a_pool_that_was_dropped() -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    spaced = Spaced(heard.put_nowait, 0.01)
    spaced("a")
    spaced("a")
    spaced("b")
    spaced("b")
    spaced.drop("a")
    assert [heard.get_nowait(), heard.get_nowait(), await asyncio.wait_for(heard.get(), 5)] == ["a", "b", "b"]
    spaced("b")
    spaced("b")
    spaced.close()
    later = asyncio.Event()
    asyncio.get_running_loop().call_later(0.03, later.set)
    await later.wait()
    assert heard.empty()
