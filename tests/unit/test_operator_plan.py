"""What the plan does, and the invariants that no observation breaks."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaignpool.api.reasons import Reason
from campaignpool.api.resource import MASTER
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.ledger.pools import OwnerCounts
from campaignpool.ledger.seeding import RUNS_SEEN, Run
from campaignpool_operator.facts import Fault, Observed
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
    Remove,
    Retire,
    WakeSeeders,
)
from campaignpool_operator.plan.failures import HALT, HALTED_SECONDS
from campaignpool_operator.plan.plan import HELD_SECONDS, plan
from tests.support.pools import NOW, ago, compiled, job, ledger, observed, pool, revision, run, spec

FAULT = Fault(Reason("TemplateNotFound"), "no row is the template", retry=False)


def of_type(actions: tuple[Action, ...], kind: type) -> list[Any]:
    return [action for action in actions if isinstance(action, kind)]


def created(seen: Observed) -> list[tuple[int, int]]:
    return [(item.number, item.count) for item in of_type(plan(seen).actions, CreateJob)]


def test_an_empty_pool_is_asked_for_in_one_job() -> None:
    assert created(observed()) == [(1, 5)]


def test_a_full_pool_asks_for_nothing_and_is_not_looked_at_before_something_happens() -> None:
    result = plan(observed(ledger=ledger({MASTER: OwnerCounts(ready=5)})))
    assert result.actions == ()
    assert result.next_check is None


def test_what_owners_lack_together_is_asked_for_in_jobs_of_job_size_and_no_more_than_max_concurrent() -> None:
    owners = [{"id": "a", "size": 4}, {"id": "b", "size": 2}, {"id": "c", "size": 2}]
    counts = {MASTER: OwnerCounts(ready=9), "a": OwnerCounts(ready=1), "b": OwnerCounts(ready=1)}
    seen = observed(spec=spec(owners=owners), ledger=ledger(counts))
    assert created(seen) == [(1, 6)], "what the master pool has too much serves no owner"
    small = observed(spec=spec(owners=owners, maxConcurrent=3, seeding={"jobSize": 4}), ledger=ledger(counts))
    assert created(small) == [(1, 4), (2, 2)]
    one = observed(spec=spec(owners=owners, maxConcurrent=1, seeding={"jobSize": 4}), ledger=ledger(counts))
    assert created(one) == [(1, 4)]


def test_active_jobs_take_slots() -> None:
    seen = observed(spec=spec(owners=[{"id": "a", "size": 1}], maxConcurrent=1), jobs=(job(),))
    assert created(seen) == []
    assert plan(seen).lacking == 1


def test_what_an_active_job_will_make_is_not_asked_for_again() -> None:
    assert created(observed(jobs=(job(count=5),))) == []
    assert created(observed(jobs=(job(count=3),))) == [(2, 2)]


def test_the_ledger_says_what_an_active_job_has_made() -> None:
    begun = run(count=5, campaigns=2, reserved=3)
    counts = {MASTER: OwnerCounts(ready=1, seeding=3)}  # one of the two was claimed already
    seen = observed(ledger=ledger(counts, begun), jobs=(job(),))
    assert plan(seen).in_flight == 3
    assert created(seen) == [(2, 1)]


def test_a_run_that_ended_well_promises_nothing_though_its_job_is_still_there() -> None:
    seen = observed(ledger=ledger({MASTER: OwnerCounts(ready=4)}, run(1, "Succeeded")), jobs=(job(),))
    assert created(seen) == [(2, 1)]


def test_a_job_that_waits_for_more_is_asked_before_a_new_one() -> None:
    lingering = spec(size=8, seeding={"jobSize": 5, "lingerSeconds": 30})
    waiting = run(1, campaigns=5, made_at=ago(10))
    seen = observed(spec=lingering, ledger=ledger({MASTER: OwnerCounts(ready=5)}, waiting), jobs=(job(1),))
    assert plan(seen).actions == (WakeSeeders(3),)
    assert (plan(seen).lacking, plan(seen).in_flight) == (0, 0)
    empty = observed(spec=lingering, ledger=ledger({}, waiting), jobs=(job(1),))
    assert of_type(plan(empty).actions, WakeSeeders) == [WakeSeeders(5)]
    assert created(empty) == [(2, 3)], "one takes jobSize at once"
    full = observed(spec=lingering, ledger=ledger({MASTER: OwnerCounts(ready=8)}, waiting), jobs=(job(1),))
    assert plan(full).actions == ()
    one = spec(size=8, maxConcurrent=1, seeding={"jobSize": 5, "lingerSeconds": 30})
    assert created(observed(spec=one, ledger=ledger({}, waiting), jobs=(job(1),))) == [], "it counts as a Job"


def test_a_job_that_is_not_to_go_on_is_not_asked() -> None:
    lingering = spec(seeding={"lingerSeconds": 30})
    waiting = ledger({}, run(1, campaigns=5))
    for seen in (
        observed(spec=lingering, ledger=waiting, jobs=(job(1, deleting=True),)),
        observed(spec=lingering, ledger=waiting, jobs=(job(1, suspended=True),)),
        observed(spec=lingering, ledger=waiting, jobs=(job(1),), pool=pool(generation=2)),
        observed(spec=lingering, ledger=ledger({}, run(1, "Succeeded")), jobs=(job(1),)),
        observed(ledger=waiting, jobs=(job(1),)),
    ):
        assert created(seen) == [(2, 5)]
        assert of_type(plan(seen).actions, WakeSeeders) == []
    paused = spec(paused=True, seeding={"lingerSeconds": 30})
    assert plan(observed(spec=paused, ledger=waiting, jobs=(job(1),))).actions == ()


def test_a_failed_run_of_an_active_job_is_tried_again_by_its_next_pod() -> None:
    seen = observed(ledger=ledger({}, run(1, "Failed", generation=0)), jobs=(job(),))
    assert created(seen) == []


def test_what_is_reserved_and_what_is_promised_counts_against_max_size() -> None:
    counts = {MASTER: OwnerCounts(ready=3, seeding=2, retiring=1)}
    jobs_seen = (job(1, count=4), job(2, count=2))
    seen = observed(
        spec=spec(size=10, maxSize=10, maxConcurrent=3), ledger=ledger(counts, run(reserved=2)), jobs=jobs_seen
    )
    assert created(seen) == [(3, 2)], "ten, without six that are there and two that the second Job has yet to reserve"


def test_what_cannot_be_deleted_takes_no_room_up_to_max_size() -> None:
    for held, count in ((4, 6), (7, 5), (12, 0)):
        seen = observed(
            spec=spec(size=6, maxSize=6),
            ledger=ledger({MASTER: OwnerCounts(retiring=held, held=held)}, held={"fights": held}),
        )
        assert created(seen) == ([(1, count)] if count else [])


def test_targets_above_max_size_are_filled_as_far_as_it_allows() -> None:
    seen = observed(spec=spec(size=5, maxSize=6, owners=[{"id": "a", "size": 5}]))
    assert created(seen) == [(1, 6)]
    assert plan(seen).capped
    filled = ledger({MASTER: OwnerCounts(ready=5), "a": OwnerCounts(ready=1)})
    shared = observed(spec=seen.spec, ledger=filled)
    assert of_type(plan(shared).actions, Retire) == [Retire(0, 2, "6 are ready, 6 are wanted")], (
        "the same spec gives the same shares, whatever was before"
    )


def test_the_number_follows_the_highest_that_runs_jobs_and_ledger_know() -> None:
    assert created(observed(ledger=ledger({}, run(4, "Succeeded")))) == [(5, 5)]
    assert created(observed(ledger=ledger(number=70))) == [(71, 5)]
    done = replace(job(8, "Succeeded"), finished_at=ago(10))
    assert created(observed(jobs=(done,), ledger=ledger({}, run(8, "Succeeded")))) == [(9, 5)]


def test_another_plan_is_installed_before_anything_is_made() -> None:
    actions = plan(observed(compiled=compiled("1" * 64))).actions
    assert [type(action) for action in actions] == [InstallRevision, CreateJob]
    actions = plan(observed(ledger=ledger(revision=None))).actions
    assert [type(action) for action in actions] == [InstallRevision, CreateJob]


def test_a_pause_makes_and_retires_nothing_but_ends_runs_and_installs() -> None:
    counts = {MASTER: OwnerCounts(ready=2), "gone": OwnerCounts(ready=3, retiring=1)}
    seen = observed(
        spec=spec(paused=True),
        compiled=compiled("1" * 64),
        ledger=ledger(counts, run(1)),
        jobs=(job(1, "Failed"),),
    )
    assert [type(action) for action in plan(seen).actions] == [FinishRun, InstallRevision, Remove]


def test_a_fault_only_ends_runs() -> None:
    counts = {MASTER: OwnerCounts(ready=2), "gone": OwnerCounts(ready=3)}
    seen = observed(fault=FAULT, compiled=None, ledger=ledger(counts, run(1)), jobs=(job(1, "Failed"),))
    assert [type(action) for action in plan(seen).actions] == [FinishRun]


def test_a_fault_that_hides_the_ledger_leaves_nothing_to_do() -> None:
    assert plan(observed(fault=FAULT, ledger=None)).actions == ()


def test_surplus_is_retired_and_looked_at_again_at_once() -> None:
    seen = observed(ledger=ledger({MASTER: OwnerCounts(ready=30)}))
    result = plan(seen)
    assert result.actions == (Retire(0, 25, "30 are ready, 5 are wanted"), Remove())
    assert result.next_check == 0


def test_what_one_owner_has_too_much_is_given_to_one_that_lacks_it_where_campaigns_do_not_differ() -> None:
    counts = {MASTER: OwnerCounts(ready=9), "gone": OwnerCounts(ready=1)}
    wanted = spec(owners=[{"id": "a", "size": 3}, {"id": "b", "size": 4}])
    alike = ledger(counts, revision=revision(uses_owner=False))
    seen = observed(spec=wanted, ledger=alike)
    given = Retire(0, 0, "10 are ready, 12 are wanted, 5 are given to other owners")
    assert plan(seen).actions == (CreateJob(1, 2, "10 of 12 are ready"), given, Remove())
    assert created(observed(spec=wanted, ledger=ledger(counts))) == [(1, 7)]
    paused = spec(owners=[{"id": "a", "size": 3}], paused=True)
    assert plan(observed(spec=paused, ledger=alike)).actions == ()


def test_owners_that_left_the_spec_lose_what_is_ready() -> None:
    seen = observed(ledger=ledger({MASTER: OwnerCounts(ready=5), "gone": OwnerCounts(ready=2)}))
    assert of_type(plan(seen).actions, Retire) == [Retire(0, 2, "7 are ready, 5 are wanted")]


def test_a_lowered_max_size_takes_from_the_richest_owner() -> None:
    counts = {MASTER: OwnerCounts(ready=5), "a": OwnerCounts(ready=2)}
    seen = observed(spec=spec(size=5, maxSize=5, owners=[{"id": "a", "size": 4}]), ledger=ledger(counts))
    assert of_type(plan(seen).actions, Retire) == [Retire(0, 2, "7 are ready, 5 are wanted")]
    assert created(seen) == []


@pytest.mark.parametrize(
    ("the_job", "the_run", "outcome", "reason"),
    [
        (job(1, "Failed"), run(1), "Failed", "BackoffLimitExceeded"),
        (job(1, "Failed"), None, "Failed", "BackoffLimitExceeded"),
        (job(1, "Succeeded"), run(1, campaigns=5), "Succeeded", None),
        (job(1, "Succeeded"), run(1, campaigns=2, reserved=3), "Failed", "JobIncomplete"),
        (job(1, "Succeeded"), None, "Failed", "JobIncomplete"),
    ],
)
def test_a_run_whose_job_ended_without_it_is_ended(
    the_job: ManagedJob, the_run: Run | None, outcome: str, reason: str | None
) -> None:
    existing = (the_run,) if the_run else ()
    (finish,) = of_type(plan(observed(ledger=ledger({}, *existing), jobs=(the_job,))).actions, FinishRun)
    assert (finish.run, finish.outcome, finish.reason) == (the_job.run, outcome, reason)


def test_a_run_that_ended_is_not_ended_again() -> None:
    seen = observed(ledger=ledger({}, run(1, "Failed")), jobs=(job(1, "Failed"),))
    assert of_type(plan(seen).actions, FinishRun) == []


def test_a_job_whose_run_is_too_old_to_be_seen_is_left_alone() -> None:
    latest = [run(number, "Succeeded") for number in range(100, 100 - RUNS_SEEN, -1)]
    seen = observed(ledger=ledger({MASTER: OwnerCounts(ready=5)}, *latest), jobs=(job(3, "Succeeded"),))
    assert plan(seen).actions == ()


def test_a_run_whose_job_is_gone_is_ended() -> None:
    lost = run(1, reserved=3)
    (finish,) = of_type(plan(observed(ledger=ledger({}, lost), orphans=(lost,))).actions, FinishRun)
    assert (finish.run[0], finish.outcome, finish.reason) == (lost.job, "Failed", "JobDeleted")


@pytest.mark.parametrize(("failures", "pause"), [(1, 10), (2, 20), (3, 40), (6, 300), (9, 300)])
def test_each_failure_doubles_the_pause(failures: int, pause: int) -> None:
    failed = [run(number, "Failed", finished_at=ago(failures - number)) for number in range(1, failures + 1)]
    seen = observed(ledger=ledger({}, *failed))
    result = plan(seen)
    assert of_type(result.actions, CreateJob) == []
    assert result.next_check == pause
    assert result.failures.cause == "SeedingFailed: a constraint"
    assert created(replace(seen, database_now=NOW + timedelta(seconds=pause))) == [(failures + 1, 5)]


def test_a_job_that_fails_now_begins_a_pause_at_once() -> None:
    seen = observed(ledger=ledger({}, run(1)), jobs=(replace(job(1, "Failed"), finished_at=NOW),))
    assert created(seen) == []
    assert plan(seen).next_check == 10


def test_a_database_whose_clock_runs_ahead_does_not_lengthen_the_pause() -> None:
    seen = observed(ledger=ledger({}, run(1, "Failed", finished_at=ago(-3600))))
    assert plan(seen).next_check == 10


def test_a_success_ends_the_count() -> None:
    runs = (run(1, "Failed", finished_at=ago(9)), run(2, "Succeeded", finished_at=ago(8)))
    assert plan(observed(ledger=ledger({}, *runs))).failures.count == 0


def test_after_many_failures_one_run_an_hour_is_tried_until_the_resource_changes() -> None:
    failed = [run(number, "Failed", started_at=ago(1860), finished_at=ago(1800)) for number in range(1, HALT + 1)]
    seen = observed(ledger=ledger({}, *failed))
    result = plan(seen)
    assert result.failures.halted
    assert result.actions == ()
    assert result.next_check == HALTED_SECONDS - 1800
    assert created(replace(seen, database_now=NOW + timedelta(seconds=1800))) == [(HALT + 1, 5)]
    assert created(replace(seen, pool=pool(generation=2))) == [(HALT + 1, 5)]


def test_failures_of_an_earlier_revision_do_not_count() -> None:
    """A trigger or a column was corrected: the schema compiles to another revision, which is tried at once."""
    failed = [run(number, "Failed", started_at=ago(1860), finished_at=ago(1800)) for number in range(1, HALT + 1)]
    seen = observed(ledger=replace(ledger({}, *failed), revision=replace(revision(), installed_at=ago(60))))
    assert plan(seen).failures.count == 0
    assert created(seen) == [(HALT + 1, 5)]


def test_runs_that_an_unavailable_database_ended_are_retried_with_backoff_without_end() -> None:
    numbers = range(1, RUNS_SEEN + 1)
    failed = [run(n, "Failed", reason="SeedingInterrupted", message="unavailable", finished_at=NOW) for n in numbers]
    seen = observed(ledger=ledger({}, *failed))
    result = plan(seen)
    assert not result.failures.halted
    assert (result.failures.count, result.next_check) == (RUNS_SEEN, 300)
    assert (result.failures.reason, result.failures.cause) == ("SeedingInterrupted", "unavailable")
    assert created(replace(seen, database_now=NOW + timedelta(seconds=300))) == [(RUNS_SEEN + 1, 5)]


def test_an_unavailable_database_does_not_hide_failures_that_last() -> None:
    failed = [run(number, "Failed", finished_at=ago(100 - number)) for number in range(1, HALT + 1)]
    interrupted = run(HALT + 1, "Failed", reason="SeedingInterrupted", finished_at=NOW)
    assert plan(observed(ledger=ledger({}, interrupted, *failed[1:]))).failures.halted is False
    assert plan(observed(ledger=ledger({}, interrupted, *failed))).failures.halted is True


def test_a_seeder_that_gave_up_retrying_ends_its_run_as_interrupted() -> None:
    seen = observed(jobs=(job(1, "Failed"),), pods={job().name: JobPods(transient=True)})
    (finish,) = of_type(plan(seen).actions, FinishRun)
    assert (finish.outcome, finish.reason) == ("Failed", "SeedingInterrupted")
    assert f"kubectl logs job/{job().name}" in str(finish.message)
    late = replace(seen, jobs=(job(1, "Failed", reason="DeadlineExceeded"),))
    assert of_type(plan(late).actions, FinishRun)[0].reason == "DeadlineExceeded"


def test_failures_of_a_pool_that_had_the_name_before_do_not_count() -> None:
    before = run(1, "Failed", started_at=ago(7200), finished_at=ago(7100))
    assert plan(observed(ledger=ledger({}, before))).failures.count == 0


def test_a_job_of_an_older_generation_that_has_not_begun_is_taken_back() -> None:
    seen = observed(pool=pool(generation=2), jobs=(job(),))
    assert [type(action) for action in plan(seen).actions] == [DeleteJob]
    assert plan(observed(pool=pool(generation=2), jobs=(replace(job(), created_at=ago(5)),))).actions == ()
    seeding = ledger({MASTER: OwnerCounts(seeding=5)}, run(1, reserved=5))
    begun = observed(pool=pool(generation=2), jobs=(job(),), ledger=seeding)
    assert plan(begun).actions == ()


def test_what_the_ledger_can_prune_is_pruned() -> None:
    full = ledger({MASTER: OwnerCounts(ready=5, failed=2)})
    assert plan(observed(ledger=replace(full, prunable=True))).actions == (Prune(),)
    assert plan(observed(ledger=full)).actions == ()


CLOCKS = [(0, 0), (600, 0), (0, 600), (-600, 600), (86400, -86400)]


@pytest.mark.parametrize(("cluster", "database"), CLOCKS)
def test_the_three_clocks_may_differ(cluster: int, database: int) -> None:
    """Whatever the API server wrote shifts with its clock, and whatever the database wrote with its own."""
    api, ledger_clock = timedelta(seconds=cluster), timedelta(seconds=database)
    failed = [
        run(number, "Failed", started_at=ago(60) + ledger_clock, finished_at=ago(30 - number) + ledger_clock)
        for number in range(1, 4)
    ]
    waiting = job(4, created_at=ago(100) + api)
    seen = observed(
        pool=pool(created_at=ago(1000) + api),
        cluster_now=NOW + api,
        database_now=NOW + ledger_clock,
        ledger=ledger({}, *failed),
        jobs=(waiting,),
    )
    result = plan(seen)
    assert (result.failures.count, result.next_check) == (3, 40 - 27)
    assert result.actions == ()
    later = replace(seen, cluster_now=NOW + api + timedelta(seconds=30))
    assert [type(action) for action in plan(later).actions] == [FinishRun, DeleteJob]


def test_a_value_of_the_annotation_ends_a_pause_once() -> None:
    failed = [run(number, "Failed", finished_at=ago(30)) for number in range(1, HALT + 1)]
    seen = observed(pool=pool(retry="1"), ledger=ledger({}, *failed))
    assert created(seen) == [(HALT + 1, 5)]
    obeyed = seen.pool.status.model_copy(update={"retried": "1", "retried_at": NOW.isoformat()})
    again = replace(seen, pool=replace(seen.pool, status=obeyed))
    assert plan(again).failures.count == 0
    later = run(HALT + 1, "Failed", finished_at=ago(-5))
    assert plan(replace(again, ledger=ledger({}, later, *failed))).failures.count == 1


# --- invariants --------------------------------------------------------------------------------------------------

OWNERS = (MASTER, "a", "b", "gone")


@st.composite
def observations(draw: st.DrawFn) -> Observed:
    """Any state of resource, ledger and Jobs, consistent or not."""
    small = st.integers(0, 6)
    sizes = {owner: draw(small) for owner in OWNERS[1:3]}
    max_size = draw(st.integers(0, 20))
    wanted = spec(
        size=draw(st.integers(0, max_size)),
        maxSize=max_size,
        maxConcurrent=draw(st.integers(1, 4)),
        paused=draw(st.booleans()),
        owners=[{"id": owner, "size": size} for owner, size in sizes.items()],
    )
    counts = {
        owner: OwnerCounts(ready=draw(small), seeding=draw(small), retiring=draw(small))
        for owner in draw(st.sets(st.sampled_from(OWNERS)))
    }
    jobs_seen, runs_seen = [], []
    for number in range(1, draw(st.integers(0, 5)) + 1):
        count = draw(st.integers(1, 6))
        answer = draw(st.integers(0, count))
        state = draw(st.sampled_from(["Active", "Succeeded", "Failed"]))
        outcome = draw(st.sampled_from([None, "Succeeded", "Failed"]))
        if draw(st.booleans()):
            jobs_seen.append(job(number, state, count=count))
        if draw(st.booleans()):
            reserved = draw(st.integers(0, count - answer))
            when = ago(draw(st.integers(0, 500)))
            ended = when if outcome else None
            facts = {"count": count, "campaigns": answer, "reserved": reserved, "finished_at": ended}
            runs_seen.append(run(number, outcome, **facts))
    return observed(spec=wanted, ledger=ledger(counts, *runs_seen), jobs=tuple(jobs_seen))


@settings(deadline=None)  # a machine that is busy is no fault of the plan's
@given(observations())
def test_no_plan_passes_a_limit(seen: Observed) -> None:
    assert seen.spec is not None
    assert seen.ledger is not None
    result = plan(seen)
    assert result == plan(seen), "the same input gives the same plan"
    new = of_type(result.actions, CreateJob)
    seeded = {item.job for item in seen.ledger.runs if item.outcome == "Succeeded"}
    active = sum(1 for item in seen.jobs if item.active and item.name not in seeded)
    if new:
        assert active + len(new) <= min(seen.spec.max_concurrent, seen.spec.database.max_connections)
        totals = seen.ledger.totals
        unclaimed = totals.seeding + totals.ready + totals.retiring
        assert unclaimed + sum(item.count for item in new) <= seen.spec.max_size
        assert not seen.spec.paused
    assert sum(item.count for item in new) <= seen.ledger.totals.lack, "never past the targets"
    names = [jobs.job_name("chiwar", item.number) for item in new]
    assert not set(names) & {item.name for item in seen.jobs}
    assert not set(names) & {item.job for item in seen.ledger.runs}
    assert len(set(names)) == len(names)
    for item in of_type(result.actions, Retire):
        assert item.count == seen.ledger.totals.surplus > 0


@dataclass
class World:
    """A simulation of ledger and Jobs: does what a plan says, and lets Jobs work."""

    wanted: CampaignPoolSpec
    ready: dict[str, int]
    retiring: dict[str, int] = field(default_factory=dict)
    active: list[tuple[int, int]] = field(default_factory=list)
    done: list[Run] = field(default_factory=list)

    def seen(self) -> Observed:
        owners = {*self.ready, *self.retiring}
        counts = {o: OwnerCounts(ready=self.ready.get(o, 0), retiring=self.retiring.get(o, 0)) for o in owners}
        active = tuple(job(number, "Active", count=count) for number, count in self.active)
        return observed(spec=self.wanted, ledger=ledger(counts, *self.done), jobs=active)

    def do(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            match action:
                case CreateJob(number, count):
                    self.active.append((number, count))
                case Retire():
                    for owner, ready in self.ready.items():
                        self.ready[owner] = min(ready, self.wanted.shares().get(owner, 0))
                        self.retiring[owner] = self.retiring.get(owner, 0) + ready - self.ready[owner]
                case Remove():
                    self.retiring.clear()
                case _:
                    raise AssertionError(action)

    def work(self) -> None:
        shares = self.wanted.shares()
        for number, count in self.active:
            filled = 0
            while filled < count and (lacking := [o for o in shares if self.ready.get(o, 0) < shares[o]]):
                worst = min(lacking, key=lambda owner: self.ready.get(owner, 0) / shares[owner])
                self.ready[worst] = self.ready.get(worst, 0) + 1
                filled += 1
            self.done.append(run(number, "Succeeded", count=count, campaigns=filled))
        self.active.clear()


@settings(max_examples=200, deadline=None)
@given(
    ready=st.dictionaries(st.sampled_from(OWNERS), st.integers(0, 40)),
    sizes=st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20)),
    max_size=st.integers(20, 60),
    max_concurrent=st.integers(1, 4),
)
def test_plans_converge_and_then_stop(
    ready: dict[str, int], sizes: tuple[int, int, int], max_size: int, max_concurrent: int
) -> None:
    owners = [{"id": owner, "size": size} for owner, size in zip(("a", "b"), sizes[1:], strict=True)]
    wanted = spec(size=sizes[0], owners=owners, maxSize=max_size, maxConcurrent=max_concurrent)
    world = World(wanted, dict(ready))
    for _ in range(60):
        result = plan(world.seen())
        if not result.actions and not world.active:
            break
        world.do(result.actions)
        world.work()
    else:
        pytest.fail("no end")
    targets = wanted.targets()
    assert world.ready.get("gone", 0) == 0
    assert all(world.ready.get(owner, 0) <= target for owner, target in targets.items())
    assert sum(world.ready.values()) == min(sum(targets.values()), max_size)
    assert plan(world.seen()).next_check is None


def test_campaigns_that_cannot_be_deleted_are_not_tried_for_ever() -> None:
    held = observed(ledger=ledger({MASTER: OwnerCounts(ready=5, retiring=2, held=2)}))
    assert plan(held).actions == ()
    assert plan(held).next_check == HELD_SECONDS
    one_more = plan(observed(ledger=ledger({MASTER: OwnerCounts(ready=5, retiring=3, held=2)})))
    assert (one_more.actions, one_more.next_check) == ((Remove(),), 0)
