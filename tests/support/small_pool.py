"""Fixtures: connections to a database with the small application and its pool."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from campaignpool.ledger.database import Connection


@pytest.fixture
async def connection(small_url: str) -> AsyncIterator[Connection]:
    """Yield a connection to a new database with the small application and its empty pool."""
    connection = await asyncpg.connect(small_url)
    yield connection
    await connection.close()


@pytest.fixture
async def other(small_url: str) -> AsyncIterator[Connection]:
    """Yield a second connection to the test's database."""
    other = await asyncpg.connect(small_url)
    yield other
    await other.close()
