"""The page: its files, the sessions of viewers who sign in with a token, actions, and events that keep it live."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Hashable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from string import Template
from typing import Any
from urllib.parse import quote

from aiohttp import web

from campaignpool.api.actions import BY_NAME, Action, Request
from campaignpool.errors import CampaignPoolError
from campaignpool_operator.dashboard.advice import advice
from campaignpool_operator.dashboard.backend import Backend
from campaignpool_operator.dashboard.board import Shared
from campaignpool_operator.dashboard.documents import Documents
from campaignpool_operator.dashboard.hub import Change, Hub, event
from campaignpool_operator.dashboard.identity import RefusedError, Viewer
from campaignpool_operator.dashboard.models import Live, PoolView
from campaignpool_operator.dashboard.work_models import View

SESSION, CSRF = "campaignpool-session", "campaignpool-csrf"
"""Cookies: the token of a viewer, which scripts cannot read; and a text that a change repeats in a header."""

CSRF_HEADER = "X-CSRF-Token"

CONTENT_SECURITY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)

RIGHTS_SECONDS = 5.0
"""How long a stream goes on without asking whether its viewer still may see what it shows."""

_RENDERED_SECONDS = 5.0
_SESSION_SECONDS = 8 * 3600
_TYPES = {"css": "text/css", "js": "text/javascript"}
_VIEWS = ("pool.js", "shapes.js", "sizing.js")
_LONGEST_TOKEN = 20_000
_SIZE_MOST = 1000


@cache
def assets() -> tuple[str, Mapping[str, str], str]:
    """Return a hash of the page's files, the files by name, and the page itself."""
    folder = files(__package__).joinpath("assets")
    texts = {path.name: path.read_text() for path in folder.iterdir() if path.name.rpartition(".")[2] in _TYPES}
    digest = sha256("".join(texts[name] for name in sorted(texts)).encode()).hexdigest()[:16]
    return digest, texts, folder.joinpath("index.html").read_text()


async def asset(request: web.Request) -> web.Response:
    """Answer with a file of the page; its address changes with its content."""
    digest, texts, _ = assets()
    name = request.match_info["name"]
    if request.match_info["digest"] != digest or name not in texts:
        raise web.HTTPNotFound
    response = web.Response(text=texts[name], content_type=_TYPES[name.rpartition(".")[2]], charset="utf-8")
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    response.enable_compression()
    return response


