"""Become a container: a program of its own, which runs as root of new user and mount namespaces.

It reads its orders from a file that it removes, builds the file system, takes on the user, and runs the command.
The root of the container is a tmpfs with all of the host's folders in it, so that programs are found where they are.
"""

import ctypes
import json
import os
import sys
from typing import Any

_RDONLY, _REMOUNT, _BIND, _MOVE, _REC = 1, 32, 4096, 8192, 16384  # flags of mount(2)
_NEWUSER = 0x10000000
_NO_NEW_PRIVS = 38
_MOUNT_SETATTR, _AT_RECURSIVE, _FDCWD = 442, 0x8000, -100
_own: set[int] = set()  # devices of the tmpfs that were mounted here: nothing is created on the host's file systems
_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str | None, target: str, kind: str | None = None, flags: int = 0) -> None:
    words = (item.encode() if item else None for item in (source, target, kind))
    _checked(_libc.mount(*words, flags, None), f"mount {source} on {target}")


def _protect(path: str, *, read_only: bool) -> None:
    """Make a mount and all below it read-only, or writable again."""

    class Attributes(ctypes.Structure):
        _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "user")]

    wanted = Attributes(_RDONLY, 0, 0, 0) if read_only else Attributes(0, _RDONLY, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(wanted))
    where = (ctypes.c_int(_FDCWD), ctypes.c_char_p(path.encode()), ctypes.c_uint(_AT_RECURSIVE))
    _checked(_libc.syscall(ctypes.c_long(_MOUNT_SETATTR), *where, ctypes.byref(wanted), size), f"protect {path}")


def _mirror(source: str, target: str) -> None:
    """Mount a tmpfs that shows what is in a folder, so that more can be put into it."""
    before = os.open(source, os.O_RDONLY)  # what is mounted there hides it
    _mount("tmpfs", target, "tmpfs")
    _own.add(os.stat(target).st_dev)
    for name in os.listdir(before):
        there, here = f"/proc/self/fd/{before}/{name}", os.path.join(target, name)
        if os.path.islink(there):
            os.symlink(os.readlink(there), here)
        elif os.path.isdir(there):
            os.mkdir(here)
            _mount(there, here, flags=_BIND | _REC)
        elif os.path.isfile(there):
            os.close(os.open(here, os.O_CREAT))
            _mount(there, here, flags=_BIND)
    os.close(before)


def _place(root: str, path: str) -> str:
    """Return where a path of the container is, with all folders on the way to it."""
    at = root
    for step in path.strip("/").split("/"):
        inner = os.path.join(at, step)
        if os.path.islink(inner):
            link = os.readlink(inner)
            inner = os.path.join(root, link.lstrip("/")) if link.startswith("/") else os.path.join(at, link)
        if not os.path.isdir(inner):
            if os.stat(at).st_dev not in _own:
                _mirror(at, at)
            os.mkdir(inner)
        at = inner
    return at


def _become(user: int, group: int) -> None:
    """Take on a user by a namespace in which it is the only one; privileges end with the next program."""
    outer_user, outer_group = os.geteuid(), os.getegid()
    _checked(_libc.unshare(_NEWUSER), "unshare")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {outer_user} 1"),
        ("gid_map", f"{group} {outer_group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    _checked(_libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def _build(orders: dict[str, Any]) -> None:
    """Make the file system of the container that of this process."""
    root = orders["root"]
    _mirror("/", root)
    folder = _place(root, orders["folder"])
    if orders["empty"]:
        _mount("tmpfs", folder, "tmpfs")
        _mount("tmpfs", folder, None, _REMOUNT | _BIND | _RDONLY)
    mounts = sorted(orders["mounts"], key=lambda mount: str(mount["path"]))
    targets = [_place(root, mount["path"]) for mount in mounts]
    if orders["read_only"]:
        _protect(root, read_only=True)
        for item in ("proc", "dev"):
            _protect(os.path.join(root, item), read_only=False)
    for mount, target in zip(mounts, targets, strict=True):
        _mount(mount["source"], target, flags=_BIND | _REC)
        if mount["read_only"]:
            _mount(None, target, None, _REMOUNT | _BIND | _RDONLY)
    os.chdir(root)
    _mount(root, "/", flags=_MOVE)  # a chroot alone would refuse the next namespace
    os.chroot(".")
    os.chdir(orders["folder"])


def main() -> None:
    """Read the orders, build the container unless the machine refuses that, and become its process."""
    with open(sys.argv[1]) as file:
        orders = json.load(file)
    os.unlink(sys.argv[1])
    if not orders["bare"]:
        _build(orders)
        _become(orders["user"], orders["group"])
    command = orders["command"]
    os.execvpe(command[0], command, orders["environment"])  # noqa: S606 - what it is for


if __name__ == "__main__":
    main()
