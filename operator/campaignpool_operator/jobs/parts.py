"""What every Job of ours shares, purely: labels, ownership, the security of its pod, and how its end is read.

The Jobs that seed are in `jobs`, those that copy images in `image_jobs`.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal, TypeAlias

from campaignpool.api.resource import GROUP, KIND, VERSION
from campaignpool.api.spec import CampaignPoolSpec

MANAGED_BY = "campaignpool-operator"
CONTAINER = "seeder"
POOL_LABEL = f"{GROUP}/pool"
NUMBER = f"{GROUP}/number"
GENERATION = f"{GROUP}/generation"

COMPONENT = "app.kubernetes.io/component"
"""Label that tells Jobs apart: `seeder` or `images`."""

SELECTOR = f"app.kubernetes.io/managed-by={MANAGED_BY}"
"""Label selector of every Job of ours."""

PERMANENT_EXIT_CODES = (65, 78)
"""Of sysexits.h: the data were refused, the configuration is wrong. A retry of the pod cannot help."""

USER = 65532
"""Unix user and group of the seeder: nobody that a node knows."""

NAME = 63
"""Longest name of a Job: its pods' names begin with it, and a pod's name is a label."""

_REQUESTS = {"cpu": "50m", "memory": "64Mi"}
_LIMITS = {"memory": "256Mi"}

State: TypeAlias = Literal["Active", "Succeeded", "Failed"]


@dataclass(frozen=True)
class Owner:
    """The pool that a Job is made for."""

    namespace: str
    pool: str
    uid: str


@dataclass(frozen=True)
class Limits:
    """How often and how long a Job is tried, and how long it is kept."""

    backoff_limit: int
    active_deadline_seconds: int
    ttl_seconds: int


@dataclass(frozen=True)
class End:
    """How a Job stands.

    Attributes:
        state: `Active` until the Job has a terminal condition, also while it is being deleted.
        finished_at: When it ended.
        reason: CamelCase cause of a failure, as Kubernetes gives it.
    """

    state: State
    finished_at: datetime | None
    reason: str | None
    message: str | None


def end_of(job: Mapping[str, Any]) -> End:
    """Read off a Job's terminal condition how it stands."""
    status = job.get("status", {})
    ended = {each["type"]: each for each in status.get("conditions", ()) if each.get("status") == "True"}
    last: Mapping[str, Any] = ended.get("Failed") or ended.get("Complete") or {}
    when = last.get("lastTransitionTime") or status.get("completionTime") or job["metadata"]["creationTimestamp"]
    return End(
        state="Failed" if "Failed" in ended else "Succeeded" if "Complete" in ended else "Active",
        finished_at=datetime.fromisoformat(when) if last else None,
        reason=last.get("reason") if "Failed" in ended else None,
        message=last.get("message") if "Failed" in ended else None,
    )


def pool_label(pool: str) -> str:
    """Give a pool's name as a label's value; a name longer than a label is cut and told apart by a hash."""
    return shortened(pool, NAME)


def selector(pool: str) -> str:
    """Give the label selector of a pool's Jobs and pods."""
    return f"{POOL_LABEL}={pool_label(pool)}"


def shortened(name: str, length: int) -> str:
    """Cut a name that is too long, and tell it apart by a hash."""
    # Dots are for subdomains; the name of a pod is a label of one.
    name = name.replace(".", "-") if length < NAME else name
    if len(name) <= length:
        return name
    digest = sha256(name.encode()).hexdigest()[:8]
    return f"{name[: length - 9].rstrip('-.')}-{digest}"


def labels(pool: str, component: str) -> dict[str, str]:
    """Give the labels of a Job and of its pods."""
    return {
        "app.kubernetes.io/name": "campaignpool-seeder",
        "app.kubernetes.io/instance": pool_label(pool),
        COMPONENT: component,
        "app.kubernetes.io/part-of": "campaignpool",
        "app.kubernetes.io/managed-by": MANAGED_BY,
        POOL_LABEL: pool_label(pool),
    }


def job(
    owner: Owner,
    name: str,
    marks: Mapping[str, str],
    notes: Mapping[str, str],
    limits: Limits,
    pod_template: Mapping[str, Any],
) -> dict[str, Any]:
    """Give a whole Job: `marks` are its labels, `notes` its annotations."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": owner.namespace,
            "labels": dict(marks),
            "annotations": dict(notes),
            "ownerReferences": [
                {
                    "apiVersion": f"{GROUP}/{VERSION}",
                    "kind": KIND,
                    "name": owner.pool,
                    "uid": owner.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "backoffLimit": limits.backoff_limit,
            "activeDeadlineSeconds": limits.active_deadline_seconds,
            "ttlSecondsAfterFinished": limits.ttl_seconds,
            "podFailurePolicy": {
                "rules": [
                    # A pod that a node's drain took is no failure of ours: it does not count against backoffLimit.
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": CONTAINER,
                            "operator": "In",
                            "values": list(PERMANENT_EXIT_CODES),
                        },
                    },
                ]
            },
            "template": dict(pod_template),
        },
    }


def pod_template(spec: CampaignPoolSpec, marks: Mapping[str, str], container: Mapping[str, Any]) -> dict[str, Any]:
    """Give the template of a Job's pods: as little as can be allowed, and what `seeding.podTemplate` changes."""
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [dict(container)],
    }
    changes = spec.seeding.pod_template
    metadata: dict[str, Any] = {"labels": dict(marks)}
    if changes:
        # Ours win: the selector of the scale subresource and the loop go by them.
        metadata["labels"] = {**(changes.labels or {}), **marks}
        metadata |= {"annotations": dict(changes.annotations)} if changes.annotations else {}
        pod = merged(pod, changes.spec or {})
    return {"metadata": metadata, "spec": pod}


def container(
    spec: CampaignPoolSpec,
    default_image: str,
    module: str,
    arguments: Mapping[str, str],
    secrets: Mapping[str, tuple[str, str]],
) -> dict[str, Any]:
    """Give the one container of a pod.

    Args:
        spec: What is wanted of the pool.
        default_image: Where the pool names none.
        module: What Python runs.
        arguments: Options and their values.
        secrets: Environment variables, each with a Secret's name and its key.
    """
    resources = spec.seeding.resources
    return {
        "name": CONTAINER,
        "image": spec.seeding.image or default_image,
        "command": ["python", "-m", module],
        # One word each: an owner may begin with a dash, or be empty.
        "args": [*(f"{name}={value}" for name, value in arguments.items()), "--json-logs"],
        "env": [
            {"name": variable, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}
            for variable, (name, key) in secrets.items()
        ],
        "resources": {
            "requests": dict((resources and resources.requests) or _REQUESTS),
            "limits": dict((resources and resources.limits) or _LIMITS),
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def merged(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a JSON merge patch (RFC 7396); lists of containers are merged by name, other lists are replaced."""
    result = copy.deepcopy(dict(target))
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif key in ("containers", "initContainers") and isinstance(value, list):
            result[key] = _by_name(result.get(key, []), value)
        elif isinstance(value, Mapping):
            current = result.get(key)
            result[key] = merged(current if isinstance(current, Mapping) else {}, value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def _by_name(target: Sequence[dict[str, Any]], patch: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    containers = {each["name"]: each for each in target}
    for each in patch:
        containers[each.get("name", CONTAINER)] = merged(containers.get(each.get("name", CONTAINER), {}), each)
    return list(containers.values())
