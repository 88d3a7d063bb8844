"""Pods as local processes: started in the environment that they declare, watched, stopped, their output kept."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from campaignpool_local.admission.pods import quantity
from campaignpool_local.containers.container import NOBODY, Container, path_variable
from campaignpool_local.containers.memory import resident
from campaignpool_local.containers.volumes import VolumeMissingError, mounts_of
from campaignpool_local.environment import SourceMissingError, expand, variables_of
from campaignpool_local.guard import end_with_us
from campaignpool_local.jobs import has_ended
from campaignpool_local.objects import Registry
from campaignpool_local.resources import PODS
from campaignpool_local.store import Change, name_of
from campaignpool_local.values import Json, stamp

_LAST_WORDS = 2048
_POLL_SECONDS = 0.05
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
        found = shutil.which(program, path=container.environment["PATH"])
        return "" if found else f'exec: "{program}": executable file not found in $PATH'
    if not Path(program).exists():
        return f'exec: "{program}": stat {program}: no such file or directory'
    return "" if os.access(program, os.X_OK) else f'exec: "{program}": permission denied'


class PodRunner:
    """Runs the first container of each pod that ends some day, until it ends or is deleted."""

    def __init__(self, registry: Registry) -> None:
        self._registry, self._store = registry, registry.store
        self.service: dict[str, str] = {}  # the variables by which containers find the API
        self._logs = tempfile.TemporaryDirectory(prefix="campaignpool-logs-")
        self._tasks: dict[str, asyncio.Task[None]] = {}  # these and the groups of processes by the uid of the pod
        self._groups: dict[str, int] = {}
        self._ending: set[asyncio.Task[None]] = set()  # of pods that are gone
        self._store.listeners.append(self._notice)

    def _notice(self, change: Change) -> None:
        pod, metadata, loop = change.object, change.object["metadata"], asyncio.get_running_loop()
        if change.key != PODS:
            return
        if change.type == "ADDED" and pod["spec"]["restartPolicy"] != "Always":
            self._tasks[metadata["uid"]] = loop.create_task(self._run(pod))
        elif change.type == "DELETED":
            if task := self._tasks.pop(metadata["uid"], None):
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)
                task.cancel()
            self._log(pod).unlink(missing_ok=True)
        elif "deletionTimestamp" in metadata:
            self._signal(metadata["uid"], signal.SIGTERM)
            loop.call_later(metadata["deletionGracePeriodSeconds"], self._signal, metadata["uid"], signal.SIGKILL)

    def _signal(self, uid: str, number: signal.Signals) -> None:
        """Send a signal to all processes of a pod that are still there."""
        with contextlib.suppress(ProcessLookupError, PermissionError, KeyError):
            os.killpg(self._groups[uid], number)

    async def close(self) -> None:
        """Kill whatever runs, and wait for its end."""
        self._store.listeners.remove(self._notice)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), *self._ending, return_exceptions=True)
        self._logs.cleanup()

    def _now(self, pod: Json) -> Json | None:
        """Give the present state of a pod, None if it is gone."""
        found = self._store.get(PODS, *name_of(pod))
        return found if found and found["metadata"]["uid"] == pod["metadata"]["uid"] else None

    def _report(self, pod: Json, phase: str, **state: Json) -> None:
        """Write the status of a pod, if it is still there."""
        if current := self._now(pod):
            container, running = pod["spec"]["containers"][0], "running" in state
            status = {"name": container["name"], "image": container.get("image", ""), "imageID": ""}
            status |= {"restartCount": 0, "ready": running, "started": running, "state": state}
            whole = {"startTime": stamp(), **current["status"], "phase": phase, "containerStatuses": [status]}
            gone = "terminated" in state and "deletionTimestamp" in current["metadata"]
            metadata = current["metadata"] | ({"deletionGracePeriodSeconds": 0} if gone else {})
            if whole != current["status"]:
                self._registry.write(PODS, {**current, "status": whole, "metadata": metadata})

    async def _run(self, pod: Json) -> None:
        """Start the container of a pod as soon as its variables and volumes are there, and report how that goes."""
        ready = None
        while ready is None:
            try:
                ready = self._container(pod)
            except SourceMissingError as error:
                self._report(pod, "Pending", waiting={"reason": "CreateContainerConfigError", "message": str(error)})
                await asyncio.sleep(_POLL_SECONDS)
            except VolumeMissingError:
                self._report(pod, "Pending", waiting={"reason": "ContainerCreating"})
                await asyncio.sleep(_POLL_SECONDS)
        state: Json = {"exitCode": 128, "reason": "StartError", "startedAt": "1970-01-01T00:00:00Z"}
        if why := cannot_start(ready):
            state["message"] = f"{_START_ERROR}{why}: unknown"
        else:
            state["startedAt"] = stamp()
            state["exitCode"], state["reason"] = await self._process(pod, ready, state["startedAt"])
            policy = pod["spec"]["containers"][0].get("terminationMessagePolicy")
            if state["exitCode"] and policy == "FallbackToLogsOnError":
                state["message"] = self._text(pod)[-_LAST_WORDS:].decode(errors="replace")
        phase = "Failed" if state["exitCode"] else "Succeeded"
        self._report(pod, phase, terminated={**state, "finishedAt": stamp()})
        shutil.rmtree(self._volumes(pod), ignore_errors=True)

    def _container(self, pod: Json) -> Container:
        """Return the container of a pod with all that it needs; raise an error for what is missing."""
        spec, metadata = pod["spec"]["containers"][0], pod["metadata"]
        variables = {"PATH": path_variable(), "HOSTNAME": metadata["name"], **self.service}
        variables |= variables_of(pod, spec, self._store)
        command = [expand(word, variables) for word in (*(spec.get("command") or ()), *(spec.get("args") or ()))]
        security = {**(pod["spec"].get("securityContext") or {}), **(spec.get("securityContext") or {})}
        return Container(
            command,
            variables,
            user=security.get("runAsUser", NOBODY),
            group=security.get("runAsGroup", 0 if "runAsUser" in security else NOBODY),
            folder=spec.get("workingDir", ""),
            read_only=bool(security.get("readOnlyRootFilesystem")),
            mounts=mounts_of(pod, spec, self._store, self._volumes(pod)),
        )

    async def _process(self, pod: Json, container: Container, started: str) -> tuple[int, str]:
        """Run a container; give its exit code, where a signal counts from 128 on as in a shell, and the reason."""
        uid, limits = pod["metadata"]["uid"], pod["spec"]["containers"][0]["resources"].get("limits") or {}
        with self._log(pod).open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *container.start(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._groups[uid] = process.pid
        end_with_us(process.pid, signal.SIGKILL)
        killed = (
            asyncio.create_task(self._watch_memory(process.pid, limits["memory"])) if "memory" in limits else None
        )
        try:
            self._report(pod, "Running", running={"startedAt": started})
            code = await process.wait()
        finally:
            self._signal(uid, signal.SIGKILL)  # children go with the first process, as in a container
            await process.wait()
            del self._groups[uid]
            end_with_us(process.pid, 0)
            out_of_memory = killed is not None and killed.done()
            if killed is not None:
                killed.cancel()
        if out_of_memory:
            return 128 + signal.SIGKILL, "OOMKilled"
        code = 128 - code if code < 0 else code
        return code, "Error" if code else "Completed"

    @staticmethod
    async def _watch_memory(leader: int, limit: str) -> None:
        """Kill a container once its processes hold more memory than it may."""
        while resident(leader) <= quantity(limit):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(_POLL_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGKILL)

    def _volumes(self, pod: Json) -> Path:
        return Path(self._logs.name) / f"{pod['metadata']['uid']}-volumes"

    def _log(self, pod: Json) -> Path:
        return Path(self._logs.name) / str(pod["metadata"]["uid"])

    def _text(self, pod: Json) -> bytes:
        return self._log(pod).read_bytes() if self._log(pod).exists() else b""

    async def log(self, pod: Json, lines: int | None, *, follow: bool) -> AsyncIterator[bytes]:
        """Give what a pod has printed, the last so many lines of it, and then what it prints until it has ended."""
        printed = self._text(pod).splitlines(keepends=True)
        sent = sum(map(len, printed[: max(0, len(printed) - lines)])) if lines is not None else 0
        while True:
            current = self._now(pod)
            yield (text := self._text(pod)[sent:])
            sent += len(text)
            if not follow or current is None or has_ended(current):
                return
            await asyncio.sleep(_POLL_SECONDS)
