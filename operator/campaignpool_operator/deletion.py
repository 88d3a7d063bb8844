"""The deletion of a pool. Every step can be repeated, so a restart costs nothing.

1. The ledger closes the pool: claims stop, or get what is still ready, as `claims.whileDeleting` says. Claimed
   campaigns are not touched.
2. Active Jobs are deleted, and the operator waits until their pods have ended: only then nothing new can appear.
3. Open runs end, and reservations are removed.
4. Ready campaigns retire and are removed, batch by batch, so that claims that are allowed find some to the last.
5. Once nothing is left and no claim is open, the pool's row is marked as deleted.
6. Images are waited for: those of claimed campaigns are copied, those of removed ones deleted, by images Jobs.
   `images.deadline` after the deletion was asked for this ends with a Warning.
7. The revisions that made campaigns are dropped.
8. The finalizer is removed.

A deletion always ends. The operator remembers the database of a pool, for the Secret may go first; and where steps go
on failing, the finalizer is removed after `deletion.timeout` with a Warning that says what is left behind.
"""

import logging
from dataclasses import dataclass, field, replace

from campaignpool.api.reasons import Reason
from campaignpool.api.resource import seconds
from campaignpool.api.spec import CampaignPoolSpec, Deletion
from campaignpool.blueprint import install
from campaignpool.errors import CampaignPoolError, ConfigurationError, SecretError, TransientError
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
    url = await _url(cluster, databases, pool, spec)
    jobs = await list_jobs(cluster, pool)
    observed = replace(observed, spec=spec, jobs=jobs.seeding, image_jobs=jobs.images)
    connection = await databases.acquire(pool.key, url)
    try:
        with translated():
            step = await _drain(cluster, connection, observed, spec, image)
    finally:
        await databases.release(pool.key, connection)
    if step.delay is None:
        await _remove_finalizer(cluster, pool)
        _log.info("finalizer removed", extra={"pool": pool.key})
    return step


async def _url(cluster: Cluster, databases: Databases, pool: Pool, spec: CampaignPoolSpec) -> str:
    """Return the database's URL, or the one it was last found at where the Secret is gone. Raises SecretError."""
    try:
        return await read_url(cluster, pool, spec)
    except SecretError:
        if (url := databases.url_of(pool.key)) is not None:
            return url
        raise


def timeout_left(cluster: Cluster, pool: Pool) -> float:
    """Return the seconds until `deletion.timeout` has passed since the deletion was asked for; never less than 0."""
    try:
        timeout = parse_spec(pool).deletion.timeout
    except ConfigurationError:
        timeout = Deletion().timeout
    asked_at = pool.deleted_at or cluster.now()
    return max(0.0, seconds(timeout) - (cluster.now() - asked_at).total_seconds())


async def give_up(cluster: Cluster, pool: Pool, error: CampaignPoolError) -> Event:
    """Remove the finalizer of a pool that cannot be cleaned up; return the Event that says what is left behind.

    Raises:
        ClusterError: The finalizer could not be removed.
    """
    await _remove_finalizer(cluster, pool)
    message = (
        f"the pool was deleted without removing its unclaimed campaigns, its image sets and its revisions from the "
        f"database ({error.message.rstrip('.')}); `campaignpool purge` removes them once the database can be reached"
    )
    _log.warning("left behind", extra={"pool": pool.key, "reason": error.reason, "cause": error.message})
    return Event("Warning", Reason.LEFT_BEHIND, sentence(message))


async def _remove_finalizer(cluster: Cluster, pool: Pool) -> None:
    finalizers = [finalizer for finalizer in pool.finalizers if finalizer != FINALIZER]
    await cluster.set_finalizers(pool.namespace, pool.name, pool.resource_version, finalizers)


