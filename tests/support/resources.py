"""Writes a pool's spec and deletion into the ledger as the operator does, without a Kubernetes resource."""

from uuid import uuid4

from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.ledger import pools
from campaignpool.ledger.database import Connection

_OPEN = "SELECT uid FROM campaign_pool.pool WHERE name = $1 AND closing_at IS NULL AND deleted_at IS NULL"


async def put(connection: Connection, pool: str, spec: CampaignPoolSpec) -> None:
    """Write the spec of a pool's resource; if the pool is unknown, closing or deleted, of a new resource."""
    await pools.put_pool(connection, pool, await uid(connection, pool) or str(uuid4()), spec)


async def uid(connection: Connection, pool: str) -> str | None:
    """Return the uid of a pool's resource; None if the pool is unknown, closing or deleted."""
    value: str | None = await connection.fetchval(_OPEN, pool)
    return value


async def close(connection: Connection, pool: str) -> None:
    """Start the deletion of a pool's resource."""
    assert await pools.close_pool(connection, pool, await uid(connection, pool) or "")
