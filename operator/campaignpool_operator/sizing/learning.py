"""A sizer that knows the demand: built from the whole history, then brought up to date."""

from collections.abc import Sequence
from dataclasses import dataclass

from campaignpool.ledger.demand import Demand
from campaignpool.sizing.history import DAY, History
from campaignpool.sizing.sizer import Sizer, Target

HISTORY_DAYS = 30
"""How much demand is read: four weeks, and what the first of them is compared with."""

LEARNED_DAYS = 21
"""How many days of past forecasts are replayed, so that the first decision is calibrated."""


@dataclass(frozen=True)
class Setting:
    """What a sizer is built for; with another one it has to learn again.

    Attributes:
        availability: Share of claims to serve.
        zone: Name of the local clock's time zone.
        lead: Seconds that a refill takes.
        jobs: Refills at once.
    """

    availability: float
    zone: str
    lead: float
    jobs: int

    def fits(self, other: "Setting") -> bool:
        """Return whether a sizer built for this one serves another: its lead time differs by a quarter at most."""
        same = (self.availability, self.zone, self.jobs) == (other.availability, other.zone, other.jobs)
        return same and 0.8 <= other.lead / self.lead <= 1.25


@dataclass(frozen=True)
class Learned:
    """A sizer, its history, and when and for what it was built."""

    sizer: Sizer
    history: History
    setting: Setting
    at: float

    def update(self, since: float, rows: Sequence[Demand], gaps: Sequence[tuple[float, float]]) -> None:
        """Replace the demand from `since` on."""
        self.history.replace(since, *_claims(rows))
        self.history.set_gaps(gaps)
        self.sizer.replace_missed(since, _misses(rows))


def learn(rows: Sequence[Demand], gaps: Sequence[tuple[float, float]], setting: Setting, now: float) -> Learned:
    """Return a sizer that has replayed the demand up to `now`; this takes a second for 50,000 claims."""
    times, counts = _claims(rows)
    history = History(times, counts, zone=setting.zone, gaps=gaps)
    sizer = Sizer(history, Target(setting.availability), setting.lead, setting.jobs)
    sizer.missed(_misses(rows))
    sizer.learn(max(history.start, now - LEARNED_DAYS * DAY) if times else now, now)
    return Learned(sizer, history, setting, now)


def _claims(rows: Sequence[Demand]) -> tuple[list[float], list[int]]:
    counted = [row for row in rows if row.claims]
    return [row.start for row in counted], [row.claims for row in counted]


def _misses(rows: Sequence[Demand]) -> list[float]:
    return [row.start for row in rows for _ in range(row.misses)]
