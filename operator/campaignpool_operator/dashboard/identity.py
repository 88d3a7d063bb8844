"""Who asks, and what they may do: as the API server says, never with the operator's own rights.

A viewer is who a bearer token authenticates (TokenReview), or whom a trusted proxy names in a header. The API server
is asked about whatever they see or do (SubjectAccessReview). Tokens are kept as hashes only, and answers for seconds.
"""

import asyncio
import ipaddress
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, Generic, TypeVar

from campaignpool.api.resource import GROUP, PLURAL
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.cluster.transport import Json
from campaignpool_operator.dashboard.board import Shared

TOKEN_SECONDS = 60.0
"""A token that was authenticated is not asked about again for so long."""

REFUSED_SECONDS = 10.0
RIGHT_SECONDS = 30.0
"""How long the answer about a right is kept: a right that is taken away ends after this."""

_KEPT = 10_000
"""Answers that are kept at most."""

_AT_ONCE = 20
"""Rights that are asked about at the same time at most; who asks about the same one waits for the same answer."""

FORWARDED_TOKEN = "X-Forwarded-Access-Token"  # noqa: S105 (no password)
"""Header in which a token comes where the API server's service proxy, or oauth2-proxy, is in between."""

T = TypeVar("T")


class RefusedError(Exception):
    """A request that is not answered: an HTTP status, a reason and a sentence."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


@dataclass(frozen=True)
class Viewer:
    """Who asks.

    Attributes:
        user: As reviews take it: `username`, `groups`, `extra`.
    """

    user: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The user's name."""
        return str(self.user.get("username", ""))

    @cached_property
    def key(self) -> str:
        """Text that differs between users with different rights."""
        return repr(
            (self.name, sorted(self.user.get("groups") or ()), sorted((self.user.get("extra") or {}).items()))
        )


@dataclass(frozen=True)
class Proxy:
    """An authenticating proxy in front of the page.

    Attributes:
        user_header: In which it names the user; empty: there is none.
        groups_header: In which it lists their groups, comma-separated.
        trusted: Networks that it may ask from; another sender of the header is refused.
    """

    user_header: str = ""
    groups_header: str = ""
    trusted: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network] = field(default_factory=tuple)

    def viewer(self, headers: Mapping[str, str], peer: str | None) -> Viewer | None:
        """Return whom the proxy names; None: it is not in between. Raises RefusedError."""
        name = headers.get(self.user_header, "") if self.user_header else ""
        if not name:
            return None
        if not self._trusts(peer):
            message = f"the header {self.user_header} is accepted from the proxy only: check dashboard.proxy.trusted"
            raise RefusedError(401, "Unauthorized", message)
        if name.startswith("system:"):
            raise RefusedError(401, "Unauthorized", "the proxy names a user of the system: sign in as somebody else")
        groups = headers.get(self.groups_header, "").split(",") if self.groups_header else []
        named = [group.strip() for group in groups if group.strip() and not group.strip().startswith("system:")]
        return Viewer({"username": name, "groups": [*named, "system:authenticated"]})

    def _trusts(self, peer: str | None) -> bool:
        try:
            address = ipaddress.ip_address(peer or "")
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return any((mapped or address) in network for network in self.trusted)


class _Kept(Generic[T]):
    """Answers, each until it is too old."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._answers: dict[str, tuple[float, T]] = {}

    def get(self, key: str) -> tuple[T] | None:
        """Return the answer in a tuple, or None."""
        cached = self._answers.get(key)
        return (cached[1],) if cached is not None and cached[0] > self._clock() else None

    def put(self, key: str, answer: T, seconds: float) -> None:
        """Keep an answer; where too many are kept, the oldest goes."""
        self._answers.pop(key, None)
        self._answers[key] = (self._clock() + seconds, answer)
        if len(self._answers) > _KEPT:
            self._answers.pop(next(iter(self._answers)))


class Identity:
    """Knows viewers and their rights.

    Args:
        cluster: The Kubernetes API.
        proxy: An authenticating proxy, if there is one.
        clock: Seconds that only grow.
    """

    def __init__(self, cluster: Cluster, proxy: Proxy, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster, self._proxy = cluster, proxy
        self._users: _Kept[Json | None] = _Kept(clock)
        self._rights: _Kept[bool] = _Kept(clock)
        self._asking, self._slots = Shared(), asyncio.Semaphore(_AT_ONCE)

    async def viewer(self, headers: Mapping[str, str], peer: str | None) -> Viewer:
        """Return who asks.

        Raises:
            RefusedError: Nobody that the API server knows.
            ClusterError: The API server does not answer.
        """
        token = headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if not token and (named := self._proxy.viewer(headers, peer)):
            return named
        token = token or headers.get(FORWARDED_TOKEN, "").strip()
        if not token:
            raise RefusedError(401, "Unauthorized", "nobody is signed in: pass a bearer token of this cluster")
        user = await self._user_of(token)
        if user is None:
            message = "the API server does not know this token: sign in again, and pass a token of this cluster"
            raise RefusedError(401, "Unauthorized", message)
        return Viewer(user)

    async def may(self, viewer: Viewer, verb: str, resource: str, namespace: str, name: str = "") -> bool:
        """Return whether a viewer may do something. Raises ClusterError.

        Args:
            viewer: Who asks.
            verb: As RBAC has it.
            resource: Its plural, its group after a dot and its subresource after a slash: `jobs.batch`, `pods/log`.
            namespace: Where; empty: in all.
            name: Of the object; empty: of any.
        """
        whole, _, subresource = resource.partition("/")
        plural, _, group = whole.partition(".")
        attributes = {
            key: value
            for key, value in (
                ("verb", verb),
                ("group", group),
                ("resource", plural),
                ("subresource", subresource),
                ("namespace", namespace),
                ("name", name),
            )
            if value
        }
        key = f"{viewer.key} {attributes}"
        cached = self._rights.get(key)
        if cached is not None:
            return cached[0]
        return await self._asking.get(key, 0.0, lambda: self._ask(viewer, attributes, key))

    async def require(self, viewer: Viewer, verb: str, namespace: str, name: str) -> None:
        """Raise RefusedError unless a viewer may do something to a CampaignPool."""
        if not await self.may(viewer, verb, f"{PLURAL}.{GROUP}", namespace, name):
            message = (
                f"{viewer.name} may not {verb} CampaignPool {name} in namespace {namespace}: ask for a role that may"
            )
            raise RefusedError(403, "Forbidden", message)

    async def _ask(self, viewer: Viewer, attributes: Mapping[str, str], key: str) -> bool:
        async with self._slots:
            allowed = await self._cluster.user_may(viewer.user, attributes)
        self._rights.put(key, allowed, RIGHT_SECONDS)
        return allowed

    async def _user_of(self, token: str) -> Json | None:
        key = sha256(token.encode()).hexdigest()
        cached = self._users.get(key)
        if cached is not None:
            return cached[0]
        user = await self._cluster.user_of(token)
        self._users.put(key, user, TOKEN_SECONDS if user else REFUSED_SECONDS)
        return user
