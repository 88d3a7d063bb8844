"""Policies to compare with the sizer: what users have today, parts of the sizer, and what nobody can know."""

from bisect import bisect_left
from collections.abc import Sequence
from math import ceil

from campaignpool.sizing.distribution import economical_size
from campaignpool.sizing.forecast import Forecaster
from campaignpool.sizing.history import History
from campaignpool.sizing.simulation import Policy
from campaignpool.sizing.trace import Bucket

BUFFER_POLL = 30.0
"""Seconds between two decisions of a buffer policy, as of Agones' FleetAutoscaler."""


def fixed(size: int) -> Policy:
    """Return a policy that always keeps `size`."""
    return lambda _: size


def buffer(history: History, share: float, minimum: int = 1) -> Policy:
    """Return a policy that keeps a share of the last hour's claims, polled as autoscalers are."""
    decided: dict[str, float] = {"at": -BUFFER_POLL, "size": minimum}

    def policy(now: float) -> int:
        if now - decided["at"] >= BUFFER_POLL:
            decided["at"] = now
            decided["size"] = max(minimum, ceil(share * history.count(now - 3600, now)))
        return int(decided["size"])

    return policy


def season(forecaster: Forecaster, lead: float, price: float) -> Policy:
    """Return a policy that knows the season alone: no level, no excess."""

    def policy(now: float) -> int:
        forecast = forecaster.forecast(now, lead, season_only=True)
        return economical_size(forecast.mean, forecast.shape, price)

    return policy


def recent(history: History, lead: float, price: float, window: float = 600.0) -> Policy:
    """Return a policy that knows the last ten minutes alone."""

    def policy(now: float) -> int:
        claims = history.count(now - window, now) + 0.5
        return economical_size(claims / window * lead, claims, price)

    return policy


def oracle(buckets: Sequence[Bucket], lead: float, price: float) -> Policy:
    """Return a policy that knows how many claims come in each bucket, but not when."""
    edges = sorted({edge for bucket in buckets for edge in (bucket.start, bucket.start + bucket.seconds)})
    position = {edge: index for index, edge in enumerate(edges)}
    change = [0.0] * (len(edges) + 1)
    for bucket in buckets:
        change[position[bucket.start]] += bucket.claims / bucket.seconds
        change[position[bucket.start + bucket.seconds]] -= bucket.claims / bucket.seconds
    rates, before, rate = [], [0.0], 0.0
    for index in range(len(edges)):
        rate += change[index]
        rates.append(rate)
        if index + 1 < len(edges):
            before.append(before[-1] + rate * (edges[index + 1] - edges[index]))

    def claims_until(moment: float) -> float:
        index = bisect_left(edges, moment) - 1
        if index < 0:
            return 0.0
        return before[index] + rates[index] * (moment - edges[index]) if index + 1 < len(edges) else before[-1]

    def policy(now: float) -> int:
        return economical_size(claims_until(now + lead) - claims_until(now), 1e9, price)

    return policy
