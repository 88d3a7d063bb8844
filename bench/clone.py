"""How near the clone comes to what Postgres can do, and how far other ways stay behind."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import median

import chiwar
from bench import activerecord
from bench import server as sample
from bench.activerecord import ActiveRecord
from bench.harness import Bench, Case, Goal, Number, Plot, Progress, Result, Runs, alternate
from bench.report import table
from bench.rivals import ExecuteMany, MappingTable, Orm, OrmBatched
from bench.server import Server
from bench.strategies import CloneFunction, Limit, OnItsOwn, RowByRow, Seed, Strategy, session
from bench.wire import relay
from campaignpool.ledger import seeding
from campaignpool.ledger.database import connected

SIZES = (100, 2000)
"""Campaigns already in the tables."""

BATCHES = {1: (7, 6), 10: (4, 2), 50: (2, 1)}
"""Campaigns in one transaction: how many rounds of a session count, and how many come before. A session keeps the
plans of its statements from the sixth call on."""

SESSIONS = 3
"""How many sessions each way is measured in, one after the other."""

SET_BASED: tuple[type[Strategy], ...] = (Limit, CloneFunction, Seed, MappingTable, ExecuteMany)
ROW_BY_ROW: tuple[type[Strategy], ...] = (Seed, RowByRow, Orm, OrmBatched, ActiveRecord)
"""The last where Ruby and the packages are there."""

ROUNDS_ROW_BY_ROW = 2
PROCESSES = 5
CHECKPOINTS = 3

GOALS = (
    Goal("ratio_limit_1", 1.2),
    Goal("ratio_limit_10", 1.15),
    Goal("ratio_limit_10_at_2000", 1.15),
    Goal("speedup_row_by_row", 15, at_least=True),
    Goal("speedup_row_by_row_1", 15, at_least=True),
    Goal("growth_2000_over_100", 1.2),
    Goal("wal_ratio_limit", 1.1),
    Goal("round_trips_per_batch", 2),
    Goal("job_seconds_1", 2),
)

_ABOUT = """\
What one campaign of {rows:,} rows costs when N are made in one transaction and {small} or {large:,} are in the tables
already. All set-based ways of one database share a session and take turns in it, in another order each round, in
{sessions} sessions; times are medians over the rounds ({rounds}), × limit is the
median of the ratios within a round. What is timed is the work inside the transaction, which is then rolled back:
commits are no part of it. Before each round VACUUM clears away what was rolled back. A CHECKPOINT comes before each N
and none within, and warm-up rounds bear its full-page images; what a batch of 10 writes right after a checkpoint
stands in the last column.
{policy}"""

_ROWS = """\
Ways that take a round trip a row make one campaign a run, for they gain nothing from a batch; medians are over
{rounds} rounds only, for they take long. `speedup_row_by_row` and `speedup_orm` compare them with ours in the
seeder's batch of 10, `…_1` with ours alone.
{rails}

These ratios depend on the machine more than the others: a round trip costs more on an idle virtual machine, whose
processors sleep in between. Two runs on a busy one gave a `speedup_row_by_row` of 24 and 19, and a `…_1` of 13.

