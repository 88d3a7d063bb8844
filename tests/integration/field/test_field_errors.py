"""Every refusal of the database names what a person needs and no value of a row, and stands in no other's way."""

import logging

import asyncpg
import pytest

from campaignpool import log
from campaignpool.blueprint import compilation, install
from campaignpool.errors import BlueprintError
from campaignpool.ledger import retiring, seeding
from campaignpool.ledger.database import Connection, translated
from tests.support import field, ledgers, stock

pytestmark = pytest.mark.integration

HEROES = f"""
{field.CAMPAIGNS}
CREATE TABLE heroes (
    id serial PRIMARY KEY, campaign_id uuid NOT NULL REFERENCES campaigns, name varchar(12), secret text);
INSERT INTO heroes (campaign_id, name, secret)
    SELECT id, 'h' || n, 'hunter' || n FROM campaigns, generate_series(1, 3) n;
INSERT INTO campaigns (name) VALUES ('Other');
INSERT INTO heroes (campaign_id) SELECT id FROM campaigns, generate_series(1, 500) WHERE name = 'Other';
"""
TABLES = "tables: [{name: heroes}]"
TRIGGER = """
CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {body}
    RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER guard BEFORE {event} ON heroes FOR EACH ROW EXECUTE FUNCTION guard();
"""
KEPT = {
    "a trigger": (
        TRIGGER.format(event="DELETE", body="RAISE EXCEPTION 'hero % stays, isn''t it', OLD.secret;"),
        "hero % stays, isn't it: raised by function guard() at line 3",
    ),
    "a trigger that a migration broke": (
        TRIGGER.format(event="DELETE", body="DELETE FROM no_such_table WHERE id = OLD.id;"),
        'relation "no_such_table" does not exist: raised by function guard() at line 3',
    ),
    "a publication": (
        "ALTER TABLE heroes REPLICA IDENTITY NOTHING; CREATE PUBLICATION p FOR TABLE heroes",
        'cannot delete from table "heroes" because it does not have a replica identity and publishes deletes',
    ),
}


@pytest.mark.parametrize("case", KEPT)
async def test_whatever_refuses_a_deletion_holds_that_campaign_alone(connection: Connection, case: str) -> None:
    schema, cause = KEPT[case]
    await connection.execute(HEROES)
    keys = await field.made(connection, field.ROOT + TABLES, count=3)
    await connection.execute(f"DELETE FROM heroes WHERE campaign_id = '{keys[0]}'")
    await connection.execute(schema)
    await retiring.retire(connection, ledgers.POOL)
    removed = await retiring.remove(connection, ledgers.POOL, 10)
    assert removed == (0 if case == "a publication" else 1)  # which refuses whatever the rows are
    assert await retiring.held(connection, ledgers.POOL) == {cause: 3 - removed}


async def test_what_says_nothing_about_a_campaign_is_raised(connection: Connection) -> None:
    await connection.execute(HEROES)
    await field.made(connection, field.ROOT + TABLES)
    body = "RAISE EXCEPTION 'no space' USING ERRCODE = '53100';"
    await connection.execute(TRIGGER.format(event="DELETE", body=body))
    await retiring.retire(connection, ledgers.POOL)
    with pytest.raises(asyncpg.DiskFullError):
        await retiring.remove(connection, ledgers.POOL, 10)
    assert await retiring.held(connection, ledgers.POOL) == {}


