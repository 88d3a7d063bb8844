"""What demand was, what it is expected to be, and what sizes would have done: for people who weigh a pool's size."""

from collections.abc import Sequence
from dataclasses import dataclass

from campaignpool.sizing.distribution import economical_size, quantile
from campaignpool.sizing.forecast import HOUR, SLOT, Forecast, Forecaster
from campaignpool.sizing.history import DAY, WEEK, History
from campaignpool.sizing.simulation import Refills, outstanding, replay_fixed

TAIL = 0.05
"""Of ten hours, nine are expected within the band: one of twenty is below it, and one above."""

REPLAYED_SECONDS, REPLAYED_CLAIMS = 2 * WEEK, 10_000
"""How much past demand each size is tried on at most."""

SIZES_TRIED = 14

_NOTHING = Forecast(0.0, 0.5, 0.0, 0.0)
"""Less than a day of demand says nothing of the next."""


@dataclass(frozen=True, slots=True)
class Hour:
    """An hour of demand.

    Attributes:
        start: Seconds since 1970.
        claims: Those that came; None: it has not ended.
        low, mean, high: What was expected a day before, or is now: nine of ten hours are from `low` to `high`. They
            are 0 where less than a day of demand was known.
    """

    start: float
    claims: int | None
    low: int
    mean: float
    high: int


@dataclass(frozen=True, slots=True)
class Tried:
    """What one size, kept at all hours, would have done.

    Attributes:
        size: Campaigns.
        misses: Claims that would have met an empty pool.
        idle: Mean number of ready campaigns.
    """

    size: int
    misses: int
    idle: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """Demand and sizes around a moment.

    Attributes:
        hours: The last 24 hours, and the coming 24.
        sizes: What each quarter of these hours needs, at the present price.
        tried: Sizes and what they would have done, the smallest first; none without past demand.
        since: When the replayed demand begins, in seconds since 1970.
        claims: How many claims were replayed.
    """

    hours: list[Hour]
    sizes: list[int]
    tried: list[Tried]
    since: float
    claims: int


def outlook(
    history: History,
    refills: Refills,
    now: float,
    *,
    price: float,
    bounds: tuple[int, int],
    first_size: int,
    marked: Sequence[int] = (),
) -> Outlook:
    """Return what is known and expected of demand, and what sizes would have done.

    Args:
        history: The claims.
        refills: How the pool is refilled.
        now: The moment, in seconds since 1970.
        price: Of an idle campaign, as a `Sizer` has learned it.
        bounds: Least and largest size.
        first_size: The size until there is a day of history.
        marked: Sizes that are tried in any case.
    """
    first = now // HOUR * HOUR
    past, coming = ([start + number * HOUR for number in range(24)] for start in (first - DAY, first))
    # A day ago, nothing was known of the day that followed.
    days = ((past, past[0], Forecaster(history, until=past[0])), (coming, now, Forecaster(history)))
    hours, sizes = list[Hour](), list[int]()
    for moments, at, forecaster in days:
        young = at - history.start < DAY
        quarters = [moments[0] + number * SLOT for number in range(int(DAY // SLOT))]
        of_hours = [_NOTHING] * len(moments) if young else forecaster.expect(at, moments, HOUR)
        of_leads = [_NOTHING] * len(quarters) if young else forecaster.expect(at, quarters, refills.lead)
        hours += [_hour(history, start, forecast, now) for start, forecast in zip(moments, of_hours, strict=True)]
        sizes += [_size(forecast, price, bounds, first_size if young else 0) for forecast in of_leads]
    times = [at for at, count in history.between(now - REPLAYED_SECONDS, now) for _ in range(count)]
    times = times[-REPLAYED_CLAIMS:]
    since = times[0] if times else now
    return Outlook(hours, sizes, _tried(times, refills, since, now, marked), since, len(times))


def _hour(history: History, start: float, forecast: Forecast, now: float) -> Hour:
    claims = history.count(start, start + HOUR) if start + HOUR <= now else None
    low, high = (quantile(forecast.mean, forecast.shape, tail) for tail in (1 - TAIL, TAIL))
    return Hour(start, claims, low, forecast.mean, high)


def _size(forecast: Forecast, price: float, bounds: tuple[int, int], least: int) -> int:
    wanted = max(economical_size(forecast.mean, forecast.shape, price), least)
    return min(max(wanted, bounds[0]), bounds[1])


def _tried(times: Sequence[float], refills: Refills, since: float, now: float, marked: Sequence[int]) -> list[Tried]:
    if not times or now <= since:
        return []
    largest = max(outstanding(times, refills, since=since, until=now), default=0) + 1
    step = max(1, -(-largest // SIZES_TRIED))
    sizes = {*range(1, largest, step), largest, *(size for size in marked if size > 0)}
    return [
        Tried(size, result.misses, result.idle)
        for size in sorted(sizes)
        for result in (replay_fixed(times, size, refills, since=since, until=now),)
    ]