async def _drain(
    cluster: Cluster, connection: Connection, observed: Observed, spec: CampaignPoolSpec, image: str
) -> Step:
    pool = observed.pool
    mine = await pools.close_pool(connection, pool.key, pool.uid)
    active = [job for job in observed.jobs if job.active]
    for job in active:
        if not job.deleting:
            await cluster.delete_job(pool.namespace, job.name, job.uid)
    if active and not timeout_left(cluster, pool):
        names = ", ".join(job.name for job in active)
        raise TransientError(f"the pods of these Jobs do not end: {names}: delete them by force")
    delay: float | None = WAIT_SECONDS if active else None
    if not mine:
        # The pool was never written, or belongs to another resource of this name: there is nothing to delete.
        return Step(delay, observed)
    if not active:
        delay = await _emptied(connection, pool.key)
    observed = await _with_ledger(cluster, connection, observed, image)
    if delay is not None:
        return Step(delay, observed)
    if (left := _time_for_images(cluster, observed)) > 0:
        return await _images(cluster, connection, observed, spec, image, left)
    await _clear(connection, pool.key)
    return Step(None, observed, events=_left_behind(observed))


async def _emptied(connection: Connection, key: str) -> float | None:
    """Remove what nobody claimed; give the seconds until there is more to do, None once the deletion is finished."""
    await pools.cancel_runs(connection, key)
    if await _removed(connection, key):
        return 0.0
    return None if await pools.finish_deletion(connection, key) else UNDER_WAY_SECONDS


async def _removed(connection: Connection, key: str) -> bool:
    """Remove some of what nobody claimed; give whether anything was removed."""
    for number in range(_BATCHES):
        retired = await retiring.retire(connection, key, BATCH)
        if retired + await retiring.remove(connection, key, BATCH) == 0:
            return number > 0
    return True


async def _clear(connection: Connection, key: str) -> None:
    """Drop what made the campaigns, and log which campaigns are left in place."""
    await install.drop_unused(connection, key)
    for cause, campaigns in (await retiring.held(connection, key)).items():
        extra = {"pool": key, "campaigns": campaigns, "cause": cause}
        _log.warning("campaigns left in place: the database refused to delete them", extra=extra)


async def _with_ledger(cluster: Cluster, connection: Connection, observed: Observed, image: str) -> Observed:
    """Return what was observed with the ledger of now, and what keeps images from being processed."""
    key = observed.pool.key
    totals, owners = await pools.counts(connection, key)
    facts = Ledger(totals=totals, owners=owners, images=await ledger_images.observe(connection, key))
    return await observe_images(cluster, connection, replace(observed, ledger=facts), image)


def _time_for_images(cluster: Cluster, observed: Observed) -> float:
    """Return how many seconds images are still waited for; 0 where none are left to copy or delete.

    Without the store's key nothing can be done for them, as in a namespace that is being deleted: that is a failure.
    """
    if observed.ledger is None or observed.spec is None or not observed.ledger.images.unfinished:
        return 0.0
    waited = (cluster.now() - (observed.pool.deleted_at or cluster.now())).total_seconds()
    left = max(0.0, seconds(observed.spec.images.deadline) - waited)
    hopeless = observed.images_fault is not None and not observed.images_fault.retry
    return min(left, timeout_left(cluster, observed.pool)) if hopeless else left


async def _images(
    cluster: Cluster, connection: Connection, observed: Observed, spec: CampaignPoolSpec, image: str, left: float
) -> Step:
    todo = images.plan(observed)
    done = apply(todo.actions, observed.pool, spec, cluster, connection, image)
    waits = (WAIT_SECONDS, left, todo.next_check)
    events = tuple([event async for event in done])
    return Step(min(wait for wait in waits if wait is not None), observed, todo, events)


def _left_behind(observed: Observed) -> tuple[Event, ...]:
    """Return an Event for images that were neither copied nor deleted in time."""
    result = observed.ledger.images if observed.ledger is not None else ImageTotals()
    if not result.unfinished:
        return ()
    copying = result.unfinished - result.deleting
    cause = f": {observed.images_fault.message}" if observed.images_fault else ""
    message = f"images of {copying} campaigns are not copied and those of {result.deleting} not deleted{cause}"
    _log.warning("images left in place", extra={"pool": observed.pool.key, "cause": message})
    return (Event("Warning", Reason.IMAGES_LEFT_BEHIND, sentence(message)),)
