"""Pods as local processes: started in an environment of their own, watched, stopped, their output kept."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from campaignpool_local import watchdog
from campaignpool_local.environment import SourceMissingError, command_of, variables_of
from campaignpool_local.errors import bad_request
from campaignpool_local.objects import Registry
from campaignpool_local.store import Change, Key
from campaignpool_local.values import Json, stamp

PODS: Key = ("", "pods")
_SOURCES: tuple[Key, ...] = (("", "secrets"), ("", "configmaps"))
_LONGEST_LOG = 10 * 2**20
_START_ERROR = 128
_LAST_WORDS = 2048


class Log:
    """What a container has printed, up to a limit, and a signal that there is more."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.closed = False
        self._more = asyncio.Event()

    def add(self, text: bytes, *, last: bool = False) -> None:
        """Append to the log, or close it."""
        self.content += text[: max(0, _LONGEST_LOG - len(self.content))]
        self.closed = last
        self._more.set()
        self._more = asyncio.Event()

    async def follow(self, start: int) -> AsyncIterator[bytes]:
        """Give what comes from a position on until the container has ended."""
        while True:
            if len(self.content) > start:
                yield bytes(self.content[start:])
                start = len(self.content)
            elif self.closed:
                return
            else:
                await self._more.wait()


def is_runnable(pod: Json) -> bool:
    """Whether a pod is run here: it ends some day, and asks for no special node."""
    return pod["spec"]["restartPolicy"] != "Always" and not pod["spec"].get("nodeSelector")


def container_status(container: Json, state: Json, restarts: int = 0) -> Json:
    """The status of a container in this state."""
    running = "running" in state
    return {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "ready": running,
        "started": running,
        "restartCount": restarts,
        "lastState": {},
        "state": state,
    }


def ended_state(code: int, started: str, message: str = "", reason: str = "") -> Json:
    """The state of a container whose process has ended; a signal counts from 128 on, as in a shell."""
    exit_code = 128 - code if code < 0 else code
    return {
        "terminated": {
            "exitCode": exit_code,
            "reason": reason or ("Error" if exit_code else "Completed"),
            **({"message": message} if message else {}),
            "startedAt": started,
            "finishedAt": stamp(),
        }
    }


