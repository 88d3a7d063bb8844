"""A small application with cheap campaigns: a world, its three things and its members."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import asyncpg

from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.blueprint import compilation, install
from campaignpool.ledger import seeding
from campaignpool.ledger.database import Connection
from campaignpool.ledger.migrate import migrate
from tests.support import resources, stock

POOL = "game/small"
THINGS = 3
TEMPLATE = "11111111-1111-4111-8111-111111111111"

SCHEMA = f"""
CREATE TABLE worlds (
    id uuid PRIMARY KEY, name text NOT NULL, player text, is_template boolean NOT NULL DEFAULT false
);
CREATE TABLE things (
    id uuid PRIMARY KEY, world_id uuid NOT NULL REFERENCES worlds, name text NOT NULL
);
CREATE INDEX ON things (world_id);
CREATE TABLE members (
    world_id uuid NOT NULL REFERENCES worlds, player text NOT NULL, PRIMARY KEY (world_id, player)
);
INSERT INTO worlds VALUES ('{TEMPLATE}', 'the template', NULL, true);
INSERT INTO things SELECT gen_random_uuid(), '{TEMPLATE}', 'thing ' || n FROM generate_series(1, {THINGS}) n;
"""


def blueprint(version: int = 1) -> dict[str, Any]:
    """Return the blueprint; every version creates another revision."""
    return {
        "root": {"table": "worlds", "set": {"is_template": "false", "name": f"'made by version {version}'"}},
        "tables": [{"name": "things"}],
        "onClaim": {
            "set": {"player": "$claimant", "name": "$name"},
            "insert": [{"table": "members", "values": {"world_id": "$campaign", "player": "$claimant"}}],
        },
    }


def spec(version: int = 1, **changes: object) -> CampaignPoolSpec:
    """Return the spec of the pool."""
    values: Mapping[str, object] = {
        "database": {"secretRef": {"name": "none"}},
        "template": {"where": "is_template"},
        "blueprint": {"inline": blueprint(version)},
        "size": 5,
        "maxSize": 10_000,
        "rollout": {"revisionHistoryLimit": 0},
        **changes,
    }
    return CampaignPoolSpec.model_validate(values)


async def put(connection: Connection, wanted: CampaignPoolSpec, pool: str = POOL) -> None:
    """Write a spec into the ledger and install its revision, as the operator would."""
    assert wanted.blueprint.inline
    compiled = await compilation.compile_blueprint(connection, wanted, wanted.blueprint.inline)
    await resources.put(connection, pool, wanted)
    await install.install(connection, pool, compiled)


async def made(connection: Connection, wanted: CampaignPoolSpec | None = None) -> None:
    """Create the application and its pool in an empty database."""
    await connection.execute(SCHEMA)
    await migrate(connection)
    await put(connection, wanted or spec())


async def filled(connection: Connection, count: int, job: str = "job", owner: str = "") -> None:
    """Create ready campaigns of an owner as a Job would, with a transaction per batch."""
    await stock.reserve(connection, POOL, job, count, owner)
    while (await seeding.seed(connection, POOL, job, 200)).campaigns:
        pass


async def inconsistencies(connection: Connection) -> list[str]:
    """Return the inconsistencies between the application's tables, the ledger and the claims."""
    return [row["fault"] for row in await connection.fetch(_INCONSISTENCIES, THINGS)]


# Every row of the application belongs to exactly one campaign of the ledger, and every campaign has all its rows.
_INCONSISTENCIES = """
WITH live AS (
    SELECT root_key::uuid AS id, 'ledger' AS place, state FROM campaign_pool.campaign
    WHERE state IN ('ready', 'retiring')
    UNION ALL
    SELECT campaign_id::uuid, 'record', 'claimed' FROM campaign_pool.claimed WHERE released_at IS NULL
), twice AS (
    SELECT id FROM live GROUP BY id HAVING count(*) > 1
), whole AS (
    SELECT w.id, w.player, (SELECT count(*) FROM things t WHERE t.world_id = w.id) AS things,
           (SELECT array_agg(m.player ORDER BY m.player) FROM members m WHERE m.world_id = w.id) AS members
    FROM worlds w WHERE NOT w.is_template
)
SELECT 'campaign ' || id || ' is in the ledger twice' AS fault FROM twice
UNION ALL
SELECT 'campaign ' || w.id || ' has ' || w.things || ' things' FROM whole w WHERE w.things <> $1
UNION ALL
SELECT 'campaign ' || w.id || ' is not in the ledger' FROM whole w WHERE NOT EXISTS (
    SELECT FROM live l WHERE l.id = w.id)
UNION ALL
SELECT l.state || ' campaign ' || l.id || ' has no row in the application' FROM live l WHERE NOT EXISTS (
    SELECT FROM whole w WHERE w.id = l.id)
UNION ALL
SELECT 'campaign ' || w.id || ' belongs to ' || coalesce(w.player, 'nobody') || ', not to ' || c.claimant
FROM campaign_pool.claimed c JOIN whole w ON w.id = c.campaign_id::uuid
WHERE c.released_at IS NULL AND (w.player IS DISTINCT FROM c.claimant OR w.members IS DISTINCT FROM ARRAY[c.claimant])
UNION ALL
SELECT 'unclaimed campaign ' || w.id || ' has members' FROM whole w JOIN campaign_pool.campaign c
ON c.root_key = w.id::text WHERE c.state IN ('ready', 'retiring') AND w.members IS NOT NULL
UNION ALL
SELECT 'key ' || key || ' has ' || count(*) || ' claims' FROM (
    SELECT key FROM campaign_pool.claimed WHERE key IS NOT NULL) k
GROUP BY key HAVING count(*) > 1
UNION ALL
SELECT 'things of no world: ' || count(*) FROM things t WHERE NOT EXISTS (
    SELECT FROM worlds w WHERE w.id = t.world_id) HAVING count(*) > 0
"""


async def connect(url: str, **settings: str) -> Connection:
    """Return a connection with server settings."""
    return await asyncpg.connect(url, server_settings=settings or None)


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Poll until the condition returns a truthy value; the test's time-out is the limit."""
    while not await condition():  # noqa: ASYNC110 (a database sends no event)
        await asyncio.sleep(0.001)
