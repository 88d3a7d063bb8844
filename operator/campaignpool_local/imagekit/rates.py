"""How many calls an account may make: token buckets, one for reads and one for writes.

`api-overview`, "Rate limits": limits hold for the account, uploads have none. About 40 reads a second in the long run
and 100 in a burst; about 5 writes a second and 20 in a burst. A refusal says in `X-RateLimit-Reset` how many
milliseconds to wait, and in `X-RateLimit-Limit` and `X-RateLimit-Interval` which limit it was: so many calls in so
many milliseconds. Other answers carry the same headers.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

READS = frozenset({"list", "details", "bulk_job"})
"""The kinds of call that only read; every other one but `upload` writes."""


@dataclass(frozen=True)
class Rate:
    """A limit: calls a second in the long run, and calls at once after a rest."""

    per_second: float
    burst: int

    def headers(self, wait: float) -> dict[str, str]:
        """Give the headers of an answer after which a caller is to wait so many seconds."""
        interval = max(1.0, 1 / self.per_second)
        return {
            "X-RateLimit-Limit": str(int(self.per_second * interval)),
            "X-RateLimit-Interval": str(math.ceil(interval * 1000)),
            "X-RateLimit-Reset": str(math.ceil(wait * 1000)),
        }


@dataclass(frozen=True)
class Limits:
    """The limits of an account; None is no limit."""

    reads: Rate | None = Rate(40, 100)
    writes: Rate | None = Rate(5, 20)


UNLIMITED = Limits(None, None)
"""For tests that are not about rates."""


class Bucket:
    """A token bucket: full at first, and filled again by the clock, which gives seconds."""

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self.rate, self._clock = rate, clock
        self._tokens, self._at = float(rate.burst), clock()

    def take(self) -> bool:
        """Take a token if there is one."""
        now = self._clock()
        self._tokens = min(self.rate.burst, self._tokens + (now - self._at) * self.rate.per_second)
        self._at = now
        # What has come back in time is a sum of fractions: a millionth is no reason to refuse who waited as told.
        if self._tokens < 1 - 1e-6:
            return False
        self._tokens -= 1
        return True

    @property
    def wait(self) -> float:
        """Seconds until the next token, as of the last `take`; 0 when there is one."""
        return max(0.0, (1 - self._tokens) / self.rate.per_second)


class Account:
    """The buckets of an account."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.limits = limits
        self._reads = Bucket(limits.reads, clock) if limits.reads else None
        self._writes = Bucket(limits.writes, clock) if limits.writes else None

    def bucket(self, kind: str) -> Bucket | None:
        """Give the bucket from which a kind of call takes; None when it has no limit."""
        if kind == "upload":
            return None
        return self._reads if kind in READS else self._writes
