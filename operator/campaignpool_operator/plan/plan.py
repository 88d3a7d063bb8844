"""What to do next, purely: from everything one loop observed to a list of actions, each with its reason.

1. Runs whose Job failed, cannot start or is gone are ended, so that what they had reserved counts no more.
2. Ready campaigns whose rows the application deleted or changed are quarantined; the next loop replaces them.
3. A changed blueprint or template is frozen as a new revision before anything is made from it; `rollout` decides it.
4. What owners lack together is asked for from Jobs, which choose the owners when they begin; what active Jobs will
   still make counts as there, and a Job that waits for more to make is asked before a new one. Never more Jobs than
   `maxConcurrent`, never more unclaimed campaigns than `maxSize`.
5. What owners have too much is given to owners that lack some, where a campaign of one is as good for another; else
   it is retired and removed. Outdated campaigns do not count as had, so that new ones are made beside them before
   they go; where `maxSize` leaves no room for that, some go first.

Images are planned apart, in `images`: neither waits for the other. A fault or a pause ends the list early. The clocks
are part of what was observed: the same input gives the same plan.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from campaignpool.api.reasons import Reason
from campaignpool.api.resource import seconds
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.ledger.pools import Ledger
from campaignpool.ledger.seeding import Run
from campaignpool_operator.facts import Observed
from campaignpool_operator.jobs.managed import ManagedJob
from campaignpool_operator.jobs.pods import JobPods, Obstacle
from campaignpool_operator.plan import images, rollout
from campaignpool_operator.plan.actions import (
    Action,
    AnswerTemplateChanges,
    CreateJob,
    DeleteJob,
    Drain,
    FinishRun,
    InstallRevision,
    Prune,
    Quarantine,
    Release,
    ReleaseSeeders,
    Remove,
    Retire,
    UseRevision,
    WakeSeeders,
)
from campaignpool_operator.plan.failures import Failures, count_failures, ended_runs, interruption, not_started
from campaignpool_operator.plan.images import ImagesPlan
from campaignpool_operator.plan.rollout import Rollout

SUPERSEDE_SECONDS = 30
"""A Job of an older generation that has not begun by then is replaced: the change may have fixed its image."""

LINGER_SECONDS = 10
"""A Job whose run ended this long ago and that is still active has a sidecar that keeps its pod running."""

UNQUIET_SECONDS = 0.5
"""A transaction that changes the pool and cannot notify any more is looked for this much later."""

HELD_SECONDS = 300
"""Campaigns that the database refused to delete are tried again this much later, as `remove` of the ledger does."""


EXPIRY_SECONDS = 1.0
"""Campaigns that became too old are replaced this much later, so that those of one batch are replaced together."""


@dataclass(frozen=True)
class Plan:
    """What to do, and what the status reports of it.

    Attributes:
        actions: In this order; where one fails, those after it wait for the next loop.
        in_flight: Campaigns that active Jobs will still make.
        suspended: Those of them that a suspended Job would make.
        lacking: Campaigns that owners lack and no Job makes yet.
        waits: More Jobs would be created if those of other pools left room for them.
        idle: Jobs that wait for more to make.
        capped: The targets together do not fit into `maxSize`.
        obstacle: Why an active Job does not run.
        next_check: Seconds until the next loop at the latest; 0: at once. None: whenever something happens.
        images: What to do about images.
        rollout: Which revision is to be in service.
    """

    actions: tuple[Action, ...] = ()
    in_flight: int = 0
    suspended: int = 0
    lacking: int = 0
    waits: bool = False
    idle: int = 0
    capped: bool = False
    failures: Failures = field(default_factory=Failures)
    obstacle: Obstacle | None = None
    next_check: float | None = None
    images: ImagesPlan = field(default_factory=ImagesPlan)
    rollout: Rollout = field(default_factory=Rollout)

    @property
    def promised(self) -> int:
        """Campaigns that Jobs of this plan and active ones will make; not those of suspended Jobs."""
        created = sum(action.count for action in self.actions if isinstance(action, CreateJob))
        return self.in_flight - self.suspended + created


@dataclass(frozen=True)
class _State:
    """What is observed, in the form that planning needs."""

    observed: Observed
    spec: CampaignPoolSpec
    ledger: Ledger
    runs: Mapping[str, Run]
    active: tuple[ManagedJob, ...]

    def pods(self, job: ManagedJob) -> JobPods:
        return self.observed.pods.get(job.name, JobPods())

    def seeded(self, job: ManagedJob) -> bool:
        """Return whether the ledger has a Job's run as succeeded: it needs no place any more."""
        run = self.runs.get(job.name)
        return run is not None and run.outcome == "Succeeded"

    def to_reserve(self, job: ManagedJob) -> int:
        """Return what a Job has yet to reserve. What it has reserved is counted as seeding."""
        run = self.runs.get(job.name)
        if run is None:
            return job.count
        # A failed run of an active Job is tried again by the Job's next pod, unless the Job is being deleted.
        return max(0, job.count - run.campaigns) if run.outcome == "Failed" and not job.deleting else 0

    def is_idle(self, job: ManagedJob) -> bool:
        """Return whether a Job waits for more to make."""
        run = self.runs.get(job.name)
        return run is not None and run.outcome is None and run.made_at is not None and not run.reserved

    def can_take(self, job: ManagedJob) -> int:
        """Return how many more campaigns a Job takes that has begun: it goes on while campaigns are lacking."""
        run, current = self.runs.get(job.name), job.generation == self.observed.pool.generation
        if run is None or run.outcome is not None or job.deleting or job.suspended or not current:
            return 0
        seeding = self.spec.seeding
        return max(0, seeding.job_size - run.reserved) if seeding.linger_seconds else 0

    def remaining(self, job: ManagedJob) -> int:
        """Return what a Job will still make."""
        run = self.runs.get(job.name)
        return self.to_reserve(job) + (run.reserved if run is not None else 0)


