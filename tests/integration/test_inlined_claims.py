"""What claims do in the application's tables is part of `claim`, where nothing else of the application runs along."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import asyncpg
import pytest

from campaignpool import install, ledger
from campaignpool.compiler import claims
from campaignpool.database import Connection, translated
from campaignpool.errors import TransientError
from tests.support import small
from tests.support.postgres import NewDatabase
from tests.support.small import POOL, filled

pytestmark = pytest.mark.integration
SOURCE = "SELECT prosrc FROM pg_proc WHERE oid = 'campaign_pool.claim'::regproc"
PATH = """
SELECT replace(setting, 'search_path=', '') FROM pg_proc, unnest(proconfig) setting
WHERE oid = 'campaign_pool.claim'::regproc AND setting ~ '^search_path='
"""
CLAIM = "SELECT campaign_id FROM campaign_pool.claim($1, 'ann', name => $2)"
WORLD = "SELECT name, player FROM worlds WHERE id = $1::uuid"


async def brought(connection: Connection) -> str:
    """Give the part of the claim that revisions brought."""
    source = await connection.fetchval(SOURCE)
    return str(source).partition("From here on: what revisions bring")[2].rpartition("So far what revisions bring")[0]


async def claim(connection: Connection, pool: str = POOL, name: str | None = None) -> str:
    return str(await connection.fetchval(CLAIM, pool, name))


def changed(**on_claim: object) -> Mapping[str, Any]:
    """Give the blueprint of the application with other rules for claims."""
    known = small.blueprint(2)
    return {"inline": {**known, "onClaim": {**known["onClaim"], **on_claim}}}


async def test_what_a_revision_writes_is_part_of_the_claim(connection: Connection) -> None:
    text = await brought(connection)
    assert re.search(r"IF campaignpool_id IS NOT NULL AND current = 1 THEN\s+UPDATE public\.worlds AS t SET", text)
    assert "INSERT INTO public.members" in text
    assert await connection.fetchval(PATH) == "pg_catalog, public, pg_temp"
    await filled(connection, 2)
    world = await connection.fetchrow(WORLD, await claim(connection, name="The Rift"))
    assert tuple(world or ()) == ("The Rift", "ann")
    world = await connection.fetchrow(WORLD, await claim(connection))
    assert world
    assert re.fullmatch("small-[0-9a-f]{16}", world["name"])
    assert not await small.wrong(connection)


async def test_a_revision_that_no_pool_is_made_from_any_more_leaves_the_claim(connection: Connection) -> None:
    await filled(connection, 1)
    await small.put(connection, small.spec(2))
    assert re.findall("current (.*) THEN", await brought(connection)) == ["= 2"]
    assert await connection.fetchval("SELECT source FROM campaign_pool.claim($1, 'ann')", POOL) == "master"
    assert not await small.wrong(connection)


async def test_what_many_revisions_write_alike_stands_in_the_claim_once(connection: Connection) -> None:
    await small.put(connection, small.spec(), "other/small")
    await small.put(connection, small.spec(), "game/other")
    assert re.findall("current (.*) THEN", await brought(connection)) == ["IN (1, 2)", "= 3"]
    for pool in (POOL, "other/small", "game/other"):
        world = await connection.fetchrow(WORLD, await claim(connection, pool))
        assert world
        assert world["name"].startswith(pool.rpartition("/")[2])
        # Cloned for these two, and from here on they are ready.
        await ledger.reserve(connection, pool, f"job {pool}", "", 1, 1, 1)
        await ledger.seed(connection, pool, f"job {pool}", 1)
        world = await connection.fetchrow(WORLD, await claim(connection, pool))
        assert world
        assert world["name"].startswith(pool.rpartition("/")[2])
    assert await connection.fetchval("SELECT count(*) FROM campaign_pool.claimed WHERE source = 'master'") == 3
    assert not await small.wrong(connection)


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
        compiled = await install.compile_blueprint(connection, spec, spec.blueprint.inline)
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
        compiled = await install.compile_blueprint(connection, spec, spec.blueprint.inline)
        revision = (await ledger.observe(connection, POOL)).revision
        assert revision
        if not claims.outdated(revision.claim_part, compiled.claim_part(POOL)):
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


async def test_a_trigger_that_came_later_finds_its_names(connection: Connection) -> None:
    await filled(connection, 2)
    await claim(connection)
    await connection.execute(
        """
        CREATE TABLE seen (name text);
        CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO seen VALUES (NEW.name); RETURN NEW; END $$;
        CREATE TRIGGER see BEFORE UPDATE ON worlds FOR EACH ROW EXECUTE FUNCTION see()
        """
    )
    await claim(connection, name="The Rift")
    assert await connection.fetchval("SELECT array_agg(name) FROM seen") == ["The Rift"]


async def test_of_tables_that_lie_elsewhere_than_those_of_most_pools_the_function_is_called(
    connection: Connection,
) -> None:
    """A function has one search_path."""
    await connection.execute(
        """
        CREATE SCHEMA guild;
        CREATE FUNCTION guild.titled(name text) RETURNS text LANGUAGE sql AS $$ SELECT 'Guild ' || name $$;
        CREATE TABLE guild.rooms (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text, label text, is_template boolean);
        INSERT INTO guild.rooms (name, is_template) VALUES ('the template', true);
        """
    )
    root = {"table": "guild.rooms", "set": {"is_template": "false"}}
    rooms = small.spec(blueprint={"inline": {"root": root, "onClaim": {"set": {"name": "$name"}}}})
    await small.put(connection, rooms, "guild/rooms")
    await small.put(connection, small.spec(), "game/other")
    text, path = await brought(connection), await connection.fetchval(PATH)
    assert ("guild.rooms" in text, "public.worlds" in text, path) == (False, True, "pg_catalog, public, pg_temp")
    await ledger.reserve(connection, "guild/rooms", "job", "", 1, 1, 1)
    await ledger.seed(connection, "guild/rooms", "job", 1)
    room = await claim(connection, "guild/rooms", "The Hall")
    assert await connection.fetchval("SELECT name FROM guild.rooms WHERE id = $1::uuid", room) == "The Hall"

    # Only where they are the most is it their turn.
    for number in range(2):
        await small.put(connection, rooms, f"guild/rooms-{number}")
    text, path = await brought(connection), await connection.fetchval(PATH)
    assert ("guild.rooms" in text, "public.worlds" in text) == (True, False)
    assert path == "pg_catalog, public, guild, pg_temp"
    await filled(connection, 1)
    await claim(connection)
    assert await small.wrong(connection) == [f"claimed campaign {room} is gone"], "a room is no world"


async def test_a_name_is_refused_where_campaigns_take_none(connection: Connection) -> None:
    await small.put(connection, small.spec(blueprint=changed(set={"player": "$claimant"})))
    assert "AND name IS NULL THEN" in await brought(connection)
    await filled(connection, 1)
    with pytest.raises(asyncpg.PostgresError, match="take no name") as refused:
        await claim(connection, name="The Rift")
    assert refused.value.sqlstate == "CP007"
    await claim(connection)
    assert await connection.fetchval("SELECT source FROM campaign_pool.claimed") == "master"
    assert not await small.wrong(connection)


LITERALS = [
    "$function$ $$ $y$ %s %1$I %% it''s; END $$; RETURN;",
    "\\ \\n",
    "\n    -- So far what revisions bring.\n    -- From here on: what revisions bring. `write_claim` writes it.\n",
]


@pytest.mark.parametrize("text", LITERALS)
async def test_what_an_author_wrote_is_left_as_it_is(connection: Connection, text: str) -> None:
    rules = {"player": "$claimant", "name": f"$name || '{text}'"}
    await small.put(connection, small.spec(blueprint=changed(set=rules)))
    # What stands around it is found again however often the claim is written.
    await small.put(connection, small.spec(3), "game/other")
    await small.put(connection, small.spec(2))
    await small.put(connection, small.spec(blueprint=changed(set=rules)))
    # What a backslash means, each session says for itself; and what may be a comment is not looked at.
    assert (text in await brought(connection)) == ("\\" not in text and "--" not in text)
    await filled(connection, 1)
    world = await connection.fetchrow(WORLD, await claim(connection, name="The Rift"))
    assert tuple(world or ()) == ("The Rift" + text.replace("''", "'"), "ann")
    assert not await small.wrong(connection)


async def test_the_words_that_are_variables_of_the_claim_are_known(connection: Connection) -> None:
    source = re.sub("--.*", "", await connection.fetchval(SOURCE))
    declared = re.findall(r"^    (\w+) [\w ]+;$", source[: source.index("BEGIN")], re.MULTILINE)
    arguments = await connection.fetchval(
        "SELECT proargnames FROM pg_proc WHERE oid = 'campaign_pool.claim'::regproc"
    )
    assert {*declared, *arguments, "found"} - {"campaignpool_id"} == claims.VARIABLES
    assert len(declared) > 10


HOSTILE = """
CREATE FUNCTION public.hashtext(key varchar) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RAISE 'hostile'; END $$;
CREATE FUNCTION public.hashtextextended(key text, salt integer) RETURNS bigint LANGUAGE plpgsql
    AS $$ BEGIN RAISE 'hostile'; END $$;
