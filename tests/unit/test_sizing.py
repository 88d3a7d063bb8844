"""The sizer: a replay that agrees with theory, forecasts that do not peek, decisions within their bounds."""

from datetime import UTC, datetime
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaignpool.sizing import policies, trace
from campaignpool.sizing.distribution import erlang_loss
from campaignpool.sizing.forecast import Forecaster
from campaignpool.sizing.history import DAY, WEEK, History
from campaignpool.sizing.simulation import Refills, best_fixed, replay, replay_fixed
from campaignpool.sizing.sizer import PRICE_INTERVAL, Event, Sizer, Target

START = datetime(2026, 1, 5, tzinfo=UTC).timestamp()  # a Monday


def poisson(rate: float, seconds: float, *, start: float = START, seed: int = 1) -> list[float]:
    """Return arrivals at `rate` a second."""
    random, moment, times = Random(seed), start, []
    while (moment := moment + random.expovariate(rate)) < start + seconds:
        times.append(moment)
    return times


def at_nine(days: int, *, zone: str = "UTC", number: int = 20, first: datetime = datetime(2026, 1, 5)) -> list[float]:  # noqa: DTZ001 (local)
    """Return `number` claims within the minute after 9:00 local time, each day."""
    local = first.replace(hour=9, tzinfo=ZoneInfo(zone))
    random = Random(2)
    ordinal = local.toordinal()
    starts = [
        datetime.combine(datetime.fromordinal(ordinal + day), local.timetz()).timestamp() for day in range(days)
    ]
    return sorted(start + random.random() * 60 for start in starts for _ in range(number))


@pytest.mark.parametrize(("size", "load"), [(5, 2.0), (3, 2.0), (2, 0.3)])
def test_a_replay_with_free_jobs_misses_what_erlang_says(size: int, load: float) -> None:
    lead, seconds = 30.0, 150_000 * 30.0 / load
    times = poisson(load / lead, seconds)
    result = replay_fixed(times, size, Refills(lead, jobs=1000), since=START, until=START + seconds)
    loss = erlang_loss(size, load)
    assert result.misses / result.claims == pytest.approx(loss, rel=0.05)
    assert result.idle == pytest.approx(size - load * (1 - loss), rel=0.02)


@settings(deadline=None)
@given(size=st.integers(0, 9), jobs=st.integers(1, 4), seed=st.integers(0, 99), lead=st.floats(5, 300))
def test_a_fixed_size_has_a_replay_of_its_own_with_the_same_result(
    size: int, jobs: int, seed: int, lead: float
) -> None:
    times, refills = poisson(0.02, 20_000, seed=seed), Refills(lead, jobs)
    quick = replay_fixed(times, size, refills, since=START, until=START + 20_000)
    whole = replay(times, policies.fixed(size), refills, since=START, until=START + 20_000)
    assert (quick.claims, quick.misses, quick.created) == (whole.claims, whole.misses, whole.created)
    assert quick.idle == pytest.approx(whole.idle)


@pytest.mark.parametrize("jobs", [1, 2, 50])
def test_the_best_fixed_size_is_the_smallest_that_serves_the_share(jobs: int) -> None:
    times, refills = poisson(0.05, 500_000), Refills(60.0, jobs)
    size, result = best_fixed(times, 0.99, refills, since=START, until=START + 500_000)
    assert result.hit_rate >= 0.99
    assert replay_fixed(times, size - 1, refills, since=START, until=START + 500_000).hit_rate < 0.99


def test_waiting_claims_take_what_is_made_next() -> None:
    times = [START + second for second in (1.0, 2.0, 3.0)]
    replaced = {
        on_empty: replay_fixed(times, 1, Refills(30.0, 2, on_empty=on_empty), since=START, until=START + 3600).created
        for on_empty in ("Clone", "Wait", "Fail")
    }
    assert replaced == {"Clone": 1, "Wait": 3, "Fail": 1}


def sizes(times: list[float], moments: list[float], *, known_until: float) -> list[int]:
    history = History([at for at in times if at < known_until])
    sizer = Sizer(history, Target(0.999), 30.0)
    sizer.learn(moments[0] - DAY, moments[0])
    return [sizer.decide(moment).size for moment in moments]


