"""How objects are sent: as JSON, as Tables, without their content, in pages, as a stream of events."""

from __future__ import annotations

import base64
import binascii
import json

from aiohttp import web

from campaignpool_local.errors import ApiError, Cause, bad_request, invalid
from campaignpool_local.objects import Registry
from campaignpool_local.resources import ResourceType
from campaignpool_local.selectors import Predicate
from campaignpool_local.tables import partial, table
from campaignpool_local.values import Json, compact
from campaignpool_local.watch import Wish, watch

_LONGEST_WATCH = 3600


def is_true(text: str | None) -> bool:
    """Whether a query parameter says yes, in any spelling."""
    return text is not None and text.lower() in ("1", "t", "true", "")


def as_json(body: Json, code: int = 200, content_type: str = "application/json") -> web.Response:
    """An answer of JSON."""
    return web.Response(body=json.dumps(body).encode(), status=code, headers={"Content-Type": content_type})


def form_of(request: web.Request) -> str:
    """Negotiate what is sent: "json", "Table" or "PartialObjectMetadata"."""
    offers = request.headers.get("Accept", "").replace(" ", "").split(",")
    for offer in offers:
        media, *parameters = offer.split(";")
        given = dict(each.partition("=")[::2] for each in parameters)
        form = given.get("as", "")
        if form and given.get("g") == "meta.k8s.io" and given.get("v") in ("v1", "v1beta1"):
            return form.removesuffix("List")
        if not form and media in ("application/json", "*/*", "application/*", ""):
            return "json"
    if any("as=" in offer for offer in offers):
        message = "only the following media types are accepted: application/json, application/yaml"
        raise ApiError(406, "NotAcceptable", message, {})
    return "json"


def one(request: web.Request, kind: ResourceType, obj: Json, code: int = 200) -> web.Response:
    """Answer one object, or the Status that stands for it."""
    form = "json" if obj["kind"] == "Status" else form_of(request)
    if form == "Table":
        version = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        return as_json(table(kind, [obj], version, request.query.get("includeObject", "Metadata")), code)
    return as_json(partial(obj) if form == "PartialObjectMetadata" else obj, code)


def _page(request: web.Request, objects: list[Json]) -> tuple[list[Json], Json]:
    """Cut a list to the page that is asked for; give it with what the metadata says of the rest."""
    start = 0
    if token := request.query.get("continue", ""):
        try:
            start = int(json.loads(base64.urlsafe_b64decode(token))["start"])
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise bad_request("continue key is not valid") from error
    limit = int(request.query.get("limit") or 0)
    end = start + limit if limit else len(objects)
    if end >= len(objects):
        return objects[start:], {}
    return objects[start:end], {"continue": base64.urlsafe_b64encode(compact({"start": end}).encode()).decode()}


def many(request: web.Request, registry: Registry, kind: ResourceType, objects: list[Json]) -> web.Response:
    """Answer a list."""
    page, more = _page(request, objects)
    shown = [registry.shown(kind, each) for each in page]
    metadata = {"resourceVersion": str(registry.store.version), **more}
    form = form_of(request)
    if form == "Table":
        return as_json(table(kind, shown, metadata, request.query.get("includeObject", "Metadata")))
    if form == "PartialObjectMetadata":
        head = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
        return as_json({**head, "metadata": metadata, "items": [partial(each) for each in shown]})
    if kind.crd is None:
        shown = [{key: each[key] for key in each if key not in ("kind", "apiVersion")} for each in shown]
    head = {"kind": f"{kind.kind}List", "apiVersion": kind.api_version}
    return as_json({**head, "metadata": metadata, "items": shown})


def _wish(request: web.Request, kind: ResourceType, matches: Predicate) -> Wish:
    query = request.query
    version = query.get("resourceVersion", "")
    if version and not version.isdigit():
        why = f'resourceVersion: Invalid value: "{version}": strconv.ParseUint: invalid syntax'
        raise ApiError(500, None, why)
    streams_list = is_true(query.get("sendInitialEvents"))
    if streams_list and "resourceVersionMatch" not in query:
        cause = Cause.forbidden("resourceVersionMatch", "resourceVersionMatch is required for sendInitialEvents")
        raise invalid("meta.k8s.io", "ListOptions", "", [cause])
    return Wish(
        kind=kind,
        matches=matches,
        version="" if streams_list else version,
        timeout=float(query.get("timeoutSeconds") or _LONGEST_WATCH),
        bookmarks=is_true(query.get("allowWatchBookmarks")),
    )


async def stream(
    request: web.Request, registry: Registry, kind: ResourceType, matches: Predicate
) -> web.StreamResponse:
    """Answer a watch: one event of JSON a line, until it ends or the client goes."""
    wish, form = _wish(request, kind, matches), form_of(request)
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    headed = True
    async for event, stored in watch(registry.store, wish):
        obj = stored
        if event not in ("BOOKMARK", "ERROR"):
            obj = registry.shown(kind, stored)
            if form == "Table":
                version = {"resourceVersion": obj["metadata"]["resourceVersion"]}
                include = request.query.get("includeObject", "Metadata")
                obj = table(kind, [obj], version, include, headed=headed)
                headed = False
            elif form == "PartialObjectMetadata":
                obj = partial(obj)
        try:
            await response.write(compact({"type": event, "object": obj}).encode() + b"\n")
        except ConnectionError:
            break  # the client went away
    return response