def plan(observed: Observed) -> Plan:
    """Decide what to do. Never raises; nothing to do is an empty list."""
    spec, ledger = observed.spec, observed.ledger
    if spec is None or ledger is None:
        return Plan()
    runs = {run.job: run for run in ledger.runs}
    active = tuple(job for job in observed.jobs if job.active)
    state = _State(observed, spec, ledger, runs, active)
    stopped = tuple(_stopped(state))
    ended = (*ended_runs(observed, ledger), *(item for item in stopped if isinstance(item, FinishRun)))
    failures = count_failures(observed, ledger, ended)
    working = [job for job in active if not _names(stopped, job)]
    moved = min(ledger.totals.lack, _movable(state))
    unreserved = max(0, ledger.totals.lack - moved - sum(state.to_reserve(job) for job in working))
    taken = min(unreserved, sum(state.can_take(job) for job in working))
    lacking = unreserved - taken
    copying, rolling = images.plan(observed), rollout.decide(observed)
    # What a person chose goes into service although the blueprint or the template is broken.
    chosen = [rolling.action] if isinstance(rolling.action, UseRevision) else []
    result = Plan(
        actions=(*ended, *chosen),
        in_flight=sum(state.remaining(job) for job in working),
        suspended=sum(state.remaining(job) for job in working if job.suspended),
        lacking=lacking,
        capped=sum(spec.targets().values()) > spec.max_size,
        failures=failures,
        obstacle=next(
            (outcome for job in active if not job.deleting and (outcome := state.pods(job).obstacle)), None
        ),
        next_check=copying.next_check,
        images=copying,
        rollout=rolling,
    )
    if observed.fault is not None:
        return result
    actions: list[Action] = [*ended, *(item for item in stopped if isinstance(item, DeleteJob))]
    actions += _superseded(state, stopped)
    asked = list(_asked(observed))
    actions += asked
    if observed.changed:
        actions.append(Quarantine(observed.changed))
    if rolling.action is not None:
        actions.append(rolling.action)
    seeds = not (spec.paused or failures.wait) and (observed.compiled is not None or _is_chosen(spec, ledger))
    requests, queued = _seeding(state, taken, lacking) if seeds else ([], False)
    actions += requests
    idle = 0 if taken else sum(state.is_idle(job) and not job.deleting for job in working)
    if idle and observed.others_wait:
        actions.append(ReleaseSeeders(idle))
    surplus: list[Action] = [] if spec.paused else list(_surplus(state, moved))
    if seeds and not surplus and not failures.count and _is_full(state) and lacking and ledger.totals.outdated:
        surplus = list(_early(state))
        rolling = rolling if surplus or rolling.stalled else replace(rolling, stalled=rollout.NO_ROOM)
    actions += surplus
    held = ledger.totals.held
    retiring = ledger.totals.retiring - held
    if surplus or retiring:
        actions.append(Remove())
    if ledger.prunable:
        actions.append(Prune())
    actions += _answers(observed, ledger)
    # What is installed makes campaigns stale, what is quarantined has to be replaced: the next loop sees how many.
    again = bool(surplus or retiring or asked) or any(
        isinstance(item, InstallRevision | UseRevision | Quarantine) for item in actions
    )
    waits = [_next_check(observed, failures, again=again, held=bool(held)), copying.next_check]
    waits.append(_expiry(observed, spec, ledger))
    next_check = min((wait for wait in waits if wait is not None), default=None)
    return replace(result, actions=tuple(actions), next_check=next_check, rollout=rolling, waits=queued, idle=idle)


