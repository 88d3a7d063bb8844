"""The Job controller: says purely what a Job needs, and does it; there is one pod at a time, a new one per retry."""

import asyncio
from copy import deepcopy
from datetime import datetime
from typing import NamedTuple

from campaignpool_local.admission.jobs import CONTROLLER_UID
from campaignpool_local.deletion import delete
from campaignpool_local.objects import Registry
from campaignpool_local.recorder import Recorder
from campaignpool_local.resources import JOBS, PODS, find
from campaignpool_local.store import Change
from campaignpool_local.values import ApiError, Json, condition, now, stamp

_LONGEST_BACKOFF = 1.0
_CREATE_SECONDS = 0.5  # between attempts to create a pod that is refused; a real controller takes ten and more
_TOLD = {"Complete": ("Normal", "Completed"), "Failed": ("Warning", ""), "Suspended": ("Normal", "Suspended")}
"""Which Event tells that a condition has come true: type, and reason where that is not the condition's."""
_SAID = {"Complete": "Job completed"}
_FOREVER = float("inf")


class Decision(NamedTuple):
    """The new status of a Job, what is to be done, and in how many seconds time alone may change that."""

    status: Json
    action: str = ""
    again: float = _FOREVER


def has_ended(pod: Json) -> bool:
    """Whether a pod runs no longer, and never will."""
    return pod["status"]["phase"] in ("Succeeded", "Failed")


def _job_of(pod: Json) -> str | None:
    return (pod["metadata"].get("labels") or {}).get(CONTROLLER_UID)


def failure_action(job: Json, pod: Json) -> tuple[str, str]:
    """Ask the podFailurePolicy about a failed pod: give its action, Count without a rule, and a message."""
    for number, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or ()):
        wanted = rule.get("onExitCodes")  # the other kind, onPodConditions, never holds of a local process
        for item in pod["status"].get("containerStatuses", ()) if wanted else ():
            code, name = item["state"].get("terminated", {}).get("exitCode", 0), item["name"]
            meant = code != 0 and (code in wanted["values"]) == (wanted["operator"] == "In")
            if meant and wanted.get("containerName", name) == name:
                where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
                what = f"failed with exit code {code} matching {rule['action']} rule at index {number}"
                return rule["action"], f"Container {name} for pod {where} {what}"
    return "Count", ""


def _set(status: Json, kind: str, why: tuple[str, str], time: datetime, value: str = "True") -> None:
    """Set a condition; it keeps its place among the others, and its time while it holds."""
    conditions = {statu["type"]: statu for statu in status.get("conditions", ())}
    if conditions.get(kind, {}).get("status") != value:
        times = dict.fromkeys(("lastProbeTime", "lastTransitionTime"), stamp(time))
        conditions[kind] = {"type": kind, "status": value, **times, "reason": why[0], "message": why[1]}
    status["conditions"] = list(conditions.values())


def counted(job: Json, pod: Json, time: datetime) -> Json:
    """Return the status of a Job after one of its pods has ended."""
    status: Json = deepcopy(job["status"])
    if pod["status"]["phase"] == "Succeeded":
        return {**status, "succeeded": status.get("succeeded", 0) + 1}
    action, message = failure_action(job, pod)
    if action != "Ignore" and not job["spec"]["suspend"]:  # a suspended Job stops its pods: no failure
        status["failed"] = status.get("failed", 0) + 1
    if action == "FailJob":
        _set(status, "FailureTarget", ("PodFailurePolicy", message), time)
    return status


def _end(spec: Json, status: Json, left: float) -> tuple[str, str] | None:
    """Return why a Job ends, if it does: the reason and a message."""
    if existing := condition(status, "FailureTarget"):
        return existing["reason"], existing["message"]
    if status.get("succeeded"):
        return "CompletionsReached", "Reached expected number of succeeded pods"
    if status.get("failed", 0) > spec["backoffLimit"]:
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    return ("DeadlineExceeded", "Job was active longer than specified deadline") if left <= 0 else None


