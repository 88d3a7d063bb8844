"""How a bench measures: cases that take turns inside one call, medians over the rounds, ratios within a round."""

import gc
import math
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

Number = int | float
Step = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    """One way of doing the work.

    Attributes:
        name: Names it in the results.
        units: How many things (campaigns, claims) one run makes; all figures are per unit.
        before: What a run needs first; not timed.
        run: What is timed.
        after: Undoes the run; not timed.
    """

    name: str
    units: int
    before: Step
    run: Step
    after: Step


@dataclass(frozen=True)
class Sample:
    """One run: seconds, and how far the gauge went (bytes of WAL), each per unit."""

    seconds: float
    gauge: float


@dataclass(frozen=True)
class Runs:
    """What was measured: for each case one sample a round, in the order of the rounds."""

    samples: Mapping[str, Sequence[Sample]]

    def milliseconds(self, name: str) -> float:
        """Give the median time of a case, per unit."""
        return median(each.seconds for each in self.samples[name]) * 1000

    def kilobytes(self, name: str) -> float:
        """Give the median way of the gauge, per unit, in units of 1024."""
        return median(each.gauge for each in self.samples[name]) / 1024

    def ratio(self, name: str, base: str) -> float:
        """Give how many times as long as `base` a case takes: the median of the ratios within each round.

        A round's two runs are neighbours, so what slows the machine for a while slows both.
        """
        pairs = zip(self.samples[name], self.samples[base], strict=True)
        return median(each.seconds / other.seconds for each, other in pairs)

    def gauge_ratio(self, name: str, base: str) -> float:
        """Give the ratio of the gauge's medians."""
        return self.kilobytes(name) / self.kilobytes(base)

    def and_then(self, more: "Runs") -> "Runs":
        """Give the rounds of both, these first; the cases are the same."""
        return Runs({name: [*mine, *more.samples[name]] for name, mine in self.samples.items()})


async def alternate(
    cases: Sequence[Case],
    *,
    rounds: int,
    warmups: int,
    say: Callable[[str], None],
    gauge: Callable[[], Awaitable[int]] | None = None,
    between: Step | None = None,
) -> Runs:
    """Run every case once a round, each round in another order.

    Args:
        cases: What takes turns; their names are distinct.
        rounds: How many rounds count; five or more.
        warmups: How many rounds come first and do not count.
        say: Is told how far it is.
        gauge: A counter to read before and after each run, outside the timing.
        between: What is done before each round, outside the timing.
    """
    samples: dict[str, list[Sample]] = {case.name: [] for case in cases}
    for number in range(warmups + rounds):
        say(f"warm-up {number + 1} of {warmups}" if number < warmups else f"round {number - warmups + 1} of {rounds}")
        if between:
            await between()
        for place in order(len(cases), number):
            sample = await _measure(cases[place], gauge)
            if number >= warmups:
                samples[cases[place].name].append(sample)
    return Runs(samples)


async def _measure(case: Case, gauge: Callable[[], Awaitable[int]] | None) -> Sample:
    await case.before()
    gc.collect()
    mark = await gauge() if gauge else 0
    began = time.perf_counter()
    await case.run()
    seconds = time.perf_counter() - began
    way = (await gauge() if gauge else 0) - mark
    await case.after()
    return Sample(seconds / case.units, way / case.units)


def order(count: int, number: int) -> list[int]:
    """Give the order of `count` cases in a round.

    Over `count` rounds (twice as many where it is odd) every case stands once, or twice, in every place and
    comes equally often after every other (Williams' design), so that what a run leaves behind favours none.
    """
    row = [(place + 1) // 2 if place % 2 else (count - place // 2) % count for place in range(count)]
    mirrored = count % 2 == 1 and number % 2 == 1
    shift = number // 2 if count % 2 else number
    shifted = [(each + shift) % count for each in row]
    return shifted[::-1] if mirrored else shifted


def percentile(values: Sequence[float], share: float) -> float:
    """Give the value that `share` (0 to 1) of the values do not exceed: a value that was measured, none between."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


@dataclass
class Progress:
    """Says what is going on, on standard error: one line that is written over on a terminal, else a line a stage."""

    bench: str
    stage: str = ""
    _began: float = field(default_factory=time.monotonic)

    def at(self, stage: str) -> None:
        """Begin a stage."""
        self.stage = stage
        self._write(stage, whole_line=True)

    def say(self, detail: str) -> None:
        """Say how far the stage is; only a terminal shows it."""
        if sys.stderr.isatty():
            self._write(f"{self.stage}: {detail}", whole_line=False)

    def _write(self, text: str, *, whole_line: bool) -> None:
        over = "\r\x1b[K" if sys.stderr.isatty() else ""
        end = "\n" if whole_line else ""
        sys.stderr.write(f"{over}{self.bench} {time.monotonic() - self._began:4.0f} s  {text}{end}")
        sys.stderr.flush()


@dataclass(frozen=True)
class Goal:
    """What a figure should be: at most, or at least, a bound. A bench reports it and never fails on it."""

    figure: str
    bound: Number
    at_least: bool = False

    def met(self, figures: Mapping[str, Number]) -> bool:
        """Say whether the figures meet it."""
        value = figures[self.figure]
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"


@dataclass(frozen=True)
class Plot:
    """Bars: a group for each key of `groups`, in it a bar for each label; milliseconds on a logarithmic axis."""

    title: str
    groups: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Result:
    """What a bench found.

    Attributes:
        figures: Figure to number; goes to `bench/results/NAME.json`.
        versions: Of what was measured, by name, the server's first.
        text: Markdown between the title and the machine in `bench/README.md`: tables and what they mean.
        goals: What some of the figures should be.
        plot: What to draw.
    """

    figures: Mapping[str, Number]
    versions: Mapping[str, str]
    text: str
    goals: Sequence[Goal]
    plot: Plot


@dataclass(frozen=True)
class Bench:
    """A bench: a module of this package that has one as `BENCH`.

    Attributes:
        title: Heading of its section in `bench/README.md`.
        summary: One line for `--help`.
        run: Measures.
    """

    title: str
    summary: str
    run: Callable[[Progress], Coroutine[None, None, Result]]
