"""Which campaign a claim takes: tickets and slots, owners, what is passed over, and the revision's own function."""

import asyncio
import json

import asyncpg
import pytest

from campaignpool.blueprint import install
from campaignpool.ledger import seeding
from campaignpool.ledger.database import Connection, connected
from tests.support import small, stock
from tests.support.small import POOL, filled

pytestmark = pytest.mark.integration
CLAIM = "SELECT campaign_id, source FROM campaign_pool.claim($1, 'ann', $2)"
TICKETS = "SELECT coalesce(pg_sequence_last_value(tickets), 0) FROM campaign_pool.pool WHERE name = $1"
SLOTS = "SELECT array_agg(slot ORDER BY slot) FROM campaign_pool.campaign WHERE state = 'ready'"
CALLS = """
SELECT array_agg(DISTINCT m[1] ORDER BY m[1]) FROM pg_proc, regexp_matches(prosrc, 'on_claim_(r[0-9]+)', 'g') m
WHERE proname = 'apply_on_claim'
"""


async def claimed(connection: Connection, key: str | None = None) -> str:
    """Claim; give the campaign."""
    return str(await asyncio.wait_for(connection.fetchval(CLAIM, POOL, key), 5))


async def claim(connection: Connection, key: str | None = None) -> str:
    """Claim; give where the campaign came from."""
    row = await connection.fetchrow(CLAIM, POOL, key)
    assert row
    return str(row["source"])


async def slots(connection: Connection) -> list[int]:
    return [row["slot"] for row in await connection.fetch("SELECT slot FROM campaign_pool.campaign ORDER BY slot")]


@pytest.mark.parametrize("mode", ["FOR UPDATE", "FOR KEY SHARE"])
async def test_what_somebody_holds_at_the_ticket_is_passed_over_and_not_waited_for(
    connection: Connection, other: Connection, mode: str
) -> None:
    await filled(connection, 5)
    await claimed(connection)  # the first ticket lies below the first slot
    holding = other.transaction()
    await holding.start()
    held = await other.fetchval(
        f"SELECT root_key FROM campaign_pool.campaign WHERE state = 'ready' ORDER BY slot LIMIT 1 {mode}"
    )
    first = await claimed(connection)
    assert first != held
    await holding.rollback()
    assert len({first, *[await claimed(connection) for _ in range(3)]}) == 4, "and it is not lost"
    assert await connection.fetchval(SLOTS) is None
    assert not await small.inconsistencies(connection)


async def test_what_a_claim_took_that_was_rolled_back_is_given_to_another(
    connection: Connection, other: Connection
) -> None:
    await filled(connection, 3)
    undone = other.transaction()
    await undone.start()
    once = await claimed(other)
    await undone.rollback()
    assert once in {await claimed(connection) for _ in range(3)}
    assert not await small.inconsistencies(connection)


async def test_the_ready_are_claimed_whoever_locked_and_let_go_of_them(connection: Connection) -> None:
    await filled(connection, 20)
    async with connection.transaction():
        await connection.execute("SELECT FROM campaign_pool.campaign FOR UPDATE")
    assert len({await claimed(connection) for _ in range(20)}) == 20
    assert not await small.inconsistencies(connection)


async def test_no_slot_is_given_twice_where_the_sequence_was_left_behind(connection: Connection) -> None:
    """A failover by logical replication brings the rows along, and not where the sequences were."""
    await filled(connection, 10)
    pool = await connection.fetchval("SELECT id FROM campaign_pool.pool")
    await connection.execute(
        f"ALTER SEQUENCE campaign_pool.slots_{pool} RESTART; ALTER SEQUENCE campaign_pool.tickets_{pool} RESTART"
    )
    await filled(connection, 5, "after")
    assert await connection.fetchval(SLOTS) == list(range(1, 16))
    assert len({await claimed(connection) for _ in range(15)}) == 15
    assert not await small.inconsistencies(connection)


async def test_claims_from_an_empty_pool_spend_no_tickets_of_the_slots_to_come(connection: Connection) -> None:
    await small.put(connection, small.spec(claims={"onEmpty": "Fail"}))
    await filled(connection, 2)
    for _ in range(2):
        await claim(connection)
    for _ in range(40):
        with pytest.raises(asyncpg.PostgresError, match="no campaign of pool"):
            await claim(connection)
    assert await connection.fetchval(TICKETS, POOL) <= 2
    await filled(connection, 3, "more")
    first, *rest = await slots(connection)
    assert await claim(connection) == "master"
    assert await slots(connection) == rest, "the lowest went first"
    assert await connection.fetchval(TICKETS, POOL) == first


