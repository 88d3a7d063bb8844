"""Read everything that matters to one pool and return it as one frozen value; nothing is written.

Jobs are listed before the ledger is read: a Job that ends in between is then seen as active with its campaigns made,
which counts as nothing in flight; the other way round its campaigns would be asked for twice.
"""

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from campaignpool.api.reasons import Reason
from campaignpool.blueprint.compilation import Compiled
from campaignpool.blueprint.sql.audit import written_on_update
from campaignpool.errors import CampaignPoolError
from campaignpool.ledger import activity, auditing, pools
from campaignpool.ledger.activity import Activity
from campaignpool.ledger.database import Connection, translated
from campaignpool.ledger.pools import Ledger
from campaignpool.ledger.seeding import Run
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.facts import Fault, Observed, Pool
from campaignpool_operator.jobs import managed
from campaignpool_operator.jobs.managed import ManagedJob
from campaignpool_operator.observe.images import observe_images
from campaignpool_operator.observe.pods import observe_pods
from campaignpool_operator.observe.template import Templates
from campaignpool_operator.session import Session

_log = logging.getLogger(__name__)


def utcnow() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class PoolJobs:
    """The Jobs of a pool, ended ones too."""

    seeding: tuple[ManagedJob, ...]
    images: tuple[ManagedJob, ...]


async def list_jobs(cluster: Cluster, pool: Pool) -> PoolJobs:
    """Return the pool's Jobs, as the API has them now."""
    result = await cluster.jobs(pool.namespace, f"{managed.SELECTOR},{managed.selector(pool.name)}")
    jobs = [job for item in managed.owned(result, pool.uid) if (job := managed.parse(item)) is not None]
    return PoolJobs(
        tuple(job for job in jobs if job.component == "seeder"),
        tuple(job for job in jobs if job.component == "images"),
    )


async def observe(
    session: Session,
    cluster: Cluster,
    image: str,
    templates: Templates,
    *,
    audits: bool = False,
    last: Activity | None = None,
) -> Observed:
    """Return what one loop knows. A failure is a fault in it, never raised.

    Args:
        session: Of the pool, prepared, its spec applied.
        cluster: The Kubernetes API.
        image: Of the seeder, where the pool names none.
        templates: Compares the template with the revision in service.
        audits: Also compare a sample of ready campaigns with what was cloned.
        last: The last look at the pool's activity.
    """
    pool, connection = session.pool, session.connection
    observed = Observed(
        pool,
        utcnow(),
        cluster.now(),
        spec=session.spec,
        compiled=session.compiled,
        quiet=session.quiet,
        fault=session.fault,
        sizing=session.sizing,
        sizing_fault=session.sizing_fault,
    )
    if connection is None:
        return observed
    try:
        jobs = await list_jobs(cluster, pool)
        pods = await observe_pods(cluster, pool, (*jobs.seeding, *jobs.images))
        observed = replace(observed, jobs=jobs.seeding, image_jobs=jobs.images, pods=pods)
        with translated():
            facts = await pools.observe(connection, pool.key, observed.keep)
            now = await pools.clock(connection)
            observed = _matched(replace(observed, ledger=facts, database_now=now))
            observed = replace(observed, orphans=await _orphans(cluster, observed, facts))
            if audits:
                observed = replace(observed, changed=await _changed(connection, pool, session.compiled))
            template, compare_in = await templates.observe(connection, observed)
            observed = replace(observed, template=template, compare_in=compare_in)
            observed = await observe_images(cluster, connection, observed, image, session.read)
            observed = replace(observed, activity=await activity.observe(connection, pool.key, last))
    except CampaignPoolError as error:
        return replace(observed, fault=Fault.of(error), ledger=None, compiled=None)
    return replace(observed, now=utcnow(), cluster_now=cluster.now())


def _matched(observed: Observed) -> Observed:
    """Refuse a blueprint whose root table differs from that of the pool's campaigns."""
    known, compiled = observed.ledger.root_table if observed.ledger else None, observed.compiled
    if compiled is None or known is None or known == compiled.root_table:
        return observed
    message = (
        f"the pool keeps campaigns of {known}, and its blueprint now names {compiled.root_table}: name the table it "
        "had, or make a new pool of another name"
    )
    return replace(observed, compiled=None, fault=Fault(Reason.ROOT_TABLE_CHANGED, message, retry=False))


async def _changed(connection: Connection, pool: Pool, compiled: Compiled | None) -> dict[UUID, str] | None:
    """Return what an audit found. A failure keeps the pool from nothing else: a migration may be under way."""
    plan_hash, ignored = (compiled.plan_hash, written_on_update(compiled.plan)) if compiled else (None, [])
    try:
        with translated():
            return await auditing.audit(connection, pool.key, plan_hash, ignored)
    except CampaignPoolError as error:
        _log.warning("audit failed", extra={"pool": pool.key, "reason": error.reason, "cause": error.message})
        return None


async def _orphans(cluster: Cluster, observed: Observed, facts: Ledger) -> tuple[Run, ...]:
    """Return open runs without a Job. The Jobs were listed before the ledger was read: list them once more."""
    names = {job.name for job in observed.jobs}
    lost = [run for run in facts.runs if run.outcome is None and run.job not in names]
    if not lost:
        return ()
    names |= {job.name for job in (await list_jobs(cluster, observed.pool)).seeding}
    return tuple(run for run in lost if run.job not in names)
