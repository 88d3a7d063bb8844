"""Audits: ready campaigns whose rows the application deleted or changed."""

from collections.abc import Mapping
from uuid import UUID

from campaignpool.ledger import sql
from campaignpool.ledger.database import Connection

ROOTS = 1000
"""Ready campaigns whose root row one audit looks for."""

WHOLE = 5
"""Ready campaigns of which one audit counts the rows per table."""


async def audit(connection: Connection, pool: str) -> dict[UUID, str]:
    """Return ready campaigns that are not what was cloned, each with the cause, from a random sample."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return {row["id"]: row["cause"] for row in await connection.fetch(_QUERY["audit"], pool, ROOTS, WHOLE)}


async def quarantine(connection: Connection, changed: Mapping[UUID, str]) -> int:
    """Take campaigns that an audit found out of their pool, those that are still ready; return how many."""
    return int(await connection.fetchval(_QUERY["quarantine"], list(changed), list(changed.values())))


_QUERY = sql.queries("auditing")