async def test_what_lies_far_above_the_ticket_is_found_and_the_tickets_follow(connection: Connection) -> None:
    await filled(connection, 60)
    await connection.execute("UPDATE campaign_pool.campaign SET state = 'retiring' WHERE slot <= 40")
    assert await claim(connection) == "master"
    assert await connection.fetchval(TICKETS, POOL) == 40
    assert (await slots(connection))[40:] == list(range(41, 60)), "the newest went"
    for count in (1, 2):
        assert await claim(connection) == "master"
        assert (await slots(connection))[40:] == list(range(41 + count, 60)), "the lowest go"
        assert await connection.fetchval(TICKETS, POOL) == 40 + count


async def test_what_lies_near_the_ticket_is_found_and_the_tickets_follow(connection: Connection) -> None:
    await filled(connection, 20)
    await connection.execute("UPDATE campaign_pool.campaign SET state = 'retiring' WHERE slot <= 6")
    assert await claim(connection) == "master"
    assert await connection.fetchval(TICKETS, POOL) == 7
    assert (await slots(connection))[6:] == list(range(8, 21))


async def test_a_campaign_that_another_claim_holds_is_passed_over(connection: Connection, other: Connection) -> None:
    await filled(connection, 3)
    lowest, middle, highest = await slots(connection)
    transaction = other.transaction()
    await transaction.start()
    await claim(other)
    assert await claim(connection) == "master"
    await transaction.rollback()
    assert await slots(connection) == [lowest, highest], middle
    for _ in range(2):
        assert await claim(connection) == "master"
    assert await slots(connection) == []


async def test_a_pool_learns_that_it_has_campaigns_of_owners_by_whoever_reserves_them(connection: Connection) -> None:
    owned = "SELECT has_owners FROM campaign_pool.pool WHERE name = $1"
    await filled(connection, 1)
    assert not await connection.fetchval(owned, POOL)
    await filled(connection, 1, "own", "ann")
    assert await connection.fetchval(owned, POOL)
    assert [await claim(connection), await claim(connection)] == ["owner", "master"]


async def test_the_operator_sees_what_is_committed_whatever_its_role_begins_with(
    connection: Connection, small_url: str
) -> None:
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = 'repeatable read'")
    async with connected(small_url, "test") as operator:
        assert await operator.fetchval("SHOW transaction_isolation") == "read committed"


async def test_a_pool_that_was_deleted_comes_back_with_tickets_of_its_own(connection: Connection) -> None:
    await filled(connection, 1)
    await claim(connection)
    assert await connection.fetchval("SELECT campaign_pool.finish_deletion($1)", POOL)
    with pytest.raises(asyncpg.PostgresError, match="no pool named"):
        await claim(connection)
    await small.put(connection, small.spec())
    await filled(connection, 2, "again")
    assert [await claim(connection), await claim(connection)] == ["master", "master"]


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read"])
async def test_a_revision_that_the_session_was_not_yet_told_of_is_found(
    connection: Connection, isolation: str
) -> None:
    """Postgres shows a commit to new snapshots before it tells sessions which functions it replaced."""
    await filled(connection, 1)
    function = await connection.fetchval("SELECT 'on_claim_r' || revision_id FROM campaign_pool.pool")
    await connection.execute(
        f"ALTER FUNCTION campaign_pool.{function} RENAME TO hidden;"
        "SELECT campaign_pool.write_apply_on_claim();"
        f"ALTER FUNCTION campaign_pool.hidden RENAME TO {function}"
    )
    async with connection.transaction(isolation=isolation):  # type: ignore[arg-type] # one of the names
        assert await claim(connection) == "master"
    assert await connection.fetchval("SELECT player FROM members") == "ann"


