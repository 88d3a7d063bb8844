"""A media library in memory: uploads, copies, lists and deletions of files and folders."""

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count

from campaignpool_local.imagekit import query
from campaignpool_local.imagekit.assets import (
    Attributes,
    File,
    Folder,
    folder_path,
    normalized_path,
    sanitized,
    within,
)
from campaignpool_local.imagekit.errors import RefusedError, no_such_file
from campaignpool_local.imagekit.pictures import kind, picture
from campaignpool_local.values import Json, Value

MAX_VERSIONS = 100
"""The maximum number of versions of a file (`upload-file`, "Version limit")."""
MAX_BULK_DELETION = 100
"""The maximum number of files in a bulk deletion (`delete-multiple-files`)."""
MAX_LISTED = 1000
"""The maximum and default number of assets in a page of a list (`list-and-search-assets`)."""
_ID = re.compile(r"[0-9a-f]{24}")
_DELETED_RETENTION_SECONDS = 3600
"""How long deleted assets are kept for lists that lag."""
_KEYS: dict[str, Callable[[File | Folder], Value]] = {
    "NAME": lambda asset: asset.name,
    "CREATED": lambda asset: asset.created,
    "UPDATED": lambda asset: asset.updated,
    "HEIGHT": lambda asset: asset.query["height"] or 0,
    "WIDTH": lambda asset: asset.query["width"] or 0,
    "SIZE": lambda asset: asset.query["size"] or 0,
}
SORTS = tuple(f"{direction}_{key}" for key in _KEYS for direction in ("ASC", "DESC"))
"""The sort orders of lists; relevance and durations are not supported."""


@dataclass(frozen=True)
class Listing:
    """The parameters of a list, by ImageKit's names; `path` is a folder, without its subfolders."""

    path: str | None = None
    search: str = ""
    type: str = "file"
    file_type: str = "all"
    sort: str = "ASC_CREATED"
    skip: int = 0
    limit: int = MAX_LISTED


