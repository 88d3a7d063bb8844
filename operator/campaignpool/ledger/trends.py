"""Trends: what happened in a pool, by the hour, for `claims.HOURS_DAYS` days."""

from dataclasses import dataclass
from datetime import datetime

from campaignpool.ledger import sql
from campaignpool.ledger.database import Connection


@dataclass(frozen=True)
class Hour:
    """One hour of a pool, as the view `campaign_pool.trends` has it.

    Attributes:
        hour: When it began.
        owner, master, clone: Claims that got a campaign, by its source.
        unserved: Claims that got none.
        waiting: Claims that had to wait; those that then got a campaign are counted by its source, too.
        waited_average_seconds, waited_most_seconds: How long claims took in the database; None without claims.
        refills, failed_runs: Seeding runs that succeeded and failed.
        campaigns: That runs made.
        lowest_ready: The fewest ready campaigns of the master pool; None: nobody looked.
        lowest: The same for each ten minutes.
    """

    hour: datetime
    owner: int
    master: int
    clone: int
    unserved: int
    waiting: int
    waited_average_seconds: float | None
    waited_most_seconds: float
    refills: int
    failed_runs: int
    campaigns: int
    lowest_ready: int | None
    lowest: list[int | None]


async def record_stock(connection: Connection, pool: str, ready: int) -> None:
    """Record how many campaigns of the master pool are ready, where these ten minutes have no smaller number."""
    await connection.execute(_QUERY["record_stock"], pool, ready)


async def read(connection: Connection, pool: str, since: datetime) -> list[Hour]:
    """Return the hours of a pool that began at `since` or later and in which something was recorded, in order."""
    return [Hour(**row) for row in await connection.fetch(_QUERY["hours"], pool, since)]


_QUERY = sql.queries("trends")
