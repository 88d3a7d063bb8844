"""The runner of pods: takes each through scheduling, image, variables and volumes to its processes, and reports."""

import asyncio
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from campaignpool_local.admission.pods import quantity
from campaignpool_local.containers.container import NOBODY, Container, path_variable
from campaignpool_local.containers.volumes import VolumeMissingError, mounts_of
from campaignpool_local.environment import SourceMissingError, expand, variables_of
from campaignpool_local.jobs import has_ended
from campaignpool_local.kubelet.images import Images
from campaignpool_local.kubelet.process import Process
from campaignpool_local.kubelet.scheduling import NODE, NODES, node, why_unschedulable
from campaignpool_local.kubelet.status import condition_of, pod_status
from campaignpool_local.objects import Registry
from campaignpool_local.recorder import Recorder
from campaignpool_local.resources import PODS, find
from campaignpool_local.store import Change, name_of
from campaignpool_local.values import ApiError, Json, now

_POLL_SECONDS = 0.05
_RETRY_SECONDS = 0.5  # between attempts to give a container what it lacks; a real node takes ten and more


class _Pod:
    """A pod that runs here: its containers, by name."""

    def __init__(self, pod: Json) -> None:
        self.pod = pod
        self.processes: dict[str, Process] = {}
        self.evicted = ""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all containers."""
        for process in self.processes.values():
            process.signal(number)


class PodRunner:
    """Runs each pod that ends some day, until it ends or is deleted."""

    def __init__(self, registry: Registry, images: Images) -> None:
        self._registry, self._store, self._images = registry, registry.store, images
        self.service: dict[str, str] = {}  # the variables by which containers find the API
        self._scheduler, self._kubelet = Recorder(registry, "default-scheduler"), Recorder(registry, "kubelet")
        self._folder = tempfile.TemporaryDirectory(prefix="campaignpool-pods-")
        self._pods: dict[str, _Pod] = {}  # these and the tasks by the uid of the pod
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()  # of pods that are gone
        registry.create(find(self._store, NODES), "", node())
        self._store.put(NODES, {**self._store.list(NODES)[0], "status": node()["status"]})
        self._store.listeners.append(self._notice)

    def _notice(self, change: Change) -> None:
        pod, metadata, loop = change.object, change.object["metadata"], asyncio.get_running_loop()
        if change.key != PODS:
            return
        if change.type == "ADDED" and pod["spec"]["restartPolicy"] != "Always":
            self._pods[metadata["uid"]] = _Pod(pod)
            self._tasks[metadata["uid"]] = loop.create_task(self._run(self._pods[metadata["uid"]]))
        elif change.type == "DELETED":
            if task := self._tasks.pop(metadata["uid"], None):
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)
                task.cancel()
            self._pods.pop(metadata["uid"], None)
            shutil.rmtree(self._place(pod), ignore_errors=True)
        elif "deletionTimestamp" in metadata and (running := self._pods.get(metadata["uid"])):
            if "deletionTimestamp" not in (change.before or pod)["metadata"]:
                for process in running.processes:
                    self._kubelet.post(pod, "Normal", "Killing", f"Stopping container {process}")
            running.signal(signal.SIGTERM)
            loop.call_later(metadata["deletionGracePeriodSeconds"], running.signal, signal.SIGKILL)

    async def close(self) -> None:
        """Kill whatever runs, and wait for its end."""
        self._store.listeners.remove(self._notice)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), *self._ending, return_exceptions=True)
        self._folder.cleanup()

    def _now(self, pod: Json) -> Json | None:
        """Return the present state of a pod, None if it is gone."""
        value = self._store.get(PODS, *name_of(pod))
        return value if value and value["metadata"]["uid"] == pod["metadata"]["uid"] else None

    def _report(self, running: _Pod) -> None:
        """Write the status of a pod, if it is still there."""
        if (current := self._now(running.pod)) is None:
            return
        states = {name: item.state for name, item in running.processes.items()}
        status = pod_status(current["spec"], current["status"], states)
        if running.evicted:
            status |= {"phase": "Failed", "reason": "Evicted", "message": running.evicted}
        gone = status["phase"] in ("Succeeded", "Failed") and "deletionTimestamp" in current["metadata"]
        metadata = current["metadata"] | ({"deletionGracePeriodSeconds": 0} if gone else {})
        if status != current["status"] or metadata != current["metadata"]:
            self._registry.write(PODS, {**current, "status": status, "metadata": metadata})

    async def _run(self, running: _Pod) -> None:
        """Take a pod from its creation to its end."""
        pod = running.pod
        await self._schedule(pod)
        self._place(pod).mkdir()
        for item in (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]):
            log = self._place(pod) / f"{item['name']}.log"
            running.processes[item["name"]] = Process(item, log, lambda: self._report(running))
        watch = asyncio.create_task(self._watch_limits(running))
        sidecars = list[asyncio.Task[None]]()
        try:
            for item in pod["spec"].get("initContainers") or ():
                task = asyncio.create_task(self._contain(running, running.processes[item["name"]]))
                if item.get("restartPolicy") == "Always":
                    sidecars.append(task)
                    continue
                await task
                if running.processes[item["name"]].state["terminated"]["exitCode"]:
                    self._fail_all(running)
                    return
            names = [item["name"] for item in pod["spec"]["containers"]]
            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(self._contain(running, running.processes[name]))
        finally:
            watch.cancel()
            for task in sidecars:
                task.cancel()
            await asyncio.gather(watch, *sidecars, return_exceptions=True)

    def _fail_all(self, running: _Pod) -> None:
        """Report a pod whose initialization failed."""
        if current := self._now(running.pod):
            status = pod_status(
                current["spec"], current["status"], {n: p.state for n, p in running.processes.items()}
            )
            self._registry.write(PODS, {**current, "status": {**status, "phase": "Failed"}})

    async def _schedule(self, pod: Json) -> None:
        """Wait until the node can take a pod."""
        told = ""
        while why := why_unschedulable(pod["spec"], self._store.list(NODES)[0]):
            if why != told and (current := self._now(pod)):
                told = why
                condition = condition_of("PodScheduled", holds=False, reason="Unschedulable", message=why)
                self._registry.write(PODS, {**current, "status": {**current["status"], "conditions": [condition]}})
                self._scheduler.post(pod, "Warning", "FailedScheduling", why)
            await asyncio.sleep(_POLL_SECONDS)
        if current := self._now(pod):
            conditions = [condition_of("PodScheduled", holds=True)]
            spec = {**current["spec"], "nodeName": NODE}
            self._registry.write(
                PODS, {**current, "spec": spec, "status": {**current["status"], "conditions": conditions}}
            )
            where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
            self._scheduler.post(pod, "Normal", "Scheduled", f"Successfully assigned {where} to {NODE}")

    async def _contain(self, running: _Pod, process: Process) -> None:
        """Return a container what it needs, as soon as that is there, and run it."""
        pod, spec = running.pod, process.spec
        await self._pull(pod, process)
        while True:
            try:
                container = self._container(pod, spec)
                break
            except SourceMissingError as error:
                process.set(waiting={"reason": "CreateContainerConfigError", "message": str(error)})
                self._kubelet.post(pod, "Warning", "Failed", f"Error: {error}")
            except VolumeMissingError as error:
                process.set(waiting={"reason": "ContainerCreating"})
                text = f'MountVolume.SetUp failed for volume "{error.volume}" : {error}'
                self._kubelet.post(pod, "Warning", "FailedMount", text)
            await asyncio.sleep(_POLL_SECONDS)
        self._kubelet.post(pod, "Normal", "Created", f"Container created: {spec['name']}")
        await process.run(container)
        ended = process.state["terminated"]
        if ended["reason"] == "StartError":
            self._kubelet.post(pod, "Warning", "Failed", f"Error: {ended['message']}")

    async def _pull(self, pod: Json, process: Process) -> None:
        """Wait until a container has its image."""
        image, policy, backs_off = process.spec.get("image", ""), process.spec["imagePullPolicy"], False
        while trouble := self._images.trouble(image, policy):
            reason, message = trouble
            if reason == "ErrImagePull":
                if backs_off:
                    reason = "ImagePullBackOff"
                    text = f'Back-off pulling image "{image}"'
                    process.set(waiting={"reason": reason, "message": f"{text}: ErrImagePull: {message}"})
                    self._kubelet.post(pod, "Normal", "BackOff", text)
                else:
                    process.set(waiting={"reason": reason, "message": message})
                    self._kubelet.post(pod, "Normal", "Pulling", f'Pulling image "{image}"')
                    self._kubelet.post(pod, "Warning", "Failed", f'Failed to pull image "{image}": {message}')
                backs_off = not backs_off
            else:
                process.set(waiting={"reason": reason, "message": message})
                named = "InspectFailed" if reason == "InvalidImageName" else reason
                self._kubelet.post(pod, "Warning", named, message)
            self._kubelet.post(pod, "Warning", "Failed", f"Error: {reason}")
            await asyncio.sleep(_RETRY_SECONDS)

    def _container(self, pod: Json, spec: Json) -> Container:
        """Return the container of a pod with all that it needs; raise an error for what is missing."""
        variables = {"PATH": path_variable(), "HOSTNAME": pod["metadata"]["name"], **self.service}
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
            mounts=mounts_of(pod, spec, self._store, self._place(pod) / "volumes"),
        )

    async def _watch_limits(self, running: _Pod) -> None:
        """End a pod that takes too long, or that writes more than a volume may hold."""
        spec, began = running.pod["spec"], now()
        volumes = {
            item["name"]: item["emptyDir"]["sizeLimit"]
            for item in spec.get("volumes") or ()
            if (item.get("emptyDir") or {}).get("sizeLimit")
        }
        longest = spec.get("activeDeadlineSeconds", float("inf"))
        while not running.evicted and (volumes or longest < float("inf")):
            for name, limit in volumes.items():
                if _size(self._place(running.pod) / "volumes" / name) > quantity(limit):
                    running.evicted = f'Usage of EmptyDir volume "{name}" exceeds the limit "{limit}". '
                    self._kubelet.post(running.pod, "Warning", "Evicted", running.evicted)
            if (now() - began).total_seconds() > longest:
                break
            await asyncio.sleep(_POLL_SECONDS)
        else:
            if not running.evicted:
                return
        running.signal(signal.SIGKILL)

    def _place(self, pod: Json) -> Path:
        return Path(self._folder.name) / str(pod["metadata"]["uid"])

    def _text(self, pod: Json, container: str) -> bytes:
        log = self._place(pod) / f"{container}.log"
        return log.read_bytes() if log.exists() else b""

    async def log(self, pod: Json, container: str, lines: int | None, *, follow: bool) -> AsyncIterator[bytes]:
        """Return the last lines that a container has printed, and then what it prints until it ends."""
        printed = self._text(pod, container).splitlines(keepends=True)
        sent = sum(map(len, printed[: max(0, len(printed) - lines)])) if lines is not None else 0
        while True:
            current = self._now(pod)
            yield (text := self._text(pod, container)[sent:])
            sent += len(text)
            if not follow or current is None or has_ended(current):
                return
            await asyncio.sleep(_POLL_SECONDS)


def log_container(pod: Json, asked: str) -> str:
    """Return the container whose log is meant; raise a 400 if none is, or if that is not clear."""
    names = [item["name"] for item in (*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ()))]
    name = pod["metadata"]["name"]
    if not asked and len(pod["spec"]["containers"]) > 1:
        message = f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
        raise ApiError(400, "BadRequest", message)
    if asked and asked not in names:
        raise ApiError(400, "BadRequest", f"container {asked} is not valid for pod {name}")
    return asked or names[0]


def _size(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.exists() else 0
