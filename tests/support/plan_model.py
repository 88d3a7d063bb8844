"""A model of ledger, Jobs and clocks that does what a plan says, for the plan's fixpoint; it needs no server.

The model keeps every campaign as a value, so that `Retire`, `FinishRun` and `Prune` do in it what their SQL does.
`plan` sees it through `Model.seen`. `settle` applies plans and lets Jobs work until neither has anything to do.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import ceil
from typing import NamedTuple
from uuid import UUID

from campaignpool.api.resource import MASTER
from campaignpool.api.resource import share as share_of
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.blueprint.changes import Changes
from campaignpool.blueprint.compilation import Compiled
from campaignpool.ledger.pools import InstalledRevision, Ledger, OwnerCounts
from campaignpool.ledger.seeding import RUNS_SEEN, Run
from campaignpool_operator.facts import Observed, Pool, TemplateFacts
from campaignpool_operator.jobs import seeding as jobs
from campaignpool_operator.jobs.managed import ManagedJob
from campaignpool_operator.jobs.pods import JobPods
from campaignpool_operator.plan.actions import (
    Action,
    CreateJob,
    DeleteJob,
    FinishRun,
    InstallRevision,
    Prune,
    Quarantine,
    Remove,
    Retire,
    UseRevision,
)
from campaignpool_operator.plan.plan import Plan, plan
from tests.support.pools import NOW, run, stocked

PRUNED_AFTER = timedelta(hours=1)
REFUSED_FOR = timedelta(minutes=5)
AT_ONCE = 8
"""Plans in a row, without a Job that works and without time that passes, after which none may have an action."""

ROUNDS = 400
ACTIVE_SECONDS = 5.0
ACTIVE_DEADLINE_SECONDS = 600
_ALIVE = ("seeding", "imaging", "ready", "retiring")


class Campaign(NamedTuple):
    """An unclaimed campaign of the ledger."""

    owner: str
    state: str
    revision: int = 1
    run: str = ""
    reserved_at: datetime = NOW
    retry_at: datetime | None = None


class NoEndError(AssertionError):
    """Plans go on having actions."""


@dataclass
class Model:
    """Ledger, Jobs and time.

    Attributes:
        fates: How the next runs end: True well, False badly; after the last of them all end well.
        fingerprint: Of the live template.
        refuses: The data refuse every clone of another template than that.
        changed: Ready campaigns that an audit has found changed, by the owner.
    """

    spec: CampaignPoolSpec
    pool: Pool
    compiled: Compiled
    revision: InstalledRevision | None
    kept: dict[int, InstalledRevision] = field(default_factory=dict)
    fingerprint: str = "f"
    campaigns: list[Campaign] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    jobs: dict[str, ManagedJob] = field(default_factory=dict)
    pods: dict[str, JobPods] = field(default_factory=dict)
    fates: list[bool] = field(default_factory=list)
    refuses: bool = False
    changed: dict[UUID, str] = field(default_factory=dict)
    now: datetime = NOW

    def copy(self) -> "Model":
        """Return a model that goes its own way."""
        return replace(
            self,
            campaigns=list(self.campaigns),
            kept=dict(self.kept),
            runs=dict(self.runs),
            jobs=dict(self.jobs),
            pods=dict(self.pods),
            fates=list(self.fates),
            changed=dict(self.changed),
        )

    # --- what is observed ------------------------------------------------------------------------------------------

    def seen(self, *, operator: float = 0, api: float = 0, database: float = 0) -> Observed:
        """Return what a loop would observe, with clocks that are off by so many seconds.

        Whatever the API server or the database wrote is off by as much as its clock.
        """
        by_api, by_database = timedelta(seconds=api), timedelta(seconds=database)
        revision, template = self.revision, None
        if revision is not None:
            changes = Changes(self.fingerprint, (), {}, (), None)
            template = TemplateFacts(self.compiled.plan_hash, revision.id, changes)
        if revision is not None and revision.installed_at is not None:
            revision = replace(revision, installed_at=revision.installed_at + by_database)
        runs = sorted(self.runs.values(), key=lambda item: (item.started_at, item.number), reverse=True)[:RUNS_SEEN]
        facts = Ledger(
            root_table="campaigns",
            revision=revision,
            owners=self._counts(),
            runs=tuple(_shifted_run(item, by_database) for item in runs),
            number=max((item.number for item in self.runs.values()), default=0),
            prunable=any(
                item.state == "failed" and item.reserved_at < self.now - PRUNED_AFTER for item in self.campaigns
            ),
            kept=tuple(sorted(self.kept)),
            held=Counter("refused" for item in self.campaigns if item.state == "retiring" and item.retry_at),
        )
        facts = stocked(facts, self.spec, usable_of={owner: self.usable(owner) for owner in facts.owners})
        orphans = tuple(item for item in facts.runs if item.outcome is None and item.job not in self.jobs)
        return Observed(
            replace(self.pool, created_at=self.pool.created_at + by_api),
            self.now + timedelta(seconds=operator),
            self.now + by_api,
            self.now + by_database,
            spec=self.spec,
            compiled=self.compiled,
            ledger=facts,
            jobs=tuple(shifted_job(item, by_api) for item in self.jobs.values()),
            pods=dict(self.pods),
            orphans=orphans,
            changed=dict(self.changed) or None,
            template=template,
        )

    def _counts(self) -> dict[str, OwnerCounts]:
        current = self.revision.id if self.revision else 0
        result: dict[str, Counter[str]] = {}
        for item in self.campaigns:
            count = result.setdefault(item.owner, Counter())
            count[item.state] += 1
            count["stale"] += item.state == "ready" and item.revision != current
            count["outdated"] += item.state == "ready" and self._is_outdated(item)
            count["held"] += self._is_held(item)
        return {owner: OwnerCounts(**count) for owner, count in result.items()}

    def _is_usable(self, item: Campaign) -> bool:
        current = self.revision.id if self.revision else 0
        return item.revision == current or (self.spec.claims.allow_stale and item.revision < current)

    def _is_outdated(self, item: Campaign) -> bool:
        replaces = self.spec.rollout.strategy == "RollingUpdate"
        return replaces and self._is_usable(item) and self.revision is not None and item.revision != self.revision.id

    def _is_held(self, item: Campaign) -> bool:
        return item.state == "retiring" and item.retry_at is not None and item.retry_at > self.now

    def end(self) -> object:
        """Return what has to be the same whatever was interrupted: names, numbers and times of Jobs are left out."""
        owners = {
            owner: (self.usable(owner), counts.outdated, counts.held, counts.retiring - counts.held, counts.seeding)
            for owner, counts in self._counts().items()
        }
        open_ = sorted(item.job for item in self.runs.values() if item.outcome is None)
        active = sorted(item.name for item in self.jobs.values() if item.active)
        service = (self.revision.plan_hash, self.revision.fingerprint) if self.revision else None
        return {owner: counts for owner, counts in owners.items() if any(counts)}, open_, active, service

    def usable(self, owner: str) -> int:
        """Return how many campaigns of an owner a claim may give."""
        return sum(
            1 for item in self.campaigns if (item.owner, item.state) == (owner, "ready") and self._is_usable(item)
        )

    def outdated(self, owner: str) -> int:
        """Return how many of them new ones are to replace."""
        return sum(
            1 for item in self.campaigns if (item.owner, item.state) == (owner, "ready") and self._is_outdated(item)
        )

    def lacks(self, *, usable: bool = True) -> dict[str, int]:
        """Return what owners lack of their shares, beside usable campaigns and those that are being made."""
        coming = Counter(item.owner for item in self.campaigns if item.state in ("seeding", "imaging"))
        had = {owner: self.usable(owner) - self.outdated(owner) if usable else 0 for owner in self.spec.shares()}
        lacks = {owner: share - coming[owner] - had[owner] for owner, share in self.spec.shares().items()}
        return {owner: lack for owner, lack in lacks.items() if lack > 0}

    def promised(self) -> int:
        """Return how many campaigns Jobs will still reserve, from the Jobs and their runs alone."""
        result = 0
        for job in self.jobs.values():
            run_, pods = self.runs.get(job.name), self.pods.get(job.name, JobPods())
            ends = not job.active or job.deleting or pods.exit_code is not None or pods.obstacle is not None
            if not ends and (run_ is None or run_.outcome == "Failed"):
                result += job.count - (run_.campaigns if run_ else 0)
        return result

    # --- what actions do -------------------------------------------------------------------------------------------

    def do(self, actions: Sequence[Action]) -> None:
        """Carry out actions, as `apply` does."""
        for action in actions:
            self._do(action)

    def _do(self, action: Action) -> None:
        match action:
            case InstallRevision():
                self._install(action)
            case UseRevision(number):
                self.revision = self.kept.get(number, self.revision)
            case CreateJob():
                self._create(action)
            case DeleteJob(name, uid):
                if name in self.jobs and self.jobs[name].uid == uid:
                    self.jobs[name] = replace(self.jobs[name], deleting=True)
            case FinishRun():
                self._finish(action)
            case _:
                self._clear(action)

    def _clear(self, action: Action) -> None:
        """Do what takes campaigns out of the pool."""
        match action:
            case Retire(keep, early=early):
                assert self.revision is None or self.revision.uses_owner, "the model moves no campaign"
                lacks = self.lacks()
                for owner in {item.owner for item in self.campaigns}:
                    share = max(self.spec.shares().get(owner, 0), keep if owner == MASTER else 0)
                    kept = min(self.usable(owner), share)
                    if early:
                        ready = sum(1 for item in self.campaigns if (item.owner, item.state) == (owner, "ready"))
                        least = ceil(share_of(self.spec.rollout.min_ready) * self.spec.shares().get(owner, 0))
                        count = min(lacks.get(owner, 0), self.outdated(owner), self.usable(owner) - least)
                        kept = ready - max(0, count)
                    self._retire(owner, kept)
            case Quarantine(changed):
                for _ in changed:
                    self._retire_one()
                self.changed = {}
            case Remove():
                self.campaigns = [c for c in self.campaigns if c.state != "retiring" or self._is_held(c)]
            case Prune():
                old = self.now - PRUNED_AFTER
                self.campaigns = [c for c in self.campaigns if c.state != "failed" or c.reserved_at >= old]
            case _:
                raise AssertionError(f"the model does not know {action}")

    def _install(self, action: InstallRevision) -> None:
        if action.replaces != (self.revision.id if self.revision else None):
            return  # another operator was faster
        number = 1 + max(self.kept, default=self.revision.id if self.revision else 0)
        plan_hash = action.compiled.plan_hash
        self.revision = InstalledRevision(
            number, plan_hash, self.fingerprint, "t", 100, 10, self.now, uses_owner=True
        )
        self.kept[number] = self.revision

    def _create(self, action: CreateJob) -> None:
        name = jobs.job_name(self.pool.name, action.number)
        assert name not in self.jobs, f"Job {name} exists"
        assert name not in self.runs, f"the run {name} exists"
        self.jobs[name] = ManagedJob(
            name=name,
            uid=f"uid-{name}",
            component="seeder",
            number=action.number,
            generation=self.pool.generation,
            created_at=self.now,
            deleting=False,
            state="Active",
            count=action.count,
        )

    def _finish(self, action: FinishRun) -> None:
        name, number, count, generation = action.run
        before = self.runs.get(name) or run(
            number, None, job=name, count=count, generation=generation, started_at=self.now
        )
        if before.outcome is None:
            ended = {"outcome": action.outcome, "reason": action.reason, "message": action.message}
            self.runs[name] = replace(before, finished_at=self.now, reserved=0, **ended)
        self._fail_reserved(name)

    def _fail_reserved(self, name: str) -> None:
        self.campaigns = [
            item._replace(state="failed") if (item.run, item.state) == (name, "seeding") else item
            for item in self.campaigns
        ]
        if name in self.runs:
            self.runs[name] = replace(self.runs[name], reserved=0)

    def _retire(self, owner: str, keep: int) -> None:
        ready = [at for at, item in enumerate(self.campaigns) if (item.owner, item.state) == (owner, "ready")]
        ready.sort(key=lambda at: self._order(self.campaigns[at]))
        for at in ready[: max(0, len(ready) - keep)]:
            self.campaigns[at] = self.campaigns[at]._replace(state="retiring")

    def _order(self, item: Campaign) -> tuple[bool, bool, int]:
        return self._is_usable(item), not self._is_outdated(item), item.revision

    def _retire_one(self) -> None:
        for at, item in enumerate(self.campaigns):
            if item.state == "ready":
                self.campaigns[at] = item._replace(state="retiring")
                return

    # --- what happens by itself ------------------------------------------------------------------------------------

    def work(self) -> bool:
        """Let every Job go to its end, which takes a second; return whether anything happened."""
        happened = False
        self.now += timedelta(seconds=1)
        for job in list(self.jobs.values()):
            pods = self.pods.get(job.name, JobPods())
            if job.deleting:
                self.jobs.pop(job.name)
            elif job.active and (self.now - job.created_at).total_seconds() > ACTIVE_DEADLINE_SECONDS:
                self.jobs[job.name] = replace(job, state="Failed", finished_at=self.now, reason="DeadlineExceeded")
            elif job.active and pods.exit_code is None and pods.obstacle is None:
                self._seed(job)
            else:
                continue
            self.pods.pop(job.name, None)
            happened = True
        return happened

    def _seed(self, job: ManagedJob) -> None:
        """Do what `campaignpool_seeder.run` does, to its end, and what the Job controller says of it."""
        if self.revision is None:
            self._end(job, "Failed")
            return
        before = self.runs.get(job.name) or run(
            job.number, None, job=job.name, count=job.count, generation=job.generation, started_at=self.now
        )
        mine = [item for item in self.campaigns if (item.run, item.state) == (job.name, "seeding")]
        alive = [item for item in self.campaigns if item.state in _ALIVE]
        held = sum(1 for item in alive if item.retry_at is not None)
        room = self.spec.max_size - (len(alive) - held) - max(held - self.spec.max_size, 0)
        lacking = 0
        while lacking < min(job.count - before.campaigns - len(mine), room) and (lacks := self.lacks()):
            neediest = max(lacks, key=lambda owner: lacks[owner] / self.spec.shares()[owner])
            self.campaigns.append(Campaign(neediest, "seeding", self.revision.id, job.name, self.now))
            lacking += 1
        refused = self.refuses and self.revision.fingerprint != self.fingerprint
        good = not refused and (self.fates.pop(0) if self.fates else True)
        count = len(mine) + lacking if good else 0
        self.runs[job.name] = replace(before, outcome=None, finished_at=None, campaigns=before.campaigns + count)
        if good:
            self.campaigns = [
                item._replace(state="ready") if (item.run, item.state) == (job.name, "seeding") else item
                for item in self.campaigns
            ]
        self._end(job, "Succeeded" if good else "Failed")

    def _end(self, job: ManagedJob, state: str) -> None:
        cause = (None, None) if state == "Succeeded" else ("SeedingFailed", "a constraint")
        if job.name in self.runs:
            facts = {
                "outcome": state,
                "reason": cause[0],
                "message": cause[1],
                "finished_at": self.now,
                "reserved": 0,
            }
            self.runs[job.name] = replace(self.runs[job.name], **facts)
            self._fail_reserved(job.name)
        why = None if state == "Succeeded" else "BackoffLimitExceeded"
        self.jobs[job.name] = replace(job, state=state, finished_at=self.now, reason=why)

    def wait(self, todo: Plan) -> bool:
        """Let time pass until the operator looks again by itself; return whether it does before the resync."""
        waits = [todo.next_check] if todo.next_check else []
        waits += [ACTIVE_SECONDS] if any(job.active for job in self.jobs.values()) else []
        self.now += timedelta(seconds=min(waits, default=0.0))
        return bool(waits)


def settle(model: Model, check: Callable[[Model, Plan], None] = lambda *_: None) -> Model:
    """Plan and apply until there is nothing to do; raise NoEndError where that takes too long.

    Args:
        model: Is changed.
        check: Called before each plan is applied.
    """
    busy = 0
    for _ in range(ROUNDS):
        todo = plan(model.seen())
        check(model, todo)
        model.do(todo.actions)
        busy = busy + 1 if todo.actions else 0
        if busy > AT_ONCE:
            raise NoEndError(f"plan {busy} in a row has actions: {todo.actions}")
        if not todo.actions and not model.work() and not model.wait(todo):
            return model
    raise NoEndError(f"no rest after {ROUNDS} plans; the last: {todo}")


def _shifted_run(item: Run, by: timedelta) -> Run:
    if not by:
        return item
    finished_at = item.finished_at + by if item.finished_at else None
    return replace(item, started_at=item.started_at + by, finished_at=finished_at)


def shifted_job(item: ManagedJob, by: timedelta) -> ManagedJob:
    if not by:
        return item
    times = {name: getattr(item, name) for name in ("created_at", "started_at", "finished_at")}
    return replace(item, **{name: time + by for name, time in times.items() if time is not None})


def within_limits(model: Model, todo: Plan) -> None:
    """Check what holds before every plan is applied, from whatever state it is."""
    assert todo == plan(model.seen()), "the same input gives the same plan"
    created = [action for action in todo.actions if isinstance(action, CreateJob)]
    if created:
        # Where stale ones do not count, another revision may be installed first.
        lack = sum(model.lacks(usable=model.spec.claims.allow_stale).values())
        assert model.promised() + sum(action.count for action in created) <= lack, created
    for action in todo.actions:
        if isinstance(action, Retire):
            after = model.copy()
            after.do([action])
            for owner, wanted in model.spec.shares().items():
                least = ceil(share_of(model.spec.rollout.min_ready) * wanted)
                assert after.usable(owner) >= min(model.usable(owner), least), action


def crash_anywhere(model: Model, rounds: int = 1) -> None:
    """Check that the end is the same where the operator dies before any action of the first plans."""
    reference = settle(model.copy()).end()
    for _ in range(rounds):
        actions = plan(model.seen()).actions
        for kept in range(len(actions)):
            other = model.copy()
            other.do(actions[:kept])
            assert settle(other).end() == reference, f"after {actions[:kept]}"
        model = model.copy()
        model.do(actions)
        model.work()
