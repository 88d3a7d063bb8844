"""One leased image set: its layout, its missing images, and the ledger's and the store's side of each step."""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Self, TypeVar

from campaignpool.errors import SeedingError
from campaignpool.ledger import image_queue
from campaignpool.ledger.image_queue import Image, ImageFault, ImageSet
from campaignpool_seeder.images.account import Account
from campaignpool_seeder.images.layout import Layout, lay_out
from campaignpool_seeder.images.lease import CampaignDeletedError, Lease
from campaignpool_seeder.images.store import File, Store
from campaignpool_seeder.session import LedgerSession

log = logging.getLogger(__name__)

IMAGES_PER_TRANSACTION = 250
"""Images in one transaction, so that a claim or a deletion of the campaign never waits for long."""

T = TypeVar("T")


@dataclass
class ImageSetTask:
    """The work on one image set under one lease.

    Attributes:
        lease: The lease.
        store: Where the files are.
        account: The account that makes every call to the store.
        session: To the ledger.
        layout: Where the copies go.
        pending: Images to copy, by the key of the template's blob.
        without_blob: Keys whose copy has no blob yet, failed ones included: the copy may exist all the same.
        max_attempts: How often an image is tried.
        concurrency: Concurrent calls.
        listed: How many files of the image set the last listing contained.
        faults: Images that failed under this lease.
    """

    lease: Lease
    store: Store
    account: Account
    session: LedgerSession
    layout: Layout
    pending: dict[str, Image]
    without_blob: set[str]
    max_attempts: int
    concurrency: int
    listed: int
    faults: list[ImageFault]

    @classmethod
    async def begin(
        cls,
        lease: Lease,
        store: Store,
        account: Account,
        session: LedgerSession,
        *,
        folder: str,
        max_attempts: int,
        concurrency: int,
    ) -> Self:
        """Read an image set from the ledger; new files go below `folder`, unless some have been written already."""
        image_set = lease.image_set
        sources = await session.run(image_queue.sources, image_set.campaign)
        pending = await session.run(image_queue.pending, image_set.campaign)
        paths = {source.original: source.source for source in sources}
        target = image_set.folder or f"{folder}/{image_set.campaign.hex}"
        layout = lay_out(paths, target, store.normalize_folder)
        missing = {image.original: image for image in pending}
        without_blob = {source.original for source in sources if not source.copied}
        return cls(
            lease,
            store,
            account,
            session,
            layout,
            missing,
            without_blob,
            max_attempts,
            concurrency,
            listed=0,
            faults=[],
        )

    @property
    def image_set(self) -> ImageSet:
        """The image set as it was leased."""
        return self.lease.image_set

    async def call(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Make one call, without a retry."""
        return await self.account.call(operation, self.lease.sleep)

    async def call_with_retries(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Make a call that may be repeated."""
        return await self.account.call_with_retries(operation, self.lease.sleep)

    async def record_destination(self, job: str | None = None) -> None:
        """Record where the files will be, before the first is written."""
        await self.lease.renew(folder=self.layout.folder, store=self.store.account, job=job)

    async def sync_listing(self) -> int:
        """List the copies, write blobs and attachments for new ones, and return how many were new.

        Raises:
            CampaignDeletedError: The campaign is being deleted.
        """
        originals = {path: original for original, path in self.layout.targets.items()}
        files: dict[str, File] = {}
        start: int | None = 0
        while start is not None:
            page = await self.call_with_retries(
                lambda start=start: self.store.files(self.layout.folder, start)  # type: ignore[misc]
            )
            files |= {originals[file.path]: file for file in page.items if file.path in originals}
            start = page.next
        self.listed = len(files)
        new = {original: file for original, file in files.items() if original in self.without_blob}
        settled = 0
        for originals_of_chunk in _chunks(list(new), IMAGES_PER_TRANSACTION):
            settled += await self._settle({original: new[original] for original in originals_of_chunk})
        return settled

    async def _settle(self, files: Mapping[str, File]) -> int:
        """Write blobs for files. Files that the database refuses are bisected down to one, which then failed."""
        try:
            facts = [{"original": original, **asdict(file)} for original, file in files.items()]
            settled = await self.session.run(image_queue.settle, self.image_set.campaign, facts)
        except SeedingError as refused:
            originals = list(files)
            if len(originals) == 1:
                self.without_blob.discard(originals[0])
                fault = ImageFault(originals[0], f"the database refuses its rows: {refused.message}", True, 0)
                await self.record_failures([fault])
                return 0
            half = len(originals) // 2
            return sum(
                [
                    await self._settle({original: files[original] for original in part})
                    for part in (originals[:half], originals[half:])
                ]
            )
        if settled < 0:
            raise CampaignDeletedError("the campaign is being deleted")
        for original in files:
            self.pending.pop(original, None)
        self.without_blob -= files.keys()
        return settled

    async def wait_until_listed(self, expected: Collection[str], delays: Sequence[float]) -> None:
        """List with a delay before each listing until all expected copies are there; restart when some appeared."""
        at = 0
        while at < len(delays):
            await self.lease.sleep(delays[at])
            at = 1 if await self.sync_listing() and at else at + 1
            if self.pending.keys().isdisjoint(expected):
                return

    async def record_failures(self, faults: Iterable[ImageFault]) -> None:
        """Record failed images; one that was tried often enough, or failed for good, is not tried again."""
        recorded = [fault for fault in faults if fault.original in self.pending]
        if not recorded:
            return
        await self.session.run(image_queue.fail, self.image_set.campaign, recorded, self.max_attempts)
        self.faults += recorded
        for fault in recorded:
            del self.pending[fault.original]
            if fault.final:
                log.warning("an image cannot be copied", extra={"image": fault.original, "cause": fault.cause})


def _chunks(items: list[str], size: int) -> Iterable[list[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))
