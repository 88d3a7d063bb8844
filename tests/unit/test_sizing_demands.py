"""The sizer on drawn demands, each another mixture of what demands have: its rules are not those of the traces."""

from dataclasses import dataclass
from functools import cache
from math import cos, pi, sqrt
from random import Random

import pytest

from campaignpool.sizing import compare
from campaignpool.sizing.compare import Demand, Outcome
from campaignpool.sizing.simulation import Refills
from campaignpool.sizing.trace import Bucket

START = 1_767_571_200.0
"""A Monday in UTC."""

AVAILABILITY, DAYS, LEARNED = 0.98, 14, 9
"""Share of claims to serve, low, so that a week has enough misses to judge; days that are drawn, and learned from."""


@dataclass(frozen=True)
class Drawn:
    """What a demand is drawn from.

    Attributes:
        hourly: Claims an hour on average.
        swing: How far the hours of a day differ: 0 all the same, 1 none at night.
        weekend: Claims of a day at the weekend, as a share of a weekday's.
        growth: By how much a week exceeds the one before it, as a share.
        spread: Variance of an hour's rate, relative to its square: weather, news.
        burst: Claims that come within five minutes each day at the same time.
    """

    hourly: float
    swing: float = 0.0
    weekend: float = 1.0
    growth: float = 0.0
    spread: float = 0.0
    burst: int = 0

    def demand(self, seed: int, lead: float) -> Demand:
        """Return a demand of DAYS days by five minutes."""
        random, buckets = Random(seed), []
        burst_at = random.randrange(288)
        for number in range(DAYS * 288):
            if number % 12 == 0:
                factor = random.gammavariate(1 / self.spread, self.spread) if self.spread else 1.0
            day = number // 288
            rate = self.hourly / 12 * factor * (1 + self.growth) ** (day / 7)
            rate *= 1 - self.swing * cos(2 * pi * number / 288)
            rate *= self.weekend if day % 7 >= 5 else 1.0
            if number % 288 == burst_at:
                rate += self.burst
            buckets.append(Bucket(START + 300.0 * number, 300.0, _poisson(random, rate)))
        return Demand.of(buckets, availability=AVAILABILITY, refills=Refills(lead), learn=LEARNED / DAYS)


def _poisson(random: Random, mean: float) -> int:
    count, passed = 0, random.expovariate(1.0)
    while passed < mean:
        count += 1
        passed += random.expovariate(1.0)
    return count


DRAWN = {
    "daily, and no hour like the other": Drawn(25, swing=0.8, weekend=0.5, spread=0.1),
    "growing": Drawn(20, swing=0.5, growth=0.3),
    "bursts at a time of the day": Drawn(10, swing=0.5, burst=25),
}


@cache
def outcome(name: str, policy: str) -> Outcome:
    demand = DRAWN[name].demand(seed=len(name), lead=120.0)
    return compare.run(policy, demand)


@pytest.mark.parametrize("name", DRAWN)
def test_a_drawn_demand_is_served_at_little_more_idle_than_by_the_size_that_hindsight_knows(name: str) -> None:
    sizing, fixed = outcome(name, "sizing").replay, outcome(name, "fixed").replay
    assert sizing.hit_rate >= AVAILABILITY
    # Hindsight knows the demand; the sizer has nine days of it.
    assert sizing.idle <= (1.0 if DRAWN[name].burst else 1.3) * fixed.idle


def test_as_many_misses_come_as_were_promised() -> None:
    parts = [part for name in DRAWN for part in outcome(name, "sizing").weeks]
    expected, counted = sum(part.expected for part in parts), sum(part.counted for part in parts)
    # Misses come a few at a time, so a factor that is closer to 1 may be chance.
    assert expected > 50
    assert 1 / 1.5 <= counted / expected <= 1.5
    for part in parts:
        assert abs(part.counted - part.expected) <= 3 * sqrt(2.5 * part.expected), part
