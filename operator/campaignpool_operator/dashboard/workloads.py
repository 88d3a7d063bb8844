"""A pool's Jobs, their pods and the Events on all of them, as facts for people: why something does not run."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from campaignpool.log import readable
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.cluster.transport import Json
from campaignpool_operator.jobs import managed, pods
from campaignpool_operator.jobs.managed import ManagedJob
from campaignpool_operator.jobs.pod import CONTAINER
from campaignpool_operator.text import stamp

EVENTS_SHOWN = 20
JOBS_SHOWN = 10
"""The latest; Jobs that have not ended are always shown."""


async def read_jobs(cluster: Cluster, pool: Mapping[str, Any], *, with_pods: bool, with_events: bool) -> list[Json]:
    """Return the Jobs of a pool, the latest first, each with its pods and what keeps it from running.

    Args:
        cluster: The Kubernetes API.
        pool: The CampaignPool.
        with_pods: The viewer may list pods.
        with_events: And Events.

    Raises:
        ClusterError: The API refused or did not answer.
    """
    namespace, name, uid = (pool["metadata"][key] for key in ("namespace", "name", "uid"))
    chosen = f"{managed.SELECTOR},{managed.selector(name)}"
    listed = managed.owned(await cluster.jobs(namespace, chosen), uid)
    parsed = [job for item in listed if (job := managed.parse(item)) is not None]
    ordered = sorted(parsed, key=lambda job: (job.active, job.created_at, job.number), reverse=True)
    shown = ordered[: max(JOBS_SHOWN, sum(job.active for job in ordered))]
    listed_pods = await cluster.pods(namespace, chosen) if with_pods and shown else []
    result = []
    for job in shown:
        mine = [dict(pod) for pod in managed.owned(listed_pods, job.uid)]
        warnings: list[Json] = []
        if with_events and job.state != "Succeeded":
            for uid_of_object in pods.wants_events(job, mine):
                warnings += await cluster.events(namespace, uid_of_object, kind="Warning")
        result.append(_job(job, mine, warnings, judged=with_pods))
    return result


async def read_logs(cluster: Cluster, pool: Mapping[str, Any], lines: int) -> list[Json]:
    """Return the last lines of each Job of a pool, of its newest pod, the latest Job first. Raises ClusterError."""
    listed = await read_jobs(cluster, pool, with_pods=True, with_events=False)
    namespace, result = pool["metadata"]["namespace"], []
    for job in listed:
        begun = [pod for pod in job["pods"] if any(item["name"] == CONTAINER for item in pod["containers"])]
        newest = max(begun, key=lambda pod: str(pod["createdAt"]), default=None)
        if newest is None:
            continue
        text = await cluster.log(namespace, newest["name"], CONTAINER, lines)
        if text:
            last = [readable(line) for line in text.splitlines()[-lines:]]
            result.append({"job": job["name"], "pod": newest["name"], "lines": last})
    return result


async def read_events(cluster: Cluster, pool: Mapping[str, Any]) -> list[Json]:
    """Return the latest Events on a CampaignPool, the latest first. Raises ClusterError."""
    metadata = pool["metadata"]
    return events(await cluster.events(metadata["namespace"], metadata["uid"]))[:EVENTS_SHOWN]


def events(items: Iterable[Mapping[str, Any]]) -> list[Json]:
    """Return Events as facts, the latest first."""
    shown = [
        {
            "type": str(event.get("type") or "Normal"),
            "reason": str(event.get("reason") or ""),
            "message": str(event.get("message") or ""),
            "count": int(event.get("count") or (event.get("series") or {}).get("count") or 1),
            "at": _time(event),
        }
        for event in items
    ]
    return sorted(shown, key=lambda event: event["at"], reverse=True)


def _time(event: Mapping[str, Any]) -> str:
    series = event.get("series") or {}
    return str(
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp")
        or ""
    )


def _job(job: ManagedJob, mine: Sequence[Json], warnings: Sequence[Json], *, judged: bool) -> Json:
    obstacle = None
    if judged and job.state != "Succeeded":
        obstacle = pods.summarize(job, mine, warnings).obstacle
    about: dict[str, list[Json]] = {pod["metadata"]["uid"]: [] for pod in mine}
    on_job: list[Json] = []
    for event in warnings:
        about.get((event.get("involvedObject") or {}).get("uid", ""), on_job).append(event)
    return {
        "name": job.name,
        "component": job.component,
        "count": job.count,
        "state": "Suspended" if job.suspended else job.state,
        "createdAt": stamp(job.created_at),
        "finishedAt": stamp(job.finished_at) if job.finished_at else None,
        "reason": job.reason,
        "message": job.message,
        "obstacle": {"reason": str(obstacle.reason), "message": obstacle.message} if obstacle else None,
        "pods": [_pod(pod, about[pod["metadata"]["uid"]]) for pod in mine],
        "events": events(on_job),
    }


def _pod(pod: Json, warnings: Sequence[Json]) -> Json:
    status, spec = pod.get("status") or {}, pod.get("spec") or {}
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return {
        "name": pod["metadata"]["name"],
        "phase": str(status.get("phase") or "Pending"),
        "node": spec.get("nodeName"),
        "reason": status.get("reason"),
        "message": status.get("message") or _unscheduled(status),
        "createdAt": pod["metadata"]["creationTimestamp"],
        "containers": [_container(container) for container in containers],
        "events": events(warnings),
    }


def _unscheduled(status: Mapping[str, Any]) -> str | None:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return str(condition.get("message") or "no node takes the pod")
    return None


def _container(container: Mapping[str, Any]) -> Json:
    state: Mapping[str, Any] = container.get("state") or {}
    kind = next(iter(state), "waiting")
    details: Mapping[str, Any] = state.get(kind) or {}
    return {
        "name": container["name"],
        "image": container.get("image"),
        "state": kind,
        "reason": details.get("reason"),
        "message": details.get("message"),
        "exitCode": details.get("exitCode"),
        "restarts": int(container.get("restartCount") or 0),
    }
