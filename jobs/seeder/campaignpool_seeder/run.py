"""One seeding run: reserve, clone in batches, publish. Each step can be repeated, so a killed run is resumed.

1. `reserve` writes the run and what it still lacks of its campaigns into the ledger, within `maxSize`.
2. `batches` makes batch after batch, each published by the transaction that made it, until nothing is reserved.
3. `finish` ends the run in the ledger.

A lost connection is opened again with backoff, and work goes on after the last batch that was committed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from campaignpool.errors import CampaignPoolError, TransientError
from campaignpool.ledger import seeding
from campaignpool.ledger.database import Connection, connected
from campaignpool_seeder.batches import StoppedError, batches
from campaignpool_seeder.config import Request

log = logging.getLogger(__name__)

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between tries to reach the database; after the last one the pod ends and the Job decides."""

CANDIDATE = "campaignpool-seeder"
"""Name of the session until it is let in; then the ledger adds the pool's."""

Sleep = Callable[[float], Awaitable[None]]


async def run(request: Request, stop: asyncio.Event, sleep: Sleep = asyncio.sleep) -> int:
    """Make what the request asks for; give how many campaigns this attempt made.

    Raises:
        SeedingError: The data refused a clone; the run is ended as failed, with the cause.
        ConfigurationError: Somebody has to mend something first; the run is ended likewise.
        TransientError: Out of reach for too long, or stopped; the run stays open for the retry.
    """
    made = 0
    for pause in (*PAUSES, None):
        try:
            async with connected(request.url, CANDIDATE) as connection:
                await refuse_past_share(connection, request.pool, request.max_connections)
                async for batch in batches(connection, request, stop):
                    made += batch
                await _finish(connection, request, "Succeeded")
                return made
        except StoppedError:
            raise
        except TransientError as error:
            if pause is None:
                raise
            log.warning("trying again", extra={"reason": error.reason, "cause": error.message, "seconds": pause})
            await sleep(pause)
        except CampaignPoolError as error:
            await _record(request, error)
            raise
    raise AssertionError("unreachable: the last try returns or raises")


async def refuse_past_share(connection: Connection, pool: str, most: int) -> None:
    """Let this session in as one of a pool's seeders. Raises TransientError: `most` are there already."""
    if not await seeding.acquire_connection_slot(connection, pool, most):
        raise TransientError(
            f"the pool's seeders hold {most} connections, or all seeders half of the server's: "
            "raise database.maxConnections or lower maxConcurrent",
            reason="TooManyConnections",
        )


async def _finish(
    connection: Connection, request: Request, outcome: str, reason: str | None = None, message: str | None = None
) -> None:
    run = (request.job, request.owner, request.number, request.count, request.generation)
    await seeding.finish_run(connection, request.pool, run, outcome, reason, message)


async def _record(request: Request, error: CampaignPoolError) -> None:
    """Leave the cause in the ledger, where that can be reached; the log has it in any case."""
    try:
        async with connected(request.url, CANDIDATE) as connection:
            await _finish(connection, request, "Failed", error.reason, error.message)
    except CampaignPoolError as second:
        log.warning("the ledger does not have the cause", extra={"reason": second.reason})
