"""The spec of a CampaignPool: the models from which the CRD and the reference are generated.

CEL rules stand beside the models they belong to.
"""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from campaignpool.api.blueprint import Blueprint
from campaignpool.api.model import Model
from campaignpool.api.resource import FILLED, MASTER, OPEN, Duration, Name, Percent, Quantity, rules
from campaignpool.api.rollout import Rollout
from campaignpool.api.sizing import Sizing

MAX_OWNERS = 256


"""Bound of `spec.owners`: keeps the quadratic uniqueness rule below the API server's CEL cost limit."""


class SecretKeyRef(Model):
    """A key of a Secret in the pool's namespace."""

    name: Name
    """Name of the Secret."""
    key: Name = "url"
    """Key whose value is the database's URL, `postgresql://user:password@host:5432/database`."""


class Database(Model):
    """The application's database."""

    secret_ref: SecretKeyRef
    """The Secret that holds the database's URL."""
    max_connections: int = Field(default=4, ge=1, le=100)
    """How many connections the seeding Jobs of this pool may hold at once. Half of the server's
    `max_connections` is never passed, whatever stands here."""


class Template(Model):
    """The master campaign: exactly one row of the root table."""

    model_config = ConfigDict(
        json_schema_extra=rules(("has(self.key) != has(self.where)", "set exactly one of key and where"))
    )

    key: str | None = Field(default=None, min_length=1, max_length=200)
    """Primary key of the template's row."""
    where: str | None = Field(default=None, min_length=1, max_length=1000)
    """SQL condition that holds for exactly one row of the root table, such as `is_master_template`."""
    check_interval: Duration = "5m"
    """How often the template is compared with the revision in service. Nothing is read while Postgres' statistics say
    that no table of the blueprint was written. `0s`: only when the annotation `campaignpool.dev/refresh` or
    `campaign_pool.template_changed` asks for it."""
    revision: int | None = Field(default=None, ge=1)
    """The revision to make campaigns from, one of `status.rollout.kept`. While this is set, no change of the template
    or the blueprint is rolled out. Campaigns of later revisions are given to nobody and are replaced at once."""
    max_shrink: Percent = "30%"
    """A change that takes away more than this share of the rows of any table is rolled out only once the annotation
    `campaignpool.dev/confirm-shrink` names it. `100%`: every change is rolled out."""


class ConfigMapKeyRef(Model):
    """A key of a ConfigMap in the pool's namespace."""

    name: Name
    """Name of the ConfigMap."""
    key: Name = "blueprint.yaml"
    """Key whose value is the blueprint in YAML."""


class BlueprintSource(Model):
    """The blueprint, here or in a ConfigMap."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.inline) != has(self.configMapRef)", "set exactly one of inline and configMapRef"),
            (
                "!has(self.inline) || !has(oldSelf.inline) || self.inline.root.table == oldSelf.inline.root.table",
                "the blueprint's root table is immutable: make a new pool for another table",
            ),
        )
    )

    inline: Blueprint | None = None
    """The blueprint itself."""
    config_map_ref: ConfigMapKeyRef | None = None
    """A ConfigMap that holds it."""


class Owner(Model):
    """A returning user and how many campaigns are kept ready for them alone."""

    id: str = Field(min_length=1, max_length=150, pattern=r"^[^\x00-\x1f\x7f]+$")
    """The user's key, as the application passes it to a claim: any text without control characters."""
    name: str | None = Field(default=None, max_length=100)
    """A name for people; it appears in status."""
    size: int = Field(ge=0, le=1000)
    """How many campaigns to keep ready for this owner."""


class Returning(Model):
    """Pools for users who claimed lately, and whom `owners` does not list."""

    size: int = Field(default=1, ge=1, le=100)
    """How many campaigns to keep ready for each of them."""
    active_within: str = Field(
        default="30d", pattern=r"^(([1-9]|[12][0-9]|30)d|([1-9][0-9]?|[1-6][0-9]{2}|7[01][0-9]|720)h)$"
    )
    """Who claimed within this time has a pool, in hours or days, 30 days at most: `12h`, `30d`. After it they lose
    what is ready for them."""
    max_owners: int = Field(default=1000, ge=1, le=10000)
    """Most users who have such a pool; those who claimed last come first. They are fewer where `maxSize` leaves less
    room beside `size` and `owners`."""


class ResourceRequirements(Model):
    """Compute resources of the seeding container."""

    requests: dict[str, Quantity] | None = None
    """What the container is guaranteed, such as `cpu: 100m`."""
    limits: dict[str, Quantity] | None = None
    """What it may not exceed."""


class PodTemplate(Model):
    """Changes to the pod template of the Jobs."""

    labels: dict[str, str] | None = None
    """Labels to add to the pods."""
    annotations: dict[str, str] | None = None
    """Annotations to add to the pods."""
    spec: dict[str, Any] | None = Field(default=None, json_schema_extra=OPEN)
    """Merged into the pod's spec (a JSON merge patch; containers, env and volumes by name, ours is `seeder`):
    `nodeSelector`, `tolerations`, `serviceAccountName`, `imagePullSecrets` and others."""


