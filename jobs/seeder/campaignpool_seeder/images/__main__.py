"""`python -m campaignpool_seeder.images`: one images Job, or a search for orphans, from arguments to an exit code."""

import asyncio
import logging
import os
import signal
import sys
import time

from campaignpool.errors import CampaignPoolError, SecretError
from campaignpool.ledger.database import Connection
from campaignpool.log import setup
from campaignpool_seeder.exits import exit_code
from campaignpool_seeder.images import config
from campaignpool_seeder.images.account import Account
from campaignpool_seeder.images.desk import Desk
from campaignpool_seeder.images.hold import Pause
from campaignpool_seeder.images.imagekit import ImageKit
from campaignpool_seeder.images.orphans import Search
from campaignpool_seeder.images.work import Images
from campaignpool_seeder.run import refuse_past_share

log = logging.getLogger("campaignpool_seeder.images")

_CHATTY = ("httpx", "httpcore", "imagekitio")
"""Loggers that tell of every call."""


async def _work(request: config.Request | config.Orphans, stop: asyncio.Event) -> None:
    if not request.key:
        raise SecretError(
            f"{config.KEY_VARIABLE} is empty: the Secret that images.secretRef names holds no private key",
            reason="ImagesKeyMissing",
        )
    pause = Pause(stop)

    async def admit(connection: Connection) -> None:
        if isinstance(request, config.Request):
            # Counted apart from the pool's seeders: rows must not wait until images let go of a connection.
            await refuse_past_share(connection, f"images of {request.pool}", request.max_connections)

    began = time.perf_counter()
    async with (
        ImageKit(request.key, request.endpoint) as store,
        Desk(request.url, admit, asyncio.sleep) as desk,
    ):
        account = Account(desk, store.account, request.requests_per_second, request.burst, pause.now)
        if isinstance(request, config.Orphans):
            found = await Search(desk, store, account, pause).run(request.folder, delete=request.delete)
            log.info("%d folders without a campaign", len(found), extra={"deleted": request.delete})
            return
        left = await Images(request, desk, store, account, pause).run()
    log.info("nothing is due", extra={**left, "seconds": round(time.perf_counter() - began, 3)})


async def _main(request: config.Request | config.Orphans) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await _work(request, stop)
    except CampaignPoolError as error:
        # The message says what to mend; a stack trace would bury it.
        log.error(error.message, extra={"reason": error.reason})  # noqa: TRY400
        return exit_code(error)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run once."""
    words = sys.argv[1:] if arguments is None else arguments
    request = config.parse(words, os.environ.get(config.URL_VARIABLE, ""), os.environ.get(config.KEY_VARIABLE, ""))
    setup(as_json=request.json_logs)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    return asyncio.run(_main(request))


if __name__ == "__main__":
    sys.exit(main())
