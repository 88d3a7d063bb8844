"""Pools at rest: their last loop found nothing to do, and nothing that a loop reads has changed since.

A loop that only time asks for begins with one statement, which says whether anything changed in the database. Where
nothing did, it ends there: nothing is listed, compiled or written. A change in the Kubernetes API is an event, and a
loop that an event asks for reads everything.

The statement runs before the loop reads. So a change during the loop shows in the next statement, and a loop that
changes something itself is followed by one more.
"""

import asyncio
import logging
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from campaignpool.api.resource import seconds
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.blueprint import changes
from campaignpool.blueprint.changes import State
from campaignpool.blueprint.compilation import Compiled
from campaignpool.blueprint.sql.audit import written_on_update
from campaignpool.errors import CampaignPoolError
from campaignpool.ledger import auditing
from campaignpool.ledger.database import CONNECT_SECONDS, Connection
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.cluster.watches import Watches, version_of
from campaignpool_operator.databases import Databases
from campaignpool_operator.facts import Observed
from campaignpool_operator.plan.plan import Plan
from campaignpool_operator.resource import Versions
from campaignpool_operator.session import Session
from campaignpool_operator.trends import Trends

FULL_SECONDS = 900.0
"""A pool at rest has a whole loop this often: it finds what a person changed in the ledger by hand."""

AUDITED_SECONDS = 3600.0
"""Ready campaigns are audited for so long after rows of their tables were written: an audit is a sample."""

_log = logging.getLogger(__name__)


@dataclass
class _Rest:
    """A pool at rest.

    Attributes:
        read: Secrets and ConfigMaps with the versions that the last loop read.
        since: When that loop began, by the event loop's clock.
        tables: Oids of the tables that its clones and its template depend on.
        due_at: When the next whole loop is due.
        compare_at: When the template is compared, if it was written.
        interval: Seconds between two comparisons.
        compared: What `changes.writes` said when the template was last compared.
        state: Before the loop that found nothing to do; None where that was not asked.
        writes: As the last statement said; None before the first.
    """

    read: Versions
    since: float
    compiled: Compiled
    tables: tuple[int, ...]
    due_at: float
    compare_at: float
    interval: float
    compared: str
    state: State | None
    writes: str | None


class Rests:
    """The pools at rest.

    Args:
        cluster: The Kubernetes API.
        watches: Of Secrets and ConfigMaps.
        databases: Connections to databases.
        trends: Records how low the stock is.
        resync_seconds: Time between two looks at a pool.
        clock: Returns the seconds of a monotonic clock.
    """

    def __init__(
        self,
        cluster: Cluster,
        watches: Watches,
        databases: Databases,
        trends: Trends,
        resync_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._cluster, self._watches, self._databases, self._trends = cluster, watches, databases, trends
        self._resync, self._clock = resync_seconds, clock
        self._rests: dict[str, _Rest] = {}
        self._states: dict[str, State] = {}
        self._written_at: dict[str, float] = {}

    def end(self, key: str) -> None:
        """Remember no rest of a pool: its next loop is a whole one."""
        self._rests.pop(key, None)
        self._states.pop(key, None)

    def forget(self, key: str) -> None:
        """Forget a pool that is gone."""
        self.end(key)
        self._written_at.pop(key, None)

    async def look(self, key: str) -> float | None:
        """Return the seconds until the next look, or None where a whole loop is needed."""
        rest = self._rests.pop(key, None)
        self._states.pop(key, None)
        if rest is None:
            return None
        try:
            async with self._databases.borrowed(key) as connection, asyncio.timeout(CONNECT_SECONDS):
                state = await changes.state(connection, key, rest.tables, self._resync)
                wait = await self._wait(connection, key, rest, state)
        except CampaignPoolError as error:
            # The loop that follows says it in a condition.
            _log.debug("could not look whether anything changed", extra={"pool": key, "reason": error.reason})
            return None
        if wait is None:
            self._states[key] = state
            return None
        self._rests[key] = rest
        return wait

    async def _wait(self, connection: Connection, key: str, rest: _Rest, state: State) -> float | None:
        """Return the seconds until the next look at a pool that is still at rest."""
        now, before = self._clock(), rest.state
        if before is None or now >= rest.due_at or state.writes is None:
            return None
        if None in (state.ledger, state.catalog) or _named(state) != _named(before) or not await self._is_same(rest):
            return None
        if state.writes != rest.writes:
            rest.writes, self._written_at[key] = state.writes, now
        if now >= rest.compare_at:
            if state.writes != rest.compared:
                return None
            rest.compare_at = now + rest.interval
        if now - self._written_at.get(key, -math.inf) < AUDITED_SECONDS:
            ignored = written_on_update(rest.compiled.plan)
            if await auditing.audit(connection, key, rest.compiled.plan_hash, ignored):
                return None
        await self._trends.keep(connection, key, state.at)
        resync = self._resync * random.uniform(0.9, 1.1)  # noqa: S311 (so that pools spread out)
        return min(resync, rest.due_at - now, rest.compare_at - now)

    async def _is_same(self, rest: _Rest) -> bool:
        """Return whether Secrets and ConfigMaps are as the last loop read them; those that are watched are."""
        if self._watches.holds(rest.read, rest.since):
            return True
        now = asyncio.get_running_loop().time()
        for reference, version in rest.read.items():
            if await version_of(self._cluster, reference) != version:
                return False
        rest.since = now
        return True

    def settle(self, session: Session, observed: Observed, todo: Plan, due: float | None) -> None:
        """Note that a pool is at rest, if it is after a loop without a fault.

        Args:
            session: Of the loop.
            observed: What it saw.
            todo: What it did.
            due: Seconds until the next whole loop at the latest; None: nothing is due.
        """
        key, state = observed.pool.key, self._states.pop(observed.pool.key, None)
        spec, template = session.spec, observed.template
        if spec is None or template is None or session.compiled is None:
            return
        if template.changes.writes is None or not _is_calm(observed, todo, spec):
            return
        now, interval = self._clock(), float(seconds(spec.template.check_interval) or math.inf)
        self._rests[key] = _Rest(
            read=dict(session.read),
            since=session.began,
            compiled=session.compiled,
            tables=template.changes.watched,
            due_at=now + min(FULL_SECONDS, FULL_SECONDS if due is None else due),
            compare_at=math.inf if observed.compare_in is None else now + observed.compare_in,
            interval=interval,
            compared=template.changes.writes,
            state=state,
            writes=state.writes if state is not None else None,
        )


def _named(state: State) -> tuple[str | None, str | None]:
    return state.ledger, state.catalog


def _is_calm(observed: Observed, todo: Plan, spec: CampaignPoolSpec) -> bool:
    """Return whether a loop found nothing to do, and nothing that is under way."""
    ledger, activity = observed.ledger, observed.activity
    if ledger is None or activity is None or observed.fault is not None or observed.images_fault is not None:
        return False
    # Claims of the last seconds are counted later, images are copied by Jobs, and a pause is a gap in the demand.
    counted = activity.last_claim_at is None or activity.last_claim_at < activity.until
    if not counted or spec.paused or ledger.images.unfinished or not observed.quiet:
        return False
    if any(job.active for job in (*observed.jobs, *observed.image_jobs)):
        return False
    return not (todo.actions or todo.images.actions or ledger.totals.seeding or ledger.totals.imaging)
