"""What claims do in the application's tables is part of `claim`, and nothing of the application is taken for it."""

import re

import asyncpg
import pytest

from campaignpool.blueprint.sql import claims
from campaignpool.ledger import seeding
from campaignpool.ledger.database import Connection
from tests.support import small
from tests.support.claim_text import PATH, SOURCE, WORLD, brought, changed, claim
from tests.support.postgres import NewDatabase
from tests.support.small import POOL, filled

pytestmark = pytest.mark.integration


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
        await seeding.reserve(connection, pool, f"job {pool}", "", 1, 1, 1)
        await seeding.seed(connection, pool, f"job {pool}", 1)
        world = await connection.fetchrow(WORLD, await claim(connection, pool))
        assert world
        assert world["name"].startswith(pool.rpartition("/")[2])
    assert await connection.fetchval("SELECT count(*) FROM campaign_pool.claimed WHERE source = 'master'") == 3
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
    await seeding.reserve(connection, "guild/rooms", "job", "", 1, 1, 1)
    await seeding.seed(connection, "guild/rooms", "job", 1)
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
    await seeding.reserve(connection, "game/rooms", "job", "", 1, 2, 1)
    await seeding.seed(connection, "game/rooms", "job", 2)
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