class Seeding(Model):
    """How the seeding Jobs work."""

    job_size: int = Field(default=100, ge=1, le=1000)
    """Most campaigns that one Job makes, for whichever owners lack most when it begins. More are made by several
    Jobs, `maxConcurrent` of them at once."""
    linger_seconds: int = Field(default=30, ge=0, le=600)
    """For how long a Job that has made its campaigns waits for more to make, which then need no new pod. It holds one
    idle database connection meanwhile, and counts against `maxConcurrent`. After half of `activeDeadlineSeconds` it
    begins nothing more. 0: it exits at once."""
    batch_size: int = Field(default=10, ge=1, le=1000)
    """Campaigns made in one transaction. Larger batches are cheaper each and appear later."""
    fallback: Literal["Bisect", "None"] = "Bisect"
    """What a run does when the data refuses a batch. `Bisect`: go on with half of the batch, down to one campaign,
    so that one refused campaign takes no others along; name the row that is refused, and set the campaign aside.
    `None`: end the run."""
    image: str | None = Field(default=None, min_length=1, max_length=500)
    """Image of the seeder; by default the one the operator was installed with."""
    resources: ResourceRequirements | None = None
    """Compute resources of the container that seeds, and of the one that copies images."""
    active_deadline_seconds: int = Field(default=600, ge=10, le=86400)
    """Seconds after which a Job that has not ended is stopped."""
    start_deadline_seconds: int = Field(default=120, ge=10, le=86400)
    """Seconds after which a Job without a started pod is replaced, with growing pauses. The time that an image takes
    to be pulled does not count while nothing goes wrong."""
    backoff_limit: int = Field(default=3, ge=0, le=20)
    """How often Kubernetes retries the pod of a Job before the Job has failed."""
    ttl_seconds_after_finished: int = Field(default=600, ge=0, le=604800)
    """Seconds for which a finished Job and its log are kept; images Jobs are kept for half an hour at least."""
    pod_template: PodTemplate | None = None
    """Changes to the pod template of the Jobs, of those that copy images too."""


class PrivateKeyRef(Model):
    """A key of a Secret in the pool's namespace."""

    name: Name
    """Name of the Secret."""
    key: Name = "privateKey"
    """Key whose value is ImageKit's private API key."""


class Images(Model):
    """What becomes of the template's images."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self.strategy == 'Share' || has(self.secretRef)", "secretRef is required unless strategy is Share")
        )
    )

    strategy: Literal["Share", "CopyFolder", "CopyEach"] = "Share"
    """`Share`: attachments of a campaign point at the template's blobs; nothing is copied or stored twice.
    `CopyFolder`: one call copies the template's folder, whatever it holds. `CopyEach`: one call copies one file."""
    secret_ref: PrivateKeyRef | None = None
    """The Secret that holds ImageKit's private API key. Not needed for `Share`."""
    endpoint: str | None = Field(default=None, max_length=500, pattern=r"^https?://[^\s]+$")
    """Base URL of the API; by default ImageKit's own."""
    folder: str = Field(default="/campaigns", max_length=200, pattern=r"^(/[A-Za-z0-9._-]+)+$")
    """Folder that holds one folder for each campaign whose images are copied. Nothing else may be kept in it."""
    concurrency: int = Field(default=4, ge=1, le=50)
    """Calls at once of one images Job."""
    requests_per_second: int = Field(default=5, ge=1, le=1000)
    """Writes a second that all pools and Jobs of the account make together. ImageKit allows 5 unless agreed."""
    burst: int = Field(default=20, ge=1, le=1000)
    """Writes that may be made at once after a quiet time. ImageKit allows 20 unless agreed."""
    max_attempts: int = Field(default=8, ge=1, le=50)
    """How often an image is tried before it counts as failed."""
    deadline: Duration = "2h"
    """Time after which images of a campaign that are still missing count as failed."""
    required_for_ready: bool = False
    """Whether a campaign becomes ready only when all its images are copied; else it does when its rows are whole."""

    @property
    def copies(self) -> bool:
        """Whether images are copied, so that the template's are not shared."""
        return self.strategy != "Share"


