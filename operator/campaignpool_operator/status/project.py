"""The status, purely: a projection of what was observed and planned, and the Events that its transitions are worth.

Ready has hysteresis: once every owner had its target, the pool stays Ready while each owner has at least one campaign
to claim. Where a fault hides the ledger, the last known numbers stay; they are old, and Ready is False and says why.
A condition's `lastTransitionTime` changes with its status only, so the same facts give the same status, to the byte.
"""

from collections.abc import Iterator
from typing import Any, Literal

from campaignpool.api.resource import MASTER
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.api.status import STATUS_OWNERS, CampaignPoolStatus, Condition, LastSeed, OwnerStatus
from campaignpool.ledger.pools import Ledger, OwnerCounts
from campaignpool_operator.facts import Event, Fault, Observed
from campaignpool_operator.jobs.seeding import selector
from campaignpool_operator.plan.actions import InstallRevision, Retire
from campaignpool_operator.plan.plan import Plan
from campaignpool_operator.status import images as image_status
from campaignpool_operator.text import sentence, stamp

Truth = Literal["True", "False", "Unknown"]
Judgement = tuple[Truth, str, str]
"""Status, reason and message of a condition."""

_FILLED = ("Filled", "Replenishing")


def project(observed: Observed, plan: Plan) -> CampaignPoolStatus:
    """Give the status that follows from what was observed and planned."""
    previous = observed.pool.status
    spec, ledger = observed.spec, observed.ledger
    numbers: dict[str, Any] = {}
    if spec is not None:
        numbers["desired"] = sum(spec.targets().values())
    if ledger is not None:
        numbers |= _counted(observed, plan, ledger)
    judgements = {
        "Ready": _ready(observed, plan),
        "Progressing": _progressing(observed, plan),
        "Degraded": _degraded(observed, plan),
        "Paused": _paused(observed),
        image_status.KIND: _images(observed, plan),
    }
    conditions = [_condition(observed, kind, judgement) for kind, judgement in judgements.items()]
    return previous.model_copy(
        update={
            **numbers,
            "observed_generation": observed.pool.generation,
            "selector": selector(observed.pool.name),
            "images": image_status.counted(observed, plan.images),
            "conditions": conditions,
        }
    )


def _counted(observed: Observed, plan: Plan, ledger: Ledger) -> dict[str, Any]:
    owners = _owners(observed, plan, ledger)
    counts = ledger.owners.values()
    listed = owners[:STATUS_OWNERS]
    return {
        "ready": sum(each.ready for each in counts),
        "seeding": sum(each.seeding for each in owners),
        "claimed": sum(each.claimed for each in counts),
        "failed": sum(each.failed for each in counts),
        "stale": sum(each.stale for each in counts),
        "owners": listed,
        "owners_omitted": len(owners) - len(listed),
        "last_seed": _last_seed(ledger) or observed.pool.status.last_seed,
    }


def _owners(observed: Observed, plan: Plan, ledger: Ledger) -> list[OwnerStatus]:
    """Give how each owner stands, those that lack most first; owners that left are listed while they have any."""
    spec = observed.spec
    targets = spec.targets() if spec else {}
    names = {owner.id: owner.name or owner.id for owner in spec.owners} if spec else {}
    names[MASTER] = "master"
    present = {owner for owner, each in ledger.owners.items() if each.whole or each.seeding}
    asked = {owner for owner, count in plan.promised.items() if count}
    result = []
    for owner in {*targets, *present, *asked}:
        each = ledger.owners.get(owner, OwnerCounts())
        result.append(
            OwnerStatus(
                id=owner,
                name=names.get(owner, owner),
                desired=targets.get(owner, 0),
                ready=each.ready,
                # Reserved by a run, or asked for from a Job that has not begun: the same campaigns, counted once.
                seeding=max(each.seeding, plan.promised.get(owner, 0)) + each.imaging,
                claimed=each.claimed,
            )
        )
    return sorted(result, key=lambda each: (min(0, each.ready - each.desired), each.id))


