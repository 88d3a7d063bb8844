"""The conditions of a pool, purely: one function per condition, from what was observed and planned to a judgement."""

from collections.abc import Mapping
from dataclasses import dataclass

from campaignpool.api import reasons
from campaignpool.api.reasons import Reason
from campaignpool.api.resource import MASTER, RETRY
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.api.status import CampaignPoolStatus, Condition
from campaignpool.ledger.pools import Ledger
from campaignpool_operator.facts import Fault, Observed
from campaignpool_operator.plan.actions import InstallRevision, Retire
from campaignpool_operator.plan.plan import Plan
from campaignpool_operator.status import images, owners, rollout, sizing, template
from campaignpool_operator.status.judgement import ConditionStatus, Judgement
from campaignpool_operator.text import most_frequent, sentence, stamp

_FILLED = (Reason.FILLED, Reason.REPLENISHING)


@dataclass(frozen=True)
class _Work:
    """What the conditions of a pool without a fault are judged by."""

    observed: Observed
    spec: CampaignPoolSpec
    ledger: Ledger
    plan: Plan


def conditions(observed: Observed, plan: Plan) -> list[Condition]:
    """Return all conditions, in the order in which the status lists them."""
    judgements: Mapping[str, Judgement] = {
        "Ready": ready(observed, plan),
        "Progressing": progressing(observed, plan),
        "Degraded": degraded(observed, plan),
        "Paused": paused(observed),
        images.KIND: images_degraded(observed, plan),
        template.KIND: template_current(observed),
        rollout.KIND: rollout_stalled(observed, plan),
        owners.KIND: owners_useful(observed),
        **sizing.judgements(observed),
    }
    return [_condition(observed, kind, judgement) for kind, judgement in judgements.items()]


def find(status: CampaignPoolStatus, kind: str) -> Condition | None:
    """Return a condition of a status by its type, or None."""
    return next((condition for condition in status.conditions if condition.type == kind), None)


def ready(observed: Observed, plan: Plan) -> Judgement:
    """Judge whether campaigns can be claimed.

    Once every owner had its target, or its share where `maxSize` leaves no room for the targets, the pool stays Ready
    while each owner has at least one campaign to claim.
    """
    if observed.pool.deleting:
        return "False", Reason.DELETING, "The pool is being deleted: its campaigns cannot be claimed."
    work = _work(observed, plan)
    if isinstance(work, Fault):
        return "False", work.reason, sentence(work.message)
    totals = work.ledger.totals
    if totals.served >= totals.desired:
        return "True", Reason.FILLED, f"All {totals.desired} campaigns are ready."
    counted = f"{totals.served} of {totals.desired} campaigns are ready"
    before = find(observed.pool.status, "Ready")
    was_ready = before is not None and before.status == "True"
    has_shares = plan.capped and not (totals.lack or totals.seeding or totals.imaging)
    status: ConditionStatus = "True" if (was_ready or has_shares) and not totals.empty else "False"
    return (status, *_not_filled(work, status, counted))


def _not_filled(work: _Work, status: ConditionStatus, counted: str) -> tuple[Reason, str]:
    """Return why not all campaigns are ready."""
    plan, before = work.plan, find(work.observed.pool.status, "Ready")
    if plan.capped and not plan.promised:
        return Reason.TARGETS_EXCEED_MAX_SIZE, f"{counted}; {_capped(work.spec)}"
    if work.spec.paused:
        return Reason.PAUSED, f"{counted}; set spec.paused to false to go on."
    if plan.obstacle is not None:
        return plan.obstacle.reason, f"{counted}; {sentence(plan.obstacle.message)}"
    if status == "True":
        return Reason.REPLENISHING, f"{counted}, at least one for every owner."
    emptied = [owner for owner, item in work.ledger.owners.items() if item.empty and item.claimed]
    if emptied and before is not None and (before.status == "True" or before.reason in (Reason.EMPTY, *_FILLED)):
        return Reason.EMPTY, f"{counted}; {_owners_named(emptied)} nothing to claim."
    if plan.failures.count:
        return _failure_reason(plan), f"{counted}; {_failure_message(plan)}"
    return Reason.SEEDING, f"{counted}."


