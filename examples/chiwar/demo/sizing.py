"""`make demo ARGS=--sizing`: a day of demand in minutes, to which the real operator adapts the size of the pool.

A day passes in `--day` seconds, by the operator's option for demonstrations. The ledger gets the claims of three
weeks of such days, as if they had been made; then the day's claims come, and the operator's Jobs refill the pool.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import yaml

import chiwar
from campaignpool.api.crd import crd
from campaignpool.api.resource import PLURAL
from campaignpool.client import Client
from chiwar.demo.kube import secret
from chiwar.demo.output import Output, StepError
from chiwar.demo.stage import NAMESPACE, Stage, operator, stage

_POOL = yaml.safe_load((Path(__file__).parent.parent / "pool.yaml").read_text())
_NAME = _POOL["metadata"]["name"]
_SIZING = {
    "mode": "Auto",
    "availability": "99%",
    "minSize": 1,
    "maxSize": 40,
    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 1800}},
}
"""The window is in seconds of the day, half an hour."""

_DAY = 86_400.0
_PAST_DAYS, _USERS = 21, 500
_CLAIMS = 400
"""Claims of a day."""

_PEAKS = ((13.0, 1.6, 0.5), (20.0, 1.3, 1.0))
"""Hours of the two peaks, their widths in hours, and their heights."""

_HOURS, _SHOWN_HOURS = 24, 2
_SAMPLE_SECONDS = 0.25
_LEARNING_SECONDS, _FULL_SECONDS = 20.0, 120.0
_LEAST_HITS = 0.97
"""The hits that the check asks for: the target is 99 %, of few claims."""

_NEW_USERS = """
INSERT INTO users (email, name, jti, created_at, updated_at)
SELECT 'day-' || n || '@example.com', 'User ' || n, 'day-' || n, now(), now() FROM generate_series(1, $1) n
"""

_PAST = """
INSERT INTO campaign_pool.claimed (id, pool_id, revision_id, owner, campaign_id, claimant, source, claimed_at, waited,
    releasable_until, rules_id)
SELECT gen_random_uuid(), p.id, p.revision_id, '', gen_random_uuid(), gen_random_uuid(), 'master', to_timestamp(at),
       '0', now(), p.revision_id
FROM campaign_pool.pool p, unnest($2::double precision[]) at WHERE p.name = $1
"""
_STOCK = """
SELECT (SELECT size FROM campaign_pool.target t WHERE t.pool_id = p.id AND t.owner = '') AS size,
       (SELECT count(*) FROM campaign_pool.campaign c WHERE c.pool_id = p.id AND c.state = 'ready') AS ready
FROM campaign_pool.pool p WHERE p.name = $1
"""


@dataclass(frozen=True)
class Sample:
    """The pool at a moment: the hour of the day, the size that is applied, the ready campaigns."""

    hour: float
    size: int
    ready: int


@dataclass
class Day:
    """What was observed: samples, and the hours of claims and of misses."""

    samples: list[Sample]
    claims: list[float]
    misses: list[float]


async def run(output: Output, folder: Path, seconds: float) -> None:
    """Run the day, print it by two hours, check it and draw it."""
    output.step(f"Starting Postgres and the Kubernetes API emulator; a day takes {seconds:.0f} s")
    async with (
        stage(folder) as running,
        asyncpg.create_pool(running.database_url, min_size=1, max_size=8) as database,
    ):
        async with database.acquire() as connection:
            await chiwar.load(connection, scale=0.1)
            await connection.execute(_NEW_USERS, _USERS)
        async with operator(running, CAMPAIGNPOOL_SIZING_SPEED=str(_DAY / seconds)):
            output.step(f"Applying the CampaignPool {_NAME}; it is filled to spec.size")
            await _prepare(running)
            await _apply(running, {**_SIZING, "mode": "Recommend", "availability": "95%"})
            await asyncio.wait_for(_until(running, lambda status: status.get("ready", 0) > 0), _FULL_SECONDS)
            output.step(f"The ledger gets {_PAST_DAYS} days of {_CLAIMS} claims each; then sizing.mode is Auto")
            start = time.time() + _LEARNING_SECONDS
            await database.execute(_PAST, f"{NAMESPACE}/{_NAME}", _past(start, seconds))
            # All of the demand is read for another availability.
            await _apply(running, _SIZING)
            await asyncio.wait_for(_until(running, _is_sized), _FULL_SECONDS)
            await asyncio.sleep(max(0.0, start - time.time()))
            output.step("The day begins: each claim comes from a client, as in an application")
            day = await _live(output, database, start, seconds)
            status = (await running.kube.get(f"{PLURAL}/{_NAME}"))["status"]["sizing"]
    _check(output, day, status)
    _draw(output, day, folder / "sizing.svg")
    output.step("All checks passed.")


def _profile(hour: float) -> float:
    """Return how high the demand is at an hour of the day, by a few claims at night and two peaks."""
    distances = (((hour - at + 12) % 24 - 12, width, height) for at, width, height in _PEAKS)
    return 0.02 + sum(height * math.exp(-((distance / width) ** 2) / 2) for distance, width, height in distances)


def _hours(random: Random) -> list[float]:
    """Return the hours of a day's claims."""
    highest, hours = max(_profile(quarter / 4) for quarter in range(96)), list[float]()
    while len(hours) < _CLAIMS:
        hour = random.uniform(0, 24)
        if random.uniform(0, highest) < _profile(hour):
            hours.append(hour)
    return sorted(hours)


def _past(start: float, seconds: float) -> list[float]:
    """Return when the claims of the days before `start` were made, in seconds since 1970."""
    random = Random(1)  # noqa: S311 (a demonstration repeats itself)
    return [start - (day - hour / 24) * seconds for day in range(_PAST_DAYS, 0, -1) for hour in _hours(random)]


