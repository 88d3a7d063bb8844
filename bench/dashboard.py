"""The dashboard: its first view of 100 pools, how soon it shows a claim, and what 200 viewers cost the operator."""

import asyncio
import copy
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import aiohttp
import asyncpg

import chiwar
from bench.harness import Bench, Goal, Number, Plot, Progress, Result, percentile
from bench.report import table
from campaignpool.api.crd import crd
from campaignpool.errors import ConfigurationError
from campaignpool_local.emulator import emulator_thread
from campaignpool_local.postgres import EmbeddedPostgres
from campaignpool_operator.dashboard.reading import LIST_SECONDS
from tests.integration.test_dashboard_api import address, viewer
from tests.support.kube import Kube, eventually
from tests.support.operators import Game, OperatorProcess, running

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

POOLS, VIEWERS = 100, 200
LOADS, CLAIMS, ROUNDS = 5, 25, 3
ROUND_SECONDS, CLAIM_SECONDS = 8.0, 0.5
SIZE = 30
EVERYTHING = ["campaignpools", "jobs", "pods", "events"]

GOALS = (
    Goal("first_view_ms_100_pools", 300),
    Goal("first_view_kb_100_pools", 150),
    Goal("event_after_commit_p95_ms", 500),
    Goal("cpu_200_viewers_over_none", 1.5),
)

_ABOUT = f"""\
The operator as a process, against the emulated Kubernetes API and a Postgres of this machine, with {POOLS} pools in
one database. Chromium opens the page of all pools with an empty cache; the operator follows the pools by a watch,
and what it read of the database is too old to be used. The time ends when all rows are drawn, and kilobytes are
those that came over the wire. A claim is seen when the page of its pool, which is paused, shows one campaign less;
the time begins when its commit has returned. The operator's CPU is measured for {ROUND_SECONDS:.0f} s with a claim
each {CLAIM_SECONDS:g} s, without viewers and with {VIEWERS} that hold the pool's stream, alternating;
the ratio is the median over {ROUNDS} rounds."""


@contextmanager
def _cluster(folder: Path, progress: Progress) -> Iterator[tuple[Game, OperatorProcess, dict[str, str]]]:
    with (
        EmbeddedPostgres(folder / "postgres") as server,
        emulator_thread(backoff=0.2) as emulator,
    ):
        kube = Kube(emulator.kubeconfig(folder / "config"))
        kube.install(crd())
        game = Game(kube, server.create_database("game"))
        headers = viewer(kube, "ann", game.namespace, get=EVERYTHING, list=EVERYTHING, patch=["campaignpools"])
        asyncio.run(_load(game.url))
        with running(kube.kubeconfig, folder / "log", "--dashboard", "--dashboard-port=0") as operator:
            game.put_secret()
            game.create(size=SIZE, maxSize=100)
            for number in range(1, POOLS):
                manifest = copy.deepcopy(game.manifest)
                manifest["metadata"]["name"] = f"pool-{number:03}"
                manifest["spec"] |= {"owners": [], "size": 0}
                kube.create(game.path.rpartition("/")[0], manifest)
            progress.at(f"{POOLS} pools")
            eventually(lambda: _reconciled(game) == POOLS, "all pools are reconciled", 600)
            eventually(lambda: game.condition("Ready").get("reason") == "Filled", "the pool is full", 600)
            yield game, operator, headers
        kube.close()


def _reconciled(game: Game) -> int:
    listed = game.kube.items(game.path.rpartition("/")[0])
    return sum(bool((pool.get("status") or {}).get("conditions")) for pool in listed)


