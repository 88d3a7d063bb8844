"""The short way of a claim: what it relies on in the pool's row, and when the longer way is taken instead."""

import asyncio
import json

import asyncpg
import pytest

from campaignpool.ledger import pools, seeding
from campaignpool.ledger.database import Connection, connected
from tests.support import small
from tests.support.small import POOL, filled

pytestmark = pytest.mark.integration
CLAIM = "SELECT campaign_id, source FROM campaign_pool.claim($1, 'ann', $2)"
TICKETS = "SELECT coalesce(pg_sequence_last_value(head), 0) FROM campaign_pool.pool WHERE name = $1"
ASLEEP = "SELECT asleep FROM campaign_pool.pool WHERE name = $1"


async def claim(connection: Connection, key: str | None = None) -> str:
    row = await connection.fetchrow(CLAIM, POOL, key)
    assert row
    return str(row["source"])


async def slots(connection: Connection) -> list[int]:
    return [row["slot"] for row in await connection.fetch("SELECT slot FROM campaign_pool.campaign ORDER BY slot")]


async def test_claims_need_not_look_at_the_bell_while_the_operator_is_awake(
    connection: Connection, other: Connection
) -> None:
    await filled(connection, 4)
    assert await pools.begin_waiting(other, POOL)
    assert await connection.fetchval(ASLEEP, POOL)
    await pools.wake(other, POOL)
    assert await connection.fetchval(ASLEEP, POOL), "nothing was told yet: who claims has to"
    await claim(connection)
    await pools.wake(other, POOL)
    assert not await connection.fetchval(ASLEEP, POOL)
    await claim(connection)
    assert not await connection.fetchval("SELECT asleep FROM campaign_pool.bell")
    assert await pools.begin_waiting(other, POOL)
    assert await connection.fetchval(ASLEEP, POOL)
    await claim(connection)
    assert not await connection.fetchval("SELECT asleep FROM campaign_pool.bell"), "it rang"


async def test_an_operator_that_falls_asleep_knows_of_a_claim_that_found_it_awake(
    connection: Connection, other: Connection
) -> None:
    await filled(connection, 2)
    await pools.begin_waiting(other, POOL)
    await claim(connection)
    await pools.wake(other, POOL)
    transaction = connection.transaction()
    await transaction.start()
    await claim(connection)
    assert not await pools.begin_waiting(other, POOL)
    await transaction.commit()
    assert await pools.begin_waiting(other, POOL)


async def test_a_ring_that_is_rolled_back_takes_no_others_with_it(
    connection: Connection, other: Connection, database_url: str
) -> None:
    await filled(connection, 2)
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = await asyncpg.connect(database_url)
    await listener.add_listener(pools.CHANNEL, lambda *said: heard.put_nowait(str(said[3])))
    await pools.begin_waiting(listener, POOL)
    transaction = other.transaction()
    await transaction.start()
    await claim(other)
    await claim(connection)
    await transaction.rollback()
    assert await asyncio.wait_for(heard.get(), 5) == POOL
    await listener.close()


async def test_two_of_many_claims_tell_an_operator_that_sleeps(
    connection: Connection, other: Connection, database_url: str
) -> None:
    """Commits that notify queue behind each other, so not all that are under way may tell."""
    many = 6
    await filled(connection, many)
    said: asyncio.Queue[str] = asyncio.Queue()
    await other.add_listener(pools.CHANNEL, lambda *each: said.put_nowait(str(each[3])))
    await pools.begin_waiting(connection, POOL)
    claimants = [await asyncpg.connect(database_url) for _ in range(many)]
    under_way = [each.transaction() for each in claimants]
    for transaction, each in zip(under_way, claimants, strict=True):
        await transaction.start()
        await claim(each)
    for transaction, each in zip(under_way, claimants, strict=True):
        await transaction.commit()
        await each.close()
    await connection.execute("SELECT pg_notify($1, 'that is all')", pools.CHANNEL)
    heard = []
    while (word := await asyncio.wait_for(said.get(), 5)) != "that is all":
        heard.append(word)
    assert heard == [POOL, POOL]


async def test_waking_waits_for_nobody(connection: Connection, other: Connection) -> None:
    """It is done on the connection that listens for all pools of a database."""
    await filled(connection, 2)
    await pools.begin_waiting(other, POOL)
    await claim(connection)
    for row in ("campaign_pool.pool", "campaign_pool.bell"):
        async with connection.transaction():
            await connection.execute(f"SELECT FROM {row} FOR UPDATE")
            await asyncio.wait_for(pools.wake(other, POOL), 5)
        assert await connection.fetchval(ASLEEP, POOL), "claims go on looking at the bell"
    await pools.wake(other, POOL)
    assert not await connection.fetchval(ASLEEP, POOL)


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
    assert await connection.fetchval(TICKETS, POOL) == 41
    assert await claim(connection) == "master"
    assert await connection.fetchval(TICKETS, POOL) == 42


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
    owned = "SELECT owned FROM campaign_pool.pool WHERE name = $1"
    await filled(connection, 1)
    assert not await connection.fetchval(owned, POOL)
    await filled(connection, 1, "own", "ann")
    assert await connection.fetchval(owned, POOL)
    assert [await claim(connection), await claim(connection)] == ["owner", "master"]


async def test_a_pool_learns_of_owners_from_a_run_that_the_release_before_began(connection: Connection) -> None:
    """That release knew nothing of the column; the run goes on under this one."""
    await filled(connection, 1)
    await seeding.reserve(connection, POOL, "own", "ann", 1, 1, 1)
    await connection.execute("UPDATE campaign_pool.pool SET owned = false")
    await seeding.reserve(connection, POOL, "own", "ann", 1, 1, 2)
    await seeding.seed(connection, POOL, "own", 1)
    assert await claim(connection) == "owner"


async def test_the_operator_sees_what_is_committed_whatever_its_role_begins_with(
    connection: Connection, database_url: str
) -> None:
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = 'repeatable read'")
    async with connected(database_url, "test") as operator:
        assert await operator.fetchval("SHOW transaction_isolation") == "read committed"


async def test_a_pool_that_was_buried_comes_back_with_tickets_of_its_own(connection: Connection) -> None:
    await filled(connection, 1)
    await claim(connection)
    assert await connection.fetchval("SELECT campaign_pool.bury($1)", POOL)
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
        "SELECT campaign_pool.write_on_claim();"
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
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT campaign_pool.reserve($1, $2, '', 1, 1, 1)", POOL, job
        )
        return int(json.loads(text)[0]["Plan"]["Shared Hit Blocks"])

    await pages("first")
    table = await connection.fetchval("SELECT pg_relation_size('campaign_pool.campaign') / 8192")
    assert await pages("second") < table / 2, "as many as are live, and not as there are"
