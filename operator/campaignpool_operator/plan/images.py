"""What to do about images, purely: from everything one loop observed to actions, each with its reason.

Rows never wait for images, nor images for rows: their Jobs count in nothing that seeding counts, and they go on while
a fault of the blueprint keeps campaigns from being made. They also go on while the pool is paused: nothing is made or
retired then, but campaigns that are there may be claimed or have been, and their images are owed to somebody.

One images Job at a time works off what is due, and ends. Where the breaker of the account is open, nothing is due
until it closes. Jobs that fail one after the other are followed by growing pauses; the last of them carries their
number, so that nothing has to be remembered. There is no end to the trying, as there is for seeding: what is to be
mended is a Secret or an account, and no change of the resource would tell of it. `images.deadline` ends it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from campaignpool.backoff import retry_delay
from campaignpool.ledger.images import ImageTotals
from campaignpool_operator.facts import Observed
from campaignpool_operator.jobs.images import BACKOFF_SECONDS
from campaignpool_operator.jobs.managed import ManagedJob
from campaignpool_operator.plan.actions import CreateImagesJob, DeleteJob, ImagesAction, RetryImages

AT_WORK_SECONDS = 15.0
"""While a Job is at work, look this often how far it is."""


@dataclass(frozen=True)
class ImagesFailures:
    """Images Jobs of this generation that failed since one went well.

    Attributes:
        count: How many, one after the other.
        resume_at: When the next one is made, where something is due.
        cause: Of the last of them, `reason: message`.
    """

    count: int = 0
    resume_at: datetime | None = None
    cause: str = ""

    @property
    def pause(self) -> int:
        """Seconds to wait after the last failure."""
        return int(retry_delay(self.count, *BACKOFF_SECONDS))


@dataclass(frozen=True)
class ImagesPlan:
    """What to do, and what there is to say about it.

    Attributes:
        actions: In this order; where one fails, those after it wait for the next loop.
        failures: Of images Jobs.
        next_check: Seconds after which to look again by all means; None: whenever something happens.
    """

    actions: tuple[ImagesAction, ...] = ()
    failures: ImagesFailures = ImagesFailures()
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
        actions += [
            DeleteJob(job.name, job.uid, "what it was made from has changed", "Images")
            for job in active
            if not job.deleting and job.settings != observed.images_settings
        ]
        return ImagesPlan(tuple(actions), failures, AT_WORK_SECONDS)
    if observed.images_fault is not None:
        return ImagesPlan(tuple(actions), failures)
    # Whoever asks to try again has mended something: no pause is worth the wait then.
    again = bool(asked and images.failed) and not any(account.open for account in images.accounts)
    waiting = failures.resume_at is not None and failures.resume_at > observed.now
    if again or (images.due and not waiting):
        number = 1 + max((job.number for job in observed.image_jobs), default=0)
        reason = f"images of {images.due} campaigns are due" if images.due else "another try was asked for"
        actions.append(CreateImagesJob(number, failures.count, images.due or images.partial, reason))
    return ImagesPlan(tuple(actions), failures, _next_check(observed, images, failures))


def _asked(observed: Observed) -> str:
    """Give the annotation's value where it was not obeyed yet."""
    known = observed.pool.status.images
    asked = observed.pool.retry_images
    return "" if known is not None and known.retried == asked else asked


def _failures(observed: Observed, images: ImageTotals) -> ImagesFailures:
    ended = [job for job in observed.image_jobs if not job.active]
    last = max(ended, key=lambda job: job.number, default=None)
    # A change of the resource is a reason to try at once.
    if last is None or last.generation != observed.pool.generation:
        return ImagesFailures()
    cause = _fault_of(last, images)
    if cause is None:
        return ImagesFailures()
    failures = ImagesFailures(last.failures + 1, None, cause)
    # An API server whose clock runs ahead must not lengthen the pause.
    ended_at = min(last.finished_at or observed.now, observed.now)
    return ImagesFailures(failures.count, ended_at + timedelta(seconds=failures.pause), cause)


def _fault_of(job: ManagedJob, images: ImageTotals) -> str | None:
    """Say what was wrong with a Job that ended; None where it did what it could."""
    if job.state == "Succeeded":
        if images.due_since is not None and images.due_since < job.created_at:
            return "JobIncomplete: the Job ended well without doing what was due: is seeding.image a seeder?"
        return None
    progressed = images.last_finished_at is not None and images.last_finished_at >= job.created_at
    if job.reason == "DeadlineExceeded" and progressed:
        return None  # there was more to do than fits into one Job
    return ": ".join(part for part in (job.reason or "JobFailed", job.message) if part)


def _next_check(observed: Observed, images: ImageTotals, failures: ImagesFailures) -> float | None:
    waits = [] if images.due_in is None else [max(images.due_in, 0.0)]
    if images.due and failures.resume_at is not None and failures.resume_at > observed.now:
        waits.append((failures.resume_at - observed.now).total_seconds())
    return min(waits, default=None)
