"""The embedded Postgres: it asks for the password, and it never outlives who started it."""

import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from campaignpool_local.postgres import EmbeddedPostgres, PostgresError

pytestmark = pytest.mark.integration

# Started as a process of its own: says which server it has, then waits to be killed.
_OWNER = """
import sys
from pathlib import Path
from campaignpool_local.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
pid = (Path(sys.argv[1]) / "pgdata" / "postmaster.pid").read_text().split()[0]
print(pid, server.url, flush=True)
if sys.argv[2] == "wait":
    sys.stdin.read()
"""


@pytest.fixture
def own_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="campaignpool-tests-") as folder:
        yield Path(folder) / "postgres"


def _owner(folder: Path, then: str) -> tuple[subprocess.Popen[str], int, str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(folder), then],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    pid, url = process.stdout.readline().split()
    return process, int(pid), url


def _gone(pidfd: int, *, within_seconds: float) -> bool:
    return bool(select.select([pidfd], [], [], within_seconds)[0])


def _shared_memory_made_by(pid: int) -> list[str]:
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()
    creator = lines[0].split().index("cpid")
    return [line for line in lines[1:] if line.split()[creator] == str(pid)]


async def _answer(url: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("SELECT 1")
    finally:
        await connection.close()


async def test_the_url_connects_over_tcp(database_url: str) -> None:
    assert "@127.0.0.1:" in database_url
    assert await _answer(database_url) == 1


async def test_a_wrong_password_is_refused(postgres_server: EmbeddedPostgres, database_url: str) -> None:
    password = postgres_server.url.split(":")[2].split("@")[0]
    with pytest.raises(asyncpg.InvalidPasswordError):
        await _answer(database_url.replace(password, "wrong"))


async def test_no_password_is_refused(postgres_server: EmbeddedPostgres, own_folder: Path) -> None:
    with pytest.raises(asyncpg.PostgresError, match="password"):
        await asyncpg.connect(
            host="127.0.0.1", port=postgres_server.port, user=postgres_server.user, passfile=str(own_folder / "none")
        )


async def test_a_database_is_made_from_a_template(postgres_server: EmbeddedPostgres, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("CREATE TABLE marked AS SELECT 7 AS mark")
    await connection.close()
    copy = postgres_server.create_database('a "copy"', template=database_url.rpartition("/")[2])
    try:
        connection = await asyncpg.connect(postgres_server.url, database='a "copy"')
        assert await connection.fetchval("SELECT mark FROM marked") == 7
        await connection.close()
    finally:
        postgres_server.drop_database('a "copy"')
    assert copy.startswith("postgresql://")


def test_a_database_that_exists_is_refused(postgres_server: EmbeddedPostgres, database_url: str) -> None:
    with pytest.raises(PostgresError, match="already exists"):
        postgres_server.create_database(database_url.rpartition("/")[2])


async def test_a_restart_keeps_port_password_and_data(own_folder: Path) -> None:
    with EmbeddedPostgres(own_folder, settings={"shared_buffers": "8MB"}) as server:
        url = server.create_database("game")
        server.restart()
        assert await _answer(url) == 1
        server.restart(crash=True)
        assert await _answer(url) == 1
    with pytest.raises(OSError, match="Connect call failed"):
        await _answer(url)
    with EmbeddedPostgres(own_folder, port=server.port) as again:
        assert await _answer(again.url_of("game")) == 1
        assert again.url_of("game") == url


def test_a_server_that_cannot_start_says_why(own_folder: Path) -> None:
    server = EmbeddedPostgres(own_folder, settings={"shared_buffers": "none at all"})
    with pytest.raises(PostgresError, match="shared_buffers"):
        server.start()


def test_the_url_before_the_first_start_is_an_error(own_folder: Path) -> None:
    with pytest.raises(PostgresError, match="not been started"):
        _ = EmbeddedPostgres(own_folder).url


async def test_it_outlives_the_thread_that_started_it(own_folder: Path) -> None:
    server = EmbeddedPostgres(own_folder)
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    try:
        # Were it tied to the thread, it would refuse connections from the moment that thread ended.
        assert await _answer(server.url) == 1
        assert await _answer(server.url) == 1
    finally:
        server.stop()


@pytest.mark.parametrize("order", [signal.SIGKILL, signal.SIGTERM])
async def test_it_ends_when_its_owner_is_killed(own_folder: Path, order: signal.Signals) -> None:
    owner, pid, url = _owner(own_folder, "wait")
    with owner:
        assert await _answer(url) == 1
        held = await asyncpg.connect(url)  # an open connection must not keep it alive
        pidfd = os.pidfd_open(pid)
        try:
            owner.send_signal(order)
            assert _gone(pidfd, within_seconds=20)
        finally:
            os.close(pidfd)
            held.terminate()
    with pytest.raises(OSError, match="Connect call failed"):
        await _answer(url)
    assert not (own_folder / "pgdata" / "postmaster.pid").exists()
    assert _shared_memory_made_by(pid) == []


def test_it_ends_when_its_owner_ends_without_stopping_it(own_folder: Path) -> None:
    owner, _, _ = _owner(own_folder, "end")
    with owner:
        assert owner.wait(timeout=20) == 0
    assert not (own_folder / "pgdata" / "postmaster.pid").exists()
