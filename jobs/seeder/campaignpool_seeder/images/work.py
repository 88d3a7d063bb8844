"""Album after album of a pool, until nothing is due: lease, work, give back.

Every step can be repeated, so a killed Job is gone on with by whoever leases the album next: what it had copied is
found by listing the campaign's folder.
"""

import logging
import time
from collections import Counter
from dataclasses import dataclass

from campaignpool.errors import CampaignPoolError, ConfigurationError
from campaignpool.ledger import image_queue
from campaignpool.ledger.image_queue import ImageSet
from campaignpool_seeder.batches import StoppedError
from campaignpool_seeder.images.account import Account, OutOfReachError
from campaignpool_seeder.images.album import Work
from campaignpool_seeder.images.backoff import jittered
from campaignpool_seeder.images.config import Request
from campaignpool_seeder.images.desk import Desk
from campaignpool_seeder.images.hold import GoneError, Hold, LostError, Pause
from campaignpool_seeder.images.store import (
    AbsentError,
    KeyRefusedError,
    RefusedError,
    Store,
    StoreBusyError,
)
from campaignpool_seeder.images.strategies import copy_each, copy_folder

log = logging.getLogger(__name__)

NEAR_SECONDS = 30.0
"""An album that is due by then is waited for; a later one is for the next Job."""

GONE_SECONDS = 15.0
"""Pause after a campaign was found to be going: then its rows are deleted, and its files are next."""

MENDED_SECONDS = 300.0
"""Pause of an album for which a person has to mend something."""

TOGETHER_SECONDS = 10.0
"""Images of an album whose pauses end within this time are tried together."""

AGAIN_SECONDS = 5.0
"""Pause between two deletions of a folder: the second finds that nothing came after the first."""

ELSEWHERE_SECONDS = 3600.0
"""Pause before a folder is looked for again that is in another account."""

BUSY_SECONDS = 20.0
"""Bound of the first pause of an album with which the store was busy, or did not answer."""


@dataclass
class Images:
    """The work of one Job.

    Attributes:
        request: What is asked for.
        desk: To the ledger.
        store: Where the files are.
        account: Through which all calls go.
        pause: Waits, until the pod is asked to end.
    """

    request: Request
    desk: Desk
    store: Store
    account: Account
    pause: Pause

    async def run(self) -> Counter[str]:
        """Work until nothing is due; give how many times an album was left in each state.

        Raises:
            ConfigurationError: The key is refused, or an album needs a change by a person; the others were done.
            TransientError: The store or the database is out of reach for too long, or the pod was asked to end.
        """
        left: Counter[str] = Counter()
        refused: ConfigurationError | None = None
        while True:
            await self.pause(0)
            album = await self.desk.ask(image_queue.lease, self.request.pool, self.request.lease)
            if album is None:
                seconds = await self.desk.ask(image_queue.next_due, self.request.pool)
                if seconds is None or seconds > NEAR_SECONDS:
                    break
                await self.pause(max(seconds, 0.01))
                continue
            try:
                left[await self._one(album) or "gone"] += 1
            except KeyRefusedError:
                raise
            except ConfigurationError as error:
                refused = error
        if refused:
            raise refused
        return left

    async def _one(self, album: ImageSet) -> str | None:
        """Work on an album and give it back; give its state then, None when it is another's or gone."""
        began, facts = time.perf_counter(), {"campaign": album.campaign, "images": album.images}
        log.info("album", extra={**facts, "state": album.state, "claimed": album.claimed})
        hold = Hold(self.desk, album, self.request.lease, self.pause)
        try:
            if album.state == "deleting":
                pause, cause = await self._delete(hold)
            else:
                pause, cause = await self._copy(hold)
        except LostError as error:
            log.warning("left to another", extra={**facts, "cause": error.message})
            return None
        except CampaignPoolError as error:
            pause, cause = self._after(album, error)
            state = await self._end(album, pause, cause)
            log.warning("left", extra={**facts, "state": state, "reason": error.reason, "cause": error.message})
            if isinstance(error, (StoppedError, OutOfReachError, ConfigurationError)):
                raise
            return state
        state = await self._end(album, pause, cause)
        seconds = round(time.perf_counter() - began, 3)
        log.info("left", extra={**facts, "state": state, "seconds": seconds, **({"cause": cause} if cause else {})})
        return state

    async def _end(self, album: ImageSet, pause: float, cause: str | None) -> str | None:
        return await self.desk.ask(image_queue.end, album, pause, self.request.deadline, cause)

    def _after(self, album: ImageSet, error: CampaignPoolError) -> tuple[float, str | None]:
        """Give the pause of an album after an error, and what the ledger says of it."""
        if isinstance(error, StoppedError):
            return 0, None
        if isinstance(error, GoneError):
            return GONE_SECONDS, None
        if isinstance(error, (ConfigurationError, RefusedError)):
            return MENDED_SECONDS, error.message
        return jittered(album.attempts, self.account.chance, BUSY_SECONDS), error.message

    async def _copy(self, hold: Hold) -> tuple[float, str | None]:
        """Make a round; give the pause until the next, and why it did not bring everything."""
        request = self.request
        work = await Work.begin(
            hold,
            self.store,
            self.account,
            self.desk,
            folder=request.folder,
            most=request.max_attempts,
            concurrency=request.concurrency,
        )
        await (copy_folder if request.strategy == "CopyFolder" else copy_each)(work)
        if not work.faults:
            return 0, None
        pause = max((fault.pause for fault in work.faults if not fault.final), default=0)
        cause = Counter(fault.cause for fault in work.faults).most_common(1)[0][0]
        return min(pause, TOGETHER_SECONDS), f"{len(work.faults)} images were not copied in the last round: {cause}"

    async def _delete(self, hold: Hold) -> tuple[float, str | None]:
        """Delete the files of a campaign that is gone, until nothing is there; give as `_copy` does.

        A copy that was asked for before may come after the first deletion.
        """
        album, folder = hold.album, hold.album.folder or ""
        if folder.rpartition("/")[2] != album.campaign.hex:
            raise RefusedError(f"the folder {folder} is not named after the campaign: delete its files by hand")
        if album.job is not None:
            try:
                done = await self.account.insist(lambda: self.store.is_done(album.job or ""), hold.sleep)
            except AbsentError:
                done = True
            if not done:
                raise StoreBusyError("the store is still copying the folder that is to be deleted")
        try:
            await self.account.insist(lambda: self.store.delete_folder(folder), hold.sleep)
        except AbsentError:
            if album.store != self.store.account:
                cause = "its files are in another account: put back the key of that account, or delete them by hand"
                return ELSEWHERE_SECONDS, cause
            await self.desk.ask(image_queue.drop, album.campaign)
            return 0, None
        await hold.note(store=self.store.account, job=None)
        return AGAIN_SECONDS, None
