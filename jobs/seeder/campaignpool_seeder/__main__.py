"""`python -m campaignpool_seeder`: one seeding run, from its arguments to an exit code that a Job can use."""

import asyncio
import logging
import os
import signal
import sys
import time

from campaignpool.errors import CampaignPoolError
from campaignpool.log import setup
from campaignpool_seeder import config
from campaignpool_seeder.exits import exit_code
from campaignpool_seeder.run import run

log = logging.getLogger("campaignpool_seeder")


async def _main(request: config.Request) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    began = time.perf_counter()
    try:
        made = await run(request, stop)
    except CampaignPoolError as error:
        log.error(  # noqa: TRY400 (the message says what to mend; a stack trace would bury it)
            error.message, extra={"reason": error.reason, "pool": request.pool, "job": request.job}
        )
        return exit_code(error)
    log.info("done", extra={"campaigns": made, "seconds": round(time.perf_counter() - began, 3)})
    return 0


def main() -> int:
    """Run once."""
    request = config.parse(None, os.environ.get(config.URL_VARIABLE, ""))
    setup(as_json=request.json_logs)
    return asyncio.run(_main(request))


if __name__ == "__main__":
    sys.exit(main())