def _last_seed(ledger: Ledger) -> LastSeed | None:
    done = [run for run in ledger.runs if run.outcome == "Succeeded" and run.finished_at and run.campaigns]
    if not done:
        return None
    run = max(done, key=lambda run: run.finished_at or run.started_at)
    return LastSeed(
        job=run.job,
        finished_at=stamp(run.finished_at or run.started_at),
        campaigns=run.campaigns,
        rows=run.rows,
        statements=run.statements,
        duration_milliseconds=round(run.seconds * 1000),
    )


def _ready(observed: Observed, plan: Plan) -> Judgement:
    spec, ledger, fault = observed.spec, observed.ledger, observed.fault
    if observed.pool.deleting:
        return "False", "Deleting", "The pool is being deleted: its campaigns cannot be claimed."
    if fault is not None or spec is None or ledger is None:
        fault = fault or Fault("Unknown", "The pool has not been looked at yet.", True)
        return "False", fault.reason, sentence(fault.message)
    targets = spec.targets()
    ready = {owner: ledger.owners.get(owner, OwnerCounts()).ready for owner in targets}
    have = sum(min(ready[owner], target) for owner, target in targets.items())
    desired = sum(targets.values())
    if have >= desired:
        return "True", "Filled", f"All {desired} campaigns are ready."
    counted = f"{have} of {desired} campaigns are ready"
    before = _previous(observed, "Ready")
    was_ready = before is not None and before.status == "True"
    empty = [owner for owner, target in targets.items() if target and not ready[owner]]
    status: Truth = "True" if was_ready and not empty else "False"
    if plan.capped and not any(plan.promised.values()):
        return status, "TargetsExceedMaxSize", f"{counted}; {_capped(observed)}"
    if spec.paused:
        return status, "Paused", f"{counted}; set spec.paused to false to go on."
    if status == "True":
        return status, "Replenishing", f"{counted}, at least one for every owner."
    emptied = [owner for owner in empty if ledger.owners.get(owner, OwnerCounts()).claimed]
    if emptied and before is not None and (was_ready or before.reason in ("Empty", *_FILLED)):
        return status, "Empty", f"{counted}; {_owners_named(emptied)} nothing to claim."
    if plan.failures.count:
        return status, _failure_reason(plan), f"{counted}; {_failure_message(plan)}"
    return status, "Seeding", f"{counted}."


def _progressing(observed: Observed, plan: Plan) -> Judgement:
    if observed.pool.deleting:
        left = observed.ledger.images.unfinished if observed.ledger is not None else 0
        more = f" Images of {left} campaigns are copied or deleted before the pool goes." if left else ""
        return "True", "Deleting", f"Campaigns that nobody claimed are being removed; claimed ones stay.{more}"
    if observed.fault is not None or observed.spec is None or observed.ledger is None:
        return "False", observed.fault.reason if observed.fault else "Unknown", "Waiting for the fault to be mended."
    if any(isinstance(each, InstallRevision) for each in plan.actions):
        return "True", "Installing", "The blueprint is being brought into the database."
    if any(plan.promised.values()):
        return "True", "Seeding", "Seeding Jobs are at work."
    if any(isinstance(each, Retire) for each in plan.actions):
        return "True", "Retiring", "Campaigns that are not wanted any more are being removed."
    return _idle(observed, observed.spec, observed.ledger, plan)


def _idle(observed: Observed, spec: CampaignPoolSpec, ledger: Ledger, plan: Plan) -> Judgement:
    """Say why no campaign is being made or removed."""
    if any(counts.imaging for counts in ledger.owners.values()):
        return "True", "Imaging", "Campaigns have all their rows and wait for images that are required."
    if spec.paused:
        return "False", "Paused", "No campaign is made or retired while the pool is paused."
    if plan.lacking and plan.failures.halted:
        return "False", "Halted", "Seeding waits for a change of the resource."
    if plan.lacking and plan.failures.count:
        return "False", "Backoff", f"Seeding pauses for {plan.failures.pause} s after a failure."
    if plan.lacking and plan.capped:
        return "False", "TargetsExceedMaxSize", sentence(_capped(observed))
    return "False", "UpToDate", "Nothing is left to do."


