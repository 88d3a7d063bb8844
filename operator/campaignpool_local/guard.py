"""Let other processes end when this one is gone, in whatever way it went.

Even ``kill -9`` closes a pipe. At its other end this module waits as a program of its own, and then signals all
groups of processes that were named: so it reaches the children of children too.
"""

import atexit
import contextlib
import os
import subprocess
import sys
from functools import cache


@cache
def _guard() -> subprocess.Popen[bytes]:
    """Start the program, once in this process."""
    program = [sys.executable, "-I", "-S", __file__]
    guard = subprocess.Popen(program, stdin=subprocess.PIPE, bufsize=0, start_new_session=True)  # noqa: S603 - ours
    atexit.register(_dismiss, guard)
    return guard


def _dismiss(guard: subprocess.Popen[bytes]) -> None:
    """Close its pipe and wait for its end: a process that ends in order leaves no process behind."""
    with contextlib.suppress(BrokenPipeError, subprocess.TimeoutExpired):
        guard.communicate(timeout=5)


def end_with_us(group: int, number: int) -> None:
    """Have this signal sent to a group of processes when we are gone; 0, which is none, takes that back."""
    if pipe := _guard().stdin:
        pipe.write(b"%d %d\n" % (group, number))


if __name__ == "__main__":
    wanted: dict[int, int] = {}
    for line in sys.stdin:
        of_whom, what = map(int, line.split())
        wanted[of_whom] = what
    for of_whom, what in wanted.items():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(of_whom, what)
