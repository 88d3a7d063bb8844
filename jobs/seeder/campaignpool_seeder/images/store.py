"""The port to a store of files: its operations and its errors.

    CampaignPoolError
    ├── TransientError
    │   ├── StoreUnavailableError  StoreUnavailable: no answer, a malformed one, or 5xx; the outcome is unknown
    │   └── StoreBusyError         StoreBusy: refused for now; nothing was done
    │       └── StoreLimitedError  StoreLimited: rate limit, with the time to wait
    ├── CredentialsError
    │   └── KeyRefusedError        ImagesKeyRefused: the key is invalid, or lacks a right
    └── StoreRefusedError               StoreRefused: the same call will fail again
        └── NotFoundError            StoreRefused: the file, folder or job does not exist

Paths begin with a slash and end without one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from campaignpool.errors import CampaignPoolError, CredentialsError, TransientError

T_co = TypeVar("T_co", covariant=True)


class StoreUnavailableError(TransientError):
    """The store did not answer, or not properly: the outcome of the call is unknown."""

    default_reason = "StoreUnavailable"


class StoreBusyError(TransientError):
    """The store refused the call for now, and did nothing."""

    default_reason = "StoreBusy"


class StoreLimitedError(StoreBusyError):
    """The account reached its rate limit.

    Attributes:
        retry_after: Seconds until the next one is allowed.
    """

    default_reason = "StoreLimited"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class KeyRefusedError(CredentialsError):
    """The store does not accept the key, or the key lacks a right."""

    default_reason = "ImagesKeyRefused"


class StoreRefusedError(CampaignPoolError):
    """The store refuses the call for good."""

    default_reason = "StoreRefused"
    retry = False


class NotFoundError(StoreRefusedError):
    """The file, folder or job that a call names does not exist."""


@dataclass(frozen=True)
class File:
    """A file in a listing; `path` includes the name, `size` is in bytes."""

    file_id: str
    name: str
    path: str
    url: str
    size: int | None


@dataclass(frozen=True)
class Folder:
    """A folder in a listing; `created` is None where the store does not report it."""

    name: str
    path: str
    created: datetime | None


@dataclass(frozen=True)
class Page(Generic[T_co]):
    """A page of a listing; `next` is the offset of the following page, None on the last."""

    items: Sequence[T_co]
    next: int | None


class Store(Protocol):
    """An account of a store. Every method makes one call, without retries.

    Each may raise StoreUnavailableError, StoreBusyError, KeyRefusedError and StoreRefusedError.
    """

    @property
    def account(self) -> str:
        """Return the account's name in the ledger, a hash of the key that does not reveal it."""

    def normalize_folder(self, folder: str) -> str:
        """Return the path under which the store keeps a folder of this name. Makes no call."""

    async def files(self, folder: str, start: int = 0) -> Page[File]:
        """List the files in a folder and below it, the oldest first. A folder that does not exist has none."""

    async def folders(self, folder: str, start: int = 0) -> Page[Folder]:
        """List the direct subfolders of a folder. A folder that does not exist has none."""

    async def copy_file(self, source: str, folder: str) -> None:
        """Copy a file into a folder, which is created if missing; the name stays.

        An existing file of that name is overwritten. NotFoundError: the source does not exist.
        """

    async def copy_folder(self, source: str, folder: str) -> str:
        """Start a job that copies a folder, with everything below it, into another; return the job's id.

        `/a/b` into `/c` becomes `/c/b`. Existing files are overwritten.
        """

    async def is_job_finished(self, job: str) -> bool:
        """Return whether a job is finished; a listing shows its result. NotFoundError: the store does not know it."""

    async def delete_folder(self, folder: str) -> None:
        """Delete a folder and everything below it. NotFoundError: it does not exist."""
