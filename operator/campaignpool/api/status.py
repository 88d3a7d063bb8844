"""The status of a CampaignPool: a projection of the ledger, written only when it changes."""

from typing import Literal

from pydantic import ConfigDict, Field

from campaignpool.api.model import Model

STATUS_OWNERS = 20


"""How many owners the status lists, the worst first; the rest is a count."""


class StatusModel(Model):
    """A part of the status; fields that a later release wrote are ignored."""

    model_config = ConfigDict(extra="ignore")


class Condition(StatusModel):
    """A condition as the Kubernetes API conventions have it."""

    type: str = Field(min_length=1, max_length=316)
    """Type of the condition."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    observed_generation: int | None = Field(default=None, ge=0)
    """Generation of the resource that the condition speaks of."""
    last_transition_time: str = Field(json_schema_extra={"format": "date-time"})
    """When the status last changed."""
    reason: str = Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    """Why, for machines."""
    message: str = Field(max_length=32768)
    """Why, for people, and how to fix it."""


class OwnerStatus(StatusModel):
    """How one owner stands."""

    id: str
    """The owner's id; empty for the master owner."""
    name: str
    """The owner's name for people; `master` for the master owner."""
    desired: int
    """How many campaigns are wanted."""
    ready: int
    """How many can be claimed now."""
    seeding: int
    """How many are being made."""
    claimed: int
    """How many were ever claimed from this owner's pool."""


class OwnersSummary(StatusModel):
    """How the owners stand together that the status does not list."""

    desired: int = 0
    """How many campaigns are wanted for them."""
    ready: int = 0
    """How many of theirs can be claimed now."""
    seeding: int = 0
    """How many are being made for them."""


class ImagesStatus(StatusModel):
    """How the images of the pool's campaigns stand, claimed ones among them."""

    pending: int
    """Images still to be copied."""
    copied: int
    """Images that were copied, of campaigns that may still be retired or released."""
    failed: int
    """Images that are not tried again by themselves; the annotation `campaignpool.dev/retry-images` does."""
    last_finished_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When images of a campaign last came to an end, whether all were copied or not."""
    retried: str | None = None
    """The value of the annotation `campaignpool.dev/retry-images` that was last obeyed."""


class LastSeed(StatusModel):
    """The last seeding run that made all it had reserved."""

    job: str
    """Name of its Job."""
    finished_at: str = Field(json_schema_extra={"format": "date-time"})
    """When the last of its campaigns was made."""
    campaigns: int
    """Campaigns it made."""
    rows: int
    """Rows it inserted."""
    statements: int
    """Statements that one batch took, whatever its size."""
    duration_milliseconds: int
    """Time it spent cloning, without the start of its process."""


class AvailabilityStatus(StatusModel):
    """Which share of the claims on the master pool found a ready campaign."""

    day: str | None = None
    """Of the claims of the last 24 hours; absent without any."""
    week: str | None = None
    """Of the claims of the last seven days; absent without any."""
    expected: str | None = None
    """Of the claims to come at the recommended size, by the demand of the last weeks."""
    claims: int = 0
    """Claims of the last seven days. Released ones do not count."""
    misses: int = 0
    """How many of them met an empty pool."""


class PeakStatus(StatusModel):
    """The largest size that the coming 24 hours are expected to need."""

    at: str = Field(json_schema_extra={"format": "date-time"})
    """When it is needed."""
    size: int
    """The size."""


class SizingStatus(StatusModel):
    """The size of the master pool that the demand needs."""

    recommended: int
    """The size that the availability needs now, within the limits."""
    applied: int | None = None
    """The size that the pool is kept at; absent unless `sizing.mode` is Auto."""
    limited_by: Literal["MinSize", "MaxSize"] | None = None
    """The limit that changed the recommended size."""
    basis: Literal["Fixed", "Recent", "Blend", "Schedule"]
    """What the size follows. Fixed: `spec.size`, while there is less than a day of demand. Recent: mostly the claims
    of the last minutes. Blend: the season, and the level of the last day and hour. Schedule: a known event."""
    lead_time_seconds: float
    """How long a refill takes while no other is running: nine of ten take no longer."""
    availability: AvailabilityStatus = Field(default_factory=AvailabilityStatus)
    """Which share of claims found a ready campaign."""
    next_peak: PeakStatus | None = None
    """The largest size that the coming 24 hours are expected to need; absent if it is not above the size of now."""


class RolloutStatus(StatusModel):
    """How the revision in service reaches the pool's ready campaigns."""

    revision: int
    """The revision in service: new campaigns are made from it."""
    kept: list[int] = Field(default_factory=list)
    """The revisions that are kept, which `spec.template.revision` may name."""
    updated: int = 0
    """Ready campaigns of the revision in service that are not older than `maxAge`."""
    stale: int = 0
    """Ready campaigns of other revisions, or older than `maxAge`."""
    phase: Literal["Complete", "Progressing", "Waiting", "Paused", "Stalled"]
    """`Complete`: none is stale. `Progressing`: stale ones are being replaced. `Waiting`: they stay until claims take
    them (`OnReplenish`). `Paused`: they stay, or the template has changed, and `spec.rollout.strategy` is Paused or
    `spec.paused` true. `Stalled`: a change waits for a person; the condition RolloutStalled says for what."""
    since: str = Field(json_schema_extra={"format": "date-time"})
    """Since when the revision in service is in this phase."""


