"""What people see of demand and sizes: the past as it was expected, the coming day, what sizes would have done."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from campaignpool.ledger.demand import Demand, Terms
from campaignpool.sizing.history import DAY, History
from campaignpool.sizing.outlook import Outlook, outlook
from campaignpool.sizing.simulation import Refills
from campaignpool_operator.dashboard import outlooks
from campaignpool_operator.dashboard.outlooks import Known

NOW = datetime(2026, 3, 5, 12, 34, 56, tzinfo=UTC)
END = NOW.timestamp()


def claims(days: int, a_day: int, seed: int = 1) -> list[float]:
    random = Random(seed)
    return sorted(END - random.random() * days * DAY for _ in range(days * a_day))


def seen(times: list[float], **changes: Any) -> Outlook:
    settings = {"price": 0.002, "bounds": (1, 100), "first_size": 5, **changes}
    return outlook(History(times), Refills(30.0), END, **settings)


def test_the_last_day_is_counted_and_the_coming_one_is_expected() -> None:
    times = claims(21, 240)
    view = seen(times)
    assert [hour.claims is None for hour in view.hours] == [False] * 24 + [True] * 24
    first = view.hours[0].start
    assert [hour.start for hour in view.hours] == [first + 3600 * number for number in range(48)]
    assert sum(hour.claims or 0 for hour in view.hours) == sum(first <= at < first + DAY for at in times)
    assert all(0 <= hour.low <= hour.high and hour.mean > 0 for hour in view.hours)
    inside = sum(hour.low <= (hour.claims or 0) <= hour.high for hour in view.hours[:24])
    assert inside >= 18


def test_what_was_expected_of_the_last_day_does_not_know_that_day() -> None:
    times = claims(14, 240)
    first = seen(times).hours[0].start
    burst = sorted([*times, *(END - 3600 - number for number in range(500))])
    before, after = seen(times), seen(burst)
    assert [hour.mean for hour in before.hours[:24]] == pytest.approx([hour.mean for hour in after.hours[:24]])
    assert before.sizes[:96] == after.sizes[:96]
    assert sum(hour.claims or 0 for hour in after.hours) > sum(hour.claims or 0 for hour in before.hours)
    assert first == after.hours[0].start


def test_sizes_are_tried_until_no_claim_meets_an_empty_pool() -> None:
    view = seen(claims(21, 480), marked=(3, 40, 0))
    assert {3, 40} <= {item.size for item in view.tried}
    assert all(one.size < other.size for one, other in pairwise(view.tried))
    assert all(one.misses >= other.misses and one.idle <= other.idle for one, other in pairwise(view.tried))
    assert (view.tried[0].misses > 0, view.tried[-1].misses) == (True, 0)
    assert view.claims == pytest.approx(14 * 480, rel=0.05)


@pytest.mark.parametrize("price", [0.5, 0.01, 1e-4])
def test_sizes_keep_within_their_bounds_and_grow_as_idle_campaigns_become_cheaper(price: float) -> None:
    times = claims(21, 4800)
    sizes = seen(times, price=price, bounds=(4, 9)).sizes
    assert len(sizes) == 192
    assert 4 <= min(sizes) <= max(sizes) <= 9
    cheaper = seen(times, price=price / 10, bounds=(4, 9)).sizes
    assert all(one <= other for one, other in zip(sizes, cheaper, strict=True))


def test_less_than_a_day_of_demand_says_nothing_of_the_next() -> None:
    view = seen([END - 3600 + number for number in range(60)])
    assert {(hour.low, hour.mean, hour.high) for hour in view.hours} == {(0, 0.0, 0)}
    assert set(view.sizes) == {5}
    assert view.claims == 60


def test_without_claims_nothing_is_tried_and_the_first_size_is_kept() -> None:
    view = seen([])
    assert (view.tried, view.claims, set(view.sizes)) == ([], 0, {5})
    assert {hour.high for hour in view.hours} == {0}


def test_the_api_shows_the_sizes_that_are_kept_and_recommended() -> None:
    resource = {
        "metadata": {"namespace": "game", "name": "chiwar"},
        "spec": {"size": 7, "maxSize": 20, "sizing": {"mode": "Recommend", "minSize": 2, "maxSize": 50}},
        "status": {"sizing": {"recommended": 31}},
    }
    rows = [Demand(at // 10 * 10, 10.0, 1, 0) for at in claims(10, 300)]
    ledger = Known(NOW, Terms(0.99, "Europe/Berlin", 2, "Wait", None), rows)
    shown = outlooks.computed(resource, ledger)
    assert (shown.pool, shown.availability, shown.lead_seconds) == ("game/chiwar", 0.99, 30.0)
    assert {7, 31} <= {item.size for item in shown.tried}
    assert 2 <= min(shown.sizes) <= max(shown.sizes) <= 20
    began = datetime.fromisoformat(shown.replayed_since)
    assert NOW - timedelta(days=10, minutes=1) <= began <= NOW
    assert shown.replayed_claims == len(rows)
