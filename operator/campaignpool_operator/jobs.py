"""Seeding Jobs, purely: what they are called, what is in them, and what can be read back out of one.

A Job carries whose campaigns it makes, its number and its count in annotations, so that the loop needs no memory
of its own: whatever it made, it finds again.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal

from campaignpool import api
from campaignpool.api import CampaignPoolSpec

MANAGED_BY = "campaignpool-operator"
CONTAINER = "seeder"
POOL_LABEL = f"{api.GROUP}/pool"
OWNER_LABEL = f"{api.GROUP}/owner"
OWNER = f"{api.GROUP}/owner-id"
NUMBER = f"{api.GROUP}/number"
COUNT = f"{api.GROUP}/count"
GENERATION = f"{api.GROUP}/generation"

SELECTOR = f"app.kubernetes.io/managed-by={MANAGED_BY}"
"""Label selector of every Job of ours."""

PERMANENT_EXIT_CODES = (65, 78)
"""Of sysexits.h: the data were refused, the configuration is wrong. A retry of the pod cannot help."""

USER = 65532
"""Unix user and group of the seeder: nobody that a node knows."""

_NAME = 63
_REQUESTS = {"cpu": "50m", "memory": "64Mi"}
_LIMITS = {"memory": "256Mi"}


@dataclass(frozen=True)
class SeedJob:
    """A seeding Job as the API has it.

    Attributes:
        state: `Active` until the Job has a terminal condition, also while it is being deleted.
        finished_at: When it ended.
        reason: CamelCase cause of a failure, as Kubernetes gives it.
    """

    name: str
    uid: str
    owner: str
    number: int
    count: int
    generation: int
    created_at: datetime
    deleting: bool
    state: Literal["Active", "Succeeded", "Failed"]
    finished_at: datetime | None = None
    reason: str | None = None
    message: str | None = None

    @property
    def run(self) -> tuple[str, str, int, int, int]:
        """The run as `ledger.finish_run` takes it."""
        return self.name, self.owner, self.number, self.count, self.generation


@dataclass(frozen=True)
class Request:
    """What one Job is asked for: `count` campaigns of `owner`, as the `number`th Job of that owner."""

    namespace: str
    pool: str
    uid: str
    generation: int
    owner: str
    number: int
    count: int


def owner_hash(owner: str) -> str:
    """Give 8 hex digits for an owner; ids may be longer than a label and hold characters that names cannot."""
    return sha256((owner or "master").encode()).hexdigest()[:8]


def job_name(pool: str, owner: str, number: int) -> str:
    """Name a Job, the same for the same arguments: a loop that is repeated meets the Job it made before."""
    tail = f"-{owner_hash(owner)}-{number}"
    return _shortened(pool, _NAME - len(tail)) + tail


def pool_label(pool: str) -> str:
    """Give a pool's name as a label's value; a name longer than a label is cut and told apart by a hash."""
    return _shortened(pool, _NAME)


def selector(pool: str) -> str:
    """Give the label selector of a pool's Jobs and pods."""
    return f"{POOL_LABEL}={pool_label(pool)}"


def _shortened(name: str, length: int) -> str:
    # Dots are for subdomains; the name of a pod is a label of one.
    name = name.replace(".", "-") if length < _NAME else name
    if len(name) <= length:
        return name
    digest = sha256(name.encode()).hexdigest()[:8]
    return f"{name[: length - 9].rstrip('-.')}-{digest}"


def parse(job: Mapping[str, Any]) -> SeedJob | None:
    """Read a Job of ours back; None for one that only wears our label."""
    meta, status = job["metadata"], job.get("status", {})
    notes = meta.get("annotations", {})
    try:
        number, count, generation = (int(notes[key]) for key in (NUMBER, COUNT, GENERATION))
        owner = notes[OWNER]
    except (KeyError, ValueError):
        return None
    ended = {each["type"]: each for each in status.get("conditions", ()) if each.get("status") == "True"}
    last: Mapping[str, Any] = ended.get("Failed") or ended.get("Complete") or {}
    when = last.get("lastTransitionTime") or status.get("completionTime") or meta["creationTimestamp"]
    return SeedJob(
        name=meta["name"],
        uid=meta["uid"],
        owner=owner,
        number=number,
        count=count,
        generation=generation,
        created_at=datetime.fromisoformat(meta["creationTimestamp"]),
        deleting=bool(meta.get("deletionTimestamp")),
        state="Failed" if "Failed" in ended else "Succeeded" if "Complete" in ended else "Active",
        finished_at=datetime.fromisoformat(when) if last else None,
        reason=last.get("reason") if "Failed" in ended else None,
        message=last.get("message") if "Failed" in ended else None,
    )


