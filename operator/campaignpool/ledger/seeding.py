"""Seeding: runs, batches, and the connections of seeders."""

from dataclasses import dataclass
from datetime import datetime

from campaignpool import sqlstates
from campaignpool.ledger import sql
from campaignpool.ledger.database import STATEMENT_SECONDS, Connection

ROWS_PER_SECOND = 1000
"""Below this insert rate the server is considered hung; a laptop inserts fifty times as many."""

MANY_ROWS = 100_000
"""A batch of at least so many rows takes seconds, and reports its progress."""

CHANNELS = ("campaign_pool", "campaign_pool_seeders")
"""Channels of the notifications that campaigns may be lacking: of changes, and of the operator's. The payload is the
pool's name; with ` end` after it, seeders that wait are to end."""

RUNS_SEEN = 50
"""How many of a pool's latest runs the operator looks at: enough to count consecutive failures."""


HALT = 10
"""Failures in a row after which only one run an hour is tried, until the resource or its annotation changes.

Runs that failed for a cause that may pass by itself do not count.
"""


@dataclass(frozen=True)
class Run:
    """One seeding Job as the ledger knows it.

    Attributes:
        job: Name of the Job.
        number: Counts the Jobs of the pool.
        count: Campaigns that it was asked for; it may make more where more are lacking then.
        generation: Generation of the resource that asked.
        attempts: Pods that began it.
        outcome: `Succeeded`, `Failed`, or None while it is active.
        reason: CamelCase cause of a failure.
        campaigns: Made so far.
        rows: Inserted so far.
        statements: Of one batch, whatever its size.
        seconds: Spent cloning.
        made_at: When the last of its campaigns was made.
        reserved: Reserved and not made.
    """

    job: str
    number: int
    count: int
    generation: int
    attempts: int
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None
    reason: str | None
    message: str | None
    campaigns: int
    rows: int
    statements: int
    seconds: float
    made_at: datetime | None
    reserved: int


@dataclass(frozen=True)
class Batch:
    """What one batch made: campaigns, rows, the statements it took and the seconds on the server."""

    campaigns: int
    rows: int
    statements: int
    seconds: float


async def reserve(connection: Connection, pool: str, job: str, number: int, count: int, generation: int) -> int:
    """Begin a run or continue it, for the owners that lack most; return how many campaigns are left to make.

    They are at most `count` in all, and fewer where less is lacking or `maxSize` leaves less room.
    """
    return int(await connection.fetchval(_QUERY["reserve"], pool, job, number, count, generation))


async def reserve_more(connection: Connection, pool: str, job: str, count: int) -> int:
    """Reserve up to `count` campaigns for a run that has made all it had reserved; return how many are to make."""
    return int(await connection.fetchval(_QUERY["reserve_more"], pool, job, count))


async def seed(connection: Connection, pool: str, job: str, batch: int) -> Batch:
    """Make and publish up to `batch` campaigns of a run, in one transaction. A batch of 0: nothing is left."""
    row = await connection.fetchrow(_QUERY["seed"], pool, job, batch)
    return Batch(**row) if row else Batch(0, 0, 0, 0.0)


async def rows_of_campaign(connection: Connection, pool: str) -> int:
    """Return how many rows a campaign of the pool has; 0 before the first revision."""
    return int(await connection.fetchval(_QUERY["rows_of_campaign"], pool) or 0)


async def prepare_for_rows(connection: Connection, rows: int) -> None:
    """Set this session's statement time-out for so many rows, and report progress when they are many.

    Progress comes as notices, `12000 rows of public.weapons`, after each table.
    """
    seconds = max(STATEMENT_SECONDS, rows // ROWS_PER_SECOND)
    await connection.execute(_QUERY["prepare_for_rows"], f"{seconds}s", "on" if rows >= MANY_ROWS else "off")


async def diagnose(connection: Connection, pool: str, job: str) -> str | None:
    """Return why the next campaign of a run cannot be made: table, row of the template, constraint; None when it can.

    Raises:
        CampaignPoolError: The cause is not the data, such as a full disk.
    """
    row = await connection.fetchrow(_QUERY["diagnose"], pool, job)
    if row is None:
        return None
    place, code, message, context, raised, remedy = row
    refusal = sqlstates.Refusal(code, message, context, names=place is not None)
    if sqlstates.rule(code).kind != sqlstates.Kind.DATA:
        raise refusal.error(raised)
    text = f"{refusal.text(raised)}{behind(remedy)}"
    return f"{place}: {text}" if place is not None else text


def behind(remedy: str | None) -> str:
    """Return what helps where a sequence draws numbers that rows have, as the end of a message."""
    return f": the sequence draws numbers that rows have: {remedy}" if remedy else ""


async def sequence_behind(connection: Connection, table: str, constraint: str) -> str | None:
    """Return the statement that helps where a sequence of a unique constraint draws numbers that rows have."""
    statement: str | None = await connection.fetchval(_QUERY["sequence_behind"], table, constraint)
    return statement


async def raised_text(connection: Connection, context: str | None) -> str | None:
    """Return the text of the RAISE statement that an error's CONTEXT names, without values; None without one."""
    text: str | None = await connection.fetchval(_QUERY["raised_text"], context)
    return text


async def quarantine(connection: Connection, pool: str, job: str, cause: str) -> None:
    """Quarantine the campaign that `seed` would make next, with the cause."""
    await connection.execute(_QUERY["quarantine"], pool, job, cause)


async def finish_run(
    connection: Connection,
    pool: str,
    run: tuple[str, int, int, int],
    outcome: str,
    reason: str | None = None,
    message: str | None = None,
) -> None:
    """End a run, given as (job, number, count, generation); what it did not make is quarantined as failed.

    Works also for a run that never began: a Job whose pod could not start counts as a failure too.
    """
    await connection.execute(_QUERY["finish_run"], pool, *run, outcome, reason, message)


async def acquire_connection_slot(connection: Connection, pool: str, most: int) -> bool:
    """Return whether this session may seed for a pool.

    It may not past `most` connections of the pool's seeders, nor past half of the server's for all seeders.
    From then on the session is named `campaignpool-seeder <pool>` in `pg_stat_activity`.
    """
    return bool(await connection.fetchval(_QUERY["acquire_connection_slot"], pool, most))


_QUERY = sql.queries("seeding")
