"""Claim a campaign with asyncpg."""

import asyncio
import os
import sys

import asyncpg

CLAIM = "SELECT campaign_id, source FROM campaign_pool.claim(pool => $1, claimant => $2, key => $3)"
POOL_EMPTY = "CP002"


async def main() -> None:
    """Claim, and print what was claimed."""
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    try:
        # The key makes it safe to run this again when the answer was lost: it gives the same campaign.
        row = await connection.fetchrow(CLAIM, os.environ["POOL"], os.environ["CLAIMANT"], os.environ["KEY"])
    except asyncpg.PostgresError as error:
        if error.sqlstate != POOL_EMPTY:
            raise
        print("no campaign is ready: try again later", file=sys.stderr)
        sys.exit(75)
    finally:
        await connection.close()
    print(row["campaign_id"], row["source"])


asyncio.run(main())
