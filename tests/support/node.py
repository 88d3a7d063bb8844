"""A node for an API server that has none: the emulator's pod runner, with what it reads and writes at the server."""

import asyncio
import contextlib
import json
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from campaignpool_local.kubelet.images import Images
from campaignpool_local.kubelet.runner import PodRunner
from campaignpool_local.kubelet.scheduling import NODE, NODES
from campaignpool_local.objects import Registry
from campaignpool_local.resources import PODS, ResourceType
from campaignpool_local.store import Key, Store, name_of
from campaignpool_local.values import Json, stamp
from tests.support.kube import MERGE, connection

_KINDS = {("", "secrets"): "Secret", ("", "configmaps"): "ConfigMap", ("", "services"): "Service", PODS: "Pod"}
"""What a pod needs; secrets and config maps come first, so that they are known before the pods that mount them."""
_HEARTBEAT_SECONDS = 10.0
_AGAIN_SECONDS = 0.5


def _path(key: Key, namespace: str = "", name: str = "") -> str:
    where = f"namespaces/{namespace}/" if namespace else ""
    return f"/api/v1/{where}{key[1]}" + (f"/{name}" if name else "")


class RemoteRegistry(Registry):
    """Objects of an API server as the pod runner knows them. What is written here is sent there, in this order."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.store, self.gates = Store(), []
        self._client = client
        self._requests: asyncio.Queue[tuple[str, str, Json, dict[str, str]]] = asyncio.Queue()

    def create(self, kind: ResourceType, namespace: str, body: Json, *, dry: bool = False) -> Json:
        """Store an object here and there: a node or an Event."""
        assert not dry
        metadata = {"uid": str(uuid.uuid4()), **body["metadata"], **({"namespace": namespace} if namespace else {})}
        self._send("POST", _path(kind.key, namespace), body)
        return self.store.put(kind.key, {**body, "metadata": metadata})

    def write(self, key: Key, obj: Json) -> Json:
        """Store a new state of a pod or an Event here and there."""
        namespace, name = name_of(obj)
        path, before = _path(key, namespace, name), self.store.get(key, namespace, name) or {}
        metadata = obj["metadata"]
        if key != PODS:
            self._send("PATCH", path, {item: obj[item] for item in ("count", "lastTimestamp")}, MERGE)
            return self.store.put(key, obj)
        if obj["spec"].get("nodeName") != before.get("spec", {}).get("nodeName"):
            target = {"apiVersion": "v1", "kind": "Node", "name": obj["spec"]["nodeName"]}
            self._send("POST", f"{path}/binding", {"metadata": {"name": name}, "target": target})
        if obj["status"] != before.get("status"):
            body = {"metadata": {"uid": metadata["uid"]}, "status": obj["status"]}
            self._send("PATCH", f"{path}/status", body, MERGE)
        if "deletionTimestamp" in metadata and metadata["deletionGracePeriodSeconds"] == 0:
            self._release(obj)
        return self.store.put(key, obj)

    def _release(self, pod: Json) -> None:
        """Let the API server delete a pod of which nothing runs any more."""
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
        self._send("DELETE", _path(PODS, *name_of(pod)), body)

    def _send(self, method: str, path: str, body: Json, headers: dict[str, str] | None = None) -> None:
        self._requests.put_nowait((method, path, body, headers or {}))

    async def send(self) -> None:
        """Send what was written, for ever. What an object that is gone or was replaced refuses is ignored."""
        while True:
            method, path, body, headers = await self._requests.get()
            answer = await self._client.request(
                method, path, content=json.dumps(body), headers={"Content-Type": "application/json", **headers}
            )
            if answer.is_error and answer.status_code not in (404, 409):
                print(f"node: {method} {path}: {answer.status_code} {answer.text}")

    async def beat(self) -> None:
        """Update the node's status every few seconds; its pods are evicted otherwise."""
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            condition = {"type": "Ready", "status": "True", "lastHeartbeatTime": stamp()}
            self._send("PATCH", f"{_path(NODES, '', NODE)}/status", {"status": {"conditions": [condition]}}, MERGE)

    async def follow(self, key: Key) -> None:
        """Keep a copy of all objects of one kind, for ever."""
        while True:
            with contextlib.suppress(httpx.HTTPError):
                await self._follow(key)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _follow(self, key: Key) -> None:
        listed = (await self._client.get(_path(key))).raise_for_status().json()
        uids = {item["metadata"]["uid"] for item in listed["items"]}
        for item in self.store.list(key):
            if item["metadata"]["uid"] not in uids:
                self._see(key, "DELETED", item)
        for item in listed["items"]:
            self._see(key, "MODIFIED", item)
        query: dict[str, Any] = {"watch": "true", "resourceVersion": listed["metadata"]["resourceVersion"]}
        async with self._client.stream("GET", _path(key), params=query, timeout=None) as response:
            async for line in response.aiter_lines():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                self._see(key, event["type"], event["object"])

    def _see(self, key: Key, event: str, obj: Json) -> None:
        """Take over what the API server says of an object."""
        obj = {**obj, "apiVersion": "v1", "kind": _KINDS[key]}
        before = self.store.get(key, *name_of(obj))
        if before is not None and before["metadata"]["uid"] != obj["metadata"]["uid"]:
            self.store.put(key, before, remove=True)
            before = None
        if key == PODS and before is None and not _is_ours(obj):
            return
        if key == PODS and before is not None:
            # The status of a pod is its node's to say; only conditions have other authors as well.
            mine = before["status"].get("conditions") or []
            others = [
                item
                for item in obj["status"].get("conditions") or ()
                if item["type"] not in {condition["type"] for condition in mine}
            ]
            obj["status"] = {**before["status"], "conditions": [*mine, *others]}
            if "deletionTimestamp" in obj["metadata"] and before["status"].get("phase", "Pending") == "Pending":
                self._release(obj)
        if event != "DELETED" or before is not None:
            self.store.put(key, obj, remove=event == "DELETED")


def _is_ours(pod: Json) -> bool:
    """Return whether a pod that is new here has to be run here."""
    ended = pod["status"].get("phase") in ("Succeeded", "Failed") or "deletionTimestamp" in pod["metadata"]
    return pod["spec"].get("nodeName", NODE) == NODE and not ended


async def run(kubeconfig: Path) -> None:
    """Run the pods of an API server until cancelled."""
    async with httpx.AsyncClient(**connection(kubeconfig), timeout=30) as client:
        registry = RemoteRegistry(client)
        pods = PodRunner(registry, Images(None))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(registry.send())
                group.create_task(registry.beat())
                for key in _KINDS:
                    group.create_task(registry.follow(key))
        finally:
            await pods.close()


@contextlib.contextmanager
def node_thread(kubeconfig: Path) -> Iterator[None]:
    """Run a node in a thread of its own for the duration of a block."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        loop = runner.get_loop()
        thread = threading.Thread(target=loop.run_forever, name="campaignpool-node", daemon=True)
        thread.start()
        future = asyncio.run_coroutine_threadsafe(run(kubeconfig), loop)
        try:
            yield
        finally:
            if future.done():
                future.result()
            future.cancel()
            asyncio.run_coroutine_threadsafe(_settled(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()


async def _settled() -> None:
    """Wait until all other tasks of this loop have ended."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
