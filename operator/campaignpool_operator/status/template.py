"""The template in the status, purely: how it stands to the revision in service."""

from collections.abc import Iterator

from campaignpool.api.reasons import Reason, find
from campaignpool.api.status import CampaignPoolStatus
from campaignpool.blueprint.changes import Changes, TableChange
from campaignpool_operator.facts import Event, Observed
from campaignpool_operator.status.judgement import Judgement

KIND = "TemplateCurrent"

NAMED = 5
"""Tables that a message names."""


def judge(observed: Observed) -> Judgement | None:
    """Judge whether the template is as the revision in service has it; None where a fault hides it."""
    ledger, facts = observed.ledger, observed.template
    if observed.fault is not None or ledger is None or ledger.revision is None:
        return None
    revision = f"revision {ledger.revision.id}"
    if facts is None or facts.revision != ledger.revision.id:
        return None
    changes = facts.changes
    left_out = f"; {_left_out(changes)}" if changes.left_out else ""
    if facts.plan_hash != ledger.revision.plan_hash:
        differs = f" ({_differs(changes)})" if changes.tables else ""
        message = f"the blueprint, the catalog or the template's key is not that of {revision}{differs}{left_out}"
        return "False", Reason.BLUEPRINT_CHANGED, message
    if changes.fingerprint != ledger.revision.fingerprint:
        message = f"the template differs from {revision}: {_differs(changes)}{left_out}"
        return "False", Reason.TEMPLATE_CHANGED, message
    if changes.left_out:
        return "False", Reason.TABLES_LEFT_OUT, _left_out(changes)
    return "True", Reason.TEMPLATE_UNCHANGED, f"the template is as {revision} has it"


def events(previous: CampaignPoolStatus, current: CampaignPoolStatus) -> Iterator[Event]:
    """Yield the Event of a template that differs, or differs in more than before."""
    before, now = (
        next((item for item in status.conditions if item.type == KIND), None) for status in (previous, current)
    )
    if now is not None and now.status == "False" and (before is None or before.message != now.message):
        yield Event("Normal", find(now.reason) or Reason.TEMPLATE_CHANGED, now.message)


def refreshed(observed: Observed) -> str | None:
    """Return the value of the annotation `campaignpool.dev/refresh` that was obeyed."""
    facts = observed.template
    return (facts.refresh if facts is not None else "") or observed.pool.status.refreshed


def _differs(changes: Changes) -> str:
    """Return what differs: tables and counts."""
    named = [_of_table(item) for item in changes.tables[:NAMED]]
    rest = len(changes.tables) - len(named)
    return ", ".join([*named, f"and {rest} tables more"] if rest > 0 else named) or "in columns that a clone has"


def _of_table(item: TableChange) -> str:
    counts = {"added": item.added, "removed": item.removed, "changed": item.changed}
    what = [f"{count:,} {kind}" for kind, count in counts.items() if count]
    return f"{item.table} ({', '.join(what) or 'its columns'})"


def _left_out(changes: Changes) -> str:
    names = sorted(changes.left_out)
    named = [f"{name} ({changes.left_out[name]:,})" for name in names[:NAMED]]
    rest = f" and {len(names) - NAMED} tables more" if len(names) > NAMED else ""
    return f"the blueprint does not name these tables, which have rows of the template now: {', '.join(named)}{rest}"
