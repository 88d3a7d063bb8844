"""Three roles: what each needs it has, and everything else is refused; whatever arguments say is data."""

import asyncio
import contextlib
import itertools
import os
import re
import subprocess
import sys
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.blueprint import catalog, grants, install
from campaignpool.blueprint.compile import compiler
from campaignpool.ledger import pools, retiring, seeding
from campaignpool.ledger.database import Connection
from campaignpool.ledger.migrate import migrate
from tests.support import resources, small, stock
from tests.support.commands import Run
from tests.support.postgres import NewDatabase

pytestmark = pytest.mark.integration
POOL = "game/realm"
MANIFEST = Path(__file__).parents[2] / "examples" / "chiwar" / "pool.yaml"
_numbers = itertools.count(1)

CLAIMS = {"claim", "claim_many", "release", "extend", "peek", "health", "template_changed"}
VIEWS = {"pools", "owners", "trends", "images"}
COPIES = {"lease_image_set", "renew_lease", "image_sources", "pending_images", "settle_images", "fail_images"}
COPIES |= {"finish_image_set", "drop_image_set", "take_token", "record_calls"}
SEEDS = {
    "acquire_connection_slot",
    "reserve",
    "reserve_more",
    "seed",
    "diagnose",
    "quarantine",
    "finish_run",
    *COPIES,
}
COUNTED = {
    "pool": {"id", "name", "revision_id"},
    "revision": {"id", "rows"},
    "image_set": {"pool_id", "state", "next_at", "folder"},
}
"""Columns that tell a seeder how many rows a campaign has, which images are due, and whose the folders are."""

REALM = """
CREATE SCHEMA realm;
CREATE SEQUENCE realm."odd ' numbers";
CREATE TABLE realm.worlds (id uuid PRIMARY KEY, name text, player text, is_template boolean NOT NULL);
CREATE TABLE realm.rooms (
    id bigserial PRIMARY KEY, world_id uuid NOT NULL REFERENCES realm.worlds ON DELETE CASCADE, name text);
CREATE TABLE realm.doors (
    id integer PRIMARY KEY DEFAULT nextval('realm."odd '' numbers"'), room_id bigint NOT NULL REFERENCES realm.rooms);
CREATE TABLE realm.members (
    id serial PRIMARY KEY, world_id uuid NOT NULL REFERENCES realm.worlds, player text NOT NULL);
CREATE TABLE realm.visits (world_id uuid REFERENCES realm.worlds ON DELETE CASCADE);
CREATE TABLE realm.greetings (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, player text);
CREATE TABLE realm.secrets (secret text);
INSERT INTO realm.worlds VALUES ('11111111-1111-4111-8111-111111111111', 'the template', NULL, true);
INSERT INTO realm.rooms (world_id, name)
    SELECT '11111111-1111-4111-8111-111111111111', 'room ' || n FROM generate_series(1, 2) n;
INSERT INTO realm.doors (room_id) SELECT id FROM realm.rooms;
"""


def spec(version: int = 1) -> CampaignPoolSpec:
    blueprint = {
        "root": {"table": "realm.worlds", "set": {"is_template": "false", "name": f"'version {version}'"}},
        "tables": [{"name": "realm.rooms"}, {"name": "realm.doors"}],
        "onClaim": {
            "set": {"player": "$claimant", "name": "$name"},
            "insert": [
                {"table": "realm.members", "values": {"world_id": "$campaign", "player": "$claimant"}},
                {"table": "realm.greetings", "values": {"player": "$claimant"}},
            ],
        },
    }
    return small.spec(blueprint={"inline": blueprint})


@dataclass
class Realm:
    """An application whose roles were made by hand, each with a login of its own."""

    url: str
    owner: Connection
    rights: list[grants.Right]
    logins: dict[str, str]

    def at(self, group: str) -> str:
        url = urllib.parse.urlsplit(self.url)
        return f"postgresql://{self.logins[group]}:login@{url.hostname}:{url.port}{url.path}"


