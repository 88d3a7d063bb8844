"""The adapter for ImageKit, through its SDK; no other module imports the SDK.

The limits and status codes are those of https://imagekit.io/docs: `api-overview` and the pages of the operations. The
SDK's own retries are off: they ignore `X-RateLimit-Reset`, and repeat calls whose outcome is unknown.
"""

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Self

import httpx
import imagekitio
from imagekitio.types import File as ImageKitFile
from imagekitio.types import Folder as ImageKitFolder

from campaignpool_seeder.images.store import (
    File,
    Folder,
    KeyRefusedError,
    NotFoundError,
    Page,
    StoreBusyError,
    StoreLimitedError,
    StoreRefusedError,
    StoreUnavailableError,
)

ENDPOINT = "https://api.imagekit.io"

CALL_SECONDS = 20.0
"""A call that takes longer is cancelled, and its outcome is read from a listing later. Less than a pod's default
grace period of 30 seconds."""

PAGE = 1000
"""Most assets of one listing (`list-and-search-assets`)."""

_UNKNOWN_WAIT = 1.0
"""Seconds to wait after a 429 without a time: limits are counted by the second (`api-overview`)."""
_LONGEST_WAIT = 600.0
"""Seconds; a 429 with a longer time is retried after these."""
_BUSY = (408, 423)
"""423: a bulk job is running on the folder (`copy-folder`). 408: the request was incomplete."""


def account_name(key: str) -> str:
    """Return the name of a key's account, which does not reveal the key."""
    return sha256(f"campaignpool imagekit {key}".encode()).hexdigest()[:16]


class ImageKit:
    """An account of ImageKit. Use it as a context manager.

    Args:
        key: The account's private key.
        endpoint: Base URL of the API; None is ImageKit's own.
        timeout: Seconds that a call may take.
    """

    def __init__(self, key: str, endpoint: str | None = None, timeout: float = CALL_SECONDS) -> None:
        self._name = account_name(key)
        self._client = imagekitio.AsyncImageKit(
            private_key=key, base_url=endpoint or ENDPOINT, max_retries=0, timeout=timeout
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    @property
    def account(self) -> str:
        """Return the account's name in the ledger."""
        return self._name

    def normalize_folder(self, folder: str) -> str:
        """Return the path under which ImageKit keeps a folder of this name.

        Letters, marks and numerals of any language, `.`, `_` and `-` stay; any other character becomes `_`
        (`create-folder`, `upload-file`).
        """
        return "".join(char if unicodedata.category(char)[0] in "LMN" or char in "/._-" else "_" for char in folder)

    async def files(self, folder: str, start: int = 0) -> Page[File]:
        """List the files in a folder and below it, the oldest first, so that new files are on the last page."""
        below = f"{folder.rstrip('/')}/"
        with _translated(f"listing {folder}"):
            assets = await self._client.assets.list(
                # ImageKit ignores the parameter `type` beside a query.
                search_query=f'type = "file" AND path : {_quoted(folder)}',
                sort="ASC_CREATED",
                limit=PAGE,
                skip=start,
            )
            files = [_file(asset) for asset in assets if isinstance(asset, ImageKitFile)]
        # The query matches prefixes of paths: `/a` matches the folder `/a-b` too.
        return Page([file for file in files if file.path.startswith(below)], _next(start, len(assets)))

    async def folders(self, folder: str, start: int = 0) -> Page[Folder]:
        """List the direct subfolders of a folder."""
        with _translated(f"listing {folder}"):
            assets = await self._client.assets.list(
                path=folder, type="folder", sort="ASC_CREATED", limit=PAGE, skip=start
            )
            folders = [_folder(asset) for asset in assets if isinstance(asset, ImageKitFolder)]
        return Page(folders, _next(start, len(assets)))

    async def copy_file(self, source: str, folder: str) -> None:
        """Copy a file into a folder; the answer is empty (`copy-file`: 204)."""
        with _translated("copying a file"):
            await self._client.files.copy(source_file_path=source, destination_path=folder)

    async def copy_folder(self, source: str, folder: str) -> str:
        """Start a bulk job that copies a folder into another."""
        with _translated(f"copying the folder {source}"):
            accepted = await self._client.folders.copy(source_folder_path=source, destination_path=folder)
            return _required(accepted.job_id)

    async def is_job_finished(self, job: str) -> bool:
        """Return whether a bulk job is `Completed`; there is no status for a failure."""
        with _translated("reading the status of a bulk job"):
            return _required((await self._client.folders.job.get(job)).status) == "Completed"

    async def delete_folder(self, folder: str) -> None:
        """Delete a folder and everything below it."""
        with _translated(f"deleting the folder {folder}"):
            await self._client.folders.delete(folder_path=folder)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _next(start: int, count: int) -> int | None:
    return start + count if count >= PAGE else None


def _required(value: str | None) -> str:
    if not value:
        raise TypeError("the answer lacks a required field")
    return value


def _file(asset: ImageKitFile) -> File:
    size = None if asset.size is None else int(asset.size)
    return File(
        _required(asset.file_id), _required(asset.name), _required(asset.file_path), _required(asset.url), size
    )


def _folder(asset: ImageKitFolder) -> Folder:
    return Folder(_required(asset.name), _required(asset.folder_path), asset.created_at)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Raise the SDK's errors as the port's."""
    try:
        yield
    except imagekitio.APIStatusError as error:
        raise _refusal(what, error) from error
    except imagekitio.APITimeoutError as error:
        raise StoreUnavailableError(f"{what}: ImageKit did not answer in time") from error
    except imagekitio.APIConnectionError as error:
        raise StoreUnavailableError(f"{what}: the connection to ImageKit failed or was lost") from error
    except (imagekitio.APIError, httpx.HTTPError, ValueError, TypeError, AttributeError) as error:
        raise StoreUnavailableError(f"{what}: ImageKit's answer cannot be parsed") from error


def _refusal(what: str, error: imagekitio.APIStatusError) -> Exception:
    status = error.status_code
    message = f"{what}: ImageKit answers {status}{_answer(error.body)}"
    if status in (401, 403):
        return KeyRefusedError(
            f"{message}: put a private key of the account into the Secret that spec.images.secretRef names; a "
            "restricted key needs the rights to read, copy and delete in the media library"
        )
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return StoreLimitedError(message, _wait(error.response.headers.get("X-RateLimit-Reset", "")))
    if status in _BUSY:
        return StoreBusyError(message)
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return StoreUnavailableError(f"{what}: ImageKit answers {status}")
    if status == httpx.codes.NOT_FOUND:
        return NotFoundError(message)
    return StoreRefusedError(message)


def _answer(body: object) -> str:
    message = body.get("message") if isinstance(body, dict) else None
    return f": {' '.join(message.split())[:200]}" if isinstance(message, str) else ""


def _wait(milliseconds: str) -> float:
    try:
        return min(_LONGEST_WAIT, max(0.0, float(milliseconds) / 1000))
    except ValueError:
        return _UNKNOWN_WAIT
