"""Runs that ended without saying so, and the pause that follows failed ones; pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from campaignpool.api.reasons import Reason, find
from campaignpool.backoff import retry_delay
from campaignpool.ledger.pools import Ledger
from campaignpool.ledger.seeding import HALT, RUNS_SEEN, Run
from campaignpool_operator.facts import Observed
from campaignpool_operator.jobs.managed import ManagedJob
from campaignpool_operator.jobs.pods import JobPods, Obstacle
from campaignpool_operator.plan.actions import FinishRun

BACKOFF_SECONDS = (10, 300)
"""First and longest pause after a failed run; each that follows is twice as long."""

HALTED_SECONDS = 3600


@dataclass(frozen=True)
class Failures:
    """Runs of this generation that failed since one succeeded.

    Attributes:
        count: How many in a row.
        lasting: How many of them had a cause that does not pass by itself.
        wait: Seconds until the next run is made; 0: now.
        reason: Of the last of them.
        cause: Of the last of them, `reason: message`.
    """

    count: int = 0
    lasting: int = 0
    wait: float = 0.0
    reason: Reason = Reason.SEEDING_FAILED
    cause: str = ""

    @property
    def halted(self) -> bool:
        """Whether only one run an hour is tried."""
        return self.lasting >= HALT

    @property
    def pause(self) -> int:
        """Seconds to wait after the last failure."""
        return HALTED_SECONDS if self.halted else int(retry_delay(self.count, *BACKOFF_SECONDS))


def ended_runs(observed: Observed, ledger: Ledger) -> Iterator[FinishRun]:
    """Yield the end of runs whose Job has ended without ending them: its pod was killed, or never started."""
    runs = {run.job: run for run in ledger.runs}
    for job in observed.jobs:
        run = runs.get(job.name)
        if job.active or (run is not None and run.outcome is not None):
            continue
        if run is None and len(ledger.runs) >= RUNS_SEEN and job.number <= ledger.number:
            continue  # so many runs followed that the latest ones do not show it any more
        if job.state == "Failed":
            yield FinishRun(job.run, "Failed", *_failure(observed, job, run))
        elif run is not None and not run.reserved:
            yield FinishRun(job.run, "Succeeded")
        else:
            yield FinishRun(job.run, "Failed", Reason.JOB_INCOMPLETE, _INCOMPLETE)
    for run in observed.orphans:
        facts = (run.job, run.number, run.count, run.generation)
        yield FinishRun(facts, "Failed", Reason.JOB_DELETED, "the Job was deleted before it ended")


def not_started(observed: Observed, job: ManagedJob, deadline: int) -> Obstacle | None:
    """Return why no pod of an active Job started within `deadline` seconds; None where one did or still may."""
    pods = observed.pods.get(job.name, JobPods())
    on_its_way = pods.started or pods.pulling or job.suspended or job.deleting
    if on_its_way or observed.cluster_age(job.since) <= deadline:
        return None
    late = Obstacle(Reason.POD_NOT_STARTED, f"no pod of Job {job.name} started within {deadline} s")
    return pods.obstacle or late


_INCOMPLETE = (
    "the Job succeeded but created too few campaigns: check that spec.seeding.image is a campaignpool seeder image"
)


def interruption(job: ManagedJob) -> tuple[Reason, str]:
    """Return reason and message of a Job whose seeder ended with `TRANSIENT_EXIT_CODE`."""
    message = (
        f"the seeder of Job {job.name} gave up: the database was unavailable or had no connection left, or the pod "
        f"was stopped: see kubectl logs job/{job.name}"
    )
    return Reason.SEEDING_INTERRUPTED, message


def _failure(observed: Observed, job: ManagedJob, run: Run | None) -> tuple[str, str | None]:
    """Return reason and message of a Job that failed; its pods know more than the Job."""
    pods = observed.pods.get(job.name)
    if pods is not None and pods.obstacle is not None:
        return pods.obstacle.reason, pods.obstacle.message
    if pods is not None and pods.transient and job.reason != Reason.DEADLINE_EXCEEDED:
        return interruption(job)
    if job.reason != Reason.DEADLINE_EXCEEDED or observed.spec is None:
        return job.reason or Reason.JOB_FAILED, job.message
    limit = observed.spec.seeding.active_deadline_seconds
    before = next((condition for condition in observed.pool.status.conditions if condition.type == "Degraded"), None)
    if run is not None:
        doing = f"its seeder had made {run.campaigns} of {job.count} campaigns"
    elif before is not None and _of_pods(before.reason):
        doing = f"its pod had not started ({before.reason}: {before.message.rstrip('.')})"
    else:
        doing = "its pod had not begun to seed"
    remedy = Reason.DEADLINE_EXCEEDED.remedy.replace("`", "").rstrip(".")
    return job.reason, f"the Job was stopped after {limit} s, when {doing}: {remedy}"


def count_failures(observed: Observed, ledger: Ledger, ended: tuple[FinishRun, ...]) -> Failures:
    """Count the failures since the last success, those included that are ended only now."""
    generation = observed.pool.generation
    if retry_wanted(observed):
        return Failures()
    retried_at = observed.pool.status.retried_at
    since = datetime.fromisoformat(retried_at) if retried_at else None
    # What was cloned then is another revision now: a migration or the blueprint may have removed the cause.
    installed_at = ledger.revision.installed_at if ledger.revision else None
    born = observed.cluster_age(observed.pool.created_at) + 1.0  # the API server's times are in whole seconds
    finished = [
        (observed.database_age(run.finished_at), run.outcome == "Succeeded", run.generation, run.reason, run.message)
        for run in ledger.runs
        if run.finished_at is not None
        # Failures of a pool that had the name before are not this one's. Ages, for the two times are of two clocks.
        and observed.database_age(run.started_at) <= born
        and (since is None or run.finished_at > since)
        and (installed_at is None or run.started_at > installed_at)
    ]
    finished += [(0.0, item.outcome == "Succeeded", item.run[3], item.reason, item.message) for item in ended]
    finished.sort(key=lambda each: each[0])
    count, lasting, age, reason, cause = 0, 0, 0.0, Reason.SEEDING_FAILED, ""
    for seconds, succeeded, of, why, message in finished:
        if succeeded:
            break
        if of != generation:
            continue
        if not count:
            age, cause = seconds, ": ".join(part for part in (why, message) if part)
            if (existing := _of_pods(why) or _interrupted(why)) is not None:
                reason, cause = existing, message or ""
        count += 1
        lasting += _interrupted(why) is None
    failures = Failures(count, lasting, 0.0, reason, cause)
    return replace(failures, wait=max(0.0, failures.pause - age)) if count else failures


def _interrupted(text: str | None) -> Reason | None:
    """Return the reason of this text where it says that the run may succeed later without a change by a person."""
    return Reason.SEEDING_INTERRUPTED if text == Reason.SEEDING_INTERRUPTED else None


def _of_pods(text: str | None) -> Reason | None:
    """Return the reason of this text where it says why pods do not run."""
    reason = find(text)
    return reason if reason is not None and reason.group == "pods" else None


def retry_wanted(observed: Observed) -> bool:
    """Return whether the annotation `campaignpool.dev/retry` has a value that was not obeyed yet."""
    return bool(observed.pool.retry) and observed.pool.retry != observed.pool.status.retried
