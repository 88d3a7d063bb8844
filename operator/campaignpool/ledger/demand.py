"""The demand for a pool's master owner: claims by time, how many met an empty pool, and when it is unknown."""

from datetime import datetime
from typing import Literal, NamedTuple

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


class Terms(NamedTuple):
    """What a pool's resource and its refills say of how demand is served.

    Attributes:
        availability: Share of claims that are to find a ready campaign.
        time_zone: Name of the zone of the clock that users live by.
        jobs: Seeding Jobs at once.
        on_empty: What becomes of a claim that meets an empty pool.
        lead_seconds: Measured lead time of a refill; None if none was measured.
    """

    availability: float
    time_zone: str
    jobs: int
    on_empty: Literal["Clone", "Wait", "Fail"]
    lead_seconds: float | None


async def look(connection: Connection, pool: str, *, lost: bool = False, lead_seconds: float | None = None) -> None:
    """Count the claims that got no campaign since the last call; while the pool is paused, record a gap.

    Args:
        connection: To the pool's database.
        pool: `namespace/name`.
        lost: The database was out of reach since the last call, so claims may not have reached it.
        lead_seconds: Measured lead time of a refill, to be kept; None if there is no new one.
    """
    await connection.execute(_QUERY["look"], pool, lost, lead_seconds)


async def terms(connection: Connection, pool: str) -> Terms | None:
    """Return how the demand for a pool is served; None if the ledger has no such pool."""
    row = await connection.fetchrow(_QUERY["terms"], pool)
    return None if row is None else Terms(*row)


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
