"""Why a Job's pods do not run, purely: from pods, Warning Events and the Job to a reason and what to change."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from campaignpool.api.reasons import Reason
from campaignpool_operator.jobs.managed import TRANSIENT_EXIT_CODE, ManagedJob
from campaignpool_operator.jobs.pod import CONTAINER

Json = Mapping[str, Any]

_MESSAGE = 400
"""Characters of a message of Kubernetes that are passed on."""

_PULLING = ("ContainerCreating", "PodInitializing")
_WAITING = {
    "ImagePullBackOff": Reason.IMAGE_PULL_BACK_OFF,
    "ErrImagePull": Reason.IMAGE_PULL_BACK_OFF,
    "RegistryUnavailable": Reason.IMAGE_PULL_BACK_OFF,
    "ImageInspectError": Reason.IMAGE_PULL_BACK_OFF,
    "InvalidImageName": Reason.INVALID_IMAGE_NAME,
    "ErrImageNeverPull": Reason.ERR_IMAGE_NEVER_PULL,
    "CreateContainerConfigError": Reason.CREATE_CONTAINER_CONFIG_ERROR,
    "CreateContainerError": Reason.START_ERROR,
    "RunContainerError": Reason.START_ERROR,
}
_TERMINATED = {
    "OOMKilled": Reason.OOM_KILLED,
    "StartError": Reason.START_ERROR,
    "ContainerCannotRun": Reason.START_ERROR,
}
_MOUNTS = ("FailedMount", "FailedAttachVolume", "FailedMapVolume")


@dataclass(frozen=True)
class Obstacle:
    """Why a Job does not run or did not end well: a reason, and a sentence that says what to change."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class JobPods:
    """What is known of the pods of one Job.

    Attributes:
        started: The seeder's container runs or ran.
        pulling: A pod is on a node and nothing is wrong yet: its image is being pulled or its volumes are mounted.
        exit_code: Of the seeder's container that ended last while its pod runs on, because of a sidecar.
        obstacle: Why the Job does not run, or why its last pod failed.
        transient: The last pod failed because the database or the image store was unavailable.
    """

    started: bool = False
    pulling: bool = False
    exit_code: int | None = None
    obstacle: Obstacle | None = None
    transient: bool = False


def wants_events(job: ManagedJob, pods: Iterable[Json]) -> list[str]:
    """Return the uids of objects whose Warning Events say more: a Job without a pod, pods that do not start."""
    mine = list(pods)
    if not mine:
        return [job.uid] if job.active and not job.suspended and not job.deleting else []
    return [pod["metadata"]["uid"] for pod in mine if _phase(pod) == "Pending" and _scheduled(pod)]


def summarize(job: ManagedJob, pods: Iterable[Json], events: Iterable[Json]) -> JobPods:
    """Return what a Job's pods and the Warning Events on it and on them say.

    Args:
        job: The Job.
        pods: Its pods, in any order.
        events: Those on the objects that `wants_events` named.
    """
    if job.suspended:
        return JobPods(obstacle=_obstacle(Reason.SUSPENDED, f"Job {job.name} is suspended"))
    ordered = sorted(pods, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))
    warnings = list(events)
    if not ordered:
        return JobPods(obstacle=_not_created(job, warnings))
    last = ordered[-1]
    started = any(_has_run(pod) for pod in ordered)
    obstacle = _unscheduled(job, last) or _waiting(job, last, warnings) or _ended(job, last)
    pulling = _phase(last) == "Pending" and _scheduled(last) and obstacle is None
    exit_code = None
    if _phase(last) == "Running" and (end := _seeder(last).get("terminated")):
        exit_code = int(end.get("exitCode", 0))
    transient = obstacle is None and (_seeder(last).get("terminated") or {}).get("exitCode") == TRANSIENT_EXIT_CODE
    return JobPods(started, pulling, exit_code, obstacle, transient)


def _obstacle(reason: Reason, what: str) -> Obstacle:
    return Obstacle(reason, f"{what}: {reason.remedy.replace('`', '')}")


def _phase(pod: Json) -> str:
    return str((pod.get("status") or {}).get("phase", "Pending"))


def _condition(pod: Json, kind: str) -> Json:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return next((condition for condition in conditions if condition["type"] == kind), {})


def _scheduled(pod: Json) -> bool:
    return bool((pod.get("spec") or {}).get("nodeName")) or _condition(pod, "PodScheduled").get("status") == "True"