def decide(job: Json, pod: Json | None, time: datetime, pause: float = 0) -> Decision:
    """Decide what a Job needs whose `pod` has not ended; after a failure there is none for `pause` seconds."""

    def left(key: str, since: str) -> float:
        return float(spec.get(key, _FOREVER)) - (time - datetime.fromisoformat(since)).total_seconds()

    status, spec = deepcopy(job["status"]), job["spec"]
    if end := condition(status, "Complete") or condition(status, "Failed"):
        again = left("ttlSecondsAfterFinished", end["lastTransitionTime"])
        return Decision(status, "delete the Job" if again <= 0 else "", again)
    if "deletionTimestamp" in job["metadata"]:
        return Decision(status)
    again, why = _FOREVER, None
    if spec["suspend"]:
        _set(status, "Suspended", ("JobSuspended", "Job suspended"), time)
        status.pop("startTime", None)
    else:
        if condition(status, "Suspended"):
            _set(status, "Suspended", ("JobResumed", "Job resumed"), time, "False")
        again = left("activeDeadlineSeconds", status.setdefault("startTime", stamp(time)))
        why = _end(spec, status, again)
    if why:
        good = why[0] == "CompletionsReached"
        _set(status, "SuccessCriteriaMet" if good else "FailureTarget", why, time)
        if pod is None:  # the end is reported when the last pod has gone
            _set(status, "Complete" if good else "Failed", why, time)
            status |= {"completionTime": stamp(time)} if good else {}
    stops, creates = bool(why or spec["suspend"]), pod is None and pause <= 0
    status["ready"] = int(not stops and pod is not None and condition(pod["status"], "Ready") is not None)
    status.setdefault("uncountedTerminatedPods", {})
    status["terminating"] = int(pod is not None and (stops or "deletionTimestamp" in pod["metadata"]))
    status.pop("active", None)
    status |= {"active": 1} if not stops and (pod or creates) else {}
    action = "stop the pod" if stops else "create a pod" if creates else ""
    return Decision(status, action, min(again, pause) if pause > 0 else again)


class JobController:
    """Looks at a Job whenever it, one of its pods or the clock gives reason to; the backoff does not grow."""

    def __init__(self, registry: Registry, *, backoff: float) -> None:
        self._registry, self._store, self._backoff = registry, registry.store, min(backoff, _LONGEST_BACKOFF)
        self._recorder = Recorder(registry, "job-controller")
        self._rested: dict[str, float] = {}  # when the next pod may start, by the loop's clock
        self._ended: dict[str, list[Json]] = {}  # the pods that are still to be counted
        self._store.listeners.append(self._notice)

    def _notice(self, change: Change) -> None:
        uid = change.object["metadata"]["uid"] if change.key == JOBS else _job_of(change.object)
        if uid is None or change.key not in (JOBS, PODS):
            return
        has_run = change.key == PODS and change.before is not None and not has_ended(change.before)
        if has_run and (has_ended(change.object) or change.type == "DELETED"):
            self._ended.setdefault(uid, []).append(change.object)
            if change.object["status"]["phase"] != "Succeeded":
                self._rested[uid] = asyncio.get_running_loop().time() + self._backoff
        asyncio.get_running_loop().call_soon(self._look, uid)

    def _look(self, uid: str) -> None:
        """See what a Job needs; a look too many does no harm."""
        job = next((job for job in self._store.list(JOBS) if job["metadata"]["uid"] == uid), None)
        if job is None:
            return
        seen, loop = job, asyncio.get_running_loop()
        for pod in self._ended.pop(uid, []):
            seen = {**seen, "status": counted(seen, pod, now())}
        pods = (pod for pod in self._store.list(PODS) if _job_of(pod) == uid and not has_ended(pod))
        alive = next(pods, None)
        decision = decide(seen, alive, now(), self._rested.get(uid, 0) - loop.time())
        if decision.action == "create a pod" and not self._create_pod(job):
            self._rested[uid] = loop.time() + _CREATE_SECONDS
            decision = decide(seen, alive, now(), _CREATE_SECONDS)
        if decision.status != job["status"]:
            self._registry.write(JOBS, {**job, "status": decision.status})
            self._tell(job, decision.status)
        if decision.action == "stop the pod" and alive and "deletionTimestamp" not in alive["metadata"]:
            delete(self._registry, find(self._store, PODS), alive, {})
            self._recorder.post(job, "Normal", "SuccessfulDelete", f"Deleted pod: {alive['metadata']['name']}")
        elif decision.action == "delete the Job" and "deletionTimestamp" not in job["metadata"]:
            delete(self._registry, find(self._store, JOBS), job, {"propagationPolicy": "Background"})
        if 0 < decision.again < _FOREVER:
            loop.call_later(decision.again, self._look, uid)

    def _create_pod(self, job: Json) -> bool:
        """Create the next pod of a Job, and return whether it could be made."""
        metadata, template = job["metadata"], deepcopy(job["spec"]["template"])
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"]}
        owner |= {"controller": True, "blockOwnerDeletion": True}
        template["metadata"] |= {"generateName": f"{metadata['name']}-", "ownerReferences": [owner]}
        try:
            pod = self._registry.create(find(self._store, PODS), metadata["namespace"], template)
        except ApiError as error:
            self._recorder.post(job, "Warning", "FailedCreate", f"Error creating: {error}")
            return False
        self._recorder.post(job, "Normal", "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
        return True

    def _tell(self, job: Json, status: Json) -> None:
        """Post the Events of what has become of a Job."""
        for kind, (event, reason) in _TOLD.items():
            result = condition(status, kind)
            if result and not condition(job["status"], kind):
                self._recorder.post(job, event, reason or result["reason"], str(_SAID.get(kind) or result["message"]))
