"""Plans reach an end and stay there: whatever is observed, whichever action is the last before a crash, and whatever
the clocks of operator, API server and database say. `tests/perturbation` checks it of what operators observe.

`CAMPAIGNPOOL_EXAMPLES` sets how many states are drawn; each is planned for about a hundred times.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaignpool.api.reasons import Reason
from campaignpool.api.resource import MASTER
from campaignpool_operator.facts import Observed
from campaignpool_operator.jobs.pods import JobPods, Obstacle
from campaignpool_operator.plan import plan as module
from campaignpool_operator.plan.actions import DeleteJob, FinishRun, InstallRevision, Prune
from campaignpool_operator.plan.failures import Failures
from campaignpool_operator.plan.plan import Plan, plan
from campaignpool_operator.plan.rollout import Rollout
from tests.support import plan_model
from tests.support.plan_model import Campaign, Model, NoEndError, settle, within_limits
from tests.support.pools import ago, compiled, job, pool, revision, run, spec

EXAMPLES = int(os.environ.get("CAMPAIGNPOOL_EXAMPLES", "100"))
OWNERS = (MASTER, "a", "b", "gone")
TEN_MINUTES = 600.0
OFFSETS = st.sampled_from([0.0, TEN_MINUTES, -TEN_MINUTES])
_PODS = (
    JobPods(),
    JobPods(started=True),
    JobPods(pulling=True),
    JobPods(started=True, exit_code=0),
    JobPods(started=True, exit_code=1),
    JobPods(started=True, exit_code=75, transient=True),
    JobPods(obstacle=Obstacle(Reason.UNSCHEDULABLE, "no node takes the pod")),
)
drawn = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Any state of ledger and Jobs, also those that no history leads to."""
    max_size = draw(st.integers(0, 12))
    wanted = spec(
        size=draw(st.integers(0, max_size)),
        maxSize=max_size,
        maxConcurrent=draw(st.integers(1, 3)),
        paused=draw(st.booleans()) and draw(st.booleans()),
        owners=[{"id": owner, "size": draw(st.integers(0, 5))} for owner in draw(st.sets(st.sampled_from("ab")))],
        claims={"allowStale": draw(st.booleans())},
        rollout={
            "strategy": draw(st.sampled_from(["RollingUpdate", "RollingUpdate", "OnReplenish", "Paused"])),
            "minReady": draw(st.sampled_from(["0%", "50%", "100%"])),
        },
    )
    generation = draw(st.integers(1, 2))
    first = revision()
    kept = {1: first, 2: replace(first, id=2, fingerprint=draw(st.sampled_from(["f", "g"])), installed_at=ago(300))}
    serves = draw(st.sampled_from([None, 1, 2]))
    if serves and draw(st.booleans()) and draw(st.booleans()):  # a person chose one, or one that there is not
        chosen = draw(st.integers(1, 3))
        wanted = wanted.model_copy(update={"template": wanted.template.model_copy(update={"revision": chosen})})
    freezes = wanted.template.revision is None and wanted.rollout.strategy != "Paused"
    model = Model(
        wanted,
        pool(generation=generation),
        compiled(draw(st.sampled_from(["0", "1"])) * 64),
        kept[serves] if serves else None,
        kept if serves else {},
        fates=draw(st.lists(st.booleans(), max_size=4)),
        refuses=freezes and draw(st.booleans()) and draw(st.booleans()),
    )
    for number in range(1, draw(st.integers(0, 4)) + 1):
        _draw_run(draw, model, number, generation)
    current = 2 if serves else 1
    for _ in range(draw(st.integers(0, 14))):
        state = draw(st.sampled_from(["retiring", "failed", *(["ready"] * 3 if serves else [])]))
        refused = state == "retiring" and draw(st.booleans())
        model.campaigns.append(
            Campaign(
                draw(st.sampled_from(OWNERS)),
                state,
                draw(st.integers(1, current)),
                reserved_at=ago(draw(st.sampled_from([10, 4000]))),
                retry_at=ago(draw(st.sampled_from([10, -200]))) if refused else None,
            )
        )
    if draw(st.booleans()) and any(item.state == "ready" for item in model.campaigns):
        model.changed = {UUID(int=1): "rows were deleted"}
    return model


def _draw_run(draw: st.DrawFn, model: Model, number: int, generation: int) -> None:
    """Add a Job, its run, or both, at any point of their lives."""
    count = draw(st.integers(1, 4))
    campaigns = draw(st.integers(0, count))
    began = draw(st.sampled_from([5, 60, 700, 4000]))
    facts = {"count": count, "generation": draw(st.integers(1, generation))}
    has = draw(st.sampled_from(["Job", "run", "both"]))
    if has != "run":
        state = draw(st.sampled_from(["Active", "Active", "Succeeded", "Failed"]))
        the_job = job(number, state, created_at=ago(began), deleting=draw(st.booleans()), **facts)
        if state != "Active":
            the_job = replace(the_job, finished_at=ago(began - 2), deleting=False)
        elif pods := draw(st.sampled_from(_PODS)):
            model.pods[the_job.name] = pods
        model.jobs[the_job.name] = the_job
    if has != "Job":
        outcome = draw(st.sampled_from([None, "Succeeded", "Failed"]))
        reserved = draw(st.integers(0, count - campaigns)) if outcome is None else 0
        why = draw(st.sampled_from([Reason.SEEDING_FAILED, Reason.SEEDING_INTERRUPTED]))
        ended = {"reason": why, "finished_at": ago(began - 1)} if outcome == "Failed" else {}
        ended |= {"finished_at": ago(began - 1)} if outcome else {}
        times = {"started_at": ago(began), "campaigns": campaigns, "reserved": reserved, **ended}
        the_run = run(number, outcome, **facts, **times)
        model.runs[the_run.job] = the_run
        for _ in range(reserved):
            model.campaigns.append(Campaign(draw(st.sampled_from(OWNERS)), "seeding", 1, the_run.job, ago(began)))


