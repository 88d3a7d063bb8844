"""Fixtures: one embedded Postgres a session, a fresh database for each test that asks for one."""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from campaignpool_local.postgres import EmbeddedPostgres

NewDatabase = Callable[..., str]
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """The server; shared by all tests, so never stop or restart this one."""
    # Not pytest's tmp_path, which pytest closes to other unix users each time a session starts.
    with (
        tempfile.TemporaryDirectory(prefix="campaignpool-tests-") as folder,
        EmbeddedPostgres(Path(folder) / "postgres", max_connections=200) as server,
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
