"""Images Jobs, purely: what they are called and what is in them.

One Job processes all of a pool's due images and exits. It carries how many Jobs before it failed in a row and a hash
of what it was made from, so that the operator needs no memory of its own.
"""

import json
from dataclasses import replace
from hashlib import sha256

from campaignpool.api.resource import seconds
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool_operator.jobs import managed
from campaignpool_operator.jobs.managed import FAILURES, NUMBER, SETTINGS, JobSpec, PoolRef

COMPONENT = "images"

BACKOFF_SECONDS = (10, 600)
"""First and longest pause after a Job that failed; each that follows is twice as long."""

KEPT_SECONDS = 1800
"""A Job is kept for so long at least, whatever `seeding.ttlSecondsAfterFinished` says: the last one records how many
failed, and has to outlast the longest pause."""

MARGIN_SECONDS = 600
"""Beyond `images.deadline`: the worker ends by itself before it is ended."""


def job_name(pool: str, number: int) -> str:
    """Return a Job's name, the same for the same arguments: a repeated loop meets the Job it made before."""
    tail = f"-images-{number}"
    return managed.shortened(pool, managed.NAME - len(tail)) + tail


def settings(pool: PoolRef, spec: CampaignPoolSpec, default_image: str) -> str:
    """Return a hash of what a Job of this pool would be made from now."""
    built = managed.build(pool, _job(pool, spec, 0), spec, default_image)
    results = [built["spec"]["template"], seconds(spec.images.deadline)]
    return sha256(json.dumps(results, sort_keys=True).encode()).hexdigest()[:16]


def job(pool: PoolRef, spec: CampaignPoolSpec, default_image: str, number: int, failures: int) -> JobSpec:
    """Return the `number`th images Job of a pool, after so many failures. Its `images.secretRef` has to be set."""
    result = _job(pool, spec, number)
    annotations = {
        NUMBER: str(number),
        FAILURES: str(failures),
        SETTINGS: settings(pool, spec, default_image),
    }
    return replace(result, annotations=annotations)


def _job(pool: PoolRef, spec: CampaignPoolSpec, number: int) -> JobSpec:
    images, secret = spec.images, spec.database.secret_ref
    secrets = {"CAMPAIGNPOOL_DATABASE_URL": (secret.name, secret.key)}
    if images.secret_ref is not None:
        secrets["CAMPAIGNPOOL_IMAGES_KEY"] = (images.secret_ref.name, images.secret_ref.key)
    return JobSpec(
        name=job_name(pool.name, number),
        component=COMPONENT,
        module="campaignpool_seeder.images",
        annotations={},
        arguments={
            "--pool": f"{pool.namespace}/{pool.name}",
            # What a former strategy left is processed file by file: that needs nothing but the files.
            "--strategy": images.strategy if images.copies else "CopyEach",
            "--folder": images.folder,
            **({"--endpoint": images.endpoint} if images.endpoint else {}),
            "--concurrency": str(images.concurrency),
            "--requests-per-second": str(images.requests_per_second),
            "--burst": str(images.burst),
            "--max-attempts": str(images.max_attempts),
            "--deadline": images.deadline,
            "--max-connections": str(spec.database.max_connections),
        },
        secrets=secrets,
        backoff_limit=0,  # the operator makes the next one, after a pause that it reports
        active_deadline_seconds=seconds(images.deadline) + MARGIN_SECONDS,
        ttl_seconds=max(spec.seeding.ttl_seconds_after_finished, KEPT_SECONDS),
    )
