"""Events that do not come, come twice or late; answers of long ago; clocks that are apart."""

import pytest

from tests.perturbation.conftest import Check
from tests.perturbation.runner import Runner, clocks, every
from tests.perturbation.scenarios import SCENARIOS

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    ("scenario", "after"), [("fill", ""), ("refill", "full"), ("shrink", "full"), ("revise", "full")]
)
def test_an_event_that_is_lost_once_is_made_up_for(runner: Runner, check: Check, scenario: str, after: str) -> None:
    reference = runner.reference(scenario)
    seams = ("watch Pool", "watch Job", "notify")
    check([schedule for seam in seams for schedule in every(reference, seam, "drop", after=after)])


def test_events_in_another_order_change_nothing(runner: Runner, check: Check) -> None:
    reference = runner.reference("refill")
    check([item for seam in ("watch Job", "notify") for item in every(reference, seam, "swap", after="full")])


@pytest.mark.parametrize("scenario", ["refill", "revise"])
def test_a_watch_that_is_refused_begins_again(runner: Runner, check: Check, scenario: str) -> None:
    reference = runner.reference(scenario)
    denied = [item for seam in ("watch Pool", "watch Job") for item in every(reference, seam, "denied")]
    check(denied[::3])


def test_clocks_that_are_ten_minutes_apart_change_nothing(check: Check) -> None:
    check(clocks("fail"))


@pytest.mark.parametrize("scenario", ["refill", "shrink"])
def test_answers_of_long_ago_do_no_harm(runner: Runner, check: Check, scenario: str) -> None:
    reference = runner.reference(scenario)
    old = [*every(reference, "list Jobs", "old 3"), *every(reference, "get Pool", "old 3")]
    check(old[:: max(1, len(old) // 5)])


@pytest.mark.soak
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("seam", ["watch Pool", "watch Job", "notify", "list Jobs", "get Pool"])
def test_whatever_happens_to_a_view_is_made_up_for(runner: Runner, check: Check, scenario: str, seam: str) -> None:
    reference = runner.reference(scenario)
    if reference.counts[seam]:
        check(every(reference, seam))


@pytest.mark.soak
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_clocks_may_be_apart_in_every_scenario(check: Check, scenario: str) -> None:
    check(clocks(scenario))
