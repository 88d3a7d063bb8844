"""Serve the emulator in the foreground: `python -m campaignpool_local`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from pathlib import Path

from campaignpool_local.emulator import Emulator

_EPILOG = """\
It looks like a Kubernetes API server and runs Jobs as processes of this machine, as you. It is an emulator for
demonstrations and tests, not a cluster: it keeps everything in memory, listens on the loopback interface alone,
and lets in who knows the address in its kubeconfig.

  python -m campaignpool_local &
  export KUBECONFIG=.local/kubeconfig
  kubectl apply -f crds/
  kubectl get campaignpools --watch
"""


async def _serve(port: int, kubeconfig: Path, backoff: float) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Emulator(port, backoff=backoff) as emulator:
        emulator.kubeconfig(kubeconfig)
        sys.stdout.write("Kubernetes API emulator is running; stop it with Ctrl-C\n")
        sys.stdout.write(f"  export KUBECONFIG={kubeconfig}\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> None:
    """Parse the command line and serve until a signal comes."""
    parser = argparse.ArgumentParser(
        prog="python -m campaignpool_local",
        description="Serve the Kubernetes API emulator of campaignpool in the foreground.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="port of 127.0.0.1 to listen on (default: a free one)")
    parser.add_argument(
        "--kubeconfig",
        type=Path,
        default=Path(".local/kubeconfig"),
        metavar="PATH",
        help="where to write the kubeconfig (default: %(default)s)",
    )
    parser.add_argument(
        "--backoff",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="wait before a Job's first retry (default: %(default)s; a real cluster waits 10)",
    )
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(options.port, options.kubeconfig, options.backoff))


if __name__ == "__main__":
    main()
