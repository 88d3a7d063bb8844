"""Serve the emulator in the foreground until Ctrl-C: `python -m campaignpool_local [KUBECONFIG]`.

It is for demonstrations and tests, not a cluster: it keeps everything in memory, runs Jobs as processes of this
machine, as you, listens on the loopback interface alone, and lets in who knows the address in its kubeconfig.
"""

import signal
import sys
from pathlib import Path

from campaignpool_local.emulator import emulator_thread

if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit())
    with emulator_thread() as running:
        path = running.kubeconfig(Path([*sys.argv, ".local/kubeconfig"][1]))
        print("The emulator is running; stop it with Ctrl-C\n  export KUBECONFIG=", path, sep="", flush=True)  # noqa: T201 - a command
        signal.pause()
