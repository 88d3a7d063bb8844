"""What the API answers, as models; the OpenAPI document is made from them."""

from typing import Any, Literal, TypeAlias

from pydantic import ConfigDict, Field

from campaignpool.api.model import Model
from campaignpool.api.status import ImagesStatus, LastSeed, OwnerStatus, SizingStatus

Time: TypeAlias = str
"""A time as RFC 3339 writes it, in UTC."""


class View(Model):
    """What the API answers; fields that a later release added are ignored."""

    model_config = ConfigDict(extra="ignore")


class VerdictView(View):
    """Whether people can claim from a pool, and for how long."""

    answer: Literal["No", "Slower", "Until", "Yes", "Unknown"]
    """No; Slower: each claim makes its own campaign; Until: what is ready is not refilled; Yes; Unknown."""
    text: str
    """The answer in a few words; `{until}` stands for `until` in the reader's zone."""
    detail: str
    """The same in one or two sentences."""
    until: Time | None = None
    """When what is ready will be used up at the pace of the last ten minutes."""
    stock_seconds: float | None = None
    """How long it would last without a refill."""
    refill_seconds: float | None = None
    """How long a refill takes: nine of ten take no longer."""
    claims_per_hour: float | None = None
    """The pace of the last ten minutes."""


class ConditionView(View):
    """A condition of the resource, with what its reason means."""

    condition: str
    """Its type, such as Ready."""
    status: str
    """True, False or Unknown."""
    reason: str
    """Why, for machines."""
    message: str
    """Why, for people, and how to fix it."""
    since: Time
    """When the status last changed."""
    meaning: str | None = None
    """What the reason means."""
    remedy: str | None = None
    """What a person does about it; absent where nothing is to be done."""


class EventView(View):
    """A Kubernetes Event."""

    type: str
    """Normal or Warning."""
    reason: str
    """Why, for machines."""
    message: str
    """What happened."""
    count: int
    """How often."""
    at: Time
    """When it happened last."""


class ContainerView(View):
    """A container of a pod."""

    name: str
    """Its name; `seeder` is ours."""
    image: str | None = None
    """Its image."""
    state: str
    """waiting, running or terminated."""
    reason: str | None = None
    """Why it waits or ended."""
    message: str | None = None
    """What the kubelet says of it."""
    exit_code: int | None = None
    """With which it ended."""
    restarts: int = 0
    """How often it was started again."""


class PodView(View):
    """A pod of a Job."""

    name: str
    """Its name."""
    phase: str
    """Pending, Running, Succeeded, Failed or Unknown."""
    node: str | None = None
    """Where it runs."""
    reason: str | None = None
    """Why it is in this phase."""
    message: str | None = None
    """The same for people; of a pod that no node takes, the scheduler's."""
    created_at: Time
    """When it was created."""
    containers: list[ContainerView] = Field(default_factory=list)
    """Its containers."""
    events: list[EventView] = Field(default_factory=list)
    """Warnings about a pod that does not start."""


class Obstacle(View):
    """What keeps a Job from running, or why it failed."""

    reason: str
    """As the troubleshooting page lists it."""
    message: str
    """A sentence that says what to change."""


class JobView(View):
    """A Job of a pool."""

    name: str
    """Its name."""
    component: str
    """seeder or images."""
    count: int
    """How many campaigns it was asked for."""
    state: str
    """Active, Suspended, Succeeded or Failed."""
    created_at: Time
    """When it was created."""
    finished_at: Time | None = None
    """When it ended."""
    reason: str | None = None
    """Why it failed, as Kubernetes says it."""
    message: str | None = None
    """The same for people."""
    obstacle: Obstacle | None = None
    """What keeps it from running."""
    pods: list[PodView] = Field(default_factory=list)
    """Its pods."""
    events: list[EventView] = Field(default_factory=list)
    """Warnings about a Job without a pod."""


class RunView(View):
    """A seeding run in the ledger, which outlives its Job."""

    job: str
    """Name of its Job."""
    count: int
    """How many campaigns it was asked for."""
    attempts: int
    """Pods that began it."""
    started_at: Time
    """When it began."""
    finished_at: Time | None = None
    """When it ended."""
    outcome: str | None = None
    """Succeeded or Failed; absent while it is open."""
    reason: str | None = None
    """Why it failed."""
    message: str | None = None
    """What refused it: table, row, constraint, SQLSTATE."""
    campaigns: int
    """Made so far."""
    rows: int
    """Inserted so far."""
    seconds: float
    """Spent cloning."""


class ClaimsView(View):
    """The claims of the last hour."""

    owner: int
    """Claims that the claimant's own pool served."""
    master: int
    """Claims that the master pool served."""
    clone: int
    """Claims that made their own campaign."""
    unserved: int
    """Claims that got none."""
    waiting: int
    """Claims that had to wait."""
    hit_rate: float | None = None
    """The share that found a ready campaign; absent without claims."""
    p50_seconds: float | None = None
    """Half of those from the pool took no longer in the database."""
    p99_seconds: float | None = None
    """99 of 100 of them took no longer."""
    clone_p50_seconds: float | None = None
    """Half of those that were cloned took no longer."""
    duration_bounds: list[float]
    """Upper bounds of the buckets, in seconds."""
    durations: list[int]
    """How many of those from the pool are in each bucket, and beyond."""


class DayView(View):
    """The claims of the last 24 hours."""

    claims: int
    """Claims that got a campaign."""
    missed: int
    """Claims that did not find a ready one: they cloned, waited or failed."""
    failed: int
    """Claims that got none."""
    hit_rate: float | None = None
    """The share that found a ready campaign; absent without claims."""
    hours: list[tuple[int, int]]
    """Claims, and how many of them missed, of each of the last 24 hours, the current one last."""


