"""The condition OwnersUseful, purely: whether owners gain by pools of their own."""

from campaignpool.api.reasons import Reason
from campaignpool_operator.facts import Observed
from campaignpool_operator.status.judgement import Judgement

KIND = "OwnersUseful"


def judge(observed: Observed) -> Judgement | None:
    """Judge whether owners gain by pools of their own; None while it is not known."""
    spec, ledger = observed.spec, observed.ledger
    if observed.fault is not None or spec is None or ledger is None or ledger.revision is None:
        return None
    kept = ledger.totals.desired - spec.size
    if not kept:
        return "True", Reason.NO_OWNERS, "no owner has a pool of their own"
    if ledger.revision.uses_owner:
        return "True", Reason.OWNERS_DIFFER, "the blueprint uses $owner: campaigns differ by owner"
    message = (
        f"{kept} campaigns are kept for owners, and the blueprint uses $owner nowhere: a campaign of one owner is as "
        "good for another, and one shared pool keeps fewer idle: see docs/how-to/pools-for-returning-users.md"
    )
    return "False", Reason.OWNERS_ALIKE, message
