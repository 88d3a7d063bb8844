"""The strategies that copy: each file, or a folder at once. `Share` copies nothing and needs no Job.

A strategy makes one round under one lease: list the existing copies, copy the missing ones, list again, and write
blobs and attachments for the new copies. What failed is due again later, under another lease.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from campaignpool.errors import CampaignPoolError, ConfigurationError
from campaignpool.ledger.image_queue import Image, ImageFault
from campaignpool_seeder.images.delays import (
    BULK_LIST_SECONDS,
    LIST_SECONDS,
    POLL_SECONDS,
    UNKNOWN_SECONDS,
    full_jitter,
)
from campaignpool_seeder.images.layout import parts
from campaignpool_seeder.images.store import (
    NotFoundError,
    StoreBusyError,
    StoreLimitedError,
    StoreRefusedError,
    StoreUnavailableError,
)
from campaignpool_seeder.images.task import ImageSetTask

log = logging.getLogger(__name__)

LIMITED_PER_ROUND = 20
"""How often one image may meet the rate limit in a round before it waits for the next round."""

LOG_EVERY = 100
"""Copies between two log lines about the progress."""


async def copy_each(task: ImageSetTask) -> None:
    """Copy each file: one call a file, and one listing a thousand files at the end."""
    if task.image_set.folder is not None:
        await task.sync_listing()
    await _copy_missing(task)


async def copy_folder(task: ImageSetTask) -> None:
    """Copy the files' common folder by one job of the store, and then each file that the job did not copy.

    Raises:
        ConfigurationError: The folder cannot be copied as a whole.
        StoreBusyError: The job is still running.
    """
    image_set, layout = task.image_set, task.layout
    if image_set.folder is not None:
        await task.sync_listing()
    job = image_set.job
    # Where copies exist, a job was started before, maybe by a call whose answer was lost: it is not started again.
    if job is None and task.pending and not task.listed:
        await _refuse_shared_folder(task)
        await task.record_destination()
        try:
            job = await task.call(lambda: task.store.copy_folder(layout.common, layout.folder))
        except StoreRefusedError as refused:
            raise _not_copyable(layout.common, refused.message) from refused
        await task.record_destination(job)
    if job is not None and task.pending:
        await _wait_for(task, job)
    if task.pending:
        await task.wait_until_listed(layout.regular, BULK_LIST_SECONDS)
    if job is not None:
        await task.record_destination()
    await _copy_missing(task)


async def _refuse_shared_folder(task: ImageSetTask) -> None:
    """Raise ConfigurationError where the common folder holds files that are not the template's."""
    common, limit = task.layout.common, 2 * len(task.layout.targets)
    if common == "/":
        raise _not_copyable(common, "the template's files share no folder but the root")
    if parts(task.layout.folder)[: len(parts(common))] == parts(common):
        raise _not_copyable(common, "spec.images.folder is inside it")
    files, start = 0, 0
    while files <= limit:
        page = await task.call_with_retries(lambda start=start: task.store.files(common, start))  # type: ignore[misc]
        files += len(page.items)
        if page.next is None:
            break
        start = page.next
    if files > limit:
        raise _not_copyable(common, f"it holds more than {limit} files, and the template has {limit // 2}")


def _not_copyable(folder: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"the folder {folder} of the template's files cannot be copied as a whole: {why}: set spec.images.strategy "
        "to CopyEach, or move the template's files into a folder of their own",
        reason="FolderNotCopyable",
    )


async def _wait_for(task: ImageSetTask, job: str) -> None:
    """Wait until a job is finished. Raises StoreBusyError where that takes long: other image sets come first."""
    for delay in POLL_SECONDS:
        await task.lease.sleep(delay)
        try:
            if await task.call_with_retries(lambda: task.store.is_job_finished(job)):
                return
        except NotFoundError:
            return  # a listing shows the result
    raise StoreBusyError("the store is still copying the folder")


@dataclass
class _Round:
    """The progress of a round."""

    queue: deque[Image]
    done: set[str] = field(default_factory=set)
    faults: dict[str, ImageFault] = field(default_factory=dict)
    limited: Counter[str] = field(default_factory=Counter)
    stopped_by: list[CampaignPoolError] = field(default_factory=list)


async def _copy_missing(task: ImageSetTask) -> None:
    """Copy the due images, `concurrency` at once."""
    due = [image for image in task.pending.values() if image.due]
    if not due:
        return
    await task.record_destination()
    log.info("copying", extra={"campaign": task.image_set.campaign, "images": len(due)})
    result = _Round(deque(due))
    async with asyncio.TaskGroup() as group:
        for _ in range(min(task.concurrency, len(due))):
            group.create_task(_copy_next(task, result))
    if result.stopped_by:
        raise result.stopped_by[0]
    # A listing that succeeds rules out an outage of the store: the failures of the copies count.
    await task.wait_until_listed(result.done, LIST_SECONDS)
    unlisted = "the store reports the copy as done, but does not list it"
    missing = [
        ImageFault(
            original,
            unlisted,
            False,
            UNKNOWN_SECONDS + full_jitter(task.pending[original].attempts, task.account.rng),
        )
        for original in result.done & task.pending.keys()
    ]
    await task.record_failures([*result.faults.values(), *missing])


async def _copy_next(task: ImageSetTask, result: _Round) -> None:
    """Copy queued images until none is left or an error stops the round; a running call is never cancelled."""
    while result.queue and not result.stopped_by:
        image = result.queue.popleft()
        target = task.layout.targets[image.original]
        folder = target.rpartition("/")[0]
        source = f"/{'/'.join(parts(image.source))}"
        try:
            await task.call(lambda source=source, folder=folder: task.store.copy_file(source, folder))  # type: ignore[misc]
        except StoreLimitedError as error:
            result.limited[image.original] += 1
            if result.limited[image.original] < LIMITED_PER_ROUND:
                result.queue.append(image)
            else:
                result.faults[image.original] = _fault(task, image, error)
        except (StoreBusyError, StoreUnavailableError, StoreRefusedError) as error:
            result.faults[image.original] = _fault(task, image, error)
        except CampaignPoolError as error:
            result.stopped_by.append(error)
        else:
            result.done.add(image.original)
            if len(result.done) % LOG_EVERY == 0:
                log.info("%d copied", len(result.done), extra={"campaign": task.image_set.campaign})


def _fault(task: ImageSetTask, image: Image, error: CampaignPoolError) -> ImageFault:
    minimum = UNKNOWN_SECONDS if isinstance(error, StoreUnavailableError) else 0.0
    final = isinstance(error, StoreRefusedError)
    return ImageFault(image.original, error.message, final, minimum + full_jitter(image.attempts, task.account.rng))


STRATEGIES: Mapping[str, Callable[[ImageSetTask], Awaitable[None]]] = {
    "CopyFolder": copy_folder,
    "CopyEach": copy_each,
}
"""The strategies by their names in `spec.images.strategy`."""