class Page:
    """Answers what the API does not.

    Args:
        backend: What viewers see and do.
        hub: Says what changed.
        root: Path of the page, which ends with a slash.
        signs_in: Viewers sign in with a token.
    """

    def __init__(self, backend: Backend, hub: Hub, root: str, *, signs_in: bool) -> None:
        self._backend, self._hub, self._root, self._signs_in = backend, hub, root, signs_in
        self._shared, self._documents = Shared(), Documents()

    async def show(self, request: web.Request) -> web.Response:
        """Answer with the page; what it shows, it asks of the API."""
        digest, texts, text = assets()
        signin = "token" if self._signs_in else ""
        shown = Template(text).substitute(
            root=self._root,
            signin=signin,
            style=f"{digest}/style.css",
            script=f"{digest}/app.js",
            preloads=self._preloads(digest, texts, request),
        )
        response = web.Response(text=shown, content_type="text/html", charset="utf-8")
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY
        response.enable_compression()
        if CSRF not in request.cookies:
            self._set(request, response, CSRF, secrets.token_urlsafe(24), readable=True)
        return response

    def _preloads(self, digest: str, texts: Iterable[str], request: web.Request) -> str:
        """Return what the page asks for first, so that it comes while the scripts do."""
        match, views = request.match_info, set[str]()
        if match:
            views = {"sizing.js" if request.path.endswith("/sizing") else "pool.js", "shapes.js"}
        needed = [
            name for name in sorted(texts) if name.endswith(".js") and name not in ({"app.js", *_VIEWS} - views)
        ]
        links = [f'<link rel="modulepreload" href="{self._root}assets/{digest}/{name}">' for name in needed]
        data = f"live/{quote(match['namespace'])}/{quote(match['name'])}" if match else "api/v1/pools"
        return "\n".join([*links, f'<link rel="preload" as="fetch" crossorigin href="{self._root}{data}">'])

    async def sign_in(self, request: web.Request, token: str) -> web.Response:
        """Keep a token that was found to be somebody's."""
        response = web.json_response({})
        self._set(request, response, SESSION, token)
        return response

    async def sign_out(self, request: web.Request) -> web.Response:
        """Forget the token."""
        require_csrf(request)
        response = web.json_response({})
        response.del_cookie(SESSION, path=self._root)
        return response

    async def act(self, request: web.Request, viewer: Viewer) -> web.Response:
        """Do something to a pool as its viewer."""
        require_csrf(request)
        namespace, name, action = _asked(request)
        body = await body_of(request)
        value = str(body.get("value") or "")
        _check(action, value)
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        await self._backend.change(viewer, namespace, name, action.patch(Request(stamp, viewer.name, value)))
        return web.json_response({"stamp": stamp})

    async def state(self, request: web.Request, viewer: Viewer) -> web.Response:
        """Answer how far an action is: sent, seen by the operator, or done."""
        namespace, name, action = _asked(request)
        resource = await self._backend.resource(viewer, namespace, name)
        asked = Request(request.query.get("stamp", ""), viewer.name, request.query.get("value", ""))
        status, generation = resource.get("status") or {}, int(resource["metadata"].get("generation", 1))
        seen = int(status.get("observedGeneration") or 0) >= generation
        done = action.done(resource, asked)
        return web.json_response({"state": "done" if done else "seen" if seen else "sent"})

    async def listen(self, request: web.Request, viewer: Viewer) -> web.StreamResponse:
        """Stream what changed: the pool that `pool` names, as its view shows it, or all that the viewer may see."""
        pool = request.query.get("pool", "")
        if pool and pool.count("/") != 1:
            raise RefusedError(400, "Invalid", f"{pool} is no pool: write NAMESPACE/NAME")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        with suppress(ConnectionError):
            async for part in self._stream(viewer, pool):
                await response.write(part)
        return response

    async def _stream(self, viewer: Viewer, only: str) -> AsyncIterator[bytes]:
        """Yield events: a pool as its view shows it, or of each pool what the list shows."""
        rights: dict[str, tuple[float, Hashable]] = {}
        yield event("tick")
        async for change in self._hub.changes(only):
            now = asyncio.get_running_loop().time()
            events = []
            for pool in sorted(change.pools):
                namespace, _, name = pool.partition("/")
                where = only or namespace
                try:
                    if where not in rights or now - rights[where][0] > RIGHTS_SECONDS:
                        rights[where] = (now, await self._backend.rights(viewer, namespace, name if only else ""))
                    if rights[where][1] is not None:
                        events.append(await self._rendered(viewer, pool, rights[where][1], change, whole=bool(only)))
                except (RefusedError, CampaignPoolError):
                    events.append(event("gone", json.dumps({"pool": pool})))
            yield b"".join(events) or event("tick")

    async def _rendered(self, viewer: Viewer, pool: str, rights: Hashable, change: Change, *, whole: bool) -> bytes:
        """Return the event of a pool that changed; those with equal rights get the same bytes."""
        namespace, _, name = pool.partition("/")

        async def render() -> bytes:
            shown: View | None
            if whole:
                shown = _live(await self._backend.pool(viewer, namespace, name, wait=False))
            else:
                shown = await self._backend.listed(viewer, namespace, name)
            if shown is None:
                return event("gone", json.dumps({"pool": pool}))
            return event("pool", shown.model_dump_json(by_alias=True, exclude_none=True))

        return await self._shared.get((change.number, pool, rights, whole), _RENDERED_SECONDS, render)

    async def live(self, request: web.Request, viewer: Viewer) -> web.Response:
        """Answer with a pool as its view shows it."""
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        return self._documents.response(request, _live(await self._backend.pool(viewer, namespace, name)))

    def _set(
        self, request: web.Request, response: web.Response, name: str, value: str, *, readable: bool = False
    ) -> None:
        secure = request.secure or request.headers.get("X-Forwarded-Proto") == "https"
        response.set_cookie(
            name,
            value,
            path=self._root,
            max_age=_SESSION_SECONDS,
            httponly=not readable,
            secure=secure,
            samesite="Strict",
        )


def _live(pool: PoolView) -> Live:
    return Live(pool=pool, advice=advice(pool))


def require_csrf(request: web.Request) -> None:
    """Raise RefusedError unless a change comes from the page itself."""
    cookie, header = request.cookies.get(CSRF, ""), request.headers.get(CSRF_HEADER, "")
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    if not cookie or not secrets.compare_digest(cookie.encode(), header.encode()) or site != "same-origin":
        raise RefusedError(403, "Forbidden", "this change does not come from the page: load the page again")


async def body_of(request: web.Request) -> dict[str, Any]:
    """Return the JSON object in a request. Raises RefusedError."""
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RefusedError(400, "Invalid", "the request holds no JSON object: load the page again")
    return body


async def token_of(request: web.Request) -> str:
    """Return the token that somebody signs in with. Raises RefusedError."""
    require_csrf(request)
    token = (await body_of(request)).get("token")
    if not isinstance(token, str) or not token.isascii() or not 0 < len(token) < _LONGEST_TOKEN or " " in token:
        raise RefusedError(400, "Invalid", "this is no token: paste one, such as kubectl create token prints")
    return token


def _asked(request: web.Request) -> tuple[str, str, Action]:
    action = BY_NAME.get(request.match_info["action"])
    if action is None:
        raise web.HTTPNotFound
    return request.match_info["namespace"], request.match_info["name"], action


def _check(action: Action, value: str) -> None:
    """Raise RefusedError for an argument that is missing or that makes no sense."""
    if action.argument == "SIZE" and not (value.isascii() and value.isdigit() and int(value) <= _SIZE_MOST):
        raise RefusedError(400, "Invalid", f"{value!r} is no size: enter a number from 0 to {_SIZE_MOST}")
    if action.argument == "REVISION" and not (value.isascii() and value.isdigit() and len(value) < 10):
        raise RefusedError(400, "Invalid", f"{value!r} is no revision: choose one that is kept")
    if action.argument and not value:
        raise RefusedError(400, "Invalid", f"{action.name} needs a {action.argument.lower()}: enter one")
