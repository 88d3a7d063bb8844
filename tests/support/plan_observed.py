"""The model of what a loop of an operator observed, and what has to hold of its plan."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from campaignpool.ledger.pools import OwnerCounts
from campaignpool_operator.facts import Observed
from campaignpool_operator.plan.plan import plan
from tests.support.plan_model import (
    PRUNED_AFTER,
    REFUSED_FOR,
    Campaign,
    Model,
    crash_anywhere,
    settle,
    shifted_job,
    within_limits,
)


def modelled(seen: Observed) -> Model | None:
    """Return the model of what a loop observed; None where it is about faults, refusals, images, age or claimants."""
    spec, ledger, now = seen.spec, seen.ledger, seen.database_now
    if spec is None or ledger is None or seen.compiled is None or now is None or seen.fault is not None:
        return None
    if spec.returning or spec.max_age or spec.images.copies or seen.changed or ledger.refused:
        return None
    revision = replace(ledger.revision, uses_owner=True) if ledger.revision else None
    by_api = now - (seen.cluster_now or now)
    fingerprint = revision.fingerprint if revision else "f"
    if seen.template is not None and revision is not None and seen.template.revision == revision.id:
        fingerprint = seen.template.changes.fingerprint
    model = Model(
        spec.model_copy(update={"seeding": spec.seeding.model_copy(update={"linger_seconds": 0})}),
        replace(seen.pool, created_at=seen.pool.created_at + by_api),
        seen.compiled,
        revision,
        {number: replace(revision, id=number) for number in ledger.kept} if revision else {},
        fingerprint,
        runs={run.job: run for run in ledger.runs},
        jobs={job.name: shifted_job(job, by_api) for job in seen.jobs},
        pods=dict(seen.pods),
        now=now,
    )
    reserved = [run.job for run in ledger.runs for _ in range(run.reserved)]
    for owner, counts in ledger.owners.items():
        model.campaigns += _campaigns(model, owner, counts, reserved, prunable=ledger.prunable)
    return model


def _campaigns(
    model: Model, owner: str, counts: OwnerCounts, reserved: list[str], *, prunable: bool
) -> Iterator[Campaign]:
    """Yield the campaigns that an owner's counts stand for; those being made take their runs from `reserved`."""
    current = model.revision.id if model.revision else 0
    later = counts.ready - counts.usable if model.spec.claims.allow_stale else 0
    states = {
        ("ready", current): counts.ready - counts.stale,
        ("ready", current - 1): counts.stale - later,
        ("ready", current + 1): later,
        ("retiring", current): counts.retiring - counts.held,
        ("failed", current): counts.failed,
    }
    began = model.now - (2 * PRUNED_AFTER if prunable else PRUNED_AFTER / 2)
    for (state, revision), count in states.items():
        yield from [Campaign(owner, state, revision, reserved_at=began)] * count
    retry_at = model.now + REFUSED_FOR
    yield from [Campaign(owner, "retiring", current, reserved_at=began, retry_at=retry_at)] * counts.held
    for _ in range(counts.seeding):
        yield Campaign(owner, "seeding", current, reserved.pop() if reserved else "", began)


def check(seen: Observed) -> None:
    """Check that the plan of what a loop observed is the same by all clocks, and leads to an end that is kept."""
    assert plan(seen) == plan(seen), "the same input gives the same plan"
    model = modelled(seen)
    if model is None or (shape := _shape(model)) in _checked:
        return
    _checked.add(shape)
    crash_anywhere(model)
    for seconds in (600.0, -600.0):
        for clock in ("operator", "api", "database"):
            assert plan(model.seen(**{clock: seconds})) == plan(model.seen()), f"{clock} {seconds:+}"
    settle(model, within_limits)
    assert plan(model.seen()).actions == (), "and is kept"


_checked: set[str] = set()
"""What was checked by this process: many schedules go through the same states."""


def _shape(model: Model) -> str:
    """Return a model as text, without names, uids and times."""
    jobs = [(job.number, job.state, job.deleting, job.count, job.generation) for job in model.jobs.values()]
    runs = [(run.number, run.outcome, run.campaigns, run.reserved, run.generation) for run in model.runs.values()]
    campaigns = Counter((item.owner, item.state, item.revision, bool(item.run)) for item in model.campaigns)
    facts = (model.compiled.plan_hash, model.revision and model.revision.plan_hash, model.fingerprint)
    return repr((model.spec, model.pool.generation, facts, jobs, runs, sorted(campaigns.items()), model.pods))
