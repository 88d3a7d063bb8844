"""What a busy pool says is passed on at once, and then no more often than it is worth looking."""

import asyncio

from campaignpool_operator.runtime.listener import Debounce


async def test_the_first_is_passed_on_at_once_and_what_follows_together() -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    debounce = Debounce(heard.put_nowait, 0.02)
    for _ in range(5):
        debounce("a")
    assert heard.get_nowait() == "a"
    assert heard.empty(), "the others wait for the end of the pause"
    assert await asyncio.wait_for(heard.get(), 5) == "a"
    assert heard.empty(), "and are one by then"
    debounce("b")
    assert heard.get_nowait() == "b", "pools do not wait for each other"


async def test_after_a_pause_in_which_nothing_was_said_there_is_no_wait() -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    over = asyncio.Event()
    debounce = Debounce(heard.put_nowait, 0.01)
    debounce("a")
    asyncio.get_running_loop().call_later(0.02, over.set)
    await over.wait()
    assert heard.get_nowait() == "a"
    assert heard.empty()
    debounce("a")
    assert heard.get_nowait() == "a"


async def test_nothing_is_passed_on_of_a_pool_that_was_dropped() -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    debounce = Debounce(heard.put_nowait, 0.01)
    debounce("a")
    debounce("a")
    debounce("b")
    debounce("b")
    debounce.drop("a")
    assert [heard.get_nowait(), heard.get_nowait(), await asyncio.wait_for(heard.get(), 5)] == ["a", "b", "b"]
    debounce("b")
    debounce("b")
    debounce.close()
    later = asyncio.Event()
    asyncio.get_running_loop().call_later(0.03, later.set)
    await later.wait()
    assert heard.empty()
