"""A pool in the ledger: whose it is, what is counted and kept of it, and two operators at the same time."""

import asyncio

import asyncpg
import pytest

from campaignpool.blueprint import install
from campaignpool.errors import TransientError
from campaignpool.ledger import pools, retiring, seeding
from campaignpool.ledger.database import Connection
from tests.support import resources, small, stock
from tests.support.small import POOL, filled

pytestmark = pytest.mark.integration
CLAIM = "SELECT campaign_id, source FROM campaign_pool.claim($1, $2, $3)"


async def claim(connection: Connection, claimant: str = "ann", key: str | None = None) -> asyncpg.Record:
    row = await connection.fetchrow(CLAIM, POOL, claimant, key)
    assert row
    return row


# The resource.


async def test_a_deleted_pool_does_not_come_back_by_the_resource_that_was_deleted(connection: Connection) -> None:
    """A loop that began before the deletion may end after it."""
    uid = await resources.uid(connection, POOL)
    assert uid
    await pools.put_pool(connection, POOL, uid, small.spec())
    assert not await pools.close_pool(connection, POOL, "another resource of this name")
    assert await pools.close_pool(connection, POOL, uid)
    for finished in (False, True):
        with pytest.raises(TransientError) as refused:
            await pools.put_pool(connection, POOL, uid, small.spec())
        assert refused.value.reason == "ResourceDeleted"
        with pytest.raises(asyncpg.PostgresError, match="no pool named"):
            await claim(connection)
        assert finished or await pools.finish_deletion(connection, POOL)
    await pools.put_pool(connection, POOL, "a new resource", small.spec())
    await small.put(connection, small.spec())
    assert (await claim(connection))["source"] == "clone"
    with pytest.raises(TransientError):
        await pools.put_pool(connection, POOL, uid, small.spec())
    assert not await pools.close_pool(connection, POOL, uid), "it closes nothing of the new resource's"
    assert (await claim(connection))["source"] == "clone"


async def test_settings_need_no_blueprint(connection: Connection) -> None:
    await pools.put_pool(connection, "game/new", "uid", small.spec(paused=True, claims={"onEmpty": "Fail"}))
    row = await connection.fetchrow(
        "SELECT paused, on_empty, max_size, lifetime = '1 hour' AS hour, root_table FROM campaign_pool.pool "
        "WHERE name = 'game/new'"
    )
    assert tuple(row or ()) == (True, "Fail", 10_000, True, None)
    with pytest.raises(asyncpg.PostgresError, match="is paused"):
        await connection.execute("SELECT campaign_pool.claim('game/new', 'ann')")
    assert (await pools.observe(connection, "game/new")).revision is None


async def test_a_setting_is_written_only_where_it_differs(connection: Connection) -> None:
    version = "SELECT ctid::text FROM campaign_pool.pool"
    await connection.execute("UPDATE campaign_pool.pool SET look_by = now()")
    await resources.put(connection, POOL, small.spec())
    before = await connection.fetchval(version)
    await resources.put(connection, POOL, small.spec())
    assert await connection.fetchval(version) == before
    await resources.put(connection, POOL, small.spec(maxSize=7))
    assert await connection.fetchval("SELECT max_size FROM campaign_pool.pool") == 7


# Two operators.


async def test_two_operators_do_not_both_retire_what_is_too_many(connection: Connection, other: Connection) -> None:
    await filled(connection, 2)
    await resources.put(connection, POOL, small.spec(size=1))
    async with connection.transaction():
        assert await retiring.retire_surplus(connection, POOL) == 1
        second = asyncio.create_task(retiring.retire_surplus(other, POOL))
        await small.until(lambda: connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))
    assert await second == 0
    assert (await pools.counts(connection, POOL))[0].ready == 1


async def test_claims_do_not_queue_behind_a_revision_that_cannot_be_dropped(
    connection: Connection, other: Connection, small_url: str
) -> None:
    await filled(connection, 3)
    third = await small.connect(small_url, lock_timeout="2s")  # much longer than they may wait
    transaction = other.transaction()
    await transaction.start()
    await claim(other)
    await small.put(connection, small.spec(2))
    await retiring.retire(connection, POOL)
    while await retiring.remove(connection, POOL, 10):
        pass
    dropping = asyncio.create_task(install.drop_unused(connection, POOL))
    while not dropping.done():
        await claim(third)
    assert await dropping == 0
    await transaction.rollback()
    await third.close()


