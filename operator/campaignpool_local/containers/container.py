"""A container: what it runs, with which variables, as whom, and what is mounted into it; and how it starts.

It needs user namespaces. A machine that refuses them runs the bare process with the same variables, and says so.
"""

import functools
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_LAUNCHER = Path(__file__).parent / "launch.py"
_NAMESPACES = (
    shutil.which("unshare") or "unshare",
    "--user",
    "--map-root-user",
    "--mount",
    "--propagation",
    "private",
)
NOBODY = 65532  # the user and the group of images that are built to run without root
EMPTY = "/empty"  # the working directory of a container that names none
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mount:
    """A folder of this machine, and where the container sees it."""

    source: Path
    path: str
    read_only: bool = True


@dataclass(frozen=True)
class Container:
    """What runs in a container; without a `folder` its working directory is empty and cannot be written."""

    command: Sequence[str]
    environment: dict[str, str]
    user: int = NOBODY
    group: int = NOBODY
    folder: str = ""
    read_only: bool = False  # whether all of the file system is, but for the mounts
    mounts: Sequence[Mount] = field(default=())

    def start(self) -> list[str]:
        """Return the command that starts the container, once; it needs no variables."""
        return self._command(bare=bool(_refused()))

    def _command(self, *, bare: bool) -> list[str]:
        """Return the command, which finds its orders in a file: what a command line says, everybody can read."""
        with tempfile.NamedTemporaryFile("w", dir=_folder(), prefix="orders-", delete=False) as file:
            json.dump({**self._orders(), "bare": bare}, file)
        launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), file.name]
        return launcher if bare else [*_NAMESPACES, *launcher]

    def _orders(self) -> dict[str, object]:
        """Return what the launcher needs."""
        mounts = [
            {"source": str(mount.source), "path": mount.path, "read_only": mount.read_only} for mount in self.mounts
        ]
        return {
            "root": f"{_folder()}/root",
            "command": list(self.command),
            "environment": self.environment,
            "user": self.user,
            "group": self.group,
            "folder": self.folder or EMPTY,
            "empty": not self.folder,
            "read_only": self.read_only,
            "mounts": mounts,
        }


def path_variable() -> str:
    """Return the PATH of an image: the programs of this installation come first."""
    return os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="campaignpool-containers-")
    (Path(folder.name) / "root").mkdir()  # on which every container mounts a root of its own
    return folder


def _folder() -> str:
    return _temporary().name


@functools.cache
def refusal() -> str:
    """Return why this machine cannot start containers, or nothing."""
    command = Container([sys.executable, "-I", "-S", "-c", ""], {})._command(bare=False)  # noqa: SLF001 - its own
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    except FileNotFoundError:
        return "unshare (util-linux) is not installed"
    lines = result.stderr.strip().splitlines()
    return lines[-1] if result.returncode and lines else ""


@functools.cache
def _refused() -> bool:
    if why := refusal():
        _log.warning("containers run as plain processes of this user, as this machine refuses namespaces: %s", why)
    return bool(why)
