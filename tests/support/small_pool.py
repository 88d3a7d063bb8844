"""Fixtures: a database with the small application and its pool, and connections to it."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from campaignpool.ledger.database import Connection
from tests.support import small


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    """Create the application and an empty pool in the test's database, and yield a connection."""
    connection = await asyncpg.connect(database_url)
    await small.made(connection)
    yield connection
    await connection.close()


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[Connection]:
    """Yield a second connection to the test's database."""
    other = await asyncpg.connect(database_url)
    yield other
    await other.close()
