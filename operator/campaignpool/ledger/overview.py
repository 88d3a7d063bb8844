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


SLOW_SECONDS = 0.1
"""A claim of a ready campaign that takes longer is slow."""

LATE_SECONDS = 1800.0
"""Images that a campaign has waited longer for are late."""


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
class Recent:
    """What alerts ask of the ledger about a pool.

    Attributes:
        asked: Claims in the last half hour, those that got no campaign included.
        missed: Those of them that found no ready campaign.
        timed: Claims in the last 15 minutes that found one.
        slow: Those of them that took more than `SLOW_SECONDS`.
        images_late: A campaign has waited more than `LATE_SECONDS` for its images to be copied or deleted.
    """

    asked: int
    missed: int
    timed: int
    slow: int
    images_late: bool


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


async def recent(connection: Connection, pool: str) -> Recent:
    """Return what alerts ask about a pool, of the last `MOST_CLAIMS` claims at most."""
    row = await connection.fetchrow(_QUERY["recent"], pool, SLOW_SECONDS, MOST_CLAIMS, LATE_SECONDS)
    if row is None:
        raise AssertionError("an aggregate has a row")
    return Recent(**row)


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