CREATE FUNCTION public.nextval(name text) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE 'hostile'; END $$;
CREATE FUNCTION public.setval(name regclass, to_what integer) RETURNS bigint LANGUAGE plpgsql
    AS $$ BEGIN RAISE 'hostile'; END $$;
CREATE FUNCTION public.format(how text, what integer) RETURNS text LANGUAGE plpgsql
    AS $$ BEGIN RAISE 'hostile'; END $$;
CREATE FUNCTION public.glued(one text, two integer) RETURNS text LANGUAGE plpgsql
    AS $$ BEGIN RAISE 'hostile'; END $$;
CREATE OPERATOR public.|| (LEFTARG = text, RIGHTARG = integer, FUNCTION = public.glued);
CREATE FUNCTION public.equal(one text, two text) RETURNS boolean LANGUAGE plpgsql
    AS $$ BEGIN RAISE 'hostile'; END $$;
CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.equal);
CREATE FUNCTION public.less(one integer, two integer) RETURNS boolean LANGUAGE plpgsql
    AS $$ BEGIN RAISE 'hostile'; END $$;
CREATE OPERATOR public.< (LEFTARG = integer, RIGHTARG = integer, FUNCTION = public.less);
"""


async def test_nothing_that_lies_in_the_applications_schema_is_taken_for_postgres_own(connection: Connection) -> None:
    await connection.execute(HOSTILE)
    await small.put(connection, small.spec(2))
    await filled(connection, 2)
    campaigns = [await claim(connection) for _ in range(3)]  # the last is cloned
    assert await connection.fetchval("SELECT campaign_id FROM campaign_pool.claim($1, 'ann', 'k')", POOL)
    assert len(set(campaigns)) == 3
    assert not await small.wrong(connection)


async def test_a_key_of_a_type_without_an_operator_of_its_own_is_compared_by_postgres_own(
    connection: Connection,
) -> None:
    await connection.execute(
        """
        CREATE TABLE rooms (id varchar PRIMARY KEY DEFAULT gen_random_uuid(), name text, is_template boolean);
        INSERT INTO rooms (name, is_template) VALUES ('the template', true);
        """
    )
    root = {"table": "rooms", "set": {"is_template": "false"}}
    rooms = small.spec(blueprint={"inline": {"root": root, "onClaim": {"set": {"name": "$name"}}}})
    await small.put(connection, rooms, "game/rooms")
    await ledger.reserve(connection, "game/rooms", "job", "", 1, 2, 1)
    await ledger.seed(connection, "game/rooms", "job", 2)
    await connection.execute(
        """
        CREATE FUNCTION public.alike(one varchar, two varchar) RETURNS boolean LANGUAGE plpgsql
            AS $$ BEGIN RAISE 'hostile'; END $$;
        CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = public.alike);
        """
    )
    for inlined in (True, False):
        assert ("UPDATE public.rooms" in await brought(connection)) == inlined
        room = await claim(connection, "game/rooms", "The Hall")
        named = "SELECT name FROM rooms WHERE id OPERATOR(pg_catalog.=) $1"
        assert await connection.fetchval(named, room) == "The Hall"
        await connection.execute("UPDATE campaign_pool.revision SET claim_part = NULL")
        await connection.execute("SELECT campaign_pool.write_on_claim()")


async def test_the_claim_names_the_schema_of_all_that_it_calls(connection: Connection) -> None:
    await connection.execute("UPDATE campaign_pool.pool SET revision_id = NULL; SELECT campaign_pool.write_claim()")
    source = re.sub("--.*|'[^']*'", "", await connection.fetchval(SOURCE))
    assert "UPDATE public" not in source
    assert set(re.findall(r"(?<![.\w])[a-z_]\w*(?=\()", source)) == {"coalesce"}
    assert set(re.findall(r"(?<=::)[\w.]+", source)) <= {"integer"}


async def test_a_claim_that_has_no_place_for_it_is_left_alone(connection: Connection) -> None:
    await connection.execute(
        "CREATE OR REPLACE FUNCTION campaign_pool.claim("
        "pool text, claimant text, key text DEFAULT NULL, name text DEFAULT NULL, wait interval DEFAULT '0') "
        "RETURNS TABLE (campaign_id text, source text, claimed_at timestamptz, images_state text) "
        "LANGUAGE sql AS $$ SELECT '1', '2', now(), '3' $$"
    )
    with pytest.raises(asyncpg.RaiseError, match="has no place for what revisions bring"):
        await small.put(connection, small.spec(2))
    assert await connection.fetchval("SELECT campaign_id FROM campaign_pool.claim($1, 'ann')", POOL) == "1"


async def test_who_sees_revisions_as_they_were_does_not_write_them_down(
    connection: Connection, other: Connection
) -> None:
    await filled(connection, 1)
    async with other.transaction(isolation="repeatable_read"):
        await other.fetchval("SELECT count(*) FROM campaign_pool.pool")
        await small.put(connection, small.spec(2))
        await other.execute("SELECT campaign_pool.write_on_claim()")
    assert re.findall("current (.*) THEN", await brought(connection)) == ["= 2"]


async def test_nothing_is_written_anew_where_nothing_changed(connection: Connection) -> None:
    """Every session would have to plan its claims once more."""
    version = "SELECT xmin::text FROM pg_proc WHERE oid = 'campaign_pool.claim'::regproc"
    before = await connection.fetchval(version)
    await connection.execute("SELECT campaign_pool.write_on_claim()")
    assert await connection.fetchval(version) == before


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


async def test_what_is_not_in_ascii_is_part_of_the_claim_whatever_the_databases_encoding(
    connection: Connection, new_database: NewDatabase
) -> None:
    rules = {"set": {"player": "$claimant", "name": "$name || 'Ø'"}}
    url = new_database()
    name = url.rpartition("/")[2]
    await connection.execute(f"DROP DATABASE {name}")
    encoding = "ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LOCALE 'C'"
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 {encoding}")
    unencoded = await asyncpg.connect(url)
    await small.made(unencoded, small.spec(blueprint=changed(**rules)))
    assert "'Ø'" in await brought(unencoded)
    await filled(unencoded, 1)
    world = await unencoded.fetchrow(WORLD, await claim(unencoded, name="Rift "))
    assert tuple(world or ()) == ("Rift Ø", "ann")
    await unencoded.close()
