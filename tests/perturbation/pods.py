"""Pods of the schedule: the real seeder as a task of this process, and what a kubelet reports of it."""

import asyncio
import base64
from typing import Any

from campaignpool.errors import CampaignPoolError
from campaignpool_local.deletion import delete
from campaignpool_local.environment import variables_of
from campaignpool_local.kubelet.status import pod_status
from campaignpool_local.objects import Registry
from campaignpool_local.resources import JOBS, PODS, find
from campaignpool_local.store import Change, name_of
from campaignpool_local.values import Json, stamp
from campaignpool_seeder import arguments
from campaignpool_seeder.exits import exit_code
from campaignpool_seeder.images import __main__ as images
from campaignpool_seeder.run import run
from tests.perturbation.schedules import Fault
from tests.perturbation.seams import ACTOR, LATE_SECONDS, Actor, Seams

SEEDER = "seeder"
FAILS = "fails"
"""An image whose container exits with 1."""


class Pods:
    """Runs the seeder of each pod. A container beside the seeder goes on until the pod is deleted.

    Faults of the seam `pod`: `kill N` (after its Nth statement), `late` (its end is reported late), `delete` (a
    person deletes its Job while it runs), `lose` (a person deletes its Job as soon as it has ended).
    """

    def __init__(self, registry: Registry, seams: Seams) -> None:
        self._registry, self._store, self._seams = registry, registry.store, seams
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._actors: dict[str, Actor] = {}
        self._jobs: dict[str, str] = {}
        self._store.listeners.append(self._notice)

    @property
    def active(self) -> bool:
        """Whether a seeder runs."""
        return any(not task.done() for task in self._tasks.values())

    @property
    def begun(self) -> set[str]:
        """Uids of the Jobs whose runs the ledger knows."""
        return {self._jobs[uid] for uid, actor in self._actors.items() if actor.reserved}

    async def close(self) -> None:
        self._store.listeners.remove(self._notice)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _notice(self, change: Change) -> None:
        if change.key != PODS:
            return
        pod, uid = change.object, change.object["metadata"]["uid"]
        if change.type == "ADDED":
            loop = asyncio.get_running_loop()
            loop.call_soon(self._begin, pod)
        elif change.type == "DELETED" or "deletionTimestamp" in pod["metadata"]:
            self._kill(uid)
            if change.type != "DELETED" and pod["metadata"].get("deletionGracePeriodSeconds"):
                asyncio.get_running_loop().call_soon(self._report, pod, 137)

    def _kill(self, uid: str) -> None:
        if (task := self._tasks.get(uid)) is not None and not task.done():
            self._actors[uid].die()
            task.cancel()

    def _begin(self, pod: Json) -> None:
        uid = pod["metadata"]["uid"]
        fault = self._seams.cross("pod", pod["metadata"]["name"])
        actor = self._actors[uid] = Actor(f"pod {self._seams.counts['pod']}")
        if fault is not None and fault.action == "kill":
            actor.killed_after = int(fault.arguments[0]) if fault.arguments else 2
        self._jobs[uid] = pod["metadata"]["ownerReferences"][0]["uid"]
        actor.on_death = lambda: self._died(pod)
        token = ACTOR.set(actor)
        try:
            self._tasks[uid] = asyncio.get_running_loop().create_task(self._run(pod, fault))
        finally:
            ACTOR.reset(token)

    def _died(self, pod: Json) -> None:
        """Report the end of a pod that was killed."""
        loop, uid = asyncio.get_running_loop(), pod["metadata"]["uid"]
        loop.call_soon(self._tasks[uid].cancel)
        loop.call_soon(self._report, pod, 137)

    async def _run(self, pod: Json, fault: Fault | None) -> None:
        action = fault.action if fault else ""
        self._report(pod, None)
        if action == "delete":
            self._delete_job(pod)
        code = await self._seed(pod)
        if action == "late":
            await asyncio.sleep(LATE_SECONDS)
        self._report(pod, code)
        if action == "lose":
            self._delete_job(pod)

    async def _seed(self, pod: Json) -> int:
        container = next(item for item in pod["spec"]["containers"] if item["name"] == SEEDER)
        if container["image"] == FAILS:
            return 1
        variables, stop = variables_of(pod, container, self._store), asyncio.Event()
        url = variables[arguments.URL_VARIABLE]
        try:
            if container["command"][-1] == "campaignpool_seeder.images":
                key = variables.get(images.arguments.KEY_VARIABLE, "")
                await images._work(images.arguments.parse(container["args"], url, key), stop)
            else:
                await run(arguments.parse(container["args"], url), stop)
        except CampaignPoolError as error:
            return exit_code(error)
        return 0

    def _delete_job(self, pod: Json) -> None:
        owner = pod["metadata"]["ownerReferences"][0]["name"]
        if (job := self._store.get(JOBS, pod["metadata"]["namespace"], owner)) is not None:
            delete(self._registry, find(self._store, JOBS), job, {"propagationPolicy": "Background"})

    def _report(self, pod: Json, code: int | None) -> None:
        """Write the status of a pod whose seeder runs, or has ended."""
        current = self._store.get(PODS, *name_of(pod))
        if current is None or current["metadata"]["uid"] != pod["metadata"]["uid"]:
            return
        running: Json = {"running": {"startedAt": stamp()}}
        states: dict[str, Json] = {item["name"]: running for item in pod["spec"]["containers"]}
        gone = "deletionTimestamp" in current["metadata"]
        if code is not None:
            reason = "Error" if code else "Completed"
            times = {"startedAt": stamp(), "finishedAt": stamp()}
            end: Json = {"terminated": {"exitCode": code, "reason": reason, **times}}
            states = dict.fromkeys(states, end) if gone else {**states, SEEDER: end}
        status = pod_status(current["spec"], current["status"], states)
        metadata: dict[str, Any] = {**current["metadata"], **({"deletionGracePeriodSeconds": 0} if gone else {})}
        self._registry.write(PODS, {**current, "status": status, "metadata": metadata})


def secret(url: str) -> Json:
    """Return the Secret that pods and operators read."""
    data = {"url": base64.b64encode(url.encode()).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "database"}, "data": data}
