"""Audits: ready campaigns whose rows the application deleted or changed."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from campaignpool.ledger import sql
from campaignpool.ledger.database import Connection

ROOTS = 1000
"""Ready campaigns whose root row one audit looks for."""

WHOLE = 5
"""Ready campaigns of which one audit counts the rows per table, and compares the values."""


async def audit(
    connection: Connection, pool: str, plan_hash: str | None = None, ignored: Sequence[str] = ()
) -> dict[UUID, str]:
    """Return ready campaigns that are not what was cloned, each with the cause, from a random sample.

    Args:
        connection: To the pool's database.
        pool: `namespace/name` of the resource.
        plan_hash: Of the blueprint against the current schema: the values of that revision's campaigns are compared.
        ignored: Columns that may have any value, as `table.column`.
    """
    arguments = (pool, ROOTS, WHOLE, plan_hash, list(ignored))
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return {row["id"]: row["cause"] for row in await connection.fetch(_QUERY["audit"], *arguments)}


async def quarantine(connection: Connection, changed: Mapping[UUID, str]) -> int:
    """Take campaigns that an audit found out of their pool, those that are still ready; return how many."""
    return int(await connection.fetchval(_QUERY["quarantine"], list(changed), list(changed.values())))


_QUERY = sql.queries("auditing")
