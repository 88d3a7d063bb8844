"""How near the clone comes to what Postgres can do, and how far other ways stay behind."""

import asyncio
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from statistics import median

import chiwar
from bench import server as sample
from bench.harness import Bench, Case, Goal, Number, Plot, Progress, Result, Runs, alternate
from bench.report import table
from bench.rivals import ExecuteMany, MappingTable, Orm, OrmBatched
from bench.server import Server
from bench.strategies import CloneFunction, Limit, RowByRow, Seed, Strategy
from bench.wire import relay
from campaignpool import ledger
from campaignpool.database import Connection, connect, connected

SIZES = (100, 2000)
"""Campaigns already in the tables."""

BATCHES = {1: (21, 6), 10: (11, 2), 50: (5, 1)}
"""Campaigns in one transaction: how many rounds count, and how many come before. A session keeps the plans of
its statements from the sixth call on."""

SET_BASED = (Limit, CloneFunction, Seed, MappingTable, ExecuteMany)
ROW_BY_ROW = (Seed, RowByRow, Orm, OrmBatched)
ROUNDS_ROW_BY_ROW = 5
PROCESSES = 5

GOALS = (
    Goal("ratio_limit_1", 1.2),
    Goal("ratio_limit_10", 1.15),
    Goal("ratio_limit_10_at_2000", 1.15),
    Goal("speedup_row_by_row", 15, at_least=True),
    Goal("growth_2000_over_100", 1.2),
    Goal("wal_ratio_limit", 1.1),
    Goal("round_trips_per_batch", 2),
    Goal("job_seconds_1", 2),
)

_ABOUT = """\
What one campaign costs, in milliseconds, when N are made in one transaction and {small} or {large:,} campaigns of
{rows:,} rows are in the tables already. Each way has a session of its own, warmed, and takes its turn in every round;
the times are medians over the rounds, × limit is the median of the ratios within a round. Transactions are rolled
back outside the timing; commits are no part of it. Before each round VACUUM clears away what was rolled back;
a CHECKPOINT comes before each N, never within, and the warm-up rounds bear its full-page images.
{policy}"""

_ROWS = """\
Ways that take a round trip a row make one campaign a run; they gain nothing from a batch. Neither they nor the
set-based ones that stand beside them are tuned against: keys are random uuids, as `gen_random_uuid()` makes them."""


async def run(progress: Progress) -> Result:
    """Measure everything."""
    progress.at("starting Postgres, loading the sample application")
    async with sample.running() as server:
        await verify(server, progress)
        urls: dict[int, str] = {}
        copy_of = {"copy_of": "base"}
        for size in SIZES:
            progress.at(f"making {size:,} campaigns")
            urls[size] = await server.database(f"at_{size}", campaigns=size, say=progress.say, **copy_of)
            copy_of = {"copy_of": f"at_{size}"}
        batches = {count: await _set_based(urls, count, progress) for count in BATCHES}
        rows = await _row_by_row(urls, progress)
        progress.at("whole processes, round trips, first batches")
        others = await _others(urls[SIZES[0]])
        version = server.version
        about = _ABOUT.format(small=SIZES[0], large=SIZES[1], rows=server.rows, policy=sample.POLICY)
    figures = _figures(batches, rows) | others
    text = "\n\n".join([about, _table(batches), _ROWS, _table_of_rows(rows), _notes(figures)])
    return Result(figures, version, text, GOALS, _plot(batches, rows))


async def verify(server: Server, progress: Progress) -> None:
    """Let every way make two campaigns for good, in a database of its own, and check them row by row.

    Raises:
        RuntimeError: What would have been measured is no whole clone.
    """
    ways = {kind.name: kind for kind in (*SET_BASED, *ROW_BY_ROW)}
    for name, kind in ways.items():
        progress.at(f"checking that {name} makes whole clones")
        url = await server.database("verify")
        way = kind()
        await way.open(url)
        await way.begin(2)
        await way.make(2)
        await way.end(keep=True)
        await way.close()
        async with connected(url, "bench") as connection:
            made = await connection.fetch("SELECT id FROM campaigns WHERE NOT is_master_template")
            faults = [fault for row in made for fault in await chiwar.check_clone(connection, row["id"])]
        server.drop("verify")
        if len(made) != 2 or faults:
            raise RuntimeError(f"{name} made {len(made)} campaigns of 2: {'; '.join(faults) or 'no fault in them'}")


