"""`make perturb`: one schedule with its trace, or random ones from a seed, smaller ones of those that fail.

python -m tests.perturbation 'refill: sql 12 after; watch Job 3 drop'
python -m tests.perturbation --seed 7 --seconds 1800
"""

import argparse
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from campaignpool_local.postgres import EmbeddedPostgres
from tests.perturbation.runner import Runner, drawn, shrunk
from tests.perturbation.scenarios import SCENARIOS
from tests.perturbation.schedules import Schedule, ScheduleError, parse


def _fails(runner: Runner, schedule: Schedule) -> bool:
    """Return whether a schedule fails in two of three runs: the order of events is not ours alone."""
    return sum(runner.run(schedule).unexpected for _ in range(3)) >= 2


def _one(runner: Runner, line: str) -> int:
    report = runner.run(parse(line))
    print(*report.trace, sep="\n")
    print(report)
    print(f"crossings: {dict(report.counts)}")
    if not report.met:
        print("a fault was not met: the scenario has fewer crossings than its number")
    return 1 if report.unexpected else 0


def _many(runner: Runner, seed: int, seconds: float) -> int:
    chance, end = random.Random(seed), time.monotonic() + seconds
    counts: Counter[str] = Counter()
    slow: Counter[str] = Counter()
    while time.monotonic() < end:
        schedule = drawn(chance, runner.reference)
        report = runner.run(schedule)
        counts["schedules"] += 1
        counts["violations"] += report.unexpected
        slow.update(f"{schedule}" for _ in report.slow)
        if report.unexpected:
            print(report)
            if _fails(runner, schedule):
                print("smaller:", runner.run(shrunk(schedule, lambda item: _fails(runner, item))), sep="\n")
    print(f"seed {seed}: {counts['schedules']} schedules, {counts['violations']} violations")
    for line in slow:
        print(f"only the resync heals: {line}")
    return 1 if counts["violations"] else 0


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="make perturb", description=__doc__)
    parser.add_argument("schedule", nargs="?", help=f"SCENARIO: FAULT; ... with one of {', '.join(SCENARIOS)}")
    parser.add_argument("--seed", type=int, default=1, help="of random schedules")
    parser.add_argument("--seconds", type=float, default=60, help="how long to try random schedules")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with (
        tempfile.TemporaryDirectory(prefix="campaignpool-perturb-") as folder,
        EmbeddedPostgres(Path(folder) / "postgres") as server,
    ):
        runner = Runner(server)
        try:
            if options.schedule:
                return _one(runner, options.schedule)
        except (ScheduleError, KeyError) as error:
            print(error, file=sys.stderr)
            return 2
        return _many(runner, options.seed, options.seconds)


if __name__ == "__main__":
    sys.exit(main())
