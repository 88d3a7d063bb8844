"""Seeding Jobs, purely: what they are called and what is in them."""

from hashlib import sha256

from campaignpool.api.resource import GROUP, MASTER
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool_operator.jobs import managed
from campaignpool_operator.jobs.managed import COUNT, NUMBER, OWNER, JobSpec, PoolRef

OWNER_LABEL = f"{GROUP}/owner"
COMPONENT = "seeder"


def owner_label(owner: str) -> str:
    """Return 16 hex digits for an owner, whose id may be longer than a label; no digits spell `master`."""
    return "master" if owner == MASTER else sha256(owner.encode()).hexdigest()[:16]


def job_name(pool: str, owner: str, number: int) -> str:
    """Return a Job's name, the same for the same arguments: a repeated loop meets the Job it made before."""
    tail = f"-{owner_label(owner)}-{number}"
    return managed.shortened(pool, managed.NAME - len(tail)) + tail


def selector(pool: str) -> str:
    """Return the label selector of a pool's seeding pods."""
    return f"{managed.selector(pool)},{managed.COMPONENT}={COMPONENT}"


def job(pool: PoolRef, spec: CampaignPoolSpec, owner: str, number: int, count: int) -> JobSpec:
    """Return the `number`th seeding Job of an owner, which makes `count` campaigns."""
    seeding, secret = spec.seeding, spec.database.secret_ref
    name = job_name(pool.name, owner, number)
    return JobSpec(
        name=name,
        component=COMPONENT,
        module="campaignpool_seeder",
        labels={OWNER_LABEL: owner_label(owner)},
        annotations={OWNER: owner, NUMBER: str(number), COUNT: str(count)},
        arguments={
            "--pool": f"{pool.namespace}/{pool.name}",
            "--owner": owner,
            "--job": name,
            "--number": str(number),
            "--count": str(count),
            "--generation": str(pool.generation),
            "--batch-size": str(seeding.batch_size),
            "--fallback": seeding.fallback,
            "--max-connections": str(spec.database.max_connections),
        },
        secrets={"CAMPAIGNPOOL_DATABASE_URL": (secret.name, secret.key)},
        backoff_limit=seeding.backoff_limit,
        active_deadline_seconds=seeding.active_deadline_seconds,
        ttl_seconds=seeding.ttl_seconds_after_finished,
    )
