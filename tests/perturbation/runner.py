"""Run schedules: against the unperturbed run of their scenario, from a seed, and smaller ones of those that fail."""

import asyncio
import itertools
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import asyncpg

from campaignpool.ledger.migrate import migrate
from campaignpool_local.postgres import EmbeddedPostgres
from tests.perturbation import oracles
from tests.perturbation.scenarios import ELECTING, SCENARIOS
from tests.perturbation.schedules import Fault, Schedule
from tests.perturbation.world import RESYNC_SECONDS, World
from tests.support import plan_observed, small

LATE_SECONDS = 60.0
"""Virtual seconds that a fault may delay a step; what takes longer waits for the resync or for a defect."""

STILL_SECONDS = 35.0
"""After a rest, nobody writes or looks for this long: longer than the listener's probe."""

HEALED_BY_RESYNC = {
    (
        "watch Pool",
        "drop",
    ): "a person changed the resource, and the only event of that is lost: nothing else tells of it",
    ("get Pool", "old"): "the answer was that there is no such pool; a real server never answers a GET from the past",
}
"""What only the resync heals, by seam and action, with the reason."""

TEMPLATE = "perturbation_template"
_numbers = itertools.count(1)
T = TypeVar("T")


@dataclass(repr=False)  # asyncio writes the result of a task whenever it ends a loop
class Report:
    """What became of a schedule.

    Attributes:
        violations: What an oracle has found.
        slow: Steps that only the resync brought to their end.
        steps: The snapshots at each rest.
        seconds: Virtual seconds to each rest.
        counts: Crossings by seam.
        marks: Crossings by seam at each rest.
        met: Whether every fault was met.
        reasons: How often a version of the resource had a condition, as (type, status, reason).
    """

    schedule: Schedule
    violations: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    marks: dict[str, Counter[str]] = field(default_factory=dict)
    trace: list[str] = field(default_factory=list)
    observed: list[Any] = field(default_factory=list)
    met: bool = True
    reasons: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    @property
    def unexpected(self) -> bool:
        """Whether an oracle refuses it, or the resync alone healed what other events should have."""
        explained = any((fault.seam, fault.action) in HEALED_BY_RESYNC for fault in self.schedule.faults)
        return bool(self.violations) or (bool(self.slow) and not explained)

    def __str__(self) -> str:
        lines = [f"make perturb SCHEDULE='{self.schedule}'", *(f"  {text}" for text in self.violations)]
        return "\n".join([*lines, *(f"  only the resync heals {step}" for step in self.slow)])


async def prepare(server: EmbeddedPostgres) -> None:
    """Create the database that every schedule starts from."""
    connection = await asyncpg.connect(server.create_database(TEMPLATE))
    await connection.execute(small.SCHEMA)
    await migrate(connection)
    await connection.execute(oracles.WATCHERS)
    await connection.close()


