"""The demand that the ledger records: claims that got nothing are counted, and pauses are gaps."""

import asyncpg
import pytest

from campaignpool.ledger import demand
from campaignpool.ledger.database import Connection
from tests.support import resources
from tests.support.small import POOL, filled, put, spec

pytestmark = pytest.mark.integration
CLAIM = "SELECT * FROM campaign_pool.claim($1, $2, wait => $3::text::interval)"


async def claims(connection: Connection, *claimants: str, wait: bool = False) -> int:
    """Claim for each; return how many got nothing."""
    missed = 0
    for claimant in claimants:
        try:
            missed += await connection.fetchrow(CLAIM, POOL, claimant, "5 seconds" if wait else "0") is None
        except asyncpg.PostgresError as error:
            if error.sqlstate != "CP002":
                raise
            missed += 1
    return missed


async def totals(connection: Connection) -> tuple[int, int]:
    """Return claims and misses."""
    rows = await demand.read(connection, POOL)
    return sum(row.claims for row in rows), sum(row.misses for row in rows)


async def test_claims_that_fail_are_demand_although_they_are_rolled_back(connection: Connection) -> None:
    await put(connection, spec(claims={"onEmpty": "Fail"}))
    await demand.look(connection, POOL)
    await filled(connection, 1)
    assert await claims(connection, "ann", "ben", "cid") == 2
    await demand.look(connection, POOL)
    assert await totals(connection) == (3, 2)
    await demand.look(connection, POOL)
    assert await totals(connection) == (3, 2), "they are counted once"


async def test_a_client_that_tries_again_at_once_does_not_decide_the_demand(connection: Connection) -> None:
    await put(connection, spec(claims={"onEmpty": "Fail"}))
    await demand.look(connection, POOL)
    assert await claims(connection, *["ann"] * 50) == 50
    await demand.look(connection, POOL)
    assert await totals(connection) == (10, 10)
    assert await connection.fetchval("SELECT attempts FROM campaign_pool.miss") == 50


async def test_claims_that_wait_are_misses_and_become_demand_with_their_campaign(connection: Connection) -> None:
    await put(connection, spec(claims={"onEmpty": "Wait"}))
    await demand.look(connection, POOL)
    assert await claims(connection, "ann", wait=True) == 1
    await demand.look(connection, POOL)
    assert await totals(connection) == (0, 1)
    await filled(connection, 1)
    assert await claims(connection, "ann", wait=True) == 0
    assert await totals(connection) == (1, 1)


async def test_what_owners_have_of_their_own_is_no_demand_for_the_master_pool(connection: Connection) -> None:
    await put(connection, spec(owners=[{"id": "ann", "size": 1}]))
    await filled(connection, 1, owner="ann")
    assert await claims(connection, "ann", "ann") == 0
    assert await totals(connection) == (1, 1), "the second was cloned"


async def test_a_pause_and_a_lost_database_are_gaps_that_grow(connection: Connection) -> None:
    await put(connection, spec())
    for paused, lost in ((False, False), (True, False), (True, False), (False, False), (False, True), (False, False)):
        await resources.put(connection, POOL, spec(paused=paused))
        await demand.look(connection, POOL, lost=lost)
    gaps = await demand.gaps(connection, POOL)
    assert len(gaps) == 2
    (first, second), (third, fourth) = gaps
    assert first < second < third < fourth


async def test_the_demand_of_a_pool_that_does_not_exist_is_none(connection: Connection) -> None:
    await demand.look(connection, "game/other")
    assert await demand.read(connection, "game/other") == []
    assert await demand.gaps(connection, "game/other") == []
