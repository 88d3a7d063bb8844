"""The HTTP side: who asks, and which part of the API answers."""

from __future__ import annotations

import logging

from aiohttp import web

from campaignpool_local import answers, discovery
from campaignpool_local.access import Access, Deed, User
from campaignpool_local.errors import ApiError, PlainNotFound, forbidden, not_found, unknown_resource, wrong_method
from campaignpool_local.handlers import Call, Handlers, read_body
from campaignpool_local.objects import Registry
from campaignpool_local.pods import PodRunner

_LOG = logging.getLogger(__name__)


class Server:
    """Answers requests to the API."""

    def __init__(self, registry: Registry, access: Access, pods: PodRunner) -> None:
        self._catalog, self._access = registry.catalog, access
        self._handlers = Handlers(registry, access, pods)

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
        except Exception as error:  # noqa: BLE001 - a body of an odd shape or a fault of ours: clients want a Status
            _LOG.exception("cannot answer %s %s", request.method, request.path)
            return answers.as_json(ApiError(500, "InternalError", f"{type(error).__name__}: {error}").status, 500)

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        parts = request.path.strip("/").split("/")
        if parts[-1] in ("healthz", "livez", "readyz"):
            return web.Response(text="ok")
        parts = self._access.without_secret(parts)
        user = self._access.authenticate(request.headers.get("Authorization", ""))
        match parts:
            case ["api", version, *rest] if rest:
                return await self._resource(request, user, "", version, rest)
            case ["apis", group, version, *rest] if rest:
                return await self._resource(request, user, group, version, rest)
            case ["openapi", "v3"]:
                return answers.as_json(discovery.openapi_index(self._catalog, self._access.secret))
            case ["openapi", "v3", *root]:
                return answers.as_json(discovery.openapi(self._catalog, "/" + "/".join(root)))
            case _:
                return self._discover(request, parts)

    def _discover(self, request: web.Request, parts: list[str]) -> web.StreamResponse:
        match parts:
            case ["version"]:
                return answers.as_json(discovery.VERSION)
            case ["api" | "apis" as root]:
                for version in ("v2", "v2beta1"):
                    form = discovery.AGGREGATED.format(version)
                    if form in request.headers.get("Accept", "").replace(" ", ""):
                        listed = discovery.aggregated(self._catalog, core=root == "api", version=version)
                        return answers.as_json(listed, content_type=form)
                return answers.as_json(discovery.API_VERSIONS if root == "api" else discovery.groups(self._catalog))
            case ["apis", group]:
                return answers.as_json(discovery.group(self._catalog, group))
            case ["api", version]:
                return answers.as_json(discovery.resources(self._catalog, "", version))
            case ["apis", group, version]:
                return answers.as_json(discovery.resources(self._catalog, group, version))
            case _:
                raise PlainNotFound

    async def _resource(
        self, request: web.Request, user: User, group: str, version: str, rest: list[str]
    ) -> web.StreamResponse:
        plural, namespace, name, sub = _place(rest)
        kind = self._catalog.find(group, version, plural)
        deed = Deed(_verb(request, name), group, f"{plural}/{sub}" if sub else plural, namespace, name)
        is_review = kind is not None and kind.verbs == ("create",)
        if not is_review and not self._access.allows(user, deed):
            raise forbidden(user.name, deed.verb, group, plural, sub, name, namespace)
        if kind is None:
            raise unknown_resource() if group in self._catalog.built_in_groups else PlainNotFound
        if is_review:
            if request.method != "POST":
                raise wrong_method()
            return answers.as_json(self._access.review(user, kind, await read_body(request)), 201)
        if sub and sub not in kind.subresources:
            raise not_found(kind.group, kind.plural, name) if kind.crd else unknown_resource()
        return await self._handlers.answer(Call(request, kind, namespace, name, sub))


def _place(rest: list[str]) -> tuple[str, str, str, str]:
    """Read what follows the version in a path: give (plural, namespace, name, subresource)."""
    namespace = ""
    if rest[0] == "namespaces" and rest[2:] not in ([], ["status"]):
        namespace, rest = rest[1], rest[2:]
    plural, *below = rest
    if len(below) > 2:
        raise PlainNotFound
    name, sub = [*below, "", ""][:2]
    return plural, namespace, name, sub


def _verb(request: web.Request, name: str) -> str:
    """The verb by which roles speak of a request."""
    if request.method == "GET":
        return "watch" if answers.is_true(request.query.get("watch")) else "get" if name else "list"
    if request.method == "DELETE":
        return "delete" if name else "deletecollection"
    return {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(request.method, request.method.lower())
