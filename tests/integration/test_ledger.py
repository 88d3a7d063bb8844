"""The ledger: migrations, reservations, retiring, and what a pool leaves behind."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

import chiwar
from campaignpool.blueprint import compilation, install
from campaignpool.errors import BlueprintError, TemplateError
from campaignpool.ledger import pools, retiring, seeding
from campaignpool.ledger.database import Connection
from tests.support import stock
from tests.support.ledgers import POOL, claim, filled, installed, spec

pytestmark = pytest.mark.integration
NEW = chiwar.NEW_USER_ID


@pytest.fixture
async def connection(chiwar_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(chiwar_url)
    yield connection
    await connection.close()


async def test_a_run_that_begins_again_reserves_nothing_twice(connection: Connection) -> None:
    await installed(connection)
    assert await stock.reserve(connection, POOL, "job", 3) == 3
    await seeding.seed(connection, POOL, "job", 2)
    assert await stock.reserve(connection, POOL, "job", 3) == 1
    await claim(connection, NEW)
    assert await stock.reserve(connection, POOL, "job", 3) == 1
    await seeding.seed(connection, POOL, "job", 2)
    assert await stock.reserve(connection, POOL, "job", 3) == 0
    assert (await pools.observe(connection, POOL)).runs[0].attempts == 4


async def test_reservations_never_pass_the_pools_bound(connection: Connection, chiwar_url: str) -> None:
    await installed(connection, size=4, maxSize=5)
    await stock.want(connection, POOL, 12)
    connections = [await asyncpg.connect(chiwar_url) for _ in range(4)]
    left = await asyncio.gather(
        *(seeding.reserve(item, POOL, f"job-{n}", n, 3, 1) for n, item in enumerate(connections, 1))
    )
    assert sum(left) == 5
    for item in connections:
        await item.close()


async def test_a_run_that_fails_sets_aside_what_it_did_not_make(connection: Connection) -> None:
    await installed(connection)
    await stock.reserve(connection, POOL, "job", 3)
    await seeding.seed(connection, POOL, "job", 1)
    await seeding.finish_run(connection, POOL, ("job", 1, 3, 1), "Failed", "BackoffLimitExceeded", "it broke")
    result = await pools.observe(connection, POOL)
    assert (result.owners[""].ready, result.owners[""].seeding, result.owners[""].failed) == (1, 0, 2)
    assert (result.runs[0].outcome, result.runs[0].reason) == ("Failed", "BackoffLimitExceeded")
    causes = await connection.fetch("SELECT DISTINCT cause FROM campaign_pool.campaign WHERE state = 'failed'")
    assert [row["cause"] for row in causes] == ["it broke"]


async def test_retiring_takes_every_row_and_nothing_else(connection: Connection) -> None:
    await installed(connection)
    tables = [row[0] for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]

    async def counts() -> dict[str, int]:
        return {table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables}

    before = await counts()
    await filled(connection, "", 4)
    assert await retiring.retire(connection, POOL, 3) == 3
    assert await retiring.remove(connection, POOL, 2) == 2
    assert await retiring.remove(connection, POOL, 2) == 1
    assert await retiring.remove(connection, POOL, 2) == 0
    assert (await counts())["campaigns"] == before["campaigns"] + 1
    await retiring.retire(connection, POOL, 3)
    await retiring.remove(connection, POOL, 2)
    assert await counts() == before


async def test_nothing_claimed_is_ever_retired(connection: Connection, chiwar_url: str) -> None:
    """Claims and retiring race for the same campaigns; each of them ends with one or the other."""
    await installed(connection, claims={"onEmpty": "Fail"})
    await filled(connection, "", 20)
    other = await asyncpg.connect(chiwar_url)
    claimed: list[str] = []

    async def claims() -> None:
        with pytest.raises(asyncpg.PostgresError, match="is ready"):
            await claim_all()

    async def claim_all() -> None:
        while True:
            claimed.append((await claim(other, NEW))["campaign_id"])

    async def retires() -> None:
        while await retiring.retire(connection, POOL, 2):
            await retiring.remove(connection, POOL, 2)

    await asyncio.gather(claims(), retires())
    await other.close()
    faults = [fault for item in claimed for fault in await chiwar.check_clone(connection, item)]
    assert faults == []
    assert await chiwar.half_campaigns(connection) == []
    left = await connection.fetchval("SELECT count(*) FROM campaign_pool.claimed")
    assert left == len(claimed)


async def test_an_unused_revision_is_dropped_and_a_used_one_is_not(connection: Connection) -> None:
    await installed(connection)
    await filled(connection, "", 1)
    other = spec().blueprint.model_dump(by_alias=True, exclude_none=True)
    other["inline"]["root"]["set"]["description"] = "'another'"
    await installed(connection, blueprint=other)
    assert await install.drop_unused(connection, POOL) == 0
    assert (await pools.observe(connection, POOL)).owners[""].stale == 1
    await claim(connection, NEW)
    assert await install.drop_unused(connection, POOL) == 0, "the claim may still be released"
    await connection.execute("UPDATE campaign_pool.claimed SET releasable_until = now()")
    assert await install.drop_unused(connection, POOL) == 1
    left = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'campaign_pool'::regnamespace AND relname ~ '^r1_'"
    )
    assert left == []


async def test_a_revision_is_installed_once(connection: Connection, chiwar_url: str) -> None:
    wanted = await installed(connection)
    assert wanted.blueprint.inline
    compiled = await compilation.compile_blueprint(connection, wanted, wanted.blueprint.inline)
    assert await install.install(connection, POOL, compiled) is None
    other = await asyncpg.connect(chiwar_url)
    again = await compilation.compile_blueprint(other, wanted, wanted.blueprint.inline)
    await other.close()
    assert again.plan_hash == compiled.plan_hash


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ({"where": "name = 'nobody'"}, "TemplateNotFound"),
        ({"where": "true"}, "TemplateAmbiguous"),
        ({"where": "colour = 'red'"}, "TemplateConditionInvalid"),
        ({"key": "not a uuid"}, "TemplateConditionInvalid"),
    ],
)
async def test_a_wrong_template_is_named(connection: Connection, template: dict[str, str], reason: str) -> None:
    with pytest.raises(TemplateError) as refused:
        await installed(connection, template=template)
    assert refused.value.reason == reason


async def test_a_blueprint_with_absent_names_says_all_of_them(connection: Connection) -> None:
    wrong = {
        "root": {"table": "campaigns", "set": {"colour": "1", "name": "nonsense("}},
        "tables": [{"name": "spells"}],
    }
    with pytest.raises(BlueprintError) as refused:
        await installed(connection, blueprint={"inline": wrong})
    assert refused.value.faults == ["table spells does not exist: correct its name, or qualify it with its schema"]
    wrong["tables"] = []
    with pytest.raises(BlueprintError) as refused:
        await installed(connection, blueprint={"inline": wrong})
    assert refused.value.faults == ["table public.campaigns has no column colour: correct its name"]
    del wrong["root"]["set"]["colour"]  # type: ignore[attr-defined] # a nest of dicts
    with pytest.raises(BlueprintError, match=r"table public\.campaigns, set name: a `\(` is not closed"):
        await installed(connection, blueprint={"inline": wrong})


async def test_a_unique_column_that_every_clone_would_repeat_is_named(connection: Connection) -> None:
    await connection.execute("ALTER TABLE campaigns ADD COLUMN slug text; UPDATE campaigns SET slug = id::text")
    await connection.execute("CREATE UNIQUE INDEX one_slug ON campaigns (slug)")
    with pytest.raises(BlueprintError, match=r"unique index one_slug of public.campaigns \(slug\)"):
        await installed(connection)


async def test_names_are_found_where_the_role_finds_them(connection: Connection) -> None:
    """Types, functions and triggers of schemas that hold no table of the blueprint."""
    await connection.execute(
        """
        CREATE SCHEMA "Tool box";
        CREATE TYPE "Tool box".mood AS ENUM ('glad', 'so so');
        CREATE DOMAIN "Tool box"."Per cent" AS integer CHECK (VALUE <= 100);
        CREATE FUNCTION "Tool box".shout(text) RETURNS text LANGUAGE sql AS $$ SELECT upper($1) || '!' $$;
        CREATE TABLE "Tool box".heard (name text);
        CREATE FUNCTION "Tool box".listen() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO heard VALUES (NEW.name); RETURN NEW; END $$;
        SET search_path = public, "Tool box";
        CREATE TRIGGER listen BEFORE INSERT ON campaigns FOR EACH ROW EXECUTE FUNCTION listen();
        ALTER TABLE campaigns ADD mood mood DEFAULT 'glad', ADD moods mood[] DEFAULT '{glad,"so so"}',
            ADD luck "Per cent" DEFAULT 50, ADD lucks "Per cent"[] DEFAULT '{1}';
        """
    )
    blueprint = spec().blueprint.model_dump(by_alias=True, exclude_none=True)
    blueprint["inline"]["root"]["set"] |= {"description": "shout($name)", "mood": "'so so'", "luck": "7"}
    await installed(connection, blueprint=blueprint)
    await connection.execute("SET search_path = pg_catalog")
    (key,) = await filled(connection, "", 1)
    row = await connection.fetchrow(
        "SELECT description, mood::text, moods::text, luck, lucks FROM public.campaigns WHERE id = $1", key
    )
    assert row
    assert tuple(row)[1:] == ("so so", '{glad,"so so"}', 7, [1])
    assert row["description"].startswith("CHIWAR-")
    assert row["description"].endswith("!")
    heard = await connection.fetchval('SELECT count(*) FROM "Tool box".heard WHERE name LIKE $1', "chiwar-%")
    assert heard == 1


async def test_no_more_campaigns_retire_than_were_asked_for_whatever_the_planner_does(
    connection: Connection,
) -> None:
    await installed(connection)
    await filled(connection, "", 5)
    # A subquery that is run once for every row would lock another one each time.
    await connection.execute("SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off")
    await connection.execute("SET enable_memoize = off; SET enable_indexscan = off; SET enable_bitmapscan = off")
    await connection.execute("SET enable_hashagg = off; SET enable_sort = off")
    assert await retiring.retire(connection, POOL, 2) == 2


async def test_a_revision_is_not_dropped_under_a_claim_that_found_it(connection: Connection, chiwar_url: str) -> None:
    await installed(connection)
    claiming = await asyncpg.connect(chiwar_url)
    transaction = claiming.transaction()
    await transaction.start()
    assert (await claim(claiming, NEW))["source"] == "clone"
    other = spec().blueprint.model_dump(by_alias=True, exclude_none=True)
    other["inline"]["root"]["set"]["description"] = "'another'"
    await installed(connection, blueprint=other)
    assert await install.drop_unused(connection, POOL) == 0, "a claim is under way"
    await transaction.rollback()
    assert await install.drop_unused(connection, POOL) == 1
    await claiming.close()


async def test_a_release_undoes_what_its_claim_inserted_whatever_made_the_campaign(connection: Connection) -> None:
    """A campaign of an older revision is claimed by the rules of the present one."""
    await installed(connection)
    await filled(connection, "", 1)
    other = spec().blueprint.model_dump(by_alias=True, exclude_none=True)
    (row,) = other["inline"]["onClaim"]["insert"]
    other["inline"]["onClaim"]["insert"] = [row, {"table": "notes", "values": {"campaign": "$campaign"}}]
    await connection.execute("CREATE TABLE notes (campaign uuid NOT NULL REFERENCES campaigns)")
    await installed(connection, blueprint=other)
    got = await claim(connection, NEW)
    assert got["source"] == "master"
    await connection.execute("SELECT campaign_pool.release($1)", got["campaign_id"])
    assert await connection.fetchval("SELECT count(*) FROM notes") == 0
    assert await retiring.remove(connection, POOL, 1) == 1
