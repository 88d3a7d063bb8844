"""The lead time of a pool, measured: from the decision to refill to ready campaigns, while no other refill runs."""

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from math import ceil

from campaignpool.ledger.seeding import Run

FIRST_SECONDS = 30.0
"""The lead time until a refill was measured."""

_SAMPLES = 100
_SHARE = 0.9
_LEAST_SECONDS = 0.05


class LeadTimes:
    """Refills of the master pool that were ordered while no other ran, and how long they took.

    A refill that waits for another takes longer, and would raise the size that causes the waiting. All times are by
    the database's clock.

    Args:
        seconds: What was measured before; it holds until there are samples.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._before = seconds or FIRST_SECONDS
        self._ordered: dict[str, datetime] = {}
        self._samples: deque[float] = deque(maxlen=_SAMPLES)

    @property
    def seconds(self) -> float:
        """The lead time that nine of ten refills do not exceed."""
        return self._before if self.measured is None else self.measured

    @property
    def measured(self) -> float | None:
        """The same, of the refills since the start; None if there was none."""
        return sorted(self._samples)[ceil(_SHARE * len(self._samples)) - 1] if self._samples else None

    def order(self, jobs: Iterable[str], at: datetime, running: Collection[str]) -> None:
        """Record that Jobs were created, unless others run."""
        names = list(jobs)
        if len(names) == 1 and not running:
            self._ordered[names[0]] = at

    def arrive(self, runs: Mapping[str, Run], active: Collection[str], *, imaging_until: datetime | None) -> None:
        """Measure the refills that are made; those that failed, or were tried twice, say nothing.

        Args:
            runs: The latest runs, by Job.
            active: Names of Jobs that have not ended.
            imaging_until: Now, if campaigns are ready only with their images; None: they are ready with their run.
        """
        for name, at in list(self._ordered.items()):
            run = runs.get(name)
            if run is None or (run.outcome is None and (run.made_at is None or run.reserved)):
                if run is None and name not in active:
                    del self._ordered[name]
                continue
            del self._ordered[name]
            ended = imaging_until or run.made_at
            if run.outcome != "Failed" and run.attempts == 1 and ended is not None:
                self._samples.append(max(_LEAST_SECONDS, (ended - at).total_seconds()))
