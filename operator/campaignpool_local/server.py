"""The HTTP side: paths to resources and verbs, media types, answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import yaml
from aiohttp import web

from campaignpool_local import answers, discovery
from campaignpool_local.access import Access, Deed
from campaignpool_local.deletion import delete
from campaignpool_local.errors import (
    ApiError,
    Cause,
    PlainNotFound,
    bad_request,
    forbidden,
    invalid,
    not_found,
    unknown_resource,
    unsupported_media,
    wrong_method,
)
from campaignpool_local.objects import Registry
from campaignpool_local.patches import apply, built_in_keys, json_patch, merge, strategic
from campaignpool_local.pods import PodRunner
from campaignpool_local.resources import ResourceType
from campaignpool_local.scale import scale_of, with_scale
from campaignpool_local.schema import list_keys
from campaignpool_local.selectors import selector
from campaignpool_local.values import Json, stamp

_MERGE, _JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"
_STRATEGIC, _APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
_BODIES = ("application/json", "application/yaml", _MERGE, _JSON_PATCH, _STRATEGIC, _APPLY)


@dataclass(frozen=True)
class Target:
    """What a path points at."""

    kind: ResourceType
    namespace: str
    name: str
    sub: str


class Server:
    """Answers requests to the API."""

    def __init__(self, registry: Registry, access: Access, pods: PodRunner) -> None:
        self._registry, self._access, self._pods = registry, access, pods

    def application(self) -> web.Application:
        """Give the application to be served."""
        application = web.Application(client_max_size=16 * 2**20)
        application.router.add_route("*", "/{path:.*}", self._answer)
        return application

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._dispatch(request)
        except ApiError as error:
            return answers.as_json(error.status, error.code)
        except PlainNotFound:
            return web.Response(status=404, text="404 page not found\n")

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        parts = request.path.strip("/").split("/")
        if parts[0] in ("healthz", "livez", "readyz"):
            return web.Response(text="ok")
        user = self._access.authenticate(request.headers.get("Authorization", ""))
        match parts:
            case ["version"]:
                return answers.as_json(discovery.VERSION)
            case ["openapi", "v3"]:
                return answers.as_json(discovery.openapi_index(self._registry.catalog))
            case ["openapi", "v3", *root]:
                return answers.as_json(discovery.openapi(self._registry.catalog, "/" + "/".join(root)))
            case ["api"] | ["apis"] | ["apis", _] | ["api", _] | ["apis", _, _]:
                return self._discover(request, parts)
            case ["api", version, *rest]:
                group = ""
            case ["apis", group, version, *rest]:
                pass
            case _:
                raise PlainNotFound
        plural, namespace, name, sub = _place(rest)
        kind = self._registry.catalog.find(group, version, plural)
        deed = Deed(_verb(request, name), group, f"{plural}/{sub}" if sub else plural, namespace, name)
        if not self._access.allows(user, deed) and not (kind and kind.verbs == ("create",)):
            raise forbidden(user.name, deed.verb, group, plural, sub, name, namespace)
        if kind is None:
            raise unknown_resource() if group in self._registry.catalog.built_in_groups else PlainNotFound
        if kind.verbs == ("create",):
            if request.method != "POST":
                raise wrong_method()
            body = await _body(request)
            status = self._access.review(user, kind.kind, body)
            head = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": {}}
            return answers.as_json({**head, "spec": body.get("spec") or {}, "status": status}, 201)
        if sub and sub not in kind.subresources:
            raise not_found(kind.group, kind.plural, name) if kind.crd else unknown_resource()
        return await self._act(request, Target(kind, namespace, name, sub))

    def _discover(self, request: web.Request, parts: list[str]) -> web.StreamResponse:
        catalog = self._registry.catalog
        if len(parts) == 1:
            core = parts[0] == "api"
            for version in ("v2", "v2beta1"):
                form = discovery.AGGREGATED.format(version)
                if form in request.headers.get("Accept", "").replace(" ", ""):
                    listed = discovery.aggregated(catalog, core=core, version=version)
                    return answers.as_json(listed, content_type=form)
            return answers.as_json(discovery.api_versions() if core else discovery.groups(catalog))
        if parts[0] == "apis" and len(parts) == 2:
            return answers.as_json(discovery.group(catalog, parts[1]))
        group, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2])
        found = discovery.resources(catalog, group, version)
        if found is None:
            raise PlainNotFound
        return answers.as_json(found)

    async def _act(self, request: web.Request, target: Target) -> web.StreamResponse:
        match request.method, bool(target.name), target.sub:
            case "GET", True, "log":
                pod = self._registry.read(target.kind, target.namespace, target.name)
                return await self._pods.answer_log(request, pod)
            case "GET", True, "":
                return self._send(request, target, self._read(target))
            case "GET", True, _:
                obj = self._read(target)
                return answers.as_json(scale_of(target.kind, obj) if target.sub == "scale" else obj)
            case "GET", False, _:
                return await self._list(request, target)
            case "POST", True, "token":
                body = await _body(request)
                answer = self._access.grant_token(target.kind, target.namespace, target.name, body)
                return answers.as_json(answer, 201)
            case "POST", False, _:
                return await self._create(request, target)
            case "PUT", True, _:
                return await self._replace(request, target)
            case "PATCH", True, _:
                return await self._patch(request, target)
            case "DELETE", True, "":
                return await self._delete(request, target)
            case "DELETE", False, _ if "deletecollection" in target.kind.verbs:
                return await self._delete_all(request, target)
        raise wrong_method()

    # --- reading ------------------------------------------------------------------------------------------

    def _read(self, target: Target) -> Json:
        return self._registry.shown(target.kind, self._registry.read(target.kind, target.namespace, target.name))

    def _send(
        self, request: web.Request, target: Target, obj: Json, code: int = 200, dropped: list[str] | None = None
    ) -> web.StreamResponse:
        response = answers.one(request, target.kind, obj, code)
        for path in dropped or ():
            response.headers.add("Warning", f'299 - "unknown field \\"{path}\\""')
        return response

    async def _list(self, request: web.Request, target: Target) -> web.StreamResponse:
        query = request.query
        matches = selector(query.get("labelSelector", ""), query.get("fieldSelector", ""), target.kind)

        def chosen(obj: Json) -> bool:
            return matches(self._registry.shown(target.kind, obj))

        if target.name:
            raise wrong_method()
        if answers.is_true(query.get("watch")):
            return await answers.stream(request, self._registry, target.kind, target.namespace, chosen)
        objects = [each for each in self._registry.store.list(target.kind.key, target.namespace) if chosen(each)]
        return answers.many(request, self._registry, target.kind, objects)

    # --- writing ------------------------------------------------------------------------------------------

    async def _create(self, request: web.Request, target: Target) -> web.StreamResponse:
        body = await _body(request)
        dropped: list[str] = []
        namespace = target.namespace
        if target.kind.namespaced and (body.get("metadata") or {}).get("namespace", namespace) != namespace:
            message = "the namespace of the provided object does not match the namespace sent on the request"
            raise bad_request(message)
        dry_run = "dryRun" in request.query or _strict(request)
        obj = self._registry.create(target.kind, namespace, body, dry_run=dry_run, dropped=dropped)
        _refuse(request, target, dropped)
        if dry_run and "dryRun" not in request.query:
            obj = self._registry.create(target.kind, namespace, body)
        return self._send(request, target, obj, 201, dropped)

    async def _replace(self, request: web.Request, target: Target) -> web.StreamResponse:
        body = await _body(request)
        missing = self._registry.store.get(target.kind.key, target.namespace, target.name) is None
        if missing and target.kind.kind == "Lease":
            return self._send(request, target, self._registry.create(target.kind, target.namespace, body), 201)
        return self._update(request, target, lambda _: body)

    async def _patch(self, request: web.Request, target: Target) -> web.StreamResponse:
        form = request.content_type
        accepted = (_JSON_PATCH, _MERGE, _APPLY) if target.kind.crd else (_JSON_PATCH, _MERGE, _STRATEGIC, _APPLY)
        if form not in accepted:
            raise unsupported_media(accepted)
        patch = await _body(request, "error decoding patch")
        if form == _APPLY:
            return self._apply(request, target, patch)
        change = {_JSON_PATCH: json_patch, _MERGE: merge, _STRATEGIC: strategic}[form]
        return self._update(request, target, lambda obj: change(obj, patch))

    def _apply(self, request: web.Request, target: Target, patch: Json) -> web.StreamResponse:
        manager = request.query.get("fieldManager", "")
        if not manager:
            cause = Cause.required("fieldManager", "is required for apply patch")
            raise invalid("meta.k8s.io", "PatchOptions", "", [cause])

        def change(obj: Json) -> Json:
            return apply(
                obj,
                patch,
                manager=manager,
                sub=target.sub,
                force=answers.is_true(request.query.get("force")),
                keys=(lambda path: list_keys(target.kind.schema, path)) if target.kind.crd else built_in_keys,
                now=stamp(),
            )

        if self._registry.store.get(target.kind.key, target.namespace, target.name) is None and not target.sub:
            metadata = {**(patch.get("metadata") or {}), "name": target.name}
            body = change({"metadata": metadata})
            dry_run = "dryRun" in request.query
            obj = self._registry.create(target.kind, target.namespace, body, dry_run=dry_run)
            return self._send(request, target, obj, 201)
        return self._update(request, target, change, applies=True)

    def _update(
        self, request: web.Request, target: Target, change: Callable[[Json], Json], *, applies: bool = False
    ) -> web.StreamResponse:
        kind, dropped = target.kind, list[str]()
        if target.sub == "scale":
            obj = self._registry.update(
                kind, target.namespace, target.name, lambda obj: with_scale(kind, obj, change(scale_of(kind, obj)))
            )
            return answers.as_json(scale_of(kind, obj))

        def update(*, dry_run: bool) -> Json:
            dropped.clear()
            return self._registry.update(
                kind,
                target.namespace,
                target.name,
                change,
                sub=target.sub,
                applies=applies,
                dry_run=dry_run,
                dropped=dropped,
            )

        preview = "dryRun" in request.query
        obj = update(dry_run=preview or _strict(request))
        _refuse(request, target, dropped)
        if _strict(request) and not preview:
            obj = update(dry_run=False)
        return self._send(request, target, obj, 200, dropped)

    async def _delete(self, request: web.Request, target: Target) -> web.StreamResponse:
        obj = self._registry.read(target.kind, target.namespace, target.name)
        return self._send(request, target, delete(self._registry, target.kind, obj, await _delete_options(request)))

    async def _delete_all(self, request: web.Request, target: Target) -> web.StreamResponse:
        options = await _delete_options(request)
        query = request.query
        matches = selector(query.get("labelSelector", ""), query.get("fieldSelector", ""), target.kind)
        objects = [each for each in self._registry.store.list(target.kind.key, target.namespace) if matches(each)]
        for each in objects:
            delete(self._registry, target.kind, each, options)
        return answers.many(request, self._registry, target.kind, objects)


def _place(rest: list[str]) -> tuple[str, str, str, str]:
    """Read what follows the version in a path: give (plural, namespace, name, subresource)."""
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    plural, name, sub, *more = [*rest, "", ""][: max(3, len(rest))]
    if more:
        raise PlainNotFound
    return plural, namespace, name, sub


def _verb(request: web.Request, name: str) -> str:
    """The verb by which roles speak of a request."""
    if request.method == "GET":
        return "watch" if answers.is_true(request.query.get("watch")) else "get" if name else "list"
    if request.method == "DELETE":
        return "delete" if name else "deletecollection"
    return {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(request.method, request.method.lower())


def _strict(request: web.Request) -> bool:
    return request.query.get("fieldValidation") == "Strict"


def _refuse(request: web.Request, target: Target, dropped: list[str]) -> None:
    """Refuse unknown fields, if the client wants that."""
    if dropped and _strict(request):
        named = ", ".join(f'unknown field "{path}"' for path in dropped)
        kind = target.kind
        message = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '
        raise bad_request(f"{message}strict decoding error: {named}")


async def _body(request: web.Request, trouble: str = "the object provided is unrecognized") -> Json:
    """Read a body of JSON or YAML."""
    raw = await request.read()
    if request.content_type not in (*_BODIES, "application/octet-stream"):
        raise unsupported_media(("application/json", "application/yaml"))
    try:
        body = yaml.safe_load(raw) if "yaml" in request.content_type else json.loads(raw)
    except (ValueError, yaml.YAMLError) as error:
        raise bad_request(f"{trouble}: {error}") from error
    if not isinstance(body, dict | list):
        raise bad_request(f"{trouble}: an object is wanted")
    return body  # type: ignore[return-value]  # only a JSON patch is a list, and it goes nowhere else


async def _delete_options(request: web.Request) -> Json:
    """The options of a deletion, from the body or the query."""
    options: Json = (await _body(request)) if request.can_read_body else {}
    query: Json = {key: request.query[key] for key in ("propagationPolicy", "dryRun") if key in request.query}
    if "gracePeriodSeconds" in request.query:
        query["gracePeriodSeconds"] = int(request.query["gracePeriodSeconds"])
    if answers.is_true(request.query.get("orphanDependents")):
        query["propagationPolicy"] = "Orphan"
    return {**query, **options}
