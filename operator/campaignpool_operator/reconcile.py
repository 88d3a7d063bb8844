"""One loop of one pool: observe, plan, apply, say so in the status. The only module that knows the order.

Nothing here remembers what it did: Jobs, ledger and resource are the memory, and a crash at any line is healed by the
next loop. What is remembered between loops is how often a fault was met, for the pause that follows it.
"""

import logging
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from hashlib import sha256
from typing import Any

from campaignpool.api.resource import GROUP, KIND, VERSION
from campaignpool.api.status import CampaignPoolStatus
from campaignpool.errors import CampaignPoolError, ClusterError
from campaignpool_operator.apply.apply import apply
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.deletion import add_finalizer, drain
from campaignpool_operator.observe.facts import FINALIZER, Event, Fault, Observed, Pool
from campaignpool_operator.observe.observe import Databases, Observer, Session, read_pool, utcnow
from campaignpool_operator.plan.actions import Action
from campaignpool_operator.plan.plan import Plan, plan
from campaignpool_operator.runtime.config import Config
from campaignpool_operator.runtime.listener import Listeners
from campaignpool_operator.runtime.metrics import Metrics
from campaignpool_operator.status import images as image_status
from campaignpool_operator.status.project import condition, dump, project, stamp, transitions

TRANSIENT_SECONDS = (2.0, 60.0)
CONFIGURATION_SECONDS = (5.0, 120.0)
"""First and longest pause after a fault; each that follows is twice as long. The second kind needs a person, who may
also touch the resource to be answered at once."""

AT_WORK_SECONDS = 5.0
"""While Jobs are at work, look this often: no event of theirs is then so precious that it must not be missed."""

_EVENT_MESSAGE = 1024
"""Longest message that the API takes in an Event."""

_log = logging.getLogger(__name__)


