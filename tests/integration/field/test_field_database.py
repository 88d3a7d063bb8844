"""What a database sets for everybody, refuses to everybody, or has in our place."""

import asyncpg
import pytest

from campaignpool.blueprint import check
from campaignpool.errors import ConfigurationError
from campaignpool.ledger import database
from campaignpool.ledger.database import Connection
from campaignpool.ledger.migrate import migrate
from tests.support import field, ledgers

pytestmark = pytest.mark.integration

HEROES = """
CREATE TABLE heroes (id serial PRIMARY KEY, campaign_id uuid NOT NULL REFERENCES campaigns, tags text[]);
INSERT INTO heroes (campaign_id, tags) SELECT id, ARRAY['a', NULL] FROM campaigns;
"""
TEXT = field.ROOT + "tables: [{name: heroes}]"
SETTINGS = {
    "quote_all_identifiers": "on",
    "array_nulls": "off",
    "transaction_timeout": "'50ms'",
    "statement_timeout": "'50ms'",
    "default_transaction_isolation": "serializable",
    "standard_conforming_strings": "off",
    "plpgsql.extra_errors": "'all'",
}


async def test_no_setting_of_the_database_changes_what_a_clone_is(database_url: str) -> None:
    first = await asyncpg.connect(database_url)
    await first.execute(field.CAMPAIGNS + HEROES)
    name = await first.fetchval("SELECT quote_ident(current_database())")
    for setting, value in SETTINGS.items():
        if await first.fetchval("SELECT current_setting($1, true)", setting) is not None:
            await first.execute(f"ALTER DATABASE {name} SET {setting} = {value}")
    await first.close()
    connection = await database.connect(database_url, "test")
    spec = field.spec(TEXT)
    assert spec.blueprint.inline
    await check.check(connection, spec, spec.blueprint.inline, campaigns=1, explain=False)
    (key,) = await field.made(connection, TEXT, count=1)
    assert await connection.fetchval("SELECT tags FROM heroes WHERE campaign_id = $1", key) == ["a", None]
    await connection.close()
    application = await asyncpg.connect(database_url)
    assert (await ledgers.claim(application, "me", "request-1"))["campaign_id"] == key
    await application.close()


REFUSE = """
CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'use migrations'; END $$;
CREATE EVENT TRIGGER no_ddl ON ddl_command_start EXECUTE FUNCTION refuse();
"""
LOG = """
CREATE FUNCTION log() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO public.log SELECT object_identity FROM pg_event_trigger_dropped_objects(); END $$;
CREATE EVENT TRIGGER log_drops ON sql_drop EXECUTE FUNCTION log();
"""
NAMED = "event trigger {} of the database refuses what the operator does in the schema campaign_pool .*{}.*: let"


async def test_an_event_trigger_that_refuses_is_named_and_nothing_is_left(connection: Connection) -> None:
    await connection.execute(field.CAMPAIGNS + HEROES + REFUSE)
    with pytest.raises(ConfigurationError, match=NAMED.format("no_ddl", r"raised by function .*refuse\(\)")):
        await migrate(connection)
    spec = field.spec(TEXT)
    assert spec.blueprint.inline
    with pytest.raises(ConfigurationError, match=NAMED.format("no_ddl", r"raised by function .*refuse\(\)")):
        await check.check(connection, spec, spec.blueprint.inline, campaigns=1, explain=False)
    assert await connection.fetchval("SELECT to_regnamespace('campaign_pool')") is None
    await connection.execute(f"DROP EVENT TRIGGER no_ddl; {LOG}")
    with pytest.raises(ConfigurationError, match=NAMED.format("log_drops", 'relation "public.log" does not exist')):
        await check.check(connection, spec, spec.blueprint.inline, campaigns=1, explain=False)
    await connection.execute("CREATE TABLE log (what text)")
    assert len(await field.made(connection, TEXT)) == 2


async def test_a_schema_of_our_name_is_left_alone(connection: Connection) -> None:
    await connection.execute("CREATE SCHEMA campaign_pool; CREATE TABLE campaign_pool.pool (length integer)")
    with pytest.raises(ConfigurationError, match=r"objects that are not the ledger's \(pool\).*: rename that schema"):
        await migrate(connection)
    assert await connection.fetchval("SELECT count(*) FROM pg_class WHERE relname = 'campaign'") == 0


async def test_a_publication_of_all_tables_is_a_warning(connection: Connection) -> None:
    """It publishes the tables of every revision, and a subscriber that does not have them stops."""
    await connection.execute(f"{field.CAMPAIGNS} {HEROES} CREATE PUBLICATION one FOR TABLE heroes")
    spec = field.spec(TEXT)
    assert spec.blueprint.inline
    quiet = await check.check(connection, spec, spec.blueprint.inline, campaigns=0, explain=False)
    assert not [text for text in quiet.warnings if "publication" in text]
    await connection.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    loud = await check.check(connection, spec, spec.blueprint.inline, campaigns=1, explain=False)
    (warning,) = [text for text in loud.warnings if "publication" in text]
    assert warning.startswith("publication everything publishes all tables")
    await field.made(connection, TEXT)
    await ledgers.claim(connection, "me")
    await connection.execute("DELETE FROM campaign_pool.claimed")  # every table of ours has a replica identity
