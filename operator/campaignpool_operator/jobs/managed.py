"""One model of a Job of ours: what it is made of, and what is read back out of one.

A Job carries what it was asked for in annotations, so the operator finds again whatever it made.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal, TypeAlias

from campaignpool.api.resource import GROUP, KIND, VERSION
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool_operator.jobs import pod

MANAGED_BY = "campaignpool-operator"
POOL_LABEL = f"{GROUP}/pool"
COMPONENT = "app.kubernetes.io/component"
"""Label that tells the two kinds of Jobs apart: `seeder` or `images`."""

NUMBER = f"{GROUP}/number"
GENERATION = f"{GROUP}/generation"
COUNT = f"{GROUP}/count"
FAILURES = f"{GROUP}/failures"
SETTINGS = f"{GROUP}/settings"

SELECTOR = f"app.kubernetes.io/managed-by={MANAGED_BY}"
"""Label selector of every Job and pod of ours."""

TRANSIENT_EXIT_CODE = 75
"""With which the seeder ends after its retries, where the cause may pass by itself."""

PERMANENT_EXIT_CODES = (65, 78)
"""Of sysexits.h: the data were refused, the configuration is wrong. A retry of the pod cannot help."""

NAME = 63
"""Longest name of a Job: its pods' names begin with it, and a pod's name is a label."""

State: TypeAlias = Literal["Active", "Succeeded", "Failed"]


@dataclass(frozen=True)
class PoolRef:
    """The pool that a Job is made for, at a generation of its resource."""

    namespace: str
    name: str
    uid: str
    generation: int = 1


@dataclass(frozen=True)
class JobSpec:
    """What a Job is made of beside its pool; `jobs.seeding` and `jobs.images` make these.

    Attributes:
        component: `seeder` or `images`.
        module: What Python runs.
        arguments: Command line options and their values.
        secrets: Environment variables, each with a Secret's name and its key.
        annotations: What is read back by `parse`.
    """

    name: str
    component: str
    module: str
    arguments: Mapping[str, str]
    secrets: Mapping[str, tuple[str, str]]
    annotations: Mapping[str, str]
    backoff_limit: int
    active_deadline_seconds: int
    ttl_seconds: int


@dataclass(frozen=True)
class ManagedJob:
    """A Job of ours as the API has it.

    Attributes:
        component: `seeder` or `images`.
        number: Counts the seeding Jobs of a pool, or its images Jobs.
        count: Most campaigns that a seeding Job makes.
        failures: How many images Jobs before this one failed in a row.
        settings: Hash of what an images Job was made from.
        state: `Active` until the Job has a terminal condition, also while it is being deleted.
        suspended: Somebody, such as Kueue, keeps it from having pods.
        started_at: When it was first not suspended, or resumed.
        finished_at: When it ended, by the API server's clock.
        reason: CamelCase cause of a failure, as Kubernetes gives it.
    """

    name: str
    uid: str
    component: str
    number: int
    generation: int
    created_at: datetime
    deleting: bool
    state: State
    count: int = 0
    failures: int = 0
    settings: str = ""
    suspended: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None
    reason: str | None = None
    message: str | None = None

    @property
    def since(self) -> datetime:
        """When it was created, or resumed after it was suspended, by the API server's clock."""
        return self.started_at or self.created_at

    @property
    def active(self) -> bool:
        """Whether it has not ended."""
        return self.state == "Active"

    @property
    def run(self) -> tuple[str, int, int, int]:
        """The run of a seeding Job as `ledger.finish_run` takes it."""
        return self.name, self.number, self.count, self.generation


