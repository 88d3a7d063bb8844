"""Schemas nobody wrote: whatever the tables, a clone is what the blueprint says, and nothing else is touched."""

import asyncio
import itertools
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, example, given, settings

from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.blueprint import compilation, install
from campaignpool.errors import BlueprintError
from campaignpool.ledger import pools, retiring, seeding
from campaignpool.ledger.database import Connection
from campaignpool.ledger.migrate import migrate
from campaignpool_local.postgres import EmbeddedPostgres
from tests.support import resources, stock
from tests.support.clones import added, blueprint, clones, expected, read, repeats, statements
from tests.support.worlds import Ref, Shape, World, quoted, worlds

pytestmark = [pytest.mark.integration, pytest.mark.long]
EXAMPLES = int(os.environ.get("CAMPAIGNPOOL_EXAMPLES", "40"))
"""How many worlds: the default is what a push can wait for, 500 and more are for the night."""

COUNTING = """
CREATE SCHEMA counting;
CREATE TABLE counting.statements (name text);
CREATE FUNCTION counting.count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO counting.statements VALUES (TG_TABLE_NAME); RETURN NULL; END $$;
"""
_numbers = itertools.count(1)
_shadow = Shape("game", "_hi", "uuid", "id", (Ref("_hi", 0, required=True), Ref("_keys_0_0", 0, required=True)))
SHADOWS = World(
    "game",
    (Shape("game", "c", "default", "id"), replace(_shadow, anchors=("_hi",), via=True)),
    seed=1,
    clones=2,
)
"""Columns that once met variables of the functions: such campaigns could not be deleted."""


class Session:
    """One database for all examples, and a connection to it."""

    def __init__(self, url: str, runner: asyncio.Runner) -> None:
        self.url, self.runner, self.used = url, runner, 0
        self.connection: Connection = runner.run(asyncpg.connect(url))
        runner.run(migrate(self.connection))
        runner.run(self.connection.execute(COUNTING))

    def hold(self, world: World) -> None:
        """Hold a world; a new connection now and then, for each remembers all tables it ever saw."""
        self.used += 1
        if self.used % 100 == 0:
            self.runner.run(self.connection.execute("VACUUM"))
            self.close()
            self.connection = self.runner.run(asyncpg.connect(self.url))
        self.runner.run(holds(self.connection, world))

    def close(self) -> None:
        """Close the connection."""
        self.runner.run(self.connection.close())


@pytest.fixture(scope="module")
def session(postgres_server: EmbeddedPostgres) -> Iterator[Session]:
    url = postgres_server.create_database("made_up")
    with asyncio.Runner() as runner:
        session = Session(url, runner)
        yield session
        session.close()
    postgres_server.drop_database("made_up")


def spec(world: World) -> CampaignPoolSpec:
    """The resource of a pool for a world."""
    values: dict[str, Any] = {
        "database": {"secretRef": {"name": "x"}},
        "template": {"key": world.key(0, world.rows[0][0])},
        "size": 3,
        "maxSize": 10,
        "blueprint": {"inline": blueprint(world)},
    }
    return CampaignPoolSpec.model_validate(values)


async def holds(connection: Connection, world: World) -> None:
    """Clone a world's template, hold the clones against what was expected, and delete all but one that is claimed."""
    for schema in world.schemas:
        await connection.execute(f"DROP SCHEMA IF EXISTS {quoted(schema)} CASCADE")
    await connection.execute("DELETE FROM campaign_pool.campaign")
    await connection.execute("; ".join(statements(world)))
    before = await read(connection, world)
    pool = f"any/{next(_numbers)}"
    wanted = spec(world)
    assert wanted.blueprint.inline
    compiled = await compilation.compile_blueprint(connection, wanted, wanted.blueprint.inline)
    await resources.put(connection, pool, wanted)
    clone = expected(world)
    if repeats(world, clone):
        with pytest.raises(BlueprintError, match="would hold the same values for every campaign"):
            await install.install(connection, pool, compiled)
        return
    await install.install(connection, pool, compiled)
    await stock.reserve(connection, pool, "job", world.clones)
    await connection.execute("TRUNCATE counting.statements")
    batch = await seeding.seed(connection, pool, "job", world.clones)
    assert batch.campaigns == world.clones

    counted = await connection.fetch("SELECT name, count(*) AS n FROM counting.statements GROUP BY name")
    filled = {shape.name: 1 for shape, rows in zip(world.tables, clone, strict=True) if rows}
    assert {row["name"]: row["n"] for row in counted} == filled
    assert batch.statements <= 2 * len(world.tables)
    roots = await connection.fetch(
        "SELECT root_key FROM campaign_pool.campaign WHERE run = 'job' AND state = 'ready'"
    )
    new = added(before, await read(connection, world))
    for created in clones(world, new, [row["root_key"] for row in roots]):
        assert created == clone
    assert len({row["slug"] for row in new[0]}) == world.clones

    claimed = []
    if world.clones > 1:
        claimed.append(await connection.fetchval("SELECT campaign_id FROM campaign_pool.claim($1, 'me')", pool))
    await resources.close(connection, pool)
    await retiring.retire(connection, pool)
    assert await retiring.remove(connection, pool, world.clones) == world.clones - len(claimed)
    left = added(before, await read(connection, world))
    assert clones(world, left, claimed) == [clone] * len(claimed)
    assert [row["slug"] for row in left[0]] == ["me"] * len(claimed)
    await install.drop_unused(connection, pool)
    await pools.cancel_runs(connection, pool)
    await connection.execute("DELETE FROM campaign_pool.campaign")
    for schema in world.schemas:
        await connection.execute(f"DROP SCHEMA IF EXISTS {quoted(schema)} CASCADE")


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES <= 40,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@example(world=SHADOWS)
@given(world=worlds())
@pytest.mark.timeout(3600)
def test_a_clone_of_any_schema_is_its_template_again(session: Session, world: World) -> None:
    session.hold(world)
