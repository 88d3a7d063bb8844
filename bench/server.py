"""The server that is measured, and the sample application in it with any number of campaigns."""

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
    "max_wal_size": "16GB",  # no checkpoint but those that a bench orders
    "checkpoint_timeout": "1d",
    "autovacuum": "off",  # VACUUM runs between the rounds instead
    "jit": "off",
}
"""What differs from Postgres' defaults, beside the embedded server's own; commits are durable."""

POLICY = (
    "The server: embedded Postgres over TCP on the same machine, commits durable (fsync and full_page_writes on), "
    + ", ".join(f"{name} = {value}" for name, value in SETTINGS.items())
    + "."
)
"""How the server is set, for people."""

_BASE = "base"
_FILL_BATCH = 20


@dataclass(frozen=True)
class Server:
    """A running server with a database, ready to be copied, in which the sample application has a clone plan.

    Attributes:
        postgres: The server.
        version: Its version.
        rows: That one campaign takes.
    """

    postgres: EmbeddedPostgres
    version: str
    rows: int

    async def database(
        self, name: str, *, campaigns: int = 0, copy_of: str = _BASE, say: Callable[[str], None] = lambda _: None
    ) -> str:
        """Make a database with at least so many pooled campaigns, all made by the clone function; give its URL.

        Args:
            name: Its name.
            campaigns: How many pooled campaigns it has at the end, those of the copied one included.
            copy_of: The database to start from; nobody may be connected to it.
            say: Is told how far it is.
        """
        url = self.postgres.create_database(name, copy_of)
        async with connected(url, "bench") as connection:
            made = int(await connection.fetchval("SELECT count(*) FROM campaign_pool.campaign"))
            await fill(connection, f"fill-{name}", campaigns - made, say)
            await connection.execute("VACUUM (ANALYZE)")
            await connection.execute("CHECKPOINT")
        return url

    def drop(self, name: str) -> None:
        """Drop a database, whoever is connected."""
        self.postgres.drop_database(name)


async def fill(connection: Connection, job: str, count: int, say: Callable[[str], None]) -> None:
    """Make and publish campaigns in the pool, in batches."""
    left = await seeding.reserve(connection, POOL, job, "", 1, count, 1) if count > 0 else 0
    while left > 0:
        say(f"{count - left} of {count} campaigns")
        left -= (await seeding.seed(connection, POOL, job, _FILL_BATCH)).campaigns


@asynccontextmanager
async def running(settings: Mapping[str, str] = SETTINGS) -> AsyncIterator[Server]:
    """Start the server, with the sample application in it, for the length of a block; its data is deleted after.

    Args:
        settings: What differs from Postgres' defaults.

    Raises:
        CampaignPoolError: A bench is running already; two would measure each other.
    """
    FOLDER.parent.mkdir(exist_ok=True)
    with FOLDER.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CampaignPoolError("a bench is running already: wait for its end") from None
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
    """Give the spec of the sample's pool, as its file has it."""
    path = Path(sys.modules["chiwar"].__file__ or "").with_name("pool.yaml")
    spec: dict[str, Any] = yaml.safe_load(path.read_text())["spec"]
    return spec


async def _prepare(connection: Connection) -> int:
    await chiwar.load(connection)
    await migrate(connection)
    await put_pool(connection, POOL, max_size=10_000)
    await connection.execute("VACUUM (ANALYZE)")
    found = await pools.observe(connection, POOL)
    if found.revision is None:
        raise CampaignPoolError("the pool has no clone plan after its installation")
    return found.revision.rows


async def put_pool(connection: Connection, pool: str, *, max_size: int, root_alone: bool = False) -> None:
    """Make a pool as the sample application's manifest describes it, with a clone plan.

    Args:
        connection: To a database with the sample application and the ledger.
        pool: Its name.
        max_size: How many campaigns it may hold.
        root_alone: Whether a campaign is to be its row in the root table and nothing below it.
    """
    spec = CampaignPoolSpec.model_validate(manifest()).model_copy(update={"max_size": max_size})
    blueprint = spec.blueprint.inline
    if blueprint is None:
        raise CampaignPoolError("pool.yaml has no inline blueprint: the benches need one")
    if root_alone:
        blueprint = blueprint.model_copy(update={"tables": []})
    compiled = await compilation.compile_blueprint(connection, spec, blueprint)
    await pools.put_pool(connection, pool, compiled.root_table, spec)
    await install.install(connection, pool, compiled)


async def vacuum(connection: Connection) -> None:
    """Clear away what was rolled back, so that every round begins with the same tables."""
    await connection.execute(f"VACUUM (INDEX_CLEANUP ON) {', '.join(COLUMNS)}, campaign_pool.campaign")


async def wal(connection: Connection) -> int:
    """Give how many bytes of WAL the server has written in its life."""
    return int(await connection.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))


def seeder(url: str, job: str, count: int) -> tuple[list[str], dict[str, str]]:
    """Give the command and the environment of a whole seeding Job, as its pod has them."""
    words = ["--pool", POOL, "--job", job, "--count", str(count)]
    return [sys.executable, "-m", "campaignpool_seeder", *words], {**os.environ, "CAMPAIGNPOOL_DATABASE_URL": url}
