"""Records of claims: their totals, and for how long they are kept."""

from campaignpool.ledger import sql
from campaignpool.ledger.database import Connection

RECORD_DAYS = 30
"""How long the record of a claim is kept, and its key with it."""

HOURS_DAYS = 400
"""How long the hourly figures of claims are kept; the totals are kept for ever."""

COUNTED_SECONDS = 600
"""Claims older than this are added to the totals, so that a loop counts the records of half an hour at most."""

_PRUNED_AT_ONCE = 10_000


async def claimed(connection: Connection, pool: str) -> dict[str, int]:
    """Return how many campaigns of a pool were claimed, by owner, since the pool exists."""
    return {row["owner"]: row["claimed"] for row in await connection.fetch(_QUERY["claimed"], pool)}


async def prune(connection: Connection, pool: str) -> None:
    """Add old claims to the totals, and delete records older than `RECORD_DAYS`."""
    await connection.execute(_QUERY["count_claims"], pool, COUNTED_SECONDS)
    await connection.execute(_QUERY["prune_claimed"], pool, RECORD_DAYS, _PRUNED_AT_ONCE)


_QUERY = sql.queries("claims")
