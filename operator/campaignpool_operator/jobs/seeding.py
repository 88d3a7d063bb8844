"""Seeding Jobs, purely: what they are called, what is in them, and what can be read back out of one.

A Job carries whose campaigns it makes, its number and its count in annotations, so that the loop needs no memory
of its own: whatever it made, it finds again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from campaignpool.api.resource import GROUP
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool_operator.jobs import parts as job_parts
from campaignpool_operator.jobs.parts import GENERATION, NUMBER, Limits, Owner, State

OWNER_LABEL = f"{GROUP}/owner"
OWNER = f"{GROUP}/owner-id"
COUNT = f"{GROUP}/count"

COMPONENT = "seeder"


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
    state: State
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
    return job_parts.shortened(pool, job_parts.NAME - len(tail)) + tail


def selector(pool: str) -> str:
    """Give the label selector of a pool's seeding pods."""
    return f"{job_parts.selector(pool)},{job_parts.COMPONENT}={COMPONENT}"


def parse(job: Mapping[str, Any]) -> SeedJob | None:
    """Read a Job of ours back; None for one that only wears our label, or does not seed."""
    meta, end = job["metadata"], job_parts.end_of(job)
    notes = meta.get("annotations", {})
    try:
        number, count, generation = (int(notes[key]) for key in (NUMBER, COUNT, GENERATION))
        owner = notes[OWNER]
    except (KeyError, ValueError):
        return None
    return SeedJob(
        name=meta["name"],
        uid=meta["uid"],
        owner=owner,
        number=number,
        count=count,
        generation=generation,
        created_at=datetime.fromisoformat(meta["creationTimestamp"]),
        deleting=bool(meta.get("deletionTimestamp")),
        state=end.state,
        finished_at=end.finished_at,
        reason=end.reason,
        message=end.message,
    )


def build(request: Request, spec: CampaignPoolSpec, default_image: str) -> dict[str, Any]:
    """Give the whole Job; nothing but its arguments goes into it."""
    seeding, secret = spec.seeding, spec.database.secret_ref
    name = job_name(request.pool, request.owner, request.number)
    marks = {**job_parts.labels(request.pool, COMPONENT), OWNER_LABEL: owner_hash(request.owner)}
    notes = {
        OWNER: request.owner,
        NUMBER: str(request.number),
        COUNT: str(request.count),
        GENERATION: str(request.generation),
    }
    arguments = {
        "--pool": f"{request.namespace}/{request.pool}",
        "--owner": request.owner,
        "--job": name,
        "--number": str(request.number),
        "--count": str(request.count),
        "--generation": str(request.generation),
        "--batch-size": str(seeding.batch_size),
        "--fallback": seeding.fallback,
        "--max-connections": str(spec.database.max_connections),
    }
    secrets = {"CAMPAIGNPOOL_DATABASE_URL": (secret.name, secret.key)}
    container = job_parts.container(spec, default_image, "campaignpool_seeder", arguments, secrets)
    return job_parts.job(
        Owner(request.namespace, request.pool, request.uid),
        name,
        marks,
        notes,
        Limits(seeding.backoff_limit, seeding.active_deadline_seconds, seeding.ttl_seconds_after_finished),
        job_parts.pod_template(spec, marks, container),
    )
