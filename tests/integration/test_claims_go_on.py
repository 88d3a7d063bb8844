"""Claims go on: without operator and API, and while a pool ends."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from campaignpool.api.crd import crd
from campaignpool.ledger.database import Connection
from campaignpool_local.emulator import emulator_thread
from campaignpool_operator import deletion as draining
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.cluster.transport import Secret
from campaignpool_operator.databases import Databases
from campaignpool_operator.facts import Pool
from campaignpool_operator.resource import read_pool
from tests.support import small
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
            return await small.inconsistencies(connection)
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


# The end of a pool.


class Alone(Cluster):
    """A cluster in which nothing is but one pool and its Secret."""

    def __init__(self, url: str) -> None:
        self.url, self.finalizers = url, [draining.FINALIZER]

    async def secret(self, *_: str) -> Secret | None:
        return Secret({"url": self.url.encode()}, "5")

    async def jobs(self, *_: str) -> list[dict[str, Any]]:
        return []

    async def set_finalizers(self, *given: Any) -> None:
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
    await connection.execute("UPDATE campaign_pool.pool SET uid = '1'")
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
    assert await small.inconsistencies(connection) == []
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
    assert await small.inconsistencies(connection) == []
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
    assert await small.inconsistencies(connection) == []
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
    assert await small.inconsistencies(connection) == []
    assert await connection.fetchval("SELECT count(*) FROM worlds") == 1
