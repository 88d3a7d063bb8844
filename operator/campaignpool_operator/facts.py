"""Everything one loop knows, as one frozen value: what `observe` reads, and `plan` and `status` judge."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from campaignpool.api.reasons import Reason, find
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.api.status import CampaignPoolStatus
from campaignpool.blueprint.changes import Changes
from campaignpool.blueprint.compilation import Compiled
from campaignpool.errors import CampaignPoolError, ClusterError, SeedingError
from campaignpool.ledger.activity import Activity
from campaignpool.ledger.images import Finished
from campaignpool.ledger.pools import Ledger
from campaignpool.ledger.seeding import Run
from campaignpool_operator.jobs.managed import ManagedJob, PoolRef
from campaignpool_operator.jobs.pods import JobPods

FINALIZER = "campaignpool.dev/finalizer"
"""Set before a pool is first written into a ledger: a pool without it has nothing to be cleaned up."""


@dataclass(frozen=True)
class Fault:
    """Why a pool cannot be reconciled as its resource asks.

    Attributes:
        reason: As conditions and Events carry it.
        message: A sentence that says how to fix it; never a secret.
        retry: It may pass by itself.
    """

    reason: Reason
    message: str
    retry: bool

    @classmethod
    def of(cls, error: CampaignPoolError) -> "Fault":
        """Return the fault that an error of ours means for the pool."""
        if isinstance(error, SeedingError):
            # Outside of a seeding run this is any statement that the database refused.
            message = f"the database refused a statement of the operator: {error.message}"
            return cls(Reason.DATABASE_REFUSED, message, retry=True)
        other = Reason.CLUSTER_REFUSED if isinstance(error, ClusterError) else Reason.UNAVAILABLE
        return cls(find(error.reason) or other, error.message, error.retry)


@dataclass(frozen=True)
class Event:
    """An Event on the pool's resource: `Normal` or `Warning`, a reason and a sentence."""

    type: str
    reason: Reason
    message: str


@dataclass(frozen=True)
class Pool:
    """The resource as the API has it.

    Attributes:
        raw_status: The status as it stands there, to compare with; `status` is the same, parsed.
        finalizers: All of them, ours and others'.
        retry: Value of the annotation of that name; empty without one.
        retry_images: The same of the one about images.
        refresh: The same of the one about the template.
        confirmed: The change that may remove many rows, by the beginning of the template's fingerprint.
        drain: The same of the one that asks to delete all ready campaigns.
        release: The same of the one that asks to release a claim: the key of its campaign.
        deleted_at: When its deletion was asked for.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    created_at: datetime
    deleting: bool
    finalizers: tuple[str, ...]
    raw_spec: Mapping[str, Any]
    raw_status: Mapping[str, Any]
    status: CampaignPoolStatus
    retry: str = ""
    retry_images: str = ""
    refresh: str = ""
    confirmed: str = ""
    drain: str = ""
    release: str = ""
    deleted_at: datetime | None = None

    @property
    def key(self) -> str:
        """The pool's name in the ledger: `namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def ref(self) -> PoolRef:
        """The pool as its Jobs name it."""
        return PoolRef(self.namespace, self.name, self.uid, self.generation)


@dataclass(frozen=True)
class TemplateFacts:
    """The last comparison of the template with the revision in service.

    Attributes:
        plan_hash: Of the plan by which it was compared.
        revision: The revision.
        changes: What differs.
        answers: The calls of `template_changed` that were made before it began.
        refresh: The annotation's value at that time.
    """

    plan_hash: str
    revision: int
    changes: Changes
    answers: tuple[int, ...] = ()
    refresh: str = ""


