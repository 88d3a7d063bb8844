"""Claims: whose pool, exactly once, idempotent, and what an empty pool does."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

import chiwar
from campaignpool.ledger import pools
from campaignpool.ledger.database import Connection
from tests.support.ledgers import POOL, claim, filled, installed

pytestmark = pytest.mark.integration
NEW, OTHER = chiwar.NEW_USERS[:2]
RETURNING = str(chiwar.RETURNING_USERS[0])


@pytest.fixture
async def connection(pool_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(pool_url)
    yield connection
    await connection.close()


async def test_a_claimants_own_campaigns_come_first(connection: Connection) -> None:
    own, master = await filled(connection, RETURNING, 1), await filled(connection, "", 1)
    first, second = await claim(connection, RETURNING), await claim(connection, RETURNING)
    assert (first["campaign_id"], first["source"]) == (own[0], "owner")
    assert (second["campaign_id"], second["source"]) == (master[0], "master")


async def test_nobody_gets_what_is_kept_for_another(connection: Connection) -> None:
    kept = await filled(connection, RETURNING, 2)
    assert (await claim(connection, NEW))["source"] == "clone"
    states = await connection.fetch("SELECT state FROM campaign_pool.campaign WHERE root_key = ANY ($1)", kept)
    assert {row["state"] for row in states} == {"ready"}


async def test_a_claim_gives_the_campaign_and_the_membership_at_once(connection: Connection) -> None:
    await filled(connection, "", 1)
    got = await claim(connection, NEW)
    row = await connection.fetchrow(
        "SELECT c.user_id, c.active, m.user_id AS member FROM campaigns c"
        " JOIN campaign_memberships m ON m.campaign_id = c.id WHERE c.id = $1",
        got["campaign_id"],
    )
    assert row is not None
    assert (row["user_id"], row["active"], row["member"]) == (NEW, True, NEW)
    assert await chiwar.check_clone(connection, got["campaign_id"]) == []


async def test_the_same_key_gives_the_same_campaign(connection: Connection) -> None:
    await filled(connection, "", 3)
    first = await claim(connection, NEW, "request-1")
    assert await claim(connection, NEW, "request-1") == first
    assert await claim(connection, NEW, "request-2") != first


async def test_a_key_of_somebody_else_is_refused(connection: Connection) -> None:
    await filled(connection, "", 2)
    await claim(connection, NEW, "request-1")
    with pytest.raises(asyncpg.PostgresError, match="belongs to a claim of another claimant") as refused:
        await claim(connection, OTHER, "request-1")
    assert refused.value.sqlstate == "CP004"


async def test_no_campaign_is_ever_given_twice(connection: Connection, pool_url: str) -> None:
    """More claims at once than there are campaigns, each with a key that two of them share."""
    await filled(connection, "", 30)
    connections = [await asyncpg.connect(pool_url) for _ in range(10)]

    async def claims(mine: int) -> list[tuple[str, str]]:
        keys = [f"key-{(mine // 2) * 8 + turn}" for turn in range(8)]
        return [(key, (await claim(connections[mine], NEW, key))["campaign_id"]) for key in keys]

    given = [pair for pairs in await asyncio.gather(*map(claims, range(10))) for pair in pairs]
    by_key: dict[str, set[str]] = {}
    for key, campaign in given:
        by_key.setdefault(key, set()).add(campaign)
    assert len(by_key) == 40
    assert all(len(campaigns) == 1 for campaigns in by_key.values())
    assert len(set().union(*by_key.values())) == 40
    for item in connections:
        await item.close()


async def test_an_empty_pool_clones_then_and_there(connection: Connection) -> None:
    got = await claim(connection, NEW, "request-1")
    assert got["source"] == "clone"
    assert await chiwar.check_clone(connection, got["campaign_id"]) == []
    assert await claim(connection, NEW, "request-1") == got


async def test_an_empty_pool_can_fail_with_a_state_of_its_own(connection: Connection) -> None:
    await installed(connection, claims={"onEmpty": "Fail"})
    with pytest.raises(asyncpg.PostgresError, match='no campaign of pool "game/chiwar" is ready') as failed:
        await claim(connection, NEW)
    assert failed.value.sqlstate == "CP002"


async def test_an_empty_pool_can_let_the_claimant_wait(connection: Connection, pool_url: str) -> None:
    """Nothing waits in the database: no row means not yet, and what became ready is notified."""
    await installed(connection, claims={"onEmpty": "Wait"})
    waiting = await asyncpg.connect(pool_url)
    told = asyncio.Event()
    await waiting.add_listener("campaign_pool_ready", lambda *_: told.set())
    statement = "SELECT campaign_id FROM campaign_pool.claim($1, $2, wait => '5s')"
    assert await waiting.fetch(statement, POOL, str(NEW)) == []
    created = await filled(connection, "", 1)
    await asyncio.wait_for(told.wait(), 10)
    assert await waiting.fetchval(statement, POOL, str(NEW)) == created[0]
    await waiting.close()


async def test_who_does_not_want_to_wait_is_told_that_nothing_is_ready(connection: Connection) -> None:
    await installed(connection, claims={"onEmpty": "Wait"})
    with pytest.raises(asyncpg.PostgresError, match="is ready") as failed:
        await claim(connection, NEW)
    assert failed.value.sqlstate == "CP002"


@pytest.mark.parametrize(
    ("pool", "claimant", "state"), [("game/none", str(NEW), "CP001"), (POOL, "", "CP003")], ids=["pool", "claimant"]
)
async def test_what_is_missing_is_named(connection: Connection, pool: str, claimant: str, state: str) -> None:
    with pytest.raises(asyncpg.PostgresError) as failed:
        await claim(connection, claimant, None, pool)
    assert failed.value.sqlstate == state
    assert failed.value.as_dict()["hint"]


@pytest.mark.parametrize(
    "claimant", ["no uuid", "00000000-0000-4000-8000-000000000000"], ids=["malformed", "unknown"]
)
async def test_a_claim_that_fails_takes_nothing(connection: Connection, claimant: str) -> None:
    await filled(connection, "", 1)
    with pytest.raises(asyncpg.PostgresError):
        await claim(connection, claimant)
    assert (await pools.observe(connection, POOL)).owners[""].ready == 1


async def test_a_claim_that_is_rolled_back_gives_the_campaign_back(connection: Connection) -> None:
    await filled(connection, "", 1)
    transaction = connection.transaction()
    await transaction.start()
    await claim(connection, NEW, "request-1")
    await transaction.rollback()
    assert (await pools.observe(connection, POOL)).owners[""].ready == 1


async def test_a_campaign_that_was_deleted_behind_our_back_is_set_aside(connection: Connection) -> None:
    created = await filled(connection, "", 2)
    await connection.execute("UPDATE campaign_pool.campaign SET root_key = id::text")
    gone = await connection.fetchval(
        "UPDATE campaign_pool.campaign SET root_key = '00000000-0000-4000-8000-000000000000' WHERE root_key = $1"
        " RETURNING id",
        created[0],
    )
    got = {(await claim(connection, NEW))["campaign_id"], (await claim(connection, NEW))["campaign_id"]}
    assert created[1] in got
    row = await connection.fetchrow("SELECT state, cause FROM campaign_pool.campaign WHERE id = $1", gone)
    assert row is not None
    assert (row["state"], row["cause"]) == ("failed", "its row in the root table was deleted")


async def test_the_applications_role_can_claim_and_nothing_else(connection: Connection, pool_url: str) -> None:
    await filled(connection, "", 1)
    await connection.execute(
        "DROP ROLE IF EXISTS claimer; CREATE ROLE claimer LOGIN PASSWORD 'claims';"
        "GRANT USAGE ON SCHEMA campaign_pool TO claimer; GRANT EXECUTE ON FUNCTION campaign_pool.claim TO claimer"
    )
    scheme, _, rest = pool_url.partition("//")
    application = await asyncpg.connect(f"{scheme}//claimer:claims@{rest.partition('@')[2]}")
    try:
        assert (await claim(application, NEW))["source"] == "master"
        for refused in (
            "SELECT * FROM campaign_pool.campaign",
            "SELECT campaign_pool.seed('game/chiwar', 'job', 1)",
            "SELECT campaign_pool.remove('game/chiwar', 1, '{}')",
            "SELECT campaign_pool.clone_r1(ARRAY[gen_random_uuid()], ARRAY[''])",
            "SELECT * FROM campaigns",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await application.fetch(refused)
    finally:
        await application.close()
        await connection.execute("DROP OWNED BY claimer; DROP ROLE claimer")


async def test_a_claim_wakes_the_operator_once(connection: Connection, pool_url: str) -> None:
    await filled(connection, "", 3)
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = await asyncpg.connect(pool_url)
    await listener.add_listener(pools.CHANNEL, lambda *said: heard.put_nowait(str(said[3])))
    await pools.begin_waiting(connection, POOL)
    await claim(connection, NEW)
    assert await asyncio.wait_for(heard.get(), 5) == POOL
    await claim(connection, NEW)
    assert await asyncio.wait_for(heard.get(), 5) == POOL
    await claim(connection, NEW)
    await connection.execute("SELECT pg_notify('campaign_pool', 'the end')")
    assert await asyncio.wait_for(heard.get(), 5) == "the end", "nobody looked since, so there was nothing to tell"
    await pools.begin_waiting(connection, POOL)
    await claim(connection, NEW)
    assert await asyncio.wait_for(heard.get(), 5) == POOL
    await listener.close()


async def test_a_claim_that_nobody_will_be_told_of_is_known_to_be_under_way(
    connection: Connection, pool_url: str
) -> None:
    """It began while the operator was awake, so it does not ring, and it commits after the operator has looked."""
    await filled(connection, "", 2)
    operator = await asyncpg.connect(pool_url)
    transaction = connection.transaction()
    await transaction.start()
    await claim(connection, NEW)
    assert not await pools.begin_waiting(operator, POOL)
    await transaction.commit()
    assert await pools.begin_waiting(operator, POOL)
    await operator.close()
