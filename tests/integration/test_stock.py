"""What owners have and lack: whom a run is for, and what it costs to know."""

import asyncio
import uuid

import pytest

from campaignpool.ledger import activity, pools, retiring, seeding
from campaignpool.ledger.database import Connection
from tests.support import resources, small
from tests.support.small import POOL

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("connection")]

OWNERS = [{"id": "ann", "size": 2}, {"id": "bob", "size": 1}]

CLAIMED = """
INSERT INTO campaign_pool.claimed (id, pool_id, revision_id, owner, campaign_id, claimant, source, claimed_at, waited,
    releasable_until, rules_id)
SELECT gen_random_uuid(), p.id, p.revision_id, '', n, 'user ' || n, 'master', now() - n * interval '30 days' / $2,
    '1 ms', now(), p.revision_id
FROM campaign_pool.pool p, generate_series(1, $2::integer) n WHERE p.name = $1
"""
READ = """
SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::integer FROM pg_stat_xact_user_tables
WHERE schemaname = 'campaign_pool'
"""


async def reserved(connection: Connection, job: str) -> dict[str, int]:
    query = "SELECT owner, count(*) FROM campaign_pool.campaign WHERE run = $1 GROUP BY owner"
    return dict(await connection.fetch(query, job))  # type: ignore[arg-type] # pairs


async def test_a_run_is_for_whoever_lacks_most_when_it_begins(connection: Connection) -> None:
    await resources.put(connection, POOL, small.spec(size=4, owners=OWNERS))
    assert await seeding.reserve(connection, POOL, "one", 1, 3, 1) == 3
    assert await reserved(connection, "one") == {"": 1, "ann": 1, "bob": 1}
    assert await seeding.reserve(connection, POOL, "two", 2, 2, 1) == 2
    assert await reserved(connection, "two") == {"": 2}, "a quarter of its size is less than half of hers"
    assert await seeding.reserve(connection, POOL, "three", 3, 100, 1) == 2
    assert await reserved(connection, "three") == {"": 1, "ann": 1}
    assert await seeding.reserve(connection, POOL, "four", 4, 100, 1) == 0
    for job in ("one", "two", "three"):
        while (await seeding.seed(connection, POOL, job, 10)).campaigns:
            pass
    totals, owners = await pools.counts(connection, POOL)
    assert (totals.owners, totals.desired, totals.ready, totals.lack, totals.surplus) == (3, 7, 7, 0, 0)
    assert {owner: item.ready for owner, item in owners.items()} == {"": 4, "ann": 2, "bob": 1}
    source = "SELECT source FROM campaign_pool.claim($1, 'ann')"
    assert [await connection.fetchval(source, POOL) for _ in range(3)] == ["owner", "owner", "master"]
    assert not await small.inconsistencies(connection)


async def test_a_run_can_be_ended_while_its_job_seeds(connection: Connection, other: Connection) -> None:
    await resources.put(connection, POOL, small.spec(size=4))
    assert await seeding.reserve(connection, POOL, "one", 1, 4, 1) == 4
    async with connection.transaction():
        # The first step of `seed`.
        await connection.execute(
            "SELECT FROM campaign_pool.campaign WHERE run = 'one' ORDER BY id LIMIT 2 FOR UPDATE"
        )
        ended = asyncio.create_task(seeding.finish_run(other, POOL, ("one", 1, 4, 1), "Failed", "JobDeleted"))
        while not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
            assert not ended.done()
        assert (await seeding.seed(connection, POOL, "one", 2)).campaigns == 2
    await ended
    states = "SELECT state, count(*) FROM campaign_pool.campaign GROUP BY state"
    assert dict(await connection.fetch(states)) == {"ready": 2, "failed": 2}  # type: ignore[arg-type] # pairs


async def test_what_the_sizes_ask_beyond_max_size_is_shared(connection: Connection) -> None:
    await resources.put(connection, POOL, small.spec(size=4, owners=OWNERS, maxSize=3))
    assert await seeding.reserve(connection, POOL, "one", 1, 100, 1) == 3
    assert await reserved(connection, "one") == {"": 2, "ann": 1}
    while (await seeding.seed(connection, POOL, "one", 10)).campaigns:
        pass
    await resources.put(connection, POOL, small.spec(size=0, owners=OWNERS[1:], maxSize=3))
    totals, _ = await pools.counts(connection, POOL, keep=1)
    assert (totals.lack, totals.surplus) == (1, 2), "one of the master pool's is kept for now"
    assert await retiring.retire_surplus(connection, POOL, keep=1) == 1, "bob gets the other"
    assert (await pools.counts(connection, POOL))[1]["bob"].ready == 1
    await resources.put(connection, POOL, small.spec(size=9, maxSize=3))
    assert await seeding.reserve(connection, POOL, "two", 2, 100, 1) == 0, "what is being deleted takes room"


async def test_spare_campaigns_are_given_to_owners_that_lack_some(connection: Connection) -> None:
    await small.filled(connection, 4)
    await resources.put(connection, POOL, small.spec(size=1, owners=OWNERS))
    assert await retiring.retire_surplus(connection, POOL) == 0, "three lack one each"
    _, owners = await pools.counts(connection, POOL)
    assert {owner: item.ready for owner, item in owners.items()} == {"": 1, "ann": 2, "bob": 1}
    source = "SELECT source FROM campaign_pool.claim($1, $2)"
    assert await connection.fetchval(source, POOL, "bob") == "owner"
    await resources.put(connection, POOL, small.spec(size=3, owners=[]))
    assert await retiring.retire_surplus(connection, POOL) == 0
    assert [await connection.fetchval(source, POOL, "cid") for _ in range(4)] == ["master"] * 3 + ["clone"]
    assert not await small.inconsistencies(connection)


async def test_a_loop_reads_as_much_with_many_recorded_claims_as_with_few(connection: Connection) -> None:
    await small.filled(connection, 3)
    last = await activity.observe(connection, POOL, None)

    async def read(claims: int) -> int:
        await connection.execute("TRUNCATE campaign_pool.claimed, campaign_pool.claim_total, campaign_pool.trend")
        await connection.execute("UPDATE campaign_pool.pool SET counted_until = '-infinity', counted_claims = 0")
        await connection.execute(CLAIMED, POOL, claims)
        await connection.execute("ANALYZE campaign_pool.claimed")
        await pools.prune(connection, POOL)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            before = await connection.fetchval(READ)
            assert (await pools.observe(connection, POOL)).totals.claimed == claims
            await activity.observe(connection, POOL, last)
            return int(await connection.fetchval(READ) - before)

    few, many = await read(100), await read(20_000)
    assert many <= few, "nothing but the claims of the last minutes"


async def test_a_loop_gets_the_sums_and_the_owners_that_lack_most(connection: Connection) -> None:
    owners = [{"id": str(uuid.uuid4()), "size": 1 + number % 3} for number in range(100)]
    await resources.put(connection, POOL, small.spec(size=1, owners=owners))
    totals, listed = await pools.counts(connection, POOL)
    assert (totals.owners, totals.lack, totals.empty) == (101, 200, 101)
    assert len(listed) == pools.OWNERS_SEEN
    assert next(iter(listed)) == "", "the master pool is always among them"
    assert {item.lack for item in listed.values()} == {1, 3}
