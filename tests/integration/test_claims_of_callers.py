"""Claims of callers of any isolation, and through a pooler that gives them another session each time."""

import asyncio
import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import urllib.parse
from collections.abc import Iterator

import asyncpg
import pytest

from campaignpool.blueprint import install
from campaignpool.ledger import pools
from campaignpool.ledger.database import Connection
from tests.support import resources, small
from tests.support.small import POOL, filled

pytestmark = pytest.mark.integration
CLAIM = "SELECT campaign_id, source FROM campaign_pool.claim($1, $2, $3)"
PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read", "serializable"])
async def test_no_campaign_and_no_key_is_given_twice_whatever_the_callers_isolation(
    connection: Connection, small_url: str, isolation: str
) -> None:
    await filled(connection, 40)
    given: dict[str, set[str]] = {}
    failures: set[tuple[str | None, bool]] = set()

    async def client(number: int) -> None:
        mine = await asyncpg.connect(small_url)
        for turn in range(8):
            key = f"key {number // 2 * 8 + turn}"  # two clients have the same ones
            while True:
                try:
                    async with mine.transaction(isolation=isolation):  # type: ignore[arg-type] # one of the names
                        await mine.fetchval("SELECT count(*) FROM worlds")
                        row = await mine.fetchrow(CLAIM, POOL, "ann", key)
                    break
                except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError) as error:
                    failures.add((error.sqlstate, bool(error.as_dict().get("hint"))))
            assert row
            given.setdefault(key, set()).add(row["campaign_id"])
        await mine.close()

    await asyncio.gather(*map(client, range(8)))
    assert len(given) == 32
    assert all(len(campaigns) == 1 for campaigns in given.values())
    assert len(set().union(*given.values())) == 32
    assert await connection.fetchval("SELECT count(*) FROM campaign_pool.claimed") == 32
    assert await small.inconsistencies(connection) == []
    assert failures <= (set() if isolation == "read_committed" else {("40001", True)})


@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
async def test_a_claim_that_sees_a_deleted_pool_runs_again(
    connection: Connection, small_url: str, isolation: str
) -> None:
    """The pool was deleted after the snapshot of the claim's transaction: its sequences are gone."""
    strict = await asyncpg.connect(small_url)
    transaction = strict.transaction(isolation=isolation)  # type: ignore[arg-type] # one of the names
    await transaction.start()
    await strict.fetchval("SELECT count(*) FROM campaign_pool.pool")
    await resources.close(connection, POOL)
    assert await pools.finish_deletion(connection, POOL)
    with pytest.raises(asyncpg.SerializationError, match="has changed since this transaction began"):
        await strict.fetchrow(CLAIM, POOL, "ann", "key")
    await transaction.rollback()
    await strict.close()


@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
async def test_a_claim_that_cannot_be_put_in_order_says_what_to_do(
    connection: Connection, small_url: str, isolation: str
) -> None:
    await filled(connection, 1)
    strict = await asyncpg.connect(small_url)
    transaction = strict.transaction(isolation=isolation)  # type: ignore[arg-type] # one of the names
    await transaction.start()
    await strict.fetchval("SELECT count(*) FROM worlds")
    await connection.fetchrow(CLAIM, POOL, "bob", None)
    with pytest.raises(asyncpg.SerializationError) as failed:
        await strict.fetchrow(CLAIM, POOL, "ann", "one")
    assert failed.value.sqlstate == "40001"
    assert "again with the same key, or claim in READ COMMITTED" in failed.value.as_dict()["hint"]
    await transaction.rollback()
    async with strict.transaction(isolation=isolation):  # type: ignore[arg-type] # one of the names
        row = await strict.fetchrow(CLAIM, POOL, "ann", "one")
    assert row
    assert row["source"] == "clone"
    await strict.close()


async def test_a_claim_that_sees_a_pool_of_long_ago_is_told_to_look_again(
    connection: Connection, small_url: str
) -> None:
    """The revision that it sees was dropped since, with all of its functions."""
    strict = await asyncpg.connect(small_url)
    transaction = strict.transaction(isolation="repeatable_read")
    await transaction.start()
    await strict.fetchval("SELECT count(*) FROM worlds")
    await small.put(connection, small.spec(2))
    assert await install.drop_unused(connection, POOL) == 1
    with pytest.raises(asyncpg.SerializationError, match="has changed since this transaction began") as failed:
        await strict.fetchrow(CLAIM, POOL, "ann", "one")
    assert "again" in failed.value.as_dict()["hint"]
    await transaction.rollback()
    assert await strict.fetchrow(CLAIM, POOL, "ann", "one")
    await strict.close()


