"""One account of a store, whose rate limit and circuit breaker all Jobs share through the ledger.

Every call takes a token, reads included: ImageKit counts reads apart and allows more of them, but there are few. A
store that does not answer opens the breaker; after a while one call tests whether the store answers again.
"""

import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from campaignpool.errors import CampaignPoolError, TransientError
from campaignpool.ledger import image_queue
from campaignpool_seeder.images.delays import full_jitter
from campaignpool_seeder.images.store import (
    KeyRefusedError,
    StoreBusyError,
    StoreLimitedError,
    StoreUnavailableError,
)
from campaignpool_seeder.session import LedgerSession, Sleep

log = logging.getLogger(__name__)

BREAKER_FAILURES = 8
"""Failures in a row that open the breaker: at one failure in five by chance, less than once in 300,000 calls."""

BREAKER_SECONDS = 5.0
"""How long it is open the first time; doubled each time, up to 80 seconds."""

PATIENCE_SECONDS = 300.0
"""How long a Job waits for a store that does not answer before it exits."""

ATTEMPTS = 6
"""How often a call is made that may be repeated: a listing, the status of a job, a deletion."""

T = TypeVar("T")
Operation = Callable[[], Awaitable[T]]


class CircuitOpenError(TransientError):
    """The account's circuit breaker was open for too long."""

    default_reason = "StoreUnavailable"


class Account:
    """Makes calls within the account's rate limit.

    Args:
        session: To the ledger.
        name: The account's name in the ledger.
        per_second: Calls a second on average.
        burst: Calls that the store allows at once.
        now: Returns the seconds of a monotonic clock.
        patience: Seconds to wait for an open breaker.
        rng: Source of the jitter.
    """

    def __init__(
        self,
        session: LedgerSession,
        name: str,
        per_second: float,
        burst: int,
        now: Callable[[], float],
        *,
        patience: float = PATIENCE_SECONDS,
        rng: random.Random | None = None,
    ) -> None:
        # One token less: calls do not arrive exactly in the rhythm in which they were sent.
        self._session, self.name, self._rate = session, name, (per_second, max(1, burst - 1))
        self._now, self._patience = now, patience
        self.rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._blocked = 0.0
        self._unavailable_since: float | None = None
        self._cause = "another worker opened the circuit breaker"

    async def call(self, operation: Operation[T], sleep: Sleep) -> T:
        """Make one call as soon as the rate limit allows it.

        Args:
            operation: The call.
            sleep: Sleeps until the rate limit allows the call; it is called before every call.

        Raises:
            CircuitOpenError: The breaker stays open.
            CampaignPoolError: Raised by the call or by `sleep`.
        """
        await self._wait_for_token(sleep)
        began = self._now()
        try:
            result = await operation()
        except StoreUnavailableError as error:
            self._cause = error.message
            self._unavailable_since = self._now() if self._unavailable_since is None else self._unavailable_since
            await self._record("unavailable", began, failed=True, cause=error.message)
            raise
        except StoreLimitedError as error:
            self._blocked = max(self._blocked, self._now() + error.retry_after)
            await self._record("limited", began, blocked=error.retry_after)
            raise
        except StoreBusyError:
            await self._record("busy", began)
            raise
        except KeyRefusedError:
            await self._record("denied", began)
            raise
        except CampaignPoolError:
            await self._record("refused", began)
            raise
        await self._record("ok", began)
        return result

    async def call_with_retries(self, operation: Operation[T], sleep: Sleep) -> T:
        """Make a call that may be repeated, up to `ATTEMPTS` times while the store is busy or does not answer."""
        for failures in range(1, ATTEMPTS):
            try:
                return await self.call(operation, sleep)
            except (StoreUnavailableError, StoreBusyError) as error:
                delay = full_jitter(failures, self.rng)
                log.info("retrying", extra={"cause": error.message, "seconds": round(delay, 3)})
                await sleep(delay)
        return await self.call(operation, sleep)

    async def _wait_for_token(self, sleep: Sleep) -> None:
        """Wait until a call is allowed."""
        began = self._now() if self._unavailable_since is None else self._unavailable_since
        while (wait := await self._session.run(image_queue.take_token, self.name, *self._rate)) is None:
            if self._now() - began > self._patience:
                raise CircuitOpenError(
                    f"the store has not answered for {self._patience:.0f} s, and the circuit breaker stops calls: "
                    f"{self._cause}: calls resume by themselves once the store answers"
                )
            await sleep(self.rng.uniform(0.5, 1.5))
        await sleep(wait)
        # Another call may have got a 429 during that sleep.
        while (remaining := self._blocked - self._now()) > 0:
            await sleep(remaining)

    async def _record(
        self, outcome: str, began: float, *, failed: bool = False, blocked: float = 0, cause: str | None = None
    ) -> None:
        if not failed:
            self._unavailable_since = None
        await self._session.run(
            image_queue.record_calls,
            self.name,
            {outcome: 1, "seconds": round(max(0.0, self._now() - began), 6)},
            failures=int(failed),
            succeeded=not failed,
            blocked=blocked,
            most=BREAKER_FAILURES,
            pause=BREAKER_SECONDS,
            cause=cause,
        )
