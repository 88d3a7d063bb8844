"""The harness: cases alternate in rounds; figures are medians over rounds, or of the ratios within rounds."""

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
    """One of the alternatives that a bench compares.

    Attributes:
        name: The name in the results.
        units: The number of campaigns or claims per run; all figures are per unit.
        before: Prepares a run; not timed.
        run: The timed step.
        after: Undoes the run; not timed.
    """

    name: str
    units: int
    before: Step
    run: Step
    after: Step


@dataclass(frozen=True)
class Sample:
    """One run: seconds and the increase of the gauge (bytes of WAL), both per unit."""

    seconds: float
    gauge: float


@dataclass(frozen=True)
class Runs:
    """The measurements: one sample per case and round, in the order of the rounds."""

    samples: Mapping[str, Sequence[Sample]]

    def milliseconds(self, name: str) -> float:
        """Return the median time of a case per unit, in milliseconds."""
        return median(sample.seconds for sample in self.samples[name]) * 1000

    def kilobytes(self, name: str) -> float:
        """Return the median increase of the gauge per unit, divided by 1024."""
        return median(sample.gauge for sample in self.samples[name]) / 1024

    def ratio(self, name: str, base: str) -> float:
        """Return the time of a case over the time of `base`: the median of the ratios within each round.

        The two runs of a round follow each other, so a temporary slowdown of the machine affects both.
        """
        pairs = zip(self.samples[name], self.samples[base], strict=True)
        return median(sample.seconds / other.seconds for sample, other in pairs)

    def gauge_ratio(self, name: str, base: str) -> float:
        """Return the ratio of the medians of the gauge."""
        return self.kilobytes(name) / self.kilobytes(base)

    def and_then(self, later: "Runs") -> "Runs":
        """Return these rounds followed by later ones of the same cases."""
        return Runs({name: [*samples, *later.samples[name]] for name, samples in self.samples.items()})


async def alternate(
    cases: Sequence[Case],
    *,
    rounds: int,
    warmups: int,
    say: Callable[[str], None],
    gauge: Callable[[], Awaitable[int]] | None = None,
    between: Step | None = None,
) -> Runs:
    """Run every case once per round, in a different order each round, and return the samples.

    Args:
        cases: The alternatives; their names are distinct.
        rounds: The number of measured rounds, at least five.
        warmups: The number of unmeasured rounds before them.
        say: Receives the progress as text.
        gauge: A counter to read before and after each run, outside the timing.
        between: Called before each round, outside the timing.
    """
    samples: dict[str, list[Sample]] = {case.name: [] for case in cases}
    for number in range(warmups + rounds):
        say(f"warm-up {number + 1} of {warmups}" if number < warmups else f"round {number - warmups + 1} of {rounds}")
        if between:
            await between()
        for index in order(len(cases), number):
            sample = await _measure(cases[index], gauge)
            if number >= warmups:
                samples[cases[index].name].append(sample)
    return Runs(samples)


async def _measure(case: Case, gauge: Callable[[], Awaitable[int]] | None) -> Sample:
    await case.before()
    gc.collect()
    gauge_before = await gauge() if gauge else 0
    began = time.perf_counter()
    await case.run()
    seconds = time.perf_counter() - began
    increase = (await gauge() if gauge else 0) - gauge_before
    await case.after()
    return Sample(seconds / case.units, increase / case.units)


def order(count: int, number: int) -> list[int]:
    """Return the order of `count` cases in a round: a Williams design.

    Over `count` rounds (twice as many if it is odd) every case takes every place and follows every other case
    equally often, so that carry-over effects cancel out.
    """
    row = [(place + 1) // 2 if place % 2 else (count - place // 2) % count for place in range(count)]
    mirrored = count % 2 == 1 and number % 2 == 1
    shift = number // 2 if count % 2 else number
    shifted = [(index + shift) % count for index in row]
    return shifted[::-1] if mirrored else shifted


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` (0 to 1) of the values do not exceed; values are not interpolated."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


@dataclass
class Progress:
    """Reports progress on standard error: a line per stage, and on a terminal a line that is overwritten."""

    bench: str
    stage: str = ""
    _began: float = field(default_factory=time.monotonic)

    def at(self, stage: str) -> None:
        """Start a stage and print it."""
        self.stage = stage
        self._write(stage, whole_line=True)

    def say(self, detail: str) -> None:
        """Print the progress within the stage, on a terminal only."""
        if sys.stderr.isatty():
            self._write(f"{self.stage}: {detail}", whole_line=False)

    def _write(self, text: str, *, whole_line: bool) -> None:
        clear = "\r\x1b[K" if sys.stderr.isatty() else ""
        end = "\n" if whole_line else ""
        sys.stderr.write(f"{clear}{self.bench} {time.monotonic() - self._began:4.0f} s  {text}{end}")
        sys.stderr.flush()


@dataclass(frozen=True)
class Goal:
    """An upper or lower bound of a figure. A bench reports whether it is met, and never fails on it."""

    figure: str
    bound: Number
    at_least: bool = False

    def met(self, figures: Mapping[str, Number]) -> bool:
        """Return whether the figures meet the goal."""
        value = figures[self.figure]
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"


@dataclass(frozen=True)
class Plot:
    """A bar chart with a logarithmic axis: for every group the values by label."""

    title: str
    groups: Mapping[str, Mapping[str, float]]
    axis: str = "milliseconds (logarithmic)"


@dataclass(frozen=True)
class Result:
    """The result of a bench.

    Attributes:
        figures: The numbers by name, for `bench/results/NAME.json`.
        versions: Versions of the measured software by name, the server first.
        text: The Markdown of the section in `bench/README.md`: tables and their explanation.
        goals: Bounds of some of the figures.
        plot: The plot of the section.
    """

    figures: Mapping[str, Number]
    versions: Mapping[str, str]
    text: str
    goals: Sequence[Goal]
    plot: Plot


@dataclass(frozen=True)
class Bench:
    """A bench; the modules of this package define it as `BENCH`.

    Attributes:
        title: The heading of its section in `bench/README.md`.
        summary: One line for `--help`.
        run: Measures and returns the result.
    """

    title: str
    summary: str
    run: Callable[[Progress], Coroutine[None, None, Result]]
