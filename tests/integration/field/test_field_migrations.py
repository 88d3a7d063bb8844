"""The application changes its schema under a pool: nothing of ours stands in the way, and clones go on."""

import asyncpg
import pytest

from campaignpool.blueprint import install
from campaignpool.ledger import retiring
from campaignpool.ledger.database import Connection
from tests.support import field, ledgers

pytestmark = pytest.mark.integration

TYPES = f"""
{field.CAMPAIGNS}
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TYPE place AS (x integer, at timestamptz);
CREATE TYPE span AS RANGE (subtype = integer);
CREATE DOMAIN score AS integer CHECK (VALUE >= 0);
CREATE COLLATION odd (provider = libc, locale = 'C');
CREATE TABLE heroes (
    id serial PRIMARY KEY, campaign_id uuid NOT NULL REFERENCES campaigns, mood mood, moods mood[], points score,
    scores score[], place place, span span, name text COLLATE odd);
INSERT INTO heroes (campaign_id, mood, moods, points, scores, place, span, name)
SELECT id, 'sad', '{{sad,glad}}', 3, '{{1,2}}', '(1,2026-01-01)', '[1,5)', 'N' FROM campaigns;
"""
TABLES = """tables: [{name: heroes, set: {name: "name || mood || points || (place).x", points: points + 1}}]"""


async def test_types_of_the_application_can_be_changed_and_dropped(connection: Connection) -> None:
    await connection.execute(TYPES)
    keys = await field.made(connection, field.ROOT + TABLES)
    values = (
        "SELECT mood::text, moods::text, points, scores::text, place, span::text, name FROM heroes WHERE campaign_id"
    )
    was = await connection.fetchrow(f"{values} = $1", keys[0])
    assert was
    assert tuple(was) == ("sad", "{sad,glad}", 4, "{1,2}", was["place"], "[1,5)", "Nsad31")
    # What Prisma, Alembic and Ecto write to take a value out of an enum.
    await connection.execute("""
        CREATE TYPE mood_new AS ENUM ('sad', 'calm', 'glad');
        ALTER TABLE heroes ALTER COLUMN mood TYPE mood_new USING mood::text::mood_new,
            ALTER COLUMN moods TYPE mood_new[] USING moods::text::mood_new[];
        DROP TYPE mood;
        ALTER TYPE mood_new RENAME TO mood;
        ALTER TABLE heroes ALTER COLUMN points TYPE integer;
        ALTER TABLE heroes ALTER COLUMN scores TYPE integer[];
        DROP DOMAIN score;
        ALTER TABLE heroes ALTER COLUMN name TYPE text COLLATE "default";
        DROP COLLATION odd;
        ALTER TABLE heroes DROP COLUMN span;
        DROP TYPE span;
    """)
    await field.put(connection, field.ROOT + TABLES)
    (key,) = await ledgers.filled(connection, "", 1)
    now = await connection.fetchrow(f"{values.replace('span::text, ', '')} = $1", key)
    assert tuple(now or ()) == ("sad", "{sad,glad}", 4, "{1,2}", was["place"], "Nsad31")


async def test_no_table_of_ours_has_a_type_or_collation_that_is_not_of_postgres(connection: Connection) -> None:
    await connection.execute(TYPES)
    await field.put(connection, field.ROOT + TABLES)
    rows = await connection.fetch("""
        SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND attnum > 0
        JOIN pg_type y ON y.oid = a.atttypid LEFT JOIN pg_collation o ON o.oid = a.attcollation
        WHERE relnamespace = 'campaign_pool'::regnamespace AND relname LIKE 'r1\\_%' AND NOT attisdropped
          AND (typnamespace <> 'pg_catalog'::regnamespace OR collnamespace <> 'pg_catalog'::regnamespace)
    """)
    assert rows == []


