"""The status, purely: a projection of what was observed and planned, and the Events that its transitions are worth.

Where a fault hides the ledger, the last known numbers stay, and Ready is False and says why. A condition's
`lastTransitionTime` changes with its status only, so the same facts give the same status, to the byte.
"""

from collections.abc import Iterator
from typing import Any

from campaignpool.api.reasons import Reason, find
from campaignpool.api.resource import MASTER
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.api.status import STATUS_OWNERS, CampaignPoolStatus, Condition, LastSeed, OwnersSummary, OwnerStatus
from campaignpool.ledger.pools import Ledger, OwnerCounts
from campaignpool_operator.facts import Event, Observed
from campaignpool_operator.jobs.seeding import selector
from campaignpool_operator.plan.actions import Drain, Release
from campaignpool_operator.plan.failures import retry_wanted
from campaignpool_operator.plan.plan import Plan
from campaignpool_operator.status import images, rollout, sizing, template
from campaignpool_operator.status.conditions import conditions
from campaignpool_operator.status.judgement import ConditionStatus
from campaignpool_operator.text import stamp


def project(observed: Observed, plan: Plan) -> CampaignPoolStatus:
    """Return the status that follows from what was observed and planned."""
    previous = observed.pool.status
    spec, ledger = observed.spec, observed.ledger
    changes: dict[str, Any] = {}
    if spec is not None:
        changes["desired"] = sum(spec.targets().values())
    if spec is not None and ledger is not None:
        changes |= _counted(observed, plan, spec, ledger)
        if retry_wanted(observed) and observed.fault is None:
            at = observed.database_now or observed.now
            changes |= {"retried": observed.pool.retry, "retried_at": at.isoformat().replace("+00:00", "Z")}
    return previous.model_copy(
        update={
            **changes,
            "observed_generation": max(observed.pool.generation, previous.observed_generation or 0),
            "selector": selector(observed.pool.name),
            "images": images.counted(observed, plan.images),
            "refreshed": template.refreshed(observed),
            "rollout": rollout.figures(observed, plan.rollout),
            "drained": _asked(plan, Drain) or previous.drained,
            "released": _asked(plan, Release) or previous.released,
            "sizing": sizing.figures(observed),
            "conditions": conditions(observed, plan),
        }
    )


def _asked(plan: Plan, kind: type[Drain | Release]) -> str | None:
    """Return the annotation's value that an action of this loop obeyed."""
    return next((action.asked for action in plan.actions if isinstance(action, kind)), None)


def _counted(observed: Observed, plan: Plan, spec: CampaignPoolSpec, ledger: Ledger) -> dict[str, Any]:
    totals, owners = ledger.totals, _owners(spec, ledger)
    return {
        "desired": totals.desired,
        "ready": totals.usable,
        "replicas": ledger.owners.get(MASTER, OwnerCounts()).usable,
        # Reserved by a run, or asked for from a Job that has not begun: the same campaigns, counted once.
        "seeding": max(totals.seeding, plan.promised) + totals.imaging,
        "claimed": totals.claimed,
        "failed": totals.failed,
        "stale": totals.stale,
        "owners": owners,
        "owners_omitted": totals.owners - len(owners),
        "omitted": _summary(totals, owners),
        "returning": totals.returning if spec.returning is not None else None,
        "last_seed": _last_seed(ledger) or observed.pool.status.last_seed,
    }


def _owners(spec: CampaignPoolSpec, ledger: Ledger) -> list[OwnerStatus]:
    """Return how the owners stand that lack most; owners that left are listed while they have any."""
    names = {owner.id: owner.name or owner.id for owner in spec.owners}
    names[MASTER] = "master"
    result = [
        OwnerStatus(
            id=owner,
            name=names.get(owner, owner),
            desired=counts.desired,
            ready=counts.usable,
            seeding=counts.seeding + counts.imaging,
            claimed=counts.claimed,
        )
        for owner, counts in ledger.owners.items()
    ]
    return sorted(result, key=lambda value: (min(0, value.ready - value.desired), value.id))[:STATUS_OWNERS]


def _summary(totals: OwnerCounts, listed: list[OwnerStatus]) -> OwnersSummary | None:
    """Return how the owners stand together that are not listed."""
    if totals.owners == len(listed):
        return None
    return OwnersSummary(
        desired=totals.desired - sum(owner.desired for owner in listed),
        ready=totals.usable - sum(owner.ready for owner in listed),
        seeding=totals.seeding + totals.imaging - sum(owner.seeding for owner in listed),
    )


def _last_seed(ledger: Ledger) -> LastSeed | None:
    done = [run for run in ledger.runs if run.outcome != "Failed" and run.made_at and not run.reserved]
    if not done:
        return None
    run = max(done, key=lambda run: run.made_at or run.started_at)
    return LastSeed(
        job=run.job,
        finished_at=stamp(run.made_at or run.started_at),
        campaigns=run.campaigns,
        rows=run.rows,
        statements=run.statements,
        duration_milliseconds=round(run.seconds * 1000),
    )


def transitions(previous: CampaignPoolStatus, current: CampaignPoolStatus) -> Iterator[Event]:
    """Yield the Events between two statuses: one for what became true, none for what stayed so."""
    before = {condition.type: condition for condition in previous.conditions}
    now = {condition.type: condition for condition in current.conditions}

    def turned(kind: str, status: ConditionStatus, *, first: bool) -> bool:
        was = before[kind].status if kind in before else None
        return now[kind].status == status and was != status and (first or was is not None)

    if turned("Ready", "True", first=True):
        yield _event("Normal", now["Ready"])
    degraded, was = now["Degraded"], before.get("Degraded")
    news = was is None or (was.status, was.reason, was.message) != (
        degraded.status,
        degraded.reason,
        degraded.message,
    )
    # What an audit found has been said by the action that follows it, with what was done.
    if degraded.status == "True" and news and degraded.reason != Reason.CAMPAIGNS_CHANGED:
        yield _event("Warning", degraded)
    elif turned("Degraded", "False", first=False):
        yield Event("Normal", Reason.RECOVERED, degraded.message)
    if now["Ready"].reason == Reason.EMPTY and "Ready" in before and before["Ready"].reason != Reason.EMPTY:
        yield _event("Warning", now["Ready"])
    if turned("Paused", "True", first=True):
        yield _event("Normal", now["Paused"])
    elif turned("Paused", "False", first=False):
        yield Event("Normal", Reason.RESUMED, now["Paused"].message)
    if current.retried != previous.retried:
        yield Event("Normal", Reason.RETRIED, "Failed runs do not count any more; seeding goes on.")


def _event(kind: str, condition: Condition) -> Event:
    return Event(kind, find(condition.reason) or Reason.UNKNOWN, condition.message)