def build(pool: PoolRef, job: JobSpec, spec: CampaignPoolSpec, default_image: str) -> dict[str, Any]:
    """Return the whole Job.

    Args:
        pool: Its controller.
        job: What it does.
        spec: What the pool's resource asks of Jobs.
        default_image: Image of the seeder, where the pool names none.
    """
    labels = labels_of(pool.name, job.component)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job.name,
            "namespace": pool.namespace,
            "labels": labels,
            "annotations": {**job.annotations, GENERATION: str(pool.generation)},
            "ownerReferences": [
                {
                    "apiVersion": f"{GROUP}/{VERSION}",
                    "kind": KIND,
                    "name": pool.name,
                    "uid": pool.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "backoffLimit": job.backoff_limit,
            "activeDeadlineSeconds": job.active_deadline_seconds,
            "ttlSecondsAfterFinished": job.ttl_seconds,
            "podFailurePolicy": {
                "rules": [
                    # A pod that a node's drain evicted does not count against backoffLimit.
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": pod.CONTAINER,
                            "operator": "In",
                            "values": list(PERMANENT_EXIT_CODES),
                        },
                    },
                ]
            },
            "template": pod.template(
                spec, labels, pod.container(spec, default_image, job.module, job.arguments, job.secrets)
            ),
        },
    }


def parse(job: Mapping[str, Any]) -> ManagedJob | None:
    """Return a Job of ours as it was read back; None for one that only wears our labels."""
    metadata, status = job["metadata"], job.get("status") or {}
    annotations, component = metadata.get("annotations") or {}, (metadata.get("labels") or {}).get(COMPONENT)
    try:
        number, generation = int(annotations[NUMBER]), int(annotations[GENERATION])
        if component == "seeder":
            asked: dict[str, Any] = {"count": int(annotations[COUNT])}
        elif component == "images":
            asked = {"failures": int(annotations[FAILURES]), "settings": annotations[SETTINGS]}
        else:
            return None
    except (KeyError, ValueError):
        return None
    conditions = {statu["type"]: statu for statu in status.get("conditions") or () if statu.get("status") == "True"}
    end: Mapping[str, Any] = conditions.get("Failed") or conditions.get("Complete") or {}
    when = end.get("lastTransitionTime") or status.get("completionTime") or metadata["creationTimestamp"]
    return ManagedJob(
        name=metadata["name"],
        uid=metadata["uid"],
        component=component,
        number=number,
        generation=generation,
        created_at=datetime.fromisoformat(metadata["creationTimestamp"]),
        deleting=bool(metadata.get("deletionTimestamp")),
        state="Failed" if "Failed" in conditions else "Succeeded" if end else "Active",
        suspended="Suspended" in conditions,
        started_at=datetime.fromisoformat(status["startTime"]) if status.get("startTime") else None,
        finished_at=datetime.fromisoformat(when) if end else None,
        reason=end.get("reason") if "Failed" in conditions else None,
        message=end.get("message") if "Failed" in conditions else None,
        **asked,
    )


def owned(objects: Iterable[Mapping[str, Any]], uid: str) -> list[Mapping[str, Any]]:
    """Return the objects that an owner of this uid has; another pool of the same label may have had the others."""
    return [
        item
        for item in objects
        if any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences") or ())
    ]


def pool_label(pool: str) -> str:
    """Return a pool's name as a label's value; a name longer than a label is cut and told apart by a hash."""
    return shortened(pool, NAME)


def selector(pool: str) -> str:
    """Return the label selector of a pool's Jobs and pods."""
    return f"{POOL_LABEL}={pool_label(pool)}"


def shortened(name: str, length: int) -> str:
    """Cut a name that is too long, and tell it apart by a hash."""
    # Dots are for subdomains; the name of a pod is a label of one.
    name = name.replace(".", "-") if length < NAME else name
    if len(name) <= length:
        return name
    digest = sha256(name.encode()).hexdigest()[:8]
    return f"{name[: length - 9].rstrip('-.')}-{digest}"


def labels_of(pool: str, component: str) -> dict[str, str]:
    """Return the labels of a Job and of its pods."""
    return {
        "app.kubernetes.io/name": "campaignpool-seeder",
        "app.kubernetes.io/instance": pool_label(pool),
        COMPONENT: component,
        "app.kubernetes.io/part-of": "campaignpool",
        "app.kubernetes.io/managed-by": MANAGED_BY,
        POOL_LABEL: pool_label(pool),
    }
