"""Serve a Kubernetes API emulator in the foreground.

It looks like an API server and runs Jobs as processes of this machine, as you. It is for demonstrations and tests,
not a cluster: it keeps everything in memory, listens on the loopback interface alone, and lets in who knows the
address in its kubeconfig.
"""

import argparse
import asyncio
import signal
from pathlib import Path

from campaignpool_local.emulator import Emulator


async def _serve(port: int, kubeconfig: Path, backoff: float) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Emulator(port, backoff=backoff) as emulator:
        emulator.kubeconfig(kubeconfig)
        print("The emulator is running; stop it with Ctrl-C\n  export KUBECONFIG=", kubeconfig, sep="", flush=True)  # noqa: T201 - a command
        await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m campaignpool_local", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port of 127.0.0.1 to listen on (default: a free one)")
    place = Path(".local/kubeconfig")
    parser.add_argument("--kubeconfig", type=Path, default=place, help="where to write it (%(default)s)")
    parser.add_argument("--backoff", type=float, default=1.0, help="seconds before a Job's retry, 1 at most")
    asyncio.run(_serve(**vars(parser.parse_args())))
