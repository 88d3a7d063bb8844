"""A media library in memory: what uploading, copying, listing and deleting make of its files and folders."""

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count

from campaignpool_local.imagekit import query
from campaignpool_local.imagekit.assets import Attributes, File, Folder, cleaned, folder_path, found_path, within
from campaignpool_local.imagekit.errors import RefusedError, no_such_file
from campaignpool_local.imagekit.pictures import kind, picture
from campaignpool_local.values import Json, Value

MOST_VERSIONS = 100
"""Of a file (`upload-file`, "Version limit")."""
MOST_AT_ONCE = 100
"""Files that one bulk deletion may name (`delete-multiple-files`)."""
MOST_LISTED = 1000
"""Assets in one page of a list, and in a page that asks for no number (`list-and-search-assets`)."""
_ID = re.compile(r"[0-9a-f]{24}")
_REMEMBERED_SECONDS = 3600
"""How long a list that lags may still show what was deleted."""
_KEYS: dict[str, Callable[[File | Folder], Value]] = {
    "NAME": lambda asset: asset.name,
    "CREATED": lambda asset: asset.created,
    "UPDATED": lambda asset: asset.updated,
    "HEIGHT": lambda asset: asset.query["height"] or 0,
    "WIDTH": lambda asset: asset.query["width"] or 0,
    "SIZE": lambda asset: asset.query["size"] or 0,
}
SORTS = tuple(f"{way}_{by}" for by in _KEYS for way in ("ASC", "DESC"))
"""What a list can be sorted by; relevance and durations are not known here."""


@dataclass(frozen=True)
class Listing:
    """What a list is asked for, by ImageKit's names; `path` is one folder without those below it."""

    path: str | None = None
    search: str = ""
    type: str = "file"
    file_type: str = "all"
    sort: str = "ASC_CREATED"
    skip: int = 0
    limit: int = MOST_LISTED


