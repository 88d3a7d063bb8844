"""The lease of an image set: renewed while its calls wait; what ends the work is noticed there."""

from datetime import timedelta

from campaignpool.errors import CampaignPoolError
from campaignpool.ledger import image_queue
from campaignpool.ledger.image_queue import ImageSet
from campaignpool_seeder.session import LedgerSession, StoppableSleep

RENEW_SECONDS = 10.0
"""Longest time between two renewals, which also look whether the campaign is being deleted."""


class LeaseLostError(CampaignPoolError):
    """The lease expired, and another worker has the image set."""

    default_reason = "LeaseLost"


class CampaignDeletedError(CampaignPoolError):
    """The campaign is being deleted: its images are not needed any more."""

    default_reason = "CampaignDeleted"


class Lease:
    """A leased image set.

    Args:
        session: To the ledger.
        image_set: The image set.
        length: Of the lease, which is renewed at a third of it.
        sleep: Sleeps.
    """

    def __init__(self, session: LedgerSession, image_set: ImageSet, length: timedelta, sleep: StoppableSleep) -> None:
        self._session, self.image_set, self._length, self._sleep = session, image_set, length, sleep
        self._every = min(length.total_seconds() / 3, RENEW_SECONDS)
        self._renewed = sleep.now()
        self._job = image_set.job

    async def sleep(self, seconds: float) -> None:
        """Sleep, and keep the lease.

        Raises:
            StoppedError: The pod was asked to stop.
            LeaseLostError: Another worker has the image set.
            CampaignDeletedError: Its campaign is being deleted.
        """
        end = self._sleep.now() + seconds
        while True:
            await self._renew_if_due()
            remaining = end - self._sleep.now()
            await self._sleep(min(remaining, self._every))
            if remaining <= self._every:
                return

    async def renew(self, *, folder: str | None = None, store: str | None = None, job: str | None) -> None:
        """Renew the lease, and record where the files are or will be. Raises LeaseLostError."""
        self._renewed, self._job = self._sleep.now(), job
        if not await self._session.run(image_queue.renew_lease, self.image_set, self._length, folder, store, job):
            raise LeaseLostError("the lease of the image set expired")

    async def _renew_if_due(self) -> None:
        if self._sleep.now() - self._renewed < self._every:
            return
        await self.renew(job=self._job)
        if (
            self.image_set.state == "copying"
            and await self._session.run(image_queue.settle, self.image_set.campaign, ()) < 0
        ):
            raise CampaignDeletedError("the campaign is being deleted")
