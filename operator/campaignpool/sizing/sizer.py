"""Decide how many campaigns to keep ready, so that a share of claims is served from the pool."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import Literal

from campaignpool.sizing.calibration import DAYS, DECAY, KNOWN_WEEKS, Calibration
from campaignpool.sizing.distribution import economical_size, exceedance
from campaignpool.sizing.forecast import SLOT, Forecast, Forecaster
from campaignpool.sizing.history import DAY, WEEK, History

# The price aims at so few misses that the allowed ones are this many standard deviations more, and at least at this
# share of the allowed.
DEVIATIONS, LEAST_SHARE = 1.0, 0.125
# How many misses come at once before any came, and how many misses this counts as.
FIRST_BURST, BURST_FIRMNESS = 2.0, 4.0
# How firmly the calibration is trusted against the misses that came, in misses, and the bounds of its correction.
FIRMNESS, LEAST_CORRECTION, MOST_CORRECTION = 3.0, 0.67, 4.0
# The price is adjusted this often, in seconds.
PRICE_INTERVAL = 21_600.0
# Seconds between two decisions when nobody claims.
TICK = 60.0
# Excess that counts as a basis of its own, as a share of the forecast.
MOSTLY = 0.5

Basis = Literal["Fixed", "Recent", "Blend", "Schedule"]
Limit = Literal["MinSize", "MaxSize"]


@dataclass(frozen=True, slots=True)
class Event:
    """A known event: at least `size` campaigns in [start, end), seconds since 1970."""

    start: float
    end: float
    size: int


@dataclass(frozen=True, slots=True)
class Target:
    """What a pool is sized for.

    Attributes:
        availability: share of claims served from the pool, in (0, 1).
        min_size, max_size: bounds of the size.
        events: known events, which raise the minimum.
        first_size: least size until there is a day of history.
    """

    availability: float
    min_size: int = 1
    max_size: int = 1_000_000
    events: tuple[Event, ...] = ()
    first_size: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """A size, and where it comes from.

    Attributes:
        size: campaigns to keep ready or on their way.
        wanted: the size without `min_size` and `max_size`.
        basis: Fixed if there is less than a day of history, Recent if most of the forecast is of the last minutes,
            Schedule if an event decided.
        limited_by: the bound that changed the size.
        forecast: the claims of the next lead time.
    """

    size: int
    wanted: int
    basis: Basis
    limited_by: Limit | None
    forecast: Forecast

    @property
    def miss_probability(self) -> float:
        """Return the probability that a claim finds this size used up, by the forecast alone."""
        return exceedance(self.forecast.mean, self.forecast.shape, self.size)


@dataclass(frozen=True, slots=True)
class Peak:
    """The largest size that the coming day is expected to need, and when, in seconds since 1970."""

    at: float
    size: int


class Sizer:
    """Sizes one pool. The caller names the time; the sizer reads only claims before it.

    Args:
        history: the claims.
        target: what to reach.
        lead: seconds that a refill takes, from the start of its Job to ready campaigns.
        jobs: refills at once.

    Attributes:
        target, lead: as above; they may change between decisions.
        serving_since: since when the pool has the decided sizes, by default since the first decision; infinity if it
            has not. Misses from then on correct the price.
    """

    def __init__(self, history: History, target: Target, lead: float, jobs: int = 2) -> None:
        self.target = target
        self.lead = lead
        self.serving_since: float | None = None
        self._history = history
        self._jobs = jobs
        self._forecaster = Forecaster(history)
        self._calibration = Calibration(history, jobs)
        self._misses: deque[float] = deque()
        self._replayed: deque[float] = deque()
        self._since: float | None = None
        self._correction = 1.0
        self._priced: deque[tuple[float, float]] = deque()
        self._peak: tuple[tuple[object, ...], Peak] | None = None
        self.price = 2.0 * (1.0 - target.availability)

    def learn(self, since: float, until: float, *, step: float = 60.0) -> None:
        """Replay the forecasts of a past period, so that the first decision is calibrated."""
        moment = since
        while moment < until:
            if self._history.count(moment, moment + step + 2 * self.lead):
                self._forecast(moment)
            moment += step

    def missed(self, moments: Iterable[float]) -> None:
        """Record claims that met an empty pool, in the order of their time."""
        self._misses.extend(moments)

    def replace_missed(self, since: float, moments: Iterable[float]) -> None:
        """Replace those from `since` on."""
        while self._misses and self._misses[-1] >= since:
            self._misses.pop()
        self.missed(moments)

    def counted_misses(self, since: float, until: float) -> int:
        """Return how many recorded claims met an empty pool in [since, until)."""
        return sum(since <= moment < until for moment in self._misses)

    def decide(self, now: float) -> Decision:
        """Return the size for `now`."""
        if self.serving_since is None:
            self.serving_since = now
        forecast = self._forecast(now)
        wanted = economical_size(forecast.mean, forecast.shape, self.price)
        basis: Basis = "Recent" if forecast.excess > MOSTLY * forecast.mean else "Blend"
        if now - self._history.start < DAY:
            wanted, basis = max(wanted, self.target.first_size), "Fixed"
        planned = [event.size for event in self.target.events if event.start - self._notice() <= now < event.end]
        if (floor := max(planned, default=0)) > wanted:
            wanted, basis = floor, "Schedule"
        size = self._bounded(wanted)
        limited: Limit | None = None if size == wanted else "MaxSize" if size < wanted else "MinSize"
        return Decision(size, wanted, basis, limited, forecast)

    def expected_misses(self) -> float | None:
        """Return the share of claims that will meet an empty pool at the current price, by the recent weeks."""
        misses = self._calibration.misses(self.price)
        return None if misses is None else misses * self._correction

    def peak(self, now: float) -> Peak:
        """Return the largest size of the coming 24 hours, by season and level; it is computed once a quarter."""
        asked = (int(now // SLOT), self.price, self.target, self.lead)
        if self._peak is not None and self._peak[0] == asked:
            return self._peak[1]
        slots = [(now // SLOT + 1 + number) * SLOT for number in range(int(DAY // SLOT))]
        peak = Peak(now, self.target.min_size)
        for slot, forecast in zip(slots, self._forecaster.expect(now, slots, self.lead), strict=True):
            size = economical_size(forecast.mean, forecast.shape, self.price)
            planned = [event.size for event in self.target.events if event.start < slot + SLOT and slot < event.end]
            size = self._bounded(max([size, *planned]))
            if size > peak.size:
                peak = Peak(slot, size)
        self._peak = asked, peak
        return peak

    def _bounded(self, size: int) -> int:
        return min(max(size, self.target.min_size), self.target.max_size)

    def _notice(self) -> float:
        """Return how long before an event its size is wanted: a decision, the wait for a Job, and its run."""
        return TICK + self.lead * (1 + 1 / self._jobs)

    def _forecast(self, now: float) -> Forecast:
        """Return the forecast for `now`, and learn from the claims since the last one."""
        if not self._priced or now - self._priced[-1][0] >= PRICE_INTERVAL:
            misses = self._recent_misses(now)
            self._correction = self._counted_over_promised(now, misses)
            promised = self._aim(now, misses) / max(1.0, self._correction)
            self.price = self._calibration.price(promised)
            self._priced.append((now, promised))
        if self._since is None:
            self._since = now
        forecast = self._forecaster.forecast(now, self.lead, self._jobs)
        self._replayed.extend(self._calibration.observe(now, forecast, self.lead, self.price))
        return forecast

    def _recent_misses(self, now: float) -> Sequence[float]:
        """Return when claims of the last days met an empty pool.

        While the pool has other sizes than the decided ones, they are those that a replay of the decisions has.
        """
        misses = self._replayed if self.serving_since in (None, float("inf")) else self._misses
        while misses and misses[0] < now - DAYS * DAY:
            misses.popleft()
        return misses

    def _aim(self, now: float, misses: Sequence[float]) -> float:
        """Return the share of misses to aim at.

        Misses that come k at a time have a variance of k times their number. So the number aimed at solves
        aimed + DEVIATIONS * sqrt(k * aimed) = allowed: the fewer are allowed, the more of them are left to chance.
        """
        tolerated = 1.0 - self.target.availability
        allowed = tolerated * self._history.count(now - DAYS * DAY, now)
        bursts = _bursts(misses, self.lead)
        at_once = (sum(burst**2 for burst in bursts) + FIRST_BURST * BURST_FIRMNESS) / (sum(bursts) + BURST_FIRMNESS)
        deviation = DEVIATIONS * sqrt(at_once) / 2
        aimed = (sqrt(deviation**2 + allowed) - deviation) ** 2
        return tolerated * max(LEAST_SHARE, aimed / allowed if allowed else 0.0)

    def _counted_over_promised(self, now: float, misses: Sequence[float]) -> float:
        """Return how many misses came for each that the calibration promised; near 1 while there are few.

        What a share of past claims cost is too low a price for the next ones where demand changes.
        """
        # As in the calibration, decisions of the first weeks say nothing of those that know more.
        start = self._history.start
        since = max(self._since or now, start + KNOWN_WEEKS * min(4 * WEEK, now - start))
        if self.serving_since not in (None, float("inf")):
            since = self.serving_since or now
        while self._priced and self._priced[0][0] < now - DAYS * DAY:
            self._priced.popleft()
        promised: float = sum(
            share * self._history.count(max(at, since), max(until, since)) * float(DECAY) ** ((now - until) / DAY)
            for (at, share), (until, _) in pairwise((*self._priced, (now, 0.0)))
        )
        counted: float = sum(float(DECAY) ** ((now - moment) / DAY) for moment in misses if moment >= since)
        ratio: float = (counted + FIRMNESS) / (promised + FIRMNESS)
        return min(MOST_CORRECTION, max(LEAST_CORRECTION, ratio))


def _bursts(moments: Iterable[float], lead: float) -> list[int]:
    """Return how many of the moments came at once: each within one lead time of the one before."""
    sizes: list[int] = []
    before = float("-inf")
    for moment in moments:
        if moment - before > lead:
            sizes.append(0)
        sizes[-1] += 1
        before = moment
    return sizes
