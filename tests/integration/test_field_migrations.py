"""The application changes its schema under a pool: nothing of ours stands in the way, and clones go on."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

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


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    connection: Connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


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
    found = await connection.fetch("""
        SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND attnum > 0
        JOIN pg_type y ON y.oid = a.atttypid LEFT JOIN pg_collation o ON o.oid = a.attcollation
        WHERE relnamespace = 'campaign_pool'::regnamespace AND relname LIKE 'r1\\_%' AND NOT attisdropped
          AND (typnamespace <> 'pg_catalog'::regnamespace OR collnamespace <> 'pg_catalog'::regnamespace)
    """)
    assert found == []