def _degraded(observed: Observed, plan: Plan) -> Judgement:
    if observed.fault is not None:
        return "True", observed.fault.reason, sentence(observed.fault.message)
    if plan.failures.count:
        return "True", _failure_reason(plan), sentence(_failure_message(plan))
    if plan.capped:
        return "True", "TargetsExceedMaxSize", sentence(_capped(observed))
    return "False", "AsExpected", "Everything is as it should be."


def _paused(observed: Observed) -> Judgement:
    if observed.spec is not None and observed.spec.paused:
        return "True", "Paused", "spec.paused is true: no campaign is made or retired; claims go on."
    return "False", "NotPaused", "The pool is kept at its size."


def _images(observed: Observed, plan: Plan) -> Judgement:
    verdict = image_status.judge(observed, plan.images)
    if verdict is not None:
        return verdict.status, verdict.reason, sentence(verdict.message)
    before = _previous(observed, image_status.KIND)
    if before is not None:
        return before.status, before.reason, before.message
    return "Unknown", "NotObserved", "The pool's images have not been looked at yet."


def _failure_reason(plan: Plan) -> str:
    return "SeedingHalted" if plan.failures.halted else "SeedingFailed"


def _failure_message(plan: Plan) -> str:
    failures = plan.failures
    times = "the last run failed" if failures.count == 1 else f"{failures.count} runs failed in a row"
    after = "seeding stopped: mend the cause and change the resource" if failures.halted else "seeding is tried again"
    return f"{times} ({failures.cause.rstrip('.')}); {after}."


def _capped(observed: Observed) -> str:
    if observed.spec is None:
        return ""
    wanted = sum(observed.spec.targets().values())
    return f"the sizes add up to {wanted}, maxSize is {observed.spec.max_size}: raise maxSize or lower the sizes."


def _owners_named(owners: list[str]) -> str:
    if owners == [MASTER]:
        return "the master pool has"
    return f"{len(owners)} owners have" if len(owners) > 1 else "one owner has"


def _condition(observed: Observed, kind: str, judgement: Judgement) -> Condition:
    status, reason, message = judgement
    before = _previous(observed, kind)
    kept = before.last_transition_time if before is not None and before.status == status else stamp(observed.now)
    return Condition(
        type=kind,
        status=status,
        observed_generation=observed.pool.generation,
        last_transition_time=kept,
        reason=reason,
        message=message[:32768],
    )


def _previous(observed: Observed, kind: str) -> Condition | None:
    return condition(observed.pool.status, kind)


def condition(status: CampaignPoolStatus, kind: str) -> Condition | None:
    """Give a condition of a status by its type, or None."""
    return next((each for each in status.conditions if each.type == kind), None)


def transitions(previous: CampaignPoolStatus, current: CampaignPoolStatus) -> Iterator[Event]:
    """Give the Events between two statuses: one for what became true, none for what stayed so."""
    before = {each.type: each for each in previous.conditions}
    now = {each.type: each for each in current.conditions}

    def turned(kind: str, status: Truth, *, first: bool) -> bool:
        was = before[kind].status if kind in before else None
        return now[kind].status == status and was != status and (first or was is not None)

    if turned("Ready", "True", first=True):
        yield Event("Normal", now["Ready"].reason, now["Ready"].message)
    degraded, was = now["Degraded"], before.get("Degraded")
    news = was is None or (was.status, was.reason, was.message) != (
        degraded.status,
        degraded.reason,
        degraded.message,
    )
    if degraded.status == "True" and news:
        yield Event("Warning", degraded.reason, degraded.message)
    elif turned("Degraded", "False", first=False):
        yield Event("Normal", "Recovered", degraded.message)
    if now["Ready"].reason == "Empty" and "Ready" in before and before["Ready"].reason != "Empty":
        yield Event("Warning", "Empty", now["Ready"].message)
    if turned("Paused", "True", first=True):
        yield Event("Normal", "Paused", now["Paused"].message)
    elif turned("Paused", "False", first=False):
        yield Event("Normal", "Resumed", now["Paused"].message)
