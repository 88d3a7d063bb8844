"""A database with the small application and its pool, and connections to it, for tests that need no more."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from campaignpool.ledger.database import Connection
from tests.support import small


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    """Make the application and its pool, empty, in the test's database; a module may have another of this name."""
    connection = await asyncpg.connect(database_url)
    await small.made(connection)
    yield connection
    await connection.close()


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[Connection]:
    """Connect to the test's database once more."""
    other = await asyncpg.connect(database_url)
    yield other
    await other.close()
