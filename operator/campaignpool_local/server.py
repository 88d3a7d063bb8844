"""The HTTP side: who asks, which part of the API answers, and what is done for a request to a resource."""

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass

import yaml
from aiohttp import web

from campaignpool_local import discovery
from campaignpool_local.access import Access, Deed
from campaignpool_local.deletion import delete
from campaignpool_local.errors import ApiError, unknown_resource
from campaignpool_local.objects import Registry, shown
from campaignpool_local.patches import apply, json_patch, merge, scale_of, strategic, with_scale
from campaignpool_local.pods import PodRunner
from campaignpool_local.resources import ResourceType, find, served
from campaignpool_local.tables import table
from campaignpool_local.values import Json, Value
from campaignpool_local.watch import Predicate, Wish, selector, watch

_APPLY, _STRATEGIC = "application/apply-patch+yaml", "application/strategic-merge-patch+json"
_PATCHES: dict[str, Callable[[Json, Value], Json]] = {
    "application/json-patch+json": json_patch,
    "application/merge-patch+json": merge,
    _STRATEGIC: strategic,
}
_LONGEST_WATCH = 3600
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def _as_json(body: Json, code: int = 200, content_type: str = "application/json") -> web.Response:
    return web.Response(body=json.dumps(body).encode(), status=code, headers={"Content-Type": content_type})


@dataclass(frozen=True)
class Call:
    """A request, and what its path points at."""

    request: web.Request
    kind: ResourceType
    namespace: str
    name: str
    sub: str

    def asked(self, parameter: str) -> str:
        """A parameter of the query."""
        return self.request.query.get(parameter, "")

    def says(self, parameter: str) -> bool:
        """Whether a parameter of the query says yes, in any spelling."""
        return self.asked(parameter).lower() in ("1", "t", "true", "all")

    def matches(self) -> Predicate:
        """What the selectors and the namespace let through."""
        chosen = selector(self.asked("labelSelector"), self.asked("fieldSelector"))
        return lambda obj: self.namespace in ("", obj["metadata"].get("namespace")) and chosen(obj)

    def form(self, objects: list[Json], metadata: Json, otherwise: Json, *, headed: bool = True) -> Json:
        """Give objects as a Table if the client prefers that."""
        if "as=Table" not in self.request.headers.get("Accept", ""):
            return otherwise
        return table(self.kind, objects, metadata, self.asked("includeObject"), headed=headed)

    def send(self, obj: Json, code: int = 200) -> web.Response:
        """Answer one object, or the Status that stands for it."""
        version = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        return _as_json(obj if obj["kind"] in ("Status", "Scale") else self.form([obj], version, obj), code)

    async def body(self, accepted: Collection[str] = ("application/json", "application/yaml")) -> Json:
        """Read a body of JSON or YAML, empty if there is none; only for a JSON patch it is a list."""
        raw, form = await self.request.read(), self.request.headers.get("Content-Type", "application/json")
        if raw and form.split(";")[0] not in accepted:
            message = "the body of the request was in an unknown format - accepted media types include: "
            raise ApiError(415, "UnsupportedMediaType", message + ", ".join(accepted))
        body: Json = (yaml.safe_load(raw) if "yaml" in form else json.loads(raw)) if raw else {}
        return body


