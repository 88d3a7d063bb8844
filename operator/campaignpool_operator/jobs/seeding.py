"""Seeding Jobs, purely: what they are called and what is in them."""

from campaignpool.api.spec import CampaignPoolSpec
from campaignpool_operator.jobs import managed
from campaignpool_operator.jobs.managed import COUNT, NUMBER, JobSpec, PoolRef

COMPONENT = "seeder"


def job_name(pool: str, number: int) -> str:
    """Return a Job's name, the same for the same arguments: a repeated loop meets the Job it made before."""
    tail = f"-seed-{number}"
    return managed.shortened(pool, managed.NAME - len(tail)) + tail


def selector(pool: str) -> str:
    """Return the label selector of a pool's seeding pods."""
    return f"{managed.selector(pool)},{managed.COMPONENT}={COMPONENT}"


def job(pool: PoolRef, spec: CampaignPoolSpec, number: int, count: int) -> JobSpec:
    """Return the `number`th seeding Job of a pool, which makes up to `count` campaigns."""
    seeding, secret = spec.seeding, spec.database.secret_ref
    name = job_name(pool.name, number)
    return JobSpec(
        name=name,
        component=COMPONENT,
        module="campaignpool_seeder",
        annotations={NUMBER: str(number), COUNT: str(count)},
        arguments={
            "--pool": f"{pool.namespace}/{pool.name}",
            "--job": name,
            "--number": str(number),
            "--count": str(count),
            "--generation": str(pool.generation),
            "--job-size": str(seeding.job_size),
            "--linger-seconds": str(seeding.linger_seconds),
            "--work-seconds": str(seeding.active_deadline_seconds // 2),
            "--batch-size": str(seeding.batch_size),
            "--fallback": seeding.fallback,
            "--max-connections": str(spec.database.max_connections),
        },
        secrets={"CAMPAIGNPOOL_DATABASE_URL": (secret.name, secret.key)},
        backoff_limit=seeding.backoff_limit,
        active_deadline_seconds=seeding.active_deadline_seconds,
        ttl_seconds=seeding.ttl_seconds_after_finished,
    )
