"""How far a finer estimate of the season is trusted: as far as two weeks repeat it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from operator import mul

from campaignpool.sizing.history import DAY, MINUTE, WEEK, History

# Claims that the coarser estimate counts as until there are two weeks to compare.
UNKNOWN = 8.0
# Bounds of the measured weight, in claims: the finer estimate is all, or nothing.
LEAST, MOST = 0.5, 1000.0
# Standard deviations of Poisson noise that are not taken for a season.
NOISE = 2.0


@dataclass(frozen=True, slots=True)
class Priors:
    """How many claims the coarser estimate counts as: few where weeks repeat what the finer one shows, else many.

    Attributes:
        day: weight of the week's mean against an hour of the day.
        hour: weight of the hour of the day against the hour of the week.
        quarter: weight of the hour of the week against its quarters.
        minute: weight of the quarter against its minutes; MOST if minutes repeat nothing.
    """

    day: float = UNKNOWN
    hour: float = UNKNOWN
    quarter: float = UNKNOWN
    minute: float = UNKNOWN


def measured(history: History, end: float) -> Priors:
    """Return the weights from the two weeks before `end`, a full hour; the defaults if history is shorter."""
    if end - 2 * WEEK - DAY < history.start:
        return Priors()
    days = [end - DAY * number for number in range(7, 0, -1)]
    first = _minutes(history, days)
    # Each day is compared with the day that has its local time at noon, so that weeks around a clock change match.
    second = _minutes(history, [history.same_local_time(day + DAY / 2, days=7) - DAY / 2 for day in days])
    quarters = [_sums(week, 15) for week in (first, second)]
    hours = [_sums(week, 60) for week in (first, second)]
    mean = [sum(hours[0]) / 168] * 144
    daily = [[sum(week[hour::24]) / 7 for hour in range(24)] * 7 for week in hours]
    return Priors(
        day=_weight(hours[0][24:], mean, hours[0][:-24], mean),
        hour=_weight(hours[0], daily[0], hours[1], daily[1]),
        quarter=_weight(quarters[0], _spread(hours[0], 4), quarters[1], _spread(hours[1], 4)),
        minute=_weight(first, _spread(quarters[0], 15), second, _spread(quarters[1], 15)),
    )


def _minutes(history: History, days: Sequence[float]) -> list[float]:
    """Return the claims in each minute of the days that begin then; minutes of a gap have the mean of the others."""
    counts: list[float] = [count for day in days for count in history.by_minute(day, day + DAY)]
    if history.is_known(days[0], days[-1] + DAY):
        return counts
    starts = [day + MINUTE * minute for day in days for minute in range(int(DAY // MINUTE))]
    unknown = [position for position, start in enumerate(starts) if not history.is_known(start, start)]
    mean = sum(counts) / max(1, len(counts) - len(unknown))
    for position in unknown:
        counts[position] = mean
    return counts


def _weight(
    first: Sequence[float],
    first_expected: Sequence[float],
    second: Sequence[float],
    second_expected: Sequence[float],
) -> float:
    """Return the weight of the coarser estimate in claims: the inverse of the relative variance that weeks share.

    What both weeks deviate from the coarser estimate is season; noise is independent and cancels in the product. What
    Poisson noise alone may give is subtracted.
    """
    shared = sum(
        (one - one_expected) * (other - other_expected)
        for one, one_expected, other, other_expected in zip(
            first, first_expected, second, second_expected, strict=True
        )
    )
    scale = sum(map(mul, first_expected, second_expected))
    shared -= NOISE * sqrt(scale)
    return min(MOST, max(LEAST, scale / shared)) if shared > 0 else MOST


def _sums(values: Sequence[float], width: int) -> list[float]:
    return [sum(values[start : start + width]) for start in range(0, len(values), width)]


def _spread(values: Sequence[float], parts: int) -> list[float]:
    return [value / parts for value in values for _ in range(parts)]
