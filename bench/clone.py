"""The clone's time compared with the limit of Postgres, and other strategies compared with the clone."""

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
from bench.strategies import CloneFunction, Limit, OwnConnection, RowByRow, Seed, Strategy, session
from bench.wire import relay
from campaignpool.ledger import seeding
from campaignpool.ledger.database import connected

SIZES = (100, 2000)
"""Numbers of campaigns already in the tables."""

BATCHES = {1: (7, 6), 10: (4, 2), 50: (2, 1)}
"""Campaigns per transaction, with the measured and the warm-up rounds of a session. Postgres caches a generic plan
from the sixth call on."""

SESSIONS = 3
"""The number of consecutive sessions that every strategy is measured in."""

SET_BASED: tuple[type[Strategy], ...] = (Limit, CloneFunction, Seed, MappingTable, ExecuteMany)
ROW_BY_ROW: tuple[type[Strategy], ...] = (Seed, RowByRow, Orm, OrmBatched, ActiveRecord)
"""ActiveRecord is included only if Ruby and its packages are installed."""

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
The time per campaign of {rows:,} rows when one transaction creates N campaigns and the tables hold {small} or
{large:,} already. All set-based strategies of a database alternate in one session, in a different order each round,
in {sessions} sessions. Times are medians over the rounds ({rounds}); × limit is the median of the
ratios within a round. The timer covers the work inside the transaction, which is then rolled back, so commits are
excluded. VACUUM removes the dead rows before each round. A CHECKPOINT runs before each N and none during it, and the
warm-up rounds write its full-page images. The last column shows the WAL of a batch of 10 after a checkpoint.
{policy}"""

_ROWS = """\
Strategies with a round trip per row create one campaign per run, because batches do not make them faster. Their
medians are over {rounds} rounds only, because they are slow. `speedup_row_by_row` and `speedup_orm` compare them with
campaignpool at the seeder's batch of 10, `…_1` with a single campaign.
{rails}

These ratios depend on the machine more than the others: a round trip costs more on an idle virtual machine, whose
processors go idle between requests. Two runs on a busy machine measured a `speedup_row_by_row` of 24 and 19, and a
`…_1` of 13.