async def _prepare(running: Stage) -> None:
    kube = running.kube
    await kube.apply(crd(), "customresourcedefinitions")
    await kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, "namespaces")
    await kube.apply(secret(_POOL["spec"]["database"]["secretRef"]["name"], "url", running.database_url), "secrets")


async def _apply(running: Stage, sizing: dict[str, Any]) -> None:
    spec = {**_POOL["spec"], "owners": [], "size": 3, "maxSize": 60, "sizing": sizing}
    await running.kube.apply({**_POOL, "spec": spec}, PLURAL)


def _is_sized(status: dict[str, Any]) -> bool:
    sizing = status.get("sizing", {})
    return "applied" in sizing and sizing["basis"] != "Fixed"


async def _until(running: Stage, condition: Callable[[dict[str, Any]], bool]) -> None:
    """Wait for the pool's status."""
    async for _ in running.kube.rows(PLURAL):
        if condition((await running.kube.get(f"{PLURAL}/{_NAME}")).get("status", {})):
            break


async def _live(output: Output, database: "asyncpg.Pool[asyncpg.Record]", start: float, seconds: float) -> Day:
    """Claim through a day, and sample the pool."""
    day = Day([], _hours(Random(2)), [])  # noqa: S311 (a demonstration repeats itself)
    users = [row["id"] for row in await database.fetch("SELECT id FROM users ORDER BY id")]
    campaigns = Client(database, f"{NAMESPACE}/{_NAME}")

    async def claim(number: int, hour: float) -> None:
        await asyncio.sleep(max(0.0, start + hour / 24 * seconds - time.time()))
        claimed = await campaigns.claim(users[number % len(users)])
        if claimed.source == "clone":
            day.misses.append(hour)

    clients = [asyncio.create_task(claim(number, hour)) for number, hour in enumerate(day.claims)]
    output.say("\n  HOUR     CLAIMS  MISSES  SIZE  READY")
    shown = 0
    while (hour := (time.time() - start) / seconds * 24) < _HOURS:
        row = await database.fetchrow(_STOCK, f"{NAMESPACE}/{_NAME}")
        if row is None:
            raise StepError("the ledger has no row of the pool")
        day.samples.append(Sample(hour, row["size"], row["ready"]))
        if hour >= shown + _SHOWN_HOURS:
            output.say(_line(day, shown, shown + _SHOWN_HOURS))
            shown += _SHOWN_HOURS
        await asyncio.sleep(_SAMPLE_SECONDS)
    await asyncio.gather(*clients)
    output.say(_line(day, shown, _HOURS))
    return day


def _line(day: Day, since: float, until: float) -> str:
    samples = [sample for sample in day.samples if since <= sample.hour < until]
    claims, misses = (sum(since <= hour < until for hour in hours) for hours in (day.claims, day.misses))
    size = sum(sample.size for sample in samples) / len(samples)
    ready = sum(sample.ready for sample in samples) / len(samples)
    return f"  {since:02.0f}-{until:02.0f} {claims:>9} {misses:>7} {size:>5.1f} {ready:>6.1f}"


def _check(output: Output, day: Day, status: dict[str, Any]) -> None:
    def size(since: float, until: float) -> float:
        sizes = [sample.size for sample in day.samples if since <= sample.hour < until]
        return sum(sizes) / len(sizes)

    night, before, peak, after = size(2, 5), size(17.5, 18.5), size(19, 21), size(23.4, 24)
    hits = 1 - len(day.misses) / len(day.claims)
    output.say(f"          a refill takes {status['leadTimeSeconds']} s")
    output.check("the pool is larger at the peak than at night", holds=peak >= 2 * night, seen=(night, peak))
    output.check("it grows before the peak", holds=night < before, seen=(night, before))
    output.check("it shrinks after it", holds=after < peak, seen=(peak, after))
    output.check(
        f"{hits:.1%} of {len(day.claims)} claims found a ready campaign", holds=hits >= _LEAST_HITS, seen=hits
    )
    mean = sum(sample.ready for sample in day.samples) / len(day.samples)
    output.say(f"          {mean:.1f} campaigns were ready on average, {max(s.ready for s in day.samples)} at most")


def _draw(output: Output, day: Day, path: Path) -> None:
    try:
        from matplotlib import pyplot as plt  # noqa: PLC0415 (only this scene draws)
    except ImportError:
        output.say("          no picture: it needs matplotlib")
        return
    figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
    hours = [sample.hour for sample in day.samples]
    axes.step(
        hours, [sample.size for sample in day.samples], where="post", color="#c0392b", linewidth=1, label="size"
    )
    ready = [sample.ready for sample in day.samples]
    axes.fill_between(hours, ready, step="post", color="#2471a3", alpha=0.35, linewidth=0, label="ready")
    quarters = [number / 4 for number in range(96)]
    claims = [sum(quarter <= hour < quarter + 0.25 for hour in day.claims) for quarter in quarters]
    axes.step(quarters, claims, where="post", color="#222222", linewidth=0.8, label="claims in a quarter of an hour")
    label = f"misses: {len(day.misses)} of {len(day.claims)}"
    axes.plot(day.misses, [0] * len(day.misses), "|", color="#ff0000", markersize=14, label=label)
    axes.set(xlim=(0, 24), xticks=range(0, 25, 2), xlabel="hour of the day", ylabel="campaigns")
    axes.set_title("A day of demand against the real operator, in minutes", fontsize=11)
    axes.legend(fontsize=8, loc="upper left")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    output.say(f"          the picture of the day: {path}")
