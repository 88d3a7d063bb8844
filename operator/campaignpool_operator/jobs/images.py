"""Images Jobs, purely: what they are called, what is in them, and what can be read back out of one.

One Job works off what is due of a pool's images, and ends. It carries in annotations its number, how many Jobs before
it failed one after the other, and a hash of what it was made from, so that the loop needs no memory of its own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from campaignpool.api.resource import GROUP, seconds
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool_operator.jobs import parts as job_parts
from campaignpool_operator.jobs.parts import GENERATION, NUMBER, Limits, Owner, State

FAILURES = f"{GROUP}/failures"
SETTINGS = f"{GROUP}/settings"

COMPONENT = "images"

BACKOFF_SECONDS = 10
BACKOFF_LIMIT = 600
"""First and longest pause after a Job that failed; each that follows is twice as long."""

KEPT_SECONDS = 1800
"""A Job is kept for so long at least, whatever `seeding.ttlSecondsAfterFinished` says: the last one says how many
failed, and has to outlast the longest pause."""

MARGIN_SECONDS = 600
"""Beyond `images.deadline`: the worker ends by itself before it is ended."""


@dataclass(frozen=True)
class ImagesJob:
    """An images Job as the API has it.

    Attributes:
        failures: How many Jobs before it failed, one after the other.
        settings: Hash of what it was made from.
        state: `Active` until the Job has a terminal condition, also while it is being deleted.
        finished_at: When it ended.
        reason: CamelCase cause of a failure, as Kubernetes gives it.
    """

    name: str
    uid: str
    number: int
    failures: int
    generation: int
    settings: str
    created_at: datetime
    deleting: bool
    state: State
    finished_at: datetime | None = None
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class Request:
    """The `number`th images Job of a pool, after so many failures."""

    owner: Owner
    generation: int
    number: int
    failures: int


def job_name(pool: str, number: int) -> str:
    """Name a Job, the same for the same arguments: a loop that is repeated meets the Job it made before."""
    tail = f"-images-{number}"
    return job_parts.shortened(pool, job_parts.NAME - len(tail)) + tail


def parse(job: Mapping[str, Any]) -> ImagesJob | None:
    """Read a Job of ours back; None for one that copies no images, or only wears our labels."""
    meta, end = job["metadata"], job_parts.end_of(job)
    notes = meta.get("annotations", {})
    if meta.get("labels", {}).get(job_parts.COMPONENT) != COMPONENT:
        return None
    try:
        number, failures, generation = (int(notes[key]) for key in (NUMBER, FAILURES, GENERATION))
        settings = notes[SETTINGS]
    except (KeyError, ValueError):
        return None
    return ImagesJob(
        name=meta["name"],
        uid=meta["uid"],
        number=number,
        failures=failures,
        generation=generation,
        settings=settings,
        created_at=datetime.fromisoformat(meta["creationTimestamp"]),
        deleting=bool(meta.get("deletionTimestamp")),
        state=end.state,
        finished_at=end.finished_at,
        reason=end.reason,
        message=end.message,
    )


def settings(owner: Owner, spec: CampaignPoolSpec, default_image: str) -> str:
    """Give a hash of what a Job of this pool would be made from now."""
    made = [_pod_template(owner, spec, default_image), seconds(spec.images.deadline)]
    return sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]


def build(request: Request, spec: CampaignPoolSpec, default_image: str) -> dict[str, Any]:
    """Give the whole Job. The pool's `images.secretRef` has to be there."""
    notes = {
        NUMBER: str(request.number),
        FAILURES: str(request.failures),
        GENERATION: str(request.generation),
        SETTINGS: settings(request.owner, spec, default_image),
    }
    limits = Limits(
        backoff_limit=0,  # the next one is the loop's to make, after a pause that it can tell of
        active_deadline_seconds=seconds(spec.images.deadline) + MARGIN_SECONDS,
        ttl_seconds=max(spec.seeding.ttl_seconds_after_finished, KEPT_SECONDS),
    )
    return job_parts.job(
        request.owner,
        job_name(request.owner.pool, request.number),
        job_parts.labels(request.owner.pool, COMPONENT),
        notes,
        limits,
        _pod_template(request.owner, spec, default_image),
    )


def _pod_template(owner: Owner, spec: CampaignPoolSpec, default_image: str) -> dict[str, Any]:
    images, secret = spec.images, spec.database.secret_ref
    arguments = {
        "--pool": f"{owner.namespace}/{owner.pool}",
        # What a former strategy left is worked off file by file: that needs nothing but the files.
        "--strategy": images.strategy if images.copies else "CopyEach",
        "--folder": images.folder,
        **({"--endpoint": images.endpoint} if images.endpoint else {}),
        "--concurrency": str(images.concurrency),
        "--requests-per-second": str(images.requests_per_second),
        "--burst": str(images.burst),
        "--max-attempts": str(images.max_attempts),
        "--deadline": images.deadline,
        "--max-connections": str(spec.database.max_connections),
    }
    secrets = {"CAMPAIGNPOOL_DATABASE_URL": (secret.name, secret.key)}
    if images.secret_ref is not None:
        secrets["CAMPAIGNPOOL_IMAGES_KEY"] = (images.secret_ref.name, images.secret_ref.key)
    container = job_parts.container(spec, default_image, "campaignpool_seeder.images", arguments, secrets)
    return job_parts.pod_template(spec, job_parts.labels(owner.pool, COMPONENT), container)
