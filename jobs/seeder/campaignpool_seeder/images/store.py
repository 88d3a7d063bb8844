"""The port to a store of files: what the images Job asks of one, and how a store says no.

    CampaignPoolError
    ├── TransientError
    │   ├── StoreUnavailableError  StoreUnavailable: no answer, a broken one, or 5xx; it may be done or not
    │   └── StoreBusyError         StoreBusy: it says not now; nothing was done
    │       └── StoreLimitedError  StoreLimited: too many calls, with the time to wait
    ├── CredentialsError
    │   └── KeyRefusedError        ImagesKeyRefused: the account does not accept the key, or it lacks a right
    └── RefusedError               StoreRefused: the store understood and will not; the same call fails again
        └── AbsentError            StoreRefused: what the call names is not there

Paths begin with a slash and end without one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from campaignpool.errors import CampaignPoolError, CredentialsError, TransientError

T_co = TypeVar("T_co", covariant=True)


class StoreUnavailableError(TransientError):
    """The store did not answer as it should: whether it did what was asked has to be looked up."""

    default_reason = "StoreUnavailable"


class StoreBusyError(TransientError):
    """The store says that it cannot do this now, and did nothing."""

    default_reason = "StoreBusy"


class StoreLimitedError(StoreBusyError):
    """The account made too many calls.

    Attributes:
        retry_after: Seconds until the next one is allowed.
    """

    default_reason = "StoreLimited"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class KeyRefusedError(CredentialsError):
    """The store does not accept the key, or the key may not do this."""

    default_reason = "ImagesKeyRefused"


class RefusedError(CampaignPoolError):
    """The store will not do this, now or later."""

    default_reason = "StoreRefused"
    retry = False


class AbsentError(RefusedError):
    """The file, folder or job that a call names is not there."""


@dataclass(frozen=True)
class File:
    """A file as the store lists it; `path` is the whole path with the name, `size` is in bytes."""

    file_id: str
    name: str
    path: str
    url: str
    size: int | None


@dataclass(frozen=True)
class Folder:
    """A folder as the store lists it; `created` is None where the store does not say."""

    name: str
    path: str
    created: datetime | None


@dataclass(frozen=True)
class Page(Generic[T_co]):
    """A part of a listing; `next` is where the following one begins, None on the last."""

    items: Sequence[T_co]
    next: int | None


class Store(Protocol):
    """An account of a store. Every method makes one call, and tries nothing again.

    Each may raise StoreUnavailableError, StoreBusyError, KeyRefusedError and RefusedError.
    """

    @property
    def account(self) -> str:
        """Names the account in the ledger; made from a hash of the key, so that it tells nothing of it."""

    def spelled(self, folder: str) -> str:
        """Give the path that a folder gets when it is written to under this one. Makes no call."""

    async def files(self, folder: str, start: int = 0) -> Page[File]:
        """List files in a folder and those below it, the oldest first. A folder that is not there has none."""

    async def folders(self, folder: str, start: int = 0) -> Page[Folder]:
        """List the folders in a folder, without those below them. A folder that is not there has none."""

    async def copy_file(self, source: str, folder: str) -> None:
        """Copy a file into a folder, which is made if it is not there; the name stays.

        A file of that name which is there already gets new content. AbsentError: there is no such source.
        """

    async def copy_folder(self, source: str, folder: str) -> str:
        """Begin to copy a folder, with all below it, into another; give the job that does it.

        `/a/b` into `/c` becomes `/c/b`. A file that is there already gets new content.
        """

    async def is_done(self, job: str) -> bool:
        """Say whether a job is over; how it went shows in a listing. AbsentError: it is forgotten, or never was."""

    async def delete_folder(self, folder: str) -> None:
        """Delete a folder and all below it. AbsentError: it is not there."""