DROPPED = {
    "a table": ("DROP TABLE weapons", {"heroes": 3}),
    "a table in a circle": ("ALTER TABLE heroes DROP COLUMN weapon_id; DROP TABLE weapons", {"heroes": 3}),
    "a column that anchors": ("ALTER TABLE weapons DROP COLUMN campaign_id", {"heroes": 3, "weapons": 9}),
    "a table that is renamed without a key": (
        "ALTER TABLE weapons DROP CONSTRAINT weapons_campaign_id_fkey; ALTER TABLE weapons RENAME TO arms",
        {"heroes": 3, "arms": 9},
    ),
    "the root": ("DROP TABLE campaigns CASCADE", {"heroes": 3, "weapons": 3}),
}
TWO = f"""
{field.CAMPAIGNS}
CREATE TABLE heroes (id serial PRIMARY KEY, campaign_id uuid NOT NULL REFERENCES campaigns, name text);
CREATE TABLE weapons (id serial PRIMARY KEY, campaign_id uuid NOT NULL REFERENCES campaigns, name text);
INSERT INTO heroes (campaign_id, name) SELECT id, 'h' || n FROM campaigns, generate_series(1, 3) n;
INSERT INTO weapons (campaign_id, name) SELECT id, 'w' || n FROM campaigns, generate_series(1, 3) n;
"""


@pytest.mark.parametrize("case", DROPPED)
async def test_campaigns_are_removed_although_tables_or_columns_are_gone(connection: Connection, case: str) -> None:
    migration, left = DROPPED[case]
    await connection.execute(TWO)
    if case == "a table in a circle":
        await connection.execute("""
            ALTER TABLE heroes ADD COLUMN weapon_id integer REFERENCES weapons;
            ALTER TABLE weapons ADD COLUMN hero_id integer REFERENCES heroes;
            UPDATE heroes SET weapon_id = id; UPDATE weapons SET hero_id = id;
        """)
    await field.made(connection, field.ROOT + "tables: [{name: heroes}, {name: weapons}]")
    await connection.execute(migration)
    await retiring.retire(connection, ledgers.POOL)
    assert await retiring.remove(connection, ledgers.POOL, 10) == 2
    assert {name: await connection.fetchval(f"SELECT count(*) FROM {name}") for name in left} == left


async def test_a_campaign_that_a_renamed_table_refers_to_is_held_with_its_cause(connection: Connection) -> None:
    await connection.execute(TWO)
    keys = await field.made(connection, field.ROOT + "tables: [{name: heroes}, {name: weapons}]")
    await connection.execute(f"ALTER TABLE weapons RENAME TO arms; DELETE FROM arms WHERE campaign_id = '{keys[0]}'")
    await retiring.retire(connection, ledgers.POOL)
    assert await retiring.remove(connection, ledgers.POOL, 10) == 1
    ((cause, count),) = (await retiring.held(connection, ledgers.POOL)).items()
    assert (count, "arms" in cause) == (1, True)


RENAMED = {
    "a table": ("ALTER TABLE weapons RENAME TO arms", "{name: heroes}, {name: arms}"),
    "a column": ("ALTER TABLE weapons RENAME COLUMN campaign_id TO world_id", "{name: heroes}, {name: weapons}"),
    "the type of the key": (
        """
        ALTER TABLE heroes DROP CONSTRAINT heroes_campaign_id_fkey;
        ALTER TABLE weapons DROP CONSTRAINT weapons_campaign_id_fkey;
        ALTER TABLE campaigns ALTER id TYPE text; ALTER TABLE heroes ALTER campaign_id TYPE text;
        ALTER TABLE weapons ALTER campaign_id TYPE text;
        ALTER TABLE heroes ADD FOREIGN KEY (campaign_id) REFERENCES campaigns;
        ALTER TABLE weapons ADD FOREIGN KEY (campaign_id) REFERENCES campaigns
        """,
        "{name: heroes}, {name: weapons}",
    ),
    "a schema": ("CREATE SCHEMA game; ALTER TABLE weapons SET SCHEMA game", "{name: heroes}, {name: game.weapons}"),
}


