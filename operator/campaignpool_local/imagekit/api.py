"""The operations of the API: they parse requests and return responses."""

import base64
import binascii
import json
import secrets
from collections.abc import Awaitable, Callable
from pathlib import PurePosixPath
from typing import NamedTuple

from aiohttp import web

from campaignpool_local.imagekit.assets import THUMBNAIL, Attributes, folder_path, joined, normalized_path, sanitized
from campaignpool_local.imagekit.errors import RefusedError, missing_parameter
from campaignpool_local.imagekit.files import MAX_LISTED, SORTS, Files, Listing
from campaignpool_local.imagekit.jobs import Jobs
from campaignpool_local.values import Json, Value

_TYPES = ("file", "folder", "all")
_FILE_TYPES = ("all", "image", "non-image")


class Response(NamedTuple):
    """A status and a JSON body; None is an empty body."""

    status: int = 204
    body: Value = None


Handler = Callable[[web.Request], Awaitable[Response]]


class Api:
    """The supported operations. The server sets `job_seconds` and `lag` from the faults before each call."""

    def __init__(self, files: Files, jobs: Jobs) -> None:
        self._files, self._jobs = files, jobs
        self.job_seconds = self.lag = 0.0
        self.routes: dict[str, tuple[str, str, Handler]] = {
            "list": ("GET", "/v1/files", self._list),
            "copy_file": ("POST", "/v1/files/copy", self._copy_file),
            "bulk_delete": ("POST", "/v1/files/batch/deleteByFileIds", self._bulk_delete),
            "details": ("GET", "/v1/files/{id}/details", self._details),
            "delete": ("DELETE", "/v1/files/{id}", self._delete),
            "create_folder": ("POST", "/v1/folder", self._create_folder),
            "delete_folder": ("DELETE", "/v1/folder", self._delete_folder),
            "copy_folder": ("POST", "/v1/bulkJobs/copyFolder", self._copy_folder),
            "bulk_job": ("GET", "/v1/bulkJobs/{id}", self._bulk_job),
            "upload": ("POST", "/api/v1/files/upload", self._upload),
        }
        """The method, path and handler by kind of call."""

    async def _list(self, request: web.Request) -> Response:
        """`list-and-search-assets`; with a query, `type` has no effect."""
        parameters = request.query
        skip, limit = (
            _number(parameters.get(name, default), name) for name, default in (("skip", 0), ("limit", MAX_LISTED))
        )
        if skip < 0:
            message = f"The value of skip parameter should be greater than or equal to 0. Value sent is {skip}."
            raise RefusedError(400, message)
        if limit < 1:
            raise RefusedError(400, f"Minimum value of limit parameter is 1. Value sent is {limit}.")
        if limit > MAX_LISTED:
            raise RefusedError(400, f"Maximum value of limit parameter is {MAX_LISTED}. Value sent is {limit}.")
        listing = Listing(
            normalized_path(parameters["path"]) if "path" in parameters else None,
            parameters.get("searchQuery", ""),
            _one_of(parameters.get("type", "file"), "type", _TYPES),
            _one_of(parameters.get("fileType", "all"), "fileType", _FILE_TYPES),
            _one_of(parameters.get("sort", "ASC_CREATED"), "sort", SORTS),
            skip,
            limit,
        )
        return Response(200, self._files.list(listing, self.lag))

    async def _details(self, request: web.Request) -> Response:
        return Response(200, self._files.file(request.match_info["id"]).details(self._files.endpoint))

    async def _copy_file(self, request: web.Request) -> Response:
        body = await _body(request)
        source, destination = _text(body, "sourceFilePath"), _text(body, "destinationPath")
        self._files.copy(source, destination, versions=bool(body.get("includeFileVersions")))
        return Response()

    async def _delete(self, request: web.Request) -> Response:
        self._files.delete(request.match_info["id"])
        return Response()

    async def _bulk_delete(self, request: web.Request) -> Response:
        ids = self._files.check_bulk_deletion((await _body(request)).get("fileIds"))
        self._files.delete_many(ids)
        return Response(200, {"successfullyDeletedFileIds": ids})

    async def partial_delete(self, request: web.Request) -> Response:
        """`delete-multiple-files` with partial success: every other file remains, and the status is 207."""
        ids = self._files.check_bulk_deletion((await _body(request)).get("fileIds"))
        errors = [{"fileId": file_id, "error": "The file could not be deleted."} for file_id in ids[::2]]
        self._files.delete_many(ids[1::2])
        return Response(207, {"successfullyDeletedFileIds": ids[1::2], "errors": errors})

    async def _create_folder(self, request: web.Request) -> Response:
        body = await _body(request)
        name, parent = _text(body, "folderName"), _text(body, "parentFolderPath")
        if "/" in name:
            raise RefusedError(400, "folderName parameter cannot have a slash.")
        self._files.make_folder(joined(parent, name))
        return Response(201, {})

    async def _delete_folder(self, request: web.Request) -> Response:
        self._files.delete_folder(_text(await _body(request), "folderPath"))
        return Response()

    async def _copy_folder(self, request: web.Request) -> Response:
        body = await _body(request)
        source, destination = _text(body, "sourceFolderPath"), _text(body, "destinationPath")
        versions = bool(
            body.get("includeVersions") or body.get("includeFileVersions")
        )  # the documentation and the SDK differ
        return Response(
            200, {"jobId": self._jobs.copy_folder(source, destination, self.job_seconds, versions=versions)}
        )

    async def _bulk_job(self, request: web.Request) -> Response:
        return Response(200, self._jobs.status(request.match_info["id"]))

    async def _upload(self, request: web.Request) -> Response:
        """`upload-file`: bytes, base64 text or a data URI; the stand-in does not fetch URLs."""
        form = await request.post()
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        upload = form.get("file")
        if not upload:
            raise RefusedError(400, "Your request is missing file parameter.")
        if not fields.get("fileName"):
            raise RefusedError(400, "Your request is missing fileName parameter.")
        content = upload.file.read() if isinstance(upload, web.FileField) else _decoded(str(upload))
        folder, name = folder_path(fields.get("folder", "/")), sanitized(fields["fileName"])
        if fields.get("useUniqueFileName", "true") == "true":
            path = PurePosixPath(name)
            name = f"{path.stem}_{secrets.token_urlsafe(6)}{path.suffix}"
        elif fields.get("overwriteFile") == "false" and self._files.at(joined(folder, name)):
            message = "A file with the same name already exists at the exact location. We could not overwrite it "
            raise RefusedError(400, f"{message}because both overwriteFile and useUniqueFileName are set to false.")
        attributes = Attributes(
            tuple(tag for tag in fields.get("tags", "").split(",") if tag),
            fields.get("customCoordinates"),
            fields.get("isPrivateFile") == "true",
            _object(fields.get("customMetadata", "{}")),
        )
        file = self._files.put(folder, name, content, attributes)
        endpoint, response_fields = self._files.endpoint, fields.get("responseFields", "").split(",")
        extra = {key: value for key, value in attributes.json().items() if key in response_fields}
        if file.kind.file_type == "image":
            extra["thumbnailUrl"] = file.url(endpoint, f"/tr:{THUMBNAIL}")
        return Response(200, {**file.summary(), "url": file.url(endpoint), **extra})


def _object(text: str | bytes) -> Json:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise RefusedError(400, "Your request contains no JSON object where one is needed.")
    return value


async def _body(request: web.Request) -> Json:
    return _object(await request.read())


def _text(body: Json, name: str) -> str:
    if not isinstance(body.get(name), str) or not body[name]:
        raise missing_parameter(name)
    return str(body[name])


def _number(text: Value, name: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise RefusedError(400, f"Your request contains invalid value for {name} parameter.") from error


def _one_of(text: str, name: str, values: tuple[str, ...]) -> str:
    if text not in values:
        message = f"Your request contains invalid value for {name} parameter. Please provide one of the following: "
        raise RefusedError(400, message + ", ".join(values) + ".")
    return text


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text.rpartition("base64,")[2], validate=True)
    except binascii.Error as error:
        raise RefusedError(400, "Your request contains invalid file parameter.") from error