class Lifetime(Model):
    """How long the application may take a claim back, with `campaign_pool.release`."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("duration(self.default) <= duration(self.maximum)", "default must not exceed maximum")
        )
    )

    default: Duration = "1h"
    """What every claim gets."""
    maximum: Duration = "24h"
    """To what `campaign_pool.extend` may set it, counted from the claim."""


class Claims(Model):
    """What a claim does when no campaign is ready, and how long it may be taken back."""

    on_empty: Literal["Clone", "Wait", "Fail"] = "Clone"
    """`Clone`: make one then and there, in the claim's transaction. `Wait`: the claimant may wait up to `waitSeconds`
    for one to become ready. `Fail`: raise SQLSTATE `CP002` at once."""
    wait_seconds: int = Field(default=5, ge=1, le=60)
    """Bound of `Wait`. The waiting is done by the client, woken by a notification, never inside the database."""
    allow_stale: bool = True
    """Whether a claim may give a campaign made from an older template or blueprint when no current one is ready."""
    lifetime: Lifetime = Field(default_factory=Lifetime, json_schema_extra=FILLED)
    """How long a claim may be taken back."""
    while_deleting: Literal["Refuse", "Allow"] = "Refuse"
    """Claims while this resource is being deleted. `Refuse`: they end at once. `Allow`: what is still ready is given
    until it has been removed; nothing is cloned on demand."""


class Deletion(Model):
    """What happens when this resource is deleted."""

    timeout: Duration = "5m"
    """How long the operator tries to remove unclaimed campaigns from a database that it cannot reach or use. After it
    the resource goes, and an Event says what is left behind."""


class CampaignPoolSpec(Model):
    """What is wanted: how many campaigns to keep ready per owner, in which database, cloned from what."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self.size <= self.maxSize", "size must not exceed maxSize"),
            (
                "!has(self.owners) || self.owners.all(o, self.owners.exists_one(p, p.id == o.id))",
                "owner ids must be unique",
            ),
            (
                "self.maxConcurrent <= self.database.maxConnections",
                "maxConcurrent must not exceed database.maxConnections",
            ),
            (
                "!has(self.sizing) || !has(self.sizing.maxSize) || self.sizing.maxSize <= self.maxSize",
                "sizing.maxSize must not exceed maxSize",
            ),
            (
                "self.size == oldSelf.size || [self, oldSelf].exists(s, !has(s.sizing) || s.sizing.mode != 'Auto')",
                "size is found by sizing while sizing.mode is Auto: to scale by hand or autoscaler, set it to Off",
            ),
        )
    )

    database: Database
    """The application's database."""
    template: Template
    """The master campaign that is cloned."""
    blueprint: BlueprintSource
    """What makes a campaign."""
    size: int = Field(default=5, ge=0, le=1000)
    """How many campaigns to keep ready in the master pool, for users who have no pool of their own."""
    owners: list[Owner] = Field(
        default_factory=list,
        max_length=MAX_OWNERS,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]},
    )
    """Returning users with pools of their own."""
    returning: Returning | None = None
    """Pools for returning users whom `owners` does not list, found from the claims that the ledger records."""
    sizing: Sizing = Field(default_factory=Sizing, json_schema_extra=FILLED)
    """The size of the master pool, found from its demand."""
    max_size: int = Field(default=100, ge=0, le=10000)
    """Most campaigns that may exist unclaimed (seeding, ready and retiring), over all owners. As many again may exist
    that other rows keep from being deleted."""
    max_concurrent: int = Field(default=2, ge=1, le=50)
    """Most seeding Jobs that are active at once."""
    seeding: Seeding = Field(default_factory=Seeding, json_schema_extra=FILLED)
    """How the seeding Jobs work."""
    images: Images = Field(default_factory=Images, json_schema_extra=FILLED)
    """What becomes of the template's images."""
    claims: Claims = Field(default_factory=Claims, json_schema_extra=FILLED)
    """What a claim does when no campaign is ready."""
    max_age: str | None = Field(default=None, pattern=r"^[1-9][0-9]{0,3}[hm]$")
    """For how long a campaign may be ready, in hours or minutes such as `168h`; older ones are replaced, new ones
    before old ones go, whatever `rollout.strategy` is. Claims may give them until then. By default for ever."""
    rollout: Rollout = Field(default_factory=Rollout, json_schema_extra=FILLED)
    """How a change of the template or the blueprint reaches the pool."""
    deletion: Deletion = Field(default_factory=Deletion, json_schema_extra=FILLED)
    """What happens when this resource is deleted."""
    paused: bool = False
    """No campaign is made or retired while this is true. Claims go on, and so do images."""

    def targets(self) -> dict[str, int]:
        """Return how many campaigns are wanted, by owner; the master owner is `MASTER`."""
        return {MASTER: self.size, **{owner.id: owner.size for owner in self.owners}}

    def shares(self) -> dict[str, int]:
        """Return how many campaigns each owner is to have within `maxSize`; the same spec gives the same shares.

        Targets that do not fit are scaled down: each owner gets its part of `maxSize`, rounded down, and what is left
        goes to the largest remainders, then by owner id.
        """
        targets = self.targets()
        total = sum(targets.values())
        if total <= self.max_size:
            return targets
        result = {owner: target * self.max_size // total for owner, target in targets.items()}
        left = self.max_size - sum(result.values())
        for owner in sorted(targets, key=lambda owner: (-(targets[owner] * self.max_size % total), owner))[:left]:
            result[owner] += 1
        return result
