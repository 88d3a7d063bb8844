"""Reserve campaigns for one owner, as a test wants it: the ledger chooses the owners that lack most."""

from campaignpool.ledger import seeding
from campaignpool.ledger.database import Connection

_LOCK = "SELECT id FROM campaign_pool.pool WHERE name = $1 FOR NO KEY UPDATE"
_ADD = """
INSERT INTO campaign_pool.target (pool_id, owner, normal, size, share)
SELECT p.id, $2, campaign_pool.normal_key($2, p.claimant_type), 0, 0 FROM campaign_pool.pool p WHERE p.id = $1
ON CONFLICT (pool_id, owner) DO NOTHING
"""
_WANT = """
UPDATE campaign_pool.target t SET share = s.counting + CASE t.owner WHEN $2 THEN $3 ELSE 0 END
FROM campaign_pool.stock($1) s WHERE t.pool_id = $1 AND s.owner = t.owner
"""


async def want(connection: Connection, pool: str, count: int, owner: str = "") -> None:
    """Let an owner lack `count` campaigns, and no other owner any; the next spec that is written ends this."""
    async with connection.transaction():
        the_pool = await connection.fetchval(_LOCK, pool)
        if the_pool is not None:
            await connection.execute(_ADD, the_pool, owner)
            await connection.execute(_WANT, the_pool, owner, count)


async def reserve(connection: Connection, pool: str, job: str, count: int, owner: str = "", number: int = 1) -> int:
    """Let an owner lack `count` campaigns, and begin or continue their run; return how many are to make."""
    await want(connection, pool, count, owner)
    return await seeding.reserve(connection, pool, job, number, count, 1)
