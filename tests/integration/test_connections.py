"""Connections as the operator, the Jobs and the command line open them: poolers, read-only servers, TLS, hosts."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from campaignpool.errors import CampaignPoolError, SecretError, UnreachableError
from campaignpool.ledger import pools
from campaignpool.ledger.database import Connection, connect, connected
from campaignpool_seeder import arguments
from campaignpool_seeder.exits import EX_TEMPFAIL, exit_code
from campaignpool_seeder.run import run
from tests.support.bouncer import pooler
from tests.support.ledgers import POOL

pytestmark = pytest.mark.integration
SETTINGS = "SELECT current_setting('statement_timeout'), current_setting('application_name')"


@pytest.fixture
async def connection(pool_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(pool_url)
    yield connection
    await connection.close()


async def at_once(_: float) -> None:
    """Do not wait between retries."""


async def seeded(url: str, job: str = "job") -> int:
    words = ["--pool", POOL, "--job", job, "--count", "2", "--batch-size", "1"]
    return await run(arguments.parse(words, url), asyncio.Event(), at_once)


async def test_the_settings_are_made_after_connecting(pool_url: str) -> None:
    async with connected(pool_url, "some-name") as connection:
        assert tuple(await connection.fetchrow(SETTINGS) or ()) == ("5min", "some-name")


@pytest.mark.parametrize("mode", ["session", "transaction"])
async def test_a_pooler_with_its_default_settings_is_enough(connection: Connection, pool_url: str, mode: str) -> None:
    with pooler(pool_url, mode) as url:
        await _until_it_listens(url)
        assert await seeded(url) == 2
    assert (await pools.observe(connection, POOL)).totals.ready == 2


async def _until_it_listens(url: str) -> None:
    for _ in range(200):
        try:
            await (await connect(url, "test")).close()
        except UnreachableError:
            await asyncio.sleep(0.05)
        else:
            return


async def test_a_read_only_database_is_named_and_retried(connection: Connection, pool_url: str) -> None:
    name = urlsplit(pool_url).path[1:]
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(UnreachableError, match=r"the database is read-only: .*target_session_attrs") as refused:
        await seeded(pool_url)
    assert (refused.value.reason, exit_code(refused.value)) == ("DatabaseReadOnly", EX_TEMPFAIL)
    await connection.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    assert await seeded(pool_url) == 2


async def test_the_first_host_that_accepts_writes_is_taken(connection: Connection, pool_url: str) -> None:
    parts = urlsplit(pool_url)
    login, _, host = parts.netloc.rpartition("@")
    url = f"postgresql://{login}@127.0.0.1:1,{host}{parts.path}?target_session_attrs=read-write"
    async with connected(url, "test") as found:
        assert await found.fetchval("SELECT inet_server_port()") == parts.port
    await connection.execute(f"ALTER DATABASE {parts.path[1:]} SET default_transaction_read_only = on")
    with pytest.raises(UnreachableError, match="no host of the URL is what target_session_attrs asks for"):
        await connect(f"{pool_url}?target_session_attrs=read-write", "test")


def _with(**changes: str) -> Callable[[str], str]:
    def change(url: str) -> str:
        parts = urlsplit(url)
        login, _, host = parts.netloc.rpartition("@")
        return f"postgresql://{login}@{changes.get('host', host)}{parts.path}{changes.get('query', '')}"

    return change


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (_with(query="?sslmode=require"), UnreachableError, "the server offers no TLS, and the URL asks for it"),
        (
            _with(query="?sslmode=verify-full&sslrootcert=/nowhere/ca.crt"),
            SecretError,
            "the file of sslrootcert in the database URL cannot be read: No such file",
        ),
        (_with(host="no-such-host.invalid:5432"), UnreachableError, "the host of the database does not resolve"),
        (_with(host="127.0.0.1:1"), UnreachableError, "the host of the database refuses the connection"),
        (_with(host="%2Fnowhere"), UnreachableError, "check the host and the port"),
    ],
    ids=["no TLS", "no certificate", "no name", "no port", "no socket"],
)
async def test_each_cause_has_its_own_sentence(
    pool_url: str, change: Callable[[str], str], kind: type[CampaignPoolError], message: str
) -> None:
    with pytest.raises(kind, match=message) as refused:
        await connect(change(pool_url), "test")
    assert str(urlsplit(pool_url).password) not in str(refused.value)


async def test_a_server_that_does_not_answer_is_given_up_in_time(pool_url: str) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UnreachableError, match="does not answer in time"):
            await connect(_with(host=host, query="?connect_timeout=1")(pool_url), "test")


async def test_a_certificate_that_is_none_is_named(pool_url: str, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("not a certificate")
    with pytest.raises(UnreachableError, match="check sslmode, sslrootcert"):
        await connect(_with(query=f"?sslmode=verify-ca&sslrootcert={tmp_path}/ca.crt")(pool_url), "test")
