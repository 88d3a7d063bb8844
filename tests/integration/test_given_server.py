"""Databases of tests on a server that is given: owned by a role that is no superuser, and nothing is left."""

import asyncio
import urllib.parse

import asyncpg
import pytest

from campaignpool_local.postgres import EmbeddedPostgres
from tests.support.postgres import GivenServer

pytestmark = pytest.mark.integration
LEFT = """
SELECT datname FROM pg_database WHERE datname LIKE 'campaignpool_test_%'
UNION ALL SELECT rolname FROM pg_roles WHERE rolname LIKE 'campaignpool_test_%'
"""


def fetch(url: str, query: str) -> list[asyncpg.Record]:
    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            return list(await connection.fetch(query))
        finally:
            await connection.close()

    return asyncio.run(run())


def test_databases_are_copies_of_a_template_and_go_with_their_owner(postgres_server: EmbeddedPostgres) -> None:
    with GivenServer(postgres_server.url) as server:
        template = server.create_database("template")
        fetch(template, "CREATE TABLE campaigns (id int)")
        url = server.create_database("copy", "template")
        assert fetch(url, "SELECT * FROM campaigns") == []
        (row,) = fetch(url, "SELECT current_user, rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user")
        assert tuple(row) == (urllib.parse.urlsplit(url).username, False, False)
        server.drop_database("copy")
        with pytest.raises(asyncpg.InvalidCatalogNameError):
            fetch(url, "SELECT 1")
    assert fetch(postgres_server.url, LEFT) == []