class PodRunner:
    """Runs each pod that is stored, until it ends or is deleted."""

    def __init__(self, registry: Registry, *, backoff: float) -> None:
        self._registry, self._store, self._backoff = registry, registry.store, backoff
        self._logs: dict[tuple[str, str], Log] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._groups: dict[str, set[int]] = {}
        self._sources_changed = asyncio.Event()
        self._watchdog: subprocess.Popen[str] | None = None
        self._store.listeners.append(self._notice)

    def _notice(self, key: Key, change: Change) -> None:
        if key in _SOURCES:
            self._sources_changed.set()
            self._sources_changed = asyncio.Event()
        if key != PODS:
            return
        pod, uid = change.object, change.object["metadata"]["uid"]
        if change.type == "ADDED" and is_runnable(pod):
            task = asyncio.get_running_loop().create_task(self._run(pod))
            self._tasks[uid] = task
            task.add_done_callback(lambda _: self._tasks.pop(uid, None))
        elif change.type == "DELETED":
            self._signal(uid, signal.SIGKILL)
            self._logs = {place: log for place, log in self._logs.items() if place[0] != uid}
            if uid in self._tasks and not self._groups.get(uid):
                self._tasks[uid].cancel()
        elif "deletionTimestamp" in pod["metadata"]:
            grace = pod["metadata"]["deletionGracePeriodSeconds"]
            self._signal(uid, signal.SIGTERM if grace else signal.SIGKILL)
            asyncio.get_running_loop().call_later(grace, self._signal, uid, signal.SIGKILL)

    def _signal(self, uid: str, number: signal.Signals) -> None:
        """Send a signal to all processes of a pod, and to their children."""
        for group in self._groups.get(uid, ()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)

    def _guard(self, line: str) -> None:
        """Tell the watchdog of a process group; it is started with the first one."""
        if self._watchdog is None:
            program = [sys.executable, "-I", "-S", watchdog.__file__]
            self._watchdog = subprocess.Popen(  # noqa: S603 - a file of this package
                program, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
            )
        assert self._watchdog.stdin is not None  # noqa: S101 - it was asked for
        self._watchdog.stdin.write(line)
        self._watchdog.stdin.flush()

    async def close(self) -> None:
        """Kill whatever runs."""
        tasks = list(self._tasks.values())
        for uid in list(self._groups):
            self._signal(uid, signal.SIGKILL)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._watchdog is not None:
            self._watchdog.communicate()

    # --- the life of one pod --------------------------------------------------------------------------------

    def _now(self, pod: Json) -> Json | None:
        """Give the present state of a pod, None if it is gone."""
        metadata = pod["metadata"]
        found = self._store.get(PODS, metadata["namespace"], metadata["name"])
        return found if found and found["metadata"]["uid"] == metadata["uid"] else None

    def _report(self, pod: Json, phase: str, statuses: list[Json], *, ended: bool = False) -> None:
        """Write the status of a pod."""
        current = self._now(pod)
        if current is None:
            return
        status = {**current["status"], "phase": phase, "containerStatuses": list(statuses)}
        status.setdefault("startTime", stamp())
        ready = "True" if statuses and all(each["ready"] for each in statuses) else "False"
        status["conditions"] = [{"type": "Ready", "status": ready, "lastTransitionTime": stamp()}]
        metadata = dict(current["metadata"])
        if ended and "deletionTimestamp" in metadata:
            metadata["deletionGracePeriodSeconds"] = 0
        spec = {**current["spec"], "nodeName": "campaignpool-local"}
        self._registry.write(PODS, {**current, "metadata": metadata, "spec": spec, "status": status})

    async def _run(self, pod: Json) -> None:
        containers: list[Json] = pod["spec"]["containers"]
        variables = [await self._variables(pod, container) for container in containers]
        uid = pod["metadata"]["uid"]
        self._groups[uid] = set()
        statuses = [container_status(each, {"running": {"startedAt": stamp()}}) for each in containers]

        async def run(number: int) -> None:
            container, restarts = containers[number], 0
            log = self._logs[uid, container["name"]] = Log()
            try:
                while True:
                    state = await self._process(pod, container, variables[number], log, statuses)
                    again = state["terminated"]["exitCode"] and pod["spec"]["restartPolicy"] == "OnFailure"
                    restarts += bool(again)
                    statuses[number] = container_status(container, state, restarts)
                    if not again or self._is_going(pod):
                        return
                    self._report(pod, "Running", statuses)
                    await asyncio.sleep(self._backoff * 2 ** (restarts - 1))
                    if self._is_going(pod):
                        return
                    statuses[number] = container_status(container, {"running": {"startedAt": stamp()}}, restarts)
            finally:
                log.add(b"", last=True)

        try:
            await asyncio.gather(*(run(number) for number in range(len(containers))))
        finally:
            self._groups.pop(uid, None)
        good = all(each["state"]["terminated"]["exitCode"] == 0 for each in statuses)
        self._report(pod, "Succeeded" if good else "Failed", statuses, ended=True)

    def _is_going(self, pod: Json) -> bool:
        current = self._now(pod)
        return current is None or "deletionTimestamp" in current["metadata"]

    async def _variables(self, pod: Json, container: Json) -> dict[str, str]:
        """Give the environment, once all of its sources are there."""
        namespace = pod["metadata"]["namespace"]
        while True:
            changed = self._sources_changed
            try:
                return variables_of(
                    pod, container, lambda plural, name: self._store.get(("", plural), namespace, name)
                )
            except SourceMissingError as error:
                waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": str(error)}}
                self._report(pod, "Pending", [container_status(container, waiting)])
            await changed.wait()

    async def _process(
        self, pod: Json, container: Json, variables: dict[str, str], log: Log, statuses: list[Json]
    ) -> Json:
        """Run a container once and give the state in which it ended."""
        uid, started = pod["metadata"]["uid"], stamp()
        command = command_of(container, variables)
        if not command:
            message = "a container needs a command here: what its image would run is not known"
            return ended_state(_START_ERROR, started, message, "StartError")
        interpreter = str(Path(sys.executable).parent)
        base = {key: os.environ[key] for key in ("LANG", "LC_ALL", "TZ") if key in os.environ}
        base["PATH"] = os.pathsep.join((interpreter, os.environ.get("PATH", os.defpath)))
        base |= {"HOME": tempfile.gettempdir(), "HOSTNAME": pod["metadata"]["name"]}
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                env={**base, **variables},
                cwd=container.get("workingDir") or tempfile.gettempdir(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return ended_state(_START_ERROR, started, f"exec: {error}", "StartError")
        self._groups[uid].add(process.pid)
        self._guard(f"+{process.pid}\n")
        if self._is_going(pod):
            self._signal(uid, signal.SIGKILL)  # deleted while it was about to start
        self._report(pod, "Running", statuses)
        try:
            code = await self._until_end(process, log)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # children go with the first process, as in a container
            self._groups[uid].discard(process.pid)
            self._guard(f"-{process.pid}\n")
        last_words = bytes(log.content[-_LAST_WORDS:]).decode(errors="replace")
        wanted = code and container["terminationMessagePolicy"] == "FallbackToLogsOnError"
        return ended_state(code, started, last_words if wanted else "")

    @staticmethod
    async def _until_end(process: asyncio.subprocess.Process, log: Log) -> int:
        """Read the output of a process until it ends."""

        async def read() -> None:
            assert process.stdout is not None  # noqa: S101 - it was asked for
            while text := await process.stdout.read(65536):
                log.add(text)

        reader = asyncio.ensure_future(read())
        code = await process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reader, 1)  # longer only if a child has left the group and keeps the pipe
        return code

    # --- logs -----------------------------------------------------------------------------------------------

    async def answer_log(self, request: web.Request, pod: Json) -> web.StreamResponse:
        """Answer `GET .../log`."""
        names = [each["name"] for each in pod["spec"]["containers"]]
        name = request.query.get("container") or names[0]
        if name not in names:
            raise bad_request(f"container {name} is not valid for pod {pod['metadata']['name']}")
        log = self._logs.get((pod["metadata"]["uid"], name), Log())
        start = 0
        if (lines := request.query.get("tailLines", "")).isdigit():
            kept = log.content.splitlines(keepends=True)[-int(lines) or len(log.content) :]
            start = len(log.content) - sum(len(line) for line in kept)
        if request.query.get("follow") != "true":
            return web.Response(body=bytes(log.content[start:]), headers={"Content-Type": "text/plain"})
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # the client went away
            async for text in log.follow(start):
                await response.write(text)
        return response