async def test_a_claim_that_cannot_see_that_the_operator_sleeps_wakes_it(
    connection: Connection, small_url: str
) -> None:
    await filled(connection, 1)
    strict = await asyncpg.connect(small_url)
    heard: asyncio.Queue[str] = asyncio.Queue()
    await connection.add_listener(pools.CHANNEL, lambda *said: heard.put_nowait(str(said[3])))
    transaction = strict.transaction(isolation="repeatable_read")
    await transaction.start()
    await strict.fetchval("SELECT count(*) FROM worlds")
    assert await pools.begin_waiting(connection, POOL), "nobody is active as far as can be seen"
    await strict.fetchrow(CLAIM, POOL, "ann", None)
    await transaction.commit()
    await connection.execute("SELECT pg_notify('campaign_pool', 'the end')")
    assert await asyncio.wait_for(heard.get(), 5) == POOL
    await strict.close()


@pytest.fixture
def pooler(small_url: str) -> Iterator[str]:
    """The URL of a PgBouncer in transaction mode, with three connections to the database."""
    if PGBOUNCER is None:
        pytest.skip("there is no pgbouncer on this machine: install its package to run this test")
    url = urllib.parse.urlsplit(small_url)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.NamedTemporaryFile("w", prefix="campaignpool-pgbouncer-", suffix=".ini") as config:
        config.write(
            f"[databases]\ngame = host={url.hostname} port={url.port} dbname={url.path[1:]} user={url.username}"
            f" password={url.password}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            "pool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 100\n"
        )
        config.flush()
        command = [PGBOUNCER, "-q", config.name]
        if getpass.getuser() == "root":  # it refuses to run as such
            shutil.chown(config.name, "nobody")
            command[1:1] = ["-u", "nobody"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        yield f"postgresql://anybody:none@127.0.0.1:{port}/game"
        process.terminate()
        process.wait()


async def test_claims_through_a_pooler_that_changes_the_session_after_every_transaction(
    connection: Connection, pooler: str
) -> None:
    await filled(connection, 60)

    async def answers() -> bool:
        try:
            await (await asyncpg.connect(pooler, statement_cache_size=0)).close()
        except OSError:
            return False
        return True

    await small.until(answers)
    given: dict[str, str] = {}

    async def client(number: int) -> None:
        mine = await asyncpg.connect(pooler, statement_cache_size=0)
        player = ("ann", "bob", "cid")[number % 3]
        for turn in range(3):
            key = f"key {number} {turn}"
            row = await mine.fetchrow(CLAIM, POOL, player, key)
            assert row
            given[key] = row["campaign_id"]
            assert await mine.fetchval(CLAIM, POOL, player, key) == row["campaign_id"]
            assert await mine.fetchval("SELECT source FROM campaign_pool.peek($1, $2)", POOL, player)
        assert await mine.fetchval("SELECT campaign_pool.extend($1, '2 hours')", given[f"key {number} 0"])
        await mine.execute("SELECT campaign_pool.release($1)", given.pop(f"key {number} 0"))
        async with mine.transaction():
            several = await mine.fetch(
                "SELECT * FROM campaign_pool.claim_many($1, $2, 2, $3)", POOL, player, f"{number}"
            )
        given.update({f"{number}#{n}": row["campaign_id"] for n, row in enumerate(several, 1)})
        assert await mine.fetchval("SELECT healthy FROM campaign_pool.health()")
        await mine.close()

    await asyncio.gather(*map(client, range(30)))
    records = await connection.fetch("SELECT key, campaign_id FROM campaign_pool.claimed WHERE released_at IS NULL")
    assert {row["key"]: row["campaign_id"] for row in records} == given
    assert len(set(given.values())) == 30 * 4
    assert await small.inconsistencies(connection) == []
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    assert await connection.fetchval(sessions) <= 3
