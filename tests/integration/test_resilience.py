"""Fifty runs whose connections are cut and whose server is restarted at random moments: every one ends right."""

import asyncio
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

import chiwar
from campaignpool.errors import TransientError
from campaignpool.ledger import retiring
from campaignpool.ledger.database import Connection
from campaignpool_local.postgres import EmbeddedPostgres
from campaignpool_seeder.arguments import SeedArgs
from campaignpool_seeder.run import run
from tests.support.ledgers import POOL, installed
from tests.support.profile import LONG

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240), pytest.mark.long]
RUNS, COUNT = 50 if LONG else 20, 4
SEEDER = f"campaignpool-seeder {POOL}"
HELD = "SELECT count(*)::int FROM pg_stat_activity WHERE application_name LIKE 'campaignpool-seeder %'"


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """A server of our own: it is restarted. Durable, for a crash must not lose what was committed."""
    with (
        tempfile.TemporaryDirectory(prefix="campaignpool-resilience-") as folder,
        EmbeddedPostgres(Path(folder) / "postgres", durable=True, settings={"max_connections": "30"}) as server,
    ):
        yield server


@pytest.fixture(scope="module")
def url(server: EmbeddedPostgres) -> str:
    async def prepare(url: str) -> None:
        connection = await asyncpg.connect(url)
        await chiwar.load(connection, scale=0.3, campaigns=1)
        await installed(connection, size=900, maxSize=1000, owners=[])
        await connection.close()

    url = server.create_database("game")
    asyncio.run(prepare(url))
    return url


def request(url: str, job: str) -> SeedArgs:
    return SeedArgs(
        url=url,
        pool=POOL,
        job=job,
        number=1,
        count=COUNT,
        generation=1,
        job_size=COUNT,
        linger_seconds=0,
        work_seconds=300,
        batch_size=1,
        fallback="Bisect",
        max_connections=2,
        json_logs=False,
    )


async def cut(url: str) -> None:
    """End the seeders' connections on the server, as an administrator or a failover does."""
    connection = await asyncpg.connect(url)
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1"
    await connection.fetch(query, SEEDER)
    await connection.close()


async def disturbed(server: EmbeddedPostgres, url: str, job: str, chance: random.Random) -> None:
    """Run once, with one or two disturbances; what a Job would do after exit code 75 is done here too."""

    async def quick(seconds: float) -> None:
        await asyncio.sleep(seconds / 10)  # the seeder's own backoff, shortened

    async def disturb() -> None:
        for _ in range(chance.choice([1, 1, 2])):
            # A random moment of the run is the point of the test; nothing waits for anything here.
            await asyncio.sleep(chance.uniform(0.005, 0.15))
            if chance.random() < 0.15:
                await asyncio.to_thread(server.restart, crash=chance.random() < 0.5)
            else:
                await cut(url)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(disturb())
        for _ in range(3):
            try:
                await run(request(url, job), asyncio.Event(), quick)
            except TransientError:
                continue
            break
    await run(request(url, job), asyncio.Event(), quick)


async def state(connection: Connection, job: str) -> tuple[int, int]:
    counts = await connection.fetchrow(
        "SELECT count(*) FILTER (WHERE state = 'ready') AS ready, count(*) FILTER (WHERE state <> 'ready') AS others"
        " FROM campaign_pool.campaign WHERE run = $1",
        job,
    )
    assert counts
    return counts["ready"], counts["others"]


async def test_every_run_ends_right_whatever_is_cut(server: EmbeddedPostgres, url: str) -> None:
    chance = random.Random(7)
    for number in range(RUNS):
        job = f"job-{number}"
        await disturbed(server, url, job, chance)
        connection = await asyncpg.connect(url)
        assert await state(connection, job) == (COUNT, 0), f"run {number}"
        assert await chiwar.half_campaigns(connection) == []
        assert await connection.fetchval(HELD) == 0, "a connection was left behind"
        await retiring.retire(connection, POOL, COUNT)
        assert await retiring.remove(connection, POOL, COUNT) == COUNT
        await connection.close()


async def test_seeders_never_hold_more_than_their_share(url: str) -> None:
    """Six runs at once for a pool that may hold two connections: the others say so and leave it to the retry."""
    most, reasons = 0, set[str]()
    watcher = await asyncpg.connect(url)
    done = asyncio.Event()

    async def watch() -> None:
        nonlocal most
        while not done.is_set():
            most = max(most, await watcher.fetchval(HELD))
            await asyncio.sleep(0)

    async def patient(job: str) -> None:
        async def quick(seconds: float) -> None:
            await asyncio.sleep(seconds / 20)

        while True:
            try:
                await run(request(url, job), asyncio.Event(), quick)
            except TransientError as error:
                reasons.add(error.reason)
                continue
            return

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(patient(f"share-{number}") for number in range(6)))
    done.set()
    await watching
    value = await watcher.fetchval("SELECT count(*) FROM campaign_pool.campaign WHERE run LIKE 'share-%'")
    await watcher.close()
    assert value == 6 * COUNT
    assert most <= 2
    assert reasons <= {"TooManyConnections"}
