"""Claims go on: without operator and API, while the ledger is migrated, beside another release, while a pool ends."""

import asyncio
import contextlib
import itertools
import random
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import asyncpg
import pytest

from campaignpool.api.crd import crd
from campaignpool.ledger import pools, retiring, sql
from campaignpool.ledger.database import Connection
from campaignpool.ledger.migrate import migrate
from campaignpool_local.emulator import emulator_thread
from campaignpool_operator import deletion as draining
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.databases import Databases
from campaignpool_operator.facts import Pool
from campaignpool_operator.resource import read_pool
from tests.support import first_release, small
from tests.support.kube import Kube
from tests.support.operators import Game, running
from tests.support.postgres import NewDatabase
from tests.support.small import POOL

pytestmark = pytest.mark.integration
CLAIM = "SELECT campaign_id, source FROM campaign_pool.claim($1, $2, $3)"
_numbers = itertools.count(1)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


def test_claims_go_on_without_the_api_server_and_without_the_operator(
    new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, url = tmp_path_factory.mktemp("cluster"), new_database()

    async def application() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(small.SCHEMA)
        await connection.close()

    async def adds_up() -> list[str]:
        connection = await asyncpg.connect(url)
        try:
            return await small.wrong(connection)
        finally:
            await connection.close()

    asyncio.run(application())
    with contextlib.ExitStack() as api:
        kube = Kube(api.enter_context(emulator_thread(backoff=0.1)).kubeconfig(folder / "kubeconfig"))
        kube.install(crd())
        game = Game(kube, url)
        game.put_secret()
        game.create(size=2, blueprint={"inline": small.blueprint()}, template={"where": "is_template"})
        with running(kube.kubeconfig, folder / "log") as operator:
            game.has("Ready", "True", "Filled")
            kube.close()
            api.close()
            first = [game.claim("ann", f"one {n}") for n in range(3)]
            assert operator.process.poll() is None
        second = [game.claim("bob", f"two {n}") for n in range(3)]
        assert {row["source"] for row in second} == {"clone"}
        again = [game.claim("ann", f"one {n}") for n in range(3)]
    assert [row["campaign_id"] for row in again] == [row["campaign_id"] for row in first]
    assert len({row["campaign_id"] for row in first + second}) == 6
    assert asyncio.run(adds_up()) == []


# A migration of the ledger.


@pytest.fixture
async def old(connection: Connection) -> Connection:
    """A database of the first release, with campaigns and with claims."""
    await connection.execute(small.SCHEMA)
    await first_release.migrate(connection)
    await first_release.put(connection, POOL, small.spec())
    await first_release.seed(connection, POOL, "job-1", "", 1, 20)
    await first_release.seed(connection, POOL, "job-2", "ann", 1, 5)
    for n in range(10):
        await connection.fetchrow(first_release.CLAIM, POOL, "bob", f"before {n}")
    return connection


@pytest.fixture
async def application(old: Connection, database_url: str) -> AsyncIterator[str]:
    """The URL for the application, whose role was granted what the first release's README says."""
    role = f"game_app_{next(_numbers)}"
    await old.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'app'; GRANT USAGE ON SCHEMA campaign_pool TO {role};"
        f"GRANT EXECUTE ON FUNCTION campaign_pool.claim TO {role}"
    )
    url = urllib.parse.urlsplit(database_url)
    yield f"postgresql://{role}:app@{url.hostname}:{url.port}{url.path}"
    await old.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def waiting(connection: Connection, *others: Connection) -> None:
    """Wait until all of the others wait for a lock."""
    pids = [each.get_server_pid() for each in others]
    query = "SELECT count(DISTINCT pid) = $2 FROM pg_locks WHERE pid = ANY ($1) AND NOT granted"
    await small.until(lambda: connection.fetchval(query, pids, len(pids)))


