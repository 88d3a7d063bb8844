"""Retiring and deleting campaigns that nobody claimed."""

from campaignpool.ledger import sql
from campaignpool.ledger.database import Connection


async def retire(connection: Connection, pool: str, owner: str | None, count: int | None) -> int:
    """Take up to `count` ready campaigns of an owner out of the pool, older revisions first; give how many.

    None: of every owner, or all of them. What a claim is about to take is passed over.
    """
    return int(await connection.fetchval(_QUERY["retire"], pool, owner, count))


async def remove(connection: Connection, pool: str, batch: int) -> int:
    """Delete up to `batch` retiring campaigns with all their rows, in one transaction; give how many."""
    return int(await connection.fetchval(_QUERY["remove"], pool, batch))


async def held(connection: Connection, pool: str) -> dict[str, int]:
    """Give why retiring campaigns could not be deleted, and how many each cause holds."""
    return {row["cause"]: row["campaigns"] for row in await connection.fetch(_QUERY["held"], pool)}


_QUERY = sql.queries()
