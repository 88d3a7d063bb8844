"""Owners that no resource lists: users who claimed lately have pools."""

import pytest

from campaignpool.ledger import pools, retiring, seeding
from campaignpool.ledger.database import Connection
from tests.integration.test_stock import CLAIMED, READ
from tests.support import resources, small
from tests.support.small import POOL

pytestmark = pytest.mark.integration
SIZES = "SELECT owner, size FROM campaign_pool.target WHERE returned_at IS NOT NULL AND size > 0"


async def follow(connection: Connection, **changes: object) -> dict[str, int]:
    """Write the spec as every loop does; return the sizes of the owners that are not listed."""
    returning = {"size": 2, "maxOwners": 2, **dict(changes.pop("returning", {}))}  # type: ignore[call-overload] # a mapping
    await resources.put(connection, POOL, small.spec(size=1, returning=returning, **changes))
    return dict(await connection.fetch(SIZES))  # type: ignore[arg-type] # pairs


async def claim(connection: Connection, *players: str) -> list[str]:
    query = "SELECT source FROM campaign_pool.claim($1, $2)"
    return [await connection.fetchval(query, POOL, player) for player in players]


async def age(connection: Connection, player: str, days: int) -> None:
    """Let an owner's claims be older."""
    for table, name, moment in (("claimed", "claimant", "claimed_at"), ("target", "owner", "returned_at")):
        await connection.execute(
            f"UPDATE campaign_pool.{table} SET {moment} = {moment} - make_interval(days => $2) WHERE {name} = $1",
            player,
            days,
        )


async def test_whoever_claimed_lately_has_a_pool_the_most_recent_first(connection: Connection) -> None:
    await claim(connection, "ann", "bob", "cid")
    assert await follow(connection) == {"bob": 2, "cid": 2}
    await claim(connection, "ann")
    assert await follow(connection) == {"cid": 2, "ann": 2}
    assert await follow(connection, maxSize=4) == {"ann": 2}, "beside the master pool there is room for one"
    assert await follow(connection) == {"cid": 2, "ann": 2}
    listed = [{"id": "ann", "size": 5}]
    assert await follow(connection, owners=listed) == {"cid": 2, "bob": 2}, "listed owners win"
    assert await follow(connection, returning={"size": 1, "maxOwners": 9}) == {"ann": 1, "bob": 1, "cid": 1}
    totals, owners = await pools.counts(connection, POOL)
    assert (totals.owners, totals.returning, totals.desired, totals.lack) == (4, 3, 4, 4)
    assert owners["ann"].claimed == 0, "what was claimed came from no pool of hers"


async def test_an_owner_who_stays_away_loses_what_is_ready_for_them(connection: Connection) -> None:
    await claim(connection, "ann", "bob")
    await follow(connection)
    assert await seeding.reserve(connection, POOL, "job", 1, 100, 1) == 5
    await seeding.seed(connection, POOL, "job", 100)
    assert await claim(connection, "ann", "bob", "cid") == ["owner", "owner", "master"]
    await age(connection, "ann", 31)
    assert await follow(connection) == {"bob": 2, "cid": 2}
    assert await retiring.retire_surplus(connection, POOL) == 0, "the master pool lacks it"
    assert await claim(connection, "bob", "ann") == ["owner", "master"]
    await resources.put(connection, POOL, small.spec(size=1))
    assert await connection.fetch(SIZES) == []
    assert await follow(connection, returning={"activeWithin": "1h", "maxOwners": 9}) == {
        "ann": 2,
        "bob": 2,
        "cid": 2,
    }
    assert not await small.inconsistencies(connection)


async def test_claims_of_long_ago_are_read_once(connection: Connection) -> None:
    await connection.execute(CLAIMED, POOL, 5000)
    returning = {"maxOwners": 100}
    assert len(await follow(connection, returning=returning)) == 100
    async with connection.transaction():
        before = await connection.fetchval(READ)
        await follow(connection, returning=returning)
        assert await connection.fetchval(READ) - before < 1000
