"""The command `dashboard`: the page on this machine, with the rights of the kubeconfig's user."""

import argparse
import asyncio
import secrets
import sys

from campaignpool.cli.common import DONE, Subcommands, print_lines
from campaignpool_kubectl.options import command, of_kubectl

_DASHBOARD = """\
Serve the dashboard on this machine, until interrupted: all pools, one pool with what is wrong
and what to do, its size, and the actions, with your rights. It listens on the loopback
interface only. Its address holds a secret: a person who knows it acts with your rights.

examples:
  kubectl campaignpool dashboard
  kubectl campaignpool dashboard --context production --port 8090
"""


def add(areas: Subcommands) -> None:
    """Add the command."""
    parser = command(areas, "dashboard", "serve the dashboard on this machine", _DASHBOARD, _dashboard)
    parser.add_argument("--port", type=int, default=0, metavar="N", help="its port (default: a free one)")


async def _dashboard(arguments: argparse.Namespace) -> int:
    from campaignpool_kubectl.kubectl import connected  # noqa: PLC0415 (other commands do not need them)
    from campaignpool_kubectl.laptop import Laptop, OneViewer  # noqa: PLC0415
    from campaignpool_kubectl.source import Source  # noqa: PLC0415
    from campaignpool_operator.dashboard.hub import Hub  # noqa: PLC0415
    from campaignpool_operator.dashboard.mirror import Mirror  # noqa: PLC0415
    from campaignpool_operator.dashboard.server import DashboardServer  # noqa: PLC0415

    async with connected(of_kubectl(arguments)) as connection:
        backend = Laptop(connection, Source(connection, arguments.operator))
        root = f"/{secrets.token_urlsafe(24)}/"
        hub, viewers = Hub(), OneViewer(connection.user)
        mirror = Mirror(connection.cluster, (), hub.changed)
        mirror.start()
        server = DashboardServer(backend, viewers, hub, root=root, signs_in=False)
        port = await server.start("127.0.0.1", arguments.port)
        server.accept((f"127.0.0.1:{port}", f"localhost:{port}"))
        print_lines(f"http://127.0.0.1:{port}{root}")
        sys.stdout.flush()
        try:
            await asyncio.Event().wait()
        finally:
            await server.close()
            await mirror.close()
    return DONE
