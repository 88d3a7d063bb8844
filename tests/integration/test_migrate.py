"""The schema: created, upgraded, left alone by an older release, claimed from during an upgrade."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest

from campaignpool.errors import ConfigurationError
from campaignpool.ledger import sql
from campaignpool.ledger.database import Connection
from campaignpool.ledger.migrate import is_current, migrate
from campaignpool.ledger.sql import File, Schema
from tests.support import small
from tests.support.postgres import NewDatabase
from tests.support.small import POOL, filled

pytestmark = pytest.mark.integration
CLAIM = "SELECT campaign_id FROM campaign_pool.claim($1, 'ann', $2)"

# A table, a column with a constraint, an index, a function that uses them, and one that is not for everybody.
MIGRATION = File(
    "add_notes",
    """
    CREATE TABLE campaign_pool.note (pool_id integer NOT NULL REFERENCES campaign_pool.pool, text text NOT NULL);
    ALTER TABLE campaign_pool.pool ADD COLUMN notes integer NOT NULL DEFAULT 0 CHECK (notes >= 0);
    CREATE INDEX note_pool ON campaign_pool.note (pool_id);
    """,
)
NOTES = File(
    "functions/notes",
    """
    CREATE OR REPLACE FUNCTION campaign_pool.add_note(pool text, note text) RETURNS void
    LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
        INSERT INTO campaign_pool.note SELECT id, $2 FROM campaign_pool.pool WHERE name = $1;
        UPDATE campaign_pool.pool SET notes = notes + 1 WHERE name = $1;
    $$;
    """,
)


def changed(schema: Schema) -> Schema:
    """Return the schema of a later release: a migration, a file of functions more, and another text of a function."""
    files = tuple(
        replace(file, text=file.text.replace("'Claim from another pool.'", "'Claim from another one.'"))
        for file in schema.definitions
    )
    assert files != schema.definitions
    return Schema(schema.release + 1, (*schema.versions, MIGRATION), (*files, NOTES), schema.roles)


NOW = sql.schema()
LATER = changed(NOW)

# Every object of the schema with all that defines it, but the order of columns, which an upgrade cannot change.
DUMP = """
WITH relations AS (
    SELECT oid, relname, relkind, relacl, relowner, reloptions FROM pg_class
    WHERE relnamespace = 'campaign_pool'::regnamespace AND relkind IN ('r', 'v', 'S')
)
SELECT format('relation %s %s %s', relname, relkind, reloptions) FROM relations
UNION ALL SELECT format('column %s.%s %s %s %s %s %s', relname, attname, format_type(atttypid, atttypmod), attnotnull,
                        attidentity, attgenerated, pg_get_expr(adbin, adrelid))
FROM relations JOIN pg_attribute ON attrelid = oid AND attnum > 0 AND NOT attisdropped
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
UNION ALL SELECT format('constraint %s %s', relname, pg_get_constraintdef(c.oid))
FROM pg_constraint c JOIN relations r ON r.oid = c.conrelid
UNION ALL SELECT format('index %s', pg_get_indexdef(indexrelid)) FROM pg_index JOIN relations ON oid = indrelid
UNION ALL SELECT format('view %s %s', relname, pg_get_viewdef(oid)) FROM relations WHERE relkind = 'v'
UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'campaign_pool'::regnamespace
UNION ALL SELECT format('comment %s %s', coalesce(objoid::regprocedure::text, ''), description) FROM pg_description
    WHERE classoid = 'pg_proc'::regclass AND objoid IN (
        SELECT oid FROM pg_proc WHERE pronamespace = 'campaign_pool'::regnamespace)
