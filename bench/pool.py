"""The time of seeding Jobs and claims, compared with creating campaigns row by row."""

import asyncio
import subprocess
import time
from collections.abc import Sequence
from statistics import median

from bench import server as sample
from bench.harness import Bench, Case, Goal, Number, Plot, Progress, Result, Runs, alternate, percentile
from bench.report import table
from bench.strategies import RowByRow, session
from campaignpool.ledger import pools, retiring
from campaignpool.ledger.database import Connection, connected
from chiwar.ids import NEW_USER_ID

ROUNDS = 5
WARM_CLAIMS = 50
CLAIMS = 400
CLONING_CLAIMS = 60
BATCH = 10

GOALS = (Goal("seconds_per_campaign_job_1", 2),)

CLAIM = "SELECT campaign_id, source FROM campaign_pool.claim(pool => $1, claimant => $2, key => $3)"

_ABOUT = """\
A Job is the process `python -m campaignpool_seeder`, from start to exit, for 1 campaign and for {batch} campaigns of
{rows:,} rows. Row by row is the same work on asyncpg with the queries of an ORM's validations, in a process that is
already running and connected. They alternate; times are medians of {rounds} rounds.

One client claims with a prepared statement of asyncpg. Every claim has a key and its own transaction, which is
committed to disk. The pool is filled before and not refilled. The operator is waiting before every claim, so every
claim notifies it, which is the most expensive case. A claim from an empty pool clones a campaign (`onEmpty: Clone`).
{policy}"""


async def run(progress: Progress) -> Result:
    """Measure Jobs and claims and return the result."""
    progress.at("starting Postgres, loading the sample application")
    async with sample.running() as server:
        url = await server.database("pool", campaigns=20)
        progress.at("Jobs, and the same work row by row")
        jobs = await _jobs(url, progress)
        progress.at(f"filling the pool for {CLAIMS} claims")
        async with session(url) as claimer, connected(url, "bench") as operator:
            await sample.fill(operator, "fill-claims", WARM_CLAIMS + CLAIMS, progress.say)
            await operator.execute("VACUUM (ANALYZE)")
            progress.at("claims")
            claims = await _claims(claimer, operator, WARM_CLAIMS, CLAIMS, {"master"})
            progress.at("claims from an empty pool")
            await _empty_pool(operator)
            clones = await _claims(claimer, operator, 2 * ROUNDS, CLONING_CLAIMS, {"clone"})
        about = _ABOUT.format(batch=BATCH, rows=server.rows, rounds=ROUNDS, policy=sample.POLICY)
        versions = {"Postgres": server.version}
    figures = _figures(jobs, claims, clones)
    return Result(figures, versions, f"{about}\n\n{_table(figures)}", GOALS, _plot(figures))


async def _jobs(url: str, progress: Progress) -> Runs:
    async with session(url) as connection, connected(url, "bench") as observer:
        row_by_row = RowByRow()
        await row_by_row.open(connection)

        async def begin() -> None:
            await row_by_row.begin(1)

        async def make() -> None:
            await row_by_row.make(1)

        async def end() -> None:
            await row_by_row.end(keep=False)
            await sample.vacuum(observer)

        cases = [_job(url, observer, 1), _job(url, observer, BATCH), Case("row_by_row", 1, begin, make, end)]
        return await alternate(cases, rounds=ROUNDS, warmups=1, say=progress.say)


def _job(url: str, observer: Connection, count: int) -> Case:
    """Return a seeding process as a case; its campaigns are deleted afterwards."""
    numbers = iter(range(1000))
    name = f"job_{count}"

    async def before() -> None:
        await sample.want(observer, count)

    async def make() -> None:
        command, environment = sample.seeder(url, f"{name}-{next(numbers)}", count)
        await asyncio.to_thread(subprocess.run, command, env=environment, check=True, capture_output=True)

    async def after() -> None:
        if await retiring.retire(observer, sample.POOL, count) != count:
            raise RuntimeError(f"a Job did not create {count} campaigns")
        while await retiring.remove(observer, sample.POOL, count):
            pass
        await sample.vacuum(observer)

    return Case(name, count, before, make, after)


async def _claims(
    claimer: Connection, operator: Connection, warmups: int, count: int, sources: set[str]
) -> list[float]:
    """Claim sequentially and return the seconds of every claim after the warm-up.

    Raises:
        RuntimeError: A claim has an unexpected source or returns a campaign a second time.
    """
    statement = await claimer.prepare(CLAIM)
    seconds: list[float] = []
    claimed: set[str] = set()
    for number in range(warmups + count):
        await pools.begin_waiting(operator, sample.POOL)
        began = time.perf_counter()
        row = await statement.fetchrow(sample.POOL, str(NEW_USER_ID), f"{min(sources)}-{number}")
        seconds.append(time.perf_counter() - began)
        if row is None or row["source"] not in sources or row["campaign_id"] in claimed:
            raise RuntimeError(f"claim {number} returned {row and dict(row)}")
        claimed.add(row["campaign_id"])
    return seconds[warmups:]


async def _empty_pool(connection: Connection) -> None:
    while await connection.fetchval(
        "SELECT count(*) FROM campaign_pool.campaign WHERE state = 'ready'"
    ) and await connection.fetchrow(CLAIM, sample.POOL, str(NEW_USER_ID), None):
        pass


def _figures(jobs: Runs, claims: Sequence[float], clones: Sequence[float]) -> dict[str, Number]:
    return {
        "seconds_per_campaign_job_1": jobs.milliseconds("job_1") / 1000,
        "seconds_per_campaign_job_10": jobs.milliseconds(f"job_{BATCH}") / 1000,
        "seconds_per_campaign_row_by_row": jobs.milliseconds("row_by_row") / 1000,
        "speedup_row_by_row": jobs.ratio("row_by_row", f"job_{BATCH}"),
        "claim_p50_ms": median(claims) * 1000,
        "claim_p99_ms": percentile(claims, 0.99) * 1000,
        "claim_clone_p50_ms": median(clones) * 1000,
        "claim_clone_p99_ms": percentile(clones, 0.99) * 1000,
        "claims": len(claims),
        "claims_clone": len(clones),
    }


def _table(figures: dict[str, Number]) -> str:
    def seconds(name: str) -> float:
        return figures[f"seconds_per_campaign_{name}"] * 1000

    return table(
        ("operation", "median, ms", "p99, ms"),
        [
            ("Job of 1, per campaign", seconds("job_1"), None),
            (f"Job of {BATCH}, per campaign", seconds(f"job_{BATCH}"), None),
            ("row by row, per campaign", seconds("row_by_row"), None),
            ("claim from a filled pool", figures["claim_p50_ms"], figures["claim_p99_ms"]),
            ("claim from an empty pool", figures["claim_clone_p50_ms"], figures["claim_clone_p99_ms"]),
        ],
    )


def _plot(figures: dict[str, Number]) -> Plot:
    waits = {
        "row by row": figures["seconds_per_campaign_row_by_row"] * 1000,
        "claim from an empty pool": figures["claim_clone_p50_ms"],
        "claim from a filled pool": figures["claim_p50_ms"],
    }
    return Plot("How long a user waits for a campaign", {"median": waits})


BENCH = Bench("The pool", "the time of seeding Jobs and of claims", run)