The tables were filled by ours. The other ways draw random keys, and those lie beyond nearly all time-ordered ones,
so they find the end of the indexes as warm as ours do; in tables that random keys filled they would write far more
WAL."""

_RAILS = """\
`speedup_activerecord` does the same for Rails' ActiveRecord, in a process of Ruby: every record is saved with the
validations that an application has (there is what it belongs to, names are there and unique) and without callbacks;
what it belongs to is in memory and not looked up again."""


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
        others = await _after_checkpoint(urls[SIZES[1]], progress) | await _others(urls[SIZES[0]], progress)
        versions = {"Postgres": server.version, **activerecord.versions()}
        rounds = ", ".join(f"{SESSIONS * each} for N = {count}" for count, (each, _) in BATCHES.items())
        about = _ABOUT.format(
            small=SIZES[0], large=SIZES[1], rows=server.rows, sessions=SESSIONS, rounds=rounds, policy=sample.POLICY
        )
    figures = _figures(batches, rows) | others
    text = "\n\n".join([about, _table(batches, figures), _about_rows(), _table_of_rows(rows), _notes(figures)])
    return Result(figures, versions, text, GOALS, _plot(batches, rows))


async def verify(server: Server, progress: Progress) -> None:
    """Let every way make two campaigns for good, in a database of its own, and check them row by row.

    Raises:
        RuntimeError: What would have been measured is no whole clone.
    """
    ways = {kind.name: kind for kind in (*SET_BASED, *_row_by_row_here())}
    for name, kind in ways.items():
        progress.at(f"checking that {name} makes whole clones")
        url = await server.database("verify")
        way = kind()
        async with _opened({0: url}, [(way, 0, 2)]), connected(url, "bench") as connection:
            await way.begin(2)
            await way.make(2)
            await way.end(keep=True)
            made = await connection.fetch("SELECT id FROM campaigns WHERE NOT is_master_template")
            faults = [fault for row in made for fault in await chiwar.check_clone(connection, row["id"])]
        server.drop("verify")
        if len(made) != 2 or faults:
            raise RuntimeError(f"{name} made {len(made)} campaigns of 2: {'; '.join(faults) or 'no fault in them'}")


async def _set_based(urls: dict[int, str], count: int, progress: Progress) -> Runs:
    progress.at(f"set-based ways, N = {count}")
    rounds, warmups = BATCHES[count]
    return await _alternate(
        urls, lambda: [(kind(), size, count) for size in SIZES for kind in SET_BASED], rounds, warmups, progress
    )


def _row_by_row_here() -> list[type[Strategy]]:
    return [kind for kind in ROW_BY_ROW if kind is not ActiveRecord or activerecord.versions()]


async def _row_by_row(urls: dict[int, str], progress: Progress) -> Runs:
    progress.at("ways that take a round trip a row")

    def ways() -> list[tuple[Strategy, int, int]]:
        batch = Seed()
        batch.name = "ours_10"
        return [(batch, SIZES[0], 10), *((kind(), size, 1) for size in SIZES for kind in _row_by_row_here())]

    return await _alternate(urls, ways, ROUNDS_ROW_BY_ROW, 1, progress)


async def _alternate(
    urls: dict[int, str],
    ways: Callable[[], Sequence[tuple[Strategy, int, int]]],
    rounds: int,
    warmups: int,
    progress: Progress,
) -> Runs:
    """Let ways take turns in several sessions; with each: the size of its database, the campaigns of a run."""
    async with AsyncExitStack() as stack:
        observers = [await stack.enter_async_context(connected(url, "bench")) for url in urls.values()]
        await observers[0].execute("CHECKPOINT")

        async def vacuum() -> None:
            for observer in observers:
                await sample.vacuum(observer)

        async def wal() -> int:
            return await sample.wal(observers[0])

        found: Runs | None = None
        for number in range(1, SESSIONS + 1):
            progress.say(f"session {number} of {SESSIONS}")
            async with _opened(urls, ways()) as cases:
                more = await alternate(
                    cases, rounds=rounds, warmups=warmups, say=progress.say, gauge=wal, between=vacuum
                )
            found = found.and_then(more) if found else more
    return found or Runs({})


@asynccontextmanager
async def _opened(urls: dict[int, str], ways: Sequence[tuple[Strategy, int, int]]) -> AsyncIterator[list[Case]]:
    """Open ways, those of one database in one session, and give them as cases."""
    async with AsyncExitStack() as stack:
        sessions = {size: await stack.enter_async_context(session(url)) for size, url in urls.items()}
        for way, size, _ in ways:
            if isinstance(way, OnItsOwn):
                way.url = urls[size]
            await way.open(sessions[size])
            stack.push_async_callback(way.close)
        yield [_case(*each) for each in ways]


async def _after_checkpoint(url: str, progress: Progress) -> dict[str, Number]:
    """Measure the WAL of a batch of 10 right after a checkpoint, when every page touched is written whole once."""
    progress.at("WAL right after a checkpoint")
    found: dict[str, Number] = {}
    async with connected(url, "bench") as observer, session(url) as connection:
        for kind in SET_BASED:
            written = []
            for _ in range(CHECKPOINTS):
                way = kind()
                await way.open(connection)
                await way.begin(10)
                await observer.execute("CHECKPOINT")
                mark = await sample.wal(observer)
                await way.make(10)
                written.append((await sample.wal(observer) - mark) / 10)
                await way.end(keep=False)
                await sample.vacuum(observer)
            found[f"wal_kb_10_{kind.name}_after_checkpoint_at_{SIZES[1]}"] = median(written) / 1024
    return found


def _case(way: Strategy, size: int, count: int) -> Case:
    async def before() -> None:
        await way.begin(count)

    async def make() -> None:
        await way.make(count)

    async def after() -> None:
        await way.end(keep=False)

    return Case(f"{way.name}@{size}", count, before, make, after)


async def _others(url: str, progress: Progress) -> dict[str, Number]:
    """Measure what is no matter of turns: whole Jobs, round trips, statements, a session's first batch."""
    progress.at("first batches, round trips, whole processes")
    first = []
    for _ in range(PROCESSES):
        async with session(url) as connection:
            way = Seed()
            await way.open(connection)
            await way.begin(1)
            began = time.perf_counter()
            await way.make(1)
            first.append(time.perf_counter() - began)
            await way.end(keep=False)
    statements = set()
    async with relay(url) as relayed, connected(relayed.url, "bench") as connection:
        trips = []
        for number, count in enumerate((10, 1, 50, 10)):
            await seeding.reserve(connection, sample.POOL, f"counted-{number}", "", 1, count, 1)
            relayed.round_trips = 0
            batch = await seeding.seed(connection, sample.POOL, f"counted-{number}", count)
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
        "speedup_row_by_row": rows.ratio(f"row_by_row@{small}", f"ours_10@{small}"),
        "speedup_row_by_row_1": rows.ratio(f"row_by_row@{small}", f"ours@{small}"),
        "speedup_orm": rows.ratio(f"orm@{small}", f"ours_10@{small}"),
        "speedup_orm_1": rows.ratio(f"orm@{small}", f"ours@{small}"),
        **_speedup_activerecord(rows),
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