@drawn
@given(models())
def test_plans_reach_an_end_and_what_is_wanted(model: Model) -> None:
    settle(model, within_limits)
    assert plan(model.seen()).actions == (), "and is kept"
    if model.spec.paused:
        return
    held = sum(counts.held for counts in model.seen().ledger.owners.values())  # type: ignore[union-attr]
    assert held == 0, "they are tried again"
    counts = model.seen().ledger.owners  # type: ignore[union-attr]
    assert plan(model.seen()).rollout.stalled or not any(count.outdated for count in counts.values())
    ready = {owner: count.usable for owner, count in counts.items() if count.usable}
    assert ready == {owner: share for owner, share in model.spec.shares().items() if share}


@drawn
@given(models())
def test_a_crash_after_any_action_changes_nothing_of_the_end(model: Model) -> None:
    """The operator dies before one of the first plan's actions and starts again; or before one of the next plan's."""
    model.fates = []
    plan_model.crash_anywhere(model, rounds=3)


@drawn
@given(models(), OFFSETS, OFFSETS, OFFSETS)
def test_clocks_that_differ_change_no_plan(model: Model, operator: float, api: float, database: float) -> None:
    """What the API server wrote is off with its clock, and what the database wrote with its own."""
    assert plan(model.seen(operator=operator, api=api, database=database)) == plan(model.seen())


@drawn
@given(models(), st.sampled_from([TEN_MINUTES, -TEN_MINUTES, 1.0, -1.0]))
def test_a_clock_that_jumps_shifts_a_pause_by_no_more(model: Model, jump: float) -> None:
    """The database's clock is set while a pause goes on: times that it wrote before are off by that."""
    seen = model.seen()
    before = plan(seen).failures
    after = plan(replace(seen, database_now=model.now + timedelta(seconds=jump))).failures
    assert abs(after.wait - before.wait) <= abs(jump)
    assert after.wait <= after.pause


# --- the checks find what they are for ------------------------------------------------------------------------------


def test_a_job_that_did_not_start_is_deleted_although_a_crash_followed_the_end_of_its_run() -> None:
    late = job(created_at=ago(700))
    model = Model(spec(size=5), pool(), compiled(), revision(), jobs={late.name: late})
    ends, deletes = plan(model.seen()).actions[:2]
    assert (type(ends), type(deletes)) == (FinishRun, DeleteJob)
    model.do([ends])
    assert plan(model.seen()).actions[0] == deletes


def failed_long_ago() -> Model:
    """A pool with a failed run of two hours ago, and campaigns that failed a moment ago."""
    model = Model(spec(size=0), pool(), compiled(), revision())
    runs = (
        run(1, "Failed", started_at=ago(7300), finished_at=ago(7200)),
        run(2, "Failed", started_at=ago(20), finished_at=ago(10)),
    )
    model.runs = {item.job: item for item in runs}
    model.campaigns = [Campaign(MASTER, "failed", 1, runs[1].job, ago(20))]
    return model


def test_what_is_too_young_to_be_pruned_is_not_asked_for_in_every_loop() -> None:
    model = failed_long_ago()
    assert [type(action) for action in plan(model.seen()).actions] == []
    model.now += timedelta(seconds=3700)
    assert plan(model.seen()).actions == (Prune(),)
    settle(model)
    assert model.campaigns == []


def _retires_too_many(patch: pytest.MonkeyPatch) -> None:
    original = Model._retire
    patch.setattr(Model, "_retire", lambda self, owner, keep: original(self, owner, max(0, keep - 1)))


def _installs_always(patch: pytest.MonkeyPatch) -> None:
    def always(seen: Observed) -> Rollout:
        assert seen.compiled is not None
        assert seen.ledger is not None
        assert seen.ledger.revision is not None
        return Rollout(InstallRevision(seen.compiled, "it is Monday", seen.ledger.revision.id))

    patch.setattr(module.rollout, "decide", always)


def _forgets_promises(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(module._State, "to_reserve", lambda *_: 0)


def _draws_lots(patch: pytest.MonkeyPatch) -> None:
    numbers = iter(range(10_000))
    patch.setattr(module, "count_failures", lambda *_: Failures(cause=str(next(numbers))))


BREAKS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "more are retired than are too many": (_retires_too_many, "2 wanted"),
    "what is installed is installed again": (_installs_always, "in a row"),
    "what Jobs will make is forgotten": (_forgets_promises, "CreateJob"),
    "the plan depends on more than what was observed": (_draws_lots, "the same input"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_the_checks_find_a_plan_that_is_broken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, says = BREAKS[name]
    broken(monkeypatch)
    with pytest.raises(AssertionError, match=says):
        _two_are_kept()


def _two_are_kept() -> None:
    for ready, concurrent in ((4, 1), (0, 3)):
        campaigns = [Campaign(MASTER, "ready")] * ready
        wanted = spec(size=2, maxConcurrent=concurrent)
        settle(Model(wanted, pool(), compiled(), revision(), campaigns=campaigns), _two_at_least)


def _two_at_least(model: Model, todo: Plan) -> None:
    within_limits(model, todo)
    ready = sum(1 for item in model.campaigns if item.state == "ready")
    assert not ready or ready >= model.spec.size, f"{ready} are left, {model.spec.size} wanted"


def test_a_plan_without_an_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_model, "plan", lambda _: Plan(actions=(Prune(),)))
    with pytest.raises(NoEndError):
        settle(failed_long_ago())
