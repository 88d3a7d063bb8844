"""Fixtures: one embedded Postgres per session, and a new database for every test that requests one."""

import asyncio
import contextlib
import itertools
import os
import secrets
import shutil
import tempfile
import urllib.parse
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest

import chiwar
from campaignpool.ledger.database import Connection
from campaignpool_local.postgres import EmbeddedPostgres
from tests.support import clusters, ledgers, small

NewDatabase = Callable[..., str]
_numbers = itertools.count(1)
_MEMORY = Path("/dev/shm")  # noqa: S108 (a tmpfs; the folder's name is random)
_MEMORY_BYTES = 4 << 30
_SETTINGS = {"max_connections": "200", "max_wal_size": "256MB"}


@contextlib.contextmanager
def server_folder() -> Iterator[Path]:
    """Yield a folder for a server's data, in memory if there is room: on a disk, a database takes eight times longer.

    Other unix users can pass it, unlike pytest's `tmp_path`. Folders of killed sessions are removed.
    """
    in_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _MEMORY_BYTES
    prefix = "campaignpool-tests-"
    for left in _MEMORY.glob(f"{prefix}*") if in_memory else ():
        if not Path(f"/proc/{left.name.split('-')[2]}").exists():
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{prefix}{os.getpid()}-", dir=_MEMORY if in_memory else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """Yield the server; all tests share it, so no test may stop or restart it."""
    with server_folder() as folder, EmbeddedPostgres(folder / "postgres", settings=_SETTINGS) as server:
        yield server


@pytest.fixture
def new_database(postgres_server: EmbeddedPostgres) -> Iterator[NewDatabase]:
    """Yield `new_database(template=None) -> url`; the databases are dropped after the test."""
    created: list[str] = []

    def create(template: str | None = None) -> str:
        name = f"test_{next(_numbers)}"
        url = postgres_server.create_database(name, template)
        created.append(name)
        return url

    yield create
    for name in created:
        postgres_server.drop_database(name)


class GivenServer:
    """Databases on a server that is given, all owned by one role of its own, which is no superuser."""

    def __init__(self, url: str) -> None:
        self._url, self._role, self._password = url, f"campaignpool_test_{os.getpid()}", secrets.token_hex(16)
        self._databases: list[str] = []

    def __enter__(self) -> "GivenServer":
        self._execute(
            f"CREATE ROLE {self._role} LOGIN PASSWORD '{self._password}'", f"GRANT {self._role} TO current_user"
        )
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._databases:
            self.drop_database(name)
        self._execute(f"DROP ROLE {self._role}")

    def create_database(self, name: str, template: str | None = None) -> str:
        source = self._named(template) if template else "template0"
        self._execute(f"CREATE DATABASE {self._named(name)} OWNER {self._role} TEMPLATE {source}")
        self._databases.append(name)
        url = urllib.parse.urlsplit(self._url)
        address = url.netloc.rpartition("@")[2]
        return url._replace(netloc=f"{self._role}:{self._password}@{address}", path=f"/{self._named(name)}").geturl()

    def drop_database(self, name: str) -> None:
        self._execute(f"DROP DATABASE IF EXISTS {self._named(name)} WITH (FORCE)")

    def _named(self, name: str) -> str:
        return f"{self._role}_{name}"

    def _execute(self, *statements: str) -> None:
        async def run() -> None:
            connection = await asyncpg.connect(self._url)
            try:
                for statement in statements:
                    await connection.execute(statement)
            finally:
                await connection.close()

        asyncio.run(run())


Server: TypeAlias = EmbeddedPostgres | GivenServer


@pytest.fixture(scope="session")
def pods_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Yield the server that pods of the cluster reach: the one that is given, or the embedded one."""
    if url := os.environ.get("CAMPAIGNPOOL_TEST_DATABASE"):
        with GivenServer(url) as server:
            yield server
        return
    if not clusters.pods_are_local():
        pytest.skip("pods need a database that they reach: set CAMPAIGNPOOL_TEST_DATABASE")
    yield request.getfixturevalue("postgres_server")


@pytest.fixture
def pods_database(pods_server: Server) -> Iterator[NewDatabase]:
    """Yield `pods_database(template=None) -> url`; the databases are dropped after the test."""
    created: list[str] = []

    def create(template: str | None = None) -> str:
        created.append(f"pods_{next(_numbers)}")
        return pods_server.create_database(created[-1], template)

    yield create
    for name in created:
        pods_server.drop_database(name)


@pytest.fixture
def database_url(new_database: NewDatabase) -> str:
    """Return the URL of an empty database, as superuser."""
    return new_database()


async def _fill(url: str, fill: Callable[[Connection], Awaitable[object]]) -> None:
    connection = await asyncpg.connect(url)
    try:
        await fill(connection)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def chiwar_template(postgres_server: EmbeddedPostgres) -> str:
    """Return the name of a template database: the sample application at full size, with two other campaigns."""
    url = postgres_server.create_database("chiwar_template")
    asyncio.run(_fill(url, lambda connection: chiwar.load(connection, campaigns=2)))
    return "chiwar_template"


@pytest.fixture
def chiwar_url(new_database: NewDatabase, chiwar_template: str) -> str:
    """Return the URL of a new database with the sample application, as superuser."""
    return new_database(chiwar_template)


@pytest.fixture(scope="session")
def pool_template(postgres_server: EmbeddedPostgres, chiwar_template: str) -> str:
    """Return the name of a template database: the sample application with its pool, installed and empty."""
    url = postgres_server.create_database("pool_template", chiwar_template)
    asyncio.run(_fill(url, ledgers.installed))
    return "pool_template"


@pytest.fixture
def pool_url(new_database: NewDatabase, pool_template: str) -> str:
    """Return the URL of a new database with the sample application and its empty pool, as superuser."""
    return new_database(pool_template)


@pytest.fixture(scope="session")
def small_template(postgres_server: EmbeddedPostgres) -> str:
    """Return the name of a template database: the small application with its pool, installed and empty."""
    asyncio.run(_fill(postgres_server.create_database("small_template"), small.made))
    return "small_template"


@pytest.fixture
def small_url(new_database: NewDatabase, small_template: str) -> str:
    """Return the URL of a new database with the small application and its empty pool, as superuser."""
    return new_database(small_template)