def _speedup_activerecord(rows: Runs) -> dict[str, Number]:
    small = SIZES[0]
    case = f"{ActiveRecord.name}@{small}"
    if case not in rows.samples:
        return {}
    return {
        "speedup_activerecord": rows.ratio(case, f"ours_10@{small}"),
        "speedup_activerecord_1": rows.ratio(case, f"ours@{small}"),
    }


def _named(case: str) -> str:
    name, _, size = case.partition("@")
    return name if size == str(SIZES[0]) else f"{name}_at_{size}"


def _about_rows() -> str:
    missing = activerecord.absence()
    rails = f"Rails' ActiveRecord was not measured: {missing}." if missing else _RAILS
    return _ROWS.format(rounds=SESSIONS * ROUNDS_ROW_BY_ROW, rails=rails)


def _table(batches: dict[int, Runs], figures: dict[str, Number]) -> str:
    rows = []
    for size in SIZES:
        for kind in SET_BASED:
            name, limit = f"{kind.name}@{size}", f"limit@{size}"
            times = [runs.milliseconds(name) for runs in batches.values()]
            ratios = [runs.ratio(name, limit) for runs in batches.values()]
            fresh = figures.get(f"wal_kb_10_{kind.name}_after_checkpoint_at_{size}")
            wal = [round(batches[10].kilobytes(name)), fresh and round(fresh)]
            rows.append((f"{size:,}", kind.label, *times, *ratios, *wal))
    counts = list(BATCHES)
    head = ["there", "way", *(f"N = {n}, ms" for n in counts), *(f"× limit, N = {n}" for n in counts)]
    return table([*head, "WAL, KB", "WAL after a checkpoint, KB"], rows)


def _table_of_rows(runs: Runs) -> str:
    rows = []
    for size in SIZES:
        for kind in ROW_BY_ROW:
            name = f"{kind.name}@{size}"
            cells: tuple[float | None, ...] = (None, None, None)
            if name in runs.samples:
                ratio = runs.ratio(name, f"ours@{size}")
                cells = (runs.milliseconds(name), ratio, round(runs.kilobytes(name)))
            rows.append((f"{size:,}", kind.label, *cells))
    return table(("there", "way", "N = 1, ms", "× ours", "WAL, KB"), rows)


def _notes(figures: dict[str, Number]) -> str:
    return (
        f"A batch takes {figures['statements_per_batch']} statements beside the ledger's in "
        f"{figures['round_trips_per_batch']} round trip(s), {figures['round_trips_first_batch']} for the first of a "
        "session: both counted, the same for any number of campaigns. The first campaign of a new session takes "
        f"{figures['ms_1_first_in_session']:.0f} ms, plans and all; a whole seeding process with one campaign "
        f"{figures['job_seconds_1']:.2f} s from start to exit."
    )


def _plot(batches: dict[int, Runs], rows: Runs) -> Plot:
    size = SIZES[0]
    groups = {
        f"{count} in a transaction": {
            kind.label: batches[count].milliseconds(f"{kind.name}@{size}") for kind in SET_BASED
        }
        for count in (1, 10)
    }
    kinds = [kind for kind in _row_by_row_here() if kind is not Seed]
    others = {kind.label: rows.milliseconds(f"{kind.name}@{size}") for kind in kinds}
    groups["1 in a transaction"] |= others
    return Plot(f"One campaign of the sample application, {size} in the tables", groups)


BENCH = Bench(
    "Cloning",
    "the clone against the limit of Postgres, and against other ways to make a campaign",
    run,
)
