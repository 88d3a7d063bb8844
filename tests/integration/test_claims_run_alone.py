"""What claims write is part of `claim` only where nothing of the application runs along; the operator keeps it so."""

import asyncio

import pytest

from campaignpool.blueprint import compilation, install
from campaignpool.errors import TransientError
from campaignpool.ledger import pools
from campaignpool.ledger.database import Connection, translated
from tests.support import small
from tests.support.claim_text import WORLD, brought, changed, claim
from tests.support.small import POOL, filled

pytestmark = pytest.mark.integration

SEEN = """
CREATE TABLE seen (setting text);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO seen VALUES (current_setting('enable_seqscan')); RETURN NEW; END $$;
CREATE FUNCTION mine(name text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN INSERT INTO seen VALUES (current_setting('enable_seqscan')); RETURN name; END $$;
CREATE FUNCTION mine(name text, other text) RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT mine(name); END;
CREATE OPERATOR ~!~ (LEFTARG = text, RIGHTARG = text, FUNCTION = mine);
CREATE TYPE named AS (name text);
CREATE FUNCTION mine(name named) RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT mine(name.name); END;
CREATE CAST (named AS text) WITH FUNCTION mine(named);
CREATE FUNCTION "left"(name varchar, most integer) RETURNS text LANGUAGE sql AS $$ SELECT 'hidden' $$;
CREATE FUNCTION still(name text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT name $$;
"""
ALONG = {
    "a trigger of the root": (
        "CREATE TRIGGER see BEFORE UPDATE ON worlds FOR EACH ROW EXECUTE FUNCTION see()",
        {},
    ),
    "a constraint": ("ALTER TABLE members ADD CHECK (mine(player) <> '')", {}),
    "a function": ("", {"set": {"player": "$claimant", "name": "mine($name)"}}),
}


@pytest.mark.parametrize("along", ALONG)
async def test_what_else_of_the_application_runs_along_is_planned_as_the_application_has_it(
    connection: Connection, along: str
) -> None:
    """`claim` keeps the planner from reading its own tables through; the revision's functions set that back."""
    made, rules = ALONG[along]
    await connection.execute(SEEN + made)
    await small.put(connection, small.spec(blueprint=changed(**rules)))
    assert "worlds" not in await brought(connection)
    await filled(connection, 1)
    await connection.execute("DELETE FROM seen")
    for name in ("ready", "of an empty pool: cloned"):
        world = await connection.fetchrow(WORLD, await claim(connection, name=name))
        assert tuple(world or ()) == (name, "ann")
    assert [row["setting"] for row in await connection.fetch("SELECT * FROM seen")] == ["on", "on"]
    assert not await small.wrong(connection)


async def test_a_rule_that_keeps_some_rows_as_they_are_keeps_no_claim_from_its_campaign(
    connection: Connection,
) -> None:
    await connection.execute("CREATE RULE keep AS ON UPDATE TO worlds WHERE old.is_template DO INSTEAD NOTHING")
    await filled(connection, 2)
    await claim(connection)  # a part of the claim still: the rule came later
    await small.put(connection, small.spec())
    assert "worlds" not in await brought(connection)
    await claim(connection)
    assert not await small.wrong(connection)


MORE = (
    "CREATE TRIGGER see BEFORE INSERT ON members FOR EACH ROW EXECUTE FUNCTION see()",
    "CREATE RULE see AS ON UPDATE TO worlds DO ALSO INSERT INTO seen VALUES ('on')",
    "ALTER TABLE members ADD note text DEFAULT mine('')",
    "CREATE DOMAIN ours AS text CHECK (mine(VALUE) <> ''); CREATE DOMAIN mine AS ours; ALTER TABLE worlds ADD x mine",
    "CREATE DOMAIN ours AS text DEFAULT mine(''); ALTER TABLE members ADD note ours",
    "CREATE DOMAIN ours AS text CHECK (mine(VALUE) <> ''); ALTER TABLE worlds ADD x ours[]",
    "CREATE DOMAIN ours AS text CHECK (mine(VALUE) <> ''); CREATE TYPE one AS (x ours); ALTER TABLE worlds ADD x one",
    "ALTER TABLE worlds ADD UNIQUE (name); CREATE TABLE maps (world text REFERENCES worlds (name) ON UPDATE CASCADE)",
    """
    CREATE TYPE mood AS ENUM ('calm'); ALTER TABLE worlds ALTER player TYPE mood USING NULL;
    CREATE FUNCTION mood(player text) RETURNS mood LANGUAGE plpgsql AS $$ BEGIN RETURN mine('calm'); END $$;
    CREATE CAST (text AS mood) WITH FUNCTION mood(text) AS ASSIGNMENT;
    """,
    "CREATE INDEX ON worlds (still(name))",
    "CREATE INDEX ON worlds (name) WHERE still(name) = 'x'",
    "ALTER TABLE worlds ADD also text GENERATED ALWAYS AS (still(name)) STORED",
    "ALTER TABLE members ENABLE ROW LEVEL SECURITY",
    "CREATE TABLE more () INHERITS (worlds)",
)
NAMES = (
    "$name ~!~ ''",
    "CAST(CAST(ROW($name) AS named) AS text)",
    "public . mine($name)",
    "$name /* it's */ || mine('a') /* that's */",
    "$name -- it's\n",
    "left($name, 3)",
    "(SELECT $name || count(*) FROM worlds)",
    # A word that would be a variable of the claim if its column were dropped.
    "upper(name)",
    "$name || Source",
    "$name || t.key",
)


