"""Claim a campaign with SQLAlchemy, on psycopg."""

import os
import sys

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

CLAIM = text("SELECT campaign_id, source FROM campaign_pool.claim(pool => :pool, claimant => :claimant, key => :key)")
POOL_EMPTY = "CP002"

engine = create_engine(make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+psycopg"))
try:
    with engine.begin() as connection:  # a session's transaction does as well: session.execute(CLAIM, …)
        claim = connection.execute(
            CLAIM, {"pool": os.environ["POOL"], "claimant": os.environ["CLAIMANT"], "key": os.environ["KEY"]}
        ).one()
except DBAPIError as error:
    if getattr(error.orig, "sqlstate", None) != POOL_EMPTY:
        raise
    print("no campaign is ready: try again later", file=sys.stderr)
    sys.exit(75)

print(claim.campaign_id, claim.source)