def progressing(observed: Observed, plan: Plan) -> Judgement:
    """Judge whether the operator is changing something."""
    if observed.pool.deleting:
        left = observed.ledger.images.unfinished if observed.ledger is not None else 0
        additional = f" Images of {left} campaigns are copied or deleted before the pool goes." if left else ""
        message = f"Campaigns that nobody claimed are being removed; claimed ones stay.{additional}"
        return "True", Reason.DELETING, message
    work = _work(observed, plan)
    if isinstance(work, Fault):
        return "False", work.reason, "Waiting for the error to be resolved; see Degraded."
    if any(isinstance(action, InstallRevision) for action in plan.actions):
        return "True", Reason.INSTALLING, "The blueprint is being installed in the database."
    if plan.obstacle is not None:
        return "False", plan.obstacle.reason, sentence(plan.obstacle.message)
    if plan.promised:
        return "True", Reason.SEEDING, "Seeding Jobs are active."
    if any(isinstance(action, Retire) for action in plan.actions):
        return "True", Reason.RETIRING, "Campaigns that are no longer wanted are being removed."
    return _idle(work)


def _idle(work: _Work) -> Judgement:
    """Return why no campaign is being made or removed."""
    plan = work.plan
    if work.ledger.totals.imaging:
        return "True", Reason.IMAGING, "Campaigns have all their rows and wait for images that are required."
    if work.spec.paused:
        return "False", Reason.PAUSED, "No campaign is made or retired while the pool is paused."
    if plan.lacking and plan.failures.halted:
        return "False", Reason.HALTED, f"Seeding is tried once an hour. {sentence(_retry())}"
    if plan.lacking and plan.failures.count:
        return "False", Reason.BACKOFF, f"Seeding pauses for {plan.failures.pause} s after a failure."
    if plan.lacking and plan.capped:
        return "False", Reason.TARGETS_EXCEED_MAX_SIZE, sentence(_capped(work.spec))
    if plan.lacking and plan.rollout.stalled is not None:
        return "False", plan.rollout.stalled.reason, sentence(plan.rollout.stalled.message)
    if plan.lacking and work.ledger.held:
        return "False", Reason.CAMPAIGNS_HELD, sentence(_held(work.ledger))
    return "False", Reason.UP_TO_DATE, "Nothing is left to do."


def degraded(observed: Observed, plan: Plan) -> Judgement:
    """Judge whether something needs attention."""
    if observed.fault is not None:
        return "True", observed.fault.reason, sentence(observed.fault.message)
    if plan.obstacle is not None:
        return "True", plan.obstacle.reason, sentence(plan.obstacle.message)
    if plan.failures.count:
        return "True", _failure_reason(plan), sentence(_failure_message(plan))
    if (changed := _changed(observed)) is not None:
        return "True", Reason.CAMPAIGNS_CHANGED, changed
    if plan.capped and observed.spec is not None:
        return "True", Reason.TARGETS_EXCEED_MAX_SIZE, sentence(_capped(observed.spec))
    if observed.ledger is not None and observed.ledger.held:
        return "True", Reason.CAMPAIGNS_HELD, sentence(_held(observed.ledger))
    return "False", Reason.AS_EXPECTED, "No errors."


def paused(observed: Observed) -> Judgement:
    """Judge whether the pool is paused."""
    if observed.spec is not None and observed.spec.paused:
        return "True", Reason.PAUSED, "spec.paused is true: no campaign is made or retired; claims go on."
    return "False", Reason.NOT_PAUSED, "The pool is kept at its size."


def images_degraded(observed: Observed, plan: Plan) -> Judgement:
    """Judge whether images need attention; where a fault hides them, what was said before holds."""
    unknown = (Reason.NOT_OBSERVED, "The pool's images have not been looked at yet.")
    return _or_before(observed, images.KIND, images.judge(observed, plan.images), unknown)