def test_later_claims_do_not_change_a_decision() -> None:
    times = poisson(0.02, 3 * WEEK)
    until = START + 2.5 * WEEK
    moments = [until - 7200 + 60 * number for number in range(120)]
    burst = [until + 1 + number / 10 for number in range(300)]
    seen = sizes(times, moments, known_until=until)
    assert sizes(times, moments, known_until=float("inf")) == seen
    assert sizes(sorted([*times, *burst]), moments, known_until=float("inf")) == seen


def test_looking_ahead_does_not_change_what_is_decided_then() -> None:
    times = poisson(0.02, 3 * WEEK)
    until = START + 2 * WEEK
    moments = [until + 3600 * number for number in range(24)]
    plain, looking = (Sizer(History(times), Target(0.999), 30.0) for _ in range(2))
    peaks, expected = set(), []
    for moment in moments:
        peaks.add(looking.peak(moment).size)
        expected.append(looking.decide(moment).forecast.mean)
    assert [plain.decide(moment).forecast.mean for moment in moments] == expected
    # The coming day, of which nothing is known yet, is not a day without claims.
    means = [forecast.mean for forecast in Forecaster(History(times[:])).expect(until, moments, 30.0)]
    forecaster = Forecaster(History([at for at in times if at < until]))
    assert [forecast.mean for forecast in forecaster.expect(until, moments, 30.0)] == means
    assert sum(means) / 24 == pytest.approx(0.6, rel=0.1)


@pytest.mark.parametrize("change", [datetime(2026, 3, 29), datetime(2026, 10, 25)])  # noqa: DTZ001 (local)
def test_a_daily_burst_keeps_its_local_time_when_clocks_change(change: datetime) -> None:
    zone = "Europe/Berlin"
    first = datetime.fromordinal(change.toordinal() - 27)
    times = at_nine(30, zone=zone, first=first)
    nine = datetime.combine(change, datetime.min.time().replace(hour=9), ZoneInfo(zone)).timestamp()

    def mean(clock: str, moment: float) -> float:
        return Forecaster(History(times, zone=clock)).forecast(moment, 60.0).mean

    # A burst comes up to three minutes early or late, so its 20 claims are spread over seven.
    assert mean(zone, nine) > 2
    assert mean(zone, nine - 3600) < 0.5
    assert mean(zone, nine + 3600) < 0.5
    assert mean("UTC", nine) < 0.5


def test_an_even_demand_has_an_even_forecast() -> None:
    rate = 0.02
    history = History(poisson(rate, 4 * WEEK))
    forecaster = Forecaster(history)
    means = [forecaster.forecast(START + 4 * WEEK + 900 * slot, 100.0).mean for slot in range(4)]
    assert means == pytest.approx([rate * 100] * 4, rel=0.2)


def test_a_launch_raises_the_size_within_minutes() -> None:
    launch = START + 2 * WEEK
    times = sorted([*poisson(0.001, 2 * WEEK + 3600), *poisson(0.2, 3600, start=launch, seed=5)])
    history = History(times)
    sizer = Sizer(history, Target(0.999), 30.0)
    sizer.learn(launch - DAY, launch)
    before = sizer.decide(launch)
    after = sizer.decide(launch + 120)
    assert before.size <= 2
    assert after.size >= 6
    assert after.basis == "Recent"


def test_a_gap_is_not_an_absence_of_demand() -> None:
    rate, times = 0.02, poisson(0.02, 4 * WEEK)
    gap = (START + 3 * WEEK, START + 3.5 * WEEK)
    seen = [at for at in times if not gap[0] <= at < gap[1]]
    now = START + 4 * WEEK - 3.4 * DAY

    def mean(gaps: list[tuple[float, float]]) -> float:
        return Forecaster(History(seen, gaps=gaps)).forecast(now, 100.0).mean

    assert mean([gap]) == pytest.approx(rate * 100, rel=0.12)
    assert mean([]) < 0.8 * rate * 100


