"""`python -m campaignpool_seeder.images`: one images Job or a search for orphans, from arguments to an exit code."""

import asyncio
import logging
import os
import sys
import time

from campaignpool.errors import CampaignPoolError, SecretError
from campaignpool.ledger.database import Connection
from campaignpool.log import setup
from campaignpool_seeder.arguments import URL_VARIABLE
from campaignpool_seeder.exits import exit_code
from campaignpool_seeder.images import arguments
from campaignpool_seeder.images.account import Account
from campaignpool_seeder.images.imagekit import ImageKit
from campaignpool_seeder.images.orphans import OrphanSearch
from campaignpool_seeder.images.worker import ImageWorker
from campaignpool_seeder.session import LedgerSession, StoppableSleep, require_connection_slot, stop_on_signals

log = logging.getLogger("campaignpool_seeder.images")

_VERBOSE = ("httpx", "httpcore", "imagekitio")
"""Loggers with a line for every call."""


async def _work(request: arguments.ImagesArgs | arguments.OrphansArgs, stop: asyncio.Event) -> None:
    if not request.key:
        raise SecretError(
            f"{arguments.KEY_VARIABLE} is empty: the Secret that spec.images.secretRef names holds no private key: "
            "put the account's private key there",
            reason="ImagesKeyMissing",
        )
    sleep = StoppableSleep(stop)

    async def admit(connection: Connection) -> None:
        if isinstance(request, arguments.ImagesArgs):
            # Counted apart from seeding Jobs, so that images never keep rows waiting for a connection.
            await require_connection_slot(connection, f"images of {request.pool}", request.max_connections)

    began = time.perf_counter()
    async with (
        ImageKit(request.key, request.endpoint) as store,
        LedgerSession(request.url, admit, sleep) as session,
    ):
        account = Account(session, store.account, request.requests_per_second, request.burst, sleep.now)
        if isinstance(request, arguments.OrphansArgs):
            orphans = await OrphanSearch(session, store, account, sleep).run(request.folder, delete=request.delete)
            log.info("%d folders without a campaign", len(orphans), extra={"deleted": request.delete})
            return
        states = await ImageWorker(request, session, store, account, sleep).run()
    log.info("queue is empty", extra={**states, "seconds": round(time.perf_counter() - began, 3)})


async def _main(request: arguments.ImagesArgs | arguments.OrphansArgs) -> int:
    try:
        await _work(request, stop_on_signals())
    except CampaignPoolError as error:
        # The message says how to fix it; a stack trace would only hide that.
        log.error(error.message, extra={"reason": error.reason})  # noqa: TRY400 (one line, no stack trace)
        return exit_code(error)
    return 0


def main(words: list[str] | None = None) -> int:
    """Run once."""
    request = arguments.parse(
        sys.argv[1:] if words is None else words,
        os.environ.get(URL_VARIABLE, ""),
        os.environ.get(arguments.KEY_VARIABLE, ""),
    )
    setup(as_json=request.json_logs)
    for name in _VERBOSE:
        logging.getLogger(name).setLevel(logging.WARNING)
    return asyncio.run(_main(request))


if __name__ == "__main__":
    sys.exit(main())
