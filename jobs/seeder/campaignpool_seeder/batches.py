"""The batches of one run, and what happens when the data refuses one.

A refused batch is rolled back as a whole. With the fallback `Bisect` its campaigns are tried in halves, down to
one campaign; one that is still refused is quarantined, and its cause names the row, table and constraint. Two
campaigns in a row with the same cause end the run: the template itself is refused, and smaller batches do not help.
"""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from campaignpool.errors import SeedingError
from campaignpool.ledger import seeding
from campaignpool.ledger.database import Connection, translated
from campaignpool_seeder.arguments import SeedArgs
from campaignpool_seeder.session import StoppedError

log = logging.getLogger(__name__)

ROWS_PER_BATCH = 500_000
"""Most rows of one transaction; a single campaign may have more."""

HEARTBEAT_SECONDS = 10.0
"""Seconds between two log lines about a batch that takes longer than that."""


async def batches(
    connection: Connection, request: SeedArgs, reserved: int, stop: asyncio.Event
) -> AsyncIterator[int]:
    """Make the reserved campaigns of a run; yield how many each batch made.

    Raises:
        SeedingError: Some campaigns are quarantined; all others were made.
        StoppedError: `stop` was set; raised between two batches.
    """
    log.info("reserved", extra={"pool": request.pool, "campaigns": reserved})
    rows = await seeding.rows_of_campaign(connection, request.pool)
    limit = max(1, min(request.batch_size, ROWS_PER_BATCH // max(1, rows)))
    await seeding.prepare_for_rows(connection, rows * limit)
    done, size, causes, unexplained = 0, limit, list[str](), False
    while True:
        if stop.is_set():
            raise StoppedError("the pod was asked to stop")
        began = time.perf_counter()
        try:
            async with _progress(connection):
                with translated():
                    batch = await seeding.seed(connection, request.pool, request.job, size)
        except SeedingError as refused:
            if request.fallback == "None":
                raise
            if size > 1:
                size = max(1, min(size, reserved - done) // 2)
                log.warning(
                    "the data refused a batch; trying smaller ones", extra={"cause": refused.message, "batch": size}
                )
            elif not await _quarantine(connection, request, refused, causes):
                # One more try; a refusal that nothing explains twice would be repeated without end.
                if unexplained:
                    raise
                unexplained = True
            continue
        if not batch.campaigns:
            break
        done, unexplained = done + batch.campaigns, False
        size = min(limit, size * 2)
        log.info(
            "%d of %d campaigns ready",
            done,
            reserved,
            extra={
                "rows": batch.rows,
                "statements": batch.statements,
                "seconds": round(time.perf_counter() - began, 3),
            },
        )
        yield batch.campaigns
    if causes:
        raise SeedingError(f"{len(causes)} of {reserved} campaigns were refused: {causes[-1]}")


_INSERTED = re.compile(r"""\d+ rows of (?:\w+|"[^"]+")\.(?:\w+|"[^"]+")""")
"""What `clone` says of a table."""


@asynccontextmanager
async def _progress(connection: Connection) -> AsyncIterator[None]:
    """Log the progress of a long batch: each table it finished, and a heartbeat."""
    last = ["the first table"]

    def on_notice(_: object, message: asyncpg.PostgresLogMessage) -> None:
        # Others are of the application's triggers, and may hold values of rows.
        if _INSERTED.fullmatch(message.message or ""):
            last[0] = message.message or ""
            log.info("inserted %s", last[0])

    async def heartbeat() -> None:
        began = time.perf_counter()
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            log.info("still running", extra={"seconds": round(time.perf_counter() - began), "after": last[0]})

    connection.add_log_listener(on_notice)
    task = asyncio.create_task(heartbeat())
    try:
        yield
    finally:
        task.cancel()
        connection.remove_log_listener(on_notice)


async def _quarantine(connection: Connection, request: SeedArgs, refused: SeedingError, causes: list[str]) -> bool:
    """Find the refused row and quarantine its campaign; return whether it is still refused.

    Raises:
        SeedingError: Two campaigns in a row have one cause.
    """
    cause = await seeding.diagnose(connection, request.pool, request.job)
    if cause is None:
        log.info("the campaign is not refused any more; trying again", extra={"cause": refused.message})
        return False
    await seeding.quarantine(connection, request.pool, request.job, cause)
    log.warning("a campaign is quarantined", extra={"cause": cause})
    causes.append(cause)
    if causes[-2:] == [cause, cause]:
        raise SeedingError(cause)
    return True
