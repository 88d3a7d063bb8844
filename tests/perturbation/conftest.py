"""Fixtures: one runner of schedules per session."""

from collections.abc import Callable, Iterable

import pytest

from campaignpool_local.postgres import EmbeddedPostgres
from tests.perturbation.runner import Runner
from tests.perturbation.schedules import Schedule

Check = Callable[[Iterable[Schedule]], None]


@pytest.fixture(scope="session")
def runner(postgres_server: EmbeddedPostgres) -> Runner:
    return Runner(postgres_server)


@pytest.fixture
def check(runner: Runner) -> Check:
    """Return a function that runs schedules and fails with one line for each that an oracle refuses."""

    def run(schedules: Iterable[Schedule]) -> None:
        reports = [runner.run(schedule) for schedule in schedules]
        assert reports, "there is nothing to try"
        bad = [report for report in reports if report.unexpected]
        slow = [str(report.schedule) for report in reports if report.slow]
        print(f"{len(reports)} schedules, {len(bad)} refused; only the resync heals {slow}")
        assert not bad, "\n".join(map(str, bad))

    return run
