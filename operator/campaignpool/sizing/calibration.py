"""Correct the forecast by its own past errors: the price at which the target share of past claims was served.

A *price* is how many misses one more campaign must save in an idle lead time to be kept
(`distribution.economical_size`).
"""

from bisect import insort
from collections import deque
from dataclasses import dataclass, field
from math import log

from campaignpool.sizing.distribution import price_of
from campaignpool.sizing.forecast import Forecast
from campaignpool.sizing.history import DAY, History

# Days that the calibration looks back, and how much a day counts less than the one after it.
DAYS, DECAY = 21, 0.9
# Scores that a day keeps: the lowest. Those of served claims do not matter.
LOWEST = 150
# The price of a forecast that is right, as a multiple of the share of misses; the calibration starts from it.
FIRST_PRICE = 2.0
SMALLEST_PRICE, LARGEST_PRICE = 1e-6, 0.5
# A day counts if its forecasts knew at least this share of the weeks that are known now.
KNOWN_WEEKS = 0.6
# Hours with misses that an estimate needs, because misses come in bursts; with fewer, the tail is extrapolated.
ENOUGH = 6
# How firmly the tail is taken for that of a right forecast, in scores.
TAIL_FIRMNESS = 6.0


@dataclass(slots=True)
class _Day:
    number: int
    seasons: float
    claims: int = 0
    lowest: list[tuple[float, int]] = field(default_factory=list)


class Calibration:
    """Scores of past claims: of each claim, the price at which the pool would have served it.

    The refills are replayed with the lead time and the number of Jobs at once. A claim is served if the size exceeds
    the claims before it that are not replaced yet. The size that counts is that of the last refill that arrived,
    decided one lead time ago, or earlier while all Jobs were busy.
    """

    def __init__(self, history: History, jobs: int) -> None:
        self._history = history
        self._jobs = jobs
        self._forecasts: deque[tuple[float, Forecast]] = deque()
        self._days: deque[_Day] = deque()
        self._until: float | None = None
        self._running: deque[tuple[float, int]] = deque()
        self._waiting = 0
        self._outstanding: deque[float] = deque()

    def observe(self, now: float, forecast: Forecast, lead: float, price: float) -> list[float]:
        """Record a forecast, and score the claims since the last call.

        Return when a claim would have met an empty pool at this price; refills take `lead` seconds.
        """
        missed: list[float] = []
        since, self._until = self._until, now
        self._forecasts.append((now, forecast))
        if since is None:
            return missed
        for moment, number in self._history.between(since, now):
            self._arrive(moment, lead)
            outstanding = self._outstanding
            ordered = min(moment - lead, outstanding[0]) if outstanding else moment - lead
            while len(self._forecasts) > 1 and self._forecasts[1][0] <= ordered:
                self._forecasts.popleft()
            past_at, past = self._forecasts[0]
            for _ in range(number):
                if past_at <= moment:
                    score = price_of(past.mean, past.shape, len(outstanding) + 1)
                    self._score(moment, past.seasons, score)
                    if score < price:
                        missed.append(moment)
                outstanding.append(moment)
            self._waiting += number
            if len(self._running) < self._jobs:
                self._start(moment, lead)
        return missed

    def _start(self, moment: float, lead: float) -> None:
        self._running.append((moment + lead, self._waiting))
        self._waiting = 0

    def _arrive(self, moment: float, lead: float) -> None:
        """Replace claims by the refills that have arrived; each Job that ends makes room for the next."""
        while self._running and self._running[0][0] <= moment:
            arrived, number = self._running.popleft()
            for _ in range(number):
                self._outstanding.popleft()
            if self._waiting:
                self._start(arrived, lead)

    def _score(self, moment: float, seasons: float, score: float) -> None:
        number = int(moment // DAY)
        if not self._days or self._days[-1].number != number:
            self._days.append(_Day(number, seasons))
            while self._days[0].number <= number - DAYS:
                self._days.popleft()
        day = self._days[-1]
        day.claims += 1
        if len(day.lowest) < LOWEST or score < day.lowest[-1][0]:
            insort(day.lowest, (score, int(moment // 3600)))
            del day.lowest[LOWEST:]

    def price(self, misses: float) -> float:
        """Return the price at which a share `misses` of the recent claims would have met an empty pool."""
        scores, claims = self._recent()
        wanted = misses * claims
        total, hours = 0.0, dict[int, float]()
        for score, hour, weight in scores:
            total += weight
            hours.setdefault(hour, score)
            if total >= wanted and len(hours) >= ENOUGH:
                price: float = score * pow(min(1.0, wanted / total), _tail_index(list(hours.values())))
                return min(max(price, SMALLEST_PRICE), LARGEST_PRICE)
        return FIRST_PRICE * misses

    def misses(self, price: float) -> float | None:
        """Return the share of recent claims that would have met an empty pool at this price; None without claims."""
        scores, claims = self._recent()
        if not claims:
            return None
        total, hours = 0.0, dict[int, float]()
        for score, hour, weight in scores:
            if score > price and len(hours) >= ENOUGH:
                break
            total += weight
            hours.setdefault(hour, score)
        last = max(hours.values(), default=0.0)
        if price >= last or len(hours) < 2:
            return total / claims
        # Beyond what was seen, the tail is extrapolated as in `price`.
        share: float = total / claims * pow(price / last, 1.0 / _tail_index(list(hours.values())))
        return share

    def _recent(self) -> tuple[list[tuple[float, int, float]], float]:
        """Return the lowest (score, hour, weight) in order, and the weighted number of claims."""
        scores: list[tuple[float, int, float]] = []
        claims = 0.0
        if self._days:
            newest, seasons = self._days[-1].number, self._days[-1].seasons
            for day in self._days:
                if day.seasons >= KNOWN_WEEKS * seasons:
                    weight = DECAY ** (newest - day.number)
                    claims += weight * day.claims
                    scores.extend((score, hour, weight) for score, hour in day.lowest)
        scores.sort()
        return scores, claims


def _tail_index(lowest: list[float]) -> float:
    """Return Hill's estimate (Annals of Statistics 3(5), 1975) of how fast the lowest scores fall.

    It is 1 if the forecast is right, and more if its tail is too thin. A few scores say little of it, so it is drawn
    towards 1, which counts as TAIL_FIRMNESS scores.
    """
    last = max(lowest[-1], SMALLEST_PRICE)
    logs = sum(log(last / max(score, SMALLEST_PRICE)) for score in lowest)
    return max(1.0, (logs + TAIL_FIRMNESS) / (len(lowest) - 1 + TAIL_FIRMNESS))
