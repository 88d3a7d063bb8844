"""Image sets as the operator and people see them: totals, what ended, another try.

How the worker sees it stands in `campaignpool.ledger.image_queue`, its functions in `sql/functions/image_sets.sql`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from campaignpool.ledger import sql
from campaignpool.ledger.database import Connection

_PRUNED_AT_ONCE = 100
"""Image sets; each has hundreds of rows."""

_STALLED = 3
"""Leases in a row without progress after which an image set counts as stalled."""

PACE_MINUTES = 10
_POINTS = 48

SECONDS = "seconds"
"""Key of an account's attempts that holds the duration of all calls; the other keys are outcomes."""


@dataclass(frozen=True)
class Account:
    """An account of the store that images are copied into.

    Attributes:
        name: Made from a hash of its key, never the key.
        failures: In a row.
        cause: Of the last one.
        open_until: The breaker opened, and no call has succeeded since; it may be over.
        open: It is not over yet.
        attempts: How often each outcome was met; under `SECONDS` how long all took.
        waiting: Unfinished image sets of the pool that need it.
    """

    name: str
    failures: int = 0
    cause: str | None = None
    open_until: datetime | None = None
    open: bool = False
    attempts: Mapping[str, float] = field(default_factory=dict)
    waiting: int = 0

    @property
    def calls(self) -> dict[str, int]:
        """How often each outcome was met."""
        return {outcome: int(count) for outcome, count in self.attempts.items() if outcome != SECONDS}


@dataclass(frozen=True)
class Finished:
    """Images of one campaign that came to an end."""

    campaign_id: str | None
    images: int
    copied: int
    failed: int
    queued_at: datetime
    finished_at: datetime
    cause: str | None


@dataclass(frozen=True)
class ImageTotals:
    """The state of a pool's images, of ready and claimed campaigns together.

    Attributes:
        pending: Images still to be copied.
        copied: Images that were; campaigns that need their queue no more are not counted.
        failed: Images that are not tried again by themselves.
        unfinished: Campaigns whose images are to be copied or deleted.
        deleting: Those of them whose images are to be deleted.
        partial: Campaigns with images that failed.
        stalled: Campaigns of `unfinished` that get no further, although workers try.
        cause: Why campaigns of `unfinished` are not further, the commonest.
        due: Campaigns of `unfinished` that a worker may take now.
        due_since: Since when the first of them may be taken.
        due_in: Seconds until the next of the others may be.
        oldest_queued_at: When the first of `unfinished` was asked for.
        last_finished_at: When the last one ended.
        accounts: Of the store, by name.
        causes: Why images failed and how many, the commonest first.
    """

    pending: int = 0
    copied: int = 0
    failed: int = 0
    unfinished: int = 0
    deleting: int = 0
    partial: int = 0
    stalled: int = 0
    cause: str | None = None
    due: int = 0
    due_since: datetime | None = None
    due_in: float | None = None
    oldest_queued_at: datetime | None = None
    last_finished_at: datetime | None = None
    accounts: tuple[Account, ...] = ()
    causes: Mapping[str, int] = field(default_factory=dict)

    @property
    def blocked(self) -> Account | None:
        """The account that work waits for, its breaker having opened; None where no call fails for long."""
        return next(
            (account for account in self.accounts if account.open_until is not None and account.waiting), None
        )


@dataclass(frozen=True)
class CampaignImages:
    """The images of one campaign, for people."""

    campaign_id: str | None
    claimed: bool
    state: str
    images: int
    copied: int
    failed: int
    queued_at: datetime
    cause: str | None
    failures: tuple[str, ...]


@dataclass(frozen=True)
class BurnDown:
    """How images of a pool were copied.

    Attributes:
        points: Moments, and how many images were to be copied then.
        copied_a_minute: In the last `PACE_MINUTES`.
    """

    points: tuple[tuple[datetime, int], ...]
    copied_a_minute: float


async def burn_down(connection: Connection, pool: str) -> BurnDown:
    """Return how many images waited since the first that waits was queued: an hour back at least, a day at most."""
    rows = await connection.fetch(_QUERY["burn_down"], pool, _POINTS)
    pace = await connection.fetchval(_QUERY["pace"], pool, PACE_MINUTES)
    return BurnDown(tuple((row["at"], row["waiting"]) for row in rows), float(pace))


async def observe(connection: Connection, pool: str) -> ImageTotals:
    """Return the state of the images of a pool, also of a closed one."""
    row = await connection.fetchrow(_QUERY["sums"], pool, _STALLED)
    assert row is not None  # noqa: S101 (sums always have a row)
    if not row["unfinished"] and row["last_finished_at"] is None:
        return ImageTotals()
    accounts = [dict(item) for item in await connection.fetch(_QUERY["accounts"], pool)]
    causes = await connection.fetch(_QUERY["causes"], pool) if row["failed"] else []
    return ImageTotals(
        **row,
        accounts=tuple(Account(**{**account, "attempts": json.loads(account["attempts"])}) for account in accounts),
        causes={cause["cause"]: cause["images"] for cause in causes},
    )


async def finished(connection: Connection, pool: str, after: datetime, until: datetime) -> tuple[Finished, ...]:
    """Return the image sets that ended after a moment and until another, the earliest first."""
    return tuple(Finished(**row) for row in await connection.fetch(_QUERY["finished"], pool, after, until))


async def requeue(connection: Connection, pool: str, campaign_id: str | None = None) -> int:
    """Try failed images again, of a pool or of one campaign of it; return how many."""
    return int(await connection.fetchval(_QUERY["requeue"], pool, campaign_id))


async def prune(connection: Connection, pool: str) -> int:
    """Delete the rows of image sets that are no longer needed; return of how many image sets."""
    return int(await connection.fetchval(_QUERY["prune"], pool, _PRUNED_AT_ONCE))


async def listed(connection: Connection, pool: str, campaign_id: str | None = None) -> list[CampaignImages]:
    """Return the image sets of a pool, or of one campaign: active ones first, finished ones last."""
    rows = [dict(row) for row in await connection.fetch(_QUERY["listed"], pool, campaign_id)]
    return [CampaignImages(**{**row, "failures": tuple(row["failures"])}) for row in rows]


_QUERY = sql.queries("images")