def test_known_time_leaves_out_each_gap_once() -> None:
    history = History([START], gaps=[(START + 10, START + 40), (START + 30, START + 50), (START + 90, START + 95)])
    assert history.known_seconds(START, START + 100) == 55
    assert not history.is_known(START + 45, START + 60)
    assert history.is_known(START + 51, START + 89)


def test_extending_a_history_is_the_same_as_knowing_it_whole() -> None:
    times = poisson(0.05, 5000)
    whole, parts = History(times), History()
    for start in range(0, len(times), 17):
        parts.extend(times[start : start + 17])
    for since in range(0, 5000, 333):
        span = (START + since, START + since + 600)
        assert parts.count(*span) == whole.count(*span) == sum(span[0] <= at < span[1] for at in times)
        assert parts.by_minute(*span) == whole.by_minute(*span)
        assert sum(parts.by_minute(*span)) == parts.count_minutes(*span)


def test_claims_can_be_counted_by_bucket() -> None:
    history = History([START, START + 60, START + 120], [3, 0, 2])
    assert history.count(START, START + 120) == 3
    assert list(history.between(START, START + 180)) == [(START, 3), (START + 60, 0), (START + 120, 2)]


@settings(deadline=None)
@given(
    rate=st.floats(0.0005, 0.5), bounds=st.tuples(st.integers(0, 30), st.integers(0, 30)), floor=st.integers(0, 40)
)
def test_sizes_keep_their_bounds_and_schedules_only_raise(rate: float, bounds: tuple[int, int], floor: int) -> None:
    low, high = sorted(bounds)
    times = poisson(rate, 7200)
    now = START + 7200
    plain = Sizer(History(times), Target(0.999, low, high), 30.0).decide(now)
    event = Event(now - 60, now + 60, floor)
    planned = Sizer(History(times), Target(0.999, low, high, (event,)), 30.0).decide(now)
    assert low <= plain.size <= planned.size <= high
    assert planned.wanted == max(plain.wanted, floor)
    assert planned.limited_by == ("MaxSize" if planned.wanted > high else "MinSize" if planned.wanted < low else None)
    assert (planned.basis == "Schedule") == (floor > plain.wanted)


def test_an_event_is_prepared_one_refill_ahead_and_ends() -> None:
    event = Event(START + 1000, START + 2000, 25)
    sizer = Sizer(History(), Target(0.999, events=(event,)), 30.0, jobs=2)
    assert [sizer.decide(START + second).size for second in (894, 896, 1999, 2000)] == [1, 25, 25, 1]
    assert sizer.peak(START).size == 25
    assert sizer.peak(START).at == START + 900


def test_the_first_day_keeps_the_size_that_was_set() -> None:
    target = Target(0.999, first_size=7)
    for seconds, size, basis in ((3600.0, 7, "Fixed"), (1.5 * DAY, 2, "Blend")):
        decision = Sizer(History([START]), target, 30.0).decide(START + seconds)
        assert (decision.size <= size, decision.basis) == (True, basis)
    assert Sizer(History(), target, 30.0).decide(START).size == 7


def test_misses_correct_the_price_only_while_the_pool_has_the_decided_sizes() -> None:
    times = poisson(0.02, 3 * DAY)
    now = START + 3 * DAY

    def price(serving_since: float) -> float:
        sizer = Sizer(History(times), Target(0.999), 30.0)
        sizer.serving_since = serving_since
        sizer.missed(times[-40:])
        sizer.decide(now)
        return sizer.price

    assert price(START) < price(float("inf"))


def test_a_promise_that_is_wrong_by_a_factor_is_corrected_by_that_factor() -> None:
    history = History(poisson(0.05, 4 * WEEK))
    sizer = Sizer(history, Target(0.99), 30.0)
    sizer.serving_since = START
    came, moment = 0.0, START + DAY
    while moment < START + 4 * WEEK - DAY:
        sizer.decide(moment)
        came += 3 * sizer._priced[-1][1] * history.count(moment, moment + PRICE_INTERVAL)
        sizer.missed([moment + 60.0 * number for number in range(int(came))])
        came, moment = came % 1, moment + PRICE_INTERVAL
    sizer.decide(moment)
    aim = sizer._aim(moment, sizer._recent_misses(moment))
    assert 3 * sizer._priced[-1][1] == pytest.approx(aim, rel=0.15)