class Reconciler:
    """Runs the loop of any pool.

    Args:
        config: What the operator was told.
        cluster: The Kubernetes API.
        listeners: Told which pool is at which database.
        metrics: Told how things stand.
    """

    def __init__(self, config: Config, cluster: Cluster, listeners: Listeners, metrics: Metrics) -> None:
        self._config, self._cluster, self._listeners, self._metrics = config, cluster, listeners, metrics
        self._databases = Databases()
        self._observer = Observer(cluster, self._databases, config.seeder_image)
        self._faults: dict[str, int] = {}

    async def __call__(self, key: str) -> float | None:
        """Run one loop; give the seconds until the next by all means, None once the pool is gone."""
        with self._metrics.reconcile_seconds.time():
            result, delay = await self._once(key)
        self._metrics.reconciles.labels(result).inc()
        return delay

    async def _once(self, key: str) -> tuple[str, float | None]:
        namespace, name = key.split("/", 1)
        try:
            resource = await self._cluster.pool(namespace, name)
            if resource is None:
                return self._gone(key)
            pool = read_pool(resource)
            if pool.deleting:
                return await self._drain(pool)
            return await self._keep(pool)
        except ClusterError as error:
            if error.reason == "Conflict":
                return "conflict", 0.1 * random.uniform(0.5, 1.5)  # noqa: S311 (jitter)
            # Without the API there is no status to write; the log is all there is.
            _log.warning("the API is in the way", extra={"pool": key, "reason": error.reason, "cause": error.message})
            return "fault", self._pause(key, Fault.of(error))

    def _gone(self, key: str) -> tuple[str, None]:
        self._listeners.drop(key)
        self._metrics.drop(key)
        self._faults.pop(key, None)
        return "gone", None

    async def _keep(self, pool: Pool) -> tuple[str, float]:
        """Bring a pool nearer to what is wanted."""

        async def before_first_write(url: str) -> None:
            await add_finalizer(self._cluster, pool)
            self._listeners.want(pool.key, url)

        async with AsyncExitStack() as stack:
            session = await self._observer.look(pool, stack, before_first_write)
            observed = session.observed
            todo = plan(observed)
            fault = await self._apply(session, todo.actions)
            if fault is not None:
                # What was not done is not to be told of.
                observed, todo = replace(observed, fault=fault), replace(todo, actions=())
            # Whatever came of the rows; and whatever comes of this is no fault of theirs.
            fault = await self._apply(session, todo.images.actions)
            if fault is not None:
                observed = replace(observed, images_fault=fault)
                todo = replace(todo, images=replace(todo.images, actions=()))
        if observed.fault is not None and observed.fault.reason == "Conflict":
            raise ClusterError(observed.fault.message, reason="Conflict")
        await self._say(observed, todo)
        if observed.fault is not None:
            return "fault", self._pause(pool.key, observed.fault)
        self._faults.pop(pool.key, None)
        resync = self._config.resync_seconds * random.uniform(0.9, 1.1)  # noqa: S311 (so that pools spread out)
        waits = [resync, todo.next_check]
        if any(job.state == "Active" for job in observed.jobs):
            waits.append(AT_WORK_SECONDS)
        return "ok", min(wait for wait in waits if wait is not None)

    async def _apply(self, session: Session, actions: Sequence[Action]) -> Fault | None:
        observed, connection = session.observed, session.connection
        if connection is None or observed.spec is None:
            return None
        pool = observed.pool
        done = apply(actions, pool, observed.spec, self._cluster, connection, self._config.seeder_image)
        try:
            async for event in done:
                if event.reason in ("SeedingStarted", "ImagesStarted"):
                    self._metrics.job_created(pool.key, images=event.reason == "ImagesStarted")
                await self._post(pool, event)
        except CampaignPoolError as error:
            return Fault.of(error)
        finally:
            await done.aclose()
        return None

    async def _drain(self, pool: Pool) -> tuple[str, float | None]:
        """Take a pool that is being deleted nearer to its end."""
        observed = Observed(pool, utcnow())
        try:
            step = await drain(self._cluster, self._databases, pool, self._config.seeder_image)
        except CampaignPoolError as error:
            if isinstance(error, ClusterError):
                raise
            way_out = f"to give up on what is in the database, remove the finalizer {FINALIZER}"
            fault = replace(Fault.of(error), message=f"{error.message}; {way_out}")
            await self._say(replace(observed, fault=fault), Plan())
            return "fault", self._pause(pool.key, fault)
        for event in step.events:
            await self._post(pool, event)
        if step.delay is None:
            # Others' finalizers may hold it for longer; for us it is gone.
            return self._gone(pool.key)
        await self._say(step.observed, Plan(images=step.images))
        return "deleting", step.delay

    async def _say(self, observed: Observed, todo: Plan) -> None:
        """Write the status where it differs from what is there, and post what changed with it."""
        pool = observed.pool
        status = project(observed, todo)
        wanted = dump(status)
        self._metrics.show(pool.key, status, observed.ledger.images if observed.ledger else None)
        if wanted == pool.raw_status:
            return
        # A merge patch leaves alone what it does not name: what is no longer there has to be named.
        removed = dict.fromkeys(pool.raw_status.keys() - wanted.keys())
        await self._cluster.patch_status(pool.namespace, pool.name, {**removed, **wanted})
        self._metrics.status_writes.inc()
        _log_condition(pool, status)
        for event in (*transitions(pool.status, status), *image_status.events(observed, pool.status, status)):
            await self._post(pool, event)

    async def _post(self, pool: Pool, event: Event) -> None:
        """Post an Event; one that cannot be posted is not worth a fault."""
        try:
            await self._cluster.create_event(pool.namespace, _event(pool, event))
        except ClusterError as error:
            _log.info("an Event was lost", extra={"pool": pool.key, "event": event.reason, "cause": error.message})

    def _pause(self, key: str, fault: Fault) -> float:
        count = self._faults[key] = self._faults.get(key, 0) + 1
        first, last = TRANSIENT_SECONDS if fault.retry else CONFIGURATION_SECONDS
        return min(first * 2.0 ** min(count - 1, 10), last) * random.uniform(0.9, 1.1)  # noqa: S311 (jitter)


def _log_condition(pool: Pool, status: CampaignPoolStatus) -> None:
    before, now = condition(pool.status, "Ready"), condition(status, "Ready")
    if now is not None and (before is None or before.reason != now.reason):
        _log.info("%s", now.reason, extra={"pool": pool.key, "ready": now.status, "cause": now.message})


def _event(pool: Pool, event: Event) -> dict[str, Any]:
    now = utcnow()
    unique = sha256(f"{pool.uid} {now.isoformat()} {event.reason} {event.message}".encode()).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{pool.name[:200]}.{unique}", "namespace": pool.namespace},
        "involvedObject": {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "namespace": pool.namespace,
            "name": pool.name,
            "uid": pool.uid,
            "resourceVersion": pool.resource_version,
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message[:_EVENT_MESSAGE],
        "count": 1,
        "firstTimestamp": stamp(now),
        "lastTimestamp": stamp(now),
        "source": {"component": "campaignpool-operator"},
        "reportingComponent": f"{GROUP}/operator",
        "reportingInstance": "campaignpool-operator",
    }
