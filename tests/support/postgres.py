"""Fixtures: one embedded Postgres per session, and a new database for every test that requests one."""

import asyncio
import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

import chiwar
from campaignpool_local.postgres import EmbeddedPostgres

NewDatabase = Callable[..., str]
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """Yield the server; all tests share it, so no test may stop or restart it."""
    # Other unix users cannot read pytest's tmp_path.
    with (
        tempfile.TemporaryDirectory(prefix="campaignpool-tests-") as folder,
        EmbeddedPostgres(Path(folder) / "postgres", settings={"max_connections": "200"}) as server,
    ):
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


@pytest.fixture
def database_url(new_database: NewDatabase) -> str:
    """Return the URL of an empty database, as superuser."""
    return new_database()


@pytest.fixture(scope="session")
def chiwar_template(postgres_server: EmbeddedPostgres) -> str:
    """Return the name of a template database: the sample application at full size, with two other campaigns."""

    async def load(url: str) -> None:
        connection = await asyncpg.connect(url)
        try:
            await chiwar.load(connection, campaigns=2)
        finally:
            await connection.close()

    asyncio.run(load(postgres_server.create_database("chiwar_template")))
    return "chiwar_template"


@pytest.fixture
def chiwar_url(new_database: NewDatabase, chiwar_template: str) -> str:
    """Return the URL of a new database with the sample application, as superuser."""
    return new_database(chiwar_template)
