"""Files and folders, their representations in the API, names and paths."""

import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

from campaignpool_local.imagekit import query
from campaignpool_local.imagekit.errors import RefusedError
from campaignpool_local.imagekit.pictures import Kind
from campaignpool_local.values import Json

THUMBNAIL = "n-ik_ml_thumbnail"
"""The transformation in the URL of a thumbnail."""


def sanitized(name: str) -> str:
    """Return the name of a file or folder with invalid characters replaced (`upload-file`, `create-folder`).

    Letters, marks and numerals of any language, and `.`, `_` and `-` are valid; any other character becomes `_`. For
    folders, `upload-file` lists `-` and `create-folder` does not; it is assumed to be valid, as in `rename-folder`.
    """
    return "".join(
        character if unicodedata.category(character)[0] in "LMN" or character in "._-" else "_" for character in name
    )


def normalized_path(text: str) -> str:
    """Return the path of an existing folder with one leading slash and no trailing slash."""
    return "/" + "/".join(name for name in text.split("/") if name)


def folder_path(text: str) -> str:
    """Return the path of a folder to write to: normalized, with sanitized names.

    Raises:
        RefusedError: 400, a name is `.` or `..` (documented for `create-folder`, assumed for other calls).
    """
    path = normalized_path("/".join(map(sanitized, text.split("/"))))
    if not {".", ".."}.isdisjoint(path.split("/")):
        raise RefusedError(400, "'.' & '..' can not be used as folder-name", reason="INVALID_FOLDER_PATH")
    return path


def joined(path: str, name: str) -> str:
    """Return the path of an asset in a folder."""
    return f"{path.rstrip('/')}/{name}"


def within(path: str, folder: str) -> bool:
    """Return whether a path is a folder or below it."""
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def timestamp(seconds: float) -> str:
    """Return a time in ImageKit's format."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Attributes:
    """The attributes that an upload may set and a copy keeps."""

    tags: tuple[str, ...] = ()
    custom_coordinates: str | None = None
    is_private_file: bool = False
    custom_metadata: Json = field(default_factory=dict)

    def json(self) -> Json:
        """Return the attributes by ImageKit's names."""
        return {
            "tags": list(self.tags) or None,
            "customCoordinates": self.custom_coordinates,
            "isPrivateFile": self.is_private_file,
            "customMetadata": self.custom_metadata,
        }


@dataclass(slots=True)
class Folder:
    """A folder; `path` is its parent's path, times are in seconds since 1970."""

    id: str
    path: str
    name: str
    created: float

    @property
    def updated(self) -> float:
        """The time of the last change, which is the creation, because folders never change."""
        return self.created

    @property
    def query(self) -> query.Asset:
        """The fields that search queries compare."""
        head: Json = {"id": self.id, "name": self.name, "path": self.path, "type": "folder"}
        none = dict.fromkeys(("format", "private", "height", "width", "size"))
        return head | none | {"tags": (), "createdAt": self.created, "updatedAt": self.created}

    def details(self, _endpoint: str) -> Json:
        """Return the folder's object in a list."""
        path, time = joined(self.path, self.name), timestamp(self.created)
        head = {"folderId": self.id, "type": "folder", "name": self.name, "folderPath": path}
        return {**head, "createdAt": time, "updatedAt": time}


@dataclass(slots=True)
class File:
    """A file; `path` is its folder's path, times are in seconds since 1970. Old versions are only counted."""

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
        """The `filePath`."""
        return joined(self.path, self.name)

    @property
    def query(self) -> query.Asset:
        """The fields that search queries compare."""
        head: Json = {"id": self.id, "name": self.name, "path": self.path, "type": "file", "size": len(self.content)}
        extension = self.name.rpartition(".")[2].lower()
        attributes = {"format": extension, "private": self.attributes.is_private_file, "tags": self.attributes.tags}
        times = {"createdAt": self.created, "updatedAt": self.updated}
        return head | attributes | times | {"height": self.kind.height, "width": self.kind.width}

    def url(self, endpoint: str, transformation: str = "") -> str:
        """Return the URL of the content; `transformation` is a path segment before the file."""
        return f"{endpoint}{transformation}{quote(self.full_path)}"

    def summary(self) -> Json:
        """Return the fields that upload responses and list objects have in common."""
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
        """Return the file's object in a list and in `get-file-details`."""
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
