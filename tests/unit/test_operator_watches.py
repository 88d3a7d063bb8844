"""Watches of single objects: which loops they ask for, and where they go on."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from campaignpool.errors import ClusterError
from campaignpool_operator.cluster import watches as module
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.cluster.watches import Reference, Watches

SECRET = Reference("secrets", "game", "database")
PLAN = Reference("configmaps", "game", "plan")
Script = asyncio.Queue["tuple[str, str] | Exception | None"]


class Scripted(Cluster):
    """An API whose watches yield scripted events; None ends a watch as the server does."""

    def __init__(self) -> None:
        self.scripts: dict[Reference, Script] = {}
        self.opened: list[tuple[str, str]] = []
        self.refuses = False
        self.opened_again = asyncio.Event()

    @asynccontextmanager
    async def watch(
        self, path: str, query: Mapping[str, str], seconds: float, form: str = ""
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        assert seconds > 60
        assert "PartialObjectMetadata" in form, "no values are sent"
        name, plural = query["fieldSelector"].removeprefix("metadata.name="), path.rpartition("/")[2]
        reference = next(item for item in (SECRET, PLAN) if (item.plural, item.name) == (plural, name))
        self.opened.append((name, query.get("resourceVersion", "")))
        if self.refuses:
            raise ClusterError("the Kubernetes API refuses it", reason="Forbidden")
        self.opened_again.set()
        yield self._events(self.scripts.setdefault(reference, asyncio.Queue()))

    async def _events(self, script: Script) -> AsyncIterator[dict[str, Any]]:
        while (event := await script.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield {"type": event[0], "object": {"metadata": {"resourceVersion": event[1]}}}

    async def say(self, reference: Reference, *events: tuple[str, str] | Exception | None) -> None:
        await idle()
        for event in events:
            self.scripts[reference].put_nowait(event)
        await idle()


async def idle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def cluster() -> Scripted:
    return Scripted()


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
async def watches(cluster: Scripted, asked: list[str]) -> AsyncIterator[Watches]:
    watches = Watches(cluster, asked.append)
    yield watches
    await watches.close()


async def test_a_loop_is_asked_for_where_it_has_read_another_version(
    watches: Watches, cluster: Scripted, asked: list[str]
) -> None:
    watches.want("game/a", {SECRET: "5"})
    watches.want("game/b", {SECRET: "4"})
    await cluster.say(SECRET, ("ADDED", "5"), ("BOOKMARK", "9"))
    assert asked == ["game/b"], "it has read the version of before"
    assert cluster.opened == [("database", "")], "pools share a watch"
    asked.clear()
    await cluster.say(SECRET, ("DELETED", "10"))
    assert asked == ["game/a", "game/b"]
    watches.want("game/a", {SECRET: None})
    watches.want("game/b", {SECRET: None})
    asked.clear()
    await cluster.say(SECRET, ("ADDED", "11"))
    assert asked == ["game/a", "game/b"], "somebody has created it"


async def test_a_watch_that_the_server_ended_goes_on_where_it_was(watches: Watches, cluster: Scripted) -> None:
    watches.want("game/a", {SECRET: "5"})
    await cluster.say(SECRET, ("ADDED", "5"), ("BOOKMARK", "9"))
    now = asyncio.get_running_loop().time()
    await cluster.say(SECRET, None)
    assert cluster.opened == [("database", ""), ("database", "9")]
    assert watches.holds([SECRET], now), "there was no gap"


async def test_a_version_that_is_too_old_is_a_gap(watches: Watches, cluster: Scripted) -> None:
    watches.want("game/a", {SECRET: "5"})
    await cluster.say(SECRET, ("ADDED", "5"))
    now = asyncio.get_running_loop().time()
    assert watches.holds([SECRET], now)
    await cluster.say(SECRET, ClusterError("too old", reason="Expired"))
    assert cluster.opened[-1] == ("database", "")
    assert not watches.holds([SECRET], now)
    assert watches.holds([SECRET], asyncio.get_running_loop().time())


async def test_what_may_not_be_watched_is_not_held(
    watches: Watches, cluster: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", (0.001, 0.001))
    cluster.refuses = True
    watches.want("game/a", {SECRET: "5"})
    await idle()
    assert not watches.holds([SECRET], asyncio.get_running_loop().time())
    cluster.refuses = False
    async with asyncio.timeout(5):
        await cluster.opened_again.wait()
    await idle()
    assert watches.holds([SECRET], asyncio.get_running_loop().time())


async def test_what_no_pool_names_any_more_is_not_watched(watches: Watches) -> None:
    watches.want("game/a", {SECRET: "5", PLAN: "6"})
    watches.want("game/b", {SECRET: "5"})
    await idle()
    watches.want("game/a", {SECRET: "5"})
    watches.drop("game/b")
    now = asyncio.get_running_loop().time()
    assert (watches.holds([SECRET], now), watches.holds([PLAN], now)) == (True, False)
    watches.drop("game/a")
    assert not watches.holds([SECRET], now)
    assert watches.holds([], now)
