"""Compare policies on one demand: each with its cheapest setting in hindsight, the sizer with its own choice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import exp, log

from campaignpool.sizing import policies
from campaignpool.sizing.distribution import economical_size, erlang_loss
from campaignpool.sizing.forecast import Forecaster
from campaignpool.sizing.history import DAY, WEEK, History
from campaignpool.sizing.simulation import Policy, Refills, Replay, best_fixed, replay, replay_fixed
from campaignpool.sizing.sizer import TICK, Sizer, Target
from campaignpool.sizing.trace import Bucket, arrivals

POLICIES = ("fixed", "buffer", "season", "recent", "sizing", "oracle")
# Days that the sizer learns from before its first decision.
LEARNED_DAYS = 21
# Bounds of a price, and of a buffer's share of the last hour's claims, between which the cheapest is sought.
PRICES, SHARES = (1e-30, 0.5), (0.002, 5.0)
# Replays that halve the range of a setting.
STEPS = 8
SEED = 3
"""Seed of the moments within buckets, unless another is given."""


@dataclass(frozen=True)
class Demand:
    """A demand and the parameters of its replay.

    Attributes:
        buckets: the trace.
        availability: share of claims to serve from the pool.
        refills: how the pool is refilled.
        zone: the local clock's time zone.
        since: start of the replay, in seconds since 1970; what is earlier is learned from.
        until: its end.
        gaps: periods (since, until) in which nothing is known of the demand.
    """

    buckets: Sequence[Bucket]
    availability: float
    refills: Refills
    zone: str
    since: float
    until: float
    times: list[float] = field(default_factory=list)
    gaps: Sequence[tuple[float, float]] = ()

    @classmethod
    def of(
        cls,
        buckets: Sequence[Bucket],
        *,
        availability: float,
        refills: Refills,
        zone: str = "UTC",
        learn: float = 0.6,
        weeks: float | None = None,
        gaps: Sequence[tuple[float, float]] = (),
        seed: int = SEED,
    ) -> "Demand":
        """Return a demand whose last part is replayed: what is left after the share `learn`, at most `weeks`.

        The moments within buckets, which a trace does not tell, are drawn from `seed`.
        """
        start, until = buckets[0].start, max(bucket.start + bucket.seconds for bucket in buckets)
        since = start + learn * (until - start)
        if weeks is not None:
            since = max(since, until - weeks * WEEK)
        times = arrivals(buckets, seed=seed)
        return cls(buckets, availability, refills, zone, since, until, times, gaps)

    def history(self) -> History:
        """Return its claims, on the local clock."""
        return History(self.times, zone=self.zone, gaps=self.gaps)


@dataclass(frozen=True)
class Week:
    """A week of the replay: its start, the misses that the sizer expected, and those that came."""

    start: float
    claims: int
    expected: float
    counted: int


@dataclass
class Outcome:
    """What one policy did.

    Attributes:
        policy: its name.
        setting: what was chosen for it, in words.
        reached: whether any setting serves the share.
        replay: with that setting, or the closest one.
        frontier: (hit rate, mean idle) of each setting that was tried.
        weeks: of the sizer alone.
    """

    policy: str
    setting: str
    reached: bool
    replay: Replay
    frontier: list[tuple[float, float]] = field(default_factory=list)
    weeks: list[Week] = field(default_factory=list)


def at_target(demand: Demand, availability: float) -> Demand:
    """Return the same demand with another share of claims to serve."""
    return replace(demand, availability=availability)


def run(policy: str, demand: Demand, progress: Callable[[float], None] | None = None) -> Outcome:
    """Return what a policy of POLICIES does with a demand; `progress` is called with the moment, once a day."""
    if policy == "fixed":
        return _fixed(demand)
    if policy == "sizing":
        return _sizing(demand, progress)
    if policy == "buffer":
        return _cheapest(demand, policy, SHARES, _share, _buffers(demand))
    forecasts = _forecasts(policy, demand)
    return _cheapest(demand, policy, PRICES[::-1], lambda price: f"price {price:.1e}", _sizes(forecasts))


def _fixed(demand: Demand) -> Outcome:
    since, until = demand.since, demand.until
    size, result = best_fixed(demand.times, demand.availability, demand.refills, since=since, until=until)
    sizes = sorted({max(1, round(size * share)) for share in (0.3, 0.45, 0.6, 0.75, 0.9, 1.15, 1.3)} - {size})
    others = [replay_fixed(demand.times, other, demand.refills, since=since, until=until) for other in sizes]
    frontier = [(other.hit_rate, other.idle) for other in (*others, result)]
    return Outcome("fixed", f"size {size}", reached=True, replay=result, frontier=frontier)


def _sizing(demand: Demand, progress: Callable[[float], None] | None) -> Outcome:
    refills, target = demand.refills, Target(demand.availability, min_size=0)
    sizer = Sizer(demand.history(), target, refills.lead, refills.jobs)
    sizer.learn(max(demand.buckets[0].start, demand.since - LEARNED_DAYS * DAY), demand.since)
    priced: list[tuple[float, float]] = []
    price = -1.0

    def policy(now: float) -> int:
        nonlocal price
        decision = sizer.decide(now)
        if sizer.price != price:
            price = sizer.price
            priced.append((now, sizer.expected_misses() or 0.0))
        return decision.size

    result = replay(
        demand.times,
        policy,
        refills,
        since=demand.since,
        until=demand.until,
        missed=lambda moment: sizer.missed([moment]),
        progress=progress,
    )
    frontier = [(result.hit_rate, result.idle)]
    reached = result.hit_rate >= demand.availability
    return Outcome("sizing", "found by itself", reached, result, frontier, _weeks(demand, result, priced))


def _weeks(demand: Demand, result: Replay, priced: Sequence[tuple[float, float]]) -> list[Week]:
    """Return expected and counted misses of each full week, or of the whole replay if it is shorter."""
    history = History(demand.times)
    weeks, start = [], demand.since
    ends = [at for at, _ in priced[1:]] + [demand.until]
    while start == demand.since or start + WEEK <= demand.until:
        end = min(start + WEEK, demand.until)
        expected = sum(
            share * history.count(max(since, start), min(until, end))
            for (since, share), until in zip(priced, ends, strict=True)
            if since < end and until > start
        )
        counted = sum(start <= moment < end for moment in result.missed_at)
        weeks.append(Week(start, history.count(start, end), expected, counted))
        start = end
    return weeks


def _cheapest(
    demand: Demand,
    policy: str,
    bounds: tuple[float, float],
    words: Callable[[float], str],
    policy_of: Callable[[float], Policy],
) -> Outcome:
    """Return the outcome of the cheapest setting that serves the share; `bounds` go from least to most idle."""
    low, high = log(bounds[0]), log(bounds[1])
    frontier: list[tuple[float, float]] = []

    def outcome_of(setting: float) -> Outcome:
        since, until = demand.since, demand.until
        result = replay(demand.times, policy_of(setting), demand.refills, since=since, until=until)
        frontier.append((result.hit_rate, result.idle))
        return Outcome(policy, words(setting), result.hit_rate >= demand.availability, result, frontier)

    best = outcome_of(bounds[1])
    for _ in range(STEPS if best.reached else 0):
        middle = (low + high) / 2
        outcome = outcome_of(exp(middle))
        if outcome.reached:
            best, high = outcome, middle
        else:
            low = middle
    return best


def _share(share: float) -> str:
    return f"{100 * share:.3g} % of the last hour's claims"


def _buffers(demand: Demand) -> Callable[[float], Policy]:
    history = History(demand.times)
    return lambda share: policies.buffer(history, share)


def _forecasts(policy: str, demand: Demand) -> list[tuple[float, float]]:
    """Return (mean, shape) for each decision of a replay, in their order, which no stock changes."""
    history = demand.history()
    lead, forecaster = demand.refills.lead, Forecaster(history)
    expected = policies.known(demand.buckets) if policy == "oracle" else None
    forecasts: list[tuple[float, float]] = []

    def record(now: float) -> int:
        if expected:
            busy = erlang_loss(demand.refills.jobs, expected(now, now + lead))
            stretched = lead * (1 + busy / demand.refills.jobs)
            # Until the next decision, so that what comes then is ordered now.
            coming = (expected(start, start + stretched) for start in (now, now + TICK))
            forecasts.append((max(coming), 1e9))
        elif policy == "season":
            forecast = forecaster.forecast(now, lead, season_only=True)
            forecasts.append((forecast.mean, forecast.shape))
        else:
            forecasts.append(policies.recent(history, now, lead))
        return 0

    replay(demand.times, record, demand.refills, since=demand.since, until=demand.until)
    return forecasts


def _sizes(forecasts: Sequence[tuple[float, float]]) -> Callable[[float], Policy]:
    def policy_of(price: float) -> Policy:
        remaining = iter(forecasts)
        return lambda _: economical_size(*next(remaining), price)

    return policy_of
