"""What is counted of one pool, for as long as this replica leads. Counters begin at zero, as Prometheus expects.

A histogram appears with its first value: an idle pool has few series.
"""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from typing import TypeAlias, get_args

from campaignpool.api.status import CampaignPoolStatus, RolloutStatus
from campaignpool.ledger.activity import Activity
from campaignpool.ledger.images import SECONDS, Finished, ImageTotals
from campaignpool.ledger.pools import Ledger
from campaignpool.ledger.seeding import Run
from campaignpool_operator.runtime import families
from campaignpool_operator.runtime.families import Family

SOURCES = ("owner", "master", "clone")
OUTCOMES = ("Succeeded", "Failed")
COMPONENTS = ("seeder", "images")
PHASES = get_args(RolloutStatus.model_fields["phase"].annotation)


@dataclass(frozen=True)
class Look:
    """What one loop found out about a pool.

    Attributes:
        at: By the database's clock.
        status: As it is written.
        maximum: Most unclaimed campaigns.
        ledger: None where a fault hides it; then the last figures stay.
        activity: What happened since the last look; None as with `ledger`.
        jobs: Jobs that have not ended, by component.
        images_finished: Campaigns whose images ended since the status last said so.
    """

    at: datetime
    status: CampaignPoolStatus
    maximum: int | None = None
    ledger: Ledger | None = None
    activity: Activity | None = None
    jobs: Mapping[str, int] = field(default_factory=dict)
    images_finished: tuple[Finished, ...] = ()