def _containers(pod: Json) -> list[Json]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _seeder(pod: Json) -> Json:
    """Return the state of the seeder's container."""
    return next(
        (container.get("state") or {} for container in _containers(pod) if container["name"] == CONTAINER), {}
    )


def _has_run(pod: Json) -> bool:
    state = _seeder(pod)
    return "running" in state or ("terminated" in state and state["terminated"].get("reason") not in _TERMINATED)


def _not_created(job: ManagedJob, events: list[Json]) -> Obstacle | None:
    """Return why the API server refused to create the Job's pod."""
    refusals = [event for event in events if event.get("reason") == "FailedCreate"]
    if not refusals:
        return None
    text = str(max(refusals, key=_time).get("message") or "").removeprefix("Error creating: ")
    if "exceeded quota" in text:
        reason, text = Reason.QUOTA_EXCEEDED, text[text.index("exceeded quota") :]
    elif "violates PodSecurity" in text:
        reason, text = Reason.POD_SECURITY_VIOLATION, text[text.index("violates PodSecurity") :]
    elif "service account" in text and "not found" in text:
        reason, text = Reason.SERVICE_ACCOUNT_NOT_FOUND, text[text.index("error looking up") :]
    else:
        reason = Reason.POD_REFUSED
    return _obstacle(reason, f"no pod can be created for Job {job.name} ({_shortened(text)})")


def _time(event: Json) -> str:
    return str(
        event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or ""
    )


def _unscheduled(job: ManagedJob, pod: Json) -> Obstacle | None:
    condition = _condition(pod, "PodScheduled")
    if condition.get("status") != "False":
        return None
    if condition.get("reason") == "SchedulingGated":
        return _obstacle(Reason.SUSPENDED, f"the pod of Job {job.name} waits for a scheduling gate")
    message = str(condition.get("message") or "no node fits").split(" no new claims to deallocate")[0]
    return _obstacle(Reason.UNSCHEDULABLE, f"no node takes the pod of Job {job.name} ({_shortened(message)})")


def _waiting(job: ManagedJob, pod: Json, events: list[Json]) -> Obstacle | None:
    """Return why a container of a pod on a node does not start."""
    waiting = [
        state["waiting"] for container in _containers(pod) if "waiting" in (state := container.get("state") or {})
    ]
    for state in waiting:
        reason = _WAITING.get(str(state.get("reason")))
        if reason is not None:
            # Kubernetes alternates between the error and a back-off that quotes it.
            text = str(state.get("message") or "").rpartition("ErrImagePull: ")[2]
            return _obstacle(reason, f"the pod of Job {job.name} does not start ({_shortened(text)})")
    if _phase(pod) == "Pending":
        for event in sorted(events, key=_time, reverse=True):
            if event.get("reason") in _MOUNTS:
                text = _shortened(str(event.get("message") or ""))
                return _obstacle(Reason.FAILED_MOUNT, f"a volume of the pod of Job {job.name} is missing ({text})")
            if str(event.get("reason")).startswith("FailedCreatePodSandBox"):
                text = _shortened(str(event.get("message") or ""))
                return _obstacle(Reason.POD_NOT_STARTED, f"the pod of Job {job.name} does not start ({text})")
    return None


def _ended(job: ManagedJob, pod: Json) -> Obstacle | None:
    """Return why a pod failed."""
    status = pod.get("status") or {}
    if status.get("reason") == "Evicted":
        text = _shortened(str(status.get("message") or "the node ran out of a resource"))
        return _obstacle(Reason.EVICTED, f"the pod of Job {job.name} was evicted ({text})")
    end = _seeder(pod).get("terminated")
    if not end or not end.get("exitCode"):
        return None
    reason = _TERMINATED.get(str(end.get("reason")))
    if reason is Reason.OOM_KILLED:
        return _obstacle(reason, f"the seeder of Job {job.name} used more memory than its limit of {_limit(pod)}")
    if reason is not None:
        text = _shortened(str(end.get("message") or ""))
        return _obstacle(reason, f"the seeder of Job {job.name} cannot be started ({text})")
    return None


def _limit(pod: Json) -> str:
    containers = (pod.get("spec") or {}).get("containers") or ()
    mine: Json = next((container for container in containers if container.get("name") == CONTAINER), {})
    return str(((mine.get("resources") or {}).get("limits") or {}).get("memory") or "the node")


def _shortened(text: str) -> str:
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= _MESSAGE else f"{text[:_MESSAGE]}…"
