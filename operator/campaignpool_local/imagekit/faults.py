"""What goes wrong on purpose: at which share of the calls, how, and for how long."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Fault = Literal["", "429", "500", "reset", "lost", "truncated", "slow", "partial"]


@dataclass(frozen=True)
class Faults:
    """Faults of the stand-in; the default is none. Assign another one at any moment: it holds from the next call.

    A share is between 0 and 1; a call meets one fault at most, so the shares must not add up to more than 1.

    Attributes:
        rate_429: Share that is refused as too many, although it is not, with the headers of a real refusal.
        rate_500: Share that fails with nothing done: a JSON body, an HTML page or JSON that is cut off, in turn.
        rate_reset: Share whose connection is reset with nothing done.
        rate_lost: Share that takes effect, and whose connection is reset instead of an answer.
        rate_truncated: Share that takes effect, and whose answer breaks off in the middle; resets an empty one.
        rate_slow: Share that is answered `slow_seconds` late. It takes effect at once, whoever waits or not.
        rate_partial: Share of the bulk deletions that delete only every other file, and say so with status 207.
        slow_seconds: How late.
        retry_seconds: What the 429 of `rate_429` tells to wait.
        job_seconds: How long a bulk job takes; its files come one by one. Infinity never ends it, nor begins it.
        listing_lag_seconds: How far a list is behind what was written and deleted.
        outage_until: The stand-in's `now()` until which no call gets through; infinity for an open end.
        kinds: The kinds of call that the shares are of; None is all.
        times: How many calls meet a fault at most.
        seed: Draws the calls; the same calls in the same order meet the same faults.
    """

    rate_429: float = 0
    rate_500: float = 0
    rate_reset: float = 0
    rate_lost: float = 0
    rate_truncated: float = 0
    rate_slow: float = 0
    rate_partial: float = 0
    slow_seconds: float = 0
    retry_seconds: float = 0.2
    job_seconds: float = 0
    listing_lag_seconds: float = 0
    outage_until: float = -math.inf
    kinds: frozenset[str] | None = None
    times: float = math.inf
    seed: int = 0

    @property
    def shares(self) -> tuple[tuple[Fault, float], ...]:
        """The faults that are drawn, each with its share."""
        return (
            ("429", self.rate_429),
            ("500", self.rate_500),
            ("reset", self.rate_reset),
            ("lost", self.rate_lost),
            ("truncated", self.rate_truncated),
            ("slow", self.rate_slow),
            ("partial", self.rate_partial),
        )

    def __post_init__(self) -> None:
        if not all(0 <= share <= 1 for _, share in self.shares) or sum(share for _, share in self.shares) > 1 + 1e-9:
            raise ValueError("the shares of the faults must be between 0 and 1, and not more than 1 together")


class Fate:
    """Draws what happens to each call."""

    def __init__(self, faults: Faults, now: Callable[[], float]) -> None:
        self.faults, self._now = faults, now
        self._random = random.Random(faults.seed)  # noqa: S311 - repeats itself, which is what it is for
        self._left, self._turn = faults.times, 0

    @property
    def outage(self) -> bool:
        """Whether no call gets through."""
        return self._now() < self.faults.outage_until

    def draw(self, kind: str) -> Fault:
        """Draw for a call of this kind."""
        faults = self.faults
        if faults.kinds is not None and kind not in faults.kinds:
            return ""
        drawn = self._random.random()
        for fault, share in faults.shares:
            drawn -= share
            if drawn < 0:
                if self._left < 1 or (fault == "partial" and kind != "bulk_delete"):
                    return ""
                self._left -= 1
                return fault
        return ""

    def turn(self, choices: int) -> int:
        """Give 0, 1 and so on in turn, below `choices`."""
        self._turn += 1
        return (self._turn - 1) % choices
