"""Pods as local processes: started in the environment that they declare, watched, stopped, their output kept."""

import asyncio
import base64
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from campaignpool_local.guard import end_with_us
from campaignpool_local.jobs import has_ended
from campaignpool_local.objects import Registry
from campaignpool_local.resources import PODS
from campaignpool_local.store import Change, Store, name_of
from campaignpool_local.values import Json, json_path, stamp

_LAST_WORDS = 2048
_POLL_SECONDS = 0.05
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.-][\w.-]*)\)")
_SOURCES = {"secret": "secrets", "configMap": "configmaps"}


class SourceMissingError(Exception):
    """A Secret or ConfigMap, or a key in one, is not there (yet): the container has to wait."""


def expand(text: str, variables: dict[str, str]) -> str:
    """Put variables in the place of `$(NAME)`; `$$` is a dollar, and what is unknown stays as it is."""
    return _REFERENCE.sub(lambda found: "$" if found[1] is None else variables.get(found[1], found[0]), text)


def _content(source: Json, form: str, pod: Json, store: Store) -> dict[str, str]:
    """Give what is in the Secret or the ConfigMap that a source refers to, if it does."""
    for kind, plural in _SOURCES.items():
        if reference := source.get(kind + form):
            found = store.get(("", plural), pod["metadata"]["namespace"], reference["name"])
            data = (found or {}).get("data") or {}
            wanted = [reference["key"]] if "key" in reference else list(data)
            if found is None and not reference.get("optional"):
                raise SourceMissingError(f'{kind.lower()} "{reference["name"]}" not found')
            if not (set(wanted) <= data.keys() or reference.get("optional")):
                raise SourceMissingError(f"couldn't find key {reference['key']} in {kind} {reference['name']}")
            texts = {key: data[key] for key in wanted if key in data}
            return {key: base64.b64decode(texts[key]).decode() for key in texts} if kind == "secret" else texts
    return {}


def variables_of(pod: Json, store: Store) -> dict[str, str]:
    """Give the variables that the container declares, or raise `SourceMissingError`."""
    container, variables = pod["spec"]["containers"][0], dict[str, str]()
    for source in container.get("envFrom") or ():
        found = _content(source, "Ref", pod, store)
        variables |= {source.get("prefix", "") + key: text for key, text in found.items()}
    for each in container.get("env") or ():
        name, source = each["name"], each.get("valueFrom") or {}
        if not source:
            variables[name] = expand(each.get("value") or "", variables)
        elif "fieldRef" in source:
            variables[name] = str(json_path(pod, source["fieldRef"]["fieldPath"]) or "")
        variables.update((name, text) for text in _content(source, "KeyRef", pod, store).values())
    return variables


class PodRunner:
    """Runs the first container of each pod that ends some day, until it ends or is deleted."""

    def __init__(self, registry: Registry) -> None:
        self._registry, self._store = registry, registry.store
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
        """Start the container of a pod as soon as its variables are there, and report how that goes."""
        variables = None
        while variables is None:
            try:
                variables = variables_of(pod, self._store)
            except SourceMissingError as error:
                self._report(pod, "Pending", waiting={"reason": "CreateContainerConfigError", "message": str(error)})
                await asyncio.sleep(_POLL_SECONDS)
        state: Json = {"exitCode": 128, "reason": "StartError", "startedAt": stamp()}
        try:
            state["exitCode"] = code = await self._process(pod, variables, state["startedAt"])
            state["reason"] = "Error" if code else "Completed"
            if code and pod["spec"]["containers"][0].get("terminationMessagePolicy") == "FallbackToLogsOnError":
                state["message"] = self._text(pod)[-_LAST_WORDS:].decode(errors="replace")
        except OSError as error:
            state["message"] = f"exec: {error}"
        phase = "Failed" if state["exitCode"] else "Succeeded"
        self._report(pod, phase, terminated={**state, "finishedAt": stamp()})

    async def _process(self, pod: Json, variables: dict[str, str], started: str) -> int:
        """Run the container and give its exit code; a signal counts from 128 on, as in a shell."""
        uid, folder, container = pod["metadata"]["uid"], tempfile.gettempdir(), pod["spec"]["containers"][0]
        if not container.get("command"):
            raise OSError("a container needs a command here: what its image would run is not known")
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
        with self._log(pod).open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(expand(word, variables) for word in (*container["command"], *(container.get("args") or ()))),
                env={"PATH": path, "HOME": folder, "HOSTNAME": pod["metadata"]["name"], **variables},
                cwd=container.get("workingDir") or folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._groups[uid] = process.pid
        end_with_us(process.pid, signal.SIGKILL)
        try:
            self._report(pod, "Running", running={"startedAt": started})
            code = await process.wait()
        finally:
            self._signal(uid, signal.SIGKILL)  # children go with the first process, as in a container
            await process.wait()
            del self._groups[uid]
            end_with_us(process.pid, 0)
        return 128 - code if code < 0 else code

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
