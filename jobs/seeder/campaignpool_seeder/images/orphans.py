"""Folders in the store that belong to no campaign: found by comparing its listing with the ledger."""

import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from campaignpool.ledger import image_queue
from campaignpool_seeder.images.account import Account
from campaignpool_seeder.images.desk import Desk
from campaignpool_seeder.images.store import AbsentError, Folder, Store
from campaignpool_seeder.run import Sleep

log = logging.getLogger(__name__)

YOUNGEST = timedelta(hours=1)
"""A folder is noted in the ledger before it is made; a younger one is left alone all the same."""

_CAMPAIGN = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Search:
    """A search below a folder; the arguments are those of `Images`, and `sleep` waits."""

    desk: Desk
    store: Store
    account: Account
    sleep: Sleep

    async def run(self, folder: str, *, delete: bool, now: datetime | None = None) -> list[Folder]:
        """Report the folders of campaigns below a folder that no album has, and delete them if told to.

        Only folders that are named as a campaign's is, and are older than `YOUNGEST`.
        """
        latest = (now or datetime.now(UTC)) - YOUNGEST
        found = [
            each
            for each in await self._folders(folder)
            if _CAMPAIGN.fullmatch(each.name) and each.created is not None and each.created < latest
        ]
        known = await self.desk.ask(image_queue.folders_known, [each.path for each in found])
        orphans = [each for each in found if each.path not in known]
        for each in orphans:
            log.info("no campaign has the folder %s", each.path, extra={"since": each.created})
            if delete:
                await self._delete(each.path)
        return orphans

    async def _folders(self, folder: str) -> list[Folder]:
        found: dict[str, Folder] = {}
        start: int | None = 0
        while start is not None:
            page = await self.account.insist(
                lambda start=start: self.store.folders(folder, start),  # type: ignore[misc]
                self.sleep,
            )
            found |= {each.path: each for each in page.items}
            start = page.next
        return list(found.values())

    async def _delete(self, path: str) -> None:
        if await self.desk.ask(image_queue.folders_known, [path]):
            return
        try:
            await self.account.insist(lambda: self.store.delete_folder(path), self.sleep)
        except AbsentError:
            return
        log.info("deleted the folder %s", path)
