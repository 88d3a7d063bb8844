"""One loop of one pool. The only module that knows the order of the steps.

Nothing here remembers what it did: Jobs, ledger and resource are the memory, and the next loop heals a crash at any
line. Between loops only the number of faults in a row is remembered, for the backoff, when the next audit is due, and
the last comparison of the template.
"""

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from campaignpool.api.reasons import Reason
from campaignpool.api.status import CampaignPoolStatus
from campaignpool.backoff import retry_delay
from campaignpool.errors import CampaignPoolError, ClusterError
from campaignpool_operator.apply.apply import apply
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.cluster.watches import Watches
from campaignpool_operator.databases import Databases
from campaignpool_operator.deletion import drain, give_up, timeout_left
from campaignpool_operator.facts import FINALIZER, Event, Fault, Observed, Pool
from campaignpool_operator.observe.observe import observe, utcnow
from campaignpool_operator.observe.template import Templates
from campaignpool_operator.plan.actions import Action
from campaignpool_operator.plan.plan import Plan, plan
from campaignpool_operator.resource import read_pool, with_defaults
from campaignpool_operator.resting import Rests
from campaignpool_operator.runtime.config import Config
from campaignpool_operator.runtime.figures import Look
from campaignpool_operator.runtime.listener import Listeners
from campaignpool_operator.runtime.metrics import Metrics
from campaignpool_operator.session import Session, Sessions, apply_spec
from campaignpool_operator.sizing.sizers import Sizers
from campaignpool_operator.status import events
from campaignpool_operator.status import images as image_status
from campaignpool_operator.status import rollout as rollout_status
from campaignpool_operator.status import sizing as sizing_status
from campaignpool_operator.status import template as template_status
from campaignpool_operator.status.conditions import find
from campaignpool_operator.status.project import project, transitions
from campaignpool_operator.text import dump, merge_patch
from campaignpool_operator.trends import Trends
from campaignpool_operator.turns import Turns

TRANSIENT_SECONDS = (2.0, 60.0)
CONFIGURATION_SECONDS = (5.0, 120.0)
"""First and longest pause after a fault; each that follows is twice as long. The second kind needs a person, who may
also change the resource to be answered at once."""

HICCUP_SECONDS = 0.5
"""The first transient fault, such as one lost connection, is retried after this long before any condition changes."""

ACTIVE_SECONDS = 5.0
"""While Jobs are active, reconcile this often, whatever events arrive."""

_log = logging.getLogger(__name__)