class Files:
    """All files and folders of an account. `now` returns seconds since 1970; `endpoint` is the files' URL prefix."""

    def __init__(self, now: Callable[[], float], endpoint: str = "") -> None:
        self._now, self.endpoint = now, endpoint
        self._numbers = count(1)
        self._folders: dict[str, Folder] = {}
        self._names: dict[str, dict[str, File]] = {"/": {}}  # by folder and name
        self._ids: dict[str, File] = {}
        self._deleted: deque[tuple[float, File | Folder]] = deque()

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[File]:
        return iter(list(self._ids.values()))

    def new_id(self) -> str:
        """Return a new id of 24 hexadecimal digits, as ImageKit's."""
        return f"{int(self._now()) & 0xFFFFFFFF:08x}{next(self._numbers):016x}"

    def at(self, path: str) -> File | None:
        """Return a file by its `filePath`, with or without the leading slash, or None."""
        folder, _, name = path.strip("/").rpartition("/")
        return self._names.get(f"/{folder}", {}).get(name)

    def file(self, file_id: str) -> File:
        """Return a file by its id.

        Raises:
            RefusedError: 400, the id is malformed; 404, it is unknown (`get-file-details`, `delete-file`).
        """
        if not _ID.fullmatch(file_id):
            raise RefusedError(400, "Your request contains invalid fileId parameter.")
        if file_id not in self._ids:
            raise no_such_file()
        return self._ids[file_id]

    def make_folder(self, path: str) -> str:
        """Create a folder and its parents unless they exist, and return its path."""
        path = folder_path(path)
        parent, _, name = path.rpartition("/")
        if name and path not in self._folders:
            self.make_folder(parent)
            self._folders[path] = Folder(self.new_id(), parent or "/", name, self._now())
            self._names[path] = {}
        return path

    def has_folder(self, path: str) -> bool:
        """Return whether a folder exists, by its sanitized path."""
        return path in self._names

    def folders_within(self, path: str) -> list[str]:
        """Return the paths of a folder and of all folders below it."""
        return [folder for folder in self._names if within(folder, path)]

    def files_in(self, path: str) -> list[File]:
        """Return the files of a folder, without its subfolders."""
        return list(self._names.get(path, {}).values())

    def put(self, folder: str, name: str, content: bytes, attributes: Attributes | None = None) -> File:
        """Create a file, or a new version of an existing file, which keeps its id (`upload-file`)."""
        now, name = self._now(), sanitized(name)
        new = File("", "", name, content, kind(name, content), attributes or Attributes(), now, now)
        return self._place(new, self.make_folder(folder))

    def add_images(self, folder: str, number: int) -> list[File]:
        """Create small images `image-0001.png` and so on in a folder; the content is always the same."""
        return [self.put(folder, f"image-{n:04d}.png", picture(n)) for n in range(1, number + 1)]

    def copy(self, source: str, destination: str, *, versions: bool = False) -> File:
        """Copy a file into a folder (`copy-file`), which is created unless it exists (assumed).

        An existing file of that name keeps its id and gets the source's content and attributes as its newest version.
        With `versions` it gets all versions of the source.

        Raises:
            RefusedError: 404, the file does not exist; 400, the folder is the file's own folder or invalid, or the
                file would have too many versions.
        """
        file, folder = self.at(source), folder_path(destination)
        if file is None:
            raise RefusedError(404, f"No file found with filePath {source}", reason="SOURCE_FILE_MISSING")
        if folder == file.path:
            message = "sourceFilePath and destinationPath cannot be same."
            raise RefusedError(400, message, reason="SAME_SOURCE_AND_DESTINATION")
        now, number = self._now(), file.versions if versions else 1
        return self._place(replace(file, created=now, updated=now, versions=number), self.make_folder(folder))

    def _place(self, new: File, folder: str) -> File:
        existing = self._names[folder].get(new.name)
        if existing is None:
            new = replace(new, id=self.new_id(), path=folder)
            self._names[folder][new.name] = self._ids[new.id] = new
            return new
        if existing.versions + new.versions > MAX_VERSIONS:
            message = f"A file can have {MAX_VERSIONS} versions at most."
            raise RefusedError(400, message, reason="VERSION_LIMIT_EXCEEDED")
        existing.content, existing.kind, existing.attributes = new.content, new.kind, new.attributes
        existing.updated, existing.versions = new.updated, existing.versions + new.versions
        return existing

    def delete(self, file_id: str) -> None:
        """Delete a file and its versions (`delete-file`). Raises RefusedError: 400 or 404, as `file` does."""
        self._forget(self.file(file_id))

    def check_bulk_deletion(self, file_ids: Value) -> list[str]:
        """Return the distinct ids of a bulk deletion (`delete-multiple-files`), which deletes all files or none.

        Raises:
            RefusedError: 404 with `missingFileIds`, files do not exist; 400, the value is no list, empty or too long.
        """
        if file_ids is None:
            raise RefusedError(400, "fileIds parameter is missing.")
        if not isinstance(file_ids, list):
            raise RefusedError(400, "fileIds should be an Array.")
        if not file_ids:
            raise RefusedError(400, "fileIds is empty.")
        if len(file_ids) > MAX_BULK_DELETION:
            raise RefusedError(400, f"fileIds cannot have more than {MAX_BULK_DELETION} items.")
        if missing := [file_id for file_id in file_ids if str(file_id) not in self._ids]:
            raise RefusedError(404, "The requested file(s) does not exist.", missingFileIds=missing)
        return list(dict.fromkeys(file_ids))

    def delete_many(self, file_ids: list[str]) -> None:
        """Delete the files that `check_bulk_deletion` returned."""
        for file_id in file_ids:
            self._forget(self._ids[file_id])

    def delete_folder(self, path: str) -> None:
        """Delete a folder and everything below it (`delete-folder`). Raises RefusedError: 404, it does not exist."""
        folder = normalized_path(path)
        if folder not in self._folders:
            raise RefusedError(404, f"No folder found with folderPath {path}", reason="FOLDER_NOT_FOUND")
        for path_within in self.folders_within(folder):
            for file in self.files_in(path_within):
                self._forget(file)
            del self._names[path_within]
            self._deleted.append((self._now(), self._folders.pop(path_within)))

    def _forget(self, file: File) -> None:
        del self._ids[file.id], self._names[file.path][file.name]
        self._deleted.append((self._now(), file))
        while self._deleted[0][0] < self._now() - _DELETED_RETENTION_SECONDS:
            self._deleted.popleft()

    def list(self, listing: Listing, lag: float = 0) -> list[Json]:
        """Return the assets of a list as of `lag` seconds ago, except that changes of a file are visible at once.

        The documentation does not say how soon a list shows a write.

        Raises:
            RefusedError: 400, the query is invalid.
        """
        then = self._now() - lag
        test, names_type = query.parse(listing.search, self._now()) if listing.search else (None, True)
        deleted = [asset for at, asset in self._deleted if at > then] if lag else []
        assets = []
        deleted = [asset for asset in deleted if listing.path in (None, asset.path)]
        for asset in (*self._candidates(listing.path), *deleted):
            is_file = isinstance(asset, File)
            has_type = is_file or names_type if test else listing.type == "all" or is_file == (listing.type == "file")
            has_file_type = not isinstance(asset, File) or listing.file_type in ("all", asset.kind.file_type)
            if (
                has_type
                and has_file_type
                and (not lag or asset.created <= then)
                and (test is None or test(asset.query))
            ):
                assets.append(asset)
        direction, _, key = listing.sort.partition("_")
        assets.sort(key=_KEYS[key], reverse=direction == "DESC")
        return [asset.details(self.endpoint) for asset in assets[listing.skip : listing.skip + listing.limit]]

    def _candidates(self, path: str | None) -> Iterator[File | Folder]:
        yield from self._ids.values() if path is None else self.files_in(path)
        for folder in self._folders.values():
            if path is None or folder.path == path:
                yield folder
