"""Serve the API and the page on a port of their own; refuse in the form that the OpenAPI document declares."""

import json
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Protocol

from aiohttp import web

from campaignpool.errors import CampaignPoolError
from campaignpool_operator.dashboard.api import Route, routes
from campaignpool_operator.dashboard.backend import Backend
from campaignpool_operator.dashboard.documents import Documents
from campaignpool_operator.dashboard.hub import Hub
from campaignpool_operator.dashboard.identity import RefusedError, Viewer
from campaignpool_operator.dashboard.models import Refusal
from campaignpool_operator.dashboard.openapi import PREFIX, document
from campaignpool_operator.dashboard.page import SESSION, Page, asset, token_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_log = logging.getLogger(__name__)


class Viewers(Protocol):
    """Knows who asks."""

    async def viewer(self, headers: Mapping[str, str], peer: str | None) -> Viewer:
        """Return who asks. Raises RefusedError and ClusterError."""
        ...


class DashboardServer:
    """Serves until it is closed.

    Args:
        backend: What answers.
        viewers: Knows who asks.
        hub: Says what changed.
        root: Path of everything, which ends with a slash.
        hosts: Values of the header Host that are answered; none: every one.
        signs_in: Viewers sign in with a token.
    """

    def __init__(
        self,
        backend: Backend,
        viewers: Viewers,
        hub: Hub,
        *,
        root: str = "/",
        hosts: Collection[str] = (),
        signs_in: bool = True,
    ) -> None:
        self._viewers, self._hub, self._hosts = viewers, hub, set(hosts)
        self._documents = Documents()
        self._page = page = Page(backend, hub, root, signs_in=signs_in)
        application = web.Application(middlewares=[self._guarded], client_max_size=64 * 1024)
        listed = routes(backend)
        text = json.dumps(document(listed), indent=2)
        add, below = application.router.add_route, root.rstrip("/")

        async def openapi(_: web.Request) -> web.Response:
            return web.Response(text=text, content_type="application/json")

        add("GET", f"{below}{PREFIX}/openapi.json", openapi)
        for route in listed:
            add("GET", f"{below}{PREFIX}{route.path}", self._api(route))
        for path in ("", "pools/{namespace}/{name}", "pools/{namespace}/{name}/sizing"):
            add("GET", f"{root}{path}", page.show)
        add("GET", f"{root}assets/{{digest}}/{{name}}", asset)
        add("GET", f"{root}events", self._known(page.listen))
        add("GET", f"{root}live/{{namespace}}/{{name}}", self._known(page.live))
        add("GET", f"{root}actions/{{namespace}}/{{name}}/{{action}}", self._known(page.state))
        add("POST", f"{root}actions/{{namespace}}/{{name}}/{{action}}", self._known(page.act))
        if signs_in:
            add("POST", f"{root}session", self._sign_in)
            add("DELETE", f"{root}session", page.sign_out)
        # No access log: it would name who looked at what.
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)

    async def start(self, host: str | None, port: int) -> int:
        """Serve; return the port, which is a free one where 0 was asked for."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        bound = int(self._runner.addresses[0][1])
        _log.info("serving the dashboard", extra={"port": bound})
        return bound

    def accept(self, hosts: Collection[str]) -> None:
        """Answer these values of the header Host only."""
        self._hosts = set(hosts)

    async def close(self) -> None:
        """Serve no more."""
        self._hub.close()
        await self._runner.cleanup()

    def _api(self, route: Route) -> Handler:
        async def answer(request: web.Request, viewer: Viewer) -> web.StreamResponse:
            return self._documents.response(request, await route.answer(request, viewer))

        return self._known(answer)

    def _known(self, answer: Callable[[web.Request, Viewer], Awaitable[web.StreamResponse]]) -> Handler:
        async def known(request: web.Request) -> web.StreamResponse:
            return await answer(request, await self._viewers.viewer(_credentials(request), request.remote))

        return known

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        token = await token_of(request)
        await self._viewers.viewer({"Authorization": f"Bearer {token}"}, request.remote)
        return await self._page.sign_in(request, token)

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer every failure as a Refusal, and set the headers that every answer has."""
        if self._hosts and request.host not in self._hosts:
            # A page elsewhere that let its name lead here must not act with this user's rights.
            return _headed(self._refused(request, "Forbidden", "the header Host names another host", 403))
        try:
            response = await handler(request)
        except RefusedError as error:
            response = self._refused(request, error.reason, error.message, error.status)
        except CampaignPoolError as error:
            response = self._refused(request, "Unavailable", error.message, 503)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            reason = "NotFound" if error.status == 404 else "Invalid"
            message = f"{request.method} {request.path} is not part of the API: see {PREFIX}/openapi.json"
            response = self._refused(request, reason, message, error.status)
            response.headers.extend({key: value for key, value in error.headers.items() if key == "Allow"})
        return response if response.prepared else _headed(response)

    def _refused(self, request: web.Request, reason: str, message: str, status: int) -> web.Response:
        return self._documents.response(request, Refusal(reason=reason, message=message), status)


def _credentials(request: web.Request) -> Mapping[str, str]:
    """Return the headers of a request, with the token of its session where it has none."""
    token = request.cookies.get(SESSION)
    if not token or "Authorization" in request.headers:
        return request.headers
    return {**request.headers, "Authorization": f"Bearer {token}"}


def _headed(response: web.StreamResponse) -> web.StreamResponse:
    if response.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response
