"""What happened in a pool since the last look: counted once, at a price that does not grow with the records."""

import asyncio
import json
from datetime import timedelta

import asyncpg
import pytest

from campaignpool.ledger import activity, pools, sql
from campaignpool.ledger.activity import CLAIM_SECONDS, Activity
from campaignpool.ledger.database import Connection
from tests.support import small
from tests.support.small import POOL

pytestmark = pytest.mark.integration

CLAIM = "SELECT campaign_id FROM campaign_pool.claim($1, 'ann')"
RECORDS = """
INSERT INTO campaign_pool.claimed (id, pool_id, revision_id, owner, campaign_id, claimant, source, claimed_at, waited,
                                   releasable_until, rules_id)
SELECT gen_random_uuid(), p.id, p.revision_id, '', 'c' || n, 'ann', 'master', now() - $2::interval, $3, now(),
       p.revision_id
FROM campaign_pool.pool p, generate_series(1, $1) n
"""


async def look(connection: Connection, last: Activity | None = None) -> Activity:
    seen = await activity.observe(connection, POOL, last)
    assert seen is not None
    return seen


def counts(seen: Activity) -> dict[str, int]:
    return {source: sum(durations.buckets) for source, durations in seen.claims.items()}


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims count at once."""
    monkeypatch.setattr(activity, "SETTLED", timedelta(0))


@pytest.mark.usefixtures("at_once")
async def test_claims_between_two_looks_are_counted_once_by_source(connection: Connection) -> None:
    await small.filled(connection, 2)
    await connection.fetch(CLAIM, POOL)
    first = await look(connection)
    assert first.claims == {}
    await connection.fetch(CLAIM, POOL)
    await connection.fetch(CLAIM, POOL)
    second = await look(connection, first)
    assert counts(second) == {"master": 1, "clone": 1}
    assert all(durations.seconds > 0 for durations in second.claims.values())
    latest = await connection.fetchval("SELECT max(claimed_at) FROM campaign_pool.claimed")
    assert second.last_claim_at == latest
    assert counts(await look(connection, second)) == {}


async def test_a_claim_that_commits_seconds_later_is_counted(connection: Connection, other: Connection) -> None:
    await small.filled(connection, 1)
    first = await look(connection)
    transaction = other.transaction()
    await transaction.start()
    await other.fetch(CLAIM, POOL)
    second = await look(connection, first)
    await transaction.commit()
    third = await look(connection, second)
    assert counts(second) == counts(third) == {}, "too early"
    assert third.last_claim_at is not None
    later = await connection.fetchval("SELECT clock_timestamp()")
    await connection.execute("UPDATE campaign_pool.claimed SET claimed_at = $1", later - activity.SETTLED)
    assert counts(await look(connection, third)) == {"master": 1}


@pytest.mark.usefixtures("at_once")
async def test_durations_are_in_the_bucket_of_their_bound(connection: Connection) -> None:
    first = await look(connection)
    waits = [timedelta(seconds=seconds) for seconds in (0.0, 0.0005, 0.000501, 0.25, 5, 5.000001, 60)]
    for wait in waits:
        await connection.execute(RECORDS, 1, timedelta(0), wait)
    (durations,) = (await look(connection, first)).claims.values()
    wanted = [0] * (len(CLAIM_SECONDS) + 1)
    for wait in waits:
        bounds = [number for number, bound in enumerate(CLAIM_SECONDS) if wait.total_seconds() <= bound]
        wanted[bounds[0] if bounds else len(CLAIM_SECONDS)] += 1
    assert durations.buckets == tuple(wanted)
    assert wanted[-1] == 2
    assert durations.seconds == pytest.approx(sum(wait.total_seconds() for wait in waits))


async def test_a_look_costs_the_same_whatever_the_number_of_records(connection: Connection) -> None:
    """Of 40 claims since the last look and 20,000 before it, 40 are read."""
    await connection.execute(RECORDS, 20_000, timedelta(hours=1), timedelta(0))
    await connection.execute(RECORDS, 40, timedelta(seconds=20), timedelta(0))
    await connection.execute("VACUUM ANALYZE campaign_pool.claimed")
    now = await connection.fetchval("SELECT clock_timestamp()")
    queries = sql.queries("activity")
    since, until = now - timedelta(seconds=40), now - timedelta(seconds=10)
    for query, arguments in (("now", (POOL,)), ("claims", (POOL, since, until, list(CLAIM_SECONDS)))):
        explained = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {queries[query]}", *arguments)
        plan = json.loads(explained)[0]["Plan"]
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 60, json.dumps(plan, indent=1)


async def test_the_oldest_are_those_that_are_left(connection: Connection) -> None:
    async def oldest() -> tuple[object, object]:
        totals, _ = await pools.counts(connection, POOL)
        return totals.oldest_ready_at, totals.oldest_reserved_at

    assert await oldest() == (None, None)
    await small.filled(connection, 2)
    await connection.execute("UPDATE campaign_pool.campaign SET reserved_at = now() - interval '1 day'")
    ready, last = await connection.fetchrow("SELECT min(ready_at), max(ready_at) FROM campaign_pool.campaign") or ()
    assert await oldest() == (ready, None), "a campaign that is made waits for nothing"
    reserved = await connection.fetchval(
        "UPDATE campaign_pool.campaign SET state = 'seeding' WHERE ready_at = $1 RETURNING reserved_at", ready
    )
    assert await oldest() in {(last, reserved), (None, reserved)}


async def misses(connection: Connection) -> int:
    return (await look(connection)).misses


@pytest.mark.parametrize(
    ("changes", "statement", "refusal"),
    [
        ({"claims": {"onEmpty": "Fail"}}, CLAIM, "CP002"),
        ({"claims": {"onEmpty": "Wait"}}, CLAIM, "CP002"),
        ({"claims": {"onEmpty": "Wait"}}, CLAIM.replace(")", ", wait => '1 s')"), None),
        ({"claims": {"onEmpty": "Fail"}, "paused": True}, CLAIM, "CP005"),
    ],
)
async def test_a_claim_that_gets_nothing_is_a_miss_also_where_it_is_rolled_back(
    connection: Connection, changes: dict[str, object], statement: str, refusal: str | None
) -> None:
    await small.put(connection, small.spec(**changes))
    await small.filled(connection, 1)
    assert await connection.fetch(statement, POOL), "a campaign is ready"
    assert await misses(connection) == 0
    for number in (1, 2):
        transaction = connection.transaction()
        await transaction.start()
        if refusal is None:
            assert await connection.fetch(statement, POOL) == []
        else:
            with pytest.raises(asyncpg.PostgresError) as refused:
                await connection.fetch(statement, POOL)
            assert refused.value.sqlstate == refusal
        await transaction.rollback()
        assert await misses(connection) == number


async def test_a_claim_that_is_cloned_has_a_record_and_is_no_such_miss(connection: Connection) -> None:
    assert await connection.fetch(CLAIM, POOL)
    assert await misses(connection) == 0


async def test_misses_of_many_sessions_are_all_counted(connection: Connection, small_url: str) -> None:
    await small.put(connection, small.spec(claims={"onEmpty": "Fail"}))

    async def miss() -> None:
        session = await asyncpg.connect(small_url)
        try:
            for _ in range(25):
                with pytest.raises(asyncpg.PostgresError, match="no campaign of pool"):
                    await session.fetch(CLAIM, POOL)
        finally:
            await session.close()

    await asyncio.gather(*(miss() for _ in range(4)))
    assert await misses(connection) == 100


async def test_the_counter_of_misses_goes_with_the_pool(connection: Connection) -> None:
    await small.put(connection, small.spec(claims={"onEmpty": "Fail"}))
    with pytest.raises(asyncpg.PostgresError):
        await connection.fetch(CLAIM, POOL)
    assert await pools.finish_deletion(connection, POOL)
    assert await misses(connection) == 0
    left = await connection.fetchval("SELECT count(*) FROM pg_sequences WHERE sequencename LIKE 'misses%'")
    assert left == 0
    assert await activity.observe(connection, "game/nowhere", None) is None
