"""Forecast the claims of the next lead time: a season, its level, and what they do not explain.

1. **Season**: the rate at this local time, from coarse to fine: the last week, the same hour of the last days,
   of the week, the same quarter, the same minutes. Each finer estimate is drawn towards the coarser one,
   as far as weeks do not repeat it (see `priors`): an even demand has an even forecast, and an empty history needs
   no special case.
2. **Level**: one factor on the season, from the last day and the last hour.
3. **Excess**: the claims of the last minutes beyond what season and level explain, if there are significantly more.
   It follows a launch within a minute and adds nothing to a burst that comes every day.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from campaignpool.sizing import priors
from campaignpool.sizing.distribution import erlang_loss
from campaignpool.sizing.history import DAY, WEEK, History

WEEKS = (1, 2, 3, 4)
# A week counts this much less than the one after it.
WEEK_WEIGHTS = (1.0, 0.75, 0.55, 0.4)
# How early or late a burst comes that comes at the same time each week, in seconds.
JITTER = 180.0
# Poisson demand that the dispersion is drawn towards, in windows and in claims: empty windows show no dispersion.
PRIOR_WINDOWS, PRIOR_CLAIMS = 15.0, 4.0
# How firmly the level of the last day and hour is held to 1, in claims.
DAY_FIRMNESS, LARGEST_FIRMNESS = 30.0, 1000.0
# Windows of the excess in seconds, the claims that it needs, and how many standard deviations are noise.
EXCESS_WINDOWS = (120.0, 600.0)
LEAST_CLAIMS, NOISE = 3, 3.0
# Seconds for which a level, a slot of the season and what is measured of a whole week are kept.
LEVEL_SECONDS, SLOT, WEEKLY_SECONDS, HOUR = 300.0, 900.0, 21_600.0, 3_600.0
# Lead times are distinguished in steps of this share, so that cached seasons stay useful.
LEAD_STEPS = 8


@dataclass(frozen=True, slots=True)
class Forecast:
    """The distribution of the claims of the next lead time.

    Attributes:
        mean: expected number of claims.
        shape: how certain the rate is (see `distribution.quantile`).
        excess: the part of the mean that the season does not explain.
        seasons: weeks of history that the season rests on, 0 to 4.
    """

    mean: float
    shape: float
    excess: float
    seasons: float


@dataclass(slots=True)
class _Rate:
    """A rate in claims a second, its evidence in claims, and the dispersion: variance over mean, less 1."""

    rate: float
    claims: float
    dispersion: float = 0.0

    def refined(self, claims: float, seconds: float, prior: float) -> "_Rate":
        """Return the estimate from `claims` in `seconds`, drawn towards this one, which counts as `prior` claims."""
        if seconds <= 0:
            return self
        if self.rate <= 0:
            return _Rate(claims / seconds, claims)
        prior = min(prior, max(self.claims, priors.LEAST))
        return _Rate((claims + prior) / (seconds + prior / self.rate), claims + prior)


class Forecaster:
    """Forecasts over one history. It caches seasons, so that a replay asks for each only once.

    Args:
        history: the claims.
        until: what is later is not known, although seasons of later moments are asked for.
    """

    def __init__(self, history: History, until: float = float("inf")) -> None:
        self._history = history
        self._until = until
        self._coarse: dict[int, _Rate] = {}
        self._fine: dict[tuple[int, float], _Rate] = {}
        self._levels: dict[int, tuple[float, float]] = {}
        self._hours: dict[int, tuple[float, float]] = {}
        self._firmnesses: dict[int, float] = {}
        self._priors: dict[int, priors.Priors] = {}
        self._dispersions: dict[tuple[int, float], float] = {}

    def forecast(self, now: float, lead: float, jobs: int | None = None, *, season_only: bool = False) -> Forecast:
        """Return the distribution of the claims until a claim of now is replaced, from the claims before `now`.

        Args:
            now: the moment, in seconds since 1970.
            lead: seconds that a refill takes.
            jobs: refills at once; while all are busy, a claim waits for one to end. None if there are enough.
            season_only: leave out level and excess.
        """
        level, certainty = (1.0, LARGEST_FIRMNESS) if season_only else self._level(now)
        season = self._season(now, lead)
        rate, evidence = (0.0, 1.0) if season_only else self._excess(now, lead, level)
        if jobs:
            busy = erlang_loss(jobs, (level * season.rate + rate) * lead)
            if steps := round(LEAD_STEPS * busy / jobs):
                lead *= 1 + steps / LEAD_STEPS
                season = self._season(now, lead)
        return self._combined(now, season, lead, level, certainty, rate * lead, evidence)

    def expect(self, now: float, moments: Sequence[float], lead: float) -> list[Forecast]:
        """Return the claims of a lead time at each of `moments`, of the coming week, from the claims before `now`."""
        level, certainty = self._level(now)
        # Seasons of later moments are estimated again when these have come, so they have caches of their own.
        ahead = Forecaster(self._history, until=now)
        ahead._priors = self._priors
        return [
            self._combined(now, ahead._season(moment, lead), lead, level, certainty, 0.0, 1.0) for moment in moments
        ]

    def _combined(
        self, now: float, season: _Rate, lead: float, level: float, certainty: float, excess: float, evidence: float
    ) -> Forecast:
        """Return season times level plus excess. Variances add: mean²/shape is the variance beyond Poisson's."""
        expected = level * season.rate * lead
        mean = expected + excess
        if mean <= 0:
            return Forecast(0.0, 0.5, 0.0, self.seasons(now))
        variance = (
            expected**2 * (1 / certainty + 1 / max(season.claims, 0.5))
            + expected * season.dispersion
            + excess**2 / evidence
        )
        return Forecast(mean, mean * mean / variance, excess, self.seasons(now))

    def seasons(self, now: float) -> float:
        """Return the weeks of history that a season can rest on, 0 to 4."""
        return min(4.0, max(0.0, (now - self._history.start) / WEEK))

    def _excess(self, now: float, lead: float, level: float) -> tuple[float, float]:
        """Return the rate that season and level do not explain, in claims a second, and how many claims show it."""
        rate, evidence = 0.0, 1.0
        for window in EXCESS_WINDOWS:
            claims = self._history.count(now - window, now)
            if claims < LEAST_CLAIMS:
                continue
            explained = level * self._recent_season(now, window, lead)
            beyond = claims - explained
            # From 3 to 4 standard deviations it counts more and more, so that the size does not jump.
            share = min(1.0, beyond / sqrt(explained + 1.0) - NOISE)
            if share > 0 and share * beyond / window > rate:
                rate, evidence = share * beyond / window, float(claims)
        return rate, evidence

    def _coarse_season(self, moment: float) -> _Rate:
        """Return the rate at this quarter of an hour of the local week."""
        slot = int(moment // SLOT)
        if slot not in self._coarse:
            history, start = self._history, slot * SLOT
            age = max(start - history.start, 0.0)
            weights = self._priors_at(start)
            until = min(start, self._until)
            seconds = max(0.0, min(WEEK, until - history.start))
            rate = _Rate(0.0, 0.0).refined(
                history.count(until - seconds, until), history.known_seconds(until - seconds, until), 0.0
            )
            # The same hour of the last seven days.
            claims, exposure = 0.0, 0.0
            for days in range(1, 8):
                then = history.same_local_time(start, days=days)
                if days * DAY < age and then + 2100 <= self._until and history.is_known(then - 1200, then + 2100):
                    claims += history.count_minutes(then - 1200, then + 2100)
                    exposure += 3300
            rate = rate.refined(claims, exposure, weights.day)
            # The same hour of the week, then the same quarter.
            for before, after, prior in ((1200.0, 2100.0, weights.hour), (0.0, SLOT, weights.quarter)):
                claims, exposure = self._weekly(start, before, after, age)
                rate = rate.refined(claims, exposure, prior)
            self._coarse[slot] = rate
        return self._coarse[slot]

    def _weekly(self, start: float, before: float, after: float, age: float) -> tuple[float, float]:
        """Return weighted claims and seconds around the same local time of the last weeks."""
        claims = exposure = 0.0
        for week, weight in zip(WEEKS, WEEK_WEIGHTS, strict=True):
            then = self._history.same_local_time(start, days=7 * week)
            if week * WEEK < age and self._history.is_known(then - before, then + after):
                claims += weight * self._history.count_minutes(then - before, then + after)
                exposure += weight * (after + before)
        return claims, exposure

    def _season(self, now: float, lead: float) -> _Rate:
        """Return the rate of the next `lead` seconds of the local week, by the minute where weeks repeat minutes."""
        prior = self._priors_at(now).minute
        if prior >= priors.MOST:
            rate = self._coarse_season(now)
            return _Rate(rate.rate, rate.claims, self._dispersion(now, lead, rate.rate))
        key = (int(now // 60), lead)
        if key not in self._fine:
            counts = self._windows(key[0] * 60.0, lead, _offsets(lead))
            claims = sum(weight * count for weight, count in counts)
            seconds = lead * sum(weight for weight, _ in counts)
            rate = self._coarse_season(now).refined(claims, seconds, prior)
            rate.dispersion = _dispersion(counts, rate.rate * lead)
            self._fine[key] = rate
        return self._fine[key]

    def _dispersion(self, now: float, lead: float, rate: float) -> float:
        """Return the dispersion of a lead time's claims in this quarter of an hour of the last weeks."""
        slot = int(now // SLOT)
        if (slot, lead) not in self._dispersions:
            number = max(1, min(12, int(SLOT // lead)))
            offsets = [SLOT / number * position for position in range(number)]
            self._dispersions[slot, lead] = _dispersion(self._windows(slot * SLOT, lead, offsets), rate * lead)
        return self._dispersions[slot, lead]

    def _windows(self, moment: float, lead: float, offsets: Sequence[float]) -> list[tuple[float, int]]:
        """Return (weight, claims) of one lead time from each offset to this local time of the last weeks."""
        history, age = self._history, moment - self._history.start
        return [
            (weight, history.count(then + offset, then + offset + lead))
            for week, weight in zip(WEEKS, WEEK_WEIGHTS, strict=True)
            if week * WEEK < age
            for then in (history.same_local_time(moment, days=7 * week),)
            if history.is_known(then + offsets[0], then + offsets[-1] + lead)
            for offset in offsets
        ]

    def _priors_at(self, now: float) -> priors.Priors:
        slot = int(min(now, self._until) // WEEKLY_SECONDS)
        if slot not in self._priors:
            self._priors[slot] = priors.measured(self._history, slot * WEEKLY_SECONDS)
        return self._priors[slot]

    def _recent_season(self, now: float, window: float, lead: float) -> float:
        """Return the claims that the season expected in the last `window` seconds."""
        if self._priors_at(now).minute >= priors.MOST:
            return window * self._coarse_season(now - window / 2).rate
        parts = max(1, round(window / 120.0))
        width = window / parts
        return width * sum(self._season(now - width * (part + 1), lead).rate for part in range(parts))

    def _level(self, now: float) -> tuple[float, float]:
        """Return the factor of the last day and hour on the season, and its certainty in claims."""
        slot = int(now // LEVEL_SECONDS)
        if slot not in self._levels:
            end = slot * LEVEL_SECONDS
            hour = int(end // HOUR)
            day = 1.0
            if (hour - 24) * HOUR - WEEK >= self._history.start:
                of_day = [self._hour(number) for number in range(hour - 24, hour)]
                claims, expected = sum(claims for claims, _ in of_day), sum(expected for _, expected in of_day)
                day = (DAY_FIRMNESS + claims) / (DAY_FIRMNESS + expected)
            firmness = self._firmness(end)
            claims, expected = self._against_season(end - HOUR, end)
            self._levels[slot] = (day * (firmness + claims) / (firmness + day * expected), firmness + claims)
        return self._levels[slot]

    def _hour(self, hour: int) -> tuple[float, float]:
        """Return the claims in an hour since 1970, and those that the season expected."""
        if hour not in self._hours:
            self._hours[hour] = self._against_season(hour * HOUR, hour * HOUR + HOUR)
        return self._hours[hour]

    def _against_season(self, since: float, until: float) -> tuple[float, float]:
        """Return the claims in a window of hours, and those that the season expected, both without gaps."""
        claims, expected, moment = 0.0, 0.0, since
        while moment < until:
            end = min(SLOT * (moment // SLOT + 1), until)
            if self._history.is_known(moment, end):
                claims += self._history.count_minutes(moment, end)
                expected += self._coarse_season(moment).rate * (end - moment)
            moment = end
        return claims, expected

    def _firmness(self, now: float) -> float:
        """Return how firmly an hour keeps to its season, in claims: the shape of the Gamma distribution of the ratio.

        It is the method of moments over the hours of the last week: what varies beyond Poisson.
        """
        slot = int(now // WEEKLY_SECONDS)
        if slot not in self._firmnesses:
            last = int(slot * WEEKLY_SECONDS // HOUR)
            first = max(last - 168, int(min(self._history.start, now) // HOUR) + 25)
            beyond = expected_squared = 0.0
            for claims, expected in map(self._hour, range(first, last)):
                beyond += (claims - expected) ** 2 - expected
                expected_squared += expected**2
            variance = (beyond + 10.0) / (expected_squared + 100.0)
            self._firmnesses[slot] = min(LARGEST_FIRMNESS, 1.0 / max(variance, 1.0 / LARGEST_FIRMNESS))
        return self._firmnesses[slot]


def _dispersion(counts: Sequence[tuple[float, int]], mean: float) -> float:
    """Return the variance of weighted counts over their mean, less 1: what Poisson does not explain."""
    if mean <= 0:
        return 0.0
    weights = sum(weight for weight, _ in counts)
    squares = sum(weight * (count - mean) ** 2 for weight, count in counts)
    prior = max(PRIOR_WINDOWS, PRIOR_CLAIMS / mean)
    return max(0.0, (squares + prior * mean) / (weights + prior) / mean - 1.0)


def _offsets(lead: float) -> list[float]:
    """Return where windows of one lead time begin to cover the jitter before and after, in seconds."""
    number = max(3, round((lead + 2 * JITTER) / lead))
    step = 2 * JITTER / (number - 1)
    return [-JITTER + step * position for position in range(number)]
