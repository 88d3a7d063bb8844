"""Which revision is to be in service, purely: the one that a person chose, else that of the present template.

A change of the template, the blueprint or the catalog leads to a new revision. One that takes away many rows waits
until a person confirms it; one that could not be put into service, until something has changed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from campaignpool.api.reasons import Reason
from campaignpool.api.resource import CONFIRM_SHRINK, RETRY
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.blueprint.fingerprint import short
from campaignpool.ledger.pools import InstalledRevision, Ledger
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
    """

    action: InstallRevision | UseRevision | None = None
    stalled: Stall | None = None


def decide(observed: Observed) -> Rollout:
    """Decide whether another revision goes into service."""
    spec, ledger, compiled = observed.spec, observed.ledger, observed.compiled
    if spec is None or ledger is None:
        return Rollout()
    if spec.template.revision is not None:
        return _chosen(ledger, spec.template.revision)
    if compiled is None:
        return Rollout()
    if ledger.revision is None:
        return Rollout(InstallRevision(compiled, "it is the first of the pool"))
    facts = _comparison(observed, ledger.revision)
    if compiled.plan_hash != ledger.revision.plan_hash:
        reason = "the blueprint, the database's catalog or the template's key has changed"
    elif facts is not None and facts.changes.fingerprint != ledger.revision.fingerprint:
        reason = "the template has changed"
    else:
        return Rollout()
    if facts is not None and (shrunk := list(_shrunk(spec, facts))):
        name = short(facts.changes.fingerprint)
        if observed.pool.confirmed != name:
            return Rollout(stalled=_unconfirmed(spec, shrunk, name))
    fingerprint, refused = facts.changes.fingerprint if facts is not None else "", ledger.refused
    same = refused is not None and (refused.plan_hash, refused.fingerprint) == (compiled.plan_hash, fingerprint)
    if refused is not None and same and not retry_wanted(observed):
        return Rollout(stalled=Stall(Reason.REVISION_REFUSED, f"{refused.cause.rstrip('.')}; {_AGAIN}"))
    return Rollout(InstallRevision(compiled, reason, ledger.revision.id, fingerprint))


_AGAIN = (
    "the pool goes on with the revision in service; this is tried again when the template, the blueprint or the "
    f"catalog changes, or the annotation {RETRY} has a new value"
)


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


def _shrunk(spec: CampaignPoolSpec, facts: TemplateFacts) -> Iterator[str]:
    """Yield the tables that lose too large a share of their rows; those that the blueprint no longer names do not."""
    for item in facts.changes.tables:
        if item.named and item.before - item.now > spec.template.shrink * item.before:
            yield f"{item.before - item.now:,} of the {item.before:,} rows of {item.table}"


def _unconfirmed(spec: CampaignPoolSpec, shrunk: list[str], name: str) -> Stall:
    rest = f" and rows of {len(shrunk) - NAMED} tables more" if len(shrunk) > NAMED else ""
    message = (
        f"the template has lost {', '.join(shrunk[:NAMED])}{rest}, more than spec.template.maxShrink "
        f"({spec.template.max_shrink}) allows: correct the template, or confirm the loss with the annotation "
        f"{CONFIRM_SHRINK}={name}"
    )
    return Stall(Reason.SHRINK_UNCONFIRMED, message)