async def _set_based(urls: dict[int, str], count: int, progress: Progress) -> Runs:
    progress.at(f"{count} campaigns in a transaction")
    rounds, warmups = BATCHES[count]
    ways = [(kind(), size, count) for size in urls for kind in SET_BASED]
    return await _alternate(urls, ways, rounds, warmups, progress)


async def _row_by_row(urls: dict[int, str], progress: Progress) -> Runs:
    progress.at("row by row")
    ways: list[tuple[Strategy, int, int]] = [(kind(), size, 1) for size in urls for kind in ROW_BY_ROW]
    batch = Seed()
    batch.name = "ours_10"
    ways.append((batch, SIZES[0], 10))
    return await _alternate(urls, ways, ROUNDS_ROW_BY_ROW, 3, progress)


async def _alternate(
    urls: dict[int, str], ways: Sequence[tuple[Strategy, int, int]], rounds: int, warmups: int, progress: Progress
) -> Runs:
    """Let ways take turns, each given with the size of its database and the campaigns of a run."""
    async with AsyncExitStack() as stack:
        observers: list[Connection] = []
        for url in urls.values():
            observers.append(await connect(url, "bench"))
            stack.push_async_callback(observers[-1].close)
        cases = []
        for way, size, count in ways:
            await way.open(urls[size])
            stack.push_async_callback(way.close)
            cases.append(_case(way, size, count))
        await observers[0].execute("CHECKPOINT")

        async def vacuum() -> None:
            for observer in observers:
                await sample.vacuum(observer)

        async def wal() -> int:
            return await sample.wal(observers[0])

        return await alternate(cases, rounds=rounds, warmups=warmups, say=progress.say, gauge=wal, between=vacuum)


def _case(way: Strategy, size: int, count: int) -> Case:
    async def before() -> None:
        await way.begin(count)

    async def make() -> None:
        await way.make(count)

    async def after() -> None:
        await way.end(keep=False)

    return Case(f"{way.name}@{size}", count, before, make, after)


