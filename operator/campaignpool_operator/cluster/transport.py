"""What sends requests to an API server, with somebody's credentials: the kubeconfig's client, or kubectl's proxy."""

from collections.abc import AsyncIterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    data: bytes


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
