"""Policies to compare with the sizer: what users have today, parts of the sizer, and what nobody can know."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from math import ceil

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
    decided_at, size = -BUFFER_POLL, minimum

    def policy(now: float) -> int:
        nonlocal decided_at, size
        if now - decided_at >= BUFFER_POLL:
            decided_at, size = now, max(minimum, ceil(share * history.count(now - 3600, now)))
        return size

    return policy


def recent(history: History, now: float, lead: float, window: float = 600.0) -> tuple[float, float]:
    """Return mean and shape of the next lead time's claims as the last ten minutes show them."""
    claims = history.count(now - window, now) + 0.5
    return claims / window * lead, claims


def known(buckets: Sequence[Bucket]) -> Callable[[float, float], float]:
    """Return a function that gives the claims between two moments: each bucket's number is known, not the moments."""
    edges = sorted({edge for bucket in buckets for edge in (bucket.start, bucket.start + bucket.seconds)})
    position = {edge: index for index, edge in enumerate(edges)}
    change = [0.0] * len(edges)
    for bucket in buckets:
        change[position[bucket.start]] += bucket.claims / bucket.seconds
        change[position[bucket.start + bucket.seconds]] -= bucket.claims / bucket.seconds
    rates, before, rate = [], [0.0], 0.0
    for index, edge in enumerate(edges):
        rate += change[index]
        rates.append(rate)
        if index + 1 < len(edges):
            before.append(before[-1] + rate * (edges[index + 1] - edge))

    def claims_until(moment: float) -> float:
        index = bisect_left(edges, moment) - 1
        if index < 0:
            return 0.0
        return before[index] + rates[index] * (moment - edges[index]) if index + 1 < len(edges) else before[-1]

    return lambda since, until: claims_until(until) - claims_until(since)
