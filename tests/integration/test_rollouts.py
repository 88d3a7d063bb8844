"""Revisions that follow each other: which campaigns a claim may give, which are kept, and what is refused."""

import re

import asyncpg
import pytest

from campaignpool.blueprint import compilation, install
from campaignpool.blueprint.canary import Canary
from campaignpool.errors import BlueprintError
from campaignpool.ledger import pools, retiring, templates
from campaignpool.ledger.database import Connection
from campaignpool.ledger.templates import Refused
from tests.support import resources, small
from tests.support.small import POOL

pytestmark = pytest.mark.integration
CLAIM = "SELECT campaign_id, source FROM campaign_pool.claim($1, $2)"
READY = "SELECT root_key FROM campaign_pool.campaign WHERE state = 'ready' AND revision_id = $1 ORDER BY root_key"


async def ready(connection: Connection, revision: int) -> list[str]:
    return [row["root_key"] for row in await connection.fetch(READY, revision)]


async def claimed(connection: Connection) -> asyncpg.Record:
    row = await connection.fetchrow(CLAIM, POOL, "ann")
    assert row
    return row


async def frozen(connection: Connection, replaces: int) -> int | None:
    """Freeze the template again, as the operator does when its rows have changed."""
    wanted = small.spec()
    assert wanted.blueprint.inline
    compiled = await compilation.compile_blueprint(connection, wanted, wanted.blueprint.inline)
    return await install.install(connection, POOL, compiled, replaces=replaces)


async def test_a_change_of_rows_is_frozen_once(connection: Connection) -> None:
    await connection.execute("UPDATE things SET name = 'new' WHERE name = 'thing 1'")
    assert await frozen(connection, replaces=1) == 2
    assert await frozen(connection, replaces=1) is None, "another operator was quicker"
    await small.filled(connection, 1)
    world = (await claimed(connection))["campaign_id"]
    assert await connection.fetchval("SELECT count(*) FROM things WHERE world_id = $1 AND name = 'new'", world) == 1


async def test_going_back_takes_campaigns_of_later_revisions_out_of_service(connection: Connection) -> None:
    await small.put(connection, small.spec(size=4, rollout={}))
    await small.filled(connection, 2)
    await small.put(connection, small.spec(2, size=4, rollout={}))
    await small.filled(connection, 2, "second")
    (first, second), withdrawn = await ready(connection, 1), await ready(connection, 2)
    assert await install.use(connection, 1)
    counts = (await pools.observe(connection, POOL)).owners[""]
    assert (counts.ready, counts.stale, counts.usable) == (4, 2, 2)
    assert await connection.fetchval("SELECT master_ready FROM campaign_pool.peek($1, 'ann')", POOL) == 2
    assert {(await claimed(connection))["campaign_id"] for _ in range(2)} == {first, second}
    assert (await claimed(connection))["source"] == "clone", "those of the later revision are given to nobody"
    assert await ready(connection, 2) == withdrawn
    assert await retiring.retire(connection, POOL, 2) in (1, 2)
    assert await ready(connection, 2) == []


async def test_what_goes_first_is_what_no_claim_may_give(connection: Connection) -> None:
    await small.put(connection, small.spec(size=4, rollout={}))
    await small.filled(connection, 2)
    await small.put(connection, small.spec(2, size=4, rollout={}))
    await small.filled(connection, 2, "second")
    assert await install.use(connection, 1)
    await small.filled(connection, 2, "third")
    await resources.put(connection, POOL, small.spec(2, size=4, rollout={}))
    assert await retiring.retire_surplus(connection, POOL) == 2
    assert (len(await ready(connection, 1)), await ready(connection, 2)) == (4, [])


async def test_the_latest_revisions_are_kept(connection: Connection) -> None:
    for version in range(2, 6):
        await small.put(connection, small.spec(version, rollout={"revisionHistoryLimit": 2}))
    assert (await pools.observe(connection, POOL)).kept == (1, 2, 3, 4, 5)
    assert (await pools.observe(connection, POOL)).prunable
    assert await install.drop_unused(connection, POOL) == 2
    seen = await pools.observe(connection, POOL)
    assert (seen.kept, seen.prunable) == ((3, 4, 5), False)
    assert await install.use(connection, 3)
    assert await install.drop_unused(connection, POOL) == 0, "two others"
    assert not await install.use(connection, 1)
    revision = (await pools.observe(connection, POOL)).revision
    assert revision is not None
    assert revision.id == 3


async def test_a_refusal_is_recorded_until_a_revision_goes_into_service(connection: Connection) -> None:
    refused = Refused("hash", "t1-0", "Canary()", "a constraint refuses row 3")
    await templates.refuse(connection, POOL, refused)
    assert (await pools.observe(connection, POOL)).refused == refused
    await small.put(connection, small.spec(2))
    assert (await pools.observe(connection, POOL)).refused is None


NO_ROOTLESS = "SELECT FROM worlds WHERE id = $campaign AND NOT EXISTS (SELECT FROM things WHERE world_id = $campaign)"
REFUSED = {
    "a query that returns a row": (
        "SELECT name FROM things WHERE world_id = $campaign",
        "spec.rollout.verify returned 3 rows for canary 1 of 2",
    ),
    "a query that is none": ("SELECT nothing FROM things", "spec.rollout.verify cannot be evaluated"),
    "a query that writes": ("SELECT setval('campaign_pool.tick', 1)", "cannot be evaluated"),
    "two statements": ("SELECT 1; DROP TABLE things", "a `;` ends a statement"),
    "a variable that it does not have": ("SELECT $owner", "$owner is no variable of it"),
}


