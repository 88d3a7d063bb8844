"""Schedules: a scenario and what goes wrong in it, as one line that can be replayed.

refill: sql 12 after; watch Job 3 drop
delete: api 4 lost; clock database +600
shrink: start 1 second; api 2 pause 20
"""

import re
from dataclasses import dataclass

_LINE = re.compile(r"\s*([a-z][a-z ]*?)\s*(?::\s*(.*))?")
_FAULT = re.compile(r"(.+?) (\d+) ([a-z0-9]+)((?: \S+)*)")
_CLOCK = re.compile(r"clock (operator|api|database) ([+-]\d+)")


class ScheduleError(ValueError):
    """A line that is no schedule."""


@dataclass(frozen=True)
class Fault:
    """What happens at one crossing of a seam.

    Attributes:
        seam: Such as `api`, `sql`, `watch Job`, `list Jobs`, `notify`, `pod`, or `start`.
        number: Of the crossing, counted from 1.
        action: What happens there.
        arguments: Of the action.
    """

    seam: str
    number: int
    action: str
    arguments: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.seam == "start" and self.action == "jump":
            return f"clock {' '.join(self.arguments)}"
        return " ".join((self.seam, str(self.number), self.action, *self.arguments))


@dataclass(frozen=True)
class Schedule:
    """A scenario with faults."""

    scenario: str
    faults: tuple[Fault, ...] = ()

    def __str__(self) -> str:
        return f"{self.scenario}: {'; '.join(map(str, self.faults))}" if self.faults else self.scenario


def parse(line: str) -> Schedule:
    """Return the schedule of a line. Raises ScheduleError."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise ScheduleError(f"{line!r} is no schedule: write SCENARIO: SEAM NUMBER ACTION; ...")
    texts = [part.strip() for part in (match[2] or "").split(";") if part.strip()]
    return Schedule(match[1], tuple(map(_fault, texts)))


def _fault(text: str) -> Fault:
    if match := _CLOCK.fullmatch(text):
        return Fault("start", 1, "jump", (match[1], match[2]))
    if match := _FAULT.fullmatch(text):
        return Fault(match[1], int(match[2]), match[3], tuple(match[4].split()))
    raise ScheduleError(f"{text!r} is no fault: write SEAM NUMBER ACTION, such as `sql 12 after`")