def template_current(observed: Observed) -> Judgement:
    """Judge whether the template is as the revision in service has it; where a fault hides it, as before."""
    unknown = (Reason.NOT_CHECKED, "The template has not been compared yet.")
    return _or_before(observed, template.KIND, template.judge(observed), unknown)


def rollout_stalled(observed: Observed, plan: Plan) -> Judgement:
    """Judge whether a change waits for a person; where a fault hides it, as before."""
    unknown = (Reason.UNKNOWN, "The pool has not been reconciled yet.")
    return _or_before(observed, rollout.KIND, rollout.judge(observed, plan.rollout), unknown)


def owners_useful(observed: Observed) -> Judgement:
    """Judge whether owners gain by pools of their own; where a fault hides it, as before."""
    unknown = (Reason.NOT_CHECKED, "No blueprint is installed yet.")
    return _or_before(observed, owners.KIND, owners.judge(observed), unknown)


def _or_before(observed: Observed, kind: str, judgement: Judgement | None, unknown: tuple[Reason, str]) -> Judgement:
    """Return a judgement, or where there is none what was said before."""
    if judgement is not None:
        status, reason, message = judgement
        return status, reason, sentence(message)
    before = find(observed.pool.status, kind)
    if before is not None:
        return before.status, reasons.find(before.reason) or Reason.UNKNOWN, before.message
    return ("Unknown", *unknown)


def _work(observed: Observed, plan: Plan) -> _Work | Fault:
    if observed.fault is None and observed.spec is not None and observed.ledger is not None:
        return _Work(observed, observed.spec, observed.ledger, plan)
    return observed.fault or Fault(Reason.UNKNOWN, "The pool has not been reconciled yet.", retry=True)


def _failure_reason(plan: Plan) -> Reason:
    return Reason.SEEDING_HALTED if plan.failures.halted else plan.failures.reason


def _failure_message(plan: Plan) -> str:
    failures = plan.failures
    times = "the last run failed" if failures.count == 1 else f"{failures.count} runs failed in a row"
    after = "it is tried once an hour" if failures.halted else f"it is retried after {failures.pause} s"
    return f"{times} ({failures.cause.rstrip('.')}); {after}; {_retry()}."


def _retry() -> str:
    return f"to retry at once, change the resource or give the annotation {RETRY} a new value"


def _capped(spec: CampaignPoolSpec) -> str:
    wanted = sum(spec.targets().values())
    return f"the sizes add up to {wanted}, maxSize is {spec.max_size}: raise maxSize or lower the sizes."


def _held(ledger: Ledger) -> str:
    causes = [f"{count}: {cause}" for cause, count in list(ledger.held.items())[:3]]
    return (
        f"{sum(ledger.held.values())} campaigns cannot be deleted ({'; '.join(causes)}); "
        "each is tried again after five minutes: delete the rows that keep it, or correct the trigger"
    )


def _changed(observed: Observed) -> str | None:
    """Return what the last audit found; it holds until an audit finds nothing."""
    if observed.changed is None:
        before = find(observed.pool.status, "Degraded")
        return before.message if before is not None and before.reason == Reason.CAMPAIGNS_CHANGED else None
    if not observed.changed:
        return None
    return (
        f"{len(observed.changed)} ready campaigns were deleted or changed by the application and are replaced "
        f"({most_frequent(observed.changed.values())}); this is shown until an audit finds no other."
    )


def _owners_named(emptied: list[str]) -> str:
    if emptied == [MASTER]:
        return "the master pool has"
    return f"{len(emptied)} owners have" if len(emptied) > 1 else "one owner has"


def _condition(observed: Observed, kind: str, judgement: Judgement) -> Condition:
    status, reason, message = judgement
    before, now = find(observed.pool.status, kind), stamp(observed.now)
    if before is not None:
        # It never goes back, whatever the clock of the operator that wrote it before.
        same = before.status == status
        now = before.last_transition_time if same else max(now, before.last_transition_time)
    return Condition(
        type=kind,
        status=status,
        observed_generation=observed.pool.generation,
        last_transition_time=now,
        reason=reason.value,
        message=message[:32768],
    )
