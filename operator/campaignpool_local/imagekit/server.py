"""The stand-in as a server: who calls, whether the call is allowed, and the faults on the way to it and back."""

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

from campaignpool_local.imagekit.api import Answer, Api, Work
from campaignpool_local.imagekit.assets import File
from campaignpool_local.imagekit.errors import RefusedError
from campaignpool_local.imagekit.faults import Fate, Fault, Faults
from campaignpool_local.imagekit.files import Files
from campaignpool_local.imagekit.jobs import Jobs
from campaignpool_local.imagekit.rates import Account, Limits

PRIVATE_KEY = "private_stand-in"
"""The key that is valid unless another one is given."""

_ID = "demo"
"""The account's part of the addresses of files."""
_LARGEST = 32 * 2**20
"""Bytes of a request."""
_HTML = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"


class ImageKit:
    """A media library with ImageKit's API, on the loopback interface; everything is in memory.

    Args:
        port: Where to listen; 0 takes a free one.
        private_key: The key to call with.
        limits: How many calls are allowed; by default as many as ImageKit allows.
        faults: What goes wrong from the start; by default nothing.
        clock: Gives seconds since 1970: for rates, jobs, outages, lags and the times of files.
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
        """Where it is served, once it is started: the SDK's `base_url`."""
        self.calls: Counter[str] = Counter()
        """How many calls came, by kind (`copy_file`, `list` ...), whatever became of them."""
        self.answers: Counter[int] = Counter()
        """How many answers left, by status; 0 counts the connections that were reset instead."""
        self.limits, self.faults = limits or Limits(), faults or Faults()
        self._files = Files(clock)
        self._jobs = Jobs(self._files, clock)
        self._api = Api(self._files, self._jobs)
        self._stack = contextlib.AsyncExitStack()

    @property
    def files(self) -> Files:
        """What the library holds now, with what bulk jobs have done so far."""
        self._jobs.settle()
        return self._files

    @property
    def faults(self) -> Faults:
        """What goes wrong; assign others at any moment."""
        return self._fate.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._fate = Fate(faults, self.now)

    @property
    def limits(self) -> Limits:
        """How many calls are allowed; assigning them fills the buckets."""
        return self._account.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._account = Account(limits, self.now)

    def seeded(self, folder: str, number: int) -> list[File]:
        """Fill a folder with so many small pictures: the same names and bytes each time."""
        return self._files.seeded(folder, number)

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=_LARGEST)
        for kind, (method, path, work) in self._api.routes.items():
            for each in (path, f"{path}/") if path == "/v1/folder" else (path,):  # the pages have it with the slash
                application.router.add_route(method, each, partial(self._handle, kind, work))
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

    async def _handle(self, kind: str, work: Work, request: web.Request) -> web.StreamResponse:
        self.calls[kind] += 1
        fate = self._fate
        self._jobs.settle()
        if fate.outage:
            return self._reset(request) if fate.turn(2) else self._page(503, "503 Service Temporarily Unavailable")
        if refused := self._stranger(request):
            return self._send(refused)
        allowed, headers = self._account.take(kind)
        fault = fate.draw(kind) if allowed else "429"
        if fault == "429":
            return self._send(
                _TOO_MANY, self._account.refusal(kind, fate.faults.retry_seconds) if allowed else headers
            )
        if fault == "500":
            return self._broken(fate.turn(3), headers)
        if fault == "reset":
            return self._reset(request)
        answer = await self._done(self._api.partial_delete if fault == "partial" else work, request)
        return await self._late(fault, answer, request, headers)

    async def _done(self, work: Work, request: web.Request) -> Answer:
        self._api.job_seconds, self._api.lag = self.faults.job_seconds, self.faults.listing_lag_seconds
        try:
            return await work(request)
        except RefusedError as refused:
            return Answer(refused.status, refused.body)

    async def _late(
        self, fault: Fault, answer: Answer, request: web.Request, headers: dict[str, str]
    ) -> web.StreamResponse:
        """Answer a call that took effect, unless a fault keeps the answer."""
        if fault == "lost" or (fault == "truncated" and answer.body is None):
            return self._reset(request)
        if fault == "truncated":
            text = json.dumps(answer.body).encode()
            response = web.StreamResponse(status=answer.status, headers=headers)
            response.content_type, response.content_length = "application/json", len(text)
            self.answers[answer.status] += 1
            await response.prepare(request)
            await response.write(text[: len(text) // 2])
            if request.transport:
                request.transport.close()
            return response
        if fault == "slow":
            await asyncio.sleep(self.faults.slow_seconds)
        return self._send(answer, headers)

    def _stranger(self, request: web.Request) -> Answer | None:
        """Refuse who does not know the key (`api-overview`, "Authentication"): it is the user; no password counts."""
        try:
            user = BasicAuth.decode(request.headers.get("Authorization", "")).login
        except ValueError:
            user = ""
        if user == self.private_key:
            return None
        if user:
            refused = RefusedError(403, "Your account cannot be authenticated.")
        else:
            refused = RefusedError(401, "Your request does not contain private API key.")
        return Answer(refused.status, refused.body)

    def _send(self, answer: Answer, headers: dict[str, str] | None = None) -> web.Response:
        self.answers[answer.status] += 1
        marked = {**(headers or {}), "x-ik-requestId": str(uuid.uuid4())}
        if answer.body is None:
            return web.Response(status=answer.status, headers=marked)
        return web.json_response(answer.body, status=answer.status, headers=marked)

    def _page(self, status: int, title: str) -> web.Response:
        """Answer as a proxy does that stands before the API."""
        self.answers[status] += 1
        return web.Response(status=status, text=_HTML.format(title), content_type="text/html")

    def _broken(self, turn: int, headers: dict[str, str]) -> web.Response:
        if turn == 1:
            return self._page(500, "500 Internal Server Error")
        response = self._send(Answer(500, RefusedError(500, "Something went wrong.").body), headers)
        if turn == 2 and isinstance(response.body, bytes):
            response.body = response.body[: len(response.body) // 2]
        return response

    def _reset(self, request: web.Request) -> web.Response:
        """Reset the connection: who called sees no answer and no orderly end."""
        self.answers[0] += 1
        if request.transport:
            connection = request.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.transport.abort()
        return web.Response()

    async def _content(self, request: web.Request) -> web.Response:
        """Give the bytes of a file, as they are: a transformation changes nothing."""
        first, _, rest = request.match_info["path"].partition("/")
        file = self._files.at(rest if first.startswith("tr:") else request.match_info["path"])
        if file is None:
            return web.Response(status=404, text="Not Found")
        return web.Response(body=file.content, content_type=file.kind.mime)


_TOO_MANY = Answer(429, RefusedError(429, "You have made too many calls. Wait as X-RateLimit-Reset says.").body)
