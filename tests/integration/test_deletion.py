"""Deletion takes the rows that were cloned, and never reaches anything else, whatever foreign keys would do."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

import chiwar
from campaignpool.blueprint import compilation, install
from campaignpool.ledger import pools, retiring
from campaignpool.ledger.database import Connection
from tests.support.ledgers import POOL, claim, filled, installed, spec

pytestmark = pytest.mark.integration
NEW = chiwar.NEW_USER_ID
ACTIONS = ["NO ACTION", "NO ACTION DEFERRABLE INITIALLY DEFERRED", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT"]
HELD = (
    "SELECT root_key, refusal->>'message' AS cause FROM campaign_pool.campaign"
    " WHERE state = 'retiring' ORDER BY root_key"
)


@pytest.fixture
async def connection(chiwar_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(chiwar_url)
    yield connection
    await connection.close()


async def duels(connection: Connection, table: str, action: str) -> None:
    """A table that the blueprint does not know, with a row for each row of another."""
    how, _, later = action.partition(" DEFERRABLE")
    deferrable = f"DEFERRABLE {later.strip()}" if later else ""
    await connection.execute(
        "CREATE TABLE duels (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
        f"of_id uuid REFERENCES {table} (id) ON DELETE {how} {deferrable}); CREATE INDEX ON duels (of_id)"
    )


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("table", ["campaigns", "characters"])
async def test_a_campaign_on_which_other_rows_hang_stays_with_the_cause(
    connection: Connection, table: str, action: str
) -> None:
    await duels(connection, table, action)
    await installed(connection)
    keys = sorted(await filled(connection, "", 4))
    column = "id" if table == "campaigns" else "campaign_id"
    result = f"SELECT id FROM {table} WHERE {column} = $1 ORDER BY id LIMIT 1"
    await connection.execute(f"INSERT INTO duels (of_id) {result}", keys[1])
    before = await connection.fetch("SELECT * FROM duels")

    assert await retiring.retire(connection, POOL, 4) == 4
    removed = [await retiring.remove(connection, POOL, 2) for _ in range(4)]
    assert (sum(removed), removed[-1]) == (3, 0), "what cannot be deleted must not be tried for ever"
    left = await connection.fetch(HELD)
    assert [row["root_key"] for row in left] == [keys[1]]
    assert "duels" in left[0]["cause"]
    assert await connection.fetch("SELECT * FROM duels") == before
    assert await connection.fetchval("SELECT count(*) FROM campaigns WHERE id = ANY ($1::uuid[])", keys) == 1
    assert await chiwar.half_campaigns(connection) == []


async def test_a_campaign_that_was_held_goes_when_nothing_hangs_on_it_any_more(connection: Connection) -> None:
    await duels(connection, "campaigns", "CASCADE")
    await installed(connection)
    (key,) = await filled(connection, "", 1)
    await connection.execute("INSERT INTO duels (of_id) VALUES ($1)", key)
    await retiring.retire(connection, POOL, 1)
    assert await retiring.remove(connection, POOL, 10) == 0
    counts = (await pools.observe(connection, POOL)).owners[""]
    assert (counts.retiring, counts.held) == (1, 1)
    await connection.execute("DELETE FROM duels")
    assert await retiring.remove(connection, POOL, 10) == 0, "not so soon"
    await connection.execute("UPDATE campaign_pool.campaign SET retry_at = now()")
    counts = (await pools.observe(connection, POOL)).owners[""]
    assert (counts.retiring, counts.held) == (1, 0)
    assert await retiring.remove(connection, POOL, 10) == 1
    assert await connection.fetchval("SELECT count(*) FROM campaigns WHERE id = $1", key) == 0


async def test_what_somebody_claimed_keeps_all_that_hangs_on_it(connection: Connection) -> None:
    await duels(connection, "characters", "CASCADE")
    await installed(connection)
    await filled(connection, "", 5)
    claimed = (await claim(connection, NEW))["campaign_id"]
    await connection.execute("INSERT INTO duels (of_id) SELECT id FROM characters WHERE campaign_id = $1", claimed)
    before = await connection.fetchval("SELECT count(*) FROM duels")
    assert before
    await retiring.retire(connection, POOL, 10)
    assert await retiring.remove(connection, POOL, 10) == 4
    assert await connection.fetchval("SELECT count(*) FROM duels") == before
    assert await chiwar.check_clone(connection, claimed) == []
    assert await connection.fetch(HELD) == []


async def test_rows_that_somebody_added_to_a_campaign_of_the_pool_are_not_deleted_unseen(
    connection: Connection,
) -> None:
    """Nobody should write there, but a person who did is informed, and loses nothing."""
    await installed(connection)
    keys = sorted(await filled(connection, "", 2))
    names = "SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns "
    copied = await connection.fetchval(names + "WHERE table_name = 'factions' AND column_name NOT IN ('id')")
    await connection.execute(
        f"INSERT INTO factions (id, {copied}) SELECT gen_random_uuid(), "
        f"{copied.replace('name', 'name || id')} FROM factions WHERE campaign_id = $1 LIMIT 1",
        keys[0],
    )
    await retiring.retire(connection, POOL, 2)
    assert await retiring.remove(connection, POOL, 10) == 1
    assert await retiring.remove(connection, POOL, 10) == 0
    left = await connection.fetch(HELD)
    assert [row["root_key"] for row in left] == [keys[0]]
    assert "factions" in left[0]["cause"]


async def test_what_deletion_meets_is_said_before_the_first_clone(connection: Connection) -> None:
    await duels(connection, "characters", "CASCADE")
    await connection.execute(
        """
        CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$;
        CREATE TRIGGER see BEFORE DELETE ON weapons FOR EACH ROW EXECUTE FUNCTION see();
        """
    )
    wanted = spec()
    assert wanted.blueprint.inline
    compiled = await compilation.compile_blueprint(connection, wanted, wanted.blueprint.inline)
    text = await install.warnings(connection, compiled)
    assert (
        "foreign key duels_of_id_fkey of duels, which is not part of the blueprint, would delete or change rows with "
        "those of characters: a campaign on which they hang stays retiring; where "
        "triggers make them, add the table with `triggerRows: Keep`"
    ) in text
    assert "triggers of weapons fire when campaigns that nobody claimed are deleted: see" in text
    assert not any("duels_of_id_fkey of duels has no index" in item for item in text)
    await connection.execute("DROP INDEX duels_of_id_idx")
    assert (
        "foreign key duels_of_id_fkey of duels has no index, so deleting campaigns reads the whole table: "
        "CREATE INDEX CONCURRENTLY ON duels (of_id)"
    ) in await install.warnings(connection, compiled)
