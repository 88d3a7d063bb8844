"""A connection for tests that hypothesis calls synchronously."""

import asyncio

import asyncpg

from campaignpool.ledger.database import Connection
from campaignpool.ledger.migrate import migrate


class Server:
    """A connection to a migrated database and its event loop, because hypothesis calls synchronous tests."""

    def __init__(self, url: str) -> None:
        self.url, self.runner = url, asyncio.Runner()
        self.connection: Connection = self.runner.run(asyncpg.connect(url, statement_cache_size=0))
        self.runner.run(migrate(self.connection))

    def close(self) -> None:
        self.runner.run(self.connection.close())
        self.runner.close()