@pytest.mark.parametrize("case", RENAMED)
async def test_campaigns_are_removed_although_a_name_has_changed(connection: Connection, case: str) -> None:
    """The blueprint follows the migration, and its revision knows the new name."""
    migration, tables = RENAMED[case]
    await connection.execute(TWO)
    await field.made(connection, field.ROOT + "tables: [{name: heroes}, {name: weapons}]")
    await connection.execute(migration)
    await field.put(connection, f"{field.ROOT}tables: [{tables}]")
    await retiring.retire(connection, ledgers.POOL)
    assert await retiring.remove(connection, ledgers.POOL, 10) == 2
    assert await connection.fetchval("SELECT count(*) FROM heroes") == 3
    assert await connection.fetchval("SELECT count(*) FROM campaigns") == 1


@pytest.mark.parametrize("referred", ["REFERENCES campaigns", ""])
async def test_a_trigger_that_keeps_deleted_rows_holds_the_campaign(connection: Connection, referred: str) -> None:
    await connection.execute(f"""
        {field.CAMPAIGNS}
        CREATE TABLE heroes (id serial PRIMARY KEY, campaign_id uuid NOT NULL {referred}, deleted_at timestamptz);
        INSERT INTO heroes (campaign_id) SELECT id FROM campaigns, generate_series(1, 3) n;
        CREATE FUNCTION soft() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN UPDATE heroes SET deleted_at = now() WHERE id = OLD.id; RETURN NULL; END $$;
        CREATE TRIGGER soft BEFORE DELETE ON heroes FOR EACH ROW EXECUTE FUNCTION soft();
    """)
    await field.made(connection, field.ROOT + "tables: [{name: heroes, references: {campaign_id: campaigns}}]")
    await retiring.retire(connection, ledgers.POOL)
    assert await retiring.remove(connection, ledgers.POOL, 10) == 0
    ((cause, count),) = (await retiring.held(connection, ledgers.POOL)).items()
    assert (count, "heroes" in cause) == (2, True)


async def test_the_databases_owner_reads_all_of_ours_after_every_revision(connection: Connection) -> None:
    await connection.execute(TWO)
    name = await connection.fetchval("SELECT current_database()")
    owner = f"owner_of_{name}"
    await connection.execute(f"CREATE ROLE {owner}; ALTER DATABASE {name} OWNER TO {owner}")
    try:
        for tables in ("{name: heroes}", "{name: heroes}, {name: weapons}"):
            await field.put(connection, f"{field.ROOT}tables: [{tables}]")
            await connection.execute(f"SET ROLE {owner}")
            ours = (
                "SELECT oid::regclass::text AS name FROM pg_class WHERE relnamespace = 'campaign_pool'::regnamespace"
            )
            for row in await connection.fetch(f"{ours} AND relkind IN ('r', 'v', 'S')"):
                await connection.execute(f"SELECT FROM {row['name']}")
            await connection.execute("RESET ROLE")
    finally:
        await connection.execute(f"RESET ROLE; ALTER DATABASE {name} OWNER TO CURRENT_USER; DROP OWNED BY {owner}")
        await connection.execute(f"DROP ROLE {owner}")


async def test_a_dump_that_reads_an_old_revision_keeps_no_claim_waiting(
    connection: Connection, database_url: str
) -> None:
    await connection.execute(TWO)
    await field.put(connection, field.ROOT + "tables: [{name: heroes}]")
    await field.made(connection, field.ROOT + "tables: [{name: weapons}]", count=1)
    # A wait for the dump would be an error.
    await connection.execute("SET lock_timeout = '1s'")
    dump = await asyncpg.connect(database_url)
    async with dump.transaction():
        await dump.execute("LOCK TABLE campaign_pool.r1_1 IN ACCESS SHARE MODE")
        assert await install.drop_unused(connection, ledgers.POOL) == 0
        assert (await ledgers.claim(connection, "me"))["source"] == "master"
        assert await connection.fetchval("SELECT to_regclass('campaign_pool.r1_0') IS NOT NULL")
    await dump.close()
    assert await install.drop_unused(connection, ledgers.POOL) == 1
    assert await connection.fetchval("SELECT to_regclass('campaign_pool.r1_0') IS NULL")