async def migrated(url: str, over: asyncio.Event | None = None) -> None:
    """Migrate as the operator does: where a claim is in the way, once more."""
    connection = await asyncpg.connect(url)
    while True:
        try:
            await migrate(connection)
            break
        except asyncpg.LockNotAvailableError:
            continue
    await connection.close()
    if over:
        over.set()


@pytest.mark.parametrize("already", [first_release.MIGRATIONS, 13], ids=["the first", "before revisions brought it"])
async def test_claims_go_on_while_the_ledger_is_migrated(
    old: Connection, application: str, database_url: str, already: int
) -> None:
    await first_release.apply(old, first_release.MIGRATIONS, already)
    given: dict[str, set[str]] = {f"before {n}": set() for n in range(10)}
    players: dict[str, str] = dict.fromkeys(given, "bob")
    made, over, enough = itertools.count(1), asyncio.Event(), asyncio.Event()
    since: list[int] = []

    async def client(number: int) -> None:
        chance = random.Random(number)
        # Half of them keep a prepared statement, the others send it anew each time.
        connection = await asyncpg.connect(application, statement_cache_size=0 if number % 2 else 100)
        prepared = await connection.prepare(first_release.CLAIM)
        while not enough.is_set():
            key = chance.choice(list(given)) if chance.random() < 0.5 else f"while {next(made)}"
            player = players.setdefault(key, chance.choice(["ann", "bob"]))
            ask = connection.fetchrow if number % 2 else prepared.fetchrow
            arguments = (first_release.CLAIM,) if number % 2 else ()
            if chance.random() < 0.2:
                async with connection.transaction():
                    row = await ask(*arguments, POOL, player, key)
            else:
                row = await ask(*arguments, POOL, player, key)
            assert row
            given.setdefault(key, set()).add(row["campaign_id"])
            if over.is_set():
                since.append(number)
                if len(since) >= 60 and set(since) == set(range(6)):
                    enough.set()
        await connection.close()

    clients = [asyncio.create_task(client(n)) for n in range(6)]
    records = "campaign_pool.campaign WHERE state = 'claimed'" if already < 5 else "campaign_pool.claimed"
    await small.until(lambda: old.fetchval(f"SELECT count(*) > 30 FROM {records}"))
    await asyncio.gather(migrated(database_url, over), *clients)
    for key, campaigns in given.items():
        row = await old.fetchrow(first_release.CLAIM, POOL, players[key], key)
        assert row
        assert campaigns | {row["campaign_id"]} == {row["campaign_id"]}, key
    await pools.prune(old, POOL)
    assert await small.wrong(old) == []
    assert await old.fetchval("SELECT count(*) FROM campaign_pool.claimed") == len(given)
    assert await old.fetchval("SELECT count(*) FROM campaign_pool.migration") == len(sql.migrations())


@pytest.mark.parametrize("already", [first_release.MIGRATIONS, 6], ids=["the first", "the one that replaces it"])
async def test_a_claim_that_a_migration_keeps_waiting_finds_its_key(
    old: Connection, application: str, database_url: str, already: int
) -> None:
    """What stood in the function when the call began is what runs, although all has changed when it goes on."""
    await first_release.apply(old, first_release.MIGRATIONS, already)
    first, again, fresh, twin = [await asyncpg.connect(application) for _ in range(4)]
    operator = await asyncpg.connect(database_url)
    known = await old.fetchval("SELECT root_key FROM campaign_pool.campaign WHERE claim_key = 'before 1'")
    transaction = first.transaction()
    await transaction.start()
    opened = await first.fetchval(first_release.CLAIM, POOL, "bob", "open")
    migrating = asyncio.create_task(migrate(operator))
    await waiting(old, operator)
    asked = [
        asyncio.create_task(each.fetchval(first_release.CLAIM, POOL, "bob", key))
        for each, key in ((again, "before 1"), (fresh, "during"), (twin, "during"))
    ]
    await waiting(old, operator, again, fresh, twin)
    await transaction.commit()
    assert len(await migrating) == len(sql.migrations()) - already
    repeated, one, other = await asyncio.gather(*asked)
    assert repeated == known
    assert one == other
    assert await first.fetchval(first_release.CLAIM, POOL, "bob", "open") == opened
    assert await first.fetchval(first_release.CLAIM, POOL, "bob", "during") == one
    await pools.prune(old, POOL)
    assert await small.wrong(old) == []
    for each in (first, again, fresh, twin, operator):
        await each.close()


