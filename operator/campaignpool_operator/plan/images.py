"""What to do about images, purely: from everything one loop observed to actions, each with its reason.

Images do not wait for rows, nor rows for images: images Jobs go on while the blueprint is broken or the pool is
paused, since campaigns that exist may be claimed or were claimed.

One images Job at a time processes what is due and exits. While the account's circuit breaker is open, nothing is due.
Failed Jobs are followed by growing pauses; the last of them carries their number. They are retried without a limit:
the cause is mostly a Secret or an account, and fixing either does not change the resource. `images.deadline` ends it.
A Job without a started pod is replaced after `seeding.startDeadlineSeconds` and the pause; it stays until then, as
it carries their number.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from campaignpool.api.reasons import Reason
from campaignpool.backoff import retry_delay
from campaignpool.ledger.images import ImageTotals
from campaignpool_operator.facts import Observed
from campaignpool_operator.jobs.images import BACKOFF_SECONDS
from campaignpool_operator.jobs.managed import ManagedJob
from campaignpool_operator.jobs.pods import JobPods, Obstacle
from campaignpool_operator.plan.actions import CreateImagesJob, DeleteJob, ImagesAction, RetryImages
from campaignpool_operator.plan.failures import not_started

ACTIVE_SECONDS = 15.0
"""While a Job copies, look this often how far it is."""

STARTING_SECONDS = 5.0
"""While no pod of a Job has started, look this often why."""


@dataclass(frozen=True)
class ImagesFailures:
    """Images Jobs of this generation that failed since one succeeded.

    Attributes:
        count: How many in a row.
        wait: Seconds until the next one is made, where something is due; 0: now.
        cause: Of the last of them, `reason: message`.
    """

    count: int = 0
    wait: float = 0.0
    cause: str = ""


@dataclass(frozen=True)
class ImagesPlan:
    """What to do, and what there is to say about it.

    Attributes:
        actions: In this order; where one fails, those after it wait for the next loop.
        failures: Of images Jobs.
        obstacle: Why the active Job does not run.
        next_check: Seconds until the next loop at the latest; None: whenever something happens.
    """

    actions: tuple[ImagesAction, ...] = ()
    failures: ImagesFailures = ImagesFailures()
    obstacle: Obstacle | None = None
    next_check: float | None = None


def plan(observed: Observed) -> ImagesPlan:
    """Decide what to do about a pool's images. Never raises; nothing to do is an empty list."""
    if observed.ledger is None or observed.spec is None:
        return ImagesPlan()
    images = observed.ledger.images
    failures = _failures(observed, images)
    asked = _asked(observed)
    actions: list[ImagesAction] = [RetryImages(asked)] if asked else []
    active = [job for job in observed.image_jobs if job.active]
    if active:
        actions += _superseded(observed, active)
        obstacle = next((pods.obstacle for job in active if (pods := observed.pods.get(job.name)) is not None), None)
        started = any(observed.pods.get(job.name, JobPods()).started for job in active)
        again = ACTIVE_SECONDS if started else STARTING_SECONDS
        result = ImagesPlan(tuple(actions), failures, obstacle, again)
        deletes = any(isinstance(action, DeleteJob) for action in actions)
        return result if deletes else _replaced(observed, active, result)
    if observed.images_fault is not None:
        return ImagesPlan(tuple(actions), failures)
    # Who asks for another try has fixed something: no pause then.
    again = bool(asked and images.failed) and not any(account.open for account in images.accounts)
    if again or (images.due and not failures.wait):
        number = _number(observed)
        reason = f"images of {images.due} campaigns are due" if images.due else "another try was asked for"
        actions.append(CreateImagesJob(number, failures.count, images.due or images.partial, reason))
    return ImagesPlan(tuple(actions), failures, next_check=_next_check(images, failures))