async def test_what_stays_in_the_revisions_function(connection: Connection) -> None:
    await connection.execute(SEEN + "ALTER TABLE worlds ADD source text DEFAULT '', ADD key text DEFAULT ''")

    async def part(made: str = "SELECT", **rules: object) -> object:
        spec = small.spec(blueprint=changed(**rules))
        assert spec.blueprint.inline
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(made)
        compiled = await compilation.compile_blueprint(connection, spec, spec.blueprint.inline)
        await transaction.rollback()
        return compiled.claim_part(POOL)

    assert await part()
    assert await part(set={})
    assert await part("CREATE INDEX ON worlds (lower(name)); ALTER TABLE worlds ADD CHECK (length(name) > 0)")
    assert await part("CREATE TABLE maps (world uuid REFERENCES worlds ON UPDATE CASCADE)")
    assert await part(set={"player": "$claimant", "name": "right($name, 3)"})
    for made in MORE:
        assert await part(made) is None, made
    for name in NAMES:
        assert await part(set={"player": "$claimant", "name": name}) is None, name


async def test_what_reads_other_tables_is_planned_as_the_application_has_it(connection: Connection) -> None:
    await connection.execute("CREATE TABLE titles (title text); INSERT INTO titles VALUES ('Sir ')")
    name = "(SELECT title FROM titles) || $name || current_setting('enable_seqscan')"
    await small.put(connection, small.spec(blueprint=changed(set={"player": "$claimant", "name": name})))
    assert "titles" not in await brought(connection)
    await filled(connection, 1)
    world = await connection.fetchrow(WORLD, await claim(connection, name="Ann "))
    assert tuple(world or ()) == ("Sir Ann on", "ann")


REVISIONS = "SELECT array_agg(id ORDER BY id) FROM campaign_pool.revision"


async def looked(connection: Connection) -> bool:
    """Look as the operator does in each of its loops, and say whether there was something to install."""
    spec = small.spec()
    assert spec.blueprint.inline
    with translated():
        compiled = await compilation.compile_blueprint(connection, spec, spec.blueprint.inline)
        revision = (await pools.observe(connection, POOL)).revision
        assert revision
        if not compiled.outdates(POOL, revision.claim_part):
            return False
        assert not await install.install(connection, POOL, compiled)
    return True


async def test_the_operator_sees_what_came_or_went_later_and_makes_no_new_revision(connection: Connection) -> None:
    """A trigger on updates is no part of what a clone depends on, and neither is what an older release left out."""

    assert not await looked(connection)
    before = await connection.fetchval(REVISIONS)
    await connection.execute(SEEN + ALONG["a trigger of the root"][0])
    assert await looked(connection)
    assert "worlds" not in await brought(connection)
    assert not await looked(connection)
    await connection.execute("DROP TRIGGER see ON worlds")
    assert await looked(connection)
    assert "UPDATE public.worlds" in await brought(connection)
    await connection.execute(
        "CREATE RULE keep AS ON UPDATE TO worlds DO ALSO NOTHING; CREATE TABLE m () INHERITS (worlds)"
    )
    assert await looked(connection)
    assert "worlds" not in await brought(connection)
    await connection.execute("DROP RULE keep ON worlds; DROP TABLE m")
    assert await looked(connection)
    assert "UPDATE public.worlds" in await brought(connection)
    await connection.execute("UPDATE campaign_pool.revision SET claim_part = NULL")
    await connection.execute("SELECT campaign_pool.write_on_claim()")
    assert "worlds" not in await brought(connection)
    assert await looked(connection)
    assert "UPDATE public.worlds" in await brought(connection)
    newer = """UPDATE campaign_pool.revision SET claim_part = claim_part || '{"form": 1000}'"""
    await connection.execute(newer)
    assert not await looked(connection), "what an operator of a newer release wrote is left alone"
    assert await connection.fetchval(REVISIONS) == before
    await filled(connection, 1)
    await claim(connection)
    assert not await small.wrong(connection)


async def test_what_met_a_grant_is_written_by_the_next_look(connection: Connection, other: Connection) -> None:
    """Both write the claim's row of the catalog, and Postgres lets only one of them."""
    await connection.execute(SEEN + ALONG["a trigger of the root"][0])
    async with other.transaction():
        await other.execute("SELECT campaign_pool.grant_access()")
        looking = asyncio.create_task(looked(connection))
        await small.until(lambda: other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))
    with pytest.raises(TransientError, match="concurrently"):
        await looking
    assert "UPDATE public.worlds" in await brought(connection)
    assert await looked(connection)
    assert "worlds" not in await brought(connection)
    assert not await looked(connection)


async def test_a_look_that_meets_a_lock_tells_nothing_from_it(connection: Connection, other: Connection) -> None:
    await connection.execute("SET lock_timeout = '50ms'")
    async with other.transaction():
        await other.execute("LOCK TABLE members")
        with pytest.raises(TransientError, match="lock timeout"):
            await looked(connection)
    assert not await looked(connection)