class StatusView(View):
    """The counts of a pool."""

    desired: int
    """Campaigns wanted, over all owners."""
    ready: int
    """Campaigns that can be claimed now."""
    replicas: int
    """Those of the master pool, which anybody may claim."""
    seeding: int
    """Campaigns being made."""
    stale: int
    """Ready campaigns of an older revision."""
    failed: int
    """Campaigns that could not be made."""
    claimed: int
    """Campaigns ever claimed."""
    owners: list[OwnerStatus] = Field(default_factory=list)
    """The owners that lack most."""
    owners_omitted: int = 0
    """How many are not listed."""
    last_seed: LastSeed | None = None
    """The last run that ended well."""
    images: ImagesStatus | None = None
    """How images stand."""
    sizing: SizingStatus | None = None
    """The size that the demand needs."""


class LedgerView(View):
    """Whether what only the database knows is here."""

    known: bool
    """The database was read."""
    message: str | None = None
    """Why not, and what to do."""


class PoolSummary(View):
    """A pool in a list of pools."""

    pool: str
    """Namespace and name, as a claim takes it."""
    namespace: str
    """Its namespace."""
    name: str
    """Its name."""
    generation: int
    """Of its spec."""
    deleting: bool
    """It is being deleted."""
    paused: bool
    """`spec.paused` is true."""
    paused_by: str | None = None
    """Who paused it with the dashboard or `kubectl campaignpool pause`."""
    group: Literal["NeedYou", "AtWork", "Paused", "Fine"]
    """Whether somebody has to do something about it."""
    sentence: str
    """What goes on."""
    verdict: VerdictView
    """Whether people can claim."""
    problem: ConditionView | None = None
    """What is wrong."""
    status: StatusView
    """Its counts."""
    day: DayView | None = None
    """Its claims; absent where the database could not be read."""
    may_change: bool = False
    """Whether you may patch it."""


class PoolView(PoolSummary):
    """Everything that is known of one pool."""

    uid: str
    """Of the resource."""
    created_at: Time
    """When the resource was created."""
    at: Time
    """When all this was read."""
    spec: dict[str, Any]
    """As the resource has it."""
    conditions: list[ConditionView]
    """Its conditions."""
    rollout: dict[str, Any] | None = None
    """The roll-out of a changed template, as the status has it."""
    ledger: LedgerView
    """Whether the database was read, from which claims, runs and the day come."""
    claims: ClaimsView | None = None
    """Of the last hour."""
    runs: list[RunView] | None = None
    """The latest seeding runs, the latest first."""
    jobs: list[JobView] | None = None
    """Its Jobs that are active or failed, and the latest others; absent for viewers who may not list Jobs."""
    events: list[EventView] | None = None
    """The latest Events on the resource; absent for viewers who may not list Events."""
    hidden: list[str] = Field(default_factory=list)
    """What the viewer may not see."""


class PoolList(View):
    """Pools, those that need somebody first."""

    at: Time
    """When this was read."""
    pools: list[PoolSummary]
    """The pools."""


class Node(View):
    """A node of an explanation."""

    text: str
    """What is known."""
    state: Literal["ok", "work", "wrong"]
    """Whether it is a cause of what is wrong."""
    children: list["Node"] = Field(default_factory=list)
    """What it follows from."""


class TrendHour(View):
    """One hour of a pool."""

    hour: Time
    """When it began."""
    owner: int
    """Claims that the claimant's own pool served."""
    master: int
    """Claims that the master pool served."""
    clone: int
    """Claims that made their own campaign."""
    unserved: int
    """Claims that got none."""
    waiting: int
    """Claims that had to wait."""
    waited_average_seconds: float | None = None
    """How long a claim took in the database."""
    waited_most_seconds: float
    """How long the slowest took."""
    refills: int
    """Seeding runs that succeeded."""
    failed_runs: int
    """Seeding runs that failed."""
    campaigns: int
    """Campaigns that runs made."""
    lowest_ready: int | None = None
    """The fewest ready campaigns of the master pool; absent where nobody looked."""
    lowest: list[int | None] = Field(default_factory=list)
    """The same for each ten minutes."""


class Trends(View):
    """What happened in a pool, by the hour; hours in which nothing was recorded are left out."""

    pool: str
    """Namespace and name."""
    hours: list[TrendHour]
    """The hours, in their order."""


class ClaimView(View):
    """The record of a claim, without its claimant."""

    campaign: str
    """Key of the campaign's row, which `release` takes."""
    owner: str
    """From whose pool; empty: the master pool."""
    source: str
    """owner, master or clone."""
    at: Time
    """When."""
    seconds: float
    """How long it took in the database."""
    releasable_until: Time
    """Until when it can be released."""
    released_at: Time | None = None
    """When it was released."""


class Claims(View):
    """The newest claims of a pool."""

    pool: str
    """Namespace and name."""
    claims: list[ClaimView]
    """The newest first."""


class Live(View):
    """A pool as the page shows it: sent whenever it changed."""

    pool: PoolView
    """The pool."""
    newest: list[ClaimView] | None = None
    """Its newest claims; absent where the database could not be read."""
    explanation: Node | None = None
    """Why it is so, where something is wrong."""


class Me(View):
    """Who asks, as the API server knows them."""

    user: str
    """The name."""


class Refusal(View):
    """Why a request was refused."""

    reason: str
    """For machines: Unauthorized, Forbidden, NotFound, Invalid, Unavailable."""
    message: str
    """For people: what failed, why, and what to do."""
