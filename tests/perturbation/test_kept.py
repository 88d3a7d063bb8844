"""Schedules that failed once. Each is kept with what it showed."""

import pytest

from tests.perturbation.conftest import Check
from tests.perturbation.runner import Runner
from tests.perturbation.schedules import parse

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

KEPT = {
    "pauses compared two clocks: an operator ahead made ten Jobs at once": "fail: clock operator +600",
    "an operator behind paused for ten minutes": "fail: clock operator -600",
    "an API server ahead made 38 Jobs": "fail: clock api +600",
    "a database ahead shifted the pause": "fail: api 5 jump database +600",
    "an owner called master shared the Jobs of the master pool": "owners",
    "two operators both retired what one had counted": "shrink: start 1 second; step 2 pause",
    "the status of a slower operator went back": "revise: start 1 second; step 2 pause 40",
    "a deleted pool came back to life in the ledger": "delete: step 2 pause 40",
    "an operator that slept wrote a pool of a former resource": "recreate: start 1 second; step 2 pause 40",
    "a revision was installed and nobody looked again": "revise",
    "a first comparison of the template failed and nobody compared again": "canary: inside 63 40001",
    "targets above maxSize depended on the past": "cap",
}


@pytest.mark.parametrize("line", KEPT.values(), ids=KEPT)
def test_a_schedule_that_failed_once(check: Check, line: str) -> None:
    check([parse(line)])


@pytest.mark.parametrize("fault", ["sql 12 cut", "sql 12 lost", "sql 12 40001"])
def test_one_lost_connection_changes_no_condition(runner: Runner, fault: str) -> None:
    report = runner.run(parse(f"refill: {fault}"))
    assert report.met
    assert not [reason for reason in report.reasons if reason[:2] == ("Degraded", "True")]