class Files:
    """All files and folders of an account. `now` gives seconds since 1970, `endpoint` is the URL before a path."""

    def __init__(self, now: Callable[[], float], endpoint: str = "") -> None:
        self._now, self.endpoint = now, endpoint
        self._numbers = count(1)
        self._folders: dict[str, Folder] = {}
        self._names: dict[str, dict[str, File]] = {"/": {}}  # by folder and name
        self._ids: dict[str, File] = {}
        self._gone: deque[tuple[float, File | Folder]] = deque()

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[File]:
        return iter(list(self._ids.values()))

    def new_id(self) -> str:
        """Give an id as ImageKit's are: 24 hexadecimal digits."""
        return f"{int(self._now()) & 0xFFFFFFFF:08x}{next(self._numbers):016x}"

    def at(self, path: str) -> File | None:
        """Find a file by its `filePath`, with or without the first slash."""
        folder, _, name = path.strip("/").rpartition("/")
        return self._names.get(f"/{folder}", {}).get(name)

    def file(self, file_id: str) -> File:
        """Find a file by its id.

        Raises:
            RefusedError: 400, that is no id; 404, it is nobody's (`get-file-details`, `delete-file`).
        """
        if not _ID.fullmatch(file_id):
            raise RefusedError(400, "Your request contains invalid fileId parameter.")
        if file_id not in self._ids:
            raise no_such_file()
        return self._ids[file_id]

    def make_folder(self, path: str) -> str:
        """Make a folder and those above it, if they are not there; give its path."""
        path = folder_path(path)
        above, _, name = path.rpartition("/")
        if name and path not in self._folders:
            self.make_folder(above)
            self._folders[path] = Folder(self.new_id(), above or "/", name, self._now())
            self._names[path] = {}
        return path

    def has_folder(self, path: str) -> bool:
        """Whether there is a folder, by its cleaned path."""
        return path in self._names

    def folders_within(self, path: str) -> list[str]:
        """Give the paths of a folder and all below it."""
        return [each for each in self._names if within(each, path)]

    def files_in(self, path: str) -> list[File]:
        """Give the files of one folder."""
        return list(self._names.get(path, {}).values())

    def put(self, folder: str, name: str, content: bytes, attributes: Attributes | None = None) -> File:
        """Make a file, or a new version of the one that has the name (`upload-file`); its id stays."""
        now, name = self._now(), cleaned(name)
        new = File("", "", name, content, kind(name, content), attributes or Attributes(), now, now)
        return self._place(new, self.make_folder(folder))

    def seeded(self, folder: str, number: int) -> list[File]:
        """Fill a folder with small pictures, `image-0001.png` and so on: always the same ones."""
        return [self.put(folder, f"image-{n:04d}.png", picture(n)) for n in range(1, number + 1)]

    def copy(self, source: str, destination: str, *, versions: bool = False) -> File:
        """Copy a file into a folder (`copy-file`), which is made if it is not there: that is assumed.

        A file with that name at the destination gets the source as its newest version: its id stays, and its content
        and attributes are the source's. With `versions` it gets all of the source's.

        Raises:
            RefusedError: 404, there is no such file; 400, the folder is the file's own or no possible one, or the
                file would have more versions than a file may have.
        """
        found, folder = self.at(source), folder_path(destination)
        if found is None:
            raise RefusedError(404, f"No file found with filePath {source}", reason="SOURCE_FILE_MISSING")
        if folder == found.path:
            message = "sourceFilePath and destinationPath cannot be same."
            raise RefusedError(400, message, reason="SAME_SOURCE_AND_DESTINATION")
        now, number = self._now(), found.versions if versions else 1
        return self._place(replace(found, created=now, updated=now, versions=number), self.make_folder(folder))

    def _place(self, new: File, folder: str) -> File:
        there = self._names[folder].get(new.name)
        if there is None:
            new = replace(new, id=self.new_id(), path=folder)
            self._names[folder][new.name] = self._ids[new.id] = new
            return new
        if there.versions + new.versions > MOST_VERSIONS:
            message = f"A file can have {MOST_VERSIONS} versions at most."
            raise RefusedError(400, message, reason="VERSION_LIMIT_EXCEEDED")
        there.content, there.kind, there.attributes = new.content, new.kind, new.attributes
        there.updated, there.versions = new.updated, there.versions + new.versions
        return there

    def delete(self, file_id: str) -> None:
        """Delete a file and its versions (`delete-file`). Raises RefusedError: 400 or 404, as `file` does."""
        self._forget(self.file(file_id))

    def many(self, file_ids: Value) -> list[str]:
        """Give ids that can be deleted at once (`delete-multiple-files`): one too many or wrong, and none can.

        Raises:
            RefusedError: 404 with `missingFileIds`, some are not there; 400, that is no list, empty or too long.
        """
        if file_ids is None:
            raise RefusedError(400, "fileIds parameter is missing.")
        if not isinstance(file_ids, list):
            raise RefusedError(400, "fileIds should be an Array.")
        if not file_ids:
            raise RefusedError(400, "fileIds is empty.")
        if len(file_ids) > MOST_AT_ONCE:
            raise RefusedError(400, f"fileIds cannot have more than {MOST_AT_ONCE} items.")
        if missing := [each for each in file_ids if str(each) not in self._ids]:
            raise RefusedError(404, "The requested file(s) does not exist.", missingFileIds=missing)
        return list(dict.fromkeys(file_ids))

    def delete_many(self, file_ids: list[str]) -> None:
        """Delete files that `many` gave."""
        for each in file_ids:
            self._forget(self._ids[each])

    def delete_folder(self, path: str) -> None:
        """Delete a folder and all below it (`delete-folder`). Raises RefusedError: 404, there is none."""
        folder = found_path(path)
        if folder not in self._folders:
            raise RefusedError(404, f"No folder found with folderPath {path}", reason="FOLDER_NOT_FOUND")
        for each in self.folders_within(folder):
            for file in self.files_in(each):
                self._forget(file)
            del self._names[each]
            self._gone.append((self._now(), self._folders.pop(each)))

    def _forget(self, file: File) -> None:
        del self._ids[file.id], self._names[file.path][file.name]
        self._gone.append((self._now(), file))
        while self._gone[0][0] < self._now() - _REMEMBERED_SECONDS:
            self._gone.popleft()

    def list(self, asked: Listing, lag: float = 0) -> list[Json]:
        """List what a call asks for, as it was `lag` seconds ago; a file that was changed since shows the change.

        No page promises that a list shows a write at once, nor says how late it may be.

        Raises:
            RefusedError: 400, the query is not understood.
        """
        then = self._now() - lag
        test, typed = query.parse(asked.search, self._now()) if asked.search else (None, True)
        gone = [asset for at, asset in self._gone if at > then] if lag else []
        found = []
        for asset in (*self._candidates(asked.path), *(each for each in gone if asked.path in (None, each.path))):
            is_file = isinstance(asset, File)
            wanted = is_file or typed if test else asked.type == "all" or is_file == (asked.type == "file")
            image = not isinstance(asset, File) or asked.file_type in ("all", asset.kind.file_type)
            if wanted and image and (not lag or asset.created <= then) and (test is None or test(asset.query)):
                found.append(asset)
        direction, _, by = asked.sort.partition("_")
        found.sort(key=_KEYS[by], reverse=direction == "DESC")
        return [asset.details(self.endpoint) for asset in found[asked.skip : asked.skip + asked.limit]]

    def _candidates(self, path: str | None) -> Iterator[File | Folder]:
        yield from self._ids.values() if path is None else self.files_in(path)
        for folder in self._folders.values():
            if path is None or folder.path == path:
                yield folder