@pytest.fixture
async def realm(database_url: str) -> AsyncIterator[Realm]:
    owner = await asyncpg.connect(database_url)
    await owner.execute(REALM)
    # What Postgres gives to everybody, taken away: nothing may rest on it.
    await owner.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    await owner.execute(f'REVOKE ALL ON DATABASE "{await owner.fetchval("SELECT current_database()")}" FROM PUBLIC')
    wanted = spec().blueprint.inline
    assert wanted
    statements = await grants.of_database(owner, wanted)
    plan = compiler.compile_plan(wanted, await catalog.read(owner, compiler.table_names(wanted)))
    rights = grants.rights(plan, await grants.acting_keys(owner, plan))
    logins = {}
    for group in (grants.OPERATOR, grants.SEEDER, grants.APP):
        logins[group] = f"login_{next(_numbers)}"
    for _ in range(2):  # all of it can be repeated
        await owner.execute("\n".join(statements))
    for group, login in logins.items():
        await owner.execute(f"CREATE ROLE {login} LOGIN PASSWORD 'login'; GRANT {group} TO {login}")
        await owner.execute(
            f'GRANT CONNECT ON DATABASE "{await owner.fetchval("SELECT current_database()")}" TO {login}'
        )
    await owner.execute(f"ALTER ROLE {logins[grants.OPERATOR]} SET role = {grants.OPERATOR}")
    yield Realm(database_url, owner, rights, logins)
    for role in (*logins.values(), *(grants.OPERATOR, grants.SEEDER, grants.APP)):
        await owner.execute(f"DROP OWNED BY {role} CASCADE")
    for role in logins.values():
        await owner.execute(f"DROP ROLE {role}")
    await owner.close()


@pytest.fixture
async def operator(realm: Realm) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(realm.at(grants.OPERATOR))
    await migrate(connection)
    yield connection
    await connection.close()


@pytest.fixture
async def application(realm: Realm, operator: Connection) -> AsyncIterator[Connection]:
    await small.put(operator, spec(), POOL)
    connection = await asyncpg.connect(realm.at(grants.APP))
    yield connection
    await connection.close()


async def filled(connection: Connection, job: str, count: int) -> None:
    await stock.reserve(connection, POOL, job, count)
    assert (await seeding.seed(connection, POOL, job, count)).campaigns == count


async def cycle(operator: Connection, application: Connection, version: int) -> None:
    """All that the operator does to the application's tables."""
    await small.put(operator, spec(version), POOL)
    await filled(operator, f"job-{version}", 2)
    claim = "SELECT campaign_id FROM campaign_pool.claim($1, 'ann', name => 'The Rift')"
    await application.execute("SELECT campaign_pool.release($1)", await application.fetchval(claim, POOL))
    await retiring.retire(operator, POOL)
    while await retiring.remove(operator, POOL, 10):
        pass
    assert await retiring.held(operator, POOL) == {}
    await install.drop_unused(operator, POOL)


async def test_the_operators_role_can_do_all_that_the_operator_does(
    realm: Realm, operator: Connection, application: Connection
) -> None:
    await cycle(operator, application, 1)
    await filled(operator, "more", 3)
    kept = await application.fetchval("SELECT campaign_id FROM campaign_pool.claim($1, 'ann')", POOL)
    result = await pools.observe(operator, POOL)
    assert (result.owners[""].ready, result.owners[""].claimed) == (2, 2)
    assert await pools.begin_waiting(operator, POOL)
    assert await seeding.acquire_connection_slot(operator, POOL, 4)
    await pools.prune(operator, POOL)
    await resources.close(operator, POOL)
    await pools.cancel_runs(operator, POOL)
    await retiring.retire(operator, POOL, 10)
    assert await retiring.remove(operator, POOL, 10) == 2
    assert await pools.finish_deletion(operator, POOL)
    assert await install.drop_unused(operator, POOL) == 1
    assert [
        str(row["id"]) for row in await realm.owner.fetch("SELECT id FROM realm.worlds WHERE NOT is_template")
    ] == [kept]


async def test_each_right_of_the_operators_role_is_needed(
    realm: Realm, operator: Connection, application: Connection
) -> None:
    await cycle(operator, application, 1)
    for version, right in enumerate(realm.rights, 2):
        await realm.owner.execute(f"REVOKE {right.privilege} ON {right.on} FROM {grants.OPERATOR}")
        with pytest.raises((asyncpg.PostgresError, AssertionError)) as refused:
            await cycle(operator, application, version)
        assert re.search("permission denied|does not exist", str(refused.value)), right
        await realm.owner.execute(f"GRANT {right.privilege} ON {right.on} TO {grants.OPERATOR}")
        await retiring.retire(operator, POOL)
        await retiring.remove(operator, POOL, 10)
    await cycle(operator, application, 100)