def build(request: Request, spec: CampaignPoolSpec, default_image: str) -> dict[str, Any]:
    """Give the whole Job; nothing but its arguments goes into it."""
    labels = {
        "app.kubernetes.io/name": "campaignpool-seeder",
        "app.kubernetes.io/instance": pool_label(request.pool),
        "app.kubernetes.io/component": "seeder",
        "app.kubernetes.io/part-of": "campaignpool",
        "app.kubernetes.io/managed-by": MANAGED_BY,
        POOL_LABEL: pool_label(request.pool),
        OWNER_LABEL: owner_hash(request.owner),
    }
    notes = {
        OWNER: request.owner,
        NUMBER: str(request.number),
        COUNT: str(request.count),
        GENERATION: str(request.generation),
    }
    seeding = spec.seeding
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(request.pool, request.owner, request.number),
            "namespace": request.namespace,
            "labels": labels,
            "annotations": notes,
            "ownerReferences": [
                {
                    "apiVersion": f"{api.GROUP}/{api.VERSION}",
                    "kind": api.KIND,
                    "name": request.pool,
                    "uid": request.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "backoffLimit": seeding.backoff_limit,
            "activeDeadlineSeconds": seeding.active_deadline_seconds,
            "ttlSecondsAfterFinished": seeding.ttl_seconds_after_finished,
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
            "template": _pod_template(request, spec, default_image, labels),
        },
    }


def _pod_template(
    request: Request, spec: CampaignPoolSpec, default_image: str, labels: Mapping[str, str]
) -> dict[str, Any]:
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
        "containers": [_container(request, spec, default_image)],
    }
    changes = spec.seeding.pod_template
    metadata: dict[str, Any] = {"labels": dict(labels)}
    if changes:
        # Ours win: the selector of the scale subresource and the loop go by them.
        metadata["labels"] = {**(changes.labels or {}), **labels}
        metadata |= {"annotations": dict(changes.annotations)} if changes.annotations else {}
        pod = merged(pod, changes.spec or {})
    return {"metadata": metadata, "spec": pod}


def _container(request: Request, spec: CampaignPoolSpec, default_image: str) -> dict[str, Any]:
    seeding, resources, secret = spec.seeding, spec.seeding.resources, spec.database.secret_ref
    arguments = {
        "--pool": f"{request.namespace}/{request.pool}",
        "--owner": request.owner,
        "--job": job_name(request.pool, request.owner, request.number),
        "--number": str(request.number),
        "--count": str(request.count),
        "--generation": str(request.generation),
        "--batch-size": str(seeding.batch_size),
        "--fallback": seeding.fallback,
        "--max-connections": str(spec.database.max_connections),
    }
    return {
        "name": CONTAINER,
        "image": seeding.image or default_image,
        "command": ["python", "-m", "campaignpool_seeder"],
        # One word each: an owner may begin with a dash, or be empty.
        "args": [*(f"{name}={value}" for name, value in arguments.items()), "--json-logs"],
        "env": [
            {
                "name": "CAMPAIGNPOOL_DATABASE_URL",
                "valueFrom": {"secretKeyRef": {"name": secret.name, "key": secret.key}},
            }
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


def _by_name(target: list[dict[str, Any]], patch: list[dict[str, Any]]) -> list[dict[str, Any]]:
    containers = {each["name"]: each for each in target}
    for each in patch:
        containers[each.get("name", CONTAINER)] = merged(containers.get(each.get("name", CONTAINER), {}), each)
    return list(containers.values())
