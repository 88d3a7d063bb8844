"""The Job controller: `counted` and `decide` say purely what a Job needs, `JobController` carries it out.

A Job has one pod at a time, and a retry is always a new pod.
"""

import asyncio
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime

from campaignpool_local.deletion import delete
from campaignpool_local.objects import CONTROLLER_UID, Registry
from campaignpool_local.resources import JOBS, PODS, find
from campaignpool_local.store import Change
from campaignpool_local.values import Json, condition, now, stamp

_REACHED = ("CompletionsReached", "Reached expected number of succeeded pods")
_LIMIT = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
_DEADLINE = ("DeadlineExceeded", "Job was active longer than specified deadline")
_LONGEST_BACKOFF = 1.0


@dataclass
class Decision:
    """What is to be done about a Job now: its new status, and what becomes of its pod and itself."""

    status: Json
    create: bool = False
    stop: bool = False
    expired: bool = False
    again: float | None = None
    """In how many seconds time alone may change the decision."""


def has_ended(pod: Json) -> bool:
    """Whether a pod runs no longer, and never will."""
    return pod["status"]["phase"] in ("Succeeded", "Failed")


def failure_action(job: Json, pod: Json) -> tuple[str, str]:
    """Ask the podFailurePolicy about a failed pod: give its action, Count without a rule, and a message."""
    for number, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or ()):
        wanted = rule.get("onExitCodes")  # the other kind, onPodConditions, never holds of a local process
        for each in pod["status"].get("containerStatuses", ()) if wanted else ():
            code, name = each["state"].get("terminated", {}).get("exitCode", 0), each["name"]
            meant = code != 0 and (code in wanted["values"]) == (wanted["operator"] == "In")
            if meant and wanted.get("containerName", name) == name:
                where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
                what = f"failed with exit code {code} matching {rule['action']} rule at index {number}"
                return rule["action"], f"Container {name} for pod {where} {what}"
    return "Count", ""


def _set(status: Json, kind: str, why: tuple[str, str], time: datetime, value: str = "True") -> None:
    """Set a condition; it keeps its place among the others, and its time while it holds."""
    conditions = status.setdefault("conditions", [])
    known = next((each for each in conditions if each["type"] == kind), None)
    if known is None:
        conditions.append(known := {"type": kind})
    if known.get("status") != value:
        times = dict.fromkeys(("lastProbeTime", "lastTransitionTime"), stamp(time))
        known |= {"status": value, **times, "reason": why[0], "message": why[1]}


def counted(job: Json, pod: Json, time: datetime) -> Json:
    """Give the status of a Job after one of its pods has ended."""
    status: Json = deepcopy(job["status"])
    if pod["status"]["phase"] == "Succeeded":
        return {**status, "succeeded": status.get("succeeded", 0) + 1}
    action, message = failure_action(job, pod)
    if action != "Ignore" and not job["spec"]["suspend"]:  # a suspended Job stops its pods: no failure
        status["failed"] = status.get("failed", 0) + 1
    if action == "FailJob":
        _set(status, "FailureTarget", ("PodFailurePolicy", message), time)
    return status


def _since(text: str, time: datetime) -> float:
    return (time - datetime.fromisoformat(text)).total_seconds()


def _end(spec: Json, status: Json, left: float) -> tuple[str, str, tuple[str, str]] | None:
    """Say how a Job ends, if it does: the conditions that announce and tell it, with reason and message."""
    if known := condition(status, "FailureTarget"):
        return "FailureTarget", "Failed", (known["reason"], known["message"])
    if status.get("succeeded"):
        return "SuccessCriteriaMet", "Complete", _REACHED
    if status.get("failed", 0) > spec["backoffLimit"]:
        return "FailureTarget", "Failed", _LIMIT
    return ("FailureTarget", "Failed", _DEADLINE) if left <= 0 else None


