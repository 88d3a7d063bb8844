"""The paths of the read-only API: what each is for, what it answers and its parameters."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from aiohttp import web
from pydantic import BaseModel

from campaignpool_operator.dashboard.backend import Backend
from campaignpool_operator.dashboard.identity import RefusedError, Viewer
from campaignpool_operator.dashboard.models import Checks, Claims, Me, Node, PoolList, PoolView, Trends
from campaignpool_operator.dashboard.problem import explain
from campaignpool_operator.dashboard.sizing_models import ImagesView, SizingView
from campaignpool_operator.dashboard.work_models import Logs

MOST_HOURS = 400 * 24
MOST_CLAIMS = 1000
MOST_LINES = 200

Answer: TypeAlias = Callable[[web.Request, Viewer], Awaitable[BaseModel]]


@dataclass(frozen=True)
class Parameter:
    """A number in the query of a path."""

    name: str
    default: int
    most: int
    about: str

    def of(self, request: web.Request) -> int:
        """Return its value in a request. Raises RefusedError."""
        text = request.query.get(self.name, str(self.default))
        if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= self.most):
            raise RefusedError(400, "Invalid", f"{self.name} is no number from 1 to {self.most}: correct it")
        return int(text)


@dataclass(frozen=True)
class Route:
    """A path of the API.

    Attributes:
        path: Below `/api/v1`.
        name: Of the operation.
        about: What it does, in a sentence.
        model: What it answers.
        answer: Answers a request.
        parameters: In its query.
    """

    path: str
    name: str
    about: str
    model: type[BaseModel]
    answer: Answer
    parameters: tuple[Parameter, ...] = ()


HOURS = Parameter("hours", 24, MOST_HOURS, "How many hours back; 9600 are 13 months.")
LINES = Parameter("lines", 20, MOST_LINES, "How many lines of each log at most.")
LIMIT = Parameter("limit", 20, MOST_CLAIMS, "How many claims at most.")


def routes(backend: Backend) -> tuple[Route, ...]:
    """Return the paths, answered by a backend."""

    async def me(_: web.Request, viewer: Viewer) -> Me:
        return Me(user=viewer.name)

    async def pools(_: web.Request, viewer: Viewer) -> PoolList:
        return await backend.pools(viewer)

    listed = "Return the pools that you may list, those that need somebody first."
    return (
        Route("/me", "me", "Return who asks.", Me, me),
        Route("/pools", "pools", listed, PoolList, pools),
        *_of_one(backend),
    )


def _of_one(backend: Backend) -> tuple[Route, ...]:
    """Return the paths of one pool."""

    async def pool(request: web.Request, viewer: Viewer) -> PoolView:
        return await backend.pool(viewer, *_named(request))

    async def explained(request: web.Request, viewer: Viewer) -> Node:
        return explain(await backend.pool(viewer, *_named(request)))

    async def checks(request: web.Request, viewer: Viewer) -> Checks:
        return await backend.checks(viewer, *_named(request))

    async def sizing(request: web.Request, viewer: Viewer) -> SizingView:
        return await backend.sizing(viewer, *_named(request))

    async def images(request: web.Request, viewer: Viewer) -> ImagesView:
        return await backend.images(viewer, *_named(request))

    async def logs(request: web.Request, viewer: Viewer) -> Logs:
        return await backend.logs(viewer, *_named(request), LINES.of(request))

    async def trends(request: web.Request, viewer: Viewer) -> Trends:
        return await backend.trends(viewer, *_named(request), HOURS.of(request))

    async def claims(request: web.Request, viewer: Viewer) -> Claims:
        return await backend.claims(viewer, *_named(request), LIMIT.of(request))

    one = "/pools/{namespace}/{name}"
    by_the_hour = "Return what happened in a pool, by the hour."
    checked = "Check a pool's database from the operator's pod: connection, clock, pooler, ledger, roles and more."
    sized = "Return the demand of a pool, what it is expected to be, and what sizes would have done."
    return (
        Route(one, "pool", "Return everything that is known of a pool and that you may see.", PoolView, pool),
        Route(f"{one}/explain", "explain", "Return the state of a pool and its causes, as a tree.", Node, explained),
        Route(f"{one}/checks", "checks", checked, Checks, checks),
        Route(f"{one}/sizing", "sizing", sized, SizingView, sizing),
        Route(f"{one}/images", "images", "Return how many images waited, over time.", ImagesView, images),
        Route(f"{one}/logs", "logs", "Return the last lines that each Job wrote.", Logs, logs, (LINES,)),
        Route(f"{one}/trends", "trends", by_the_hour, Trends, trends, (HOURS,)),
        Route(f"{one}/claims", "claims", "Return the newest claims, without claimants.", Claims, claims, (LIMIT,)),
    )


def _named(request: web.Request) -> tuple[str, str]:
    return request.match_info["namespace"], request.match_info["name"]
