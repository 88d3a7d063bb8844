"""One seeding run: reserve campaigns, clone them in batches, linger, finish. Every step can be repeated.

1. `reserve` records the run and the campaigns that are lacking in the ledger, within `maxSize`.
2. `batches` clones and publishes one batch in one transaction, until no reserved campaign is left.
3. `lingering` waits for `lingerSeconds` until campaigns are lacking again, and reserves them.
4. `finish_run` ends the run in the ledger.

A lost connection is reopened with backoff; the run continues after the last committed batch.
"""

import asyncio
import logging

from campaignpool.errors import CampaignPoolError, TransientError
from campaignpool.ledger import seeding
from campaignpool.ledger.database import Connection, connected
from campaignpool_seeder.arguments import SeedArgs
from campaignpool_seeder.batches import batches
from campaignpool_seeder.lingering import lingering
from campaignpool_seeder.session import APPLICATION_NAME, Backoff, Sleep, StoppableSleep, require_connection_slot

log = logging.getLogger(__name__)


async def run(request: SeedArgs, stop: asyncio.Event, sleep: Sleep | None = None) -> int:
    """Make the campaigns of a run, and return how many this attempt total.

    Raises:
        SeedingError: The data refused a clone; the run is ended as failed, with the cause.
        ConfigurationError: Something must be corrected first; the run is ended as failed, with the cause.
        TransientError: The retries are used up, or the pod was asked to stop; the run stays open for a retry.
    """
    backoff = Backoff(sleep or StoppableSleep(stop))
    end = asyncio.get_running_loop().time() + request.work_seconds
    total = 0
    while True:
        try:
            async with connected(request.url, APPLICATION_NAME) as connection:
                await require_connection_slot(connection, request.pool, request.max_connections)
                async with lingering(connection, request, stop, end) as more:
                    reserved = await seeding.reserve(
                        connection, request.pool, request.job, request.number, request.count, request.generation
                    )
                    while True:
                        async for campaigns in batches(connection, request, reserved, stop):
                            total += campaigns
                            backoff.reset()
                        if not (reserved := await more()):
                            break
                await _finish(connection, request, "Succeeded")
                return total
        except TransientError as error:
            await backoff.pause(error)
        except CampaignPoolError as error:
            await _record(request, error)
            raise


async def _finish(
    connection: Connection, request: SeedArgs, outcome: str, reason: str | None = None, message: str | None = None
) -> None:
    run = (request.job, request.number, request.count, request.generation)
    await seeding.finish_run(connection, request.pool, run, outcome, reason, message)


async def _record(request: SeedArgs, error: CampaignPoolError) -> None:
    """Write the cause to the ledger, where that can be reached; the log has it in any case."""
    try:
        async with connected(request.url, APPLICATION_NAME) as connection:
            await _finish(connection, request, "Failed", error.reason, error.message)
    except CampaignPoolError as second:
        log.warning("the cause could not be written to the ledger", extra={"reason": second.reason})