UNION ALL SELECT format('comment %s %s', relname, description) FROM pg_description JOIN relations ON oid = objoid
UNION ALL SELECT format('right %s %s %s', oid::regprocedure, grantee::regrole, privilege_type)
FROM pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner)))
WHERE pronamespace = 'campaign_pool'::regnamespace
UNION ALL SELECT format('right %s %s %s', relname, grantee::regrole, privilege_type)
FROM relations, aclexplode(coalesce(relacl, acldefault('r', relowner)))
UNION ALL SELECT format('right %s.%s %s %s', relname, attname, grantee::regrole, privilege_type)
FROM relations JOIN pg_attribute ON attrelid = oid AND attacl IS NOT NULL, aclexplode(attacl)
UNION ALL SELECT format('right %s %s', grantee::regrole, privilege_type) FROM pg_namespace, aclexplode(nspacl)
WHERE nspname = 'campaign_pool'
ORDER BY 1
"""


async def dump(connection: Connection) -> list[str]:
    return [row[0] for row in await connection.fetch(DUMP)]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def test_a_schema_is_created_once_whoever_comes_first(database: Connection, database_url: str) -> None:
    assert not await is_current(database)
    connections = [await asyncpg.connect(database_url) for _ in range(4)]
    applied = await asyncio.gather(*map(migrate, connections))
    files = [file.name for file in (*NOW.versions, *NOW.definitions, NOW.roles)]
    assert sorted(name for names in applied for name in names) == sorted(files)
    assert await is_current(database)
    for connection in connections:
        await connection.close()


async def test_an_upgraded_schema_is_the_same_as_a_fresh_one(database: Connection, new_database: NewDatabase) -> None:
    fresh = await asyncpg.connect(new_database())
    await migrate(fresh, LATER)
    await migrate(database, NOW)
    before = await dump(database)
    assert len(before) > 300
    assert await migrate(database, LATER) == ["add_notes", "functions/claiming", "functions/notes"]
    upgraded = await dump(database)
    assert upgraded == await dump(fresh)
    assert upgraded != before
    granted = [line for line in upgraded if line.startswith("right")]
    assert not [line for line in granted if " - " in line], "nobody may because everybody may"
    await fresh.close()


async def test_files_that_did_not_change_are_not_touched(database: Connection) -> None:
    """What sessions have planned is kept."""
    touched = (
        "SELECT proname FROM pg_proc WHERE pronamespace = 'campaign_pool'::regnamespace AND xmin <> ALL ($1::xid[])"
    )
    await migrate(database, NOW)
    seen = [row[0] for row in await database.fetch("SELECT DISTINCT xmin FROM pg_proc")]
    assert await migrate(database, NOW) == []
    assert await database.fetch(touched, seen) == []
    claiming = [file for file in NOW.definitions if file.name != "functions/claiming"]
    other = [file for file in LATER.definitions if file.name == "functions/claiming"]
    await migrate(database, replace(NOW, definitions=(*claiming, *other)))
    names = {row["proname"] for row in await database.fetch(touched, seen)}
    assert "claim" in names
    assert not names & {"slots", "put_pool", "remove"}


async def test_an_older_operator_works_beside_a_newer_schema(database: Connection) -> None:
    await database.execute(small.SCHEMA)
    await migrate(database, LATER)
    newer = await dump(database)
    assert await migrate(database, NOW) == []
    assert await is_current(database)
    await small.put(database, small.spec())
    await filled(database, 2)
    assert await database.fetchval(CLAIM, POOL, "one") == await database.fetchval(CLAIM, POOL, "one")
    await small.put(database, small.spec(2))
    assert await small.inconsistencies(database) == []
    assert not set(newer) - set(await dump(database)) - {line for line in newer if "apply_on_claim" in line}


async def test_a_version_that_was_changed_is_refused(database: Connection) -> None:
    await migrate(database)
    await database.execute("UPDATE campaign_pool.migration SET checksum = 'other' WHERE version = 1")
    with pytest.raises(ConfigurationError, match="differs from this release's") as refused:
        await migrate(database)
    assert refused.value.reason == "LedgerIncompatible"


async def test_a_migration_gives_way_to_a_long_transaction_and_changes_nothing(
    database: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaignpool.ledger.migrate.MIGRATION_LOCK_SECONDS", 0.2)
    await small.made(database)
    await filled(database, 2)
    before = await dump(database)
    long, short, operator = [await asyncpg.connect(database_url) for _ in range(3)]
    transaction = long.transaction()
    await transaction.start()
    await long.fetchval(CLAIM, POOL, "long")
    with pytest.raises(asyncpg.LockNotAvailableError):
        await migrate(operator, LATER)
    assert await short.fetchval(CLAIM, POOL, "short"), "while the long transaction goes on"
    assert await dump(database) == before
    await transaction.commit()
    assert "add_notes" in await migrate(operator, LATER)
    assert await small.inconsistencies(database) == []
    for item in (long, short, operator):
        await item.close()


async def test_claims_go_on_while_the_schema_is_upgraded(database: Connection, database_url: str) -> None:
    await small.made(database)
    await filled(database, 200)
    over = asyncio.Event()
    given: dict[str, str] = {}

    async def client(number: int) -> None:
        # Half of them keep prepared statements, the others send theirs again.
        connection = await asyncpg.connect(database_url, statement_cache_size=0 if number % 2 else 100)
        for turn in range(1000):
            key = f"{number} {turn}"
            given[key] = await connection.fetchval(CLAIM, POOL, key)
            assert await connection.fetchval(CLAIM, POOL, key) == given[key]
            if over.is_set():
                break
        await connection.close()

    clients = [asyncio.create_task(client(number)) for number in range(4)]
    await small.until(lambda: database.fetchval("SELECT count(*) > 8 FROM campaign_pool.claimed"))
    applied: list[str] = []
    while not applied:
        try:
            applied = await migrate(database, LATER)
        except asyncpg.LockNotAvailableError:
            continue
    over.set()
    await asyncio.gather(*clients)
    assert len(set(given.values())) == len(given)
    assert await small.inconsistencies(database) == []
