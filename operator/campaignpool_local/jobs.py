"""What the Job controller decides: from a Job, its pods and the time to what is to be done. All of it pure."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from campaignpool_local.values import Json, condition, moment, stamp

TRACKING = "batch.kubernetes.io/job-tracking"
"""The finalizer with which a Job holds its pods until it has counted them."""
LONGEST_BACKOFF = 360.0

_REACHED = ("CompletionsReached", "Reached expected number of succeeded pods")
_Verdict = tuple[str, str]
"""Reason and message of a condition."""


@dataclass
class Decision:
    """What is to be done about a Job now."""

    status: Json
    create: int = 0
    stop: list[Json] = field(default_factory=list)
    """The pods to be deleted."""
    counted: list[Json] = field(default_factory=list)
    """The pods that are in the status now, so that nothing needs to hold them."""
    expired: bool = False
    """Whether the Job itself has outlived its ttlSecondsAfterFinished."""
    again: float | None = None
    """In how many seconds time alone may change the decision."""
    events: list[tuple[str, str, str]] = field(default_factory=list)
    """(type, reason, message) to be told."""

    def look_again(self, seconds: float) -> None:
        """Look again after so many seconds, or earlier."""
        self.again = seconds if self.again is None else min(seconds, self.again)


def _phase(pod: Json) -> str:
    return str(pod["status"]["phase"])


def _going(pod: Json) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _terminated(pod: Json) -> Iterator[tuple[str, Json]]:
    for each in pod["status"].get("containerStatuses") or ():
        if state := each["state"].get("terminated"):
            yield each["name"], state


def _ended_at(pod: Json) -> datetime:
    ends = [moment(state["finishedAt"]) for _, state in _terminated(pod)]
    return max(ends, default=moment(pod["metadata"]["creationTimestamp"]))


def failure_action(job: Json, pod: Json) -> tuple[str, str]:
    """Ask the podFailurePolicy about a failed pod: give its action, Count without a rule, and a message."""
    rules = (job["spec"].get("podFailurePolicy") or {}).get("rules") or ()
    for number, rule in enumerate(rules):
        wanted = rule.get("onExitCodes")  # the other kind, onPodConditions, never holds of a local process
        for name, state in _terminated(pod) if wanted else ():
            code = state["exitCode"]
            meant = code != 0 and (code in wanted["values"]) == (wanted["operator"] == "In")
            if meant and wanted.get("containerName", name) == name:
                where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
                what = f"failed with exit code {code} matching {rule['action']} rule at index {number}"
                return rule["action"], f"Container {name} for pod {where} {what}"
    return "Count", ""


def set_condition(status: Json, kind: str, verdict: _Verdict, time: datetime, value: str = "True") -> None:
    """Set a condition; it keeps its place among the others."""
    entry = {
        "type": kind,
        "status": value,
        "lastProbeTime": stamp(time),
        "lastTransitionTime": stamp(time),
        "reason": verdict[0],
        "message": verdict[1],
    }
    conditions = status.setdefault("conditions", [])
    known = next((each for each in conditions if each["type"] == kind), None)
    if known is None:
        conditions.append(entry)
    elif known["status"] != value:
        known.update(entry)


@dataclass
class _Case:
    """A Job with everything that counts for a decision about it."""

    job: Json
    pods: list[Json]
    time: datetime
    backoff: float
    decision: Decision

    def __post_init__(self) -> None:
        self.spec, self.status = self.job["spec"], self.decision.status
        self.active = [pod for pod in self.pods if _phase(pod) in ("Pending", "Running") and not _going(pod)]
        self.ending = [pod for pod in self.pods if _phase(pod) == "Running" and _going(pod)]

    def count(self) -> _Verdict | None:
        """Add the pods that ended since the last look; say why, if one of them fails the whole Job."""
        verdict = None
        for pod in self.pods:
            ended = _phase(pod) in ("Succeeded", "Failed") or (_phase(pod) == "Pending" and _going(pod))
            if TRACKING not in pod["metadata"].get("finalizers", ()) or not ended:
                continue
            self.decision.counted.append(pod)
            if _phase(pod) == "Succeeded":
                self.status["succeeded"] = self.status.get("succeeded", 0) + 1
                continue
            action, message = failure_action(self.job, pod)
            if action == "FailJob":
                verdict = ("PodFailurePolicy", message)
            if action != "Ignore" and not self.spec["suspend"]:  # a suspended Job stops its pods: no failure
                self.status["failed"] = self.status.get("failed", 0) + 1
        return verdict

    def exceeded(self) -> _Verdict | None:
        """Say which limit the Job has exceeded, if any."""
        limit, failed = self.spec["backoffLimit"], self.status.get("failed", 0)
        restarts = sum(
            each["restartCount"] for pod in self.active for each in pod["status"].get("containerStatuses") or ()
        )
        if failed > limit or (restarts and restarts >= limit):
            return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        if (deadline := self.spec.get("activeDeadlineSeconds")) is not None:
            left = deadline - (self.time - moment(self.status["startTime"])).total_seconds()
            if left <= 0:
                return "DeadlineExceeded", "Job was active longer than specified deadline"
            self.decision.look_again(left)
        return None

    def end(self, verdict: _Verdict | None) -> bool:
        """Bring the Job to its end if it has failed or done its work; its pods go first."""
        wanted, succeeded = self.spec.get("completions"), self.status.get("succeeded", 0)
        done = succeeded >= wanted if wanted is not None else bool(succeeded) and not self.active
        target = condition(self.job, "FailureTarget")
        if not target and not done and (verdict := verdict or self.exceeded()):
            set_condition(self.status, "FailureTarget", verdict, self.time)
            self.decision.events.append(("Warning", *verdict))
            target = {"reason": verdict[0], "message": verdict[1]}
        if not target and not done:
            return False
        self.decision.stop = self.active
        if not target:
            set_condition(self.status, "SuccessCriteriaMet", _REACHED, self.time)
        if self.active or self.ending:
            return True
        if target:
            set_condition(self.status, "Failed", (target["reason"], target["message"]), self.time)
        else:
            set_condition(self.status, "Complete", _REACHED, self.time)
            self.status["completionTime"] = stamp(self.time)
            self.decision.events.append(("Normal", "Completed", "Job completed"))
        return True

    def staff(self) -> None:
        """Say how many pods are missing or too many; after a failure new ones have to wait."""
        room = self.spec["parallelism"]
        if (wanted := self.spec.get("completions")) is not None:
            room = min(room, wanted - self.status.get("succeeded", 0))
        self.decision.stop = self.active[room:]
        replaced_late = self.spec["podReplacementPolicy"] == "Failed"
        missing = room - len(self.active) - (len(self.ending) if replaced_late else 0)
        since = max((_ended_at(pod) for pod in self.pods if _phase(pod) == "Succeeded"), default=None)
        failures = [_ended_at(pod) for pod in self.pods if _phase(pod) == "Failed"]
        failures = [each for each in failures if since is None or each > since]
        if missing > 0 and failures:
            pause = min(self.backoff * 2 ** (len(failures) - 1), LONGEST_BACKOFF)
            left = (max(failures) + timedelta(seconds=pause) - self.time).total_seconds()
            if left > 0:
                self.decision.look_again(left)
                return
        self.decision.create = max(0, missing)

    def tally(self) -> None:
        """Write the numbers of pods into the status."""
        kept = [pod for pod in self.active if pod not in self.decision.stop]
        stopped = [pod for pod in self.decision.stop if _phase(pod) == "Running"]
        numbers = {
            "active": len(kept) + self.decision.create,
            "ready": sum(_phase(pod) == "Running" for pod in kept),
            "terminating": len(self.ending) + len(stopped),
        }
        self.status.update(numbers, uncountedTerminatedPods={})
        if not numbers["active"]:
            del self.status["active"]


def decide(job: Json, pods: list[Json], time: datetime, *, backoff: float) -> Decision:
    """Decide what a Job needs.

    Args:
        job: The Job as it is stored.
        pods: The pods that it controls.
        time: Now.
        backoff: Seconds before the first retry; every further one waits twice as long as the one before.
    """
    decision = Decision(copy.deepcopy(job["status"]))
    case = _Case(job, pods, time, backoff, decision)
    if end := condition(job, "Complete") or condition(job, "Failed"):
        case.count()
        decision.status = job["status"]
        if (lifetime := job["spec"].get("ttlSecondsAfterFinished")) is not None:
            left = (moment(end["lastTransitionTime"]) + timedelta(seconds=lifetime) - time).total_seconds()
            decision.expired = left <= 0
            decision.look_again(max(left, 0))
        return decision
    verdict = case.count()
    if "deletionTimestamp" in job["metadata"]:
        return decision
    if job["spec"]["suspend"]:
        set_condition(decision.status, "Suspended", ("JobSuspended", "Job suspended"), time)
        decision.status.pop("startTime", None)
        decision.stop = case.active
    else:
        decision.status.setdefault("startTime", stamp(time))
        if condition(job, "Suspended"):
            set_condition(decision.status, "Suspended", ("JobResumed", "Job resumed"), time, "False")
        if not case.end(verdict):
            case.staff()
    case.tally()
    return decision