def _asked(observed: Observed) -> Iterator[Drain | Release]:
    """Yield what annotations of the resource ask for that was not obeyed yet; a pause does not keep it."""
    pool = observed.pool
    if pool.drain not in ("", pool.status.drained):
        yield Drain(pool.drain)
    if pool.release not in ("", pool.status.released):
        yield Release(pool.release)


def _names(actions: tuple[FinishRun | DeleteJob, ...], job: ManagedJob) -> bool:
    return any(isinstance(action, DeleteJob) and action.uid == job.uid for action in actions)


def _stopped(state: _State) -> Iterator[FinishRun | DeleteJob]:
    """Yield the end of active Jobs that will do no more: their seeder ended, or no pod of theirs starts."""
    deadline = state.spec.seeding.start_deadline_seconds
    for job in state.active:
        if job.deleting:
            continue
        run, pods = state.runs.get(job.name), state.pods(job)
        if run is not None and run.outcome == "Succeeded":
            if run.finished_at is not None and state.observed.database_age(run.finished_at) > LINGER_SECONDS:
                yield DeleteJob(job.name, job.uid, "its run succeeded, and another container keeps its pod running")
        elif pods.exit_code is not None:
            if run is None or run.outcome is None:
                message = f"the seeder of Job {job.name} ended with exit code {pods.exit_code} and made too little"
                cause = interruption(job) if pods.transient else (Reason.CONTAINER_FAILED, message)
                yield FinishRun(job.run, "Failed", *cause)
            yield DeleteJob(job.name, job.uid, "its seeder failed, and another container keeps its pod running")
        elif (run is None or run.outcome == "Failed") and (obstacle := not_started(state.observed, job, deadline)):
            if run is None:  # else a loop that was interrupted has ended it already
                yield FinishRun(job.run, "Failed", obstacle.reason, obstacle.message)
            yield DeleteJob(job.name, job.uid, f"no pod of it started within {deadline} s")


def _superseded(state: _State, stopped: tuple[FinishRun | DeleteJob, ...]) -> Iterator[DeleteJob]:
    for job in state.active:
        older = job.generation < state.observed.pool.generation
        begun = job.name in state.runs or state.observed.cluster_age(job.created_at) <= SUPERSEDE_SECONDS
        if older and not job.deleting and not begun and not _names(stopped, job):
            yield DeleteJob(job.name, job.uid, "the resource changed before the Job began")


def _is_chosen(spec: CampaignPoolSpec, ledger: Ledger) -> bool:
    """Return whether a person chose the revision in service: it serves whatever became of the template."""
    return ledger.revision is not None and spec.template.revision in (ledger.revision.id, *ledger.kept)


