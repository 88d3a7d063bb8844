"""How the operator learns of changes: the first ones after it begins to wait notify it, and none commits unseen."""

import asyncio

import asyncpg
import pytest

from campaignpool.ledger import pools, seeding
from campaignpool.ledger.database import Connection
from tests.support import small, stock
from tests.support.small import POOL, filled

pytestmark = pytest.mark.integration
CLAIM = "SELECT campaign_id FROM campaign_pool.claim($1, 'ann')"


async def heard(listener: Connection, notify: Connection) -> "asyncio.Queue[str]":
    queue: asyncio.Queue[str] = asyncio.Queue()
    await listener.add_listener(pools.CHANNEL, lambda *said: queue.put_nowait(str(said[3])))
    assert await pools.begin_waiting(notify, POOL)
    return queue


async def until_now(queue: "asyncio.Queue[str]", connection: Connection) -> list[str]:
    """Return the notifications so far."""
    await connection.execute("SELECT pg_notify($1, 'that is all')", pools.CHANNEL)
    results = []
    while (word := await asyncio.wait_for(queue.get(), 5)) != "that is all":
        results.append(word)
    return results


async def test_the_first_changes_notify_and_of_the_later_ones_few(connection: Connection, other: Connection) -> None:
    await filled(connection, 40)
    queue = await heard(other, connection)
    for expected in (1, 1, 0, 1, *[0] * 11, 1, 0):
        await connection.execute(CLAIM, POOL)
        assert await until_now(queue, connection) == [POOL] * expected
    assert await pools.begin_waiting(connection, POOL)
    await connection.execute(CLAIM, POOL)
    assert await until_now(queue, connection) == [POOL]


async def test_seeding_and_releases_notify_too(connection: Connection, other: Connection) -> None:
    await stock.reserve(connection, POOL, "job", 1)
    queue = await heard(other, connection)
    await seeding.seed(connection, POOL, "job", 1)
    assert await until_now(queue, connection) == [POOL]
    campaign = await connection.fetchval(CLAIM, POOL)
    assert await pools.begin_waiting(connection, POOL)
    await until_now(queue, connection)
    await connection.execute("SELECT campaign_pool.release($1)", campaign)
    assert await until_now(queue, connection) == [POOL]


async def test_a_change_under_way_that_may_not_notify_is_known(connection: Connection, other: Connection) -> None:
    await filled(connection, 3)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(CLAIM, POOL)
    assert not await pools.begin_waiting(other, POOL)
    await transaction.commit()
    assert await pools.begin_waiting(other, POOL)


async def test_a_notification_that_is_rolled_back_takes_no_others_with_it(
    connection: Connection, other: Connection, small_url: str
) -> None:
    await filled(connection, 2)
    listener = await asyncpg.connect(small_url)
    queue = await heard(listener, connection)
    transaction = other.transaction()
    await transaction.start()
    await other.execute(CLAIM, POOL)
    await connection.execute(CLAIM, POOL)
    await transaction.rollback()
    assert await asyncio.wait_for(queue.get(), 5) == POOL
    await listener.close()


async def test_few_of_many_claims_under_way_notify(connection: Connection, other: Connection, small_url: str) -> None:
    """Commits that notify queue behind each other."""
    many = 15
    await filled(connection, many)
    queue = await heard(other, connection)
    claimants = [await asyncpg.connect(small_url) for _ in range(many)]
    under_way = [claimant.transaction() for claimant in claimants]
    for transaction, item in zip(under_way, claimants, strict=True):
        await transaction.start()
        await item.execute(CLAIM, POOL)
    for transaction, item in zip(under_way, claimants, strict=True):
        await transaction.commit()
        await item.close()
    assert await until_now(queue, connection) == [POOL] * 3


async def test_a_claim_that_sees_the_pool_of_long_ago_notifies(
    connection: Connection, other: Connection, small_url: str
) -> None:
    await filled(connection, 1)
    listener = await asyncpg.connect(small_url)
    async with other.transaction(isolation="repeatable_read"):
        await other.fetchval("SELECT count(*) FROM worlds")
        queue = await heard(listener, connection)
        await other.execute(CLAIM, POOL)
    assert await until_now(queue, connection) == [POOL]
    await listener.close()


async def test_begin_waiting_waits_for_nobody(connection: Connection, other: Connection) -> None:
    await small.put(connection, small.spec())
    async with connection.transaction():
        await connection.execute("SELECT FROM campaign_pool.pool FOR UPDATE")
        assert await asyncio.wait_for(pools.begin_waiting(other, POOL), 5)
