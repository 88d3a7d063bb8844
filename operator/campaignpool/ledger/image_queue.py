"""Image sets as a worker sees them: one function per query.

The functions are in `sql/functions/image_sets.sql`. A worker leases an image set; any later call may find that
another worker has it by now.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID

from campaignpool.ledger import sql
from campaignpool.ledger.database import Connection


@dataclass(frozen=True)
class ImageSet:
    """An image set as it was when it was leased.

    Attributes:
        campaign: Its id in the ledger.
        state: `copying`, or `deleting` when the campaign is gone and its files are to follow.
        root_key: The campaign's key in the application; None once it is gone.
        claimed: Somebody has it, and may be looking at it now.
        images: How many files it has.
        folder: Of its files; None while nothing was written there.
        store: The account that the folder is in.
        job: Of the store, which copies the folder.
        attempts: Leases in a row that made no progress.
        queued_at: When it was queued.
        leases: Names this lease.
    """

    campaign: UUID
    state: str
    root_key: str | None
    claimed: bool
    images: int
    folder: str | None
    store: str | None
    job: str | None
    attempts: int
    queued_at: datetime
    leases: int


@dataclass(frozen=True)
class Image:
    """An image that is not copied yet.

    Attributes:
        original: Key of the template's blob.
        source: Path of the template's file.
        attempts: How often it failed.
        due: It is to be tried now, not later.
    """

    original: str
    source: str
    attempts: int
    due: bool


@dataclass(frozen=True)
class ImageSource:
    """Where an image comes from: key of the template's blob, path of its file; `copied`: blob and file are there."""

    original: str
    source: str
    copied: bool


@dataclass(frozen=True)
class ImageFault:
    """Why an image was not copied.

    Attributes:
        original: Key of the template's blob.
        cause: One sentence.
        final: Trying again does not help.
        pause: Seconds until it is tried again.
    """

    original: str
    cause: str
    final: bool
    pause: float


async def lease(connection: Connection, pool: str, length: timedelta) -> ImageSet | None:
    """Lease the next image set of a pool that is due; None: none is."""
    row = await connection.fetchrow(_QUERY["lease"], pool, length)
    return ImageSet(**row) if row else None


async def next_due(connection: Connection, pool: str) -> float | None:
    """Return the seconds until an image set of a pool is due, or its lease ends; None: all are finished."""
    value: float | None = await connection.fetchval(_QUERY["next_due"], pool)
    return value


async def renew_lease(
    connection: Connection,
    image_set: ImageSet,
    length: timedelta,
    folder: str | None,
    store: str | None,
    job: str | None,
) -> bool:
    """Renew a lease and record where the files are. False: another worker has the image set by now.

    A `folder` or `store` of None leaves what is noted; a `job` of None takes it away.
    """
    row = (image_set.campaign, length, folder, store, job, image_set.leases)
    return bool(await connection.fetchval(_QUERY["renew_lease"], *row))


async def pending(connection: Connection, campaign: UUID) -> list[Image]:
    """Return the images that are not copied and have not failed for good."""
    return [Image(**row) for row in await connection.fetch(_QUERY["pending"], campaign)]


async def sources(connection: Connection, campaign: UUID) -> list[ImageSource]:
    """Return where all images of an image set come from, copied and failed ones too."""
    return [ImageSource(**row) for row in await connection.fetch(_QUERY["sources"], campaign)]


async def settle(connection: Connection, campaign: UUID, files: Iterable[Mapping[str, object]]) -> int:
    """Write blobs and attachments for copied files; return how many were new.

    Args:
        connection: To the application's database.
        campaign: Whose files they are.
        files: `original`, `file_id`, `name`, `path`, `url` and `size` (bytes) of each; none only asks for the answer.

    Returns:
        -1 when the campaign is being deleted, or is gone: its files are of no use any more.
    """
    return int(await connection.fetchval(_QUERY["settle"], campaign, json.dumps(list(files))))


async def fail(connection: Connection, campaign: UUID, faults: Iterable[ImageFault], most: int) -> None:
    """Record images that could not be copied; each is tried `most` times at most."""
    await connection.execute(_QUERY["fail"], campaign, json.dumps([asdict(fault) for fault in faults]), most)


async def finish(
    connection: Connection, image_set: ImageSet, pause: float, deadline: timedelta, cause: str | None
) -> str | None:
    """End a lease and return the image set's state; None: it is gone. Another worker's is left alone.

    Args:
        connection: To the application's database.
        image_set: The image set.
        pause: Seconds until it is looked at again, unless all its images wait for longer.
        deadline: Age at which what is still missing counts as failed.
        cause: Why it is not further.
    """
    row = (image_set.campaign, pause, deadline, cause, image_set.leases)
    state: str | None = await connection.fetchval(_QUERY["finish"], *row)
    return state


async def drop(connection: Connection, campaign: UUID) -> None:
    """Delete an image set whose files are deleted."""
    await connection.execute(_QUERY["drop"], campaign)


async def take_token(connection: Connection, account: str, per_second: float, burst: int) -> float | None:
    """Take the next token of an account; return the seconds to wait before using it. None: its breaker is open."""
    wait: float | None = await connection.fetchval(_QUERY["take_token"], account, per_second, burst)
    return wait


async def record_calls(
    connection: Connection,
    account: str,
    outcomes: Mapping[str, float],
    *,
    failures: int = 0,
    succeeded: bool = False,
    blocked: float = 0,
    most: int,
    pause: float,
    cause: str | None = None,
) -> None:
    """Record how calls of an account ended.

    Args:
        connection: To the application's database.
        account: Its name.
        outcomes: Calls by outcome; `seconds` is the duration of all calls.
        failures: Calls that the store did not answer, in a row.
        succeeded: It answered one, if only to refuse it.
        blocked: Seconds for which it wants no more calls.
        most: Failures in a row after which the breaker opens.
        pause: Seconds for which it opens the first time; twice as long each time after.
        cause: Of the failures.
    """
    facts = (json.dumps(dict(outcomes)), failures, succeeded, blocked, most, pause, cause)
    await connection.execute(_QUERY["record_calls"], account, *facts)


async def folders_known(connection: Connection, folders: list[str]) -> set[str]:
    """Return which of these folders belong to an image set."""
    return {row["folder"] for row in await connection.fetch(_QUERY["folders_known"], folders)}


_QUERY = sql.queries("image_queue")
