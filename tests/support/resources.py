"""What the operator writes of a resource into the ledger, without a resource."""

from uuid import uuid4

from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.ledger import pools
from campaignpool.ledger.database import Connection

_OPEN = "SELECT uid FROM campaign_pool.pool WHERE name = $1 AND closing_at IS NULL AND deleted_at IS NULL"


async def put(connection: Connection, pool: str, spec: CampaignPoolSpec) -> None:
    """Write the spec of a pool's resource; of a new resource where the pool is unknown, closing or deleted."""
    await pools.put_pool(connection, pool, await uid(connection, pool) or str(uuid4()), spec)


async def uid(connection: Connection, pool: str) -> str | None:
    """Return the uid of a pool's resource; None where the pool is unknown, closing or deleted."""
    found: str | None = await connection.fetchval(_OPEN, pool)
    return found


async def close(connection: Connection, pool: str) -> None:
    """Begin the deletion of a pool's resource."""
    assert await pools.close_pool(connection, pool, await uid(connection, pool) or "")
