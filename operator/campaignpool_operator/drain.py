"""What happens between the wish to delete a pool and its end. Every step can be repeated, so a restart costs nothing.

1. The ledger closes the pool: claims stop, or get what is still ready, as `claims.whileDeleting` says. Claimed
   campaigns are not touched.
2. Jobs at work are deleted; their pods' end is waited for, for only then nothing new can appear.
3. Open runs end, and what was reserved and never made is forgotten.
4. What is ready retires and is removed, batch by batch, so that claims that are allowed find something to the last.
5. Once nothing is left and no claim is under way, the pool is buried, and the revisions that made campaigns go.
6. The finalizer goes, and Kubernetes lets go of the resource.
"""

import logging

from campaignpool import install, ledger
from campaignpool.database import Connection
from campaignpool_operator.cluster import Cluster
from campaignpool_operator.facts import Pool
from campaignpool_operator.observe import Databases, list_jobs, parse_spec, read_url
from campaignpool_operator.plan import BATCH

FINALIZER = "campaignpool.dev/finalizer"
"""Set before a pool is first written into a ledger: a pool without it has nothing to be cleaned up."""

WAIT_SECONDS = 5.0
"""A Job's end is an event; this is for the case that the event is missed."""

UNDER_WAY_SECONDS = 0.5
"""A transaction that claimed, or may put a campaign back, is waited for by looking again."""

_BATCHES = 20
"""Batches removed in one loop; the loops of a large pool stay short."""

_log = logging.getLogger(__name__)


async def add_finalizer(cluster: Cluster, pool: Pool) -> None:
    """Make Kubernetes wait for us before it lets go of a pool. Raises ClusterError."""
    if FINALIZER not in pool.finalizers:
        finalizers = [*pool.finalizers, FINALIZER]
        await cluster.set_finalizers(pool.namespace, pool.name, pool.resource_version, finalizers)


async def drain(cluster: Cluster, databases: Databases, pool: Pool) -> float | None:
    """Take the next steps; give the seconds until more can be done, None once the pool has been let go.

    Raises:
        CampaignPoolError: The Secret is gone, the database does not answer: nothing is lost, try again.
    """
    if FINALIZER in pool.finalizers:
        url = await read_url(cluster, pool, parse_spec(pool))
        at_work = [job for job in await list_jobs(cluster, pool) if job.state == "Active"]
        async with databases.connected(url) as connection:
            await ledger.close_pool(connection, pool.key)
            for job in at_work:
                if not job.deleting:
                    await cluster.delete_job(pool.namespace, job.name, job.uid)
            if at_work:
                return WAIT_SECONDS
            if await ledger.known(connection, pool.key):
                await ledger.abandon(connection, pool.key)
                if await _removed(connection, pool.key):
                    return 0.0
                if not await ledger.bury(connection, pool.key):
                    return UNDER_WAY_SECONDS
                await _cleared(connection, pool.key)
        finalizers = [each for each in pool.finalizers if each != FINALIZER]
        await cluster.set_finalizers(pool.namespace, pool.name, pool.resource_version, finalizers)
        _log.info("let go", extra={"pool": pool.key})
    return None


async def _removed(connection: Connection, key: str) -> bool:
    """Remove some of what nobody claimed; give whether anything was removed."""
    for number in range(_BATCHES):
        retired = await ledger.retire(connection, key, None, BATCH)
        if retired + await ledger.remove(connection, key, BATCH) == 0:
            return number > 0
    return True


async def _cleared(connection: Connection, key: str) -> None:
    """Drop what made the campaigns, and say what stays behind."""
    await install.drop_unused(connection, key)
    for cause, campaigns in (await ledger.held(connection, key)).items():
        # Deleting them would take rows along that are not ours: they stay, and a person may look.
        _log.warning("campaigns stay behind", extra={"pool": key, "campaigns": campaigns, "cause": cause})