campaignpool filled the tables, with time-ordered keys. The other strategies draw random keys, nearly all of which are
greater, so they also insert at the cached end of the indexes. In tables filled with random keys they would write far
more WAL."""

_RAILS = """\
`speedup_activerecord` compares Rails' ActiveRecord, in a Ruby process. It saves every record with the usual
validations (parents exist, names are present and unique) and without callbacks. Parents are in memory and are not
loaded again."""


async def run(progress: Progress) -> Result:
    """Measure all strategies and return the result."""
    progress.at("starting Postgres, loading the sample application")
    async with sample.running() as server:
        await verify(server, progress)
        urls: dict[int, str] = {}
        copy_of = {"copy_of": "base"}
        for size in SIZES:
            progress.at(f"creating {size:,} campaigns")
            urls[size] = await server.database(f"at_{size}", campaigns=size, say=progress.say, **copy_of)
            copy_of = {"copy_of": f"at_{size}"}
        batches = {count: await _set_based(urls, count, progress) for count in BATCHES}
        rows = await _row_by_row(urls, progress)
        single = await _after_checkpoint(urls[SIZES[1]], progress) | await _single_figures(urls[SIZES[0]], progress)
        versions = {"Postgres": server.version, **activerecord.versions()}
        rounds = ", ".join(f"{SESSIONS * measured} for N = {count}" for count, (measured, _) in BATCHES.items())
        about = _ABOUT.format(
            small=SIZES[0], large=SIZES[1], rows=server.rows, sessions=SESSIONS, rounds=rounds, policy=sample.POLICY
        )
    figures = _figures(batches, rows) | single
    text = "\n\n".join(
        [about, _table(batches, figures), _about_row_by_row(), _row_by_row_table(rows), _notes(figures)]
    )
    return Result(figures, versions, text, GOALS, _plot(batches, rows))


async def verify(server: Server, progress: Progress) -> None:
    """Create two campaigns with every strategy, each in a new database, and check their rows.

    Raises:
        RuntimeError: A strategy does not create complete clones.
    """
    strategies = {kind.name: kind for kind in (*SET_BASED, *_available_row_by_row())}
    for name, kind in strategies.items():
        progress.at(f"checking that {name} creates complete clones")
        url = await server.database("verify")
        strategy = kind()
        async with _opened({0: url}, [(strategy, 0, 2)]), connected(url, "bench") as connection:
            await strategy.begin(2)
            await strategy.make(2)
            await strategy.end(keep=True)
            campaigns = await connection.fetch("SELECT id FROM campaigns WHERE NOT is_master_template")
            faults = [fault for row in campaigns for fault in await chiwar.check_clone(connection, row["id"])]
        server.drop("verify")
        if len(campaigns) != 2 or faults:
            raise RuntimeError(
                f"{name} created {len(campaigns)} of 2 campaigns: {'; '.join(faults) or 'without faults'}"
            )


async def _set_based(urls: dict[int, str], count: int, progress: Progress) -> Runs:
    progress.at(f"set-based strategies, N = {count}")
    rounds, warmups = BATCHES[count]
    return await _alternate(
        urls, lambda: [(kind(), size, count) for size in SIZES for kind in SET_BASED], rounds, warmups, progress
    )


def _available_row_by_row() -> list[type[Strategy]]:
    return [kind for kind in ROW_BY_ROW if kind is not ActiveRecord or activerecord.versions()]


async def _row_by_row(urls: dict[int, str], progress: Progress) -> Runs:
    progress.at("strategies with a round trip per row")

    def strategies() -> list[tuple[Strategy, int, int]]:
        batch = Seed()
        batch.name = "ours_10"
        return [(batch, SIZES[0], 10), *((kind(), size, 1) for size in SIZES for kind in _available_row_by_row())]

    return await _alternate(urls, strategies, ROUNDS_ROW_BY_ROW, 1, progress)


async def _alternate(
    urls: dict[int, str],
    strategies: Callable[[], Sequence[tuple[Strategy, int, int]]],
    rounds: int,
    warmups: int,
    progress: Progress,
) -> Runs:
    """Alternate strategies in several sessions.

    Args:
        urls: Databases by the number of their campaigns.
        strategies: Returns for each strategy the key in `urls` and the campaigns per run.
        rounds: Measured rounds per session.
        warmups: Rounds before them.
        progress: Reports the session.
    """
    async with AsyncExitStack() as stack:
        observers = [await stack.enter_async_context(connected(url, "bench")) for url in urls.values()]
        await observers[0].execute("CHECKPOINT")

        async def vacuum() -> None:
            for observer in observers:
                await sample.vacuum(observer)

        async def wal() -> int:
            return await sample.wal(observers[0])

        runs: Runs | None = None
        for number in range(1, SESSIONS + 1):
            progress.say(f"session {number} of {SESSIONS}")
            async with _opened(urls, strategies()) as cases:
                session_runs = await alternate(
                    cases, rounds=rounds, warmups=warmups, say=progress.say, gauge=wal, between=vacuum
                )
            runs = runs.and_then(session_runs) if runs else session_runs
    return runs or Runs({})


@asynccontextmanager
async def _opened(urls: dict[int, str], strategies: Sequence[tuple[Strategy, int, int]]) -> AsyncIterator[list[Case]]:
    """Open strategies, one session per database, and yield them as cases."""
    async with AsyncExitStack() as stack:
        sessions = {size: await stack.enter_async_context(session(url)) for size, url in urls.items()}
        for strategy, size, _ in strategies:
            if isinstance(strategy, OwnConnection):
                strategy.url = urls[size]
            await strategy.open(sessions[size])
            stack.push_async_callback(strategy.close)
        yield [_case(*entry) for entry in strategies]


async def _after_checkpoint(url: str, progress: Progress) -> dict[str, Number]:
    """Measure the WAL of a batch of 10 right after a checkpoint, when every page touched is written whole once."""
    progress.at("WAL right after a checkpoint")
    figures: dict[str, Number] = {}
    async with connected(url, "bench") as observer, session(url) as connection:
        for kind in SET_BASED:
            written = []
            for _ in range(CHECKPOINTS):
                strategy = kind()
                await strategy.open(connection)
                await strategy.begin(10)
                await observer.execute("CHECKPOINT")
                mark = await sample.wal(observer)
                await strategy.make(10)
                written.append((await sample.wal(observer) - mark) / 10)
                await strategy.end(keep=False)
                await sample.vacuum(observer)
            figures[f"wal_kb_10_{kind.name}_after_checkpoint_at_{SIZES[1]}"] = median(written) / 1024
    return figures


def _case(strategy: Strategy, size: int, count: int) -> Case:
    async def before() -> None:
        await strategy.begin(count)

    async def make() -> None:
        await strategy.make(count)

    async def after() -> None:
        await strategy.end(keep=False)

    return Case(f"{strategy.name}@{size}", count, before, make, after)


async def _single_figures(url: str, progress: Progress) -> dict[str, Number]:
    """Measure what needs no alternation: whole Jobs, round trips, statements, the first batch of a session."""
    progress.at("first batches, round trips, whole processes")
    first = []
    for _ in range(PROCESSES):
        async with session(url) as connection:
            strategy = Seed()
            await strategy.open(connection)
            await strategy.begin(1)
            began = time.perf_counter()
            await strategy.make(1)
            first.append(time.perf_counter() - began)
            await strategy.end(keep=False)
    statements = set()
    async with relay(url) as relayed, connected(relayed.url, "bench") as connection:
        trips = []
        for number, count in enumerate((10, 1, 50, 10)):
            await sample.reserve(connection, f"counted-{number}", count)
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
    figures: dict[str, Number] = {}
    for count, runs in batches.items():
        for size, suffix in ((small, ""), (large, f"_at_{large}")):
            figures[f"ratio_limit_{count}{suffix}"] = runs.ratio(f"ours@{size}", f"limit@{size}")
            figures[f"ratio_limit_{count}_function{suffix}"] = runs.ratio(f"clone_function@{size}", f"limit@{size}")
    figures |= {
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
            figures[f"ms_{count}_{_figure_name(case)}"] = runs.milliseconds(case)
            figures[f"wal_kb_{count}_{_figure_name(case)}"] = runs.kilobytes(case)
    for case in rows.samples:
        figures.setdefault(f"ms_1_{_figure_name(case)}", rows.milliseconds(case))
        figures.setdefault(f"wal_kb_1_{_figure_name(case)}", rows.kilobytes(case))
    return figures


def _speedup_activerecord(rows: Runs) -> dict[str, Number]:
    small = SIZES[0]
    case = f"{ActiveRecord.name}@{small}"
    if case not in rows.samples:
        return {}
    return {
        "speedup_activerecord": rows.ratio(case, f"ours_10@{small}"),
        "speedup_activerecord_1": rows.ratio(case, f"ours@{small}"),
    }


def _figure_name(case: str) -> str:
    name, _, size = case.partition("@")
    return name if size == str(SIZES[0]) else f"{name}_at_{size}"


def _about_row_by_row() -> str:
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
    head = [
        "existing campaigns",
        "strategy",
        *(f"N = {n}, ms" for n in counts),
        *(f"× limit, N = {n}" for n in counts),
    ]
    return table([*head, "WAL, KB", "WAL after a checkpoint, KB"], rows)


def _row_by_row_table(runs: Runs) -> str:
    rows = []
    for size in SIZES:
        for kind in ROW_BY_ROW:
            name = f"{kind.name}@{size}"
            cells: tuple[float | None, ...] = (None, None, None)
            if name in runs.samples:
                ratio = runs.ratio(name, f"ours@{size}")
                cells = (runs.milliseconds(name), ratio, round(runs.kilobytes(name)))
            rows.append((f"{size:,}", kind.label, *cells))
    return table(("existing campaigns", "strategy", "N = 1, ms", "× campaignpool", "WAL, KB"), rows)


def _notes(figures: dict[str, Number]) -> str:
    return (
        f"A batch executes {figures['statements_per_batch']} statements, besides those of the ledger, in "
        f"{figures['round_trips_per_batch']} round trip(s); the first batch of a session needs "
        f"{figures['round_trips_first_batch']}. Neither count depends on the number of campaigns. The first campaign "
        f"of a session takes {figures['ms_1_first_in_session']:.0f} ms, including planning; a seeder process that "
        f"creates one campaign takes {figures['job_seconds_1']:.2f} s from start to exit."
    )


def _plot(batches: dict[int, Runs], rows: Runs) -> Plot:
    size = SIZES[0]
    groups = {
        f"{count} in a transaction": {
            kind.label: batches[count].milliseconds(f"{kind.name}@{size}") for kind in SET_BASED
        }
        for count in (1, 10)
    }
    kinds = [kind for kind in _available_row_by_row() if kind is not Seed]
    row_by_row = {kind.label: rows.milliseconds(f"{kind.name}@{size}") for kind in kinds}
    groups["1 in a transaction"] |= row_by_row
    return Plot(f"One campaign of the sample application, {size} in the tables", groups)


BENCH = Bench(
    "Cloning",
    "the clone compared with the limit of Postgres and with other ways to create a campaign",
    run,
)
