"""Builders of observations, for unit tests of the operator's pure functions."""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

from campaignpool.api.resource import share as share_of
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.api.status import CampaignPoolStatus
from campaignpool.blueprint.compilation import Compiled
from campaignpool.ledger.images import ImageTotals
from campaignpool.ledger.pools import OWNERS_SEEN, InstalledRevision, Ledger, OwnerCounts
from campaignpool.ledger.seeding import Run
from campaignpool_operator.facts import Observed, Pool
from campaignpool_operator.jobs import images as image_jobs
from campaignpool_operator.jobs import seeding as jobs
from campaignpool_operator.jobs.managed import ManagedJob

BORN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = BORN + timedelta(hours=1)
HASH = "0" * 64
SETTINGS = "5" * 16
BLUEPRINT = {"inline": {"root": {"table": "campaigns"}}}


def ago(seconds: float) -> datetime:
    """Return the time so many seconds before NOW."""
    return NOW - timedelta(seconds=seconds)


def raw_spec(**changes: object) -> dict[str, Any]:
    """Return a spec as parsed YAML."""
    base: dict[str, Any] = {
        "database": {"secretRef": {"name": "database"}},
        "template": {"where": "is_master_template"},
        "blueprint": BLUEPRINT,
        "size": 5,
        "maxSize": 20,
        "seeding": {"lingerSeconds": 0},
    }
    return {**base, **changes}


def spec(**changes: object) -> CampaignPoolSpec:
    """Return a parsed spec."""
    return CampaignPoolSpec.model_validate(raw_spec(**changes))


def pool(**changes: object) -> Pool:
    """Return a resource."""
    facts: dict[str, Any] = {
        "namespace": "game",
        "name": "chiwar",
        "uid": "uid-1",
        "generation": 1,
        "resource_version": "1",
        "created_at": BORN,
        "deleting": False,
        "finalizers": (),
        "raw_spec": raw_spec(),
        "raw_status": {},
        "status": CampaignPoolStatus(),
    }
    return Pool(**{**facts, **changes})


def compiled(plan_hash: str = HASH) -> Compiled:
    """Return a compiled blueprint without a plan, which the tests do not use."""
    return Compiled(plan=None, template="t", plan_hash=plan_hash)  # type: ignore[arg-type] # see above


def revision(plan_hash: str = HASH, *, uses_owner: bool = True) -> InstalledRevision:
    """Return an installed revision."""
    return InstalledRevision(1, plan_hash, "f", "t", rows=100, statements=10, uses_owner=uses_owner)


def run(number: int = 1, outcome: str | None = None, **changes: object) -> Run:
    """Return a run that started a minute ago and, with an outcome, finished half a minute ago."""
    facts: dict[str, Any] = {
        "job": jobs.job_name("chiwar", number),
        "number": number,
        "count": 5,
        "generation": 1,
        "attempts": 1,
        "started_at": ago(60),
        "finished_at": ago(30) if outcome else None,
        "outcome": outcome,
        "reason": "SeedingFailed" if outcome == "Failed" else None,
        "message": "a constraint" if outcome == "Failed" else None,
        "campaigns": 5 if outcome == "Succeeded" else 0,
        "rows": 500,
        "statements": 10,
        "seconds": 0.25,
        "made_at": ago(30) if outcome == "Succeeded" else None,
        "reserved": 0,
    }
    return Run(**{**facts, **changes})


def job(number: int = 1, state: str = "Active", **changes: object) -> ManagedJob:
    """Return a Job that was created a minute ago."""
    facts: dict[str, Any] = {
        "name": jobs.job_name("chiwar", number),
        "uid": f"uid-{number}",
        "component": "seeder",
        "number": number,
        "count": 5,
        "generation": 1,
        "created_at": ago(60),
        "deleting": False,
        "state": state,
        "finished_at": None if state == "Active" else ago(20),
        "reason": "BackoffLimitExceeded" if state == "Failed" else None,
        "message": "Job has reached the specified backoff limit" if state == "Failed" else None,
    }
    return ManagedJob(**{**facts, **changes})


