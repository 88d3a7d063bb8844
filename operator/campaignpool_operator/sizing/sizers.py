"""Keep a sizer for each pool, and give each loop's session the size that it decides.

Everything kept here can be computed again from the ledger, but for measured lead times and the sizes of the last
minutes, which the status has as well.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from math import floor

from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.api.status import CampaignPoolStatus
from campaignpool.errors import CampaignPoolError, ConfigurationError
from campaignpool.ledger import demand, pools
from campaignpool.ledger.database import Connection, translated
from campaignpool.sizing.history import DAY
from campaignpool.sizing.sizer import TICK, Decision, Event, Peak, Target
from campaignpool_operator.facts import Fault, Observed, Pool, Sizing
from campaignpool_operator.jobs import seeding
from campaignpool_operator.plan.actions import CreateJob
from campaignpool_operator.plan.plan import Plan
from campaignpool_operator.session import Session
from campaignpool_operator.sizing.events import events_of
from campaignpool_operator.sizing.leads import LeadTimes
from campaignpool_operator.sizing.learning import HISTORY_DAYS, Learned, Setting, learn

RECOMMEND_SECONDS = 900.0
"""A size that is only recommended is decided this often while nothing happens."""

BUSY_SECONDS = 5.0
"""While claims cause loops, the size is decided this often; else once a `TICK`."""

REREAD_SECONDS = 3600.0
"""Demand of the last hour is read again each time: claims commit late, and are released. Older demand once a day."""

LEARNED_AT_ONCE = 2000
"""More claims than this are learned in the background, during which the size stays."""

_LEAST_WAIT = 1.0
_EVENTS_SECONDS = 900.0


@dataclass
class _State:
    """What is kept of one pool."""

    leads: LeadTimes
    learned: Learned | None = None
    learning: "asyncio.Task[Learned] | None" = None
    sizes: deque[tuple[float, int]] = field(default_factory=deque)
    """(moment, size) of the scale-down window."""
    events: tuple[float, tuple[object, ...], tuple[Event, ...]] | None = None
    sizing: Sizing | None = None
    decided_at: float | None = None
    decided_for: int | None = None
    """Generation of the resource that the last decision read."""
    lost: bool = False


class Sizers:
    """The sizers of all pools.

    Args:
        speed: How many seconds of demand pass in a second.
        clock: Seconds that only grow.
    """

    def __init__(self, speed: float, clock: Callable[[], float]) -> None:
        self._speed, self._clock = speed, clock
        self._started = time.time() if speed > 1 else 0.0  # at 1, times are exact
        self._states: dict[str, _State] = {}
        self._learners = asyncio.Semaphore(1)

    def forget(self, key: str) -> None:
        """Forget a pool that is gone."""
        state = self._states.pop(key, None)
        if state is not None and state.learning is not None:
            state.learning.cancel()

    async def close(self) -> None:
        """End what is learned in the background."""
        for key in list(self._states):
            self.forget(key)

    async def size(self, session: Session) -> Session:
        """Return the session with the size that the demand needs, where `sizing.mode` says so."""
        pool, spec = session.pool, session.spec
        if spec is None or spec.sizing.mode == "Off":
            if spec is not None:
                self.forget(pool.key)
            return session
        before = pool.status.sizing
        state = self._states.setdefault(pool.key, _State(LeadTimes(before.lead_time_seconds if before else None)))
        if session.connection is None:
            state.lost = True
        elif self._is_due(state, pool):
            try:
                with translated():
                    state.sizing = await self._decide(state, pool, spec, session.connection)
            except ConfigurationError as error:
                session = replace(session, sizing_fault=error.message)
            except CampaignPoolError as error:
                session = replace(session, fault=session.fault or Fault.of(error))
        return _sized(session, spec, state.sizing)

    def wait(self, session: Session) -> float | None:
        """Return the seconds until the next decision; None if none is to be made."""
        if session.spec is None or session.spec.sizing.mode == "Off":
            return None
        state = self._states.get(session.pool.key)
        if state is not None and state.learning is not None:
            return _LEAST_WAIT
        tick = TICK if session.spec.sizing.mode == "Auto" else RECOMMEND_SECONDS
        return max(_LEAST_WAIT, tick / self._speed)

    def measure(self, observed: Observed, todo: Plan) -> None:
        """Measure the lead time by the Jobs that were created, and by the runs that ended."""
        state, ledger, spec = self._states.get(observed.pool.key), observed.ledger, observed.spec
        if state is None or ledger is None or spec is None or observed.fault is not None:
            return
        now = observed.database_now or observed.now
        active = {job.name for job in observed.jobs if job.active}
        waits = spec.images.required_for_ready and spec.images.copies
        if not (waits and ledger.totals.imaging):
            runs = {run.job: run for run in ledger.runs}
            state.leads.arrive(runs, active, imaging_until=now if waits else None)
        created = [action for action in todo.actions if isinstance(action, CreateJob)]
        if created:
            names = (seeding.job_name(observed.pool.name, action.number) for action in created)
            state.leads.order(names, now, active)

    def _is_due(self, state: _State, pool: Pool) -> bool:
        if state.decided_at is None or state.decided_for != pool.generation or state.lost:
            return True
        if state.learning is not None:
            return state.learning.done()
        return self._clock() - state.decided_at >= BUSY_SECONDS / self._speed

    async def _decide(
        self, state: _State, pool: Pool, spec: CampaignPoolSpec, connection: Connection
    ) -> Sizing | None:
        """Read the demand, and return what it needs; what was known before while it is being learned."""
        at = await pools.clock(connection)
        now = float(floor(self._at(at.timestamp())))
        events = self._events(state, spec, at)
        await demand.look(connection, pool.key, lost=state.lost, lead_seconds=state.leads.measured)
        state.lost = False
        lead = state.leads.seconds * self._speed
        setting = Setting(spec.sizing.share, spec.sizing.time_zone, lead, spec.max_concurrent)
        await self._learn(state, pool, setting, now, connection)
        state.decided_at, state.decided_for = self._clock(), pool.generation
        learned = state.learned
        if learned is None:
            return state.sizing
        since = floor(now / REREAD_SECONDS - 1) * REREAD_SECONDS
        gaps = await self._gaps(pool, connection)
        learned.update(since, await self._read(pool, since, connection, fine=True), gaps)
        sizer = learned.sizer
        sizer.target = _target(spec, events)
        if spec.sizing.mode != "Auto":
            sizer.serving_since = float("inf")
        elif sizer.serving_since in (None, float("inf")):
            applied_since = _applied_since(pool.status)
            sizer.serving_since = now if applied_since is None else min(now, self._at(applied_since))
        decision = sizer.decide(now)
        keep = _kept(state, pool.status, decision, now, spec.sizing.behavior.scale_down.stabilization_window_seconds)
        return self._found(learned, decision, keep, spec, now, state.leads.seconds)

    def _found(
        self, learned: Learned, decision: Decision, keep: int, spec: CampaignPoolSpec, now: float, lead: float
    ) -> Sizing:
        sizer, history = learned.sizer, learned.history
        # A size that was not found from demand promises nothing yet.
        missed = None if decision.basis == "Fixed" else sizer.expected_misses()
        peak: Peak = sizer.peak(now)
        return Sizing(
            recommended=decision.size,
            applied=decision.size if spec.sizing.mode == "Auto" else None,
            keep=keep,
            limited_by=decision.limited_by,
            basis=decision.basis,
            lead_seconds=lead,
            day=(history.count(now - DAY, now), sizer.counted_misses(now - DAY, now)),
            week=(history.count(now - 7 * DAY, now), sizer.counted_misses(now - 7 * DAY, now)),
            expected=None if missed is None else 1.0 - missed,
            peak=(self._moment(peak.at), peak.size) if peak.size > decision.size else None,
        )

    async def _learn(self, state: _State, pool: Pool, setting: Setting, now: float, connection: Connection) -> None:
        """Build the sizer where there is none, or one for something else, or one of yesterday."""
        if state.learning is not None and state.learning.done():
            state.learned, state.learning = state.learning.result(), None
        learned = state.learned
        if state.learning is not None or (
            learned is not None and learned.setting.fits(setting) and now - learned.at < DAY
        ):
            return
        since = now - HISTORY_DAYS * DAY
        rows = await self._read(pool, since, connection)
        gaps = await self._gaps(pool, connection)
        if sum(row.claims for row in rows) <= LEARNED_AT_ONCE:
            state.learned = learn(rows, gaps, setting, now)
        else:
            state.learning = asyncio.create_task(
                self._learn_apart(rows, gaps, setting, now), name=f"learn {pool.key}"
            )

    async def _learn_apart(
        self, rows: list[demand.Demand], gaps: list[tuple[float, float]], setting: Setting, now: float
    ) -> Learned:
        """Learn in a thread, one pool at a time, so that the loops of others go on."""
        async with self._learners:
            return await asyncio.to_thread(learn, rows, gaps, setting, now)

    async def _read(
        self, pool: Pool, since: float, connection: Connection, *, fine: bool = False
    ) -> list[demand.Demand]:
        """Return the demand from `since` on, by the second if `fine`; all times are those of sizing."""
        rows = await demand.read(connection, pool.key, self._moment(since), scale=1 / self._speed, fine=fine)
        return [demand.Demand(max(since, self._at(row.start)), row.seconds * self._speed, *row[2:]) for row in rows]

    async def _gaps(self, pool: Pool, connection: Connection) -> list[tuple[float, float]]:
        return [(self._at(since), self._at(until)) for since, until in await demand.gaps(connection, pool.key)]

    def _events(self, state: _State, spec: CampaignPoolSpec, at: datetime) -> tuple[Event, ...]:
        """Return the known events, which are looked up once a quarter of an hour."""
        asked: tuple[object, ...] = (spec.sizing.time_zone, *spec.sizing.schedules)
        seconds = at.timestamp()
        if state.events is None or state.events[1] != asked or seconds - state.events[0] >= _EVENTS_SECONDS:
            state.events = (seconds, asked, events_of(spec.sizing, at))
        return tuple(Event(self._at(event.start), self._at(event.end), event.size) for event in state.events[2])

    def _at(self, seconds: float) -> float:
        """Return a time as sizing takes it: the same, unless its clock runs faster."""
        return self._started + (seconds - self._started) * self._speed

    def _moment(self, at: float) -> datetime:
        return datetime.fromtimestamp(self._started + (at - self._started) / self._speed, UTC)


def _sized(session: Session, spec: CampaignPoolSpec, sizing: Sizing | None) -> Session:
    """Return the session with the spec's size replaced where sizing applies one, or did before it was restarted."""
    before = session.pool.status.sizing
    applied = sizing.applied if sizing is not None else before.applied if before is not None else None
    if spec.sizing.mode == "Auto" and applied is not None:
        spec = spec.model_copy(update={"size": applied})
    return replace(session, spec=spec, sizing=sizing)


def _target(spec: CampaignPoolSpec, events: tuple[Event, ...]) -> Target:
    """Return what to reach: the largest size is what the owners leave of `maxSize`, if that is less."""
    left = max(0, spec.max_size - sum(owner.size for owner in spec.owners))
    largest = left if spec.sizing.max_size is None else min(left, spec.sizing.max_size)
    smallest = min(spec.sizing.min_size, largest)
    return Target(spec.sizing.share, smallest, largest, events, first_size=spec.size)


def _applied_since(status: CampaignPoolStatus) -> float | None:
    """Return since when the pool has the sizes that sizing decided, as the status says."""
    for condition in status.conditions:
        if condition.type == "SizingActive" and condition.status == "True":
            return datetime.fromisoformat(condition.last_transition_time).timestamp()
    return None


def _kept(state: _State, status: CampaignPoolStatus, decision: Decision, now: float, window: float) -> int:
    """Return the largest size of the scale-down window: ready campaigns beyond it are retired."""
    if not state.sizes and status.sizing is not None and status.sizing.applied is not None:
        state.sizes.append((now, status.sizing.applied))
    state.sizes.append((now, decision.size))
    while state.sizes[0][0] < now - window:
        state.sizes.popleft()
    return max(size for _, size in state.sizes)
