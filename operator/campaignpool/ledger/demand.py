"""The demand for a pool's master owner: claims by time, how many met an empty pool, and when it is unknown."""

from datetime import datetime
from typing import NamedTuple

from campaignpool.ledger import sql
from campaignpool.ledger.database import Connection

BUCKET_SECONDS, FINE_SECONDS = 10.0, 1.0
"""Widths of the buckets in which claims are counted."""

CLAIMANT_CLAIMS, CLAIMANT_SECONDS = 5, 600.0
"""How many claims of one claimant count within how many seconds, so that a script does not decide a pool's size."""


class Demand(NamedTuple):
    """Claims in some seconds; `start` is in seconds since 1970, and `misses` of the claims met an empty pool."""

    start: float
    seconds: float
    claims: int
    misses: int


async def look(connection: Connection, pool: str, *, lost: bool = False) -> None:
    """Count the claims that got no campaign since the last call; while the pool is paused, record a gap.

    Args:
        connection: To the pool's database.
        pool: `namespace/name`.
        lost: The database was out of reach since the last call, so claims may not have reached it.
    """
    await connection.execute(_QUERY["look"], pool, lost)


async def read(
    connection: Connection, pool: str, since: datetime | None = None, *, scale: float = 1.0, fine: bool = False
) -> list[Demand]:
    """Return the demand from `since` on; without it all of it, old claims by the hour.

    A retry has one record, and a released claim is left out.

    Args:
        connection: To the pool's database.
        pool: `namespace/name`.
        since: The first moment.
        scale: What to multiply the widths of buckets with, for a clock that runs faster.
        fine: Count by the second.
    """
    width = FINE_SECONDS if fine else BUCKET_SECONDS
    rows = await connection.fetch(
        _QUERY["demand"], pool, since, width * scale, CLAIMANT_CLAIMS, CLAIMANT_SECONDS * scale
    )
    return [Demand(*row) for row in rows]


async def gaps(connection: Connection, pool: str) -> list[tuple[float, float]]:
    """Return the periods (since, until) in which nothing is known of the demand, in seconds since 1970."""
    return [(row["since"], row["until"]) for row in await connection.fetch(_QUERY["gaps"], pool)]


_QUERY = sql.queries("demand")
