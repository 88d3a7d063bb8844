"""`python -m campaignpool_seeder`: one seeding run, from its arguments to an exit code that a Job can use."""

import asyncio
import logging
import os
import sys
import time

from campaignpool.errors import CampaignPoolError
from campaignpool.log import setup
from campaignpool_seeder import arguments
from campaignpool_seeder.exits import exit_code
from campaignpool_seeder.run import run
from campaignpool_seeder.session import stop_on_signals

log = logging.getLogger("campaignpool_seeder")


async def _main(request: arguments.SeedArgs) -> int:
    stop = stop_on_signals()
    began = time.perf_counter()
    try:
        campaigns = await run(request, stop)
    except CampaignPoolError as error:
        log.error(  # noqa: TRY400 (the message says how to fix it; a stack trace would only hide that)
            error.message, extra={"reason": error.reason, "pool": request.pool, "job": request.job}
        )
        return exit_code(error)
    log.info("done", extra={"campaigns": campaigns, "seconds": round(time.perf_counter() - began, 3)})
    return 0


def main() -> int:
    """Run once."""
    request = arguments.parse(None, os.environ.get(arguments.URL_VARIABLE, ""))
    setup(as_json=request.json_logs)
    return asyncio.run(_main(request))


if __name__ == "__main__":
    sys.exit(main())
