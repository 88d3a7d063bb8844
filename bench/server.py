"""The Postgres server of the benches, and databases of the sample application with any number of campaigns."""

import fcntl
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import chiwar
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.blueprint import compilation, install
from campaignpool.errors import CampaignPoolError
from campaignpool.ledger import pools, seeding
from campaignpool.ledger.database import Connection, connected
from campaignpool.ledger.migrate import migrate
from campaignpool_local.postgres import EmbeddedPostgres
from chiwar.rows import COLUMNS

FOLDER = Path(__file__).parents[1] / ".local" / "bench"
POOL = "bench/chiwar"
SETTINGS = {
    "shared_buffers": "1GB",
    "max_wal_size": "16GB",  # only benches trigger checkpoints
    "checkpoint_timeout": "1d",
    "autovacuum": "off",  # VACUUM runs between the rounds instead
    "jit": "off",
}
"""Settings that differ from Postgres' defaults, besides those of the embedded server; commits are durable."""

POLICY = (
    "Server: embedded Postgres over TCP on the same machine, commits durable (fsync and full_page_writes on), "
    + ", ".join(f"{name} = {value}" for name, value in SETTINGS.items())
    + "."
)
"""The settings of the server as a sentence for reports."""

_BASE = "base"
_FILL_BATCH = 20


@dataclass(frozen=True)
class Server:
    """A running server with a template database, in which the sample application's revision is installed.

    Attributes:
        postgres: The server.
        version: Its version.
        rows: The number of rows of one campaign.
    """

    postgres: EmbeddedPostgres
    version: str
    rows: int

    async def database(
        self, name: str, *, campaigns: int = 0, copy_of: str = _BASE, say: Callable[[str], None] = lambda _: None
    ) -> str:
        """Create a database with ready campaigns, all created by the clone function, and return its URL.

        Args:
            name: The name of the database.
            campaigns: The minimum number of ready campaigns, including those of the template database.
            copy_of: The template database, which must have no connections.
            say: Receives the progress as text.
        """
        url = self.postgres.create_database(name, copy_of)
        async with connected(url, "bench") as connection:
            existing = int(await connection.fetchval("SELECT count(*) FROM campaign_pool.campaign"))
            await fill(connection, f"fill-{name}", campaigns - existing, say)
            await connection.execute("VACUUM (ANALYZE)")
            await connection.execute("CHECKPOINT")
        return url

    def drop(self, name: str) -> None:
        """Drop a database, and terminate its connections."""
        self.postgres.drop_database(name)


_WANT = """
UPDATE campaign_pool.target t
SET share = CASE t.owner WHEN ''
    THEN $2 + (SELECT counting FROM campaign_pool.stock(p.id) WHERE owner = '') ELSE 0 END
FROM campaign_pool.pool p WHERE p.name = $1 AND t.pool_id = p.id
"""


async def want(connection: Connection, count: int, pool: str = POOL) -> None:
    """Let the master pool lack `count` campaigns, and no owner any."""
    await connection.execute(_WANT, pool, count)


async def reserve(connection: Connection, job: str, count: int) -> int:
    """Begin a run of `count` campaigns of the master pool, which wants as many more."""
    await want(connection, count)
    return await seeding.reserve(connection, POOL, job, 1, count, 1)


async def seed(connection: Connection, pool: str, job: str, batch: int) -> int:
    """Create a batch of a run's campaigns and return how many they are.

    Raises:
        CampaignPoolError: The run has none left.
    """
    campaigns = (await seeding.seed(connection, pool, job, batch)).campaigns
    if not campaigns:
        raise CampaignPoolError(f"run {job} of pool {pool} has no campaigns left to create")
    return campaigns


async def fill(connection: Connection, job: str, count: int, say: Callable[[str], None]) -> None:
    """Create and publish campaigns in the pool, in batches."""
    left = await reserve(connection, job, count) if count > 0 else 0
    while left > 0:
        say(f"{count - left} of {count} campaigns")
        left -= await seed(connection, POOL, job, _FILL_BATCH)


@asynccontextmanager
async def running(settings: Mapping[str, str] = SETTINGS) -> AsyncIterator[Server]:
    """Run the server with the sample application for the duration of a block, then delete its data.

    Args:
        settings: Settings that differ from Postgres' defaults.

    Raises:
        CampaignPoolError: Another bench is running; both would slow each other down.
    """
    FOLDER.parent.mkdir(exist_ok=True)
    with FOLDER.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CampaignPoolError("another bench is running: wait until it ends") from None
        shutil.rmtree(FOLDER, ignore_errors=True)
        async with _started(settings) as server:
            yield server


@asynccontextmanager
async def _started(settings: Mapping[str, str]) -> AsyncIterator[Server]:
    try:
        with EmbeddedPostgres(FOLDER, durable=True, settings=dict(settings)) as postgres:
            async with connected(postgres.create_database(_BASE), "bench") as connection:
                rows = await _prepare(connection)
                version = str(await connection.fetchval("SHOW server_version"))
            yield Server(postgres, version, rows)
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)


def manifest() -> dict[str, Any]:
    """Return the spec of the sample's pool from pool.yaml."""
    path = Path(sys.modules["chiwar"].__file__ or "").with_name("pool.yaml")
    spec: dict[str, Any] = yaml.safe_load(path.read_text())["spec"]
    return spec


async def _prepare(connection: Connection) -> int:
    await chiwar.load(connection)
    await migrate(connection)
    await put_pool(connection, POOL, max_size=10_000)
    await connection.execute("VACUUM (ANALYZE)")
    ledger = await pools.observe(connection, POOL)
    if ledger.revision is None:
        raise CampaignPoolError("the pool has no revision after its installation")
    return ledger.revision.rows


async def put_pool(connection: Connection, pool: str, *, max_size: int, root_alone: bool = False) -> None:
    """Create a pool from the sample application's manifest and install its revision.

    Args:
        connection: A connection to a database with the sample application and the ledger.
        pool: The name of the pool.
        max_size: The `maxSize` of the pool.
        root_alone: Whether a campaign consists only of its row in the root table.
    """
    spec = CampaignPoolSpec.model_validate(manifest()).model_copy(update={"max_size": max_size})
    blueprint = spec.blueprint.inline
    if blueprint is None:
        raise CampaignPoolError("pool.yaml has no inline blueprint, which the benches need")
    if root_alone:
        blueprint = blueprint.model_copy(update={"tables": []})
    compiled = await compilation.compile_blueprint(connection, spec, blueprint)
    await pools.put_pool(connection, pool, "bench", spec)
    await install.install(connection, pool, compiled)


async def vacuum(connection: Connection) -> None:
    """Remove the rows of rolled back transactions, so that every round starts with the same tables."""
    await connection.execute(f"VACUUM (INDEX_CLEANUP ON) {', '.join(COLUMNS)}, campaign_pool.campaign")


async def wal(connection: Connection) -> int:
    """Return the number of bytes of WAL that the server has written so far."""
    return int(await connection.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))


def seeder(url: str, job: str, count: int) -> tuple[list[str], dict[str, str]]:
    """Return the command and the environment of a seeding Job's pod."""
    arguments = ["--pool", POOL, "--job", job, "--count", str(count)]
    return [sys.executable, "-m", "campaignpool_seeder", *arguments], {**os.environ, "CAMPAIGNPOOL_DATABASE_URL": url}
