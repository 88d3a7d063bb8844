"""What to do next, purely: from everything one loop observed to a list of actions, each with its reason.

1. Runs whose Job failed or is gone are ended, so that what they had reserved counts no more.
2. A blueprint that compiles to another plan is installed before anything is made from it.
3. What owners lack is asked for from Jobs, the neediest owner first; what Jobs at work will still make counts as
   there. Never more Jobs than `maxConcurrent`, never more unclaimed campaigns than `maxSize`.
4. What owners have too much is retired and removed, in small batches.

Images are planned apart, in `images`: neither waits for the other. A fault or a pause ends the list early. Runs that
fail one after the other are followed by growing pauses, and after `HALT` of them by none until the resource changes.
The clock is part of what was observed: the same input gives the same plan.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.backoff import retry_delay
from campaignpool.blueprint.compilation import Compiled
from campaignpool.blueprint.install import CLAIM_FORM
from campaignpool.ledger.pools import Ledger, OwnerCounts
from campaignpool.ledger.seeding import RUNS_SEEN, Run
from campaignpool_operator.facts import Observed
from campaignpool_operator.jobs.managed import ManagedJob
from campaignpool_operator.plan import images
from campaignpool_operator.plan.actions import (
    Action,
    CreateJob,
    DeleteJob,
    FinishRun,
    InstallRevision,
    Prune,
    Remove,
    Retire,
)
from campaignpool_operator.plan.images import ImagesPlan

BATCH = 10
"""Campaigns retired and removed at a time: some hundredths of a second each, so no lock is held for long."""

BACKOFF_SECONDS = (10, 300)
"""First and longest pause after a failed run; each that follows is twice as long."""

HALT = 10
"""Failures in a row after which seeding stops until the resource changes."""

SUPERSEDE_SECONDS = 30
"""A Job of an older generation that has not begun by then is replaced: its image may be the one that was mended."""

UNQUIET_SECONDS = 0.5
"""A transaction that changes the pool and cannot tell of it any more is looked for this much later."""

HELD_SECONDS = 300
"""Campaigns on which other rows hang are looked at again this much later, as `remove` of the ledger has it."""

PRUNE_SECONDS = 3600
"""Failed campaigns are kept this long, as `ledger.prune` has it."""


@dataclass(frozen=True)
class Failures:
    """Runs of this generation that failed since one went well.

    Attributes:
        count: How many, one after the other.
        resume_at: When seeding goes on; None while nothing failed, and when it does not go on by itself.
        cause: The last of them, `reason: message`.
    """

    count: int = 0
    resume_at: datetime | None = None
    cause: str = ""

    @property
    def halted(self) -> bool:
        """Whether seeding waits for a change of the resource."""
        return self.count >= HALT

    @property
    def pause(self) -> int:
        """Seconds to wait after the last failure."""
        return int(retry_delay(self.count, *BACKOFF_SECONDS))


@dataclass(frozen=True)
class Plan:
    """What to do, and what there is to say about it.

    Attributes:
        actions: In this order; where one fails, those after it wait for the next loop.
        in_flight: Campaigns that Jobs at work will still make, by owner.
        lacking: Campaigns that owners lack and no Job makes yet.
        capped: The targets together do not fit into `maxSize`.
        next_check: Seconds after which to look again by all means; 0: at once. None: whenever something happens.
        images: What to do about images.
    """

    actions: tuple[Action, ...] = ()
    in_flight: Mapping[str, int] = field(default_factory=dict)
    lacking: int = 0
    capped: bool = False
    failures: Failures = Failures()
    next_check: float | None = None
    images: ImagesPlan = field(default_factory=ImagesPlan)

    @property
    def promised(self) -> dict[str, int]:
        """Campaigns that Jobs at work and those of this plan will make, by owner."""
        result = dict(self.in_flight)
        for action in self.actions:
            if isinstance(action, CreateJob):
                result[action.owner] = result.get(action.owner, 0) + action.count
        return result


def plan(observed: Observed) -> Plan:
    """Decide what to do. Never raises; nothing to do is an empty list."""
    spec, ledger = observed.spec, observed.ledger
    if spec is None or ledger is None:
        return Plan()
    ended = tuple(_ended(observed, ledger))
    failures = _failures(observed, ledger, ended)
    runs = {run.job: run for run in ledger.runs}
    active = [job for job in observed.jobs if job.active]
    in_flight = _by_owner(active, {job.name: _remaining(job, runs.get(job.name)) for job in active})
    targets = spec.targets()
    lacks = {
        owner: lack
        for owner, target in targets.items()
        if (lack := target - _counts(ledger, owner).whole - in_flight.get(owner, 0)) > 0
    }
    copying = images.plan(observed)
    result = Plan(
        actions=ended,
        in_flight=in_flight,
        lacking=sum(lacks.values()),
        capped=sum(targets.values()) > spec.max_size,
        failures=failures,
        next_check=copying.next_check,
        images=copying,
    )
    if observed.fault is not None:
        return result
    actions: list[Action] = list(ended)
    actions += _superseded(observed, active, runs)
    if observed.compiled is not None:
        actions += _installation(observed.pool.key, ledger, observed.compiled)
    waiting = failures.halted or (failures.resume_at is not None and failures.resume_at > observed.now)
    if not (spec.paused or waiting or observed.compiled is None):
        actions += _creations(observed, spec, ledger, lacks, active, runs)
    surplus: list[Action] = [] if spec.paused else list(_surplus(spec, ledger))
    actions += surplus
    held = sum(counts.held for counts in ledger.owners.values())
    retiring = sum(counts.retiring for counts in ledger.owners.values()) - held
    if surplus or retiring:
        actions.append(Remove(BATCH))
    actions += _pruning(observed, ledger)
    waits = (_next_check(observed, failures, more=bool(surplus or retiring), held=bool(held)), copying.next_check)
    return replace(
        result, actions=tuple(actions), next_check=min((wait for wait in waits if wait is not None), default=None)
    )


def _counts(ledger: Ledger, owner: str) -> OwnerCounts:
    return ledger.owners.get(owner, OwnerCounts())


def _remaining(job: ManagedJob, run: Run | None) -> int:
    """Give what a Job will still make: the ledger is the truth about what it made."""
    if run is None:
        return job.count
    # A run that failed while its Job is still at work will be tried again by the Job's next pod.
    return 0 if run.outcome == "Succeeded" else max(0, job.count - run.campaigns)


def _by_owner(active: list[ManagedJob], remaining: Mapping[str, int]) -> dict[str, int]:
    result: dict[str, int] = {}
    for job in active:
        result[job.owner] = result.get(job.owner, 0) + remaining[job.name]
    return result


def _ended(observed: Observed, ledger: Ledger) -> Iterator[FinishRun]:
    """End runs whose Job has ended without ending them: its pod was killed, or never started."""
    runs = {run.job: run for run in ledger.runs}
    for job in observed.jobs:
        run = runs.get(job.name)
        if job.active or (run is not None and run.outcome is not None):
            continue
        if run is None and len(ledger.runs) >= RUNS_SEEN and job.number <= ledger.numbers.get(job.owner, 0):
            continue  # so many runs followed that the latest ones do not show it any more
        if job.state == "Failed":
            yield FinishRun(job.run, "Failed", job.reason or "JobFailed", job.message)
        elif run is not None and run.campaigns >= job.count:
            yield FinishRun(job.run, "Succeeded")
        else:
            message = "the Job ended well without making what it was asked for: is seeding.image a seeder?"
            yield FinishRun(job.run, "Failed", "JobIncomplete", message)
    for run in observed.orphans:
        facts = (run.job, run.owner, run.number, run.count, run.generation)
        yield FinishRun(facts, "Failed", "JobDeleted", "the Job was deleted before it ended")


def _failures(observed: Observed, ledger: Ledger, ended: tuple[FinishRun, ...]) -> Failures:
    """Count the failures since the last success, those included that are ended only now."""
    born, generation = observed.pool.created_at, observed.pool.generation
    finished = [
        (run.finished_at, run.outcome == "Succeeded", run.generation, run.reason, run.message)
        for run in ledger.runs
        # A pool of the same name may have been here before; its failures are not this one's.
        if run.finished_at is not None and run.started_at >= born
    ]
    times = {job.name: job.finished_at for job in observed.jobs}
    finished += [
        (times.get(each.run[0]) or observed.now, each.outcome == "Succeeded", each.run[4], each.reason, each.message)
        for each in ended
    ]
    finished.sort(key=lambda each: each[0], reverse=True)
    count, last, cause = 0, None, ""
    for when, good, of, reason, message in finished:
        if good:
            break
        if of != generation:
            continue
        if last is None:
            last, cause = when, ": ".join(part for part in (reason, message) if part)
        count += 1
    if last is None:
        return Failures()
    failures = Failures(count, None, cause)
    if failures.halted:
        return failures
    # A database whose clock runs ahead must not lengthen the pause.
    resume_at = min(last, observed.now) + timedelta(seconds=failures.pause)
    return Failures(count, resume_at, cause)


def _superseded(observed: Observed, active: list[ManagedJob], runs: Mapping[str, Run]) -> Iterator[DeleteJob]:
    for job in active:
        age = (observed.now - job.created_at).total_seconds()
        older = job.generation < observed.pool.generation
        if older and not job.deleting and job.name not in runs and age > SUPERSEDE_SECONDS:
            yield DeleteJob(job.name, job.uid, "the resource changed before the Job began")


def _installation(pool: str, ledger: Ledger, compiled: Compiled) -> Iterator[InstallRevision]:
    if ledger.revision is None:
        yield InstallRevision(compiled, "the first of the pool")
    elif ledger.revision.plan_hash != compiled.plan_hash:
        yield InstallRevision(compiled, "the blueprint, the database's catalog or the template's key changed")
    elif ledger.revision.claim_form < CLAIM_FORM:
        yield InstallRevision(compiled, "an older release installed it, without what claims can do now")
    elif compiled.outdates(pool, ledger.revision.claim_part):
        yield InstallRevision(compiled, "what runs along with a claim changed, or an older release installed it")


def _creations(
    observed: Observed,
    spec: CampaignPoolSpec,
    ledger: Ledger,
    lacks: Mapping[str, int],
    active: list[ManagedJob],
    runs: Mapping[str, Run],
) -> Iterator[CreateJob]:
    slots = min(spec.max_concurrent, spec.database.max_connections) - len(active)
    # Rows that a Job at work has reserved are counted as seeding; what it has yet to reserve is promised.
    promised = 0
    for job in active:
        run = runs.get(job.name)
        promised += max(0, _remaining(job, run) - (run.reserved if run else 0))
    unclaimed = sum(counts.seeding + counts.whole + counts.retiring for counts in ledger.owners.values())
    room = spec.max_size - unclaimed - promised
    targets = spec.targets()
    for owner in sorted(lacks, key=lambda owner: (_counts(ledger, owner).ready / targets[owner], owner)):
        count = min(lacks[owner], room)
        if slots <= 0 or count <= 0:
            return
        known = [job.number for job in observed.jobs if job.owner == owner]
        known += [run.number for run in ledger.runs if run.owner == owner]
        number = 1 + max([ledger.numbers.get(owner, 0), *known])
        yield CreateJob(owner, number, count, f"{_counts(ledger, owner).ready} of {targets[owner]} are ready")
        slots -= 1
        room -= count


def _surplus(spec: CampaignPoolSpec, ledger: Ledger) -> Iterator[Retire]:
    """Give what to retire: what passes an owner's target, then, from the richest owners, what passes maxSize."""
    targets = spec.targets()
    surplus = {owner: max(0, counts.ready - targets.get(owner, 0)) for owner, counts in ledger.owners.items()}
    kept = sum(counts.whole + counts.seeding for counts in ledger.owners.values()) - sum(surplus.values())
    ratio = {owner: _counts(ledger, owner).ready / target for owner, target in targets.items() if target}
    for owner in sorted(ratio, key=lambda owner: (-ratio[owner], owner)):
        if kept <= spec.max_size:
            break
        more = min(kept - spec.max_size, _counts(ledger, owner).ready - surplus.get(owner, 0))
        surplus[owner] = surplus.get(owner, 0) + more
        kept -= more
    for owner, count in sorted(surplus.items()):
        if count > 0:
            reason = f"{_counts(ledger, owner).ready} are ready, {targets.get(owner, 0)} are wanted"
            yield Retire(owner, min(count, BATCH), reason)


def _pruning(observed: Observed, ledger: Ledger) -> Iterator[Prune]:
    failed = sum(counts.failed for counts in ledger.owners.values())
    ends = [run.finished_at for run in ledger.runs if run.outcome == "Failed" and run.finished_at]
    old = failed and (not ends or (observed.now - min(ends)).total_seconds() > PRUNE_SECONDS)
    if old or ledger.prunable:
        yield Prune()


def _next_check(observed: Observed, failures: Failures, *, more: bool, held: bool) -> float | None:
    if more:
        return 0.0
    waits: list[float] = [] if observed.quiet else [UNQUIET_SECONDS]
    if held:
        waits.append(HELD_SECONDS)
    if failures.resume_at is not None and failures.resume_at > observed.now:
        waits.append((failures.resume_at - observed.now).total_seconds())
    return min(waits, default=None)
