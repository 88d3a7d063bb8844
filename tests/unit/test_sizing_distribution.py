"""The distribution of lead-time demand, against exact sums."""

from fractions import Fraction
from math import exp, factorial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaignpool.sizing.distribution import (
    economical_size,
    erlang_loss,
    exceedance,
    price_of,
    quantile,
)

MEANS = (0.02, 0.4, 1.0, 3.7, 12.0, 40.0)
SHAPES = (1, 2, 7, 60)


def pmf(mean: float, shape: int, count: int) -> Fraction:
    """Return the negative binomial's probability of `count`, exactly."""
    ratio = Fraction(mean) / (Fraction(mean) + shape)
    ways = Fraction(factorial(shape + count - 1), factorial(count) * factorial(shape - 1))
    return ways * (1 - ratio) ** shape * ratio**count


def above(mean: float, shape: int, count: int) -> Fraction:
    return 1 - sum((pmf(mean, shape, number) for number in range(count)), Fraction(0))


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("shape", SHAPES)
def test_probabilities_are_those_of_exact_sums(mean: float, shape: int) -> None:
    for count in (0, 1, 2, 5, 20, 45):
        exact = above(mean, shape, count)
        if exact > Fraction(1, 10**15):
            assert exceedance(mean, shape, count) == pytest.approx(float(exact), rel=1e-6)


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tail", [0.3, 0.01, 0.0004])
def test_the_quantile_is_the_smallest_count_that_is_rarely_exceeded(mean: float, shape: int, tail: float) -> None:
    count = quantile(mean, shape, tail)
    assert above(mean, shape, count + 1) <= tail
    assert count == 0 or above(mean, shape, count) > tail


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_next_campaign_would_save_fewer_misses_than_the_price(mean: float, shape: int) -> None:
    price = 0.003
    size = economical_size(mean, shape, price)

    def saved(held: int) -> float:
        return float(Fraction(mean) * pmf(mean, shape, held) / (1 - above(mean, shape, held + 1)))

    assert saved(size) < price
    assert size <= mean or saved(size - 1) >= price


def test_a_large_shape_is_a_poisson() -> None:
    poisson = 1 - sum(exp(-5.0) * 5.0**count / factorial(count) for count in range(9))
    assert exceedance(5.0, 1e9, 9) == pytest.approx(poisson, rel=1e-6)


def test_a_mean_beyond_the_recursion_is_normal() -> None:
    assert quantile(499.0, 1e9, 0.001) == pytest.approx(quantile(501.0, 1e9, 0.001), abs=4)
    assert exceedance(501.0, 1e9, 560) == pytest.approx(exceedance(499.9, 1e9, 559), rel=0.1)
    assert economical_size(501.0, 1e9, 0.5) == pytest.approx(economical_size(499.0, 1e9, 0.5), abs=5)


@settings(deadline=None)
@given(
    mean=st.floats(0, 400), shape=st.floats(0.3, 1e6), prices=st.tuples(st.floats(1e-6, 0.5), st.floats(1e-6, 0.5))
)
def test_a_higher_price_never_makes_a_larger_pool(mean: float, shape: float, prices: tuple[float, float]) -> None:
    low, high = sorted(prices)
    assert economical_size(mean, shape, high) <= economical_size(mean, shape, low)


@settings(deadline=None)
@given(mean=st.floats(0.001, 100), shape=st.floats(0.3, 1e6), price=st.floats(1e-5, 0.4), claim=st.integers(1, 60))
def test_the_price_of_a_claim_is_the_one_whose_size_serves_it(
    mean: float, shape: float, price: float, claim: int
) -> None:
    limit = price_of(mean, shape, claim)
    if abs(price - limit) > 1e-9 * price:
        assert (economical_size(mean, shape, price) >= claim) == (price <= limit)


def test_erlang_loss_is_the_textbook_sum() -> None:
    for servers, load in ((1, 0.5), (5, 2.0), (3, 2.0), (12, 9.0)):
        weights = [load**busy / factorial(busy) for busy in range(servers + 1)]
        assert erlang_loss(servers, load) == pytest.approx(weights[-1] / sum(weights))
