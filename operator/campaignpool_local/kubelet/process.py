"""One container as a process: what stops it, and how its end is reported."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from campaignpool_local.admission.pods import quantity
from campaignpool_local.containers.container import Container
from campaignpool_local.containers.memory import resident
from campaignpool_local.guard import end_with_us
from campaignpool_local.values import Json, stamp

_POLL_SECONDS = 0.05
_LAST_WORDS = 2048
_START_ERROR = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed:"
    " unable to start container process: "
)


def cannot_start(container: Container) -> str:
    """Return why the command of a container cannot be started, or nothing."""
    if not container.command:
        return "no command specified"  # what the image would run is not known here
    program = container.command[0]
    if "/" not in program:
        result = shutil.which(program, path=container.environment["PATH"])
        return "" if result else f'exec: "{program}": executable file not found in $PATH'
    if not Path(program).exists():
        return f'exec: "{program}": stat {program}: no such file or directory'
    return "" if os.access(program, os.X_OK) else f'exec: "{program}": permission denied'


class Process:
    """A container that runs, or ran: `state` is what its pod reports of it, and `changed` is called with each."""

    def __init__(self, spec: Json, log: Path, changed: Callable[[], None]) -> None:
        self.spec, self.log, self._changed = spec, log, changed
        self.state: Json = {}
        self._leader = 0  # the process that all others of the container descend from

    def set(self, **state: Json) -> None:
        """Change the state."""
        self.state = dict(state)
        self._changed()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all processes of the container that are still there."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._leader:
                os.killpg(self._leader, number)

    async def run(self, container: Container) -> None:
        """Run the container to its end."""
        ended: Json = {"exitCode": 128, "reason": "StartError", "startedAt": "1970-01-01T00:00:00Z"}
        if why := cannot_start(container):
            ended["message"] = f"{_START_ERROR}{why}: unknown"
        else:
            ended["startedAt"] = stamp()
            ended["exitCode"], ended["reason"] = await self._process(container, ended["startedAt"])
            if ended["exitCode"] and self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
                ended["message"] = self.log.read_bytes()[-_LAST_WORDS:].decode(errors="replace")
        self.set(terminated={**ended, "finishedAt": stamp()})

    async def _process(self, container: Container, started: str) -> tuple[int, str]:
        """Run a container; return its exit code, where a signal counts from 128 on as in a shell, and the reason."""
        most = (self.spec["resources"].get("limits") or {}).get("memory")
        with self.log.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *container.start(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._leader = process.pid
        end_with_us(process.pid, signal.SIGKILL)
        killed = asyncio.create_task(self._watch_memory(most)) if most else None
        try:
            self.set(running={"startedAt": started})
            code = await process.wait()
        finally:
            self.signal(signal.SIGKILL)  # children go with the first process, as in a container
            await process.wait()
            end_with_us(process.pid, 0)
            self._leader = 0
            out_of_memory = killed is not None and killed.done()
            if killed is not None:
                killed.cancel()
        if out_of_memory:
            return 128 + signal.SIGKILL, "OOMKilled"
        code = 128 - code if code < 0 else code
        return code, "Error" if code else "Completed"

    async def _watch_memory(self, limit: str) -> None:
        """Kill the container once its processes hold more memory than it may."""
        while resident(self._leader) <= quantity(limit):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(_POLL_SECONDS)
        self.signal(signal.SIGKILL)
