"""Kill the processes of pods when the emulator is gone, in whatever way it went.

A process of its own, started with ``python -I -S``, that reads which process groups there are (``+PGID``) and which
have ended (``-PGID``). Even ``kill -9`` closes the pipe, and then all groups that are left are killed: the children
of children too, which no signal at the death of a parent would reach.
"""

import contextlib
import os
import signal
import sys

if __name__ == "__main__":
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