def _superseded(observed: Observed, active: list[ManagedJob]) -> Iterator[DeleteJob]:
    """Yield Jobs that were made from other settings, or whose worker ended beside a container that goes on."""
    for job in active:
        pods = observed.pods.get(job.name)
        if job.deleting:
            continue
        if job.settings != observed.images_settings:
            yield DeleteJob(job.name, job.uid, "what it was made from has changed", "Images")
        elif pods is not None and pods.exit_code == 0:
            yield DeleteJob(job.name, job.uid, "it is done, and another container keeps its pod running", "Images")


def _replaced(observed: Observed, active: list[ManagedJob], result: ImagesPlan) -> ImagesPlan:
    """Return the plan with an active Job replaced that no pod started for in time, once the pause is over."""
    job, spec = max(active, key=lambda job: job.number), observed.spec
    deadline = spec.seeding.start_deadline_seconds if spec is not None else 0
    obstacle = not_started(observed, job, deadline)
    if obstacle is None:
        return result
    count = job.failures + 1
    wait = deadline + retry_delay(count, *BACKOFF_SECONDS) - observed.cluster_age(job.since)
    failures = ImagesFailures(count, max(0.0, wait), f"{obstacle.reason}: {obstacle.message}")
    times = f"{count} images Jobs in a row did not start" if job.failures else "the images Job did not start"
    told = f"{obstacle.message.rstrip('.')}; {times}; the next is created after a pause"
    result = replace(result, failures=failures, obstacle=replace(obstacle, message=told))
    if failures.wait:
        return replace(result, next_check=min(STARTING_SECONDS, failures.wait))
    due = observed.ledger.images.due if observed.ledger is not None else 0
    if not due or observed.images_fault is not None:
        return result
    late = f"no pod of it started within {deadline} s"
    deletion = DeleteJob(job.name, job.uid, late, "Images")
    creation = CreateImagesJob(_number(observed), count, due, f"for Job {job.name}: {late}")
    return replace(result, actions=(*result.actions, deletion, creation))


def _number(observed: Observed) -> int:
    return 1 + max((job.number for job in observed.image_jobs), default=0)


def _asked(observed: Observed) -> str:
    """Return the annotation's value where it was not obeyed yet."""
    existing = observed.pool.status.images
    asked = observed.pool.retry_images
    return "" if existing is not None and existing.retried == asked else asked


def _failures(observed: Observed, images: ImageTotals) -> ImagesFailures:
    ended = [job for job in observed.image_jobs if not job.active]
    last = max(ended, key=lambda job: job.number, default=None)
    # A change of the resource is a reason to try at once.
    if last is None or last.generation != observed.pool.generation:
        return ImagesFailures()
    cause = _cause(observed, last, images)
    if cause is None:
        return ImagesFailures()
    count = last.failures + 1
    age = observed.cluster_age(last.finished_at) if last.finished_at is not None else 0.0
    return ImagesFailures(count, max(0.0, retry_delay(count, *BACKOFF_SECONDS) - age), cause)


def _cause(observed: Observed, job: ManagedJob, images: ImageTotals) -> str | None:
    """Return why a Job that ended failed; None where it did what it could."""
    age = observed.cluster_age(job.created_at)
    if job.state == "Succeeded":
        if images.due_since is not None and observed.database_age(images.due_since) > age:
            return "JobIncomplete: the Job succeeded without doing what was due: check spec.seeding.image"
        return None
    progressed = images.last_finished_at is not None and observed.database_age(images.last_finished_at) <= age
    if job.reason == Reason.DEADLINE_EXCEEDED and progressed:
        return None  # there was more to do than fits into one Job
    pods = observed.pods.get(job.name)
    if pods is not None and pods.obstacle is not None:
        return f"{pods.obstacle.reason}: {pods.obstacle.message}"
    return ": ".join(part for part in (job.reason or Reason.JOB_FAILED, job.message) if part)


def _next_check(images: ImageTotals, failures: ImagesFailures) -> float | None:
    waits = [] if images.due_in is None else [max(images.due_in, 0.0)]
    if images.due and failures.wait:
        waits.append(failures.wait)
    return min(waits, default=None)
