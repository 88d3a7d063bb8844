"""Serve a Kubernetes API emulator in the foreground: for demonstrations and tests, not a cluster.

It keeps everything in memory, runs Jobs as processes of this machine, as you, listens on the loopback interface
alone, and lets in who knows the address in its kubeconfig.
"""

import argparse
import signal
import sys
from pathlib import Path

from campaignpool_local.emulator import emulator_thread

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m campaignpool_local", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port of 127.0.0.1 to listen on (default: a free one)")
    parser.add_argument("--kubeconfig", type=Path, default=".local/kubeconfig", help="to write (%(default)s)")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit())
    with emulator_thread(options.port) as running:
        path = running.kubeconfig(options.kubeconfig)
        print("The emulator is running; stop it with Ctrl-C\n  export KUBECONFIG=", path, sep="", flush=True)  # noqa: T201 - a command
        signal.pause()
