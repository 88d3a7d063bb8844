"""What admins look at beside the state of a pool: its latest claims, and the claims of the day of many pools."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from campaignpool.ledger import sql
from campaignpool.ledger.activity import CLAIM_SECONDS
from campaignpool.ledger.database import Connection

HOUR_SECONDS = 3600.0

MOST_CLAIMS = 50_000
"""The last claims that figures are computed from at most, so that they cost milliseconds on any pool."""


@dataclass(frozen=True)
class ClaimFigures:
    """Claims of a time.

    Attributes:
        owner, master, clone: Those that got a campaign, by its source.
        unserved: Those that got none.
        waiting: Those that had to wait.
        p50, p99: Seconds that half and 99 of 100 of those from the pool took at most; None without any.
        clone_p50: The same half of those that were cloned.
        durations: How many of those from the pool are in each bucket of `CLAIM_SECONDS`, and beyond.
    """

    owner: int
    master: int
    clone: int
    unserved: int
    waiting: int
    p50: float | None
    p99: float | None
    clone_p50: float | None
    durations: tuple[int, ...] = ()


@dataclass(frozen=True)
class Claim:
    """The record of one claim, without its claimant; `owner` is empty for the master pool."""

    campaign_id: str
    owner: str
    source: str
    claimed_at: datetime
    seconds: float
    released_at: datetime | None
    releasable_until: datetime


@dataclass(frozen=True)
class DayHour:
    """Claims of one pool in one hour; see `campaignpool.ledger.trends.Hour`."""

    pool: str
    hour: datetime
    claims: int
    clone: int
    unserved: int
    waiting: int


async def claims(connection: Connection, pool: str, seconds: float = HOUR_SECONDS) -> ClaimFigures:
    """Return the claims of the last seconds, at most the last `MOST_CLAIMS`."""
    row = await connection.fetchrow(_QUERY["claims"], pool, seconds, MOST_CLAIMS)
    if row is None:
        raise AssertionError("an aggregate has a row")
    durations = [0] * (len(CLAIM_SECONDS) + 1)
    for bucket in await connection.fetch(_QUERY["durations"], pool, seconds, MOST_CLAIMS, list(CLAIM_SECONDS)):
        durations[bucket["bucket"]] += bucket["claims"]
    return ClaimFigures(**row, durations=tuple(durations))


async def newest(connection: Connection, pool: str, most: int) -> list[Claim]:
    """Return the newest claims of a pool."""
    return [Claim(**row) for row in await connection.fetch(_QUERY["newest"], pool, most)]


async def paces(connection: Connection, pools: Sequence[str]) -> dict[str, int]:
    """Return how many claims the master pools of one database had in the last ten minutes, by pool."""
    return {row["pool"]: row["claims"] for row in await connection.fetch(_QUERY["paces"], list(pools))}


async def days(connection: Connection, pools: Sequence[str]) -> list[DayHour]:
    """Return the claims of the last 24 hours of pools in one database, by the hour."""
    return [DayHour(**row) for row in await connection.fetch(_QUERY["days"], list(pools))]


_QUERY = sql.queries("overview")
