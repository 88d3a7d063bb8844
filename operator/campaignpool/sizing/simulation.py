"""Replay demand against a policy: stock, Jobs, misses."""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from campaignpool.sizing.sizer import TICK

Policy = Callable[[float], int]
"""The number of campaigns to keep at a moment, in seconds since 1970, from the claims before it."""

OnEmpty = Literal["Clone", "Wait", "Fail"]
# A decision at a claim sees that claim.
_JUST_AFTER = 1e-6


@dataclass(frozen=True, slots=True)
class Refills:
    """How a pool is refilled.

    Attributes:
        lead: seconds that a Job takes, from its start to ready campaigns.
        jobs: Jobs at once. Each makes what is lacking when it starts.
        stabilization: seconds that a surplus lasts before it is retired.
        on_empty: what becomes of a claim that meets an empty pool. With Wait it takes the next ready campaign.
    """

    lead: float
    jobs: int = 2
    stabilization: float = 300.0
    on_empty: OnEmpty = "Clone"


@dataclass(slots=True)
class Replay:
    """What a policy did with a demand.

    Attributes:
        claims, misses: numbers of claims, and of those that met an empty pool.
        idle: mean number of ready campaigns.
        created, retired: campaigns that Jobs created, and that were deleted unclaimed.
        missed_at: when a claim met an empty pool, seconds since 1970.
        stock: (moment, ready, size) at each decision between claims.
    """

    claims: int = 0
    misses: int = 0
    idle: float = 0.0
    created: int = 0
    retired: int = 0
    missed_at: list[float] = field(default_factory=list)
    stock: list[tuple[float, int, int]] = field(default_factory=list)

    @property
    def hit_rate(self) -> float:
        """Return the share of claims that were served from the pool."""
        return 1.0 - self.misses / self.claims if self.claims else 1.0


class _Pool:
    """The state of one replay. The pool is full at the start."""

    def __init__(self, refills: Refills, size: int, now: float) -> None:
        self.result = Replay()
        self.size = self.ready = size
        self.running: deque[tuple[float, int]] = deque()
        self._refills = refills
        self._coming = 0
        self._backlog = 0
        self._surplus_since: float | None = None
        self._area = 0.0
        self._last = now

    def pass_time(self, now: float) -> None:
        self._area += self.ready * (now - self._last)
        self._last = now

    def claim(self, now: float) -> bool:
        """Serve a claim, and return whether the pool had a campaign for it."""
        self.result.claims += 1
        if self.ready:
            self.ready -= 1
            return True
        self.result.misses += 1
        self.result.missed_at.append(now)
        if self._refills.on_empty == "Wait":
            self._backlog += 1
        return False

    def end_job(self) -> None:
        _, number = self.running.popleft()
        self._coming -= number
        served = min(number, self._backlog)
        self._backlog -= served
        self.ready += number - served

    def refill(self, now: float) -> None:
        """Start a Job for what is lacking, or retire a surplus that has lasted."""
        lacking = self.size + self._backlog - self.ready - self._coming
        if lacking > 0:
            self._surplus_since = None
            if len(self.running) < self._refills.jobs:
                self.running.append((now + self._refills.lead, lacking))
                self._coming += lacking
                self.result.created += lacking
        elif lacking == 0:
            self._surplus_since = None
        elif self._surplus_since is None:
            self._surplus_since = now
        elif now - self._surplus_since >= self._refills.stabilization and self.ready:
            number = min(-lacking, self.ready)
            self.ready -= number
            self.result.retired += number

    def finish(self, since: float, until: float) -> Replay:
        self.pass_time(until)
        self.result.idle = self._area / (until - since)
        return self.result


def replay(
    times: Sequence[float],
    policy: Policy,
    refills: Refills,
    *,
    since: float,
    until: float,
    missed: Callable[[float], None] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Replay:
    """Return what happens to the claims at `times` in [since, until).

    Args:
        times: when claims come, sorted.
        policy: asked after each claim, and each minute.
        refills: how the pool is refilled.
        since: the start, in seconds since 1970.
        until: the end.
        missed: called with the moment of each claim that met an empty pool.
        progress: called with the moment, once for each simulated day.
    """
    pool = _Pool(refills, policy(since), since)
    index, number = bisect_left(times, since), len(times)
    tick, ticks = since + TICK, 0
    running = pool.running
    while True:
        claim_at = times[index] if index < number else until
        job_at = running[0][0] if running else until
        now = min(claim_at, job_at, tick)
        if now >= until:
            return pool.finish(since, until)
        pool.pass_time(now)
        if job_at <= now:
            pool.end_job()
        elif claim_at <= now:
            index += 1
            if not pool.claim(now) and missed:
                missed(now)
            pool.size = policy(now + _JUST_AFTER)
        else:
            tick += TICK
            ticks += 1
            pool.size = policy(now)
            pool.result.stock.append((now, pool.ready, pool.size))
            if progress and ticks % 1440 == 0:
                progress(now)
        pool.refill(now)


def replay_fixed(times: Sequence[float], size: int, refills: Refills, *, since: float, until: float) -> Replay:
    """Return what `replay` does with a size that never changes, without asking for it."""
    pool = _Pool(refills, size, since)
    running = pool.running
    for claim_at in times[bisect_left(times, since) : bisect_left(times, until)]:
        while running and running[0][0] <= claim_at:
            now = running[0][0]
            pool.pass_time(now)
            pool.end_job()
            pool.refill(now)
        pool.pass_time(claim_at)
        pool.claim(claim_at)
        pool.refill(claim_at)
    while running and running[0][0] < until:
        now = running[0][0]
        pool.pass_time(now)
        pool.end_job()
        pool.refill(now)
    return pool.finish(since, until)


def outstanding(times: Sequence[float], refills: Refills, *, since: float, until: float) -> dict[int, int]:
    """Return how many claims found how many claims before them not yet replaced, if every claim is replaced.

    A fixed size of S serves those that found fewer than S, but for the misses themselves, which need no replacement.
    """
    counts: dict[int, int] = {}
    running: deque[tuple[float, int]] = deque()
    pending = waiting = 0
    for now in times[bisect_left(times, since) : bisect_left(times, until)]:
        while running and running[0][0] <= now:
            ended, number = running.popleft()
            pending -= number
            if waiting:
                running.append((ended + refills.lead, waiting))
                waiting = 0
        counts[pending] = counts.get(pending, 0) + 1
        pending += 1
        waiting += 1
        if len(running) < refills.jobs:
            running.append((now + refills.lead, waiting))
            waiting = 0
    return counts


def best_fixed(
    times: Sequence[float], availability: float, refills: Refills, *, since: float, until: float
) -> tuple[int, Replay]:
    """Return the smallest fixed size that in hindsight serves this share of claims, and its replay."""
    counts = outstanding(times, refills, since=since, until=until)
    allowed = (1.0 - availability) * sum(counts.values())
    size, missing = max(counts, default=0) + 1, 0
    while size > 1 and missing + counts.get(size - 1, 0) <= allowed:
        missing += counts.get(size - 1, 0)
        size -= 1
    result = replay_fixed(times, size, refills, since=since, until=until)
    while size > 1:
        smaller = replay_fixed(times, size - 1, refills, since=since, until=until)
        if smaller.hit_rate < availability:
            break
        size, result = size - 1, smaller
    while result.hit_rate < availability:
        size += 1
        result = replay_fixed(times, size, refills, since=since, until=until)
    return size, result
