"""Claim a campaign with psycopg, in one transaction with what the application does about it."""

import os
import sys

import psycopg

CLAIM = "SELECT campaign_id, source FROM campaign_pool.claim(pool => %s, claimant => %s, key => %s)"
POOL_EMPTY = "CP002"

try:
    # The block is a transaction: whatever else happens in it is kept with the claim, or undone with it.
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        row = connection.execute(CLAIM, (os.environ["POOL"], os.environ["CLAIMANT"], os.environ["KEY"])).fetchone()
except psycopg.Error as error:
    if error.sqlstate != POOL_EMPTY:
        raise
    print("no campaign is ready: try again later", file=sys.stderr)
    sys.exit(75)

campaign_id, source = row
print(campaign_id, source)
