"""Builders of observations, for unit tests of the operator's pure functions."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.api.status import CampaignPoolStatus
from campaignpool.blueprint.compilation import Compiled
from campaignpool.ledger.images import ImageTotals
from campaignpool.ledger.pools import InstalledRevision, Ledger, OwnerCounts
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


def revision(plan_hash: str = HASH) -> InstalledRevision:
    """Return an installed revision."""
    return InstalledRevision(1, plan_hash, "f", "t", rows=100, statements=10)


def run(number: int = 1, outcome: str | None = None, owner: str = "", **changes: object) -> Run:
    """Return a run that started a minute ago and, with an outcome, finished half a minute ago."""
    facts: dict[str, Any] = {
        "job": jobs.job_name("chiwar", owner, number),
        "owner": owner,
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
        "reserved": 0,
    }
    return Run(**{**facts, **changes})


def job(number: int = 1, state: str = "Active", owner: str = "", **changes: object) -> ManagedJob:
    """Return a Job that was created a minute ago."""
    facts: dict[str, Any] = {
        "name": jobs.job_name("chiwar", owner, number),
        "uid": f"uid-{owner}-{number}",
        "component": "seeder",
        "owner": owner,
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
    """Return a ledger with an installed revision."""
    numbers: dict[str, int] = {}
    for run_ in runs:
        numbers[run_.owner] = max(numbers.get(run_.owner, 0), run_.number)
    facts = {"root_table": "campaigns", "revision": revision(), "owners": owners or {}, "runs": runs}
    return Ledger(**{**facts, "numbers": numbers, **changes})


def observed(**changes: object) -> Observed:
    """Return a pool of size five without campaigns, Jobs or errors."""
    base = Observed(pool=pool(), now=NOW, spec=spec(), compiled=compiled(), ledger=ledger())
    return replace(base, **changes)
