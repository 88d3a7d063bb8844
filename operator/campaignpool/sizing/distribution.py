"""The distribution of the number of claims within a lead time: Poisson with an uncertain rate.

If the rate is known, the number is Poisson. If the rate has a Gamma distribution with shape `shape`, the number is
negative binomial. The recursions need no library and agree with exact sums (tests/unit/test_sizing_distribution.py).
"""

from bisect import bisect_right
from math import ceil, exp, log1p
from statistics import NormalDist

# A mean above this underflows the recursion's first term; the normal approximation is exact to one campaign there.
_LARGEST_EXACT_MEAN = 500.0


def _first_term(mean: float, shape: float) -> float:
    return exp(-shape * log1p(mean / shape))


def quantile(mean: float, shape: float, tail: float) -> int:
    """Return the smallest count that is exceeded with a probability of at most `tail`.

    Args:
        mean: expected number of claims, ≥ 0.
        shape: shape of the Gamma distribution of the rate, > 0; large means that the rate is well known.
        tail: probability in (0, 1).
    """
    if mean <= 0:
        return 0
    if mean > _LARGEST_EXACT_MEAN:
        return _normal_quantile(mean, shape, tail)
    term = _first_term(mean, shape)
    remaining, count, ratio = 1.0 - term, 0, mean / (mean + shape)
    while remaining > tail and term > 1e-300:
        term *= ratio * (shape + count) / (count + 1)
        remaining -= term
        count += 1
        if count > mean and term < 1e-17:
            break
    return count


def exceedance(mean: float, shape: float, count: int) -> float:
    """Return the probability of `count` claims or more."""
    if count <= 0:
        return 1.0
    if mean <= 0:
        return 0.0
    if mean > _LARGEST_EXACT_MEAN:
        return _normal_exceedance(mean, shape, count)
    term = _first_term(mean, shape)
    ratio = mean / (mean + shape)
    below = term
    for number in range(count - 1):
        term *= ratio * (shape + number) / (number + 1)
        below += term
    if below < 0.999:
        return 1.0 - below
    # Far in the tail 1 - below loses its digits, so sum the tail itself.
    above, number = 0.0, count - 1
    while term > 1e-300:
        term *= ratio * (shape + number) / (number + 1)
        above += term
        number += 1
        if term < above * 1e-9:
            break
    return above


def _deviation(mean: float, shape: float) -> float:
    deviation: float = (mean + mean * mean / shape) ** 0.5
    return deviation


def _normal_saving(mean: float, shape: float, size: int) -> float:
    """Return the misses that one more campaign than `size` saves, per idle lead time of its own."""
    normal = NormalDist(mean, _deviation(mean, shape))
    return mean * normal.pdf(size) / normal.cdf(size + 0.5)


def _normal_quantile(mean: float, shape: float, tail: float) -> int:
    return max(0, int(NormalDist(mean, _deviation(mean, shape)).inv_cdf(1.0 - tail)) + 1)


def _normal_exceedance(mean: float, shape: float, count: int) -> float:
    return 1.0 - NormalDist(mean, _deviation(mean, shape)).cdf(count - 0.5)


def economical_size(mean: float, shape: float, price: float) -> int:
    """Return the smallest size at which one more campaign would save fewer than `price` misses per idle lead time.

    With D claims in a lead time, the campaign after the first `s` saves mean * P(D = s) misses and is idle
    P(D <= s) of the time (the newsvendor's rule, applied to a base stock). For one price, quiet hours keep less than
    equal quantiles would.
    """
    if mean <= 0:
        return 0
    if mean > _LARGEST_EXACT_MEAN:
        above = range(ceil(mean), int(2 * mean + 12 * _deviation(mean, shape)))
        return above[bisect_right(above, -price, key=lambda size: -_normal_saving(mean, shape, size))]
    size, term, ratio = 0, _first_term(mean, shape), mean / (mean + shape)
    below = term
    while size < mean or mean * term >= price * below:
        term *= ratio * (shape + size) / (size + 1)
        below += term
        size += 1
    return size


def price_of(mean: float, shape: float, claim: int) -> float:
    """Return the largest price at which the size of this forecast serves the `claim`-th claim of a lead time."""
    if mean <= 0:
        return 0.0
    if claim - 1 < mean:
        return float("inf")
    if mean > _LARGEST_EXACT_MEAN:
        return _normal_saving(mean, shape, claim - 1)
    term, ratio = _first_term(mean, shape), mean / (mean + shape)
    below = term
    for number in range(claim - 1):
        term *= ratio * (shape + number) / (number + 1)
        below += term
    return mean * term / below


def erlang_loss(servers: int, load: float) -> float:
    """Return the probability that all of `servers` are busy when `load` is the mean of arrivals in one service time.

    For a pool of `servers` campaigns, each replaced at once, it is the share of claims that meet an empty pool,
    whatever the lead time's distribution (Smith, Optimal Inventories for an (S-1, S) System with No Backorders,
    Management Science 23(5), 1977).
    """
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked
