"""Fixtures: one embedded Postgres a session, a fresh database for each test that asks for one."""

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
    """The server; shared by all tests, so never stop or restart this one."""
    # Not pytest's tmp_path, which pytest closes to other unix users each time a session starts.
    with (
        tempfile.TemporaryDirectory(prefix="campaignpool-tests-") as folder,
        EmbeddedPostgres(Path(folder) / "postgres", settings={"max_connections": "200"}) as server,
    ):
        yield server


@pytest.fixture
def new_database(postgres_server: EmbeddedPostgres) -> Iterator[NewDatabase]:
    """Makes databases, `new_database(template=None) -> url`, and drops them after the test."""
    made: list[str] = []

    def make(template: str | None = None) -> str:
        name = f"test_{next(_numbers)}"
        url = postgres_server.create_database(name, template)
        made.append(name)
        return url

    yield make
    for name in made:
        postgres_server.drop_database(name)


@pytest.fixture
def database_url(new_database: NewDatabase) -> str:
    """The URL of an empty database, as superuser."""
    return new_database()


@pytest.fixture(scope="session")
def chiwar_template(postgres_server: EmbeddedPostgres) -> str:
    """The name of a database to copy: the sample application, full size, with two campaigns of others."""

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
    """The URL of a database of one's own with the sample application in it, as superuser."""
    return new_database(chiwar_template)