async def put_into_service(connection: Connection, canary: Canary, version: int = 2) -> int | None:
    wanted = small.spec(version)
    assert wanted.blueprint.inline
    compiled = await compilation.compile_blueprint(connection, wanted, wanted.blueprint.inline)
    return await install.install(connection, POOL, compiled, replaces=1, canary=canary)


@pytest.mark.parametrize("case", REFUSED)
async def test_a_canary_that_fails_leaves_the_revision_in_service_and_nothing_behind(
    connection: Connection, case: str
) -> None:
    query, cause = REFUSED[case]
    before = await connection.fetchval("SELECT count(*) FROM worlds")
    with pytest.raises(BlueprintError, match=re.escape(cause)):
        await put_into_service(connection, Canary(2, query))
    seen = await pools.observe(connection, POOL)
    assert seen.kept == (1,)
    assert await connection.fetchval("SELECT count(*) FROM worlds") == before


async def test_a_canary_is_asked_about_campaigns_that_are_whole_and_rolled_back(connection: Connection) -> None:
    assert await put_into_service(connection, Canary(3, NO_ROOTLESS)) == 2
    assert await connection.fetchval("SELECT count(*) FROM worlds") == 1


async def test_a_canary_of_two_finds_what_one_campaign_does_not_show(connection: Connection) -> None:
    await connection.execute("""
        CREATE FUNCTION alone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF (SELECT count(*) FROM worlds) > 2 THEN RAISE 'there are two already'; END IF;
            RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER alone AFTER INSERT ON worlds DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION alone();
    """)
    with pytest.raises(BlueprintError, match="there are two already"):
        await put_into_service(connection, Canary(2))
    assert await put_into_service(connection, Canary(1)) is not None


async def test_outdated_campaigns_are_counted_where_they_are_replaced(connection: Connection) -> None:
    await small.filled(connection, 2)
    for strategy, outdated in (("RollingUpdate", 2), ("OnReplenish", 0), ("Paused", 0)):
        await small.put(connection, small.spec(2, rollout={"strategy": strategy}))
        counts = (await pools.observe(connection, POOL)).owners[""]
        assert (counts.usable, counts.stale, counts.outdated) == (2, 2, outdated)
    await small.put(connection, small.spec(2, claims={"allowStale": False}))
    counts = (await pools.observe(connection, POOL)).owners[""]
    assert (counts.usable, counts.outdated) == (0, 0), "no claim may give them: they are not there"


async def test_health_counts_what_claims_may_give(connection: Connection) -> None:
    await small.filled(connection, 2)
    await small.put(connection, small.spec(2, size=2, claims={"allowStale": False}))
    row = await connection.fetchrow("SELECT * FROM campaign_pool.health($1)", POOL)
    assert row
    assert (row["state"], row["ready"]) == ("empty", 0)
    assert tuple(await connection.fetchrow("SELECT ready, stale FROM campaign_pool.pools") or ()) == (0, 2)


async def test_campaigns_that_are_too_old_are_outdated_and_claims_may_give_them(connection: Connection) -> None:
    changes = {"size": 3, "maxAge": "168h", "claims": {"allowStale": False}}
    await small.put(connection, small.spec(**changes))
    await small.filled(connection, 3)
    old = "UPDATE campaign_pool.campaign SET ready_at = ready_at - interval '8 days' WHERE root_key = $1"
    keys = await ready(connection, 1)
    await connection.execute(old, keys[0])
    for strategy in ("RollingUpdate", "Paused"):
        await small.put(connection, small.spec(**changes, rollout={"strategy": strategy}))
        counts = (await pools.observe(connection, POOL)).owners[""]
        assert (counts.usable, counts.stale, counts.outdated) == (3, 1, 1)
    await small.filled(connection, 1, "second")
    await resources.put(connection, POOL, small.spec(**changes))
    assert await retiring.retire_surplus(connection, POOL) == 1
    assert keys[0] not in await ready(connection, 1)
    for key in keys[1:]:
        await connection.execute(old, key)
    assert await connection.fetchval("SELECT ready FROM campaign_pool.pools") == 3
    got = [await claimed(connection) for _ in range(3)]
    assert {row["source"] for row in got} == {"master"}
    assert {row["campaign_id"] for row in got} >= set(keys[1:])


async def test_what_is_asked_of_each_campaign_costs_no_call(connection: Connection) -> None:
    """Postgres puts the expression in the place of the function, in claims too."""
    asked = (
        "is_usable(c.revision_id, p.revision_id, p.allow_stale)",
        "is_stale(c, p)",
        "is_outdated(c, p)",
    )
    for function in asked:
        query = f"SELECT FROM campaign_pool.campaign c, campaign_pool.pool p WHERE campaign_pool.{function}"
        plan = await connection.fetch(f"EXPLAIN (VERBOSE) {query}")
        assert not [row[0] for row in plan if "is_" in row[0]], function
