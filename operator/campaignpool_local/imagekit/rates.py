"""Rate limits of an account: a token bucket for reads and one for writes.

`api-overview`, "Rate limits": limits apply per account, and uploads have none. The sustained rate is about 40 reads
per second with bursts of 100, and about 5 writes with bursts of 20. In a refusal, `X-RateLimit-Reset` has the
milliseconds to wait, and `X-RateLimit-Limit` and `X-RateLimit-Interval` have the limit: calls per number of
milliseconds. Other responses have the same headers.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

READS = frozenset({"list", "details", "bulk_job"})
"""The kinds of calls that only read; all other kinds except `upload` write."""


@dataclass(frozen=True)
class Rate:
    """A limit: the sustained calls per second, and the calls in a burst."""

    per_second: float
    burst: int

    def headers(self, wait: float) -> dict[str, str]:
        """Return the headers of a response that requires a wait of so many seconds."""
        interval = max(1.0, 1 / self.per_second)
        return {
            "X-RateLimit-Limit": str(int(self.per_second * interval)),
            "X-RateLimit-Interval": str(math.ceil(interval * 1000)),
            "X-RateLimit-Reset": str(math.ceil(round(wait * 1000, 2))),
        }


_READS, _WRITES = Rate(40, 100), Rate(5, 20)


@dataclass(frozen=True)
class Limits:
    """The limits of an account; None means no limit."""

    reads: Rate | None = _READS
    writes: Rate | None = _WRITES


UNLIMITED = Limits(None, None)
"""No limits, for tests of other behaviour."""


class Bucket:
    """A token bucket, which starts full and refills over time; `clock` returns seconds."""

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self.rate, self._clock = rate, clock
        self._tokens, self._at = float(rate.burst), clock()

    def take(self) -> bool:
        """Take a token and return whether there was one."""
        now = self._clock()
        self._tokens = min(self.rate.burst, self._tokens + (now - self._at) * self.rate.per_second)
        self._at = now
        # Tolerate rounding errors, so that a caller that waits exactly as long as required is not refused.
        if self._tokens < 1 - 1e-3:
            return False
        self._tokens -= 1
        return True

    @property
    def wait(self) -> float:
        """The seconds from the last `take` until the next token; 0 if there is one."""
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
        """Count a call, and return whether it is allowed and the headers of its response."""
        bucket = self._bucket(kind)
        if bucket is None:
            return True, {}
        return bucket.take(), bucket.rate.headers(bucket.wait)

    def refusal(self, kind: str, seconds: float) -> dict[str, str]:
        """Return the headers of an injected refusal that requires a wait of so many seconds."""
        bucket = self._bucket(kind)
        return (bucket.rate if bucket else _WRITES).headers(seconds)