class Buckets:
    """A histogram.

    Args:
        bounds: Upper bounds of its buckets, without infinity.
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add(self, counts: tuple[int, ...], total: float) -> None:
        """Count values whose buckets are known."""
        self._counts = [before + more for before, more in zip(self._counts, counts, strict=True)]
        self._sum += total

    def exposed(self) -> "Histogram":
        """Return the cumulative counts by upper bound, and the sum."""
        bounds = [*map(str, map(float, self._bounds)), "+Inf"]
        return list(zip(bounds, accumulate(self._counts), strict=True)), self._sum


Histogram: TypeAlias = tuple[list[tuple[str, int]], float]
Summary: TypeAlias = tuple[int, float]
Sample: TypeAlias = tuple[Family, tuple[str, ...], float | Histogram | Summary]


class Refill:
    """Follows one claim at a time, from when it was made until the stock that was lacking after it is made again.

    Args:
        since: Earlier claims are not followed.
    """

    def __init__(self, since: datetime) -> None:
        self._seen = since
        self._claimed_at: datetime | None = None
        self._target = 0

    def step(self, made: int, lacking: int, claimed_at: datetime | None, made_at: datetime) -> float | None:
        """Return the seconds that a refill took, where one has ended.

        Args:
            made: Campaigns that became ready so far.
            lacking: Campaigns that are wanted and not ready.
            claimed_at: When the latest claim was made.
            made_at: When the last of `made` became ready.
        """
        seconds = None
        if self._claimed_at is not None and made >= self._target:
            seconds = max(0.0, (made_at - self._claimed_at).total_seconds())
            self._claimed_at = None
        if lacking <= 0:
            self._claimed_at = None  # what was lacking is not wanted any more
        if claimed_at is not None and claimed_at > self._seen and self._claimed_at is None:
            self._seen = claimed_at
            if lacking > 0:
                self._claimed_at, self._target = claimed_at, made + lacking
        return seconds


class Figures:
    """The figures of one pool."""

    def __init__(self) -> None:
        self.activity: Activity | None = None
        """The last look at the pool's activity."""
        self.version = 0
        """Changes with what `samples` yields."""
        self._look: Look | None = None
        self._clock: tuple[datetime, float] | None = None
        self._ledger = Ledger()
        self._images: ImageTotals | None = None
        self._images_until: datetime | None = None
        self._jobs: Mapping[str, int] = {}
        self._runs: dict[str, Run] | None = None
        self._refill: Refill | None = None
        self._counters: Counter[tuple[Family, str]] = Counter()
        self._histograms: dict[tuple[Family, str], Buckets] = {}

    def take(self, look: Look) -> None:
        """Take over what a loop found out."""
        self._look = look
        self.version += 1
        if look.ledger is None:
            return
        self._clock = look.at, time.monotonic()
        self._ledger, self._jobs = look.ledger, look.jobs
        if look.status.images is not None or self._images is not None:
            self._images = look.ledger.images
        self._take_images(look)
        made_at = self._take_runs(look.ledger.runs)
        if look.activity is not None:
            self._take_activity(look.activity)
            self._take_refill(look, look.activity, made_at or look.at)

    def job_created(self, component: str) -> None:
        """Count a Job."""
        self._counters[families.JOBS_CREATED, component] += 1
        self.version += 1

    def _take_runs(self, runs: tuple[Run, ...]) -> datetime | None:
        """Count what runs made since the last look; return when the last campaign was made, if any was."""
        made_at: list[datetime] = []
        if self._runs is not None:
            for run in runs:
                before = self._runs.get(run.job)
                new = max(0, run.campaigns - (before.campaigns if before else 0))
                self._counters[families.SEEDED, ""] += new
                made_at += [run.made_at] if new and run.made_at else []
        ended = [run for run in runs if run.outcome is not None and self._is_new(run)]
        for run in ended:
            self._counters[families.RUNS, run.outcome or ""] += 1
            if run.campaigns:
                self._observe(families.SEED_DURATION, run.seconds)
        self._runs = {run.job: run for run in runs}
        return max(made_at, default=None)

    def _is_new(self, run: Run) -> bool:
        """Return whether a run had not ended by the last look; those of the first look ended before it."""
        if self._runs is None:
            return False
        before = self._runs.get(run.job)
        return before is None or before.outcome is None

    def _take_activity(self, activity: Activity) -> None:
        for source, durations in activity.claims.items():
            self._counters[families.CLAIMS, source] += sum(durations.buckets)
            self._histogram(families.CLAIM_DURATION, source).add(durations.buckets, durations.seconds)
        self._counters[families.MISSES, "cloned"] = self._counters[families.CLAIMS, "clone"]
        if self.activity is not None:
            before = self.activity.misses if self.activity.misses <= activity.misses else 0
            self._counters[families.MISSES, "unserved"] += activity.misses - before
        self.activity = activity

    def _take_refill(self, look: Look, activity: Activity, made_at: datetime) -> None:
        if self._refill is None:
            self._refill = Refill(look.at)
        became_ready = self._counters[families.SEEDED, ""] - self._ledger.totals.imaging
        lacking = look.status.desired - look.status.ready
        seconds = self._refill.step(became_ready, lacking, activity.last_claim_at, made_at)
        if seconds is not None:
            self._observe(families.REFILL, seconds)

    def _take_images(self, look: Look) -> None:
        until = self._images_until or look.at
        for finished in look.images_finished:
            if finished.finished_at > until:
                seconds = (finished.finished_at - finished.queued_at).total_seconds()
                self._observe(families.IMAGES_DURATION, max(0.0, seconds))
        self._images_until = max([until, *(finished.finished_at for finished in look.images_finished)])

    def _histogram(self, family: Family, label: str = "") -> Buckets:
        return self._histograms.setdefault((family, label), Buckets(family.buckets))

    def _observe(self, family: Family, value: float) -> None:
        self._histogram(family).observe(value)

    def samples(self) -> Iterator[Sample]:
        """Yield what is to be shown until the next change: metric, the labels that follow the pool's, value."""
        if self._look is None:
            return
        yield from self._gauges(self._look)
        for source in SOURCES:
            yield families.CLAIMS, (source,), self._counters[families.CLAIMS, source]
        for outcome in ("cloned", "unserved"):
            yield families.MISSES, (outcome,), self._counters[families.MISSES, outcome]
        for outcome in OUTCOMES:
            yield families.RUNS, (outcome,), self._counters[families.RUNS, outcome]
        for component in COMPONENTS:
            yield families.JOBS_CREATED, (component,), self._counters[families.JOBS_CREATED, component]
        yield families.SEEDED, (), self._counters[families.SEEDED, ""]
        for (family, label), buckets in self._histograms.items():
            yield family, (label,) if label else (), buckets.exposed()
        if self._images is not None:
            yield from self._image_samples(self._images)

    def ages(self) -> Iterator[Sample]:
        """Yield what is to be shown now and is greater a moment later."""
        if self._clock is not None:
            totals = self._ledger.totals
            if totals.oldest_ready_at is not None:
                yield families.OLDEST_READY, (), self._age(totals.oldest_ready_at)
            yield families.SEEDING_AGE, (), self._age(totals.oldest_reserved_at)
        if self._images is not None:
            yield families.IMAGES_AGE, (), self._age(self._images.oldest_queued_at)

    def _gauges(self, look: Look) -> Iterator[Sample]:
        status, totals = look.status, self._ledger.totals
        states = {
            "ready": status.ready,
            "seeding": status.seeding,
            "retiring": totals.retiring,
            "failed": status.failed,
        }
        for state, count in states.items():
            yield families.CAMPAIGNS, (state,), count
        yield families.DESIRED, (), status.desired
        if look.maximum is not None:
            yield families.MAXIMUM, (), look.maximum
        yield families.STALE, (), status.stale
        if status.rollout is not None:
            yield families.REVISION, (), status.rollout.revision
            for phase in PHASES:
                yield families.ROLLOUT, (phase,), status.rollout.phase == phase
        yield families.HELD, (), totals.held
        for condition in status.conditions:
            yield families.CONDITION, (condition.type, condition.reason), condition.status == "True"
        for component in COMPONENTS:
            yield families.JOBS, (component,), self._jobs.get(component, 0)

    def _image_samples(self, images: ImageTotals) -> Iterator[Sample]:
        for state, count in {"pending": images.pending, "copied": images.copied, "failed": images.failed}.items():
            yield families.IMAGES, (state,), count
        for account in images.accounts:
            for outcome, count in account.calls.items():
                yield families.IMAGE_CALLS, (account.name, outcome), count
            if SECONDS in account.attempts:
                calls = sum(account.calls.values()), account.attempts[SECONDS]
                yield families.IMAGE_CALL_DURATION, (account.name,), calls

    def _age(self, since: datetime | None) -> float:
        """Return the seconds since a time of the database; 0 for none."""
        if since is None or self._clock is None:
            return 0.0
        at, clock = self._clock
        return max(0.0, (at - since).total_seconds() + time.monotonic() - clock)