@given(claims=st.integers(1, 5000), at_once=st.integers(1, 100), availability=st.sampled_from([0.9, 0.99, 0.999]))
def test_the_more_misses_are_allowed_and_the_fewer_come_at_once_the_nearer_the_aim(
    claims: int, at_once: int, availability: float
) -> None:
    def aim(claims: int, at_once: int) -> float:
        sizer = Sizer(History([START - number for number in range(claims, 0, -1)]), Target(availability), 30.0)
        return sizer._aim(START, [START - 60.0 * number for number in range(100) for _ in range(at_once)][::-1])

    tolerated = 1 - availability
    assert tolerated / 8 <= aim(claims, at_once) < tolerated
    assert aim(claims, at_once) <= aim(2 * claims, at_once)
    assert aim(claims, at_once + 1) <= aim(claims, at_once)


def test_replacing_the_end_of_a_history_is_the_same_as_knowing_it_so() -> None:
    times = poisson(0.05, 5000)
    for since in (0, 60, 1234, 3000, 6000):
        history = History(times)
        kept = [at for at in times if at < START + since]
        later = poisson(0.02, 5000 - since, start=START + since, seed=9) if since < 5000 else []
        history.replace(START + since, later)
        whole = History(kept + later)
        assert history.start == whole.start
        for start in range(0, 6000, 300):
            window = (START + start, START + start + 300)
            assert history.count(*window) == whole.count(*window)
            assert history.by_minute(*window) == whole.by_minute(*window)


@pytest.mark.parametrize("availability", [0.9, 0.99])
def test_a_replay_reaches_what_is_asked_for_and_expects_what_it_counts(availability: float) -> None:
    rate, until = 0.02, START + 4 * WEEK
    times = poisson(rate, 4 * WEEK)
    since, lead = START + 3 * WEEK, 150.0
    sizer = Sizer(History(times), Target(availability), lead)
    sizer.learn(since - 3 * DAY, since)
    result = replay(
        times,
        lambda now: sizer.decide(now).size,
        Refills(lead),
        since=since,
        until=until,
        missed=lambda moment: sizer.missed([moment]),
    )
    assert result.hit_rate >= availability
    fixed = best_fixed(times, availability, Refills(lead), since=since, until=until)[1]
    assert result.idle <= 1.3 * fixed.idle
    expected = sizer.expected_misses()
    assert expected is not None
    assert 0.5 <= expected / (result.misses / result.claims) <= 2


def test_the_oracle_knows_each_bucket() -> None:
    buckets = [trace.Bucket(START, 600, 60), trace.Bucket(START + 600, 600, 0), trace.Bucket(START + 900, 300, 90)]
    claims = policies.known(buckets)
    assert claims(START + 300, START + 360) == pytest.approx(6)
    assert claims(START + 570, START + 700) == pytest.approx(3)
    assert claims(START + 900, START + 9000) == pytest.approx(90)
    assert claims(START - 100, START + 9000) == pytest.approx(150)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("start,count\n", "the column seconds is missing"),
        ("start,seconds,count\n", "the trace has no claims"),
        ("start,seconds,count\nmonday,60,1\n", "line 2: expected an ISO 8601 time"),
        ("start,seconds,count\n2026-01-05,60,1.5\n", "line 2: expected an ISO 8601 time"),
        ("start,seconds,count\n2026-01-05,0,1\n", "line 2: seconds must be above 0"),
    ],
)
def test_what_is_no_trace_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(trace.TraceError, match=message):
        trace.read(path)


def test_arrivals_lie_in_their_buckets(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("start,seconds,count\n2026-01-05T01:00:00Z,60,3\n2026-01-05T00:00:00,60,2\n")
    buckets = trace.read(path)
    times = trace.arrivals(buckets)
    assert [bucket.claims for bucket in buckets] == [2, 3]
    assert [START <= at < START + 60 for at in times] == [True, True, False, False, False]
    assert all(START + 3600 <= at < START + 3660 for at in times[2:])