def decide(job: Json, pod: Json | None, time: datetime, pause: float = 0) -> Decision:
    """Decide what a Job needs.

    Args:
        job: The Job as it is stored.
        pod: Its pod that has not ended.
        time: Now.
        pause: For how many seconds there must be no new pod, after a failure.
    """
    status, spec = deepcopy(job["status"]), job["spec"]
    if end := condition(status, "Complete") or condition(status, "Failed"):
        left = spec.get("ttlSecondsAfterFinished", float("inf")) - _since(end["lastTransitionTime"], time)
        return Decision(status, expired=left <= 0, again=max(left, 0))
    if "deletionTimestamp" in job["metadata"]:
        return Decision(status)
    decision = Decision(status)
    if spec["suspend"]:
        _set(status, "Suspended", ("JobSuspended", "Job suspended"), time)
        status.pop("startTime", None)
        decision.stop = True
    else:
        status.setdefault("startTime", stamp(time))
        if condition(status, "Suspended"):
            _set(status, "Suspended", ("JobResumed", "Job resumed"), time, "False")
        left = spec.get("activeDeadlineSeconds", float("inf")) - _since(status["startTime"], time)
        if verdict := _end(spec, status, left):
            _set(status, verdict[0], verdict[2], time)
            decision.stop = True
            if pod is None:  # the end is told when the last pod has gone
                _set(status, verdict[1], verdict[2], time)
                status |= {"completionTime": stamp(time)} if verdict[1] == "Complete" else {}
        else:
            decision.create = pod is None and pause <= 0
            decision.again = min(each for each in (left, pause) if each > 0)
    status["ready"] = int(not decision.stop and pod is not None and pod["status"]["phase"] == "Running")
    status["active"] = int(decision.create or (pod is not None and not decision.stop))
    if not status["active"]:
        del status["active"]
    return decision


class JobController:
    """Looks at a Job whenever it, one of its pods or the clock gives reason to.

    Args:
        backoff: Seconds between a failure and the next pod; they do not grow.
    """

    def __init__(self, registry: Registry, *, backoff: float) -> None:
        self._registry, self._store, self._backoff = registry, registry.store, min(backoff, _LONGEST_BACKOFF)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._pauses: dict[str, float] = {}
        """When the next pod may start, by the loop's clock."""
        self._ended: dict[str, list[Json]] = {}
        """The pods that are still to be counted."""
        self._store.listeners.append(self._notice)

    def close(self) -> None:
        """Look no more."""
        self._store.listeners.remove(self._notice)
        for timer in self._timers.values():
            timer.cancel()

    def _notice(self, change: Change) -> None:
        metadata = change.object["metadata"]
        uid = metadata["uid"] if change.key == JOBS else (metadata.get("labels") or {}).get(CONTROLLER_UID)
        if uid is None or change.key not in (JOBS, PODS):
            return
        if change.key == PODS and (has_ended(change.object) or change.type == "DELETED"):
            if change.before and not has_ended(change.before):
                self._ended.setdefault(uid, []).append(change.object)
            if change.object["status"]["phase"] != "Succeeded":
                self._pauses[uid] = asyncio.get_running_loop().time() + self._backoff
        self._look_in(0, uid)

    def _look_in(self, seconds: float, uid: str) -> None:
        """Look at a Job after so many seconds, instead of when it was planned before."""
        if planned := self._timers.pop(uid, None):
            planned.cancel()
        self._timers[uid] = asyncio.get_running_loop().call_later(min(seconds, 3600), self._look, uid)

    def _look(self, uid: str) -> None:
        del self._timers[uid]
        job = next((job for job in self._store.list(JOBS) if job["metadata"]["uid"] == uid), None)
        ended, pause = self._ended.pop(uid, []), self._pauses.get(uid, 0) - asyncio.get_running_loop().time()
        if job is None:
            self._pauses.pop(uid, None)
            return
        seen = job
        for pod in ended:
            seen = {**seen, "status": counted(seen, pod, now())}
        mine = [
            pod for pod in self._store.list(PODS) if (pod["metadata"].get("labels") or {}).get(CONTROLLER_UID) == uid
        ]
        alive = next((pod for pod in mine if not has_ended(pod)), None)
        decision = decide(seen, alive, now(), pause)
        if decision.expired and "deletionTimestamp" not in job["metadata"]:
            delete(self._registry, find(self._store, JOBS), job, {"propagationPolicy": "Background"})
            return
        if decision.status != job["status"]:
            self._registry.write(JOBS, {**job, "status": decision.status})
        if decision.stop and alive and "deletionTimestamp" not in alive["metadata"]:
            delete(self._registry, find(self._store, PODS), alive, {})
        if decision.create:
            self._create_pod(job)
        if decision.again is not None and uid not in self._timers:
            self._look_in(decision.again, uid)

    def _create_pod(self, job: Json) -> None:
        metadata, template = job["metadata"], deepcopy(job["spec"]["template"])
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"]}
        references = [{**owner, "controller": True, "blockOwnerDeletion": True}]
        template["metadata"] |= {"generateName": f"{metadata['name']}-", "ownerReferences": references}
        self._registry.create(find(self._store, PODS), metadata["namespace"], template)
