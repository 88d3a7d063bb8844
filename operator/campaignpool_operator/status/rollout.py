"""The roll-out of a revision in the status, purely: its figures, whether it waits for a person, and Events."""

from collections.abc import Iterator
from typing import Literal, TypeAlias

from campaignpool.api.reasons import Reason, find
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.api.status import CampaignPoolStatus, RolloutStatus
from campaignpool_operator.facts import Event, Observed
from campaignpool_operator.plan.rollout import Rollout
from campaignpool_operator.status.judgement import Judgement
from campaignpool_operator.text import stamp

KIND = "RolloutStalled"

_Phase: TypeAlias = Literal["Complete", "Progressing", "Waiting", "Paused", "Stalled"]


def figures(observed: Observed, rolling: Rollout) -> RolloutStatus | None:
    """Return the figures of the roll-out: the last ones while none are known, None before the first revision."""
    ledger, before = observed.ledger, observed.pool.status.rollout
    if observed.fault is not None or ledger is None or observed.spec is None:
        return before
    if ledger.revision is None:
        return None
    totals = ledger.totals
    stale, unusable = totals.stale, totals.ready - totals.usable
    phase = _phase(observed.spec, rolling, stale, replaced=totals.outdated + unusable)
    same = before is not None and (before.revision, before.phase) == (ledger.revision.id, phase)
    return RolloutStatus(
        revision=ledger.revision.id,
        kept=list(ledger.kept),
        updated=totals.ready - stale,
        stale=stale,
        phase=phase,
        since=before.since if before is not None and same else stamp(observed.now),
    )


def _phase(spec: CampaignPoolSpec, rolling: Rollout, stale: int, *, replaced: int) -> _Phase:
    if rolling.stalled is not None:
        return "Stalled"
    if rolling.action is not None:
        return "Progressing"
    if not (stale or rolling.waits):
        return "Complete"
    if spec.paused or spec.rollout.strategy == "Paused":
        return "Paused"
    return "Progressing" if replaced else "Waiting"


def judge(observed: Observed, rolling: Rollout) -> Judgement | None:
    """Judge whether a change waits for a person; None where a fault hides it."""
    if rolling.stalled is not None:
        return "True", rolling.stalled.reason, rolling.stalled.message
    if observed.fault is not None or observed.ledger is None:
        return None
    return "False", Reason.NOT_STALLED, "no change of the template waits for a person"


def events(previous: CampaignPoolStatus, current: CampaignPoolStatus) -> Iterator[Event]:
    """Yield the Events of a roll-out that stalled, goes on or is complete since the last status."""
    before, now = (
        next((item for item in status.conditions if item.type == KIND), None) for status in (previous, current)
    )
    stalled = before is not None and before.status == "True"
    if now is not None and now.status == "True" and (before is None or before.message != now.message):
        yield Event("Warning", find(now.reason) or Reason.UNKNOWN, now.message)
    elif now is not None and now.status == "False" and stalled:
        yield Event("Normal", Reason.ROLLOUT_RESUMED, now.message)
    old, new = previous.rollout, current.rollout
    if old is not None and new is not None and old.phase != "Complete" and new.phase == "Complete":
        message = f"All {new.updated} ready campaigns are of revision {new.revision}."
        yield Event("Normal", Reason.ROLLOUT_COMPLETE, message)
