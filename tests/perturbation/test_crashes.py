"""The operator dies, or loses an answer, at each of its writes; two operators; operators that sleep."""

import pytest

from tests.perturbation.conftest import Check
from tests.perturbation.runner import Runner, every
from tests.perturbation.scenarios import SCENARIOS
from tests.perturbation.schedules import Fault, Schedule

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

USUAL = {"fill": "", "refill": "full", "shrink": "full", "revise": "full"}
"""Scenarios whose writes are all interrupted in the default suite, and the step after which they differ from `fill`;
`make soak` has the others, and everything that can happen to a write."""


@pytest.mark.parametrize("scenario", USUAL)
def test_an_operator_that_dies_after_a_write_is_made_up_for(runner: Runner, check: Check, scenario: str) -> None:
    reference = runner.reference(scenario)
    check([item for seam in ("api", "sql") for item in every(reference, seam, "after", after=USUAL[scenario])])


@pytest.mark.parametrize("scenario", ["refill", "shrink", "delete", "recreate", "revise", "fail"])
def test_two_operators_do_no_harm_to_each_other(check: Check, scenario: str) -> None:
    check([Schedule(scenario, (Fault("start", 1, "second"),))])


@pytest.mark.parametrize("scenario", ["refill", "recreate"])
def test_an_operator_that_sleeps_for_longer_than_a_lease_does_no_harm(
    runner: Runner, check: Check, scenario: str
) -> None:
    """Between observe and apply, while another one has taken over."""
    number = runner.reference(scenario).counts["step"]
    second = Fault("start", 1, "second")
    check(Schedule(scenario, (second, Fault("step", at, "pause"))) for at in range(1, number + 1))


def test_a_leader_that_sleeps_for_longer_than_its_lease_does_no_harm(runner: Runner, check: Check) -> None:
    check(every(runner.reference("hand over"), "step", "pause"))


def test_a_call_of_the_store_that_has_no_answer_is_made_up_for(runner: Runner, check: Check) -> None:
    check(every(runner.reference("images"), "store", "lost"))


@pytest.mark.soak
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_two_operators_of_which_one_sleeps(runner: Runner, check: Check, scenario: str) -> None:
    second = Fault("start", 1, "second")
    number = runner.reference(scenario).counts["step"]
    sleeps = [Schedule(scenario, (second, Fault("step", at, "pause"))) for at in range(1, number + 1)]
    check([Schedule(scenario, (second,)), *sleeps])


@pytest.mark.soak
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("seam", ["api", "sql", "inside", "pod", "step", "store"])
def test_whatever_happens_to_a_write_is_made_up_for(runner: Runner, check: Check, scenario: str, seam: str) -> None:
    reference = runner.reference(scenario)
    if reference.counts[seam]:
        check(every(reference, seam))
