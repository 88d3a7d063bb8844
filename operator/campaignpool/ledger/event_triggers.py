"""Event triggers of the database, which may refuse what we create in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from campaignpool.errors import ConfigurationError
from campaignpool.ledger.database import Connection
from campaignpool.sqlstates import described, is_transient

_TRIGGERS = """
SELECT t.evtname AS name, p.proname || '()' AS function
FROM pg_event_trigger t JOIN pg_proc p ON p.oid = t.evtfoid WHERE t.evtenabled <> 'D' ORDER BY 1
"""


@asynccontextmanager
async def obeyed(connection: Connection) -> AsyncIterator[None]:
    """Run a block that creates or drops something in a transaction of its own.

    Raises:
        ConfigurationError: An event trigger of the database refuses it, or lacks a right; the message names it.
    """
    try:
        yield
    except asyncpg.PostgresError as error:
        context = getattr(error, "context", None) or ""
        if connection.is_closed() or is_transient(error) or "function" not in context:
            raise
        names = [row["name"] for row in await connection.fetch(_TRIGGERS) if row["function"] in context]
        if not names:
            raise
        raise ConfigurationError(
            f"event trigger {', '.join(names)} of the database refuses what the operator does in the schema "
            f"campaign_pool and with temporary tables: {described(error)}: let the trigger pass both, or the role in "
            "the URL",
            reason="SchemaMismatch",
        ) from error
