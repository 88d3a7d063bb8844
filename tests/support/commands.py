"""Fixtures: the command `campaignpool blueprint`, and a database of the sample application to run it on."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import asyncpg
import pytest

from campaignpool.cli import main
from campaignpool.ledger.database import Connection
from campaignpool_local.postgres import EmbeddedPostgres

WHERE = ("--template-where", "is_master_template")
T = TypeVar("T")
Run = Callable[..., tuple[int, str, str]]


def on(url: str, work: Callable[[Connection], Awaitable[T]]) -> T:
    async def run() -> T:
        connection = await asyncpg.connect(url)
        try:
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(run())


def execute(url: str, *statements: str) -> None:
    async def work(connection: Connection) -> None:
        for statement in statements:
            await connection.execute(statement)

    on(url, work)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `campaignpool blueprint …` and returns its exit code, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main.main(["blueprint", *arguments])
        except SystemExit as error:
            code = int(error.code or 0)
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="session")
def untouched(postgres_server: EmbeddedPostgres, chiwar_template: str) -> Iterator[str]:
    """Return the URL of a sample database without the ledger; tests must leave it unchanged."""
    yield postgres_server.create_database("cli_app", chiwar_template)
    postgres_server.drop_database("cli_app")


@pytest.fixture(scope="session")
def discovered(untouched: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("blueprint") / "blueprint.yaml"
    assert (
        main.main(
            ["blueprint", "discover", "--root", "campaigns", *WHERE, "--database-url", untouched, "-o", str(file)]
        )
        == 0
    )
    return file
