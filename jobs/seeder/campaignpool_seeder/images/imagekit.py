"""ImageKit behind the port, through its SDK: the only module that knows either.

What stands here of ImageKit is from https://imagekit.io/docs: `api-overview` and the pages of the operations. The
SDK's own retries are off: they do not read `X-RateLimit-Reset`, and repeat calls whose outcome is unknown.
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
    AbsentError,
    File,
    Folder,
    KeyRefusedError,
    Page,
    RefusedError,
    StoreBusyError,
    StoreLimitedError,
    StoreUnavailableError,
)

ENDPOINT = "https://api.imagekit.io"

CALL_SECONDS = 20.0
"""A call that takes longer is given up, and what it did is looked up later. Less than the 30 seconds that a pod
has to end, by default."""

PAGE = 1000
"""Most assets of one listing (`list-and-search-assets`)."""

_UNKNOWN_WAIT = 1.0
"""Seconds to wait after a 429 that does not say how long: the limits are counted by the second (`api-overview`)."""
_LONGEST_WAIT = 600.0
"""Seconds; a 429 that says more is asked again then."""
_BUSY = (408, 423)
"""423: a bulk job is at work on the folder (`copy-folder`). 408: the request did not arrive whole."""


def account_name(key: str) -> str:
    """Name the account of a key; the key cannot be found from it."""
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
        """Names the account in the ledger."""
        return self._name

    def spelled(self, folder: str) -> str:
        """Give the path that a folder gets when it is written to under this one.

        Letters, marks and numerals of any language, `.`, `_` and `-` stay; any other character becomes `_`
        (`create-folder`, `upload-file`).
        """
        return "".join(each if unicodedata.category(each)[0] in "LMN" or each in "/._-" else "_" for each in folder)

    async def files(self, folder: str, start: int = 0) -> Page[File]:
        """List files in a folder and those below it, the oldest first, so that new ones come on the last page."""
        below = f"{folder.rstrip('/')}/"
        with _translated(f"listing {folder}"):
            found = await self._client.assets.list(
                # With a query ImageKit does not look at the parameter `type`.
                search_query=f'type = "file" AND path : {_quoted(folder)}',
                sort="ASC_CREATED",
                limit=PAGE,
                skip=start,
            )
            files = [_file(asset) for asset in found if isinstance(asset, ImageKitFile)]
        # The query asks for paths that begin so: the folder `/a-b` may come with `/a`.
        return Page([file for file in files if file.path.startswith(below)], _next(start, len(found)))

    async def folders(self, folder: str, start: int = 0) -> Page[Folder]:
        """List the folders in a folder."""
        with _translated(f"listing {folder}"):
            found = await self._client.assets.list(
                path=folder, type="folder", sort="ASC_CREATED", limit=PAGE, skip=start
            )
            folders = [_folder(asset) for asset in found if isinstance(asset, ImageKitFolder)]
        return Page(folders, _next(start, len(found)))

    async def copy_file(self, source: str, folder: str) -> None:
        """Copy a file into a folder; ImageKit answers nothing (`copy-file`: 204)."""
        with _translated("copying a file"):
            await self._client.files.copy(source_file_path=source, destination_path=folder)

    async def copy_folder(self, source: str, folder: str) -> str:
        """Begin a bulk job that copies a folder into another."""
        with _translated(f"copying the folder {source}"):
            accepted = await self._client.folders.copy(source_folder_path=source, destination_path=folder)
            return _said(accepted.job_id)

    async def is_done(self, job: str) -> bool:
        """Ask for the status of a bulk job: `Pending` or `Completed`, there is none of failure."""
        with _translated("asking for a bulk job"):
            return _said((await self._client.folders.job.get(job)).status) == "Completed"

    async def delete_folder(self, folder: str) -> None:
        """Delete a folder and all below it."""
        with _translated(f"deleting the folder {folder}"):
            await self._client.folders.delete(folder_path=folder)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _next(start: int, found: int) -> int | None:
    return start + found if found >= PAGE else None


def _said(value: str | None) -> str:
    if not value:
        raise TypeError("the answer lacks what it is for")
    return value


def _file(asset: ImageKitFile) -> File:
    size = None if asset.size is None else int(asset.size)
    return File(_said(asset.file_id), _said(asset.name), _said(asset.file_path), _said(asset.url), size)


def _folder(asset: ImageKitFolder) -> Folder:
    return Folder(_said(asset.name), _said(asset.folder_path), asset.created_at)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn the SDK's errors into the port's."""
    try:
        yield
    except imagekitio.APIStatusError as error:
        raise _refusal(what, error) from error
    except imagekitio.APITimeoutError as error:
        raise StoreUnavailableError(f"{what}: ImageKit did not answer in time") from error
    except imagekitio.APIConnectionError as error:
        raise StoreUnavailableError(f"{what}: no connection to ImageKit, or it broke off") from error
    except (imagekitio.APIError, httpx.HTTPError, ValueError, TypeError, AttributeError) as error:
        raise StoreUnavailableError(f"{what}: ImageKit answered what cannot be read") from error


def _refusal(what: str, error: imagekitio.APIStatusError) -> Exception:
    status = error.status_code
    said = f"{what}: ImageKit answers {status}{_words(error.body)}"
    if status in (401, 403):
        return KeyRefusedError(
            f"{said}: put a private key of the account into the Secret that images.secretRef names; a restricted key "
            "needs rights to read, copy and delete in the media library"
        )
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return StoreLimitedError(said, _wait(error.response.headers.get("X-RateLimit-Reset", "")))
    if status in _BUSY:
        return StoreBusyError(said)
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return StoreUnavailableError(f"{what}: ImageKit answers {status}")
    if status == httpx.codes.NOT_FOUND:
        return AbsentError(said)
    return RefusedError(said)


def _words(body: object) -> str:
    message = body.get("message") if isinstance(body, dict) else None
    return f": {' '.join(message.split())[:200]}" if isinstance(message, str) else ""


def _wait(milliseconds: str) -> float:
    try:
        return min(_LONGEST_WAIT, max(0.0, float(milliseconds) / 1000))
    except ValueError:
        return _UNKNOWN_WAIT