async def test_a_migration_gives_way_to_a_long_transaction_and_is_tried_again(
    old: Connection, application: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaignpool.ledger.migrate.MIGRATION_LOCK_SECONDS", 0.2)
    long, short = await asyncpg.connect(application), await asyncpg.connect(application)
    operator = await asyncpg.connect(database_url)
    transaction = long.transaction()
    await transaction.start()
    await long.fetchval(first_release.CLAIM, POOL, "bob", "long")
    migrating = asyncio.create_task(migrate(operator))
    await waiting(old, operator)
    claiming = asyncio.create_task(short.fetchval(first_release.CLAIM, POOL, "bob", "behind it"))
    with pytest.raises(asyncpg.LockNotAvailableError):
        await migrating
    assert await claiming, "while the long transaction goes on"
    assert await old.fetchval("SELECT count(*) FROM campaign_pool.migration") == first_release.MIGRATIONS
    await transaction.commit()
    await migrate(operator)
    assert await small.wrong(old) == []
    for each in (long, short, operator):
        await each.close()


async def test_what_the_first_release_claimed_is_kept_as_it_was(old: Connection) -> None:
    claimed = await old.fetch("SELECT root_key, claimant, source FROM campaign_pool.campaign WHERE state = 'claimed'")
    await migrate(old)
    records = await old.fetch("SELECT campaign_id AS root_key, claimant, source FROM campaign_pool.claimed")
    assert {tuple(row) for row in records} == {tuple(row) for row in claimed}
    with pytest.raises(asyncpg.PostgresError, match="could be taken back until") as refused:
        await old.execute("SELECT campaign_pool.release($1)", claimed[0]["root_key"])
    assert refused.value.sqlstate == "CP006"
    found = await pools.observe(old, POOL)
    assert (found.owners[""].claimed, found.prunable) == (10, False)


# Another release beside this one.


async def test_every_query_of_the_first_release_is_understood(old: Connection) -> None:
    await migrate(old)
    for query in first_release.QUERY.values():
        await old.prepare(query)


async def test_an_operator_of_the_first_release_goes_on_beside_this_schema(old: Connection) -> None:
    """It fills, observes, retires, rolls, and deletes its pool; clients of both releases claim."""
    await migrate(old)
    query = first_release.QUERY

    async def owners() -> Mapping[str, Mapping[str, Any]]:
        return {row["owner"]: row for row in await old.fetch(query["owners"], POOL)}

    await first_release.put(old, POOL, small.spec(2))
    assert (await owners())[""]["stale"] == 10
    await first_release.seed(old, POOL, "job-3", "", 2, 5)
    assert (await owners())[""]["ready"] == 15
    got = await old.fetchrow(first_release.CLAIM, POOL, "ann", "old client")
    new = await old.fetchrow("SELECT * FROM campaign_pool.claim($1, 'cid', 'new client', wait => '1s')", POOL)
    assert got
    assert new
    assert await old.fetchval(first_release.CLAIM, POOL, "cid", "new client") == new["campaign_id"]
    assert [row["job"] for row in await old.fetch(query["runs"], POOL, 50)] == ["job-3", "job-2", "job-1"]
    assert {row["owner"]: row["number"] for row in await old.fetch(query["numbers"], POOL)} == {"": 2, "ann": 1}
    await old.execute(query["retire"], POOL, "", 4)
    assert await old.fetchval(query["remove"], POOL, 10) == 4
    assert (await owners())[""]["ready"] == 10

    await old.execute(query["reserve"], POOL, "job-4", "", 3, 2, 1)
    await old.execute(query["quarantine"], POOL, "job-4", "a fault")
    await old.execute(query["finish_run"], POOL, "job-4", "", 3, 2, 1, "Failed", "SeedingFailed", "a fault")
    assert (await owners())[""]["failed"] == 2
    await old.execute(query["prune"], POOL)
    await old.execute(query["fall_asleep"], POOL)
    assert await old.fetchval(query["quiet"], POOL)
    assert await old.fetch(query["held"], POOL) == []

    await old.execute(query["retire"], POOL, "", 100)
    await old.execute(query["retire"], POOL, "ann", 100)
    while await old.fetchval(query["remove"], POOL, 10):
        pass
    (unused,) = await old.fetch(query["unused_revisions"], POOL)
    await old.execute(query["drop_revision"], unused["id"])
    with pytest.raises(asyncpg.PostgresError, match="cannot be taken back"):
        await old.execute("SELECT campaign_pool.release($1)", got["campaign_id"])
    await first_release.seed(old, POOL, "job-5", "", 4, 3)
    async with old.transaction():
        await old.execute(query["close_pool"], POOL)
        await old.execute(query["retire_all"], POOL)
    await old.execute(query["abandon"], POOL)
    assert await old.fetchval(query["remove"], POOL, 10) == 3
    assert await small.wrong(old) == []
    assert await old.fetchval("SELECT count(*) FROM members") == 12
    with pytest.raises(asyncpg.PostgresError, match="no pool named") as gone:
        await old.fetchrow(first_release.CLAIM, POOL, "cid", None)
    assert gone.value.sqlstate == "CP001"


async def test_a_pool_of_the_first_release_is_rolled_by_this_one(old: Connection) -> None:
    """Its campaigns are stale then, and are claimed and taken back by the rules of the present."""
    await migrate(old)
    await small.put(old, small.spec())
    found = await pools.observe(old, POOL)
    assert (found.owners[""].ready, found.owners[""].stale) == (10, 10)
    row = await old.fetchrow("SELECT * FROM campaign_pool.claim($1, 'cid', name => 'The Rift')", POOL)
    assert row
    assert row["source"] == "master"
    assert await old.fetchval("SELECT name FROM worlds WHERE id = $1", row["campaign_id"]) == "The Rift"
    await old.execute("SELECT campaign_pool.release($1)", row["campaign_id"])
    assert await retiring.remove(old, POOL, 1) == 1
    assert await small.wrong(old) == []


# The end of a pool.


class Alone(Cluster):
    """A cluster in which nothing is but one pool and its Secret."""

    def __init__(self, url: str) -> None:
        self.url, self.finalizers = url, [draining.FINALIZER]

    async def secret(self, *_: str) -> dict[str, bytes] | None:
        return {"url": self.url.encode()}

    async def jobs(self, *_: str) -> list[dict[str, Any]]:
        return []

    async def set_finalizers(self, *given: Any) -> None:  # noqa: ANN401 (the last of them matters)
        self.finalizers = given[-1]


Drain = Callable[[], Awaitable[float | None]]


@pytest.fixture
async def drain(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Drain]:
    """One loop of the operator over the pool whose deletion is wanted; it removes one batch."""
    monkeypatch.setattr(draining, "_BATCHES", 1)
    cluster, databases = Alone(database_url), Databases()
    namespace, name = POOL.split("/")

    def resource() -> Pool:
        meta = {
            "namespace": namespace,
            "name": name,
            "uid": "1",
            "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "deletionTimestamp": "2026-01-01T00:00:01Z",
            "finalizers": cluster.finalizers,
        }
        spec = small.spec().model_dump(mode="json", by_alias=True, exclude_none=True)
        return read_pool({"metadata": meta, "spec": spec})

    async def step() -> float | None:
        return (await draining.drain(cluster, databases, resource(), "image")).delay

    yield step
    await databases.close()


async def filled(connection: Connection, count: int, **claims: str) -> None:
    await small.made(connection, small.spec(claims=claims))
    await small.filled(connection, count)


async def test_a_pool_that_is_deleted_refuses_claims_at_once(connection: Connection, drain: Drain) -> None:
    await filled(connection, 25, whileDeleting="Refuse")
    kept = await connection.fetchval(CLAIM, POOL, "ann", "one")
    assert await drain() == 0.0
    with pytest.raises(asyncpg.PostgresError, match="no pool named") as refused:
        await connection.fetchval(CLAIM, POOL, "ann", None)
    assert refused.value.sqlstate == "CP001"
    while await drain() is not None:
        pass
    assert await small.wrong(connection) == []
    assert await connection.fetch("SELECT world_id::text, player FROM members") == [(kept, "ann")]
    assert await connection.fetchval("SELECT count(*) FROM worlds") == 2


async def test_a_pool_that_is_deleted_may_go_on_giving_what_is_ready(connection: Connection, drain: Drain) -> None:
    await filled(connection, 25, whileDeleting="Allow")
    kept = [await connection.fetchval(CLAIM, POOL, "ann", "one")]
    state = None
    while state is None:
        assert await drain() is not None
        try:
            row = await connection.fetchrow(CLAIM, POOL, "ann", f"key {len(kept)}")
            assert row
            assert row["source"] == "master", "nothing is cloned any more"
            kept.append(row["campaign_id"])
        except asyncpg.PostgresError as error:
            state = error.sqlstate
    assert state == "CP001"
    assert len(kept) == 3, "what is ready is removed in batches of ten, and claimed in between"
    assert await connection.fetchval(CLAIM, POOL, "ann", "one") == kept[0], "what was given stays given"
    await connection.execute("SELECT campaign_pool.release($1)", kept.pop())
    while await drain() is not None:
        pass
    assert await small.wrong(connection) == []
    rows = await connection.fetch("SELECT world_id::text FROM members")
    assert {row["world_id"] for row in rows} == set(kept)
    assert await connection.fetchval("SELECT count(*) FROM worlds") == 1 + len(kept)
    left = "SELECT count(*) FROM pg_class WHERE relnamespace = 'campaign_pool'::regnamespace AND relname ~ '^r[0-9]'"
    assert await connection.fetchval(left) == 0
    with pytest.raises(asyncpg.PostgresError, match="its pool was deleted"):
        await connection.execute("SELECT campaign_pool.release($1)", kept[0])


@pytest.mark.parametrize("commits", [True, False], ids=["commits", "rolls back"])
async def test_the_end_of_a_pool_waits_for_a_claim_that_is_under_way(
    connection: Connection, database_url: str, drain: Drain, *, commits: bool
) -> None:
    await filled(connection, 3)
    application = await asyncpg.connect(database_url)
    transaction = application.transaction()
    await transaction.start()
    await application.fetchval(CLAIM, POOL, "ann", None)
    while (await drain()) != draining.UNDER_WAY_SECONDS:
        pass
    await (transaction.commit() if commits else transaction.rollback())
    while await drain() is not None:
        pass
    await application.close()
    assert await small.wrong(connection) == []
    assert await connection.fetchval("SELECT count(*) FROM members") == commits
    assert await connection.fetchval("SELECT count(*) FROM worlds") == 1 + commits


async def test_a_release_that_meets_the_end_of_its_pool_leaves_nothing_behind(
    connection: Connection, database_url: str, drain: Drain
) -> None:
    await filled(connection, 1, whileDeleting="Allow")
    got = await connection.fetchval(CLAIM, POOL, "ann", None)
    application = await asyncpg.connect(database_url)
    transaction = application.transaction()
    await transaction.start()
    await application.execute("SELECT campaign_pool.release($1)", got)
    assert await drain() == draining.UNDER_WAY_SECONDS
    await transaction.commit()
    while await drain() is not None:
        pass
    await application.close()
    assert await small.wrong(connection) == []
    assert await connection.fetchval("SELECT count(*) FROM worlds") == 1