async def test_what_is_dead_is_looked_at_once_by_who_reserves(connection: Connection) -> None:
    """Autovacuum comes once a minute at most; thousands of claims may have been made by then."""
    await connection.execute("ALTER TABLE campaign_pool.campaign SET (autovacuum_enabled = false)")
    await filled(connection, 5000)
    await connection.execute("ANALYZE campaign_pool.campaign")
    await connection.fetch("SELECT campaign_pool.claim($1, 'ann') FROM generate_series(1, 4980)", POOL)

    async def pages(job: str) -> int:
        text = await connection.fetchval(
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT campaign_pool.reserve($1, $2, 1, 1, 1)", POOL, job
        )
        return int(json.loads(text)[0]["Plan"]["Shared Hit Blocks"])

    await pages("first")
    table = await connection.fetchval("SELECT pg_relation_size('campaign_pool.campaign') / 8192")
    assert await pages("second") < table / 2, "as many as are live, and not as there are"


@pytest.mark.parametrize("pools", [1, 2, 9, 40])
async def test_a_claim_calls_the_function_of_its_pools_revision(connection: Connection, pools: int) -> None:
    for number in range(1, pools):
        await small.put(connection, small.spec(), f"game/other-{number}")
    await small.put(connection, small.spec(2))
    await small.put(connection, small.spec(), "game/one-more")
    assert len(await connection.fetchval(CALLS)) == pools + 1
    await filled(connection, 2)
    campaign = await claimed(connection)
    assert await connection.fetchval("SELECT player FROM worlds WHERE id = $1::uuid", campaign) == "ann"
    assert not await small.inconsistencies(connection)


async def test_what_is_installed_meanwhile_by_another_is_known_in_the_end(
    connection: Connection, other: Connection
) -> None:
    """An install may take long, and sees the revisions of other pools as they were when it began."""
    assert await connection.fetchval(CALLS) == ["r1"]
    async with other.transaction(isolation="repeatable_read"):
        await other.fetchval("SELECT count(*) FROM campaign_pool.pool")
        await small.put(connection, small.spec(2))
        assert await install.drop_unused(connection, POOL) == 1
        await other.execute("SELECT campaign_pool.write_apply_on_claim()")
    await small.put(connection, small.spec(3), "game/other")
    assert await connection.fetchval(CALLS) == ["r2", "r3"]


async def test_the_dispatcher_is_not_written_again_where_nothing_changed(connection: Connection) -> None:
    """Every session would have to plan its claims again."""
    version = "SELECT xmin::text FROM pg_proc WHERE oid = 'campaign_pool.apply_on_claim'::regproc"
    before = await connection.fetchval(version)
    await connection.execute("SELECT campaign_pool.write_apply_on_claim()")
    assert await connection.fetchval(version) == before


async def test_records_are_found_by_time(connection: Connection) -> None:
    await filled(connection, 2)
    for _ in range(2):
        await claim(connection)
    await connection.execute(
        "UPDATE campaign_pool.claimed SET claimed_at = now() - interval '40 days' "
        "WHERE id = (SELECT min(id::text)::uuid FROM campaign_pool.claimed)"
    )
    async with connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        plan = "\n".join(
            row[0]
            for row in await connection.fetch(
                "EXPLAIN SELECT FROM campaign_pool.claimed WHERE pool_id = 1 AND claimed_at > now() - interval '1 h'"
            )
        )
    assert "claimed_time" in plan
    assert await connection.fetchval("SELECT claims_of_day FROM campaign_pool.pools") == 1
    await connection.execute("SELECT campaign_pool.count_claims($1, '10 minutes')", POOL)
    assert await connection.fetchval("SELECT campaign_pool.prune_claimed($1, '30 days', 10)", POOL) == 1


async def test_a_run_counts_its_own_campaigns_whatever_others_left_behind(connection: Connection) -> None:
    """The index of states has an entry of all that was ever made, until no old transaction may see it."""
    assert await stock.reserve(connection, POOL, "one", 3) == 3
    assert await stock.reserve(connection, POOL, "two", 4, number=2) == 4
    assert (await seeding.seed(connection, POOL, "one", 2)).campaigns == 2
    assert await stock.reserve(connection, POOL, "one", 3) == 1
    assert (await seeding.seed(connection, POOL, "one", 5)).campaigns == 1
    assert await stock.reserve(connection, POOL, "one", 3) == 0
    with pytest.raises(asyncpg.PostgresError, match="no clone plan"):
        await connection.fetchval("SELECT campaign_pool.reserve('game/none', 'job', 1, 1, 1)")
