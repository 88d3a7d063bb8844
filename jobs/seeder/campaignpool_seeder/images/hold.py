"""Holding on to an album while its calls wait: the lease is renewed, and what ends the work is noticed."""

import asyncio
import time
from datetime import timedelta

from campaignpool.errors import CampaignPoolError
from campaignpool.ledger import image_queue
from campaignpool.ledger.image_queue import ImageSet
from campaignpool_seeder.batches import StoppedError
from campaignpool_seeder.images.desk import Desk

LONGEST_SECONDS = 10.0
"""Between two looks at whether the campaign is still wanted."""


class LostError(CampaignPoolError):
    """The lease ran out, and the album is another's."""

    default_reason = "LeaseLost"


class GoneError(CampaignPoolError):
    """The campaign is being deleted: its images are of no use any more."""

    default_reason = "CampaignGone"


class Pause:
    """Waits, and ends at once when the pod is asked to end.

    Args:
        stop: Is set then.
    """

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    async def __call__(self, seconds: float) -> None:
        """Wait. Raises StoppedError."""
        if not self._stop.is_set() and seconds > 0:
            try:
                await asyncio.wait_for(self._stop.wait(), seconds)
            except TimeoutError:
                return
        if self._stop.is_set():
            raise StoppedError("asked to stop")

    def now(self) -> float:
        """Give seconds, of a clock that only goes forward."""
        return time.monotonic()


class Hold:
    """A leased album.

    Args:
        desk: To the ledger.
        album: The album.
        length: Of the lease, which is renewed at a third of it.
        pause: Waits.
    """

    def __init__(self, desk: Desk, album: ImageSet, length: timedelta, pause: Pause) -> None:
        self._desk, self.album, self._length, self._pause = desk, album, length, pause
        self._every = min(length.total_seconds() / 3, LONGEST_SECONDS)
        self._renewed = pause.now()
        self._job = album.job

    async def sleep(self, seconds: float) -> None:
        """Wait, and hold on to the album meanwhile.

        Raises:
            StoppedError: The pod is asked to end.
            LostError: The album is another's.
            GoneError: Its campaign is being deleted.
        """
        end = self._pause.now() + seconds
        while True:
            await self._keep()
            left = end - self._pause.now()
            await self._pause(min(left, self._every))
            if left <= self._every:
                return

    async def note(self, *, folder: str | None = None, store: str | None = None, job: str | None) -> None:
        """Renew the lease, and note where the files are or will be. Raises LostError."""
        self._renewed, self._job = self._pause.now(), job
        if not await self._desk.ask(image_queue.hold, self.album, self._length, folder, store, job):
            raise LostError("the lease of the album ran out")

    async def _keep(self) -> None:
        if self._pause.now() - self._renewed < self._every:
            return
        await self.note(job=self._job)
        if self.album.state == "copying" and await self._desk.ask(image_queue.settle, self.album.campaign, ()) < 0:
            raise GoneError("the campaign is being deleted")
