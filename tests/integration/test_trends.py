"""Trends: one row an hour of what happened in a pool, also once the records are gone."""

from datetime import datetime, timedelta

import asyncpg
import pytest

from campaignpool.ledger import claims, demand, pools, seeding, trends
from campaignpool.ledger.database import Connection
from campaignpool.ledger.trends import Hour
from tests.support.small import POOL, filled, put, spec

pytestmark = pytest.mark.integration
CLAIM = "SELECT * FROM campaign_pool.claim($1, 'ann', wait => $2::text::interval)"
EVERYTHING = datetime.fromisoformat("2000-01-01T00:00Z")


async def hours(connection: Connection) -> list[Hour]:
    return await trends.read(connection, POOL, EVERYTHING)


def total(rows: list[Hour], *names: str) -> list[int]:
    return [sum(getattr(hour, name) for hour in rows) for name in names]


async def test_an_hour_says_what_claims_and_runs_there_were_also_once_their_records_are_deleted(
    connection: Connection,
) -> None:
    await filled(connection, 1)
    await seeding.finish_run(connection, POOL, ("job", 1, 1, 1), "Succeeded")
    await seeding.finish_run(connection, POOL, ("other", 2, 1, 1), "Failed", "OOMKilled", "no memory")
    await connection.fetch(CLAIM, POOL, "0")
    await connection.fetch(CLAIM, POOL, "0")
    await put(connection, spec(claims={"onEmpty": "Wait"}))
    await demand.look(connection, POOL)
    await connection.fetch(CLAIM, POOL, "5 seconds")
    await demand.look(connection, POOL)
    await put(connection, spec(claims={"onEmpty": "Fail"}))
    with pytest.raises(asyncpg.PostgresError, match="no campaign"):
        await connection.fetch(CLAIM, POOL, "0")
    await demand.look(connection, POOL)

    names = ("owner", "master", "clone", "unserved", "waiting", "refills", "failed_runs", "campaigns")
    before = await hours(connection)
    assert total(before, *names) == [0, 1, 1, 1, 1, 1, 1, 1]
    assert {hour.lowest_ready for hour in before if hour.clone + hour.unserved + hour.waiting} == {0}
    rate = "SELECT claims_of_day, hit_rate_of_day FROM campaign_pool.pools"
    assert tuple(await connection.fetchrow(rate) or ()) == (2, 0.0), (
        "the claim from the pool stands for the one that waited"
    )

    await connection.execute(
        "UPDATE campaign_pool.claimed SET claimed_at = claimed_at - interval '40 days';"
        "UPDATE campaign_pool.miss SET counted_at = counted_at - interval '40 days';"
        "UPDATE campaign_pool.run SET finished_at = finished_at - interval '40 days'"
    )
    moved = await hours(connection)
    assert (await pools.observe(connection, POOL)).prunable
    await pools.prune(connection, POOL)
    await connection.execute("DELETE FROM campaign_pool.run; DELETE FROM campaign_pool.miss")
    assert await connection.fetchval("SELECT count(*) FROM campaign_pool.claimed") == 0
    assert await hours(connection) == moved
    assert total(moved, *names) == total(before, *names)
    assert sum(row.claims for row in await demand.read(connection, POOL)) == 3
    assert sum(row.misses for row in await demand.read(connection, POOL)) == 3

    await connection.execute("UPDATE campaign_pool.trend SET hour = hour - interval '380 days'")
    await connection.execute(
        "SELECT campaign_pool.prune($1, '1 day', make_interval(days => $2))", POOL, claims.HOURS_DAYS
    )
    assert await hours(connection) == []


async def test_the_lowest_stock_of_ten_minutes_stays(connection: Connection) -> None:
    for ready in (5, 2, 4):
        await trends.record_stock(connection, POOL, ready)
    now = await pools.clock(connection)
    rows = await hours(connection)
    assert now - rows[-1].hour < timedelta(hours=1)
    assert [hour.lowest_ready for hour in rows] in ([2], [2, 4])
    assert rows[-1].lowest[now.minute // 10] in (2, 4)