class CampaignPoolStatus(StatusModel):
    """How things stand, as the ledger has it."""

    observed_generation: int | None = Field(default=None, ge=0)
    """Generation of the resource that this status speaks of."""
    desired: int = 0
    """Campaigns wanted, over all owners."""
    ready: int = 0
    """Campaigns that can be claimed now."""
    seeding: int = 0
    """Campaigns being made: reserved by a run, or asked for from an active Job."""
    claimed: int = 0
    """Campaigns ever claimed."""
    failed: int = 0
    """Campaigns that could not be made, kept for an hour with their cause."""
    stale: int = 0
    """Ready campaigns of another revision than the one in service, or older than `maxAge`. Part of `ready` where
    claims may give them: all but those of a later revision, and with `allowStale: false` but those of any other."""
    replicas: int = 0
    """Campaigns of the master pool that can be claimed now, for the scale subresource, whose `spec.replicas` is
    `spec.size`."""
    selector: str | None = None
    """Label selector of the seeding pods, for the scale subresource; not of those that copy images."""
    owners: list[OwnerStatus] = Field(
        default_factory=list,
        max_length=STATUS_OWNERS,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]},
    )
    """The owners that lack most, the worst first."""
    owners_omitted: int = 0
    """How many owners are not listed in `owners`."""
    omitted: OwnersSummary | None = None
    """How these stand together; absent without any."""
    returning: int | None = None
    """How many owners have a pool because they claimed lately; absent without `spec.returning`."""
    last_seed: LastSeed | None = None
    """The last seeding run that made all it had reserved."""
    rollout: RolloutStatus | None = None
    """How the revision in service reaches the ready campaigns; absent before the first revision."""
    images: ImagesStatus | None = None
    """How images stand; absent while none are copied."""
    sizing: SizingStatus | None = None
    """The size of the master pool that the demand needs; absent if `sizing.mode` is Off."""
    retried: str | None = None
    """The value of the annotation `campaignpool.dev/retry` that was last obeyed."""
    refreshed: str | None = None
    """The value of the annotation `campaignpool.dev/refresh` that was last obeyed."""
    drained: str | None = None
    """The value of the annotation `campaignpool.dev/drain` that was last obeyed."""
    released: str | None = None
    """The value of the annotation `campaignpool.dev/release` that was last obeyed. An Event says with what result."""
    retried_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When that was, by the database's clock: failed runs before it do not count."""
    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    """Ready, Progressing, Degraded, Paused, ImagesDegraded, TemplateCurrent, RolloutStalled, OwnersUseful,
    SizingActive, ScalingLimited and AvailabilityReached."""