SET = field.ROOT + 'tables: [{name: heroes, set: {name: "%s"}}]'
REFUSED = {
    "a sequence that is behind": (
        "SELECT setval('heroes_id_seq', 1)",
        field.ROOT + TABLES,
        (
            r"table heroes, constraint heroes_pkey: the sequence draws numbers that rows have: "
            r"SELECT setval\('public.heroes_id_seq', \(SELECT max\(id\) FROM public.heroes\)\)"
        ),
    ),
    "an identity that is behind": (
        """
        ALTER TABLE heroes ALTER id DROP DEFAULT; DROP SEQUENCE heroes_id_seq;
        ALTER TABLE heroes ALTER id ADD GENERATED ALWAYS AS IDENTITY
        """,
        field.ROOT + TABLES,
        r"SELECT setval\('public.heroes_id_seq', \(SELECT max\(id\) FROM public.heroes\)\)",
    ),
    "a sequence that has run out": (
        "SELECT setval('heroes_id_seq', 2147483647)",
        field.ROOT + TABLES,
        'reached maximum value of sequence "heroes_id_seq" .* be of type bigint',
    ),
    "a value that is too long": (
        "SELECT 1",
        SET % "name || repeat('x', 11) || (id = 2)",
        r"template's row 1 of public.heroes: value too long for type character varying\(12\): .* sets \(name\)",
    ),
    "a value that no type takes": (
        "SELECT 1",
        SET % "CASE WHEN id = 3 THEN secret::integer END",
        r"""template's row 3 of public.heroes: invalid input syntax for type integer: "…": .* sets \(name\)""",
    ),
    "a trigger that needs a setting of the session": (
        TRIGGER.format(event="INSERT", body="NEW.name := current_setting('app.tenant');"),
        field.ROOT + TABLES,
        r'configuration parameter "app.tenant": .*guard\(\) at line 3.*ALTER ROLE .* SET',
    ),
    "a trigger that refuses": (
        TRIGGER.format(event="INSERT", body="RAISE EXCEPTION 'hero % is unknown', NEW.secret USING HINT = NEW.name;"),
        field.ROOT + TABLES,
        r"template's row 1 of public.heroes: hero % is unknown: raised by function guard\(\) at line 3",
    ),
    "a value that is no name": (
        "SELECT 1",
        SET % "secret::regclass::text",
        'template\'s row 1 of public.heroes: relation "…" does not exist',
    ),
    "a function of the application that fails": (
        """
        CREATE FUNCTION own(value text) RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN RAISE USING MESSAGE = 'no ' || value, ERRCODE = '23514', TABLE = 'heroes', SCHEMA = 'public'; END $$
        """,
        SET % "own(secret)",
        r"an error whose text may hold values \(the server's log has it\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_refusal_before_the_first_clone_says_what_helps(connection: Connection, case: str) -> None:
    schema, text, message = REFUSED[case]
    await connection.execute(HEROES)
    await connection.execute(schema)
    with pytest.raises(BlueprintError, match=message) as refused:
        await field.put(connection, text)
    assert "hunter" not in refused.value.message


async def test_a_run_that_is_refused_names_the_sequence(connection: Connection) -> None:
    """The application inserted rows with keys of its own after the revision was installed."""
    await connection.execute(HEROES)
    await field.put(connection, field.ROOT + TABLES)
    await connection.execute(
        "INSERT INTO heroes SELECT 1000 + n, campaign_id FROM heroes, generate_series(1, 500) n WHERE id = 4"
    )
    await connection.execute("SELECT setval('heroes_id_seq', 1000)")
    await stock.reserve(connection, ledgers.POOL, "job", 1)
    cause = await seeding.diagnose(connection, ledgers.POOL, "job")
    assert cause is not None
    assert "table public.heroes, row 1 of the template, constraint heroes_pkey" in cause
    assert "SELECT setval('public.heroes_id_seq', (SELECT max(id) FROM public.heroes))" in cause


async def test_a_run_that_a_trigger_refuses_shows_its_text_and_no_value(connection: Connection) -> None:
    await connection.execute(HEROES)
    await field.put(connection, field.ROOT + TABLES)
    await connection.execute(TRIGGER.format(event="INSERT", body="RAISE EXCEPTION '% of hero is over', NEW.secret;"))
    await stock.reserve(connection, ledgers.POOL, "job", 1)
    cause = await seeding.diagnose(connection, ledgers.POOL, "job")
    assert cause == "% of hero is over: raised by function guard() at line 3"


async def test_numbers_that_run_out_are_a_warning(connection: Connection) -> None:
    await connection.execute(HEROES)
    spec = field.spec(field.ROOT + TABLES)
    assert spec.blueprint.inline
    compiled = await compilation.compile_blueprint(connection, spec, spec.blueprint.inline)
    assert "numbers left" not in str(await install.warnings(connection, compiled))
    await connection.execute("SELECT setval('heroes_id_seq', 2000000000)")
    (warning,) = [text for text in await install.warnings(connection, compiled) if "numbers left" in text]
    assert warning == (
        "sequence heroes_id_seq has 147,483,647 numbers left for id of heroes, which is of type integer: ALTER TABLE "
        "heroes ALTER COLUMN id TYPE bigint, and ALTER SEQUENCE heroes_id_seq AS bigint, before it runs out"
    )


@pytest.mark.parametrize("formatter", [log.TextFormatter(), log.JsonFormatter()])
async def test_a_traceback_in_a_log_has_no_value(connection: Connection, formatter: logging.Formatter) -> None:
    await connection.execute(HEROES + "ALTER TABLE heroes ADD UNIQUE (secret);")
    try:
        with translated():
            await connection.execute(
                "INSERT INTO heroes SELECT id, campaign_id, name || secret || secret FROM heroes"
            )
    except Exception as error:  # noqa: BLE001 (whatever it is, it is logged)
        long = error
    try:
        await connection.execute("UPDATE heroes SET secret = min FROM (SELECT min(secret) FROM heroes) m")
    except asyncpg.UniqueViolationError as error:
        error.__context__ = long
        trace = (type(error), error, error.__traceback__)
        record = logging.LogRecord("x", logging.ERROR, "", 0, "failed", None, trace)
    text = formatter.format(record)
    assert "hunter" not in text
    assert "test_field_errors.py" in text
    assert "UniqueViolationError: duplicate key value violates unique constraint" in text
    assert "value too long for type character varying(12)" in text
