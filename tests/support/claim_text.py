"""The text of `campaign_pool.claim` in a database, and claims from the small application to see what it does."""

from collections.abc import Mapping
from typing import Any

from campaignpool.ledger.database import Connection
from tests.support import small
from tests.support.small import POOL

SOURCE = "SELECT prosrc FROM pg_proc WHERE oid = 'campaign_pool.claim'::regproc"
PATH = """
SELECT replace(setting, 'search_path=', '') FROM pg_proc, unnest(proconfig) setting
WHERE oid = 'campaign_pool.claim'::regproc AND setting ~ '^search_path='
"""
CLAIM = "SELECT campaign_id FROM campaign_pool.claim($1, 'ann', name => $2)"
WORLD = "SELECT name, player FROM worlds WHERE id = $1::uuid"


async def brought(connection: Connection) -> str:
    """Give the part of the claim that revisions brought."""
    source = await connection.fetchval(SOURCE)
    return str(source).partition("From here on: what revisions bring")[2].rpartition("So far what revisions bring")[0]


async def claim(connection: Connection, pool: str = POOL, name: str | None = None) -> str:
    """Claim a campaign for Ann, and give its key."""
    return str(await connection.fetchval(CLAIM, pool, name))


def changed(**on_claim: object) -> Mapping[str, Any]:
    """Give the blueprint of the application with other rules for claims."""
    known = small.blueprint(2)
    return {"inline": {**known, "onClaim": {**known["onClaim"], **on_claim}}}
