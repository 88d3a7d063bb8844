"""What changes the signature of a catalog, and what does not."""

import pytest

from campaignpool.blueprint import compilation
from campaignpool.blueprint.catalog import catalog_signature
from campaignpool.ledger.database import Connection
from tests.support import small

pytestmark = pytest.mark.integration

SCHEMA = """
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE DOMAIN score AS varchar(5);
CREATE TYPE colour AS ENUM ('red');
CREATE TYPE place AS (x integer, colour colour);
CREATE TYPE span AS RANGE (subtype = score);
CREATE TABLE worlds (id uuid PRIMARY KEY, name varchar(10), mood mood[], score score, places place[], span span);
CREATE TABLE things (id serial PRIMARY KEY, world_id uuid REFERENCES worlds);
CREATE TABLE others (id serial PRIMARY KEY);
CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER noop BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION noop();
CREATE ROLE signature_reader;
"""
TABLES = ("things", "worlds", "no_such_table", "no name at all")

SAME = (
    "CREATE INDEX ON things (world_id)",
    "CREATE UNIQUE INDEX ON worlds (name)",
    "REINDEX TABLE things",
    "COMMENT ON TABLE things IS 'things'",
    "COMMENT ON COLUMN worlds.name IS 'name'",
    "COMMENT ON TRIGGER noop ON things IS 'nothing'",
    "GRANT SELECT ON worlds, things TO signature_reader",
    "GRANT EXECUTE ON FUNCTION noop() TO signature_reader",
    "ALTER TABLE others ADD COLUMN name text",
    "INSERT INTO worlds VALUES (gen_random_uuid(), 'x')",
    "ANALYZE",
    "ALTER TABLE things ALTER COLUMN id SET STATISTICS 5",
)
OTHER = (
    "ALTER TABLE worlds ADD COLUMN more text",
    "ALTER TABLE worlds ALTER COLUMN name TYPE varchar(11)",
    "ALTER TABLE worlds ALTER COLUMN name SET DEFAULT 'x'",
    "ALTER TABLE worlds ALTER COLUMN name SET NOT NULL",
    "ALTER TABLE worlds RENAME COLUMN name TO title",
    "ALTER TABLE worlds DROP COLUMN name",
    "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'",
    "ALTER TYPE colour RENAME VALUE 'red' TO 'blue'",
    "ALTER TYPE place ADD ATTRIBUTE y integer",
    "ALTER TYPE place DROP ATTRIBUTE x",
    "ALTER TABLE worlds ADD CHECK (name <> '')",
    "ALTER TABLE things DROP CONSTRAINT things_world_id_fkey",
    "ALTER TABLE things DISABLE TRIGGER noop",
    "CREATE OR REPLACE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "ALTER TABLE things ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY mine ON things USING (true)",
    "CREATE RULE gone AS ON DELETE TO things DO INSTEAD NOTHING",
    "CREATE TABLE part () INHERITS (things)",
    "CREATE TABLE no_such_table (id serial)",
    "ALTER TABLE things SET UNLOGGED",
    "ALTER TABLE things RENAME TO stuff",
    "SET search_path = pg_catalog",
)


async def test_only_what_a_clone_depends_on_changes_the_signature(database_url: str) -> None:
    connection = await small.connect(database_url)
    try:
        await connection.execute(SCHEMA)
        before = await catalog_signature(connection, TABLES)
        for statement in SAME:
            await connection.execute(statement)
            assert await catalog_signature(connection, TABLES) == before, statement
        for statement in OTHER:
            assert await changed(connection, statement) != before, statement
        assert await catalog_signature(connection, reversed(TABLES)) == before
    finally:
        await connection.execute("DROP OWNED BY signature_reader; DROP ROLE signature_reader")
        await connection.close()


async def changed(connection: Connection, statement: str) -> str:
    """The signature after a statement, which is rolled back."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(statement)
        return await catalog_signature(connection, TABLES)
    finally:
        await transaction.rollback()


async def test_an_index_makes_no_revision(database_url: str) -> None:
    connection = await small.connect(database_url)
    try:
        await small.made(connection)
        wanted = small.spec()
        assert wanted.blueprint.inline
        before = await compilation.compile_blueprint(connection, wanted, wanted.blueprint.inline)
        await connection.execute("CREATE INDEX ON things (name)")
        after = await compilation.compile_blueprint(connection, wanted, wanted.blueprint.inline)
        assert after.plan_hash == before.plan_hash
        await connection.execute("ALTER TABLE things ADD COLUMN more text")
        other = await compilation.compile_blueprint(connection, wanted, wanted.blueprint.inline)
        assert other.plan_hash != before.plan_hash
    finally:
        await connection.close()
