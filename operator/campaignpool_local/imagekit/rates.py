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
            "X-RateLimit-Reset": str(math.ceil(round(wait * 1000, 2))),
        }


_READS, _WRITES = Rate(40, 100), Rate(5, 20)


@dataclass(frozen=True)
class Limits:
    """The limits of an account; None is no limit."""

    reads: Rate | None = _READS
    writes: Rate | None = _WRITES


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
        # What comes back in time is a sum of fractions: a thousandth is no reason to refuse who waited as told.
        if self._tokens < 1 - 1e-3:
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

    def _bucket(self, kind: str) -> Bucket | None:
        if kind == "upload":
            return None
        return self._reads if kind in READS else self._writes

    def take(self, kind: str) -> tuple[bool, dict[str, str]]:
        """Count a call; give whether it is allowed, and the headers of its answer."""
        bucket = self._bucket(kind)
        if bucket is None:
            return True, {}
        return bucket.take(), bucket.rate.headers(bucket.wait)

    def refusal(self, kind: str, seconds: float) -> dict[str, str]:
        """Give the headers of a refusal that is not earned and tells to wait so long."""
        bucket = self._bucket(kind)
        return (bucket.rate if bucket else _WRITES).headers(seconds)