def _room(state: _State) -> int:
    """Return for how many campaigns `maxSize` leaves room beside those that exist or were asked for from Jobs."""
    totals, max_size = state.ledger.totals, state.spec.max_size
    unclaimed = totals.seeding + totals.whole + totals.retiring + sum(state.to_reserve(job) for job in state.active)
    # What cannot be deleted takes no room, up to maxSize, as in `reserve` of the ledger.
    return max_size - unclaimed + min(sum(state.ledger.held.values()), max_size)


def _seeding(state: _State, taken: int, lacking: int) -> tuple[list[Action], bool]:
    """Return what asks for campaigns, and whether the Jobs of other pools leave no room for all of it."""
    wanted, free = list(_creations(state, lacking)), state.observed.free_jobs
    actions: list[Action] = [WakeSeeders(taken)] if taken else []
    return [*actions, *wanted[:free]], free is not None and len(wanted) > free


def _creations(state: _State, lacking: int) -> Iterator[CreateJob]:
    spec, ledger = state.spec, state.ledger
    slots = min(spec.max_concurrent, spec.database.max_connections)
    slots -= sum(1 for job in state.active if not state.seeded(job))
    left = min(lacking, _room(state))
    number = max([ledger.number, *(job.number for job in state.observed.jobs)])
    while slots > 0 and left > 0:
        count, number = min(left, spec.seeding.job_size), number + 1
        yield CreateJob(number, count, f"{ledger.totals.usable} of {ledger.totals.share} are ready")
        slots -= 1
        left -= count


def _movable(state: _State) -> int:
    """Return how many campaigns may be given to other owners than those they were made for."""
    revision = state.ledger.revision
    return 0 if state.spec.paused or revision is None or revision.uses_owner else state.ledger.totals.spare


def _surplus(state: _State, moved: int) -> Iterator[Retire]:
    """Yield what to retire: what passes the owners' shares and is not given to others, and what no claim may give."""
    totals = state.ledger.totals
    if totals.surplus > 0:
        unusable = f", {totals.ready - totals.usable} of them for no claim" if totals.usable < totals.ready else ""
        given = f", {moved} are given to other owners" if moved else ""
        reason = f"{totals.ready} are ready{unusable}, {totals.share} are wanted{given}"
        yield Retire(state.observed.keep, totals.surplus - moved, reason)


def _is_full(state: _State) -> bool:
    """Return whether there is no room for new campaigns, and will be none by itself."""
    totals = state.ledger.totals
    underway = totals.seeding + totals.imaging + totals.retiring - totals.held
    return _room(state) <= 0 and not underway and not any(state.remaining(job) for job in state.active)


def _early(state: _State) -> Iterator[Retire]:
    """Yield outdated campaigns to retire before new ones are made, as many as `minReady` allows."""
    totals = state.ledger.totals
    if totals.early:
        reason = f"maxSize leaves no room for new ones beside {totals.outdated} that are outdated"
        yield Retire(state.observed.keep, totals.early, reason, early=True)


def _answers(observed: Observed, ledger: Ledger) -> Iterator[AnswerTemplateChanges]:
    """Yield the end of what asked for a comparison of the template, once there was one."""
    if observed.template is not None:
        answered = tuple(sorted(set(observed.template.answers) & set(ledger.template_changes)))
        if answered:
            yield AnswerTemplateChanges(answered)


def _next_check(observed: Observed, failures: Failures, *, again: bool, held: bool) -> float | None:
    if again:
        return 0.0
    waits: list[float] = [] if observed.quiet else [UNQUIET_SECONDS]
    if held:
        waits.append(HELD_SECONDS)
    if failures.wait:
        waits.append(failures.wait)
    return min(waits, default=None)


def _expiry(observed: Observed, spec: CampaignPoolSpec, ledger: Ledger) -> float | None:
    """Return the seconds until the next ready campaign is too old."""
    oldest = ledger.totals.oldest_current_at
    if spec.max_age is None or oldest is None:
        return None
    return max(0.0, seconds(spec.max_age) - observed.database_age(oldest)) + EXPIRY_SECONDS
