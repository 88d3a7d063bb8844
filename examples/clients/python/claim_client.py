"""Claim a campaign with the client of campaignpool: it repeats a claim whose connection was lost, and can wait."""

import asyncio
import os
import sys
from datetime import timedelta

from campaignpool.client import Client, PoolEmpty


async def main() -> None:
    """Claim, and print what was claimed."""
    campaigns = Client(os.environ["DATABASE_URL"], os.environ["POOL"])
    try:
        claim = await campaigns.claim(os.environ["CLAIMANT"], key=os.environ["KEY"], wait=timedelta(seconds=2))
    except PoolEmpty as empty:
        print(f"{empty}: try again later", file=sys.stderr)
        sys.exit(75)
    print(claim.campaign_id, claim.source)


asyncio.run(main())
