"""The dashboard of the demo: the operator's page, served by this process as the cluster's administrator."""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from campaignpool_operator.cluster.connect import connect
from campaignpool_operator.dashboard.backend import InCluster
from campaignpool_operator.dashboard.identity import Identity, Proxy, Viewer
from campaignpool_operator.dashboard.reading import followed
from campaignpool_operator.dashboard.server import DashboardServer


class _Administrator(Identity):
    """Everybody who knows the address may do everything: the cluster is this process's own."""

    async def viewer(self, headers: Mapping[str, str], peer: str | None) -> Viewer:  # noqa: ARG002 (as others take it)
        """Return the administrator."""
        return Viewer({"username": "you, as the demo's administrator"})

    async def may(self, viewer: Viewer, verb: str, resource: str, namespace: str, name: str = "") -> bool:  # noqa: ARG002
        """Return True."""
        return True


@asynccontextmanager
async def dashboard(kubeconfig: Path) -> AsyncIterator[str]:
    """Serve the dashboard of a cluster for the length of a block, and yield its address, which holds a secret."""
    cluster = await connect(kubeconfig)
    identity, (reader, hub) = _Administrator(cluster, Proxy()), followed(cluster, ())
    root = f"/{secrets.token_urlsafe(16)}/"
    server = DashboardServer(InCluster(reader, identity), identity, hub, root=root, signs_in=False)
    port = await server.start("127.0.0.1", 0)
    server.accept((f"127.0.0.1:{port}", f"localhost:{port}"))
    try:
        yield f"http://127.0.0.1:{port}{root}"
    finally:
        await server.close()
        await reader.close()
        await cluster.close()
