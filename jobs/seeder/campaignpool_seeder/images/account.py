"""One account of a store, whose rate and breaker all who use it share through the ledger.

Every call takes a token, also those that only read: ImageKit counts them apart and allows more of them, but they are
few. A store that does not answer is left alone for a while (the breaker); one call then finds out whether it is back.
"""

import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from campaignpool.errors import CampaignPoolError, TransientError
from campaignpool.ledger import image_queue
from campaignpool_seeder.images.backoff import jittered
from campaignpool_seeder.images.desk import Desk
from campaignpool_seeder.images.store import (
    KeyRefusedError,
    StoreBusyError,
    StoreLimitedError,
    StoreUnavailableError,
)
from campaignpool_seeder.run import Sleep

log = logging.getLogger(__name__)

BREAKER_FAILURES = 8
"""Failures in a row that open the breaker: at one failure in five by chance, less than once in 300,000 calls."""

BREAKER_SECONDS = 5.0
"""How long it is open the first time; twice as long each time after, up to 80 seconds."""

PATIENCE_SECONDS = 300.0
"""How long a Job waits for a store that answers nothing before it ends."""

TRIES = 6
"""How often a call is made that may be repeated: a listing, a question, a deletion."""

T = TypeVar("T")
Call = Callable[[], Awaitable[T]]


class OutOfReachError(TransientError):
    """The breaker of the account was open for too long."""

    default_reason = "StoreUnavailable"


class Account:
    """Makes calls within the account's rate.

    Args:
        desk: To the ledger.
        name: Of the account.
        per_second: Calls a second in the long run.
        burst: Calls at once after a rest that the store allows.
        now: Gives seconds, of a clock that only goes forward.
        patience: Seconds to wait for an open breaker.
        chance: Of the jitter.
    """

    def __init__(
        self,
        desk: Desk,
        name: str,
        per_second: float,
        burst: int,
        now: Callable[[], float],
        *,
        patience: float = PATIENCE_SECONDS,
        chance: random.Random | None = None,
    ) -> None:
        # One token is left over: calls do not arrive in quite the rhythm in which they leave.
        self._desk, self.name, self._rate = desk, name, (per_second, max(1, burst - 1))
        self._now, self._patience = now, patience
        self.chance = chance or random.Random()  # noqa: S311 - spreads calls, and keeps nothing secret
        self._blocked = 0.0
        self._silent_since: float | None = None
        self._cause = "others met it so"

    async def call(self, work: Call[T], sleep: Sleep) -> T:
        """Make one call when the rate allows it.

        Args:
            work: The call.
            sleep: Waits for the call's turn; it is called before every call.

        Raises:
            OutOfReachError: The breaker stays open.
            CampaignPoolError: What the call raised, or `sleep`.
        """
        await self._turn(sleep)
        began = self._now()
        try:
            given = await work()
        except StoreUnavailableError as error:
            self._cause = error.message
            self._silent_since = self._now() if self._silent_since is None else self._silent_since
            await self._note("unavailable", began, failed=True, cause=error.message)
            raise
        except StoreLimitedError as error:
            self._blocked = max(self._blocked, self._now() + error.retry_after)
            await self._note("limited", began, blocked=error.retry_after)
            raise
        except StoreBusyError:
            await self._note("busy", began)
            raise
        except KeyRefusedError:
            await self._note("denied", began)
            raise
        except CampaignPoolError:
            await self._note("refused", began)
            raise
        await self._note("ok", began)
        return given

    async def insist(self, work: Call[T], sleep: Sleep) -> T:
        """Make a call that may be repeated, up to `TRIES` times while the store is busy or does not answer."""
        for failures in range(1, TRIES):
            try:
                return await self.call(work, sleep)
            except (StoreUnavailableError, StoreBusyError) as error:
                pause = jittered(failures, self.chance)
                log.info("asking again", extra={"cause": error.message, "seconds": round(pause, 3)})
                await sleep(pause)
        return await self.call(work, sleep)

    async def _turn(self, sleep: Sleep) -> None:
        """Wait until a call is allowed."""
        began = self._now() if self._silent_since is None else self._silent_since
        while (wait := await self._desk.ask(image_queue.take_token, self.name, *self._rate)) is None:
            if self._now() - began > self._patience:
                raise OutOfReachError(f"the store is out of reach, and calls are stopped for a while: {self._cause}")
            await sleep(self.chance.uniform(0.5, 1.5))
        await sleep(wait)
        # A 429 may have come while this one waited.
        while (left := self._blocked - self._now()) > 0:
            await sleep(left)

    async def _note(
        self, outcome: str, began: float, *, failed: bool = False, blocked: float = 0, cause: str | None = None
    ) -> None:
        if not failed:
            self._silent_since = None
        await self._desk.ask(
            image_queue.note_calls,
            self.name,
            {outcome: 1, "seconds": round(max(0.0, self._now() - began), 6)},
            failures=int(failed),
            succeeded=not failed,
            blocked=blocked,
            most=BREAKER_FAILURES,
            pause=BREAKER_SECONDS,
            cause=cause,
        )
