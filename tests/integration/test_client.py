"""The client for applications: typed, patient with a connection that is lost, woken when it waits."""

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

import asyncpg
import pytest

import chiwar
from campaignpool.client import (
    Claim,
    ClaimantMissing,
    Client,
    InvalidArgument,
    KeyConflict,
    NotReleasable,
    Peek,
    PoolEmpty,
    PoolPaused,
    PoolUnknown,
    Unreachable,
    client,
)
from campaignpool.ledger import pools
from campaignpool.ledger.database import Connection
from tests.support.bouncer import pooler
from tests.support.ledgers import MANIFEST, POOL, filled, installed

pytestmark = pytest.mark.integration
NEW, OTHER = chiwar.NEW_USERS[:2]
RETURNING = chiwar.RETURNING_USERS[0]
Found = TypeVar("Found")
LONG, SHORT = timedelta(hours=1), timedelta(milliseconds=300)
WAITING = {"onEmpty": "Wait", "waitSeconds": 60}


@pytest.fixture
async def connection(pool_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(pool_url)
    yield connection
    await connection.close()


@pytest.fixture
def campaigns(connection: Connection, pool_url: str) -> Client:  # noqa: ARG001 (there is a pool to claim from)
    return Client(pool_url, POOL)


async def claimed(connection: Connection) -> list[str]:
    """Return the campaigns that were claimed."""
    return [row["campaign_id"] for row in await connection.fetch("SELECT campaign_id FROM campaign_pool.claimed")]


async def until(holds: Callable[[], Awaitable[Found]]) -> Found:
    """Wait for something, within the time that a test may take; gives it."""
    while not (result := await holds()):  # noqa: ASYNC110 (the database says it, not an event)
        await asyncio.sleep(0.01)
    return result


async def listeners(connection: Connection) -> list[int]:
    """Return the server's processes that listen for campaigns in this database."""
    rows = await connection.fetch(
        "SELECT pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND query ILIKE 'LISTEN %campaign_pool_ready%'"
    )
    return [row["pid"] for row in rows]


async def gone(connection: Connection) -> bool:
    return not await listeners(connection)


async def another(connection: Connection, first: int) -> bool:
    return bool(set(await listeners(connection)) - {first})


async def test_a_claim_has_a_type(connection: Connection, campaigns: Client) -> None:
    own = await filled(connection, str(RETURNING), 1)
    got = await campaigns.claim(RETURNING, key="request-1")
    record = await connection.fetchrow("SELECT claimed_at FROM campaign_pool.claimed")
    assert record is not None
    assert got == Claim(own[0], "owner", record["claimed_at"], "done", "request-1")
    assert await campaigns.claim(RETURNING, key="request-1") == got


async def test_a_claim_without_a_key_gets_one(connection: Connection, campaigns: Client) -> None:
    await filled(connection, "", 2)
    first, second = await campaigns.claim(NEW), await campaigns.claim(NEW)
    assert first.campaign_id != second.campaign_id
    assert await campaigns.claim(NEW, key=first.key) == first


async def test_a_pool_of_connections_is_given_back_whole(connection: Connection, pool_url: str) -> None:
    await filled(connection, "", 4)
    async with asyncpg.create_pool(pool_url, min_size=1, max_size=1) as pool:
        campaigns = Client(pool, POOL)
        got = await asyncio.gather(*(campaigns.claim(NEW) for _ in range(4)))
        assert len({item.campaign_id for item in got}) == 4
        assert pool.get_idle_size() == pool.get_size() == 1


async def test_a_campaign_can_be_called_something(connection: Connection, pool_url: str) -> None:
    inline = MANIFEST["spec"]["blueprint"]["inline"]
    named = {**inline, "onClaim": {**inline["onClaim"], "set": {**inline["onClaim"]["set"], "name": "$name"}}}
    await installed(connection, blueprint={"inline": named})
    got = await Client(pool_url, POOL).claim(NEW, name="Hong Kong 1997; --'")
    assert await connection.fetchval("SELECT name FROM campaigns WHERE id = $1", got.campaign_id) == (
        "Hong Kong 1997; --'"
    )


async def test_many_are_claimed_or_none(connection: Connection, campaigns: Client) -> None:
    await installed(connection, claims={"onEmpty": "Fail"})
    created = await filled(connection, "", 3)
    with pytest.raises(PoolEmpty):
        await campaigns.claim_many(NEW, 4)
    assert await claimed(connection) == []
    got = await campaigns.claim_many(NEW, 3, key="request-1")
    assert {item.campaign_id for item in got} == set(created)
    assert await campaigns.claim_many(NEW, 3, key="request-1") == got
    assert await campaigns.claim(NEW, key=got[1].key) == got[1]


async def test_a_claim_can_be_taken_back_for_a_while(connection: Connection, campaigns: Client) -> None:
    first, second = await campaigns.claim(NEW), await campaigns.claim(NEW)
    assert first.claimed_at
    assert await campaigns.extend(first.campaign_id, timedelta(hours=2)) == first.claimed_at + timedelta(hours=2)
    await campaigns.release(first.campaign_id)
    await campaigns.release(first.campaign_id)
    with pytest.raises(NotReleasable):
        await campaigns.extend(first.campaign_id, timedelta(hours=2))
    with pytest.raises(InvalidArgument, match="lifetime"):
        await campaigns.extend(second.campaign_id, timedelta(days=7))
    await connection.execute("UPDATE campaign_pool.claimed SET releasable_until = claimed_at")
    with pytest.raises(NotReleasable, match="could be released until"):
        await campaigns.release(second.campaign_id)


async def test_one_can_look_before_claiming(connection: Connection, campaigns: Client) -> None:
    assert await campaigns.peek(RETURNING) == Peek("clone", 0, 0)
    await filled(connection, "", 2)
    await filled(connection, str(RETURNING), 1)
    assert await campaigns.peek(RETURNING) == Peek("owner", 1, 2)
    health = await campaigns.health()
    assert (health.pool, health.healthy, health.state, health.ready) == (POOL, True, "low", 3)


async def test_what_is_refused_has_a_type(connection: Connection, campaigns: Client, pool_url: str) -> None:
    got = await campaigns.claim(NEW, key="request-1")
    unknown = Client(pool_url, "game/none")
    await installed(connection, claims={"onEmpty": "Fail"}, paused=True)
    asked: list[tuple[type[client.ClaimError], Awaitable[object]]] = [
        (PoolUnknown, unknown.claim(NEW)),
        (PoolUnknown, unknown.peek(NEW)),
        (PoolUnknown, unknown.health()),
        (ClaimantMissing, campaigns.claim("")),
        (KeyConflict, campaigns.claim(OTHER, key="request-1")),
        (PoolPaused, campaigns.claim(NEW)),
        (NotReleasable, campaigns.release(str(NEW))),
        (InvalidArgument, campaigns.claim_many(NEW, 0)),
        (InvalidArgument, campaigns.extend(got.campaign_id, -LONG)),
    ]
    for kind, asking in asked:
        with pytest.raises(kind) as refused:
            await asking
        assert refused.value.hint


async def test_errors_that_are_not_about_claims_are_asyncpgs(campaigns: Client) -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await campaigns.claim(uuid.uuid4())


async def test_a_connection_lost_in_the_middle_of_a_claim_costs_no_campaign(
    connection: Connection, campaigns: Client, pool_url: str
) -> None:
    """The claim waits for another of its key when its connection is ended."""
    await filled(connection, "", 2)
    other = await asyncpg.connect(pool_url)
    await other.execute("SELECT pg_advisory_lock(hashtextextended('campaign_pool.key request-1', 0))")
    claiming = asyncio.create_task(campaigns.claim(NEW, key="request-1"))
    ended = await until(
        lambda: connection.fetchval(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock' AND wait_event = 'advisory'"
        )
    )
    assert ended
    assert await claimed(connection) == []
    await other.close()
    got = await claiming
    assert await claimed(connection) == [got.campaign_id]
    assert await campaigns.claim(NEW, key="request-1") == got


class Cut(asyncpg.Connection):  # type: ignore[type-arg] # only types know that it is generic
    """A connection that is lost when a statement was committed, before that is known."""

    cuts = 0

    async def fetch(  # type: ignore[override] # no more is used
        self,
        query: str,
        *args: object,
        timeout: float | None = None,  # noqa: ASYNC109 (asyncpg's own)
    ) -> list[asyncpg.Record]:
        rows = await super().fetch(query, *args, timeout=timeout)
        if Cut.cuts:
            Cut.cuts -= 1
            self.terminate()
            raise ConnectionResetError
        return rows


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
async def test_a_connection_lost_after_the_commit_costs_no_campaign(
    connection: Connection, pool_url: str, monkeypatch: pytest.MonkeyPatch, *, many: bool
) -> None:
    await filled(connection, "", 4)
    monkeypatch.setattr(Cut, "cuts", 2)
    campaigns = Client(partial(asyncpg.connect, pool_url, connection_class=Cut), POOL)
    got = await campaigns.claim_many(NEW, 2) if many else [await campaigns.claim(NEW)]
    assert Cut.cuts == 0
    assert sorted(await claimed(connection)) == sorted(item.campaign_id for item in got)


@pytest.mark.parametrize("kind", ["SerializationError", "DeadlockDetectedError"])
async def test_who_lost_a_race_goes_again_with_the_same_key(connection: Connection, pool_url: str, kind: str) -> None:
    await filled(connection, "", 2)
    state = getattr(asyncpg, kind).sqlstate
    await connection.execute(
        "CREATE SEQUENCE races; CREATE FUNCTION race() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF nextval('races') < 3 THEN RAISE EXCEPTION 'lost' USING ERRCODE = '{state}'; END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER race BEFORE INSERT ON campaign_memberships FOR EACH ROW EXECUTE FUNCTION race()"
    )
    got = await Client(pool_url, POOL).claim(NEW)
    assert await claimed(connection) == [got.campaign_id]
    assert await connection.fetchval("SELECT last_value FROM races") == 3


async def test_patience_has_an_end(connection: Connection, pool_url: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = pool_url.replace(str(urlsplit(pool_url).port), str(closed.getsockname()[1]))
    campaigns = Client(nobody, POOL, patience=SHORT)
    with pytest.raises(Unreachable) as failed:
        await campaigns.claim(NEW)
    assert failed.value.key
    assert failed.value.retry
    assert str(urlsplit(pool_url).password) not in str(failed.value)
    assert (await Client(pool_url, POOL).claim(NEW, key=failed.value.key)).key == failed.value.key
    assert len(await claimed(connection)) == 1


async def test_a_pool_without_a_free_connection_does_not_hold_a_claim(
    connection: Connection,  # noqa: ARG001 (there is a pool to claim from)
    pool_url: str,
) -> None:
    bounds = {"patience": timedelta(seconds=0.1), "timeout": timedelta(seconds=0.1)}
    async with asyncpg.create_pool(pool_url, min_size=1, max_size=1) as pool:
        campaigns = Client(pool, POOL, **bounds)
        async with pool.acquire():
            with pytest.raises(Unreachable, match="TimeoutError"):
                await asyncio.wait_for(campaigns.claim(NEW, key="k"), 30)
        assert (await Client(pool, POOL).claim(NEW, key="k")).key == "k"


async def test_a_statement_that_is_never_answered_ends_in_time_and_leaves_the_pool_whole(
    connection: Connection, pool_url: str
) -> None:
    """The lock of another transaction stands for a server that is gone in the middle of a claim."""
    bounds = {"patience": timedelta(seconds=0.1), "timeout": timedelta(seconds=0.3)}
    async with asyncpg.create_pool(pool_url, min_size=1, max_size=1) as pool:
        campaigns = Client(pool, POOL, **bounds)
        async with connection.transaction():
            await connection.execute("LOCK TABLE campaign_pool.campaign IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(Unreachable, match="TimeoutError"):
                await asyncio.wait_for(campaigns.claim(NEW, key="k"), 30)
        assert (await Client(pool, POOL).claim(NEW, key="k")).key == "k"


async def test_a_wrong_password_is_not_tried_again(pool_url: str) -> None:
    wrong = pool_url.replace(str(urlsplit(pool_url).password), "wrong")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await Client(wrong, POOL, patience=LONG).claim(NEW)


async def test_who_waits_is_woken(connection: Connection, pool_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked again but for what was heard; and one connection listens for all."""
    monkeypatch.setattr(client, "RECHECK_SECONDS", 3600.0)
    await installed(connection, claims=WAITING)
    async with asyncpg.create_pool(pool_url, min_size=1, max_size=2) as pool:
        campaigns = Client(pool, POOL, listen=pool_url)
        waiting = [asyncio.create_task(campaigns.claim(NEW, wait=LONG)) for _ in range(5)]
        await until(lambda: listeners(connection))
        await filled(connection, "", 5)
        got = await asyncio.gather(*waiting)
        assert {item.campaign_id for item in got} == set(await claimed(connection))
        assert {item.source for item in got} == {"master"}
        assert await campaigns.claim(NEW, key=got[0].key, wait=LONG) == got[0]
    await until(lambda: gone(connection))


async def test_who_waits_hears_again_after_the_connection_was_lost(
    connection: Connection, campaigns: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "RECHECK_SECONDS", 3600.0)
    await installed(connection, claims=WAITING)
    waiting = asyncio.create_task(campaigns.claim(NEW, wait=LONG))
    first = await until(lambda: listeners(connection))
    await connection.execute("SELECT pg_terminate_backend($1)", first[0])
    await until(lambda: another(connection, first[0]))
    await filled(connection, "", 1)
    assert [(await waiting).campaign_id] == await claimed(connection)


async def test_who_cannot_listen_looks_again(
    connection: Connection, pool_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "RECHECK_SECONDS", 0.02)
    await installed(connection, claims=WAITING)
    async with asyncpg.create_pool(pool_url, min_size=1, max_size=1) as pool:
        waiting = asyncio.create_task(Client(pool, POOL).claim(NEW, wait=LONG))
        await filled(connection, "", 1)
        assert [(await waiting).campaign_id] == await claimed(connection)
    assert await gone(connection)


@pytest.mark.parametrize(("wait", "seconds"), [(LONG, 1), (SHORT, 60)], ids=["the pool's", "the caller's"])
async def test_the_smaller_bound_holds(
    connection: Connection, campaigns: Client, wait: timedelta, seconds: int
) -> None:
    await installed(connection, claims={**WAITING, "waitSeconds": seconds})
    async with asyncio.timeout(50):  # far from either bound that has to hold, and short of the one that must not
        with pytest.raises(PoolEmpty) as empty:
            await campaigns.claim(NEW, wait=wait)
    assert empty.value.key
    await until(lambda: gone(connection))


async def test_who_gives_up_waiting_leaves_nothing(connection: Connection, campaigns: Client) -> None:
    await installed(connection, claims=WAITING)
    waiting = asyncio.create_task(campaigns.claim(NEW, wait=LONG))
    await until(lambda: listeners(connection))
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    await until(lambda: gone(connection))
    assert await claimed(connection) == []


async def test_a_pool_that_does_not_wait_says_at_once_that_it_is_empty(
    connection: Connection, campaigns: Client
) -> None:
    await installed(connection, claims={"onEmpty": "Fail"})
    with pytest.raises(PoolEmpty):
        await campaigns.claim(NEW, wait=LONG)


async def test_a_claim_can_be_a_part_of_the_callers_transaction(
    connection: Connection, campaigns: Client, pool_url: str
) -> None:
    await installed(connection, claims={"onEmpty": "Fail"})
    await filled(connection, "", 1)
    application = await asyncpg.connect(pool_url)
    transaction = application.transaction(isolation="serializable")
    await transaction.start()
    got = await campaigns.claim(NEW, connection=application)
    with pytest.raises(PoolEmpty):
        await campaigns.claim(NEW, connection=application)
    assert await application.fetchval("SELECT user_id FROM campaigns WHERE id = $1", got.campaign_id) == NEW
    await transaction.rollback()
    await application.close()
    assert await claimed(connection) == []
    assert (await pools.observe(connection, POOL)).owners[""].ready == 1


async def test_the_role_for_applications_suffices(connection: Connection, pool_url: str) -> None:
    await installed(connection, claims={**WAITING, "waitSeconds": 1})
    await connection.execute(
        "DROP ROLE IF EXISTS player; CREATE ROLE player LOGIN PASSWORD 'plays' IN ROLE campaign_pool_app"
    )
    scheme, _, rest = pool_url.partition("//")
    campaigns = Client(f"{scheme}//player:plays@{rest.partition('@')[2]}", POOL)
    try:
        with pytest.raises(PoolEmpty):
            await campaigns.claim(NEW, wait=LONG)
        await filled(connection, "", 3)
        got = await campaigns.claim(NEW)
        await campaigns.claim_many(NEW, 2)
        await campaigns.extend(got.campaign_id, timedelta(hours=2))
        await campaigns.release(got.campaign_id)
        assert (await campaigns.peek(NEW)).source is None
        assert not (await campaigns.health()).healthy
    finally:
        await connection.execute("DROP OWNED BY player; DROP ROLE player")


async def test_who_may_claim_and_no_more_waits_for_as_long_as_asked(connection: Connection, pool_url: str) -> None:
    """The pool's bound stands in a view that this role may not read."""
    await installed(connection, claims=WAITING)
    await connection.execute(
        "DROP ROLE IF EXISTS claimer; CREATE ROLE claimer LOGIN PASSWORD 'claims';"
        "GRANT USAGE ON SCHEMA campaign_pool TO claimer; GRANT EXECUTE ON FUNCTION campaign_pool.claim TO claimer"
    )
    scheme, _, rest = pool_url.partition("//")
    try:
        with pytest.raises(PoolEmpty):
            await Client(f"{scheme}//claimer:claims@{rest.partition('@')[2]}", POOL).claim(NEW, wait=SHORT)
    finally:
        await connection.execute("DROP OWNED BY claimer; DROP ROLE claimer")


@pytest.fixture
def bouncer_url(pool_url: str) -> Iterator[str]:
    """The same database behind PgBouncer in transaction mode, with fewer connections than it has clients."""
    with pooler(pool_url, "transaction") as url:
        yield url


async def test_claims_pass_a_pooler_in_transaction_mode(
    connection: Connection, pool_url: str, bouncer_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More clients than the pooler has servers, and different statements: each transaction may get another server."""
    await filled(connection, "", 20)
    async with asyncpg.create_pool(bouncer_url, min_size=0, max_size=10, statement_cache_size=0) as pool:
        pooled, own = Client(pool, POOL), Client(bouncer_url, POOL)
        looking = [asyncio.create_task(item()) for _ in range(20) for item in (partial(own.peek, NEW), pooled.health)]
        asking = [item.claim(NEW, key=f"{n}") for n in range(10) for item in (pooled, own)]
        got = await asyncio.gather(*asking)
        await asyncio.gather(*looking)
        assert {item.campaign_id for item in got} == set(await claimed(connection))
        assert len({item.campaign_id for item in got}) == 10
        await installed(connection, claims=WAITING)
        await pooled.claim_many(NEW, 10)
        monkeypatch.setattr(client, "RECHECK_SECONDS", 3600.0)
        waiting = asyncio.create_task(Client(pool, POOL, listen=pool_url).claim(NEW, wait=LONG))
        await until(lambda: listeners(connection))
        await filled(connection, "", 1)
        assert (await waiting).campaign_id in await claimed(connection)
