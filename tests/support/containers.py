"""Processes as a container runs them: a numeric user without a passwd entry, and only the given variables."""

import functools
import os
import subprocess
import sys

_FOREIGN = ("unshare", "--user", "--map-user=65532", "--map-group=65532")


@functools.cache
def refusal() -> str:
    """Return why this machine cannot run a process as a foreign user, or nothing."""
    try:
        result = subprocess.run([*_FOREIGN, sys.executable, "-c", ""], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unshare (util-linux) is not installed"
    return result.stderr.strip()


def as_foreign_user(*command: str) -> list[str]:
    """Return `command` run as uid 65532, which has no passwd entry; unchanged where this machine refuses that."""
    return list(command) if refusal() else [*_FOREIGN, *command]


def bare_environment(**variables: str) -> dict[str, str]:
    """Return the variables of a container: a PATH and what is given; neither HOME nor USER."""
    return {"PATH": os.environ["PATH"], **variables}
