"""One leased album: its layout, what is left of it, and the ledger's and the store's side of each step."""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Self, TypeVar

from campaignpool.errors import SeedingError
from campaignpool.ledger import image_queue
from campaignpool.ledger.image_queue import Image, ImageFault, ImageSet
from campaignpool_seeder.images.account import Account
from campaignpool_seeder.images.desk import Desk
from campaignpool_seeder.images.hold import GoneError, Hold
from campaignpool_seeder.images.layout import Layout, lay_out
from campaignpool_seeder.images.store import File, Store

log = logging.getLogger(__name__)

SETTLED_AT_ONCE = 250
"""Images in one transaction, so that a claim or a deletion of the campaign never waits for long."""

T = TypeVar("T")


@dataclass
class Work:
    """An album at work.

    Attributes:
        hold: The lease.
        store: Where the files are.
        account: Through which all calls go.
        desk: To the ledger.
        layout: Where the copies go.
        pending: What is left to copy, by the key of the template's blob.
        unsettled: What has no blob yet: that, and what has failed, should it be there after all.
        most: How often an image is tried.
        concurrency: Calls at once.
        found: How many files of the album the last listing held.
        faults: Images that failed in this lease.
    """

    hold: Hold
    store: Store
    account: Account
    desk: Desk
    layout: Layout
    pending: dict[str, Image]
    unsettled: set[str]
    most: int
    concurrency: int
    found: int
    faults: list[ImageFault]

    @classmethod
    async def begin(
        cls, hold: Hold, store: Store, account: Account, desk: Desk, *, folder: str, most: int, concurrency: int
    ) -> Self:
        """Read what an album consists of; `folder` is where its files go unless they are somewhere already."""
        album = hold.album
        sources = await desk.ask(image_queue.sources, album.campaign)
        pending = await desk.ask(image_queue.pending, album.campaign)
        paths = {each.original: each.source for each in sources}
        layout = lay_out(paths, album.folder or f"{folder}/{album.campaign.hex}", store.spelled)
        left = {image.original: image for image in pending}
        unsettled = {each.original for each in sources if not each.copied}
        return cls(hold, store, account, desk, layout, left, unsettled, most, concurrency, 0, [])

    @property
    def album(self) -> ImageSet:
        """The album as it was leased."""
        return self.hold.album

    async def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """Make a call whose repetition has to be thought about."""
        return await self.account.call(work, self.hold.sleep)

    async def insist(self, work: Callable[[], Awaitable[T]]) -> T:
        """Make a call that may be repeated."""
        return await self.account.insist(work, self.hold.sleep)

    async def announce(self, job: str | None = None) -> None:
        """Note where the files will be; before the first is written."""
        await self.hold.note(folder=self.layout.folder, store=self.store.account, job=job)

    async def look(self) -> int:
        """List what is there, and write blobs and attachments for what is new; give how many that were.

        Raises:
            GoneError: The campaign is being deleted.
        """
        originals = {path: original for original, path in self.layout.targets.items()}
        files: dict[str, File] = {}
        start: int | None = 0
        while start is not None:
            page = await self.insist(lambda start=start: self.store.files(self.layout.folder, start))  # type: ignore[misc]
            files |= {originals[file.path]: file for file in page.items if file.path in originals}
            start = page.next
        self.found = len(files)
        new = {original: file for original, file in files.items() if original in self.unsettled}
        settled = 0
        for some in _chunks(list(new), SETTLED_AT_ONCE):
            settled += await self._settle({original: new[original] for original in some})
        return settled

    async def _settle(self, files: Mapping[str, File]) -> int:
        """Settle files; where the database refuses some, halve them until it is one, which has failed then."""
        try:
            facts = [{"original": original, **asdict(file)} for original, file in files.items()]
            settled = await self.desk.ask(image_queue.settle, self.album.campaign, facts)
        except SeedingError as refused:
            some = list(files)
            if len(some) == 1:
                self.unsettled.discard(some[0])
                await self.charge([ImageFault(some[0], f"the database refuses it: {refused.message}", True, 0)])
                return 0
            half = len(some) // 2
            return sum(
                [await self._settle({each: files[each] for each in part}) for part in (some[:half], some[half:])]
            )
        if settled < 0:
            raise GoneError("the campaign is being deleted")
        for original in files:
            self.pending.pop(original, None)
        self.unsettled -= files.keys()
        return settled

    async def find(self, awaited: Collection[str], pauses: Sequence[float]) -> None:
        """Look for copies until they are all there, with a pause before each look; begin anew when some came."""
        at = 0
        while at < len(pauses):
            await self.hold.sleep(pauses[at])
            at = 1 if await self.look() and at else at + 1
            if self.pending.keys().isdisjoint(awaited):
                return

    async def charge(self, faults: Iterable[ImageFault]) -> None:
        """Note what failed; what was tried often enough, or cannot heal, is not tried again."""
        noted = [fault for fault in faults if fault.original in self.pending]
        if not noted:
            return
        await self.desk.ask(image_queue.fail, self.album.campaign, noted, self.most)
        self.faults += noted
        for fault in noted:
            del self.pending[fault.original]
            if fault.final:
                log.warning("an image cannot be copied", extra={"image": fault.original, "cause": fault.cause})


def _chunks(some: list[str], size: int) -> Iterable[list[str]]:
    return (some[start : start + size] for start in range(0, len(some), size))
