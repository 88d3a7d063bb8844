"""Which revision is to be in service, purely: the one that a person chose, else that of the present template.

A change of the template, the blueprint or the catalog leads to a new revision. One that takes away many rows waits
until a person confirms it; one that could not be put into service, until something has changed.
"""

from dataclasses import dataclass

from campaignpool.api.reasons import Reason
from campaignpool.api.resource import CONFIRM_SHRINK, RETRY, share
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.blueprint.canary import Canary
from campaignpool.blueprint.compilation import Compiled
from campaignpool.blueprint.fingerprint import short
from campaignpool.ledger.pools import InstalledRevision, Ledger
from campaignpool.ledger.templates import Refused
from campaignpool_operator.facts import Observed, TemplateFacts
from campaignpool_operator.plan.actions import InstallRevision, UseRevision
from campaignpool_operator.plan.failures import retry_wanted

NAMED = 3
"""Tables that a message names."""


@dataclass(frozen=True)
class Stall:
    """Why a change waits for a person."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Rollout:
    """What is to become of the revision in service.

    Attributes:
        action: What puts another one into service; None: nothing is to be done, or `stalled` says why not.
        stalled: Why a change is not rolled out.
        waits: There is a change, and the strategy Paused keeps it from being frozen.
    """

    action: InstallRevision | UseRevision | None = None
    stalled: Stall | None = None
    waits: bool = False


def decide(observed: Observed) -> Rollout:
    """Decide whether another revision goes into service."""
    spec, ledger, compiled = observed.spec, observed.ledger, observed.compiled
    if spec is None or ledger is None:
        return Rollout()
    if spec.template.revision is not None:
        return _chosen(ledger, spec.template.revision)
    if compiled is None:
        return Rollout()
    canary = Canary(spec.rollout.canary.campaigns, spec.rollout.verify)
    if ledger.revision is None:
        return Rollout(InstallRevision(compiled, "it is the first of the pool", canary=canary))
    facts = _comparison(observed, ledger.revision)
    reason = _changed(compiled, ledger.revision, facts)
    if reason is None:
        return Rollout()
    if spec.rollout.strategy == "Paused":
        return Rollout(waits=True)
    fingerprint = facts.changes.fingerprint if facts is not None else ""
    action = InstallRevision(compiled, reason, ledger.revision.id, fingerprint, canary)
    stall = _unconfirmed(spec, facts, observed.pool.confirmed) or _refused(observed, ledger, action)
    return Rollout(stalled=stall) if stall is not None else Rollout(action)


def _chosen(ledger: Ledger, revision: int) -> Rollout:
    """Return how the revision that a person chose goes into service."""
    if ledger.revision is not None and ledger.revision.id == revision:
        return Rollout()
    if revision in ledger.kept:
        return Rollout(UseRevision(revision))
    kept = ", ".join(str(number) for number in ledger.kept) or "none"
    message = f"spec.template.revision is {revision}, and the revisions that are kept are {kept}: name one of these"
    return Rollout(stalled=Stall(Reason.REVISION_NOT_KEPT, message))


def _comparison(observed: Observed, revision: InstalledRevision) -> TemplateFacts | None:
    """Return the comparison of the template with the revision in service."""
    facts = observed.template
    return facts if facts is not None and facts.revision == revision.id else None


def _changed(compiled: Compiled, revision: InstalledRevision, facts: TemplateFacts | None) -> str | None:
    """Return what differs from the revision in service."""
    if compiled.plan_hash != revision.plan_hash:
        return "the blueprint, the database's catalog or the template's key has changed"
    if facts is not None and facts.changes.fingerprint != revision.fingerprint:
        return "the template has changed"
    return None


def _unconfirmed(spec: CampaignPoolSpec, facts: TemplateFacts | None, confirmed: str) -> Stall | None:
    """Return why a change waits where a table loses too large a share of its rows.

    Tables that the blueprint no longer names do not count.
    """
    tables, limit = facts.changes.tables if facts is not None else (), share(spec.template.max_shrink)
    lost = [item for item in tables if item.named and item.before - item.now > limit * item.before]
    if facts is None or not lost or confirmed == (name := short(facts.changes.fingerprint)):
        return None
    named = [f"{item.before - item.now:,} of the {item.before:,} rows of {item.table}" for item in lost[:NAMED]]
    rest = f" and rows of {len(lost) - NAMED} tables more" if len(lost) > NAMED else ""
    message = (
        f"the template has lost {', '.join(named)}{rest}, more than spec.template.maxShrink "
        f"({spec.template.max_shrink}) allows: correct the template, or confirm the loss with the annotation "
        f"{CONFIRM_SHRINK}={name}"
    )
    return Stall(Reason.SHRINK_UNCONFIRMED, message)


def refusal(action: InstallRevision, cause: str) -> Refused:
    """Return what is recorded of a revision that could not be put into service."""
    return Refused(action.compiled.plan_hash, action.fingerprint, repr(action.canary), cause)


def _refused(observed: Observed, ledger: Ledger, action: InstallRevision) -> Stall | None:
    """Return why a change waits that could not be put into service before."""
    refused = ledger.refused
    if refused is None or refused != refusal(action, refused.cause) or retry_wanted(observed):
        return None
    return Stall(Reason.CANARY_FAILED, f"{refused.cause.rstrip('.')}; {_AGAIN}")


_AGAIN = (
    "the pool goes on with the revision in service; this is tried again when the template, the blueprint, the "
    f"catalog or spec.rollout changes, or the annotation {RETRY} has a new value"
)


NO_ROOM = Stall(
    Reason.NO_ROOM,
    "spec.maxSize leaves no room for new campaigns beside those that are outdated, and spec.rollout.minReady keeps "
    "these from going first: raise maxSize or lower minReady",
)
"""Why outdated campaigns are replaced only after claims."""
