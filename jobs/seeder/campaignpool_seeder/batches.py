"""Batch after batch of one run, and what to do when the data refuses one.

A refused batch was rolled back as a whole. With the fallback `Bisect` its campaigns are tried in halves, down to one:
what can be made is made, and what cannot is set aside with the row, table and constraint in the cause. Two campaigns
in a row that are refused for the same cause end the run: then it is the template, and smaller units do not help.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from campaignpool.errors import SeedingError, TransientError
from campaignpool.ledger import seeding
from campaignpool.ledger.database import Connection, translated
from campaignpool_seeder.config import Request

log = logging.getLogger(__name__)

ROWS_IN_A_BATCH = 500_000
"""Most rows that one transaction makes; a single campaign may have more."""

HEARTBEAT_SECONDS = 10.0
"""A batch that takes longer says so, this often, with the last table it finished."""


class StoppedError(TransientError):
    """The pod was asked to end; the batch at work was finished, the rest is for the retry."""

    default_reason = "Stopped"


async def batches(connection: Connection, request: Request, stop: asyncio.Event) -> AsyncIterator[int]:
    """Make what is reserved of a run; give how many campaigns each batch made.

    Raises:
        SeedingError: Some campaigns were set aside; what could be made was made.
        StoppedError: Between two batches, once `stop` is set.
    """
    left = await seeding.reserve(
        connection, request.pool, request.job, request.owner, request.number, request.count, request.generation
    )
    log.info("reserved", extra={"pool": request.pool, "owner": request.owner or "master", "campaigns": left})
    rows = await seeding.rows_of_campaign(connection, request.pool)
    most = max(1, min(request.batch_size, ROWS_IN_A_BATCH // max(1, rows)))
    await seeding.prepare_for_rows(connection, rows * most)
    done, size, causes = 0, most, list[str]()
    while True:
        if stop.is_set():
            raise StoppedError("asked to stop")
        began = time.perf_counter()
        try:
            async with _progress(connection):
                with translated():
                    batch = await seeding.seed(connection, request.pool, request.job, size)
        except SeedingError as refused:
            if request.fallback == "None":
                raise
            if size > 1:
                size = max(1, min(size, left - done) // 2)
                log.warning("refused; trying smaller batches", extra={"cause": refused.message, "batch": size})
            else:
                await _set_aside(connection, request, refused, causes)
            continue
        if not batch.campaigns:
            break
        done += batch.campaigns
        size = min(most, size * 2)
        log.info(
            "%d of %d campaigns ready",
            done,
            left,
            extra={
                "rows": batch.rows,
                "statements": batch.statements,
                "seconds": round(time.perf_counter() - began, 3),
            },
        )
        yield batch.campaigns
    if causes:
        raise SeedingError(f"{len(causes)} of {left} campaigns were refused: {causes[-1]}")


@asynccontextmanager
async def _progress(connection: Connection) -> AsyncIterator[None]:
    """Say how far a batch is that takes long: the tables it finished, and that it is still alive."""
    last = ["the first table"]

    def heard(_: object, message: asyncpg.PostgresLogMessage) -> None:
        last[0] = message.message or ""
        log.info("made %s", last[0])

    async def beat() -> None:
        began = time.perf_counter()
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            log.info("still at work", extra={"seconds": round(time.perf_counter() - began), "after": last[0]})

    connection.add_log_listener(heard)
    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        connection.remove_log_listener(heard)


async def _set_aside(connection: Connection, request: Request, refused: SeedingError, causes: list[str]) -> None:
    """Find the row, quarantine the campaign. Raises SeedingError when the cause is the one of the campaign before."""
    cause = await seeding.diagnose(connection, request.pool, request.job)
    if cause is None:
        log.info("it is not refused any more; trying again", extra={"cause": refused.message})
        return
    await seeding.quarantine(connection, request.pool, request.job, cause)
    log.warning("a campaign was set aside", extra={"cause": cause})
    causes.append(cause)
    if causes[-2:] == [cause, cause]:
        raise SeedingError(cause)
