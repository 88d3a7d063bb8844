"""Helpers: a pool of the sample application in a database, without an operator."""

from pathlib import Path
from typing import Any

import asyncpg
import yaml

from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.blueprint import compilation, install
from campaignpool.ledger import seeding
from campaignpool.ledger.database import Connection
from campaignpool.ledger.migrate import migrate
from tests.support import resources, stock

POOL = "game/chiwar"
MANIFEST: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "examples/chiwar/pool.yaml").read_text())
CLAIM = "SELECT campaign_id, source FROM campaign_pool.claim(pool => $1, claimant => $2, key => $3)"


def spec(**changes: object) -> CampaignPoolSpec:
    """Return the spec of the sample's pool with `changes` at the top level; no revision is kept for going back."""
    rollout = {"revisionHistoryLimit": 0}
    return CampaignPoolSpec.model_validate({**MANIFEST["spec"], "rollout": rollout, **changes})


async def installed(connection: Connection, pool: str = POOL, **changes: object) -> CampaignPoolSpec:
    """Migrate the ledger and install the pool's revision, as the operator would; return the spec."""
    wanted = spec(**changes)
    assert wanted.blueprint.inline
    await migrate(connection)
    compiled = await compilation.compile_blueprint(connection, wanted, wanted.blueprint.inline)
    await resources.put(connection, pool, wanted)
    await install.install(connection, pool, compiled)
    return wanted


async def filled(
    connection: Connection, owner: str, count: int, pool: str = POOL, job: str | None = None
) -> list[str]:
    """Create ready campaigns for an owner and return their keys."""
    job = job or f"fill-{owner or 'master'}-{count}"
    await stock.reserve(connection, pool, job, count, owner)
    while (await seeding.seed(connection, pool, job, 10)).campaigns:
        pass
    rows = await connection.fetch("SELECT root_key FROM campaign_pool.campaign WHERE run = $1", job)
    return [row["root_key"] for row in rows]


async def claim(connection: Connection, claimant: object, key: str | None = None, pool: str = POOL) -> asyncpg.Record:
    """Claim as the application does, and return the row."""
    row = await connection.fetchrow(CLAIM, pool, str(claimant), key)
    assert row
    return row
