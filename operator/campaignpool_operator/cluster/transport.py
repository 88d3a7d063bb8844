"""What sends requests to an API server, with somebody's credentials: the kubeconfig's client, or kubectl's proxy."""

import json
from collections.abc import AsyncIterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from campaignpool.errors import ClusterError

Json: TypeAlias = dict[str, Any]

FORBIDDEN, _NOT_FOUND, _CONFLICT = 403, 404, 409


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    data: bytes


@dataclass(frozen=True)
class Secret:
    """The values of a Secret, and its resourceVersion."""

    values: Mapping[str, bytes]
    version: str


class Transport(Protocol):
    """Sends requests to an API server, with somebody's credentials."""

    async def send(self, method: str, path: str, headers: Mapping[str, str], body: Json | None) -> Answer:
        """Send a request and return the answer, whatever its status. Raises OSError, aiohttp.ClientError."""
        ...

    def lines(
        self, path: str, headers: Mapping[str, str], seconds: float
    ) -> AbstractAsyncContextManager[tuple[int, AsyncIterable[bytes]]]:
        """Begin a GET that is answered line by line, for so long at most; yield its status and the lines."""
        ...

    async def close(self) -> None:
        """End the connection."""
        ...


def decoded(data: bytes) -> Json:
    """Return an answer, empty where it is no JSON object."""
    try:
        return dict(json.loads(data))
    except (ValueError, TypeError):
        return {}


def refusal(what: str, status: int, answer: Mapping[str, Any]) -> ClusterError:
    """Return the error for an answer that refuses a request, with the API's own reason."""
    reason = str(answer.get("reason") or "") or {_NOT_FOUND: "NotFound", _CONFLICT: "Conflict"}.get(status, "Refused")
    message = str(answer.get("message") or f"HTTP {status}")
    return ClusterError(f"the Kubernetes API refuses {what}: {message}", reason=reason)


def resource_of(path: str) -> str:
    """Return the resource of a path, with its subresource: `campaignpools/status`."""
    parts = path.split("/")[3 if path.startswith("/api/") else 4 :]
    if len(parts) > 2 and parts[0] == "namespaces":
        parts = parts[2:]
    return "/".join(parts[::2])