class Reconciler:
    """Runs the loop of any pool.

    Args:
        config: The operator's options.
        cluster: The Kubernetes API.
        listeners: What listens for notifications of ledgers.
        metrics: Where figures are counted.
        request: Asks for the loop of another pool.
    """

    def __init__(
        self,
        config: Config,
        cluster: Cluster,
        listeners: Listeners,
        metrics: Metrics,
        request: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._config, self._cluster, self._listeners, self._metrics = config, cluster, listeners, metrics
        self._databases = Databases()
        self._sessions = Sessions(cluster, self._databases, listeners.want, config.resync_seconds)
        self._sizers = Sizers(config.sizing_speed, time.monotonic)
        self._faults: dict[str, int] = {}
        self._audits: dict[str, float] = {}
        self._templates = Templates(time.monotonic)
        self._turns = Turns(config.max_jobs, request)
        self._trends = Trends()
        self._watches = Watches(cluster, request, enabled=config.watch_references)
        self._rests = Rests(
            cluster, self._watches, self._databases, self._trends, config.resync_seconds, time.monotonic
        )

    async def __call__(self, key: str, *, asked: bool = True) -> float | None:
        """Run one loop; return the seconds until the next at the latest, or None once the pool is gone.

        Args:
            key: Of the pool.
            asked: Something happened; without it only time has passed, and a pool at rest needs no loop.
        """
        if asked:
            self._rests.end(key)
        elif (wait := await self._rests.look(key)) is not None:
            self._metrics.reconciles.labels("unchanged").inc()
            return wait
        with self._metrics.reconcile_seconds.time():
            result, delay = await self._once(key)
        self._metrics.reconciles.labels(result).inc()
        return delay

    def connections(self) -> dict[str, int]:
        """Return the number of connections to databases by state."""
        return self._databases.connections()

    async def close(self) -> None:
        """Close the connections to databases."""
        await self._watches.close()
        await self._sizers.close()
        await self._databases.close()

    async def _once(self, key: str) -> tuple[str, float | None]:
        namespace, name = key.split("/", 1)
        try:
            resource = await self._cluster.pool(namespace, name)
            if resource is None:
                return self._gone(key)
            pool = with_defaults(read_pool(resource), self._config)
            return await (self._drain(pool) if pool.deleting else self._reconcile(pool))
        except ClusterError as error:
            if error.reason == "Conflict":
                return "conflict", 0.1 * random.uniform(0.5, 1.5)  # noqa: S311 (jitter)
            # Without the API no status can be written; only the log can say it.
            extra = {"pool": key, "reason": error.reason, "cause": error.message}
            _log.warning("Kubernetes API request failed; will retry", extra=extra)
            return "fault", self._pause(key, Fault.of(error))
        except Exception as error:  # noqa: BLE001 (whatever a loop raises ends as a condition)
            _log.exception("the loop of %s failed", key)
            return await self._report_defect(key, error)

    async def _report_defect(self, key: str, error: Exception) -> tuple[str, float]:
        """Write a condition for what no loop should raise."""
        # Not the error's text: it may quote a value.
        message = f"the operator failed with {type(error).__name__}; its log has the details"
        fault = Fault(Reason.INTERNAL_ERROR, message, retry=True)
        with suppress(ClusterError):
            resource = await self._cluster.pool(*key.split("/", 1))
            if resource is not None:
                await self._write_status(Observed(read_pool(resource), utcnow(), fault=fault), Plan())
        return "error", self._pause(key, fault)

    def _gone(self, key: str) -> tuple[str, None]:
        self._listeners.drop(key)
        self._metrics.drop(key)
        self._sessions.forget(key)
        self._sizers.forget(key)
        self._faults.pop(key, None)
        self._audits.pop(key, None)
        self._templates.forget(key)
        self._trends.forget(key)
        self._rests.forget(key)
        self._watches.drop(key)
        self._turns.forget(key)
        return "gone", None

    async def _reconcile(self, pool: Pool) -> tuple[str, float]:
        """Bring a pool nearer to what is wanted."""
        session = await self._sessions.prepare(pool)
        try:
            session = await self._sizers.size(session)
            session = await apply_spec(session, self._config.resync_seconds)
            audits = self._audit_is_due(pool.key)
            last, image = self._metrics.activity(pool.key), self._config.seeder_image
            observed = await observe(session, self._cluster, image, self._templates, audits=audits, last=last)
            await self._trends.record(session, observed)
            observed = self._turns.take(observed)
            todo = plan(observed)
            observed, todo = await self._apply(session, observed, todo)
            self._turns.settle(observed, todo)
            self._sizers.measure(observed, todo)
        finally:
            self._watches.want(pool.key, session.read)
            await self._sessions.close(session)
        if self._is_hiccup(observed):
            return "fault", HICCUP_SECONDS
        await self._write_status(observed, todo)
        return self._next(session, observed, todo)

    def _audit_is_due(self, key: str) -> bool:
        """Return whether to audit the pool in this loop: once per resync."""
        now = time.monotonic()
        due = now >= self._audits.get(key, 0.0)
        if due:
            # A resync may come a tenth early.
            self._audits[key] = now + 0.9 * self._config.resync_seconds
        return due

    def _is_hiccup(self, observed: Observed) -> bool:
        """Return whether a fault may be over at once: the first in a row of a pool that has a status to keep."""
        pool, fault = observed.pool, observed.fault
        if fault is None or not fault.retry or self._faults.get(pool.key) or not pool.status.conditions:
            return False
        self._faults[pool.key] = 1
        self._sessions.recheck(pool.key)
        return True

    def _next(self, session: Session, observed: Observed, todo: Plan) -> tuple[str, float]:
        """Return the loop's result, and the seconds until the next."""
        key = observed.pool.key
        if observed.fault is not None:
            self._sessions.recheck(key)
            return "fault", self._pause(key, observed.fault)
        self._faults.pop(key, None)
        resync = self._config.resync_seconds * random.uniform(0.9, 1.1)  # noqa: S311 (so that pools spread out)
        due = _first(todo.next_check, self._sizers.wait(session))
        self._rests.settle(session, observed, todo, due)
        waits = [resync, due, observed.compare_in]
        if any(job.active for job in observed.jobs):
            waits.append(ACTIVE_SECONDS)
        return "ok", _first(*waits) or 0.0

    async def _apply(self, session: Session, observed: Observed, todo: Plan) -> tuple[Observed, Plan]:
        """Carry out the plan; return what was observed and planned with the actions left out that failed."""
        fault = await self._carry_out(session, observed, todo.actions)
        if fault is not None:
            observed, todo = replace(observed, fault=fault), replace(todo, actions=())
        # Images do not depend on rows, nor do rows on images.
        fault = await self._carry_out(session, observed, todo.images.actions)
        if fault is not None:
            observed = replace(observed, images_fault=fault)
            todo = replace(todo, images=replace(todo.images, actions=()))
        return observed, todo

    async def _carry_out(self, session: Session, observed: Observed, actions: Sequence[Action]) -> Fault | None:
        pool, connection = observed.pool, session.connection
        if connection is None or observed.spec is None:
            return None
        done = apply(actions, pool, observed.spec, self._cluster, connection, self._config.seeder_image)
        try:
            async for event in done:
                if event.reason in (Reason.SEEDING_STARTED, Reason.IMAGES_STARTED):
                    images = event.reason is Reason.IMAGES_STARTED
                    self._metrics.job_created(pool.key, "images" if images else "seeder")
                await self._post(pool, event)
        except CampaignPoolError as error:
            if error.reason == "Conflict":
                raise
            return Fault.of(error)
        finally:
            await done.aclose()
        return None

    async def _drain(self, pool: Pool) -> tuple[str, float | None]:
        """Bring a pool that is being deleted nearer to its end."""
        try:
            step = await drain(self._cluster, self._databases, pool, self._config.seeder_image)
        except CampaignPoolError as error:
            if error.reason == "Conflict":
                raise
            self._sessions.recheck(pool.key)
            left = timeout_left(self._cluster, pool)
            if not left:
                await self._post(pool, await give_up(self._cluster, pool, error))
                return self._gone(pool.key)
            way_out = f"the resource goes without it after spec.deletion.timeout, or when {FINALIZER} is removed"
            fault = replace(Fault.of(error), message=f"{error.message}; {way_out}")
            await self._write_status(Observed(pool, utcnow(), fault=fault), Plan())
            return "fault", min(self._pause(pool.key, fault), left + 0.1)
        for event in step.events:
            await self._post(pool, event)
        if step.delay is None:
            # The finalizers of others may hold the resource for longer; for this operator it is gone.
            return self._gone(pool.key)
        await self._write_status(step.observed, Plan(images=step.images))
        return "deleting", step.delay

    async def _write_status(self, observed: Observed, todo: Plan) -> None:
        """Write the status where it differs from what is there, and post the Events of what changed."""
        pool = observed.pool
        status = project(observed, todo)
        wanted = dump(status)
        self._metrics.show(pool.key, _look(observed, status))
        if wanted == pool.raw_status:
            return
        patch = merge_patch(pool.raw_status, wanted)
        await self._cluster.patch_status(pool.namespace, pool.name, pool.resource_version, patch)
        self._metrics.status_writes.inc()
        _log_condition(pool, status)
        news = (
            *transitions(pool.status, status),
            *template_status.events(pool.status, status),
            *rollout_status.events(pool.status, status),
            *image_status.events(observed, pool.status, status),
            *sizing_status.events(pool.status, status),
        )
        for event in news:
            await self._post(pool, event)

    async def _post(self, pool: Pool, event: Event) -> None:
        """Post an Event; a failure is only logged."""
        try:
            await self._cluster.create_event(pool.namespace, events.build(pool, event, utcnow()))
        except ClusterError as error:
            _log.info("could not post Event", extra={"pool": pool.key, "event": event.reason, "cause": error.message})

    def _pause(self, key: str, fault: Fault) -> float:
        count = self._faults[key] = self._faults.get(key, 0) + 1
        bounds = TRANSIENT_SECONDS if fault.retry else CONFIGURATION_SECONDS
        return retry_delay(count, *bounds) * random.uniform(0.9, 1.1)  # noqa: S311 (jitter)


def _first(*waits: float | None) -> float | None:
    return min((wait for wait in waits if wait is not None), default=None)


def _look(observed: Observed, status: CampaignPoolStatus) -> Look:
    """Return what metrics show of a loop."""
    active = [job.component for job in (*observed.jobs, *observed.image_jobs) if job.active]
    return Look(
        at=observed.database_now or observed.now,
        status=status,
        maximum=observed.spec.max_size if observed.spec else None,
        ledger=observed.ledger,
        activity=observed.activity,
        jobs=Counter(active),
        images_finished=observed.images_finished,
    )


def _log_condition(pool: Pool, status: CampaignPoolStatus) -> None:
    before, now = find(pool.status, "Ready"), find(status, "Ready")
    if now is not None and (before is None or before.reason != now.reason):
        _log.info("%s", now.reason, extra={"pool": pool.key, "ready": now.status, "cause": now.message})