class Runner:
    """Runs schedules on one server; remembers how scenarios end without a fault."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self._references: dict[str, Report] = {}
        asyncio.run(prepare(server))

    def reference(self, scenario: str) -> Report:
        """Return the unperturbed run of a scenario."""
        if scenario not in self._references:
            self._references[scenario] = report = self._run(Schedule(scenario), None)
            assert not report.violations, f"{report}\n" + "\n".join(report.trace)
        return self._references[scenario]

    def run(self, schedule: Schedule) -> Report:
        """Run one schedule."""
        return self._run(schedule, self.reference(schedule.scenario))

    def _run(self, schedule: Schedule, reference: Report | None) -> Report:
        return asyncio.run(self._with_database(lambda url: _perform(World(schedule, url), reference)))

    def alone(self, act: Callable[[World], Awaitable[T]]) -> T:
        """Do something in a world of its own, without faults."""

        async def run(url: str) -> T:
            async with World(Schedule("alone"), url).opened() as world:
                return await act(world)

        return asyncio.run(self._with_database(run))

    async def _with_database(self, act: Callable[[str], Awaitable[T]]) -> T:
        name = f"perturbed_{os.getpid()}_{next(_numbers)}"
        admin = await asyncpg.connect(self._server.url)
        try:
            await admin.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy")
            try:
                return await act(self._server.url_of(name))
            finally:
                await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        finally:
            await admin.close()


async def _perform(world: World, reference: Report | None) -> Report:
    schedule, seams = world.schedule, world.seams
    report, hashes = Report(schedule), dict[str, str]()
    async with world.opened():
        began = world.clocks.passed

        async def rest(step: str) -> None:
            nonlocal began
            settled = await world.settle()
            report.seconds[step] = world.clocks.passed - began
            existing = await oracles.snapshot(world)
            expected = reference.steps[step] if reference else existing
            late = bool(reference) and report.seconds[step] > reference.seconds[step] + LATE_SECONDS + _own(schedule)
            if settled and not late and oracles.differences(expected, existing):
                await world.run_for(1.1 * RESYNC_SECONDS)
                settled, late = await world.settle(), True
                existing = await oracles.snapshot(world)
            differs = oracles.differences(expected, existing)
            if not settled:
                report.violations.append(f"{step}: no rest")
            elif late and not differs:
                report.slow.append(step)
            report.violations += [f"{step}: {text}" for text in differs]
            report.violations += [f"{step}: {text}" for text in await oracles.rules(world, hashes)]
            report.violations += [f"{step}: {text}" for text in await _still(world)]
            report.steps[step] = existing
            report.marks[step] = Counter(seams.counts)
            began = world.clocks.passed

        seams.counting = True
        await seams.meet(seams.cross("start", schedule.scenario))
        world.elects = schedule.scenario in ELECTING
        world.start_operator()
        await SCENARIOS[schedule.scenario](world, rest)
        clocks_agree = all(fault.action != "jump" for fault in schedule.faults)
        report.violations += oracles.history(world.store, world.pods.begun, clocks_agree=clocks_agree)
        report.violations += _plans(world)
        report.counts, report.trace, report.observed = seams.counts, seams.trace, world.observed
        report.reasons = oracles.reasons(world.store)
        report.met = len(seams.injected) == len(schedule.faults)
    return report


def _plans(world: World) -> list[str]:
    """Return what does not hold of the plans of all that was observed."""
    result = []
    for seen in world.observed:
        try:
            plan_observed.check(seen)
        except AssertionError as error:
            result.append(f"plan: {error}")
    return result


def _own(schedule: Schedule) -> float:
    """Return the seconds that the faults themselves take."""
    return sum(20.0 if fault.action == "pause" else 6.0 for fault in schedule.faults)


async def _still(world: World) -> list[str]:
    """Return who does something at rest."""

    def counts() -> tuple[int, int, int]:
        loops = sum(operator.loops_run for operator in world.operators)
        return loops, world.seams.counts["api"], world.seams.counts["sql"]

    before = counts()
    await world.run_for(STILL_SECONDS)
    names = ("loops", "writes to the API", "writes to the ledger")
    return [
        f"at rest there were {after - first} {name}"
        for name, first, after in zip(names, before, counts(), strict=True)
        if after > first
    ]


# --- which schedules there are --------------------------------------------------------------------------------------

ACTIONS: dict[str, tuple[str, ...]] = {
    "api": ("after", "before", "lost", "403", "409", "429", "500", "pause", "touch"),
    "sql": ("after", "before", "inside", "lost", "cut", "40001", "pause"),
    "inside": ("after", "cut", "40001"),
    "watch Pool": ("drop", "double", "late", "swap", "denied"),
    "watch Job": ("drop", "double", "late", "swap", "denied"),
    "notify": ("drop", "double", "late", "swap"),
    "list Jobs": ("old 1", "old 3", "403", "500"),
    "get Pool": ("old 1", "old 3", "403", "500"),
    "pod": ("kill 2", "kill 5", "late", "delete", "lose"),
    "step": ("pause", "before"),
    "store": ("fail", "lost", "pause"),
}


def every(report: Report, seam: str, *actions: str, after: str = "") -> Iterator[Schedule]:
    """Yield a schedule for each crossing of a seam in an unperturbed run, and each action.

    Args:
        report: Of the unperturbed run.
        seam: Which crossings.
        actions: What happens there; by default all that can.
        after: Leave out the crossings before the rest of this name: another scenario has the same.
    """
    first = report.marks[after][seam] if after else 0
    for number in range(first + 1, report.counts[seam] + 1):
        for action in actions or ACTIONS[seam]:
            word, *arguments = action.split()
            yield Schedule(report.schedule.scenario, (Fault(seam, number, word, tuple(arguments)),))


def clocks(scenario: str) -> Iterator[Schedule]:
    """Yield schedules whose clocks are ten minutes apart, from the start or from the first write on."""
    for clock in ("operator", "api", "database"):
        for seconds in ("+600", "-600"):
            yield Schedule(scenario, (Fault("start", 1, "jump", (clock, seconds)),))
            yield Schedule(scenario, (Fault("api", 3, "jump", (clock, seconds)),))


def drawn(chance: random.Random, reference: Callable[[str], Report]) -> Schedule:
    """Return a random schedule of one to three faults."""
    scenario = chance.choice(list(SCENARIOS))
    counts = reference(scenario).counts
    faults = []
    for _ in range(chance.randint(1, 3)):
        seam = chance.choice([name for name in ACTIONS if counts[name]])
        word, *arguments = chance.choice(ACTIONS[seam]).split()
        faults.append(Fault(seam, chance.randint(1, counts[seam]), word, tuple(arguments)))
    if chance.random() < 0.2:
        clock = chance.choice(["operator", "api", "database"])
        faults.append(Fault("start", 1, "jump", (clock, chance.choice(["+600", "-600"]))))
    elif chance.random() < 0.25:
        faults.append(Fault("start", 1, "second"))
    return Schedule(scenario, tuple(faults))


def shrunk(schedule: Schedule, fails: Callable[[Schedule], bool]) -> Schedule:
    """Return a smaller schedule that fails too: with fewer faults, then with earlier ones."""
    for fault in schedule.faults:
        fewer = replace(schedule, faults=tuple(item for item in schedule.faults if item is not fault))
        if fewer.faults and fails(fewer):
            return shrunk(fewer, fails)
    for at, fault in enumerate(schedule.faults):
        for number in (1, fault.number // 2, fault.number - 1):
            if 0 < number < fault.number:
                faults = list(schedule.faults)
                faults[at] = replace(fault, number=number)
                earlier = replace(schedule, faults=tuple(faults))
                if fails(earlier):
                    return shrunk(earlier, fails)
    return schedule
