"""What is done for a request to a resource: read, list, watch, create, replace, patch, apply, delete."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import yaml
from aiohttp import web

from campaignpool_local import answers, protobuf
from campaignpool_local.access import Access
from campaignpool_local.deletion import delete
from campaignpool_local.errors import Cause, bad_request, invalid, unsupported_media, wrong_method
from campaignpool_local.objects import Options, Registry
from campaignpool_local.patches import apply, built_in_keys, json_patch, merge, strategic
from campaignpool_local.pods import PodRunner
from campaignpool_local.resources import ResourceType
from campaignpool_local.scale import scale_of, with_scale
from campaignpool_local.schema import list_keys
from campaignpool_local.selectors import Predicate, selector
from campaignpool_local.values import Json, Value, stamp

_MERGE, _JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"
_STRATEGIC, _APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
_BODIES = ("application/json", "application/yaml", protobuf.MEDIA)
_PATCHES: dict[str, Callable[[Json, Value], Json]] = {_JSON_PATCH: json_patch, _MERGE: merge, _STRATEGIC: strategic}


@dataclass(frozen=True)
class Call:
    """A request, and what its path points at."""

    request: web.Request
    kind: ResourceType
    namespace: str
    name: str
    sub: str

    def asks(self, parameter: str) -> bool:
        """Whether a query parameter says yes."""
        return answers.is_true(self.request.query.get(parameter))

    def options(self) -> Options:
        """How the object is to be written."""
        query = self.request.query
        return Options(dry_run="dryRun" in query, strict=query.get("fieldValidation") == "Strict")

    def matches(self) -> Predicate:
        """What the selectors and the namespace let through."""
        query = self.request.query
        chosen = selector(query.get("labelSelector", ""), query.get("fieldSelector", ""), self.kind)
        return lambda obj: self.namespace in ("", obj["metadata"].get("namespace")) and chosen(obj)


class Handlers:
    """One method for each kind of request."""

    def __init__(self, registry: Registry, access: Access, pods: PodRunner) -> None:
        self._registry, self._access, self._pods = registry, access, pods

    async def answer(self, call: Call) -> web.StreamResponse:
        """Answer a request that is allowed."""
        special: dict[tuple[str, str], Callable[[Call], Awaitable[web.StreamResponse]]] = {
            ("GET", "log"): self._log,
            ("POST", "token"): self._token,
        }
        named: dict[str, Callable[[Call], Awaitable[web.StreamResponse]]] = {
            "GET": self._read,
            "PUT": self._replace,
            "PATCH": self._patch,
            "DELETE": self._delete,
        }
        unnamed = {"GET": self._list, "POST": self._create, "DELETE": self._delete_all}
        handler = (named if call.name else unnamed).get(call.request.method)
        handler = special.get((call.request.method, call.sub), handler)
        if handler is None:
            raise wrong_method()
        return await handler(call)

    def _stored(self, call: Call) -> Json:
        return self._registry.read(call.kind, call.namespace, call.name)

    @staticmethod
    def _send(call: Call, obj: Json, code: int = 200, options: Options | None = None) -> web.StreamResponse:
        response = answers.one(call.request, call.kind, obj, code)
        for path in options.dropped if options else ():
            response.headers.add("Warning", f'299 - "unknown field \\"{path}\\""')
        return response

    # --- reading ------------------------------------------------------------------------------------------

    async def _read(self, call: Call) -> web.StreamResponse:
        obj = self._registry.shown(call.kind, self._stored(call))
        return answers.as_json(scale_of(call.kind, obj)) if call.sub == "scale" else self._send(call, obj)

    async def _log(self, call: Call) -> web.StreamResponse:
        return await self._pods.answer_log(call.request, self._stored(call))

    async def _list(self, call: Call) -> web.StreamResponse:
        shown, chosen = self._registry.shown, call.matches()

        def matches(obj: Json) -> bool:
            return chosen(shown(call.kind, obj))

        if call.asks("watch"):
            return await answers.stream(call.request, self._registry, call.kind, matches)
        objects = [obj for obj in self._registry.store.list(call.kind.key, call.namespace) if matches(obj)]
        return answers.many(call.request, self._registry, call.kind, objects)

    # --- writing ------------------------------------------------------------------------------------------

    async def _token(self, call: Call) -> web.StreamResponse:
        body = await read_body(call.request)
        return answers.as_json(self._access.grant_token(call.kind, call.namespace, call.name, body), 201)

    async def _create(self, call: Call) -> web.StreamResponse:
        body, options = await read_body(call.request), call.options()
        wanted = (body.get("metadata") or {}).get("namespace", call.namespace)
        if call.kind.namespaced and wanted != call.namespace:
            message = "the namespace of the provided object does not match the namespace sent on the request"
            raise bad_request(message)
        return self._send(call, self._registry.create(call.kind, call.namespace, body, options), 201, options)

    async def _replace(self, call: Call) -> web.StreamResponse:
        body = await read_body(call.request)
        missing = self._registry.store.get(call.kind.key, call.namespace, call.name) is None
        if missing and call.kind.kind == "Lease":  # the one kind that a replace may create
            return self._send(call, self._registry.create(call.kind, call.namespace, body), 201)
        return self._update(call, lambda _: body)

    async def _patch(self, call: Call) -> web.StreamResponse:
        form = call.request.content_type
        accepted = (_JSON_PATCH, _MERGE, *(() if call.kind.crd else (_STRATEGIC,)), _APPLY)
        if form not in accepted:
            raise unsupported_media(accepted)
        patch = await read_body(call.request, accepted, "error decoding patch")
        if form == _APPLY:
            return self._apply(call, patch)
        return self._update(call, lambda obj: _PATCHES[form](obj, patch))

    def _apply(self, call: Call, patch: Json) -> web.StreamResponse:
        manager = call.request.query.get("fieldManager", "")
        if not manager:
            cause = Cause.required("fieldManager", "is required for apply patch")
            raise invalid("meta.k8s.io", "PatchOptions", "", [cause])
        if "managedFields" in (patch.get("metadata") or {}):
            raise bad_request("metadata.managedFields must be nil")

        def keys(path: tuple[str, ...]) -> tuple[str, ...] | None:
            declared = call.kind.crd is not None and path[0] != "metadata"
            return list_keys(call.kind.schema, path) if declared else built_in_keys(path)

        def change(obj: Json) -> Json:
            force = call.asks("force")
            return apply(obj, patch, manager=manager, sub=call.sub, force=force, keys=keys, now=stamp())

        if call.sub or self._registry.store.get(call.kind.key, call.namespace, call.name):
            return self._update(call, change, applies=True)
        body, options = change({"metadata": {"name": call.name}}), call.options()
        return self._send(call, self._registry.create(call.kind, call.namespace, body, options), 201, options)

    def _update(self, call: Call, change: Callable[[Json], Json], *, applies: bool = False) -> web.StreamResponse:
        kind, options = call.kind, call.options()
        place = (kind, call.namespace, call.name)
        if call.sub == "scale":
            scaled = self._registry.update(
                *place, lambda obj: with_scale(kind, obj, change(scale_of(kind, obj))), options
            )
            return answers.as_json(scale_of(kind, scaled))
        obj = self._registry.update(*place, change, options, sub=call.sub, applies=applies)
        return self._send(call, obj, 200, options)

    async def _delete(self, call: Call) -> web.StreamResponse:
        obj, options = self._stored(call), await _delete_options(call.request)
        response = self._send(call, delete(self._registry, call.kind, obj, options))
        if call.kind.kind == "Job" and "propagationPolicy" not in options:
            warning = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background"
            response.headers.add("Warning", f'299 - "{warning}"')
        return response

    async def _delete_all(self, call: Call) -> web.StreamResponse:
        if "deletecollection" not in call.kind.verbs:
            raise wrong_method()
        options, matches = await _delete_options(call.request), call.matches()
        objects = [obj for obj in self._registry.store.list(call.kind.key, call.namespace) if matches(obj)]
        for obj in objects:
            delete(self._registry, call.kind, obj, options)
        return answers.many(call.request, self._registry, call.kind, objects)


async def read_body(
    request: web.Request, accepted: tuple[str, ...] = _BODIES, trouble: str = "the object provided is unrecognized"
) -> Json:
    """Read a body of JSON or YAML; only for a JSON patch it is a list."""
    raw = await request.read()
    form = request.content_type if "Content-Type" in request.headers else "application/json"
    if form not in accepted:
        raise unsupported_media(accepted)
    try:
        if form == protobuf.MEDIA:
            return protobuf.decode(raw)
        body: Json = yaml.safe_load(raw) if "yaml" in form else json.loads(raw)
    except (ValueError, LookupError, yaml.YAMLError) as error:
        raise bad_request(f"{trouble}: {error}") from error
    if not isinstance(body, list if form == _JSON_PATCH else dict):
        raise bad_request(f"{trouble}: {type(body).__name__}")
    return body


async def _delete_options(request: web.Request) -> Json:
    """The options of a deletion, from the body or the query."""
    options: Json = (await read_body(request)) if request.can_read_body else {}
    query: Json = {key: request.query[key] for key in ("propagationPolicy", "dryRun") if key in request.query}
    if "gracePeriodSeconds" in request.query:
        query["gracePeriodSeconds"] = int(request.query["gracePeriodSeconds"])
    return {**query, **options}
