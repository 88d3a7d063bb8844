"""The operator's connections: what the server, the network or a fail-over does to one leaves the others usable."""

import asyncpg
import pytest

from campaignpool_operator.databases import Databases

pytestmark = pytest.mark.integration
KEY = "game/chiwar"


async def test_a_connection_that_ends_as_it_is_taken_back_is_no_fault(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's last message has arrived, and the end of the connection has not: asyncpg's own state is off."""
    databases = Databases()
    connection = await databases.acquire(KEY, database_url)

    async def reset(*_: object, **__: object) -> None:
        raise asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")

    with monkeypatch.context() as during:
        during.setattr(asyncpg.Connection, "reset", reset)
        await databases.release(KEY, connection)
    again = await databases.acquire(KEY, database_url)
    assert await again.fetchval("SELECT 1") == 1
    await databases.release(KEY, again)
    databases.forget(KEY)