COPIES = {"strategy": "CopyEach", "secretRef": {"name": "imagekit"}}


def images_job(number: int = 1, state: str = "Active", **changes: object) -> ManagedJob:
    """Return an images Job that was created a minute ago."""
    facts: dict[str, Any] = {
        "name": image_jobs.job_name("chiwar", number),
        "uid": f"uid-images-{number}",
        "component": "images",
        "number": number,
        "failures": 0,
        "generation": 1,
        "settings": SETTINGS,
        "created_at": ago(60),
        "deleting": False,
        "state": state,
        "finished_at": None if state == "Active" else ago(2),
        "reason": "BackoffLimitExceeded" if state == "Failed" else None,
        "message": "Job has reached the specified backoff limit" if state == "Failed" else None,
    }
    return ManagedJob(**{**facts, **changes})


def copying(images: ImageTotals, **changes: object) -> Observed:
    """Return a full pool that copies images, with these totals in its ledger."""
    full = ledger({"": OwnerCounts(ready=5)}, images=images)
    return observed(**{"spec": spec(images=COPIES), "ledger": full, "images_settings": SETTINGS, **changes})


def ledger(owners: Mapping[str, OwnerCounts] | None = None, *runs: Run, **changes: object) -> Ledger:
    """Return a ledger with an installed revision; `observed` adds what follows from the spec."""
    number = max((run_.number for run_ in runs), default=0)
    facts = {"root_table": "campaigns", "revision": revision(), "owners": owners or {}, "runs": runs}
    return Ledger(**{**facts, "number": number, **changes})


def stocked(
    ledger_: Ledger, wanted: CampaignPoolSpec, keep: int = 0, usable_of: Mapping[str, int] | None = None
) -> Ledger:
    """Return a ledger with the counts that `campaign_pool.stock` computes from its own and the spec.

    Without `usable_of`, stale campaigns are of an earlier revision, unless the counts name usable ones.
    """
    targets, shares = wanted.targets(), wanted.shares()
    owners = {}
    for owner in sorted({*targets, *ledger_.owners}):
        have = ledger_.owners.get(owner, OwnerCounts())
        desired, share = targets.get(owner, 0), shares.get(owner, 0)
        usable = have.usable or (have.ready if wanted.claims.allow_stale else have.ready - have.stale)
        usable = usable if usable_of is None else usable_of.get(owner, 0)
        kept = max(share, keep) if owner == "" else share
        owners[owner] = replace(
            have,
            desired=desired,
            share=share,
            usable=usable,
            served=min(usable, desired),
            empty=int(desired > 0 and not usable),
            lack=(lack := max(0, share - (usable - have.outdated) - have.imaging - have.seeding)),
            spare=max(0, usable - have.outdated - kept),
            surplus=have.ready - min(usable, kept),
            early=max(0, min(lack, have.outdated, usable - ceil(share_of(wanted.rollout.min_ready) * share))),
        )
    names = [item.name for item in fields(OwnerCounts) if item.type is int or item.type == "int"]
    totals = OwnerCounts(**{name: sum(getattr(item, name) for item in owners.values()) for name in names})
    current = [item.oldest_current_at for item in owners.values() if item.oldest_current_at]
    totals = replace(totals, oldest_current_at=min(current, default=None))
    worst = sorted(
        owners, key=lambda owner: (owner != "", min(0, owners[owner].usable - owners[owner].desired), owner)
    )
    return replace(ledger_, totals=totals, owners={owner: owners[owner] for owner in worst[:OWNERS_SEEN]})


def observed(**changes: object) -> Observed:
    """Return a pool of size five without campaigns, Jobs or errors."""
    base = Observed(pool=pool(), now=NOW, spec=spec(), compiled=compiled(), ledger=ledger())
    return complete(replace(base, **changes))


def complete(seen: Observed) -> Observed:
    """Return an observation whose ledger has the counts that follow from its spec."""
    if seen.ledger is None or seen.spec is None:
        return seen
    return replace(seen, ledger=stocked(seen.ledger, seen.spec, seen.keep))
