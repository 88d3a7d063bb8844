"""What happens between the wish to delete a pool and its end. Every step can be repeated, so a restart costs nothing.

1. The ledger closes the pool: claims stop, or get what is still ready, as `claims.whileDeleting` says. Claimed
   campaigns are not touched.
2. Jobs at work are deleted; their pods' end is waited for, for only then nothing new can appear.
3. Open runs end, and what was reserved and never made is forgotten.
4. What is ready retires and is removed, batch by batch, so that claims that are allowed find something to the last.
5. Once nothing is left and no claim is under way, the pool is buried.
6. Images are waited for: those of claimed campaigns are copied, those of removed ones deleted, by images Jobs as
   ever. `images.deadline` after the deletion was asked for this ends, and what is left stays behind, with a Warning.
7. The revisions that made campaigns go.
8. The finalizer goes, and Kubernetes lets go of the resource.
"""

import logging
from dataclasses import dataclass, field, replace

from campaignpool.api.reasons import Reason
from campaignpool.api.resource import seconds
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.blueprint import install
from campaignpool.ledger import images as ledger_images
from campaignpool.ledger import pools, retiring
from campaignpool.ledger.database import Connection, translated
from campaignpool.ledger.images import ImageTotals
from campaignpool.ledger.pools import Ledger
from campaignpool_operator.apply.apply import BATCH, apply
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.databases import Databases
from campaignpool_operator.facts import FINALIZER, Event, Observed, Pool
from campaignpool_operator.observe.images import observe_images
from campaignpool_operator.observe.observe import list_jobs, utcnow
from campaignpool_operator.plan import images
from campaignpool_operator.plan.images import ImagesPlan
from campaignpool_operator.resource import parse_spec, read_url
from campaignpool_operator.text import sentence

WAIT_SECONDS = 5.0
"""A Job's end is an event; this is for the case that the event is missed."""

UNDER_WAY_SECONDS = 0.5
"""A transaction that claimed, or may put a campaign back, is waited for by looking again."""

_BATCHES = 20
"""Batches removed in one loop; the loops of a large pool stay short."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """How far the end of a pool has come.

    Attributes:
        delay: Seconds until more can be done; None once the pool has been let go.
        observed: What was seen, for the status.
        images: What was done about images.
        events: What people want to know.
    """

    delay: float | None
    observed: Observed
    images: ImagesPlan = field(default_factory=ImagesPlan)
    events: tuple[Event, ...] = ()


async def drain(cluster: Cluster, databases: Databases, pool: Pool, image: str) -> Step:
    """Take the next steps.

    Args:
        cluster: The Kubernetes API.
        databases: Connections to databases.
        pool: The resource.
        image: Of the seeder, where the pool names none.

    Raises:
        CampaignPoolError: The Secret is gone, the database does not answer: nothing is lost, try again.
    """
    observed = Observed(pool, utcnow())
    if FINALIZER not in pool.finalizers:
        return Step(None, observed)
    spec = parse_spec(pool)
    url = await read_url(cluster, pool, spec)
    jobs = await list_jobs(cluster, pool)
    observed = replace(observed, spec=spec, jobs=jobs.seeding, image_jobs=jobs.images)
    connection = await databases.acquire(pool.key, url)
    try:
        with translated():
            step = await _drain(cluster, connection, observed, spec, image)
    finally:
        await databases.release(pool.key, connection)
    if step.delay is None:
        finalizers = [each for each in pool.finalizers if each != FINALIZER]
        await cluster.set_finalizers(pool.namespace, pool.name, pool.resource_version, finalizers)
        _log.info("finalizer removed", extra={"pool": pool.key})
    return step


async def _drain(
    cluster: Cluster, connection: Connection, observed: Observed, spec: CampaignPoolSpec, image: str
) -> Step:
    pool = observed.pool
    await pools.close_pool(connection, pool.key)
    active = [job for job in observed.jobs if job.active]
    for job in active:
        if not job.deleting:
            await cluster.delete_job(pool.namespace, job.name, job.uid)
    delay: float | None = WAIT_SECONDS if active else None
    if not active and await pools.known(connection, pool.key):
        delay = await _emptied(connection, pool.key)
    observed = await _with_ledger(cluster, connection, observed, image)
    if delay is not None:
        return Step(delay, observed)
    if (left := _time_for_images(observed)) > 0:
        return await _images(cluster, connection, observed, spec, image, left)
    await _clear(connection, pool.key)
    return Step(None, observed, events=_left_behind(observed))


async def _emptied(connection: Connection, key: str) -> float | None:
    """Remove what nobody claimed; give the seconds until there is more to do, None once the pool is buried."""
    await pools.cancel_runs(connection, key)
    if await _removed(connection, key):
        return 0.0
    return None if await pools.finish_deletion(connection, key) else UNDER_WAY_SECONDS


async def _removed(connection: Connection, key: str) -> bool:
    """Remove some of what nobody claimed; give whether anything was removed."""
    for number in range(_BATCHES):
        retired = await retiring.retire(connection, key, None, BATCH)
        if retired + await retiring.remove(connection, key, BATCH) == 0:
            return number > 0
    return True


async def _clear(connection: Connection, key: str) -> None:
    """Drop what made the campaigns, and say what stays behind."""
    await install.drop_unused(connection, key)
    for cause, campaigns in (await retiring.held(connection, key)).items():
        # Deleting them would take rows along that are not ours: they stay, and a person may look.
        _log.warning("campaigns stay behind", extra={"pool": key, "campaigns": campaigns, "cause": cause})


async def _with_ledger(cluster: Cluster, connection: Connection, observed: Observed, image: str) -> Observed:
    """Add how the ledger stands by now, and what is in the way of images."""
    key = observed.pool.key
    facts = Ledger(owners=await pools.counts(connection, key), images=await ledger_images.observe(connection, key))
    return await observe_images(cluster, connection, replace(observed, ledger=facts), image)


def _time_for_images(observed: Observed) -> float:
    """Give how many seconds images are still waited for; none where none are left to copy or delete."""
    if observed.ledger is None or observed.spec is None or not observed.ledger.images.unfinished:
        return 0.0
    waited = observed.now - (observed.pool.deleted_at or observed.now)
    return seconds(observed.spec.images.deadline) - waited.total_seconds()


async def _images(
    cluster: Cluster, connection: Connection, observed: Observed, spec: CampaignPoolSpec, image: str, left: float
) -> Step:
    todo = images.plan(observed)
    done = apply(todo.actions, observed.pool, spec, cluster, connection, image)
    waits = (WAIT_SECONDS, left, todo.next_check)
    events = tuple([event async for event in done])
    return Step(min(wait for wait in waits if wait is not None), observed, todo, events)


def _left_behind(observed: Observed) -> tuple[Event, ...]:
    """Say what is given up on: images that were neither copied nor deleted in the time there was for it."""
    found = observed.ledger.images if observed.ledger is not None else ImageTotals()
    if not found.unfinished:
        return ()
    copying = found.unfinished - found.deleting
    cause = f": {observed.images_fault.message}" if observed.images_fault else ""
    message = f"images of {copying} campaigns are not copied and those of {found.deleting} not deleted{cause}"
    _log.warning("images stay behind", extra={"pool": observed.pool.key, "cause": message})
    return (Event("Warning", Reason.IMAGES_LEFT_BEHIND, sentence(message)),)
