"""Deleting pooled campaigns: never a row that was not cloned, whatever foreign keys would do with it."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from campaignpool.api import blueprint
from campaignpool.api.spec import BlueprintSource
from campaignpool.blueprint import compilation, install
from campaignpool.ledger import retiring
from campaignpool.ledger.database import Connection
from campaignpool.ledger.migrate import migrate
from tests.support import ledgers, resources

pytestmark = pytest.mark.integration

SCHEMA = """
CREATE TABLE worlds (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text, is_template boolean);
CREATE TABLE heroes (
    id bigserial PRIMARY KEY,
    world_id uuid NOT NULL REFERENCES worlds ON DELETE CASCADE,
    friend_id bigint REFERENCES heroes ON DELETE SET NULL
);
CREATE INDEX ON heroes (world_id);
CREATE TABLE visits (world_id uuid REFERENCES worlds ON DELETE CASCADE, note text);
CREATE TABLE fans (hero_id bigint REFERENCES heroes ON DELETE SET NULL);
CREATE TABLE debts (world_id uuid REFERENCES worlds);
CREATE TABLE late (world_id uuid REFERENCES worlds DEFERRABLE INITIALLY DEFERRED);
INSERT INTO worlds (name, is_template) VALUES ('Master', true), ('Other', false);
INSERT INTO heroes (world_id) SELECT id FROM worlds, generate_series(1, 3);
UPDATE heroes SET friend_id = id;
"""
BLUEPRINT = """
root: {table: worlds, set: {is_template: "false"}}
tables: [{name: heroes}]
"""
ALL = "SELECT (SELECT count(*) FROM worlds), (SELECT count(*) FROM heroes)"


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    """A connection to a database with a pool of which four campaigns are ready."""
    connection: Connection = await asyncpg.connect(database_url)
    await connection.execute(SCHEMA)
    source = BlueprintSource(inline=blueprint.parse(BLUEPRINT, "text"))
    spec = ledgers.spec(template={"where": "is_template"}, blueprint=source)
    assert spec.blueprint.inline
    await migrate(connection)
    compiled = await compilation.compile_blueprint(connection, spec, spec.blueprint.inline)
    await resources.put(connection, ledgers.POOL, spec)
    await install.install(connection, ledgers.POOL, compiled)
    await ledgers.filled(connection, "", 4)
    await retiring.retire(connection, ledgers.POOL, 4)
    yield connection
    await connection.close()


async def causes(connection: Connection) -> dict[str, str]:
    """Why campaigns were not deleted, by the key of their root."""
    query = "SELECT root_key, refusal ->> 'message' AS cause FROM campaign_pool.campaign WHERE state = 'retiring'"
    return {row["root_key"]: row["cause"] for row in await connection.fetch(query)}


@pytest.mark.parametrize(
    ("hang", "cause"),
    [
        ("INSERT INTO visits VALUES ($1, 'mine')", "rows of public.visits reference it by visits_world_id_fkey"),
        ("INSERT INTO fans SELECT id FROM heroes WHERE world_id = $1", "rows of public.fans reference it"),
        ("INSERT INTO debts VALUES ($1)", 'violates foreign key constraint "debts_world_id_fkey"'),
        ("INSERT INTO late VALUES ($1)", 'violates foreign key constraint "late_world_id_fkey"'),
        ("INSERT INTO heroes (world_id) VALUES ($1)", "public.heroes has 1 rows that are part of the campaign"),
        (
            "UPDATE heroes SET friend_id = (SELECT min(id) FROM heroes WHERE world_id = $1) WHERE id = 1",
            "rows of public.heroes reference it by heroes_friend_id_fkey",
        ),
    ],
)
async def test_a_campaign_on_which_others_hang_stays_and_the_others_go(
    connection: Connection, hang: str, cause: str
) -> None:
    (key,) = (await connection.fetchrow("SELECT min(root_key) FROM campaign_pool.campaign")) or ("",)
    await connection.execute(hang, key)
    tables = ("visits", "fans", "debts", "late")
    before = {table: await connection.fetch(f"SELECT * FROM {table}") for table in tables}
    assert await retiring.remove(connection, ledgers.POOL, 10) == 3
    result = await causes(connection)
    assert list(result) == [key]
    assert cause in result[key]
    assert {table: await connection.fetch(f"SELECT * FROM {table}") for table in tables} == before
    assert await connection.fetchval("SELECT count(*) FROM heroes WHERE world_id = $1", key) >= 3
    assert await retiring.remove(connection, ledgers.POOL, 10) == 0


async def test_it_is_tried_again_after_a_while(connection: Connection) -> None:
    (key,) = (await connection.fetchrow("SELECT min(root_key) FROM campaign_pool.campaign")) or ("",)
    await connection.execute("INSERT INTO visits VALUES ($1)", key)
    assert await retiring.remove(connection, ledgers.POOL, 1) == 1
    assert await retiring.remove(connection, ledgers.POOL, 10) == 2
    await connection.execute("DELETE FROM visits")
    assert await retiring.remove(connection, ledgers.POOL, 10) == 0
    await connection.execute("UPDATE campaign_pool.campaign SET retry_at = now() - interval '1 second'")
    assert await retiring.remove(connection, ledgers.POOL, 10) == 1
    assert tuple(await connection.fetchrow(ALL) or ()) == (2, 6)


async def test_a_table_that_came_after_the_plan_is_seen(connection: Connection) -> None:
    await connection.execute("CREATE TABLE notes (world_id uuid REFERENCES worlds ON DELETE CASCADE)")
    await connection.execute("INSERT INTO notes SELECT root_key::uuid FROM campaign_pool.campaign")
    assert await retiring.remove(connection, ledgers.POOL, 10) == 0
    assert len(await causes(connection)) == 4
    assert await connection.fetchval("SELECT count(*) FROM notes") == 4


async def test_a_row_that_is_added_meanwhile_is_waited_for(connection: Connection, database_url: str) -> None:
    """A transaction that adds a row to a campaign is either first, and seen, or finds the campaign gone."""
    key = await connection.fetchval("SELECT min(root_key) FROM campaign_pool.campaign")
    other: Connection = await asyncpg.connect(database_url)
    transaction = other.transaction()
    await transaction.start()
    await other.execute("INSERT INTO visits VALUES ($1, 'first')", key)
    await connection.execute("SET lock_timeout = '100ms'")
    with pytest.raises(asyncpg.LockNotAvailableError):
        await retiring.remove(connection, ledgers.POOL, 10)
    await transaction.commit()
    await other.close()
    assert await retiring.remove(connection, ledgers.POOL, 10) == 3
    assert await connection.fetchval("SELECT count(*) FROM visits") == 1
