"""Files and folders: what is known of one, the objects that the API makes of it, names and paths."""

import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

from campaignpool_local.imagekit import query
from campaignpool_local.imagekit.errors import RefusedError
from campaignpool_local.imagekit.pictures import Kind
from campaignpool_local.values import Json

THUMBNAIL = "n-ik_ml_thumbnail"
"""The transformation in the address of a thumbnail."""


def cleaned(name: str) -> str:
    """Give the name that a file or folder gets: `upload-file` and `create-folder` say which characters may stay.

    Letters, marks and numerals of any language, and `.`, `_` and `-`; any other character becomes `_`. For folders
    `create-folder` does not name `-` and `upload-file` does; assumed to stay, as in `rename-folder`.
    """
    return "".join(each if unicodedata.category(each)[0] in "LMN" or each in "._-" else "_" for each in name)


def found_path(text: str) -> str:
    """Give the path of a folder that is looked for: with or without slashes around it, it is the same one."""
    return "/" + "/".join(name for name in text.split("/") if name)


def folder_path(text: str) -> str:
    """Give the path of a folder that is written to: as `found_path`, and each name cleaned.

    Raises:
        RefusedError: 400, a folder is called `.` or `..` (`create-folder`; for other calls assumed).
    """
    path = found_path("/".join(map(cleaned, text.split("/"))))
    if not {".", ".."}.isdisjoint(path.split("/")):
        raise RefusedError(400, "'.' & '..' can not be used as folder-name", reason="INVALID_FOLDER_PATH")
    return path


def joined(path: str, name: str) -> str:
    """Give the path of what is in a folder."""
    return f"{path.rstrip('/')}/{name}"


def within(path: str, folder: str) -> bool:
    """Whether a path is a folder or below it."""
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def timestamp(seconds: float) -> str:
    """Give a time as ImageKit writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Attributes:
    """What an upload may say of a file, and what a copy keeps."""

    tags: tuple[str, ...] = ()
    custom_coordinates: str | None = None
    is_private_file: bool = False
    custom_metadata: Json = field(default_factory=dict)

    def json(self) -> Json:
        """Give them by ImageKit's names."""
        return {
            "tags": list(self.tags) or None,
            "customCoordinates": self.custom_coordinates,
            "isPrivateFile": self.is_private_file,
            "customMetadata": self.custom_metadata,
        }


@dataclass(slots=True)
class Folder:
    """A folder; `path` is its parent's, times are in seconds since 1970."""

    id: str
    path: str
    name: str
    created: float

    @property
    def updated(self) -> float:
        """When it was last changed; nothing here changes a folder."""
        return self.created

    @property
    def query(self) -> query.Asset:
        """What a search query compares."""
        head: Json = {"id": self.id, "name": self.name, "path": self.path, "type": "folder"}
        none = dict.fromkeys(("format", "private", "height", "width", "size"))
        return head | none | {"tags": (), "createdAt": self.created, "updatedAt": self.created}

    def details(self, _endpoint: str) -> Json:
        """Give the object of a list."""
        path, time = joined(self.path, self.name), timestamp(self.created)
        head = {"folderId": self.id, "type": "folder", "name": self.name, "folderPath": path}
        return {**head, "createdAt": time, "updatedAt": time}


@dataclass(slots=True)
class File:
    """A file; `path` is its folder's, times are in seconds since 1970. Of old versions only the number is kept."""

    id: str
    path: str
    name: str
    content: bytes
    kind: Kind
    attributes: Attributes
    created: float
    updated: float
    versions: int = 1

    @property
    def full_path(self) -> str:
        """Its `filePath`."""
        return joined(self.path, self.name)

    @property
    def query(self) -> query.Asset:
        """What a search query compares."""
        head: Json = {"id": self.id, "name": self.name, "path": self.path, "type": "file", "size": len(self.content)}
        form = self.name.rpartition(".")[2].lower()
        more = {"format": form, "private": self.attributes.is_private_file, "tags": self.attributes.tags}
        times = {"createdAt": self.created, "updatedAt": self.updated}
        return head | more | times | {"height": self.kind.height, "width": self.kind.width}

    def url(self, endpoint: str, before: str = "") -> str:
        """Give the address of its bytes; `before` is a transformation."""
        return f"{endpoint}{before}{quote(self.full_path)}"

    def summary(self) -> Json:
        """Give what the answer of an upload and the object of a list have in common."""
        version = self.id if self.versions == 1 else f"{self.versions:08x}{self.id[8:]}"
        return {
            "fileId": self.id,
            "name": self.name,
            "filePath": self.full_path,
            "size": len(self.content),
            "fileType": self.kind.file_type,
            "height": self.kind.height,
            "width": self.kind.width,
            "AITags": None,
            "versionInfo": {"id": version, "name": f"Version {self.versions}"},
        }

    def details(self, endpoint: str) -> Json:
        """Give the object of a list and of `get-file-details`."""
        url, stamp = self.url(endpoint), f"updatedAt={int(self.updated * 1000)}"
        return {
            **self.summary(),
            **self.attributes.json(),
            "type": "file",
            "isPublished": True,
            "url": f"{url}?{stamp}",
            "thumbnail": f"{url}?{stamp}&tr={THUMBNAIL}" if self.kind.file_type == "image" else None,
            "mime": self.kind.mime,
            "hasAlpha": self.kind.alpha,
            "createdAt": timestamp(self.created),
            "updatedAt": timestamp(self.updated),
        }
