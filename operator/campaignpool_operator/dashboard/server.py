"""Serve the API on a port of its own, and refuse in the form that the OpenAPI document declares."""

import json
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from pydantic import BaseModel

from campaignpool.errors import CampaignPoolError
from campaignpool_operator.dashboard.api import Route, routes
from campaignpool_operator.dashboard.backend import Backend
from campaignpool_operator.dashboard.identity import Identity, RefusedError
from campaignpool_operator.dashboard.models import Refusal
from campaignpool_operator.dashboard.openapi import PREFIX, document

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_log = logging.getLogger(__name__)


class DashboardServer:
    """Serves until it is closed.

    Args:
        backend: What answers.
        identity: Who asks.
    """

    def __init__(self, backend: Backend, identity: Identity) -> None:
        self._identity = identity
        application = web.Application(middlewares=[_guarded])
        listed = routes(backend)
        text = json.dumps(document(listed), indent=2)
        application.router.add_get(f"{PREFIX}/openapi.json", lambda _: _served(text))
        for route in listed:
            application.router.add_get(f"{PREFIX}{route.path}", self._handler(route))
        # No access log: it would name who looked at what.
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)

    async def start(self, host: str | None, port: int) -> int:
        """Serve; return the port, which is a free one where 0 was asked for."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        bound = int(self._runner.addresses[0][1])
        _log.info("serving the dashboard", extra={"port": bound})
        return bound

    async def close(self) -> None:
        """Serve no more."""
        await self._runner.cleanup()

    def _handler(self, route: Route) -> Handler:
        async def answer(request: web.Request) -> web.Response:
            viewer = await self._identity.viewer(request.headers, request.remote)
            return _json(await route.answer(request, viewer))

        return answer


async def _served(text: str) -> web.Response:
    return web.Response(text=text, content_type="application/json")


def _json(model: BaseModel, status: int = 200) -> web.Response:
    text = model.model_dump_json(by_alias=True, exclude_none=True)
    return web.Response(text=text, status=status, content_type="application/json")


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every failure as a Refusal, and set the headers that every answer has."""
    try:
        response = await handler(request)
    except RefusedError as error:
        response = _json(Refusal(reason=error.reason, message=error.message), error.status)
    except CampaignPoolError as error:
        response = _json(Refusal(reason="Unavailable", message=error.message), 503)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        reason = "NotFound" if error.status == 404 else "Invalid"
        message = f"{request.method} {request.path} is not part of the API: see {PREFIX}/openapi.json"
        response = _json(Refusal(reason=reason, message=message), error.status)
        response.headers.extend({key: value for key, value in error.headers.items() if key == "Allow"})
    if response.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    response.headers.update(_HEADERS)
    return response