async def test_the_operators_role_can_do_nothing_else(operator: Connection) -> None:
    for refused in (
        "SELECT * FROM realm.secrets",
        "SELECT * FROM realm.greetings",
        "SELECT * FROM realm.visits FOR UPDATE",
        "UPDATE realm.worlds SET is_template = true",
        "UPDATE realm.rooms SET name = 'mine'",
        "UPDATE realm.members SET player = 'me'",
        "TRUNCATE realm.rooms",
        "ALTER TABLE realm.worlds ADD mine text",
        "DROP TABLE realm.doors",
        "CREATE TABLE realm.mine ()",
        "CREATE TABLE public.mine ()",
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await operator.execute(refused)


async def test_a_second_login_of_the_operator_takes_the_firsts_place(realm: Realm, operator: Connection) -> None:
    """What the first made belongs to the group: passwords are changed by changing logins."""
    await small.put(operator, spec(), POOL)
    await realm.owner.execute(
        f"CREATE ROLE another LOGIN PASSWORD 'login'; GRANT {grants.OPERATOR} TO another;"
        f"ALTER ROLE another SET role = {grants.OPERATOR};"
        f'GRANT CONNECT ON DATABASE "{await realm.owner.fetchval("SELECT current_database()")}" TO another'
    )
    realm.logins[grants.OPERATOR], first = "another", realm.logins[grants.OPERATOR]
    second = await asyncpg.connect(realm.at(grants.OPERATOR))
    await second.execute("UPDATE campaign_pool.definition SET checksum = 'other'")
    assert "roles" in await migrate(second)
    await small.put(second, spec(2), POOL)
    assert await install.drop_unused(second, POOL) == 1
    await second.close()
    realm.logins |= {"first": first}


async def test_the_seeders_role_runs_the_seeder(realm: Realm, operator: Connection) -> None:
    await small.put(operator, spec(), POOL)
    command = [sys.executable, "-m", "campaignpool_seeder", f"--pool={POOL}", "--job=job", "--count=3"]
    environment = {**os.environ, "CAMPAIGNPOOL_DATABASE_URL": realm.at(grants.SEEDER)}

    async def run(*options: str) -> tuple[int, str]:
        done = await asyncio.to_thread(
            subprocess.run, [*command, *options], env=environment, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stderr + done.stdout

    code, said = await run()
    assert code == 0, said
    assert (await pools.observe(operator, POOL)).runs[0].outcome == "Succeeded"
    # What the data refuses it finds out, sets aside and reports.
    await realm.owner.execute("ALTER TABLE realm.rooms ADD CHECK (name <> 'room 2') NOT VALID")
    code, said = await run("--job=refused", "--number=2")
    assert code == 65, said
    result = await pools.observe(operator, POOL)
    assert (result.runs[0].outcome, result.owners[""].ready, result.owners[""].failed) == ("Failed", 3, 2)
    assert "row" in (result.runs[0].message or "")


@dataclass(frozen=True)
class Thing:
    """A function or a relation of the schema."""

    oid: int
    name: str
    kind: str
    call: str | None


async def things(connection: Connection) -> list[Thing]:
    """Return everything in the schema, each with a statement that uses it; a trigger's function cannot be called."""
    functions = await connection.fetch(
        "SELECT oid, proname AS name, 'function' AS kind, CASE WHEN prorettype <> 'trigger'::regtype THEN"
        " format('SELECT campaign_pool.%I(%s)', proname, ("
        "    SELECT string_agg('NULL::' || format_type(t, NULL), ', ' ORDER BY n)"
        "    FROM unnest(proargtypes) WITH ORDINALITY AS a (t, n))) END AS call "
        "FROM pg_proc WHERE pronamespace = 'campaign_pool'::regnamespace"
    )
    relations = await connection.fetch(
        "SELECT oid, relname AS name, CASE relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind,"
        " CASE relkind WHEN 'S' THEN format('SELECT nextval(%L)', oid::regclass)"
        " ELSE format('SELECT * FROM %s LIMIT 1', oid::regclass) END AS call "
        "FROM pg_class WHERE relnamespace = 'campaign_pool'::regnamespace AND relkind IN ('r', 'v', 'S')"
    )
    return [Thing(**row) for row in [*functions, *relations]]


VERBS = {
    "function": ("EXECUTE",),
    "sequence": ("USAGE", "SELECT", "UPDATE"),
    "table": ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"),
}


@pytest.mark.parametrize(
    ("group", "functions", "tables"),
    [(grants.APP, CLAIMS, VIEWS), (grants.SEEDER, SEEDS, set())],
    ids=["app", "seeder"],
)
async def test_the_other_roles_can_do_what_is_theirs_and_nothing_else(
    realm: Realm, operator: Connection, group: str, functions: set[str], tables: set[str]
) -> None:
    await small.put(operator, spec(), POOL)
    connection = await asyncpg.connect(realm.at(group))
    allowed: dict[str, set[str]] = {"function": set(), "table": set(), "sequence": set()}
    for thing in await things(realm.owner):
        for verb in VERBS[thing.kind]:
            query = f"SELECT has_{thing.kind}_privilege($1, $2::oid, $3)"
            if await realm.owner.fetchval(query, realm.logins[group], thing.oid, verb):
                assert verb in ("EXECUTE", "SELECT"), thing
                allowed[thing.kind].add(thing.name)
        if thing.call is None:
            continue
        if thing.name in functions | tables:
            with contextlib.suppress(asyncpg.PostgresError):  # NULL makes no sense to them, and they say so
                await connection.fetch(thing.call)
        else:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(thing.call)
    assert allowed == {"function": functions, "table": tables, "sequence": set()}
    columns = await realm.owner.fetch(
        "SELECT c.relname AS name, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
        "WHERE c.relnamespace = 'campaign_pool'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 "
        "AND has_column_privilege($1, a.attrelid, a.attnum, 'SELECT')",
        realm.logins[group],
    )
    result: dict[str, set[str]] = {}
    for row in columns:
        result.setdefault(row["name"], set()).add(row["attname"])
    assert result == (COUNTED if group == grants.SEEDER else {})
    for refused in (
        "SELECT * FROM realm.worlds",
        "INSERT INTO realm.members (world_id, player) SELECT gen_random_uuid(), 'me'",
        "CREATE TABLE campaign_pool.mine ()",
        "CREATE SCHEMA mine",
        "CREATE TEMPORARY TABLE mine ()",
        f"SET ROLE {grants.OPERATOR}",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(refused)
    await connection.close()


async def test_the_application_claims_with_every_function_that_is_its_own(
    operator: Connection, application: Connection
) -> None:
    await filled(operator, "job", 3)
    assert await application.fetchval("SELECT source FROM campaign_pool.peek($1, 'ann')", POOL) == "master"
    one = await application.fetchval("SELECT campaign_id FROM campaign_pool.claim($1, 'ann', 'one')", POOL)
    several = await application.fetch("SELECT campaign_id FROM campaign_pool.claim_many($1, 'ann', 3)", POOL)
    assert len({one, *(row["campaign_id"] for row in several)}) == 4, "the last was cloned"
    assert await application.fetchval("SELECT campaign_pool.extend($1, '2 hours')", one)
    await application.execute("SELECT campaign_pool.release($1)", one)
    assert await application.fetchval("SELECT state FROM campaign_pool.health()") == "empty"
    assert await application.fetchval("SELECT claims_of_day FROM campaign_pool.pools") == 4
    assert await application.fetchval("SELECT retiring FROM campaign_pool.owners") == 1
    assert await application.fetchval("SELECT sum(claims) FROM campaign_pool.trends") == 4


async def test_nobody_else_can_use_anything_of_the_schema(operator: Connection, realm: Realm) -> None:
    """PUBLIC is everybody."""
    await small.put(operator, spec(), POOL)
    open_to_all = await realm.owner.fetch(
        "SELECT oid::regprocedure::text AS name FROM pg_proc "
        "WHERE pronamespace = 'campaign_pool'::regnamespace AND EXISTS ("
        "    SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) WHERE grantee = 0) "
        "UNION ALL SELECT oid::regclass::text FROM pg_class "
        "WHERE relnamespace = 'campaign_pool'::regnamespace"
        " AND EXISTS (SELECT FROM aclexplode(relacl) WHERE grantee = 0) "
        "UNION ALL SELECT nspname FROM pg_namespace "
        "WHERE nspname = 'campaign_pool' AND EXISTS (SELECT FROM aclexplode(nspacl) WHERE grantee = 0)"
    )
    assert open_to_all == []


async def test_every_function_looks_names_up_in_a_path_of_its_own(operator: Connection, realm: Realm) -> None:
    """The caller's search path has no say; of ours, temporary objects come last."""
    await small.put(operator, spec(), POOL)
    rows = await realm.owner.fetch(
        "SELECT f.proname, f.prosecdef, f.prolang <> 14 OR f.prosqlbody IS NULL AS text, ("
        "    SELECT split_part(s, '=', 2) FROM unnest(f.proconfig) s WHERE s LIKE 'search_path=%') AS path "
        "FROM pg_proc f WHERE f.pronamespace = 'campaign_pool'::regnamespace"
    )
    assert {row["proname"] for row in rows if row["prosecdef"]} > (CLAIMS | SEEDS) - {"acquire_connection_slot"}
    for row in rows:
        if row["proname"] in {"claims_lock", "notifies", "apply_on_claim"}:
            assert not row["prosecdef"]
            continue  # two name nothing, and one is called by claims alone, which pin it: once is enough
        if row["proname"] in {"is_usable", "is_expired", "is_stale", "is_outdated"}:
            assert not row["text"]
            continue  # parsed when they were created; a path would keep Postgres from putting them in place of a call
        assert row["path"], row["proname"]
        assert row["path"].startswith("pg_catalog, "), row["proname"]
        assert row["path"].endswith("pg_temp"), row["proname"]


async def test_all_that_the_application_may_use_is_described(operator: Connection) -> None:
    undescribed = [
        thing.name
        for thing in await things(operator)
        if thing.name in CLAIMS | VIEWS
        and not await operator.fetchval(
            "SELECT obj_description($1, $2)", thing.oid, "pg_proc" if thing.kind == "function" else "pg_class"
        )
    ]
    assert undescribed == []


async def test_what_a_caller_puts_into_its_search_path_is_not_picked_up(
    realm: Realm, operator: Connection, application: Connection
) -> None:
    await filled(operator, "job", 3)
    role = realm.logins[grants.APP]
    database = await realm.owner.fetchval("SELECT current_database()")
    await realm.owner.execute(
        f'CREATE SCHEMA evil AUTHORIZATION {role}; GRANT TEMPORARY ON DATABASE "{database}" TO {role}'
    )
    trap = "LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$"
    await application.execute("SET search_path = pg_temp, evil, pg_catalog")
    for name, returns in (
        ("clock_timestamp()", "timestamptz"),
        ("now()", "timestamptz"),
        ("random()", "double precision"),
        ("format(text, text)", "text"),
        ("format(text, VARIADIC text[])", "text"),
        ("hashtextextended(text, bigint)", "bigint"),
        ("floor(double precision)", "double precision"),
        ("to_regclass(text)", "regclass"),
        ("current_setting(text)", "text"),
        ("pg_notify(text, text)", "void"),
        ("coalesce(text, text)", "text"),
        ("notify_operator(integer, text)", "void"),
        ("take(text, text, text, text, interval)", "text"),
    ):
        if not name.startswith("coalesce"):  # that is a keyword
            await application.execute(f"CREATE FUNCTION evil.{name} RETURNS {returns} {trap}")
    for arguments, returns in (("text, text", "boolean"), ("uuid, uuid", "boolean"), ("integer, integer", "boolean")):
        left, right = arguments.split(", ")
        await application.execute(f"CREATE FUNCTION evil.same({arguments}) RETURNS {returns} {trap}")
        for sign in ("=", "<>", "||"):
            await application.execute(
                f"CREATE OPERATOR evil.{sign} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = evil.same)"
            )
    for table in ("pool", "campaign", "claimed", "revision", "image_set", "worlds", "members"):
        await application.execute(f"CREATE TEMPORARY TABLE {table} (id integer, name text, deleted_at text)")
    with pytest.raises(asyncpg.PostgresError, match="hijacked"):
        await application.fetchval("SELECT now()")  # the traps are armed
    one = await application.fetchrow("SELECT * FROM campaign_pool.claim($1, 'ann', 'one', 'The Rift')", POOL)
    assert one
    await application.fetch("SELECT * FROM campaign_pool.claim_many($1, 'ann', 2, 'many')", POOL)
    await application.fetch("SELECT * FROM campaign_pool.peek($1, 'ann')", POOL)
    await application.fetch("SELECT * FROM campaign_pool.health()")
    await application.fetch("SELECT * FROM campaign_pool.pools")
    await application.execute("SELECT campaign_pool.extend($1, '1 hour')", one["campaign_id"])
    await application.execute("SELECT campaign_pool.release($1)", one["campaign_id"])
    assert await realm.owner.fetchval("SELECT count(*) FROM realm.members") == 2


HOSTILE = (
    "'; DROP TABLE worlds; --",
    "'' OR true",
    '"; DELETE FROM campaign_pool.campaign; --',
    "%I %L %s %1$s %",
    "$1 $campaign $$ $_$",
    "\\'; SELECT pg_sleep(100); --",
    "E'\\x00'",
    "{}",
    "NULL",
    "\u202e\U0001f47e\ufeff\u0301",
    "x" * 100_000,
    " ",
    "\r\n\t",
)
texts = st.one_of(
    st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200)
)
REFUSED = {"CP001", "CP002", "CP003", "CP004", "CP006", "CP007", "54000"}
"""A pool that is not there, a key that is too long or taken; 54000 is an index of the application's own."""


@pytest.fixture(scope="module")
def session() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def test_whatever_arguments_say_is_data(new_database: NewDatabase, session: asyncio.Runner) -> None:
    connection = session.run(asyncpg.connect(new_database()))
    session.run(small.made(connection))
    names: dict[str, str] = {}

    def ask(query: str, *arguments: object) -> asyncpg.Record | None:
        try:
            row: asyncpg.Record | None = session.run(connection.fetchrow(query, *arguments))
        except asyncpg.PostgresError as error:
            if error.sqlstate not in REFUSED:
                raise
            return None
        return row

    @settings(
        max_examples=int(os.environ.get("CAMPAIGNPOOL_EXAMPLES", "60")),
        deadline=None,
        database=None,
        derandomize="CAMPAIGNPOOL_EXAMPLES" not in os.environ,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @example(pool=small.POOL, claimant=HOSTILE[0], key=HOSTILE[2], name=HOSTILE[3])
    @example(pool=HOSTILE[0], claimant=HOSTILE[1], key=HOSTILE[10], name=HOSTILE[10])
    @example(pool=small.POOL, claimant="ann", key="k", name=HOSTILE[10])
    @given(pool=st.one_of(st.just(small.POOL), texts), claimant=texts, key=texts, name=texts)
    def holds(pool: str, claimant: str, key: str, name: str) -> None:
        row = ask("SELECT * FROM campaign_pool.claim($1, $2, $3, $4)", pool, claimant, key, name)
        if row:
            result = ask(
                "SELECT w.name, w.player, c.key, c.claimant, m.player AS member FROM worlds w "
                "JOIN campaign_pool.claimed c ON c.campaign_id = w.id::text JOIN members m ON m.world_id = w.id "
                "WHERE w.id = $1",
                row["campaign_id"],
            )
            assert result
            # A key that was there already gives what it gave, under the name of then.
            name = names.setdefault(row["campaign_id"], name)
            assert tuple(result) == (name, claimant, key, claimant, claimant)
        several = session.run(tried(connection, pool, claimant, key))
        assert several in (0, 2)
        ask("SELECT * FROM campaign_pool.peek($1, $2)", pool, claimant)
        ask("SELECT campaign_pool.release($1, $2)", key, pool)
        ask("SELECT campaign_pool.release($1, $2)", row["campaign_id"] if row else name, claimant)
        ask("SELECT campaign_pool.extend($1, '1 hour', $2)", name, pool)

    holds()
    assert session.run(small.inconsistencies(connection)) == []
    session.run(connection.close())


async def tried(connection: Connection, pool: str, claimant: str, key: str) -> int:
    """Claim two at once; give how many there were."""
    query = "SELECT * FROM campaign_pool.claim_many($1, $2, 2, $3)"
    try:
        return len(await connection.fetch(query, pool, claimant, key))
    except asyncpg.PostgresError as error:
        if error.sqlstate not in REFUSED:
            raise
        return 0


def test_the_command_prints_what_can_be_run(chiwar_url: str, command: Run) -> None:
    code, text, errors = command("grants", "-f", str(MANIFEST), "--database-url", chiwar_url)
    assert (code, errors) == (0, "")
    assert "GRANT SELECT, INSERT, UPDATE" in text
    assert "ON TABLE public.campaigns TO campaign_pool_operator;" in text
    assert "secret" not in text

    async def run() -> None:
        connection = await asyncpg.connect(chiwar_url)
        await connection.execute(text)
        await connection.execute(text)
        await connection.close()

    asyncio.run(run())
    code, _, errors = command("grants", "--pool", "game/none", "--database-url", chiwar_url)
    assert code == 1
    assert "no" in errors
