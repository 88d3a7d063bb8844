"""The Job controller at work: looks at a Job whenever it, one of its pods or the clock gives reason to."""

from __future__ import annotations

import asyncio
import contextlib
import copy

from campaignpool_local.deletion import delete
from campaignpool_local.errors import ApiError
from campaignpool_local.jobs import TRACKING, decide
from campaignpool_local.kinds import JOB_LABELS
from campaignpool_local.objects import Registry
from campaignpool_local.store import Change, Key
from campaignpool_local.values import Json, now, stamp

JOBS: Key = ("batch", "jobs")
PODS: Key = ("", "pods")
EVENTS: Key = ("", "events")


class JobController:
    """Carries out what `decide` decides."""

    def __init__(self, registry: Registry, *, backoff: float) -> None:
        self._registry, self._store, self._backoff = registry, registry.store, backoff
        self._timers: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self._store.listeners.append(self._notice)

    def close(self) -> None:
        """Look no more."""
        for timer in self._timers.values():
            timer.cancel()

    def _notice(self, key: Key, change: Change) -> None:
        metadata = change.object["metadata"]
        if key == JOBS:
            self._look_in(0, metadata["namespace"], metadata["uid"])
        elif key == PODS and JOB_LABELS[0] in (metadata.get("labels") or {}):
            self._look_in(0, metadata["namespace"], metadata["labels"][JOB_LABELS[0]])

    def _look_in(self, seconds: float, namespace: str, uid: str) -> None:
        """Look at a Job after so many seconds, instead of when it was planned before."""
        if planned := self._timers.pop((namespace, uid), None):
            planned.cancel()
        loop = asyncio.get_running_loop()
        self._timers[namespace, uid] = loop.call_later(seconds, self._look, namespace, uid)

    def _look(self, namespace: str, uid: str) -> None:
        del self._timers[namespace, uid]
        pods = [
            pod
            for pod in self._store.list(PODS, namespace)
            if (pod["metadata"].get("labels") or {}).get(JOB_LABELS[0]) == uid
        ]
        job = next((job for job in self._store.list(JOBS, namespace) if job["metadata"]["uid"] == uid), None)
        if job is None:
            self._let_go(pods)
            return
        decision = decide(job, pods, now(), backoff=self._backoff)
        if decision.expired and "deletionTimestamp" not in job["metadata"]:
            kind = self._registry.catalog.of_key(JOBS)
            delete(self._registry, kind, job, {"propagationPolicy": "Background"})
            return
        if decision.status != job["status"]:
            self._registry.write(JOBS, {**job, "status": decision.status})
        self._let_go(decision.counted)
        for pod in decision.stop:
            delete(self._registry, self._registry.catalog.of_key(PODS), pod, {})
        for _ in range(decision.create):
            name = self._create_pod(job)
            self._tell(job, "Normal", "SuccessfulCreate", f"Created pod: {name}")
        for event in decision.events:
            self._tell(job, *event)
        if decision.again is not None and (namespace, uid) not in self._timers:
            self._look_in(decision.again, namespace, uid)

    def _let_go(self, pods: list[Json]) -> None:
        """Hold pods no longer."""
        for pod in pods:
            held = pod["metadata"].get("finalizers", [])
            if TRACKING in held:
                metadata = {**pod["metadata"], "finalizers": [each for each in held if each != TRACKING]}
                if not metadata["finalizers"]:
                    del metadata["finalizers"]
                self._registry.write(PODS, {**pod, "metadata": metadata})

    def _create_pod(self, job: Json) -> str:
        template, metadata = copy.deepcopy(job["spec"]["template"]), job["metadata"]
        owner = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": metadata["name"],
            "uid": metadata["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
        own = {"generateName": f"{metadata['name']}-", "ownerReferences": [owner], "finalizers": [TRACKING]}
        body = {"metadata": {**template.get("metadata", {}), **own}, "spec": template["spec"]}
        pod = self._registry.create(self._registry.catalog.of_key(PODS), metadata["namespace"], body)
        return str(pod["metadata"]["name"])

    def _tell(self, job: Json, kind: str, reason: str, message: str) -> None:
        """Post an event about a Job."""
        metadata, time = job["metadata"], stamp()
        about = {key: metadata[key] for key in ("name", "namespace", "uid")}
        body = {
            "metadata": {"generateName": f"{metadata['name']}."},
            "involvedObject": {"apiVersion": "batch/v1", "kind": "Job", **about},
            "type": kind,
            "reason": reason,
            "message": message,
            "source": {"component": "job-controller"},
            "reportingComponent": "job-controller",
            "firstTimestamp": time,
            "lastTimestamp": time,
            "count": 1,
        }
        with contextlib.suppress(ApiError):  # the namespace is going and takes nothing new
            self._registry.create(self._registry.catalog.of_key(EVENTS), metadata["namespace"], body)
