"""Orphaned folders: in the store's listing, named after a campaign, and unknown to the ledger."""

import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from campaignpool.ledger import image_queue
from campaignpool_seeder.images.account import Account
from campaignpool_seeder.images.store import Folder, NotFoundError, Store
from campaignpool_seeder.session import LedgerSession, Sleep

log = logging.getLogger(__name__)

YOUNGEST = timedelta(hours=1)
"""A younger folder is left alone, although the ledger records a folder before it is created."""

_CAMPAIGN = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class OrphanSearch:
    """A search for orphaned folders; the arguments are those of `ImageWorker`."""

    session: LedgerSession
    store: Store
    account: Account
    sleep: Sleep

    async def run(self, folder: str, *, delete: bool, now: datetime | None = None) -> list[Folder]:
        """Return the orphaned folders below a folder; with `delete`, delete them.

        A folder counts only if its name is a campaign's id and it is older than `YOUNGEST`.
        """
        latest = (now or datetime.now(UTC)) - YOUNGEST
        candidates = [
            subfolder
            for subfolder in await self._folders(folder)
            if _CAMPAIGN.fullmatch(subfolder.name) and subfolder.created is not None and subfolder.created < latest
        ]
        recorded = await self.session.run(image_queue.folders_known, [candidate.path for candidate in candidates])
        orphans = [candidate for candidate in candidates if candidate.path not in recorded]
        for orphan in orphans:
            log.info("no campaign has the folder %s", orphan.path, extra={"since": orphan.created})
            if delete:
                await self._delete(orphan.path)
        return orphans

    async def _folders(self, folder: str) -> list[Folder]:
        folders: dict[str, Folder] = {}
        start: int | None = 0
        while start is not None:
            page = await self.account.call_with_retries(
                lambda start=start: self.store.folders(folder, start),  # type: ignore[misc]
                self.sleep,
            )
            folders |= {subfolder.path: subfolder for subfolder in page.items}
            start = page.next
        return list(folders.values())

    async def _delete(self, path: str) -> None:
        if await self.session.run(image_queue.folders_known, [path]):
            return
        try:
            await self.account.call_with_retries(lambda: self.store.delete_folder(path), self.sleep)
        except NotFoundError:
            return
        log.info("deleted the folder %s", path)
