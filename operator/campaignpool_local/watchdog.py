"""Kill the processes of pods when the emulator is gone, in whatever way it went.

A process of its own, started with ``python -I -S``, that reads from the emulator which process groups there are
(``+PGID``) and which have ended (``-PGID``). When the pipe closes, for even ``kill -9`` closes it, all groups
that are left are killed. Unlike a signal at the death of the parent, that reaches the children of children too.
"""

import contextlib
import os
import signal
import sys


def main() -> None:
    """Read until the emulator is gone, then kill what it left."""
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