async def _load(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await chiwar.load(connection, scale=0.1)
    finally:
        await connection.close()


async def run(progress: Progress) -> Result:
    """Measure and return the result. Raises ConfigurationError without Chromium."""
    if shutil.which("chromium") is None:
        raise ConfigurationError("there is no chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        return await asyncio.to_thread(_run, Path(folder), progress)


def _run(folder: Path, progress: Progress) -> Result:
    progress.at("starting Postgres, the API emulator and the operator")
    with _cluster(folder, progress) as (game, operator, headers):
        figures, version = asyncio.run(_measured(game, operator, headers, progress))
    rows = [(goal.figure, figures[goal.figure], str(goal)) for goal in GOALS]
    text = f"{_ABOUT}\n\n{table(('figure', 'value', 'goal'), rows)}"
    times = {name: figures[name] for name in ("first_view_ms_100_pools", "event_after_commit_p95_ms")}
    return Result(figures, {"Chromium": version}, text, GOALS, Plot("The dashboard", {"milliseconds": times}))


async def _measured(
    game: Game, operator: OperatorProcess, headers: dict[str, str], progress: Progress
) -> tuple[dict[str, Number], str]:
    from playwright.async_api import async_playwright  # noqa: PLC0415 (a bench that needs a browser)

    base = address(operator).removesuffix("api/v1")
    token = headers["Authorization"].removeprefix("Bearer ")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        version = browser.version
        progress.at("the first view")
        first = [await _first_view(browser, base, token) for _ in range(LOADS)]
        progress.at("a claim on the page")
        seen = await _seen(browser, base, token, game)
        await browser.close()
    ratios = []
    for number in range(ROUNDS):
        progress.at(f"viewers, round {number + 1} of {ROUNDS}")
        without = await _cpu(game, operator, base, headers, 0)
        ratios.append(await _cpu(game, operator, base, headers, VIEWERS) / without)
    figures: dict[str, Number] = {
        "first_view_ms_100_pools": median(time for time, _ in first),
        "first_view_kb_100_pools": median(size for _, size in first) / 1024,
        "event_after_commit_p50_ms": median(seen),
        "event_after_commit_p95_ms": percentile(seen, 0.95),
        "cpu_200_viewers_over_none": median(ratios),
        "pools": POOLS,
        "viewers": VIEWERS,
        "claims": CLAIMS,
    }
    return figures, version


_DRAWN = f"""
    new MutationObserver(() => {{
        const drawn = document.querySelectorAll(".row").length === {POOLS};
        if (drawn && !window.drawnAt) window.drawnAt = performance.now();
    }}).observe(document, {{childList: true, subtree: true}});
"""
_TRANSFERRED = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .reduce((sum, entry) => sum + entry.transferSize, 0)"""
_SHOWN = """ready => new Promise(resolve => {
    const observer = new MutationObserver(() => {
        if (document.querySelector(".key")?.textContent.startsWith(`${ready} ready`)) {
            observer.disconnect();
            resolve(Date.now());
        }
    });
    observer.observe(document.getElementById("main"), {childList: true, subtree: true});
})"""


async def _page(browser: "Browser", base: str, token: str) -> "Page":
    """Return a page with an empty cache, signed in. Playwright evaluates text, which the policy forbids."""
    context = await browser.new_context(bypass_csp=True)
    await context.add_cookies([{"name": "campaignpool-session", "value": token, "url": base}])
    await context.add_init_script(_DRAWN)
    return await context.new_page()


async def _first_view(browser: "Browser", base: str, token: str) -> tuple[float, float]:
    """Return the milliseconds until all rows are drawn, and the bytes that came over the wire."""
    page = await _page(browser, base, token)
    await asyncio.sleep(LIST_SECONDS + 0.5)  # what was read for the load before is not kept any more
    await page.goto(base)
    await page.wait_for_function("() => window.drawnAt")
    result = await page.evaluate("() => window.drawnAt"), await page.evaluate(_TRANSFERRED)
    await page.context.close()
    return result


async def _seen(browser: "Browser", base: str, token: str, game: Game) -> list[float]:
    """Return the milliseconds from each claim's commit until the page shows one campaign less."""
    page = await _page(browser, base, token)
    await page.goto(f"{base}pools/{game.key}")
    user, result = str(chiwar.NEW_USERS[0]), []
    connection = await asyncpg.connect(game.url)
    # A Job could make up for a claim before the page has shown it.
    game.patch(paused=True)
    full = f"""() => document.querySelector(".key")?.textContent.startsWith("{SIZE} ready")"""
    await page.wait_for_function(full, timeout=120_000)
    for number in range(CLAIMS):
        waiting = asyncio.ensure_future(page.evaluate(_SHOWN, SIZE - number - 1))
        await asyncio.sleep(0.3)
        await connection.fetch("SELECT * FROM campaign_pool.claim($1, $2, $3)", game.key, user, f"seen {number}")
        committed = time.time() * 1000
        result.append(max(0.0, await asyncio.wait_for(waiting, 30) - committed))
    await connection.close()
    await page.context.close()
    game.patch(paused=False)
    return result


@asynccontextmanager
async def _viewers(base: str, headers: dict[str, str], pool: str, count: int) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(limit=0)
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=connector, headers=headers, timeout=aiohttp.ClientTimeout(total=None))
        )
        streams = [
            await stack.enter_async_context(session.get(f"{base}events", params={"pool": pool})) for _ in range(count)
        ]

        async def read(stream: aiohttp.ClientResponse) -> None:
            async for _ in stream.content.iter_any():
                pass

        tasks = [asyncio.create_task(read(stream)) for stream in streams]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _cpu(game: Game, operator: OperatorProcess, base: str, headers: dict[str, str], count: int) -> float:
    """Return the seconds of CPU that the operator takes for a round of claims, with so many viewers."""
    user = str(chiwar.NEW_USERS[1])
    connection = await asyncpg.connect(game.url)
    async with _viewers(base, headers, game.key, count):
        await asyncio.sleep(2)
        before = (await asyncio.to_thread(operator.metrics))["process_cpu_seconds_total"]
        end = time.monotonic() + ROUND_SECONDS
        while time.monotonic() < end:
            await connection.fetch("SELECT * FROM campaign_pool.claim($1, $2)", game.key, user)
            await asyncio.sleep(CLAIM_SECONDS)
        after = (await asyncio.to_thread(operator.metrics))["process_cpu_seconds_total"]
    await connection.close()
    return after - before


BENCH = Bench("The dashboard", "first view, live events and the cost of viewers", run)
