"""What the API answers, as models; the OpenAPI document is made from them."""

from typing import Any, Literal

from pydantic import Field

from campaignpool.api.status import ImagesStatus, LastSeed, OwnerStatus, SizingStatus
from campaignpool_operator.dashboard.work_models import AlertView, EventView, JobView, RunView, Time, View


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
    newest: list[ClaimView] | None = None
    """The newest claims."""
    runs: list[RunView] | None = None
    """The latest seeding runs, the latest first."""
    jobs: list[JobView] | None = None
    """Its Jobs that are active or failed, and the latest others; absent for viewers who may not list Jobs."""
    events: list[EventView] | None = None
    """The latest Events on the resource; absent for viewers who may not list Events."""
    alerts: list[AlertView] = Field(default_factory=list)
    """Alerts whose condition is true now, the critical ones first."""
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


class Claims(View):
    """The newest claims of a pool."""

    pool: str
    """Namespace and name."""
    claims: list[ClaimView]
    """The newest first."""


class CheckView(View):
    """What a check of a pool's database found."""

    check: str
    """Its name, as `campaignpool doctor` lists it."""
    status: Literal["ok", "note", "fix"]
    """As it should be; may be meant so; wrong."""
    message: str
    """What was found, and what to do."""


class Checks(View):
    """What the operator's pod found out about a pool's database."""

    pool: str
    """Namespace and name."""
    at: Time
    """When it answered, by its clock."""
    checks: list[CheckView]
    """What was found, in the order of the checks."""


class Advice(View):
    """What the page says of a problem."""

    cause: str
    """What happened."""
    steps: list[str]
    """What to do, one after the other; the last is the page's own button."""
    evidence: list[Node]
    """What led to it."""


class Live(View):
    """A pool as the page shows it: sent whenever it changed."""

    pool: PoolView
    """The pool."""
    advice: Advice | None = None
    """About its problem, where it has one."""


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
