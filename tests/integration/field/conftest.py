"""A connection to an empty database, in which each of these tests creates an application of its own."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from campaignpool.ledger.database import Connection


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    """A connection to an empty database."""
    connection: Connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()
