"""Records of claims: their totals, and for how long they are kept."""

import asyncpg

from campaignpool.ledger import sql
from campaignpool.ledger.database import Connection

RECORD_DAYS = 30
"""How long the record of a claim is kept, and its key with it."""

HOURS_DAYS = 400
"""How long hourly figures are kept; the totals are kept for ever."""

COUNTED_SECONDS = 600
"""Older claims and runs are added to the totals, so that a loop counts the records of half an hour at most."""

_PRUNED_AT_ONCE = 10_000


async def claimed(connection: Connection, pool: str, owners: list[str]) -> dict[str | None, int]:
    """Return how many campaigns were claimed since the pool exists: of all owners (None), and of some."""
    return {row["owner"]: row["claimed"] for row in await connection.fetch(_QUERY["claimed"], pool, owners)}


async def release(connection: Connection, pool: str, campaign: str) -> str | None:
    """Release the claim of a campaign of a pool; return why it cannot be released, or None. It can be repeated."""
    try:
        released = await connection.fetchrow(_QUERY["release"], campaign, pool)
    except asyncpg.PostgresError as error:
        if error.sqlstate != "CP006":
            raise
        return f"{error.message}: {error.hint}" if getattr(error, "hint", None) else str(error)
    return None if released else f'campaign "{campaign}" was claimed from another pool: name the pool that it is from'


async def prune(connection: Connection, pool: str) -> None:
    """Add old claims to the totals, and delete records older than `RECORD_DAYS`."""
    await connection.execute(_QUERY["count_claims"], pool, COUNTED_SECONDS)
    await connection.execute(_QUERY["prune_claimed"], pool, RECORD_DAYS, _PRUNED_AT_ONCE)


_QUERY = sql.queries("claims")
