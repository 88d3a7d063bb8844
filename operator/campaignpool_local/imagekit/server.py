"""The HTTP server of the stand-in: authentication, rate limits and injected faults."""

import asyncio
import contextlib
import json
import socket
import struct
import time
import uuid
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Self

from aiohttp import BasicAuth, web

from campaignpool_local.imagekit.api import Api, Handler, Response
from campaignpool_local.imagekit.assets import File
from campaignpool_local.imagekit.errors import RefusedError
from campaignpool_local.imagekit.faults import Fate, Fault, Faults
from campaignpool_local.imagekit.files import Files
from campaignpool_local.imagekit.jobs import Jobs
from campaignpool_local.imagekit.rates import Account, Limits

PRIVATE_KEY = "private_stand-in"
"""The default private key."""

_ID = "demo"
"""The account's path segment in the URLs of files."""
_MAX_REQUEST_BYTES = 32 * 2**20
_HTML = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"


class ImageKit:
    """A media library in memory with ImageKit's API, on the loopback interface.

    Args:
        port: The port to listen on; 0 chooses a free port.
        private_key: The key that clients have to use.
        limits: The rate limits, by default ImageKit's.
        faults: The initial faults, by default none.
        clock: Returns seconds since 1970, for rates, jobs, outages, lags and the times of files.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        private_key: str = PRIVATE_KEY,
        limits: Limits | None = None,
        faults: Faults | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._port, self.private_key, self.now = port, private_key, clock
        self.url = ""
        """The `base_url` for the SDK, after the start."""
        self.calls: Counter[str] = Counter()
        """The number of received calls by kind (`copy_file`, `list` ...), including failed ones."""
        self.responses: Counter[int] = Counter()
        """The number of sent responses by status; 0 counts reset connections."""
        self.limits, self.faults = limits or Limits(), faults or Faults()
        self._files = Files(clock)
        self._jobs = Jobs(self._files, clock)
        self._api = Api(self._files, self._jobs)
        self._stack = contextlib.AsyncExitStack()

    @property
    def files(self) -> Files:
        """The current files, including the copies that bulk jobs have completed."""
        self._jobs.advance()
        return self._files

    @property
    def faults(self) -> Faults:
        """The injected faults; can be assigned at any time."""
        return self._fate.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._fate = Fate(faults, self.now)

    @property
    def limits(self) -> Limits:
        """The rate limits; assigning them refills the buckets."""
        return self._account.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._account = Account(limits, self.now)

    def add_images(self, folder: str, number: int) -> list[File]:
        """Create small images in a folder; names and content are always the same."""
        return self._files.add_images(folder, number)

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=_MAX_REQUEST_BYTES)
        for kind, (method, path, handler) in self._api.routes.items():
            for route in (path, f"{path}/") if path == "/v1/folder" else (path,):  # documented with the slash
                application.router.add_route(method, route, partial(self._handle, kind, handler))
        application.router.add_get(f"/{_ID}/{{path:.*}}", self._content)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        try:
            await web.TCPSite(runner, "127.0.0.1", self._port).start()
        except OSError:
            await self._stack.aclose()
            raise
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._files.endpoint = f"{self.url}/{_ID}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _handle(self, kind: str, handler: Handler, request: web.Request) -> web.StreamResponse:
        self.calls[kind] += 1
        fate = self._fate
        self._jobs.advance()
        if fate.outage:
            return self._reset(request) if fate.turn(2) else self._page(503, "503 Service Temporarily Unavailable")
        if error := self._authentication_error(request):
            return self._send(error)
        allowed, headers = self._account.take(kind)
        fault = fate.draw(kind) if allowed else "429"
        if fault == "429":
            return self._send(
                _TOO_MANY, self._account.refusal(kind, fate.faults.retry_seconds) if allowed else headers
            )
        if fault == "500":
            return self._server_error(fate.turn(3), headers)
        if fault == "reset":
            return self._reset(request)
        result = await self._execute(self._api.partial_delete if fault == "partial" else handler, request)
        return await self._respond(fault, result, request, headers)

    async def _execute(self, handler: Handler, request: web.Request) -> Response:
        self._api.job_seconds, self._api.lag = self.faults.job_seconds, self.faults.listing_lag_seconds
        try:
            return await handler(request)
        except RefusedError as error:
            return Response(error.status, error.body)

    async def _respond(
        self, fault: Fault, result: Response, request: web.Request, headers: dict[str, str]
    ) -> web.StreamResponse:
        """Send the response of a call that took effect, unless a fault prevents it."""
        if fault == "lost" or (fault == "truncated" and result.body is None):
            return self._reset(request)
        if fault == "truncated":
            text = json.dumps(result.body).encode()
            response = web.StreamResponse(status=result.status, headers=headers)
            response.content_type, response.content_length = "application/json", len(text)
            self.responses[result.status] += 1
            await response.prepare(request)
            await response.write(text[: len(text) // 2])
            if request.transport:
                request.transport.close()
            return response
        if fault == "slow":
            await asyncio.sleep(self.faults.slow_seconds)
        return self._send(result, headers)

    def _authentication_error(self, request: web.Request) -> Response | None:
        """Return the refusal of a wrong key, or None; the key is the user of basic auth (`api-overview`)."""
        try:
            user = BasicAuth.decode(request.headers.get("Authorization", "")).login
        except ValueError:
            user = ""
        if user == self.private_key:
            return None
        if user:
            error = RefusedError(403, "Your account cannot be authenticated.")
        else:
            error = RefusedError(401, "Your request does not contain private API key.")
        return Response(error.status, error.body)

    def _send(self, result: Response, headers: dict[str, str] | None = None) -> web.Response:
        self.responses[result.status] += 1
        all_headers = {**(headers or {}), "x-ik-requestId": str(uuid.uuid4())}
        if result.body is None:
            return web.Response(status=result.status, headers=all_headers)
        return web.json_response(result.body, status=result.status, headers=all_headers)

    def _page(self, status: int, title: str) -> web.Response:
        """Return an HTML error page, as a proxy in front of the API does."""
        self.responses[status] += 1
        return web.Response(status=status, text=_HTML.format(title), content_type="text/html")

    def _server_error(self, turn: int, headers: dict[str, str]) -> web.Response:
        if turn == 1:
            return self._page(500, "500 Internal Server Error")
        response = self._send(Response(500, RefusedError(500, "Something went wrong.").body), headers)
        if turn == 2 and isinstance(response.body, bytes):
            response.body = response.body[: len(response.body) // 2]
        return response

    def _reset(self, request: web.Request) -> web.Response:
        """Reset the connection instead of sending a response."""
        self.responses[0] += 1
        if request.transport:
            connection = request.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.transport.abort()
        return web.Response()

    async def _content(self, request: web.Request) -> web.Response:
        """Return the content of a file; transformations are ignored."""
        first, _, rest = request.match_info["path"].partition("/")
        file = self._files.at(rest if first.startswith("tr:") else request.match_info["path"])
        if file is None:
            return web.Response(status=404, text="Not Found")
        return web.Response(body=file.content, content_type=file.kind.mime)


_TOO_MANY = Response(429, RefusedError(429, "You have made too many calls. Wait as X-RateLimit-Reset says.").body)
