"""What happened in a pool since the last look: claims and misses. For metrics.

A look reads the records of claims since the last one, whatever their number before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from campaignpool.ledger import sql
from campaignpool.ledger.database import Connection

CLAIM_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
"""Upper bounds of the buckets that durations of claims are counted in; one more bucket has what takes longer."""

SETTLED = timedelta(seconds=10)
"""Claims are counted this long after they were made: by then their transaction has committed."""


@dataclass(frozen=True)
class Durations:
    """Claims of one source.

    Attributes:
        buckets: How many claims are in each bucket of `CLAIM_SECONDS`, and in the one beyond.
        seconds: How long all of them took.
    """

    buckets: tuple[int, ...]
    seconds: float


@dataclass(frozen=True)
class Activity:
    """One look at a pool, by the database's clock.

    Attributes:
        at: When it was.
        until: Earlier claims are counted, in this look or a previous one.
        claims: Since the last look, by source. Empty in the first look.
        misses: Claims that got no campaign, since the pool exists. After a crash of the database up to 32 too many.
        last_claim_at: When the latest claim was made.
    """

    at: datetime
    until: datetime
    claims: Mapping[str, Durations] = field(default_factory=dict)
    misses: int = 0
    last_claim_at: datetime | None = None


async def observe(connection: Connection, pool: str, last: Activity | None) -> Activity | None:
    """Return what happened since the last look; None: the ledger has no such pool."""
    row = await connection.fetchrow(_QUERY["now"], pool)
    if row is None:
        return None
    at, latest = row["at"], row["last_claim_at"]
    until = max(at - SETTLED, last.until) if last else at - SETTLED
    claims = {}
    if last is not None and latest is not None and latest >= last.until:
        claims = await _claims(connection, pool, last.until, until)
    return Activity(at, until, claims, row["misses"], latest)


async def _claims(connection: Connection, pool: str, since: datetime, until: datetime) -> dict[str, Durations]:
    buckets: dict[str, list[int]] = {}
    seconds: dict[str, float] = {}
    for row in await connection.fetch(_QUERY["claims"], pool, since, until, list(CLAIM_SECONDS)):
        source = row["source"]
        buckets.setdefault(source, [0] * (len(CLAIM_SECONDS) + 1))[row["bucket"]] += row["claims"]
        seconds[source] = seconds.get(source, 0.0) + row["seconds"]
    return {source: Durations(tuple(counts), seconds[source]) for source, counts in buckets.items()}


_QUERY = sql.queries("activity")
