"""A connection for tests that hypothesis calls synchronously."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import asyncpg

from campaignpool.ledger.database import Connection
from campaignpool.ledger.migrate import migrate

RENEW_AFTER = 10
"""Examples on one connection: it remembers every table it saw, and their rows stay in the catalog."""


class Server:
    """A connection to a migrated database and its event loop, because hypothesis calls synchronous tests."""

    def __init__(self, url: str) -> None:
        self.url, self.runner, self._used = url, asyncio.Runner(), 0
        self.connection: Connection = self._connect()
        self.runner.run(migrate(self.connection))

    def _connect(self) -> Connection:
        return self.runner.run(asyncpg.connect(self.url, statement_cache_size=0))

    def run(self, example: Coroutine[Any, Any, None]) -> None:
        """Run an example; after some, remove the dead rows of the catalog and connect again."""
        self.runner.run(example)
        self._used += 1
        if self._used % RENEW_AFTER == 0:
            self.runner.run(self.connection.execute("VACUUM"))
            self.runner.run(self.connection.close())
            self.connection = self._connect()

    def close(self) -> None:
        self.runner.run(self.connection.close())
        self.runner.close()
