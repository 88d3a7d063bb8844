"""The two strategies that copy: file by file, and a folder at once. `Share` copies nothing and needs no Job.

Either makes one round with a lease: it looks for what is there already, copies what is missing, looks again, and
writes blobs and attachments for what it finds. What failed is due again later, with another lease.
"""

import asyncio
import logging
from collections import Counter, deque
from dataclasses import dataclass, field

from campaignpool.errors import CampaignPoolError, ConfigurationError
from campaignpool.ledger.image_queue import Image, ImageFault
from campaignpool_seeder.images.album import Work
from campaignpool_seeder.images.backoff import (
    BULK_LOOK_SECONDS,
    LOOK_SECONDS,
    POLL_SECONDS,
    UNKNOWN_SECONDS,
    jittered,
)
from campaignpool_seeder.images.layout import parts
from campaignpool_seeder.images.store import (
    AbsentError,
    RefusedError,
    StoreBusyError,
    StoreLimitedError,
    StoreUnavailableError,
)

log = logging.getLogger(__name__)

MOST_LIMITED = 20
"""How often one image may meet a 429 in one round, which is nobody's fault, before it waits for the next."""

SAID_EVERY = 100
"""Copies after which the log says how far it is."""


async def copy_each(work: Work) -> None:
    """Copy file by file: one call each, and one listing a thousand at the end."""
    if work.album.folder is not None:
        await work.look()
    await _copy_missing(work)


async def copy_folder(work: Work) -> None:
    """Copy the folder that the files have in common by one job of the store, and one by one what that does not bring.

    Raises:
        ConfigurationError: The folder cannot be copied as a whole.
        StoreBusyError: The store is still at it.
    """
    album, layout = work.album, work.layout
    if album.folder is not None:
        await work.look()
    job = album.job
    # When something is there, it has been begun, by a call whose answer was lost perhaps: it is not begun again.
    if job is None and work.pending and not work.found:
        await _refuse_impossible(work)
        await work.announce()
        try:
            job = await work.call(lambda: work.store.copy_folder(layout.common, layout.folder))
        except RefusedError as refused:
            raise _impossible(layout.common, refused.message) from refused
        await work.announce(job)
    if job is not None and work.pending:
        await _wait_for(work, job)
    if work.pending:
        await work.find(layout.regular, BULK_LOOK_SECONDS)
    if job is not None:
        await work.announce()
    await _copy_missing(work)


async def _refuse_impossible(work: Work) -> None:
    """Refuse to copy a folder that holds what is not the template's. Raises ConfigurationError."""
    common, most = work.layout.common, 2 * len(work.layout.targets)
    if common == "/":
        raise _impossible(common, "the template's files have no folder in common but the root")
    if parts(work.layout.folder)[: len(parts(common))] == parts(common):
        raise _impossible(common, "images.folder is in it")
    files, start = 0, 0
    while files <= most:
        page = await work.insist(lambda start=start: work.store.files(common, start))  # type: ignore[misc]
        files += len(page.items)
        if page.next is None:
            break
        start = page.next
    if files > most:
        raise _impossible(common, f"it holds more than {most} files, and the template has {most // 2}")


def _impossible(folder: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"the folder {folder} of the template's files cannot be copied as a whole: {why}: set images.strategy to "
        "CopyEach, or give the template's files a folder of their own",
        reason="FolderNotCopyable",
    )


async def _wait_for(work: Work, job: str) -> None:
    """Wait until a job is over. Raises StoreBusyError when it takes long: other albums come first then."""
    for pause in POLL_SECONDS:
        await work.hold.sleep(pause)
        try:
            if await work.insist(lambda: work.store.is_done(job)):
                return
        except AbsentError:
            return  # forgotten: a listing tells how it went
    raise StoreBusyError("the store is still copying the folder")


@dataclass
class _Round:
    """What became of the copies of a round."""

    queue: deque[Image]
    done: set[str] = field(default_factory=set)
    faults: dict[str, ImageFault] = field(default_factory=dict)
    limited: Counter[str] = field(default_factory=Counter)
    ended: list[CampaignPoolError] = field(default_factory=list)


async def _copy_missing(work: Work) -> None:
    """Copy what is due, `concurrency` at once."""
    due = [image for image in work.pending.values() if image.due]
    if not due:
        return
    await work.announce()
    log.info("copying", extra={"campaign": work.album.campaign, "images": len(due)})
    result = _Round(deque(due))
    async with asyncio.TaskGroup() as tasks:
        for _ in range(min(work.concurrency, len(due))):
            tasks.create_task(_one_after_another(work, result))
    if result.ended:
        raise result.ended[0]
    # That a listing succeeds shows that the store is there: what failed did not fail for an outage, and counts.
    await work.find(result.done, LOOK_SECONDS)
    unseen = "the store says that it was copied, and does not list it"
    missing = [
        ImageFault(each, unseen, False, UNKNOWN_SECONDS + jittered(work.pending[each].attempts, work.account.chance))
        for each in result.done & work.pending.keys()
    ]
    await work.charge([*result.faults.values(), *missing])


async def _one_after_another(work: Work, result: _Round) -> None:
    """Copy images from the queue until it is empty, or something ends the round: no call is broken off."""
    while result.queue and not result.ended:
        image = result.queue.popleft()
        target = work.layout.targets[image.original]
        folder = target.rpartition("/")[0]
        source = f"/{'/'.join(parts(image.source))}"
        try:
            await work.call(lambda source=source, folder=folder: work.store.copy_file(source, folder))  # type: ignore[misc]
        except StoreLimitedError as error:
            result.limited[image.original] += 1
            if result.limited[image.original] < MOST_LIMITED:
                result.queue.append(image)
            else:
                result.faults[image.original] = _fault(work, image, error)
        except (StoreBusyError, StoreUnavailableError, RefusedError) as error:
            result.faults[image.original] = _fault(work, image, error)
        except CampaignPoolError as error:
            result.ended.append(error)
        else:
            result.done.add(image.original)
            if len(result.done) % SAID_EVERY == 0:
                log.info("%d copied", len(result.done), extra={"campaign": work.album.campaign})


def _fault(work: Work, image: Image, error: CampaignPoolError) -> ImageFault:
    least = UNKNOWN_SECONDS if isinstance(error, StoreUnavailableError) else 0.0
    final = isinstance(error, RefusedError)
    return ImageFault(image.original, error.message, final, least + jittered(image.attempts, work.account.chance))
