"""Injected faults: their kinds, the share of calls they affect, and their duration."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Fault = Literal["", "429", "500", "reset", "lost", "truncated", "slow", "partial"]


@dataclass(frozen=True)
class Faults:
    """Faults of the stand-in, by default none. Assigning other faults takes effect from the next call.

    A rate is a share of the calls, from 0 to 1. A call has at most one fault, so the rates add up to at most 1.

    Attributes:
        rate_429: Calls refused by an injected rate limit, with the headers of a real refusal.
        rate_500: Calls that fail without effect; responses alternate between JSON, an HTML page and truncated JSON.
        rate_reset: Calls whose connection is reset without effect.
        rate_lost: Calls that take effect and whose connection is reset before the response.
        rate_truncated: Calls that take effect and whose response is truncated; an empty response is a reset.
        rate_slow: Calls that take effect at once and whose response is delayed by `slow_seconds`.
        rate_partial: Bulk deletions that delete only every other file and report it with status 207.
        slow_seconds: The delay of `rate_slow`.
        retry_seconds: The wait that the 429 of `rate_429` requires.
        job_seconds: The duration of a bulk job, which copies files one by one. Infinity never starts it.
        listing_lag_seconds: How far lists lag behind writes and deletions.
        outage_until: The time of the stand-in's clock until which all calls fail; infinity for no end.
        kinds: The kinds of calls that the rates apply to; None means all.
        times: The maximum number of calls with a fault.
        seed: The seed of the random draws; the same calls in the same order have the same faults.
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
        """The faults with their rates."""
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
            raise ValueError("the rates of the faults must be between 0 and 1 and add up to at most 1")


class Fate:
    """Draws the fault of each call."""

    def __init__(self, faults: Faults, now: Callable[[], float]) -> None:
        self.faults, self._now = faults, now
        self._random = random.Random(faults.seed)  # noqa: S311 - must be reproducible
        self._remaining, self._turn = faults.times, 0

    @property
    def outage(self) -> bool:
        """Whether all calls fail now."""
        return self._now() < self.faults.outage_until

    def draw(self, kind: str) -> Fault:
        """Return the fault of a call of this kind, or an empty string."""
        faults = self.faults
        if faults.kinds is not None and kind not in faults.kinds:
            return ""
        value = self._random.random()
        for fault, share in faults.shares:
            value -= share
            if value < 0:
                if self._remaining < 1 or (fault == "partial" and kind != "bulk_delete"):
                    return ""
                self._remaining -= 1
                return fault
        return ""

    def turn(self, choices: int) -> int:
        """Return the numbers below `choices` in rotation."""
        self._turn += 1
        return (self._turn - 1) % choices