class Server:
    """Answers requests to the API."""

    def __init__(self, registry: Registry, access: Access, pods: PodRunner) -> None:
        self._registry, self._store, self._access, self._pods = registry, registry.store, access, pods

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer any request."""
        path = request.path.strip("/").split("/")
        if path[-1] in ("healthz", "livez", "readyz"):
            return web.Response(text="ok")
        try:
            path, user = self._access.authenticate(path, request.headers.get("Authorization", ""))
            place = 2 if path[0] == "api" else 3  # in front of it: the group and the version
            if path[0] in ("api", "apis") and path[place:]:
                return await self._resource(request, user, path[:place], path[place:])
            return self._discover(request, "/".join(path))
        except ApiError as error:
            return _as_json(error.status, error.status["code"])
        # A body or a parameter that cannot be read, or is of an odd shape.
        except (ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError) as error:
            message = f"error decoding patch or object: {error!r}"
            return _as_json(ApiError(400, "BadRequest", message).status, 400)

    def _discover(self, request: web.Request, where: str) -> web.Response:
        types, accepted = list(served(self._store)), request.headers.get("Accept", "").replace(" ", "")
        if where in ("api", "apis") and discovery.AGGREGATED in accepted:
            return _as_json(discovery.aggregated(types, core=where == "api"), content_type=discovery.AGGREGATED)
        if found := discovery.documents(types, f"/{self._access.secret}").get(where):
            return _as_json(found)
        raise unknown_resource()

    async def _resource(
        self, request: web.Request, user: str, root: list[str], path: list[str]
    ) -> web.StreamResponse:
        namespace, group = "", root[1] if root[0] == "apis" else ""
        if path[0] == "namespaces" and path[2:] not in ([], ["status"]):
            namespace, path = path[1], path[2:]
        plural, name, sub = [*path, "", ""][:3]
        call = Call(request, find(self._store, (group, plural), root[-1]), namespace, name, sub)
        verb = _VERBS.get(request.method, "get" if name else "watch" if call.says("watch") else "list")
        verb = "deletecollection" if verb == "delete" and not name else verb
        if plural == "selfsubjectaccessreviews" and verb == "create":
            return _as_json(self._access.review(user, await call.body()), 201)
        self._access.check(user, Deed(verb, group, f"{plural}/{sub}" if sub else plural, namespace, name), call.kind)
        if verb not in (call.kind.subresources.get(sub, ()) if sub else call.kind.verbs):
            message = "the server does not allow this method on the requested resource"
            raise ApiError(405, "MethodNotAllowed", message, {})
        match verb, sub:
            case "create", "token":
                return _as_json(self._access.grant_token(namespace, name, await call.body()), 201)
            case "create", _:
                obj = self._registry.create(call.kind, namespace, await call.body(), dry=call.says("dryRun"))
                return call.send(obj, 201)
            case (("update" | "patch"), _):
                return await self._change(verb, call)
            case (("delete" | "deletecollection"), _):
                return await self._delete(call)
            case _:
                return await self._read(verb, call)

    async def _read(self, verb: str, call: Call) -> web.StreamResponse:
        if verb == "list":
            return self._send_list(call, self._chosen(call))
        if verb == "watch":
            return await self._watch(call)
        stored = self._registry.read(call.kind, call.namespace, call.name)
        if call.sub == "log":
            lines = call.asked("tailLines")
            text = self._pods.log(stored, int(lines) if lines else None, follow=call.says("follow"))
            return await self._stream(call, text, "text/plain")
        obj = shown(call.kind, stored)
        return call.send(scale_of(call.kind, obj) if call.sub == "scale" else obj)

    def _chosen(self, call: Call) -> list[Json]:
        matches = call.matches()
        return [obj for obj in self._store.list(call.kind.key, call.namespace) if matches(obj)]

    def _send_list(self, call: Call, objects: list[Json]) -> web.Response:
        start, metadata = int(call.asked("continue") or 0), {"resourceVersion": str(self._store.version)}
        end = start + (int(call.asked("limit") or 0) or len(objects))
        metadata |= {"continue": str(end)} if len(objects) > end else {}
        items = [shown(call.kind, each) for each in objects[start:end]]
        head = {"kind": f"{call.kind.kind}List", "apiVersion": call.kind.api_version}
        return _as_json(call.form(items, metadata, {**head, "metadata": metadata, "items": items}))

    async def _watch(self, call: Call) -> web.StreamResponse:
        version = 0 if call.says("sendInitialEvents") else int(call.asked("resourceVersion") or 0)
        timeout = float(call.asked("timeoutSeconds") or _LONGEST_WATCH)
        wish = Wish(call.kind, call.matches(), version, timeout, call.says("allowWatchBookmarks"))

        async def lines() -> AsyncIterator[bytes]:
            headed = True
            async for event, stored in watch(self._store, wish):
                obj = stored
                if event not in ("BOOKMARK", "ERROR"):
                    obj = shown(call.kind, stored)
                    obj = call.form(
                        [obj], {"resourceVersion": obj["metadata"]["resourceVersion"]}, obj, headed=headed
                    )
                    headed = False
                yield json.dumps({"type": event, "object": obj}).encode() + b"\n"

        return await self._stream(call, lines(), "application/json")

    @staticmethod
    async def _stream(call: Call, parts: AsyncIterator[bytes], form: str) -> web.StreamResponse:
        """Answer bit by bit, until the end or until the client goes."""
        response = web.StreamResponse(headers={"Content-Type": form})
        await response.prepare(call.request)
        with contextlib.suppress(ConnectionError):
            async for part in parts:
                await response.write(part)
        return response

    async def _change(self, verb: str, call: Call) -> web.StreamResponse:
        kind, form, dry = call.kind, call.request.content_type, call.says("dryRun")
        forms = [each for each in (*_PATCHES, _APPLY) if not (kind.crd and each == _STRATEGIC)]
        body = await (call.body(forms) if verb == "patch" else call.body())

        def change(obj: Json) -> Json:
            live = scale_of(kind, obj) if call.sub == "scale" else obj
            if verb == "update":
                new = body
            else:
                new = apply(obj, body, call.asked("fieldManager")) if form == _APPLY else _PATCHES[form](live, body)
            return with_scale(kind, obj, new) if call.sub == "scale" else new

        creates = verb == "patch" if form == _APPLY else (verb, kind.kind) == ("update", "Lease")
        if creates and not call.sub and not self._store.get(kind.key, call.namespace, call.name):
            new = change({"metadata": {"name": call.name}})
            return call.send(self._registry.create(kind, call.namespace, new, dry=dry), 201)
        obj = self._registry.update(kind, (call.namespace, call.name), change, status=call.sub == "status", dry=dry)
        return call.send(scale_of(kind, obj) if call.sub == "scale" else obj)

    async def _delete(self, call: Call) -> web.StreamResponse:
        asked = ("propagationPolicy", "dryRun", "gracePeriodSeconds")
        options = {key: call.asked(key) for key in asked if call.asked(key)} | await call.body()
        if call.name:
            stored = self._registry.read(call.kind, call.namespace, call.name)
            return call.send(delete(self._registry, call.kind, stored, options))
        objects = self._chosen(call)
        for obj in objects:
            delete(self._registry, call.kind, obj, options)
        return self._send_list(call, objects)