async def _others(url: str) -> dict[str, Number]:
    """Measure what is no matter of turns: whole Jobs, round trips, statements, a session's first batch."""
    first = []
    for _ in range(PROCESSES):
        way = Seed()
        await way.open(url)
        await way.begin(1)
        began = time.perf_counter()
        await way.make(1)
        first.append(time.perf_counter() - began)
        await way.end(keep=False)
        await way.close()
    statements = set()
    async with relay(url) as relayed, connected(relayed.url, "bench") as connection:
        trips = []
        for number, count in enumerate((10, 1, 50, 10)):
            await ledger.reserve(connection, sample.POOL, f"counted-{number}", "", 1, count, 1)
            relayed.round_trips = 0
            batch = await ledger.seed(connection, sample.POOL, f"counted-{number}", count)
            trips.append(relayed.round_trips)
            statements.add(batch.statements)
    if len(statements) != 1:
        raise RuntimeError(f"the number of statements depends on the number of campaigns: {sorted(statements)}")
    seconds = []
    for number in range(PROCESSES + 1):
        command, environment = sample.seeder(url, f"process-{number}", 1)
        began = time.perf_counter()
        await asyncio.to_thread(subprocess.run, command, env=environment, check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    return {
        "round_trips_per_batch": trips[-1],
        "round_trips_first_batch": trips[0],
        "statements_per_batch": statements.pop(),
        "ms_1_first_in_session": median(first) * 1000,
        "job_seconds_1": median(seconds[1:]),
    }


def _figures(batches: dict[int, Runs], rows: Runs) -> dict[str, Number]:
    small, large = SIZES
    found: dict[str, Number] = {}
    for count, runs in batches.items():
        for size, suffix in ((small, ""), (large, f"_at_{large}")):
            found[f"ratio_limit_{count}{suffix}"] = runs.ratio(f"ours@{size}", f"limit@{size}")
            found[f"ratio_limit_{count}_function{suffix}"] = runs.ratio(f"clone_function@{size}", f"limit@{size}")
    found |= {
        "speedup_row_by_row": rows.ratio(f"row_by_row@{small}", f"ours@{small}"),
        "speedup_row_by_row_10": rows.ratio(f"row_by_row@{small}", f"ours_10@{small}"),
        "speedup_orm": rows.ratio(f"orm@{small}", f"ours@{small}"),
        "speedup_orm_10": rows.ratio(f"orm@{small}", f"ours_10@{small}"),
        "growth_2000_over_100": batches[10].ratio(f"ours@{large}", f"ours@{small}"),
        "growth_2000_over_100_limit": batches[10].ratio(f"limit@{large}", f"limit@{small}"),
        "wal_ratio_limit": batches[10].gauge_ratio(f"ours@{small}", f"limit@{small}"),
        "wal_ratio_limit_at_2000": batches[10].gauge_ratio(f"ours@{large}", f"limit@{large}"),
    }
    for count, runs in batches.items():
        for case in runs.samples:
            found[f"ms_{count}_{_named(case)}"] = runs.milliseconds(case)
            found[f"wal_kb_{count}_{_named(case)}"] = runs.kilobytes(case)
    for case in rows.samples:
        found.setdefault(f"ms_1_{_named(case)}", rows.milliseconds(case))
        found.setdefault(f"wal_kb_1_{_named(case)}", rows.kilobytes(case))
    return found


def _named(case: str) -> str:
    name, _, size = case.partition("@")
    return name if size == str(SIZES[0]) else f"{name}_at_{size}"


def _table(batches: dict[int, Runs]) -> str:
    rows = []
    for size in SIZES:
        for kind in SET_BASED:
            name, limit = f"{kind.name}@{size}", f"limit@{size}"
            times = [batches[count].milliseconds(name) for count in BATCHES]
            ratios = [batches[count].ratio(name, limit) for count in BATCHES]
            rows.append((size, kind.label, *times, *ratios, round(batches[10].kilobytes(name))))
    counts = list(BATCHES)
    head = ["campaigns there", "way", *(f"N = {n}, ms" for n in counts), *(f"× limit, N = {n}" for n in counts)]
    return table([*head, "WAL at N = 10, KB"], rows)


def _table_of_rows(runs: Runs) -> str:
    rows = []
    for size in SIZES:
        for kind in ROW_BY_ROW:
            name = f"{kind.name}@{size}"
            ratio = runs.ratio(name, f"ours@{size}")
            rows.append((size, kind.label, runs.milliseconds(name), ratio, round(runs.kilobytes(name))))
    return table(("campaigns there", "way", "N = 1, ms", "× ours", "WAL, KB"), rows)


def _notes(figures: dict[str, Number]) -> str:
    rails = "is here, but has no bench yet" if shutil.which("ruby") else "was not measured: there is no Ruby here"
    return (
        f"A batch takes {figures['statements_per_batch']} statements and {figures['round_trips_per_batch']} round trip "
        f"({figures['round_trips_first_batch']} for the first of a session), for any number of campaigns; both were "
        f"counted. The first campaign of a new session takes {figures['ms_1_first_in_session']:.0f} ms, plans and "
        f"all; a whole seeding process with one campaign {figures['job_seconds_1']:.2f} s from start to exit. "
        f"Rails' ActiveRecord {rails}."
    )


def _plot(batches: dict[int, Runs], rows: Runs) -> Plot:
    size = SIZES[0]
    groups = {
        f"{count} in a transaction": {
            kind.label: batches[count].milliseconds(f"{kind.name}@{size}") for kind in SET_BASED
        }
        for count in (1, 10)
    }
    others = {kind.label: rows.milliseconds(f"{kind.name}@{size}") for kind in ROW_BY_ROW if kind is not Seed}
    groups["1 in a transaction"] |= others
    return Plot(f"One campaign of the sample application, {size} in the tables", groups)


BENCH = Bench(
    "Cloning",
    "the clone against the limit of Postgres, and against other ways to make a campaign",
    run,
)