@dataclass(frozen=True)
class Sizing:
    """What sizing found for the master pool.

    Attributes:
        recommended: The size that the demand needs, within the limits.
        applied: The size that the pool is kept at; None unless `sizing.mode` is Auto.
        keep: Ready campaigns beyond this number are retired; above `applied` while a surplus is to drain.
        limited_by: The limit that changed the size.
        basis: What the size follows.
        lead_seconds: How long a refill takes.
        day, week: Claims of the last day and week, and how many of them met an empty pool.
        expected: The share of claims that will find a ready campaign; None without claims.
        peak: When the coming day needs a larger size, and which.
    """

    recommended: int
    applied: int | None
    keep: int
    limited_by: Literal["MinSize", "MaxSize"] | None
    basis: Literal["Fixed", "Recent", "Blend", "Schedule"]
    lead_seconds: float
    day: tuple[int, int] = (0, 0)
    week: tuple[int, int] = (0, 0)
    expected: float | None = None
    peak: tuple[datetime, int] | None = None


@dataclass(frozen=True)
class Observed:
    """What one loop knows at one moment.

    Three clocks may differ by any amount, so a time is only compared with the clock that wrote it: `cluster_age` and
    `database_age` do that.

    Attributes:
        now: By the operator's clock.
        cluster_now: By the API server's; None: as `now`.
        database_now: By the database's; None: as `now`.
        spec: What is wanted; None where it cannot be read, and then `fault` says why.
        compiled: The blueprint against the current database; None after a fault.
        ledger: What exists; None where a fault hides it.
        jobs: The pool's seeding Jobs as the API has them, finished ones too.
        pods: What is known of the pods of Jobs, by the Job's name.
        orphans: Runs without an outcome whose Job is gone for good.
        quiet: Every change that comes after this sends a notification; else look again soon.
        fault: What keeps the pool from being reconciled.
        image_jobs: The pool's images Jobs, finished ones too.
        images_fault: What keeps its images from being copied or deleted; its rows have nothing to do with it.
        images_finished: Campaigns whose images ended since the status last said so.
        images_settings: Hash of what an images Job would be made from now.
        changed: Ready campaigns that an audit found different from what was cloned, with the cause; None without one.
        activity: What happened since the last loop, for metrics.
        template: How the template stands to the revision in service; None: it was not compared.
        compare_in: Seconds until the template is compared next; None: when somebody asks for it.
        sizing: What sizing found, the size of `spec` among it; None: off, or it is not known yet.
        sizing_fault: What `spec.sizing` has that is invalid; empty if nothing.
        free_jobs: Seeding Jobs that the pool may create beside those of all pools; None: no bound.
        others_wait: Other pools wait until they may create a Job.
    """

    pool: Pool
    now: datetime
    cluster_now: datetime | None = None
    database_now: datetime | None = None
    spec: CampaignPoolSpec | None = None
    compiled: Compiled | None = None
    ledger: Ledger | None = None
    jobs: tuple[ManagedJob, ...] = ()
    pods: Mapping[str, JobPods] = field(default_factory=dict)
    orphans: tuple[Run, ...] = ()
    quiet: bool = True
    fault: Fault | None = None
    image_jobs: tuple[ManagedJob, ...] = ()
    images_fault: Fault | None = None
    images_finished: tuple[Finished, ...] = ()
    images_settings: str = ""
    changed: Mapping[UUID, str] | None = None
    activity: Activity | None = None
    template: "TemplateFacts | None" = None
    compare_in: float | None = None
    sizing: Sizing | None = None
    sizing_fault: str = ""
    free_jobs: int | None = None
    others_wait: bool = False

    @property
    def keep(self) -> int:
        """Ready campaigns that the master pool keeps at least: claims may use up a surplus before it is retired."""
        return self.sizing.keep if self.sizing is not None and self.sizing.applied is not None else 0

    def cluster_age(self, moment: datetime) -> float:
        """Return the seconds since a time that the API server wrote, never less than none."""
        return max(0.0, ((self.cluster_now or self.now) - moment).total_seconds())

    def database_age(self, moment: datetime) -> float:
        """Return the seconds since a time that the database wrote, never less than none."""
        return max(0.0, ((self.database_now or self.now) - moment).total_seconds())
