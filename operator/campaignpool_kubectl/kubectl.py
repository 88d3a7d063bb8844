"""Reach the API server as kubectl does: by `kubectl proxy`, which knows every kind of credential of a kubeconfig.

The proxy listens on a socket in a folder that only this user can open, and ends with the command.
"""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from campaignpool.errors import ClusterError, ConfigurationError
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.cluster.transport import Answer, Json

MANAGER = "kubectl-campaignpool"
"""Whose changes these are, for the API server."""

_START_SECONDS = 20.0
_POLL_SECONDS = 0.01

_LINE_BYTES = 2**21
"""No resource is longer."""


@dataclass(frozen=True)
class Connection:
    """A cluster, as the user's kubeconfig has it.

    Attributes:
        cluster: The Kubernetes API.
        namespace: Of the kubeconfig's context.
        user: The name of the kubeconfig's user, for people.
        token: The user's bearer token; None: they have a certificate.
    """

    cluster: Cluster
    namespace: str
    user: str
    token: str | None


class SocketTransport:
    """Sends requests to a proxy that adds the credentials."""

    def __init__(self, socket: Path) -> None:
        self._session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket)))

    async def send(self, method: str, path: str, headers: Mapping[str, str], body: Json | None) -> Answer:
        """Send a request; see `Transport`."""
        data = json.dumps(body) if body is not None else None
        url = URL(f"http://localhost{path}", encoded=True)
        async with self._session.request(method, url, headers=headers, data=data) as response:
            return Answer(response.status, response.headers, await response.read())

    @asynccontextmanager
    async def lines(
        self, path: str, headers: Mapping[str, str], seconds: float
    ) -> AsyncIterator[tuple[int, AsyncIterable[bytes]]]:
        """Begin a GET that is answered line by line; see `Transport`."""
        url, timeout = URL(f"http://localhost{path}", encoded=True), aiohttp.ClientTimeout(total=seconds)
        async with self._session.get(url, headers=headers, timeout=timeout, read_bufsize=_LINE_BYTES) as response:
            yield response.status, response.content

    async def close(self) -> None:
        """End the connection."""
        await self._session.close()


@asynccontextmanager
async def connected(options: Sequence[str]) -> AsyncIterator[Connection]:
    """Connect for the length of a block.

    Args:
        options: Of kubectl, such as `--context=production`.

    Raises:
        ConfigurationError: There is no kubectl, or no kubeconfig that it can use.
        ClusterError: The API server does not answer.
    """
    program = shutil.which("kubectl")
    if program is None:
        raise ConfigurationError("kubectl is not in PATH: install it, for its way to the cluster is used")
    context = _context(program, options)
    with tempfile.TemporaryDirectory(prefix="campaignpool-") as folder:
        socket = Path(folder) / "api"
        command = [program, *options, "proxy", f"--unix-socket={socket}", "--append-server-path"]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
        try:
            await _listening(process, socket)
            cluster = Cluster(SocketTransport(socket))
            cluster.manager = MANAGER
            try:
                yield Connection(cluster, **context)
            finally:
                await cluster.close()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()


async def _listening(process: asyncio.subprocess.Process, socket: Path) -> None:
    """Wait until the proxy listens. Raises ClusterError."""
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not await _accepts(socket):
                if process.returncode is not None:
                    text = (await process.stderr.read()).decode() if process.stderr else ""
                    raise ClusterError(f"kubectl proxy ended: {text.strip()}")
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError as error:
        raise ClusterError(f"kubectl proxy does not listen after {_START_SECONDS:.0f} s") from error


async def _accepts(socket: Path) -> bool:
    """Return whether a connection to a socket is accepted; its file is there a moment before."""
    try:
        _, writer = await asyncio.open_unix_connection(socket)
    except OSError:
        return False
    writer.close()
    return True


def _context(program: str, options: Sequence[str]) -> dict[str, Any]:
    """Return namespace, user and token of the kubeconfig's context. Raises ConfigurationError."""
    command = [program, *options, "config", "view", "--raw", "--minify", "--output=json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (kubectl)
    if result.returncode != 0:
        raise ConfigurationError(f"kubectl cannot read its kubeconfig: {result.stderr.strip()}")
    view = json.loads(result.stdout)
    context = ((view.get("contexts") or [{}])[0]).get("context") or {}
    user = ((view.get("users") or [{}])[0]).get("user") or {}
    namespace = _option(options, "--namespace") or context.get("namespace") or "default"
    return {"namespace": namespace, "user": context.get("user") or "", "token": _token(user)}


def _option(options: Sequence[str], name: str) -> str | None:
    return next((option.partition("=")[2] for option in options if option.startswith(f"{name}=")), None)


def _token(user: Mapping[str, Any]) -> str | None:
    """Return the bearer token of a user of the kubeconfig; None: they have none. Raises ConfigurationError."""
    if user.get("token"):
        return str(user["token"])
    if user.get("tokenFile"):
        return Path(user["tokenFile"]).read_text().strip()
    if plugin := user.get("exec"):
        return _token_of_plugin(plugin)
    return None


def _token_of_plugin(plugin: Mapping[str, Any]) -> str | None:
    """Return the token that a credential plugin gives, as `client.authentication.k8s.io` says."""
    info = {"apiVersion": plugin.get("apiVersion"), "kind": "ExecCredential", "spec": {"interactive": False}}
    variables = {item["name"]: item["value"] for item in plugin.get("env") or ()}
    result = subprocess.run(  # noqa: S603 (as kubectl runs it)
        [plugin["command"], *(plugin.get("args") or ())],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables, "KUBERNETES_EXEC_INFO": json.dumps(info)},
    )
    if result.returncode != 0:
        raise ConfigurationError(f"the kubeconfig's credential plugin failed: {result.stderr.strip()}")
    token = (json.loads(result.stdout).get("status") or {}).get("token")
    return str(token) if token else None
