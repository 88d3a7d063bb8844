"""Become another program, tied to the process that asked for it.

Run as a script, ``tether.py PARENT UID GID PROGRAM [ARGUMENT ...]``: gives up root for UID and GID, arranges
that the kernel interrupts PROGRAM when the process PARENT is gone in whatever way (``kill -9`` included), and
becomes it. A script of its own and not a ``preexec_fn``, for that runs Python between fork and exec, which
may deadlock in a process with threads.

Only the standard library is used, so that ``python -I -S`` starts it in some 20 ms. The tie is Linux's
``PR_SET_PDEATHSIG``; elsewhere the program starts untied.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Never returns: becomes the program, or exits with 1 when the parent was gone before.

    Args:
        arguments: PARENT's process id, UID and GID to run as (-1: no change), PROGRAM and its arguments.

    Raises:
        OSError: The ids may not be taken, or the program cannot be run.
    """
    parent, uid, gid = (int(word) for word in arguments[:3])
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        # After the ids: the kernel forgets the wish when they change. SIGINT, for Postgres takes it as an
        # order for a fast and clean end.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
    if os.getppid() != parent:  # it was gone before the tie was made
        sys.exit(1)
    os.execv(arguments[3], arguments[3:])  # noqa: S606 (there is no shell to be had: that is the point)


if __name__ == "__main__":
    main(sys.argv[1:])
