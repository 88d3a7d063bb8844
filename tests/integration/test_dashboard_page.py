"""The page's server: who may change what from where, its files, its policy, and the events that keep it live."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest

from campaignpool.errors import ClusterError
from campaignpool_operator.dashboard import hub as hubs
from campaignpool_operator.dashboard import view
from campaignpool_operator.dashboard.hub import Hub
from campaignpool_operator.dashboard.identity import RefusedError, Viewer
from campaignpool_operator.dashboard.models import Checks, Claims, PoolList, PoolSummary, PoolView, Trends
from campaignpool_operator.dashboard.page import CSRF, CSRF_HEADER, SESSION, assets
from campaignpool_operator.dashboard.server import DashboardServer
from campaignpool_operator.dashboard.sizing_models import ImagesView, SizingView
from campaignpool_operator.dashboard.view import ClusterFacts, LedgerFacts
from campaignpool_operator.dashboard.work_models import Logs
from tests.unit.test_dashboard import NOW, resource

TOKEN = "a-token"


class Game:
    """One pool, whose viewer may do everything, and one that nobody may see; a backend and what knows viewers."""

    def __init__(self) -> None:
        self.pool_resource = resource()
        self.pool_resource["metadata"]["resourceVersion"] = "0"
        self.patches: list[Mapping[str, Any]] = []
        self.allowed = True

    async def viewer(self, headers: Mapping[str, str], peer: str | None) -> Viewer:
        assert peer == "127.0.0.1"
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            raise RefusedError(401, "Unauthorized", "nobody is signed in")
        return Viewer({"username": "ann"})

    async def pools(self, viewer: Viewer) -> PoolList:
        assert viewer.name == "ann"
        return PoolList(at=view.time(NOW), pools=[view.summary(self.pool_resource, LedgerFacts(), NOW)])

    async def listed(self, viewer: Viewer, namespace: str, name: str) -> PoolSummary | None:
        listed = (await self.pools(viewer)).pools
        return next((pool for pool in listed if (pool.namespace, pool.name) == (namespace, name)), None)

    async def pool(self, viewer: Viewer, namespace: str, name: str, *, wait: bool = True) -> PoolView:  # noqa: ARG002
        if (viewer.name, namespace, name) != ("ann", "game", "chiwar"):
            raise RefusedError(404, "NotFound", f"there is no CampaignPool {name} in namespace {namespace}")
        return view.pool_view(self.pool_resource, LedgerFacts(), ClusterFacts(), NOW)

    async def trends(self, viewer: Viewer, namespace: str, name: str, hours: int) -> Trends:
        raise ClusterError(f"{viewer.name} {namespace} {name} {hours}")

    async def claims(self, viewer: Viewer, namespace: str, name: str, most: int) -> Claims:
        raise ClusterError(f"{viewer.name} {namespace} {name} {most}")

    async def checks(self, viewer: Viewer, namespace: str, name: str) -> Checks:
        raise ClusterError(f"{viewer.name} {namespace} {name}")

    async def sizing(self, viewer: Viewer, namespace: str, name: str) -> SizingView:
        raise ClusterError(f"{viewer.name} {namespace} {name}")

    async def images(self, viewer: Viewer, namespace: str, name: str) -> ImagesView:
        raise ClusterError(f"{viewer.name} {namespace} {name}")

    async def logs(self, viewer: Viewer, namespace: str, name: str, lines: int) -> Logs:
        raise ClusterError(f"{viewer.name} {namespace} {name} {lines}")

    async def rights(self, viewer: Viewer, namespace: str, name: str) -> tuple[str, ...] | None:
        return (viewer.name,) if namespace == "game" and name in ("", "chiwar") else None

    async def resource(self, viewer: Viewer, namespace: str, name: str) -> dict[str, Any]:
        assert await self.rights(viewer, namespace, name)
        return self.pool_resource

    async def change(self, viewer: Viewer, namespace: str, name: str, patch: Mapping[str, Any]) -> None:
        if not self.allowed:
            raise RefusedError(403, "Forbidden", f"{viewer.name} may not patch CampaignPool {name} in {namespace}")
        self.patches.append(patch)


@pytest.fixture
def game() -> Game:
    return Game()


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
async def server(game: Game, hub: Hub) -> AsyncIterator[tuple[DashboardServer, str]]:
    running = DashboardServer(game, game, hub, root="/secret/")
    port = await running.start("127.0.0.1", 0)
    yield running, f"http://127.0.0.1:{port}/secret/"
    await running.close()


@pytest.fixture
async def browser(server: tuple[DashboardServer, str]) -> AsyncIterator[aiohttp.ClientSession]:
    """A client that keeps cookies, signed in."""
    async with aiohttp.ClientSession(server[1], cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.get("") as page:
            assert page.status == 200
        async with session.post("session", json={"token": TOKEN}, headers=csrf(session)) as answer:
            assert answer.status == 200, await answer.text()
        yield session


def cookies(session: aiohttp.ClientSession) -> dict[str, Any]:
    return {cookie.key: cookie for cookie in session.cookie_jar}


def csrf(session: aiohttp.ClientSession) -> dict[str, str]:
    return {CSRF_HEADER: cookies(session)[CSRF].value}


async def test_a_session_is_a_cookie_that_scripts_and_other_sites_cannot_use(browser: aiohttp.ClientSession) -> None:
    kept = cookies(browser)
    assert kept[SESSION]["httponly"] is True
    assert {kept[name]["samesite"] for name in (SESSION, CSRF)} == {"Strict"}
    assert {kept[name]["path"] for name in (SESSION, CSRF)} == {"/secret/"}
    async with browser.get("api/v1/me") as answer:
        assert await answer.json() == {"user": "ann"}
    async with browser.delete("session", headers=csrf(browser)) as answer:
        assert answer.status == 200
    async with browser.get("api/v1/me") as answer:
        assert answer.status == 401


async def test_a_token_that_is_nobodys_opens_no_session(browser: aiohttp.ClientSession) -> None:
    for token, code in (("other", 401), ("", 400), ("a b", 400), (7, 400), (None, 400)):
        async with browser.post("session", json={"token": token}, headers=csrf(browser)) as answer:
            assert answer.status == code
    async with browser.post("session", data="[]", headers=csrf(browser)) as answer:
        assert answer.status == 400


async def test_a_change_needs_the_pages_own_text_and_comes_from_the_page(
    browser: aiohttp.ClientSession, game: Game
) -> None:
    path = "actions/game/chiwar/pause"
    other_site = {**csrf(browser), "Sec-Fetch-Site": "cross-site"}
    for headers in ({}, {CSRF_HEADER: "guessed"}, other_site):
        async with browser.post(path, json={}, headers=headers) as answer:
            assert answer.status == 403
            assert "does not come from the page" in (await answer.json())["message"]
    assert game.patches == []
    async with browser.post(path, json={}, headers=csrf(browser)) as answer:
        stamp = (await answer.json())["stamp"]
    assert [patch["spec"] for patch in game.patches] == [{"paused": True}]
    async with browser.get(f"{path}?stamp={stamp}") as answer:
        assert await answer.json() == {"state": "sent"}
    game.pool_resource["status"]["observedGeneration"] = 2
    async with browser.get(f"{path}?stamp={stamp}") as answer:
        assert await answer.json() == {"state": "seen"}


async def test_an_action_is_refused_with_a_sentence(browser: aiohttp.ClientSession, game: Game) -> None:
    game.allowed = False
    for action, value, code, text in (
        ("pause", "", 403, "ann may not patch CampaignPool chiwar"),
        ("resize", "many", 400, "'many' is no size"),
        ("resize", "1001", 400, "no size"),
        ("release", "", 400, "release needs a campaign"),
        ("delete-everything", "", 404, "not part of the API"),
    ):
        async with browser.post(
            f"actions/game/chiwar/{action}", json={"value": value}, headers=csrf(browser)
        ) as answer:
            assert answer.status == code, action
            assert text in (await answer.json())["message"]


async def test_only_the_pages_own_host_is_answered(
    server: tuple[DashboardServer, str], browser: aiohttp.ClientSession
) -> None:
    running, base = server
    running.accept({base.split("/")[2]})
    async with browser.get("api/v1/me") as answer:
        assert answer.status == 200
    async with browser.get("api/v1/me", headers={"Host": "elsewhere.example"}) as answer:
        assert answer.status == 403
    async with browser.get(f"{base.removesuffix('secret/')}api/v1/me") as answer:
        assert answer.status == 404, "without the secret there is nothing"


async def test_the_page_loads_nothing_from_elsewhere_and_its_files_are_kept(browser: aiohttp.ClientSession) -> None:
    async with browser.get("pools/game/chiwar") as answer:
        policy, text = answer.headers["Content-Security-Policy"], await answer.text()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in text.replace("http-equiv", "")
    assert " style=" not in text
    digest, texts, _ = assets()
    size = len(text.encode())
    for name, content in texts.items():
        assert "innerHTML" not in content
        assert "https://" not in content
        async with browser.get(f"assets/{digest}/{name}") as answer:
            assert answer.status == 200
            assert "immutable" in answer.headers["Cache-Control"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            size += len(await answer.read())
    assert size < 150_000
    async with browser.get(f"assets/{digest}/../server.py") as answer:
        assert answer.status == 404
    async with browser.get("assets/other/app.js") as answer:
        assert answer.status == 404


async def test_a_viewer_hears_of_the_pools_that_they_may_see(
    browser: aiohttp.ClientSession, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "TICK_SECONDS", 0.05)
    async with browser.get("events") as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        events = _events(stream)
        assert await anext(events) == ("tick", {})
        hub.changed("other/hidden")
        hub.changed("game/gone")
        hub.changed("game/chiwar")
        heard = await anext(data async for name, data in events if name == "pool")
        assert (heard["pool"], heard["status"]["ready"]) == ("game/chiwar", 3)
        assert await anext(events) == ("gone", {"pool": "game/gone"})
        # What is not current any more is not called alive.
        assert await anext(events) == ("tick", {})
        hub.current = lambda: False
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await anext(events)
    async with browser.get("events?pool=chiwar") as answer:
        assert answer.status == 400


async def test_viewers_with_equal_rights_cost_one_reading(
    browser: aiohttp.ClientSession, game: Game, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    async def pool(viewer: Viewer, namespace: str, name: str, *, wait: bool = True) -> PoolView:
        read.append((viewer.name, wait))
        return await Game.pool(game, viewer, namespace, name)

    monkeypatch.setattr(game, "pool", pool)
    async with contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(browser.get("events?pool=game/chiwar")) for _ in range(20)]
        for _ in range(2):  # at once, for it may have changed since the page was loaded; and when it changes
            for stream in streams:
                heard = await anext(data async for name, data in _events(stream) if name == "pool")
                assert heard["pool"]["pool"] == "game/chiwar"
            hub.changed("game/chiwar")
    assert read[:2] == [("ann", False)] * 2
    assert len(read) <= 3


async def _events(stream: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    name = ""
    async for line in stream.content:
        text = line.decode().strip()
        if text.startswith("event: "):
            name = text.removeprefix("event: ")
        elif text.startswith("data: "):
            yield name, json.loads(text.removeprefix("data: "))