CLAIMS = """
DO $$ BEGIN
    PERFORM campaign_pool.claim('game/small', 'ann');
    LOOP
        EXIT WHEN EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted);
        PERFORM pg_sleep(0.001);
    END LOOP;
END $$
"""
"""A claim that goes on until somebody waits for it: claims without a gap are the same to those who do not."""


async def test_a_revision_is_dropped_although_claims_follow_each_other_without_a_gap(
    connection: Connection, other: Connection
) -> None:
    await small.put(connection, small.spec(2))
    claiming = asyncio.create_task(other.execute(CLAIMS))
    await small.until(lambda: connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"))
    async with asyncio.timeout(10):
        while not await install.drop_unused(connection, POOL):
            pass
    await claiming


async def test_no_slot_is_given_twice_by_two_seeders_after_a_failover(
    connection: Connection, other: Connection, small_url: str
) -> None:
    """Both find the sequence behind what it gave."""
    await filled(connection, 10)
    for number, job in enumerate(("one", "two"), 2):
        await stock.reserve(connection, POOL, job, 3, number=number)
    row = await connection.fetchrow("SELECT id, slots::text FROM campaign_pool.pool")
    assert row
    await connection.execute(f"ALTER SEQUENCE {row['slots']} RESTART")
    third = await asyncpg.connect(small_url)
    lock = f"hashtextextended('campaign_pool.slots {row['id']}', 0)"
    await third.execute(f"SELECT pg_advisory_lock({lock})")
    seeds = [
        asyncio.create_task(seeding.seed(session, POOL, job, 3))
        for session, job in ((connection, "one"), (other, "two"))
    ]
    await small.until(lambda: third.fetchval("SELECT count(*) = 2 FROM pg_locks WHERE NOT granted"))
    await third.execute(f"SELECT pg_advisory_unlock({lock})")
    await asyncio.gather(*seeds)
    await third.close()
    slots = await connection.fetchval("SELECT array_agg(slot ORDER BY slot) FROM campaign_pool.campaign")
    assert slots == list(range(1, 17))


# Keys, names and numbers.


async def test_an_applications_lock_on_the_text_of_a_key_delays_no_claim(
    connection: Connection, other: Connection
) -> None:
    await other.execute("SELECT pg_advisory_lock(hashtextextended('request', 0))")
    await connection.execute("SET lock_timeout = '50ms'")
    assert await claim(connection, key="request")


async def test_slots_and_tickets_outgrow_an_integer(connection: Connection) -> None:
    await connection.execute("SELECT setval(slots, 3000000000), setval(tickets, 3000000000) FROM campaign_pool.pool")
    await filled(connection, 2)
    assert {(await claim(connection))["source"] for _ in range(2)} == {"master"}


async def test_pools_with_long_names_have_connections_of_their_own(connection: Connection, other: Connection) -> None:
    names = [f"a-namespace-of-many-words/a-pool-with-a-very-long-name-{number}" for number in range(2)]
    assert await seeding.acquire_connection_slot(connection, names[0], 1)
    assert await seeding.acquire_connection_slot(other, names[1], 1)
    assert not await seeding.acquire_connection_slot(other, names[0], 1)


IDS = """
CREATE TABLE players (id uuid PRIMARY KEY);
ALTER TABLE worlds ALTER player TYPE uuid USING NULL;
ALTER TABLE members ALTER player TYPE uuid USING player::uuid;
"""
UUID = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
SPELLINGS = (UUID, UUID.upper(), UUID.replace("-", ""), f"{{{UUID}}}")


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_ids_are_the_same_in_any_spelling(connection: Connection, spelling: str) -> None:
    await connection.execute(IDS)
    owners = [{"id": SPELLINGS[1], "size": 2}]
    await small.put(connection, small.spec(3, owners=owners))
    await filled(connection, 1)
    await filled(connection, 2, "own", SPELLINGS[1])
    peeked = await connection.fetchrow("SELECT * FROM campaign_pool.peek($1, $2)", POOL, spelling)
    assert tuple(peeked or ()) == ("owner", 2, 1)
    got = await claim(connection, spelling, "key")
    assert got["source"] == "owner"
    for again in SPELLINGS:
        assert await claim(connection, again, "key") == got
    with pytest.raises(asyncpg.PostgresError, match="of another claimant"):
        await claim(connection, "11111111-4e5f-4a6b-8c7d-9e0f1a2b3c4d", "key")
    await connection.execute("SELECT campaign_pool.release($1)", got["campaign_id"].upper().replace("-", ""))
    assert await connection.fetchval("SELECT count(*) FROM members") == 0


async def test_numbers_are_the_same_in_any_spelling(connection: Connection) -> None:
    await connection.execute(
        """
        CREATE TABLE rooms (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, guest integer, is_template boolean);
        INSERT INTO rooms (name, is_template) VALUES ('the template', true)
        """
    )
    root = {"table": "rooms", "set": {"is_template": "false"}}
    blueprint = {"root": root, "onClaim": {"set": {"guest": "$claimant"}}}
    await small.put(connection, small.spec(blueprint={"inline": blueprint}), "game/rooms")
    got = await connection.fetchrow(CLAIM, "game/rooms", "7", "key")
    assert await connection.fetchrow(CLAIM, "game/rooms", "+07", "key") == got
    assert got
    with pytest.raises(asyncpg.PostgresError, match="was not claimed"):
        await connection.execute("SELECT campaign_pool.release('1000')")
    await connection.execute("SELECT campaign_pool.release($1)", f" 00{got['campaign_id']}")
    assert await connection.fetchval("SELECT released_at FROM campaign_pool.claimed") is not None


# What is counted and kept.


async def test_claims_are_counted_once(connection: Connection) -> None:
    await filled(connection, 6)
    await filled(connection, 1, "own", "ann")
    for _ in range(5):
        await claim(connection)
    await connection.execute(
        "UPDATE campaign_pool.claimed SET claimed_at = claimed_at - interval '2 h' WHERE source = 'owner' OR id = ("
        "SELECT id FROM campaign_pool.claimed WHERE source = 'master' LIMIT 1)"
    )
    trends = "SELECT hour, claims, owner, master, clone, refills, campaigns FROM campaign_pool.trends ORDER BY hour"
    before = await connection.fetch(trends)

    async def claimed() -> dict[str, int]:
        totals, owners = await pools.counts(connection, POOL)
        assert totals.claimed == 5
        return {owner: item.claimed for owner, item in owners.items() if item.claimed}

    assert await claimed() == {"": 4, "ann": 1}
    assert (await pools.observe(connection, POOL)).prunable
    for _ in range(2):
        await pools.prune(connection, POOL)
        assert not (await pools.observe(connection, POOL)).prunable
        assert await claimed() == {"": 4, "ann": 1}
        assert await connection.fetch(trends) == before
    # The records are not read again.
    await connection.execute("DELETE FROM campaign_pool.claimed WHERE claimed_at < now() - interval '1 hour'")
    assert await claimed() == {"": 4, "ann": 1}
    assert await connection.fetch(trends) == before
    assert await connection.fetchval("SELECT claims_of_day FROM campaign_pool.pools") == 5


async def test_health_reads_no_records_of_claims(connection: Connection, other: Connection) -> None:
    await filled(connection, 2)
    await small.put(connection, small.spec(), "game/other")
    async with other.transaction():
        await other.execute("LOCK TABLE campaign_pool.claimed, campaign_pool.trend")
        await connection.execute("SET lock_timeout = '50ms'")
        row = await connection.fetchrow("SELECT * FROM campaign_pool.health($1)", POOL)
        assert tuple(row or ())[:5] == (POOL, True, "low", 5, 2)
        assert await connection.fetchval("SELECT count(*) FROM campaign_pool.health()") == 2


async def test_old_runs_are_pruned_although_nothing_else_is(connection: Connection) -> None:
    await connection.execute(
        "INSERT INTO campaign_pool.run "
        "(pool_id, job, number, count, generation, started_at, finished_at, outcome) "
        "SELECT id, 'job-' || n, n, 1, 1, now() - interval '9 days', now() - interval '8 days', 'Succeeded' "
        "FROM campaign_pool.pool, generate_series(1, 150) n"
    )
    assert (await pools.observe(connection, POOL)).prunable
    await pools.prune(connection, POOL)
    assert not (await pools.observe(connection, POOL)).prunable
    assert await connection.fetchval("SELECT min(number) FROM campaign_pool.run") == 51


async def test_failed_campaigns_are_prunable_once_they_are_old(connection: Connection) -> None:
    await stock.reserve(connection, POOL, "job", 2)
    await seeding.finish_run(connection, POOL, ("job", 1, 2, 1), "Failed", "SeedingFailed")
    assert not (await pools.observe(connection, POOL)).prunable
    await connection.execute("UPDATE campaign_pool.campaign SET reserved_at = reserved_at - interval '61 minutes'")
    assert (await pools.observe(connection, POOL)).prunable
    await pools.prune(connection, POOL)
    assert not (await pools.observe(connection, POOL)).prunable
    assert (await pools.counts(connection, POOL))[0].failed == 0


async def test_what_explains_the_past_is_kept_for_a_while(connection: Connection) -> None:
    await small.put(connection, small.spec(2))
    assert await install.drop_unused(connection, POOL) == 1
    await connection.execute(
        "INSERT INTO campaign_pool.trend (pool_id, hour, master) SELECT id, now() - n * interval '300 days', 1 "
        "FROM campaign_pool.pool, generate_series(1, 2) n"
    )
    await pools.prune(connection, POOL)
    assert await connection.fetchval("SELECT count(*) FROM campaign_pool.revision") == 2
    assert await connection.fetchval("SELECT count(*) FROM campaign_pool.trend") == 1
    await connection.execute("UPDATE campaign_pool.revision SET dropped_at = dropped_at - interval '31 days'")
    await pools.prune(connection, POOL)
    assert await connection.fetchval("SELECT count(*) FROM campaign_pool.revision") == 1


async def test_a_run_keeps_the_outcome_that_it_ended_with(connection: Connection) -> None:
    run = ("job", 1, 2, 1)
    for first, later in (("Succeeded", "Failed"), ("Failed", "Succeeded")):
        await stock.reserve(connection, POOL, "job", 2)
        await seeding.finish_run(connection, POOL, run, first, "Because" if first == "Failed" else None)
        await seeding.finish_run(connection, POOL, run, later, "JobDeleted", "too late")
        (seen,) = (await pools.observe(connection, POOL)).runs
        assert (seen.outcome, seen.message) == (first, None)


async def test_a_claim_may_be_released_although_the_lifetime_was_lowered_since(connection: Connection) -> None:
    await filled(connection, 1)
    got = await claim(connection)
    await connection.execute("UPDATE campaign_pool.claimed SET claimed_at = claimed_at - interval '30 minutes'")
    await small.put(connection, small.spec(2, claims={"lifetime": {"default": "1m", "maximum": "2m"}}))
    assert await install.drop_unused(connection, POOL) == 0
    await connection.execute("SELECT campaign_pool.release($1)", got["campaign_id"])
    assert await retiring.remove(connection, POOL, 1) == 1


async def test_a_release_says_that_the_revision_is_gone_and_not_the_pool(connection: Connection) -> None:
    await filled(connection, 1)
    got = await claim(connection)
    await small.put(connection, small.spec(2))
    await connection.execute("SELECT campaign_pool.drop_revision(1)")
    with pytest.raises(asyncpg.PostgresError, match="revision that it was made from was dropped") as refused:
        await connection.execute("SELECT campaign_pool.release($1)", got["campaign_id"])
    assert refused.value.sqlstate == "CP006"


async def test_a_constraint_that_is_checked_at_commit_is_diagnosed(connection: Connection) -> None:
    await connection.execute(
        """
        CREATE FUNCTION two_things() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.name = 'thing 2' THEN
                RAISE EXCEPTION 'no second thing' USING ERRCODE = 'check_violation', TABLE = 'things',
                    SCHEMA = 'public', CONSTRAINT = 'two_things';
            END IF;
            RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER two_things AFTER INSERT ON things DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION two_things();
        """
    )
    await stock.reserve(connection, POOL, "job", 1)
    with pytest.raises(asyncpg.PostgresError, match="no second thing"):
        await seeding.seed(connection, POOL, "job", 1)
    cause = await seeding.diagnose(connection, POOL, "job")
    assert cause
    assert cause.startswith("table public.things, row ")
    reason = "no second thing: raised by function two_things() at line 3"
    assert cause.endswith(f"of the template, constraint two_things: {reason}")
