"""Sizing in the operator: lead times, known events, the status, and what the plan does with the size."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from campaignpool.api.reasons import Reason
from campaignpool.api.resource import MASTER
from campaignpool.api.sizing import Sizing as Spec
from campaignpool.api.status import CampaignPoolStatus
from campaignpool.errors import ConfigurationError
from campaignpool.ledger.demand import Demand
from campaignpool.ledger.pools import OwnerCounts
from campaignpool.sizing.history import DAY
from campaignpool_operator.facts import Observed, Sizing
from campaignpool_operator.plan.actions import Retire
from campaignpool_operator.plan.plan import plan
from campaignpool_operator.sizing.events import events_of
from campaignpool_operator.sizing.leads import FIRST_SECONDS, LeadTimes
from campaignpool_operator.sizing.learning import LEARNED_DAYS, Setting, learn
from campaignpool_operator.status import sizing
from campaignpool_operator.status.conditions import find
from campaignpool_operator.status.project import project
from campaignpool_operator.text import dump, merge_patch
from tests.support.pools import NOW, ago, ledger, observed, run, spec

AUTO = {"mode": "Auto"}


def found(**changes: object) -> Sizing:
    facts: dict[str, Any] = {
        "recommended": 7,
        "applied": 7,
        "keep": 9,
        "limited_by": None,
        "basis": "Blend",
        "lead_seconds": 4.23,
        "day": (1000, 1),
        "week": (9000, 4),
        "expected": 0.99961,
    }
    return Sizing(**{**facts, **changes})


def sized(ready: int = 0, **changes: object) -> Observed:
    stock = ledger({MASTER: OwnerCounts(ready=ready)})
    return observed(spec=spec(sizing=AUTO, size=7), sizing=found(**changes), ledger=stock)


def status_of(seen: Observed) -> CampaignPoolStatus:
    return project(seen, plan(seen))


def condition(seen: Observed, kind: str) -> tuple[str, str, str]:
    result = find(status_of(seen), kind)
    assert result is not None
    return result.status, result.reason, result.message


def test_the_lead_time_is_what_nine_of_ten_refills_take_that_ran_alone() -> None:
    leads = LeadTimes()
    assert leads.seconds == FIRST_SECONDS
    for number in range(1, 11):
        job = run(number, "Succeeded", made_at=ago(100 - number))
        leads.order([job.job], ago(100), running=())
        leads.arrive({job.job: job}, (), imaging_until=None)
    assert leads.seconds == 9


@pytest.mark.parametrize(
    ("jobs", "running", "changes"),
    [
        (["a", "b"], (), {}),
        (["a"], ("other",), {}),
        (["a"], (), {"outcome": "Failed"}),
        (["a"], (), {"attempts": 2}),
        (["a"], (), {"outcome": None, "reserved": 2}),
    ],
)
def test_refills_that_waited_or_failed_do_not_measure_the_lead_time(
    jobs: list[str], running: tuple[str, ...], changes: dict[str, Any]
) -> None:
    leads = LeadTimes(5.0)
    leads.order(jobs, ago(100), running)
    leads.arrive({"a": replace(run(1, "Succeeded"), job="a", **changes)}, jobs, imaging_until=None)
    assert leads.seconds == 5.0


def test_required_images_are_part_of_the_lead_time() -> None:
    leads = LeadTimes()
    leads.order(["a"], ago(100), ())
    leads.arrive({"a": replace(run(1, "Succeeded", made_at=ago(90)), job="a")}, (), imaging_until=ago(40))
    assert leads.seconds == 60


def test_events_follow_the_local_clock() -> None:
    wanted = Spec.model_validate(
        {
            "timeZone": "Europe/Berlin",
            "schedules": [
                {"name": "class", "schedule": "0 8 * * 1-5", "duration": "2h", "minSize": 30},
                {"name": "release", "schedule": "0 16 5 3 *", "duration": "6h", "minSize": 40},
            ],
        }
    )
    winter, summer = (events_of(wanted, datetime(2026, month, 3, 6, 30, tzinfo=UTC)) for month in (2, 7))
    assert [event.start for event in winter] == [datetime(2026, 2, day, 7, tzinfo=UTC).timestamp() for day in (3, 4)]
    # The class that lasts now counts; the third of July is a Friday.
    assert [event.start for event in summer] == [datetime(2026, 7, 3, 6, tzinfo=UTC).timestamp()]
    assert {event.end - event.start for event in (*winter, *summer)} == {7200.0}
    (release,) = (event for event in events_of(wanted, datetime(2026, 3, 5, tzinfo=UTC)) if event.size == 40)
    assert release.start == datetime(2026, 3, 5, 15, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("timeZone", "Berlin", "spec.sizing.timeZone: Berlin is no time zone"),
        ("timeZone", "../etc", "is no time zone"),
        (
            "schedules",
            [{"name": "late", "schedule": "0 25 * * *", "duration": "1h", "minSize": 1}],
            "spec.sizing.schedules, late: '0 25 \\* \\* \\*' is no cron expression",
        ),
    ],
)
def test_what_is_no_time_zone_or_schedule_is_named(field: str, value: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        events_of(Spec.model_validate({field: value}), NOW)


def test_a_surplus_is_retired_beyond_what_the_scale_down_window_keeps() -> None:
    def retired(ready: int) -> list[tuple[int, int]]:
        seen = sized(ready=ready)
        return [(item.keep, item.count) for item in plan(seen).actions if isinstance(item, Retire)]

    assert retired(9) == []
    assert retired(12) == [(9, 3)]
    recommended = sized(applied=None, ready=9)
    assert [item.keep for item in plan(recommended).actions if isinstance(item, Retire)] == [0]


def test_the_status_says_what_sizing_found() -> None:
    seen = sized(peak=(NOW + timedelta(hours=3), 31))
    result = status_of(seen).sizing
    assert result is not None
    assert (result.recommended, result.applied, result.basis, result.lead_time_seconds) == (7, 7, "Blend", 4.2)
    shown = result.availability
    assert (shown.day, shown.week, shown.expected) == ("99.9%", "99.955%", "99.961%")
    assert (shown.claims, shown.misses) == (9000, 4)
    assert result.next_peak is not None
    assert (result.next_peak.at, result.next_peak.size) == ("2026-01-01T04:00:00Z", 31)
    assert condition(seen, "SizingActive")[:2] == ("True", "SizingApplied")
    assert condition(seen, "ScalingLimited")[:2] == ("False", "DesiredWithinRange")
    assert condition(seen, "AvailabilityReached")[:2] == ("True", "TargetReached")


def test_the_figures_stay_while_nothing_is_known_and_go_when_sizing_is_off() -> None:
    before = status_of(sized())
    seen = replace(sized(), sizing=None)
    later = replace(seen, pool=replace(seen.pool, status=before))
    assert status_of(later).sizing == before.sizing
    assert condition(later, "SizingActive")[:2] == ("True", "SizingApplied")
    off = replace(later, spec=spec(sizing={"mode": "Off"}))
    assert status_of(off).sizing is None
    assert [condition(off, kind)[:2] for kind in sizing.KINDS] == [
        ("False", "SizingOff"),
        ("False", "SizingOff"),
        ("Unknown", "SizingOff"),
    ]
    assert condition(seen, "SizingActive")[:2] == ("Unknown", "DemandUnknown")


@pytest.mark.parametrize(
    ("changes", "kind", "status", "reason"),
    [
        ({"applied": None}, "SizingActive", "False", "Recommending"),
        ({"basis": "Fixed"}, "SizingActive", "True", "LearningDemand"),
        ({"limited_by": "MaxSize"}, "ScalingLimited", "True", "LimitedByMaxSize"),
        ({"limited_by": "MinSize"}, "ScalingLimited", "True", "LimitedByMinSize"),
        ({"week": (9000, 10)}, "AvailabilityReached", "False", "TargetMissed"),
        ({"week": (9000, 9)}, "AvailabilityReached", "True", "TargetReached"),
        ({"week": (900, 1)}, "AvailabilityReached", "Unknown", "TooFewClaims"),
        ({"week": (900, 2)}, "AvailabilityReached", "False", "TargetMissed"),
        ({"week": (0, 0)}, "AvailabilityReached", "Unknown", "TooFewClaims"),
    ],
)
def test_conditions(changes: dict[str, Any], kind: str, status: str, reason: str) -> None:
    assert condition(sized(**changes), kind)[:2] == (status, reason)


def test_an_invalid_schedule_is_a_condition_and_stops_nothing_else() -> None:
    seen = replace(sized(), sizing_fault="spec.sizing.timeZone: Berlin is no time zone")
    assert condition(seen, "SizingActive") == (
        "False",
        "SizingInvalid",
        "spec.sizing.timeZone: Berlin is no time zone.",
    )
    assert condition(seen, "Degraded")[0] == "False"


def test_events_are_posted_when_an_applied_size_follows_something_else_or_is_limited() -> None:
    first, second = status_of(sized()), status_of(sized(basis="Recent", limited_by="MaxSize"))
    assert [event.reason for event in sizing.events(first, second)] == [
        Reason.SIZING_BASIS_CHANGED,
        Reason.LIMITED_BY_MAX_SIZE,
    ]
    assert not list(sizing.events(second, second))
    recommended = status_of(sized(applied=None, basis="Recent"))
    assert not list(sizing.events(first, recommended))


def test_a_sizer_learns_from_rows_and_forgets_what_was_released() -> None:
    now = 10 * DAY
    rows = [Demand(moment, 10.0, 1, int(moment % 7200 == 0)) for moment in (600.0 * number for number in range(1440))]
    learned = learn(rows, [(DAY, 2 * DAY)], Setting(0.999, "UTC", 30.0, 2), now)
    assert learned.sizer.counted_misses(now - DAY, now) == 12
    assert learned.history.count(now - DAY, now) == 144
    assert not learned.history.is_known(DAY + 60, DAY + 120)
    learned.update(now - 3600, [Demand(now - 60, 1.0, 2, 1)], [])
    assert learned.history.count(now - 3600, now) == 2
    assert learned.sizer.counted_misses(now - 3600, now) == 1
    assert learned.history.is_known(DAY + 60, DAY + 120)
    assert LEARNED_DAYS >= 14


def test_a_sizer_is_kept_while_its_lead_time_is_about_the_same() -> None:
    setting = Setting(0.999, "UTC", 30.0, 2)
    assert setting.fits(replace(setting, lead=36.0))
    assert not setting.fits(replace(setting, lead=40.0))
    assert not setting.fits(replace(setting, jobs=3))


def test_a_limit_that_is_gone_is_removed_from_the_status() -> None:
    before = dump(status_of(sized(limited_by="MaxSize")))
    patch = merge_patch(before, dump(status_of(sized())))
    assert patch["sizing"]["limitedBy"] is None
    assert patch["sizing"]["availability"] == before["sizing"]["availability"]
    assert merge_patch({"a": {"b": 1, "c": 2}, "d": 1}, {"a": {"b": 3}}) == {"a": {"b": 3, "c": None}, "d": None}
