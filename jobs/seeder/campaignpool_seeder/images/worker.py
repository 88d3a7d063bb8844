"""The work of one images Job: lease an image set, copy or delete its files, release it; until no image set is due.

Every step can be repeated. After a Job is killed, the next worker that leases the image set lists the campaign's
folder and continues from there.
"""

import logging
import time
from collections import Counter
from dataclasses import dataclass

from campaignpool.errors import CampaignPoolError, ConfigurationError
from campaignpool.ledger import image_queue
from campaignpool.ledger.image_queue import ImageSet
from campaignpool_seeder.images.account import Account, CircuitOpenError
from campaignpool_seeder.images.arguments import ImagesArgs
from campaignpool_seeder.images.delays import full_jitter
from campaignpool_seeder.images.lease import CampaignDeletedError, Lease, LeaseLostError
from campaignpool_seeder.images.store import (
    KeyRefusedError,
    NotFoundError,
    Store,
    StoreBusyError,
    StoreRefusedError,
)
from campaignpool_seeder.images.strategies import STRATEGIES
from campaignpool_seeder.images.task import ImageSetTask
from campaignpool_seeder.session import LedgerSession, StoppableSleep, StoppedError

log = logging.getLogger(__name__)

WAIT_FOR_DUE_SECONDS = 30.0
"""The Job waits for an image set that is due within this time; later ones are left to the next Job."""

DELETING_RETRY_SECONDS = 15.0
"""Delay after a campaign turned out to be deleted: once its rows are gone, its files are due."""

CONFIG_ERROR_RETRY_SECONDS = 300.0
"""Delay of an image set whose failure needs a change by a person."""

RETRY_GROUPING_SECONDS = 10.0
"""Images of an image set whose delays end within this time are retried together."""

CONFIRM_DELETION_SECONDS = 5.0
"""Delay between two deletions of a folder: the second confirms that no late copy recreated it."""

WRONG_ACCOUNT_RETRY_SECONDS = 3600.0
"""Delay before looking again for a folder that is in another account."""

BUSY_SECONDS = 20.0
"""Bound of the first delay of an image set whose store was busy or did not answer."""


@dataclass
class ImageWorker:
    """The work of one Job.

    Attributes:
        request: The Job's arguments.
        session: To the ledger.
        store: Where the files are.
        account: The account that makes every call to the store.
        sleep: Sleeps until the pod is asked to stop.
    """

    request: ImagesArgs
    session: LedgerSession
    store: Store
    account: Account
    sleep: StoppableSleep

    async def run(self) -> Counter[str]:
        """Work until no image set is due, and return how many were released in each state.

        Raises:
            ConfigurationError: The key is refused, or an image set needs a change by a person; others are done.
            TransientError: The store or the database was unreachable for too long, or the pod was asked to stop.
        """
        states: Counter[str] = Counter()
        refused: ConfigurationError | None = None
        while True:
            await self.sleep(0)
            image_set = await self.session.run(image_queue.lease, self.request.pool, self.request.lease)
            if image_set is None:
                seconds = await self.session.run(image_queue.next_due, self.request.pool)
                if seconds is None or seconds > WAIT_FOR_DUE_SECONDS:
                    break
                await self.sleep(max(seconds, 0.01))
                continue
            try:
                states[await self._process(image_set) or "gone"] += 1
            except KeyRefusedError:
                raise
            except ConfigurationError as error:
                refused = error
        if refused:
            raise refused
        return states

    async def _process(self, image_set: ImageSet) -> str | None:
        """Process an image set, release it and return its state; None where another worker has it or it is gone."""
        began, facts = time.perf_counter(), {"campaign": image_set.campaign, "images": image_set.images}
        log.info("processing an image set", extra={**facts, "state": image_set.state, "claimed": image_set.claimed})
        lease = Lease(self.session, image_set, self.request.lease, self.sleep)
        try:
            if image_set.state == "deleting":
                delay, cause = await self._delete(lease)
            else:
                delay, cause = await self._copy(lease)
        except LeaseLostError as error:
            log.warning("lease lost to another worker", extra={**facts, "cause": error.message})
            return None
        except CampaignPoolError as error:
            delay, cause = self._after(image_set, error)
            state = await self._end(image_set, delay, cause)
            log.warning(
                "image set released", extra={**facts, "state": state, "reason": error.reason, "cause": error.message}
            )
            if isinstance(error, (StoppedError, CircuitOpenError, ConfigurationError)):
                raise
            return state
        state = await self._end(image_set, delay, cause)
        seconds = round(time.perf_counter() - began, 3)
        log.info(
            "image set released",
            extra={**facts, "state": state, "seconds": seconds, **({"cause": cause} if cause else {})},
        )
        return state

    async def _end(self, image_set: ImageSet, delay: float, cause: str | None) -> str | None:
        return await self.session.run(image_queue.finish, image_set, delay, self.request.deadline, cause)

    def _after(self, image_set: ImageSet, error: CampaignPoolError) -> tuple[float, str | None]:
        """Return the delay of an image set after an error, and the cause that the ledger records."""
        if isinstance(error, StoppedError):
            return 0, None
        if isinstance(error, CampaignDeletedError):
            return DELETING_RETRY_SECONDS, None
        if isinstance(error, (ConfigurationError, StoreRefusedError)):
            return CONFIG_ERROR_RETRY_SECONDS, error.message
        return full_jitter(image_set.attempts, self.account.rng, BUSY_SECONDS), error.message

    async def _copy(self, lease: Lease) -> tuple[float, str | None]:
        """Run one round; return the delay until the next, and why images are still missing."""
        request = self.request
        task = await ImageSetTask.begin(
            lease,
            self.store,
            self.account,
            self.session,
            folder=request.folder,
            max_attempts=request.max_attempts,
            concurrency=request.concurrency,
        )
        await STRATEGIES[request.strategy](task)
        if not task.faults:
            return 0, None
        delay = max((fault.pause for fault in task.faults if not fault.final), default=0)
        cause = Counter(fault.cause for fault in task.faults).most_common(1)[0][0]
        return min(
            delay, RETRY_GROUPING_SECONDS
        ), f"{len(task.faults)} images were not copied in the last round: {cause}"

    async def _delete(self, lease: Lease) -> tuple[float, str | None]:
        """Delete the files of a deleted campaign until none is left; return as `_copy` does.

        A copy that was requested earlier may appear after the first deletion.
        """
        image_set, folder = lease.image_set, lease.image_set.folder or ""
        if folder.rpartition("/")[2] != image_set.campaign.hex:
            raise StoreRefusedError(
                f"the folder {folder} is not named after the campaign, so it is not deleted: delete its files by hand"
            )
        if image_set.job is not None:
            try:
                finished = await self.account.call_with_retries(
                    lambda: self.store.is_job_finished(image_set.job or ""), lease.sleep
                )
            except NotFoundError:
                finished = True
            if not finished:
                raise StoreBusyError("the store is still copying the folder to be deleted")
        try:
            await self.account.call_with_retries(lambda: self.store.delete_folder(folder), lease.sleep)
        except NotFoundError:
            if image_set.store != self.store.account:
                cause = (
                    "its files are in another account: restore that account's key in the Secret, or delete the "
                    "files by hand"
                )
                return WRONG_ACCOUNT_RETRY_SECONDS, cause
            await self.session.run(image_queue.drop, image_set.campaign)
            return 0, None
        await lease.renew(store=self.store.account, job=None)
        return CONFIRM_DELETION_SECONDS, None
