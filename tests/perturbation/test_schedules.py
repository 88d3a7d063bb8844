"""Lines of schedules, and scenarios without a fault."""

import pytest

from tests.perturbation.runner import Runner, shrunk
from tests.perturbation.scenarios import SCENARIOS
from tests.perturbation.schedules import Schedule, ScheduleError, parse
from tests.support.profile import LONG

pytestmark = [pytest.mark.integration, pytest.mark.long]
ALONE = (
    tuple(SCENARIOS) if LONG else ("linger", "accompany", "pause", "refuse", "undo", "canary", "returning", "expire")
)
"""In the default suite those that no other test runs; the others are run there once without a fault, too."""

LINES = (
    "refill: sql 12 after; watch Job 3 drop",
    "delete: api 4 lost; clock database +600",
    "fill: list Jobs 2 old 3",
)


@pytest.mark.parametrize("line", LINES)
def test_a_schedule_is_one_line_that_can_be_replayed(line: str) -> None:
    assert str(parse(line)) == line


@pytest.mark.parametrize("line", ["fill: sql after", "fill: 3", "FILL"])
def test_what_is_no_schedule_is_refused(line: str) -> None:
    with pytest.raises(ScheduleError, match="is no"):
        parse(line)


def test_a_schedule_shrinks_to_the_faults_that_matter() -> None:
    def fails(schedule: Schedule) -> bool:
        return any(fault.seam == "sql" and fault.number >= 3 for fault in schedule.faults)

    line = "refill: api 2 lost; sql 12 after; watch Job 3 drop"
    assert str(shrunk(parse(line), fails)) == "refill: sql 3 after"


@pytest.mark.parametrize("scenario", ALONE)
def test_a_scenario_without_a_fault_is_the_same_twice(runner: Runner, scenario: str) -> None:
    report = runner.run(Schedule(scenario))
    assert (report.violations, report.slow) == ([], [])
