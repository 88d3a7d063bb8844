"""The metrics that the operator exposes: name, type, labels and help of each. The docs page is generated from them.

Labels are bounded: namespace and name of a pool, and words that stand in the code. None names an owner or a claimant.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from campaignpool.ledger.activity import CLAIM_SECONDS

POOL = ("namespace", "pool")

Kind: TypeAlias = Literal["counter", "gauge", "histogram", "summary"]

_TYPES: dict[Kind, type[Metric]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
    "summary": SummaryMetricFamily,
}


@dataclass(frozen=True)
class Family:
    """One metric.

    Attributes:
        name: As PromQL writes it, with `_total` for a counter.
        labels: In the order of `Metrics`' samples.
        buckets: Upper bounds of a histogram, without infinity.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    def metric(self) -> Metric:
        """Return the metric without samples."""
        return _TYPES[self.kind](self.name, self.help, labels=self.labels)  # type: ignore[call-arg] # all take labels


_REQUEST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LOOP = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_SEED = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_REFILL = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
_IMAGES = (0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600)

CAMPAIGNS = Family(
    "campaignpool_campaigns",
    "gauge",
    "Unclaimed campaigns: ready (can be claimed now), seeding (being made, or asked for from an active Job), "
    "retiring (being deleted), failed (could not be made; shown for an hour).",
    (*POOL, "state"),
)
DESIRED = Family("campaignpool_desired_campaigns", "gauge", "Campaigns wanted, over all owners.", POOL)
MAXIMUM = Family("campaignpool_max_campaigns", "gauge", "Most unclaimed campaigns: spec.maxSize.", POOL)
STALE = Family(
    "campaignpool_stale_campaigns",
    "gauge",
    "Ready campaigns of another revision than the one in service, or older than spec.maxAge.",
    POOL,
)
REVISION = Family("campaignpool_revision", "gauge", "Number of the revision in service; a roll-out changes it.", POOL)
ROLLOUT = Family(
    "campaignpool_rollout_phase",
    "gauge",
    "1 for the phase of the roll-out, as status.rollout.phase has it, else 0.",
    (*POOL, "phase"),
)
HELD = Family(
    "campaignpool_held_campaigns",
    "gauge",
    "Campaigns that the database refused to delete, and that are tried again later: a part of the state retiring.",
    POOL,
)
OLDEST_READY = Family(
    "campaignpool_oldest_ready_age_seconds",
    "gauge",
    "For how long the oldest ready campaign has been ready. No sample while none is.",
    POOL,
)
SEEDING_AGE = Family(
    "campaignpool_seeding_queue_age_seconds",
    "gauge",
    "For how long the campaign that has waited longest has been reserved by a Job without being made; 0: none is.",
    POOL,
)
CONDITION = Family(
    "campaignpool_condition",
    "gauge",
    "1 while the condition of the resource's status is True, else 0.",
    (*POOL, "type", "reason"),
)
CLAIMS = Family(
    "campaignpool_claims_total",
    "counter",
    "Claims that got a campaign: from the claimant's own pool (owner), from the master pool (master), or cloned "
    "inside the claim, because nothing was ready (clone). Counted ten seconds later; a claim whose transaction takes "
    "longer is not counted.",
    (*POOL, "source"),
)
MISSES = Family(
    "campaignpool_misses_total",
    "counter",
    "Claims that found no ready campaign: cloned (it was cloned inside the claim; such a claim is one of "
    "campaignpool_claims_total too) or unserved (an error, or no row for a client that waits; each attempt counts).",
    (*POOL, "outcome"),
)
CLAIM_DURATION = Family(
    "campaignpool_claim_duration_seconds",
    "histogram",
    "From the arrival of a claim's statement at the database until its record is written, by source.",
    (*POOL, "source"),
    CLAIM_SECONDS,
)
REFILL = Family(
    "campaignpool_refill_duration_seconds",
    "histogram",
    "From a claim until as many campaigns became ready as were lacking after it. One claim at a time is followed.",
    POOL,
    _REFILL,
)
SEEDED = Family("campaignpool_seeded_campaigns_total", "counter", "Campaigns made by Jobs.", POOL)
RUNS = Family("campaignpool_seeding_runs_total", "counter", "Seeding runs that ended.", (*POOL, "outcome"))
SEED_DURATION = Family(
    "campaignpool_seed_duration_seconds",
    "histogram",
    "Time that one seeding run spent cloning, without the start of its pod.",
    POOL,
    _SEED,
)
JOBS = Family("campaignpool_active_jobs", "gauge", "Jobs that have not ended.", (*POOL, "component"))
JOBS_CREATED = Family("campaignpool_jobs_created_total", "counter", "Jobs created.", (*POOL, "component"))
IMAGES = Family(
    "campaignpool_images",
    "gauge",
    "Images of campaigns that may still be retired or released, or are not finished.",
    (*POOL, "state"),
)
IMAGES_AGE = Family(
    "campaignpool_images_queue_age_seconds",
    "gauge",
    "For how long the campaign that has waited longest has waited for its images to be copied or deleted; 0: none "
    "waits.",
    POOL,
)
IMAGES_DURATION = Family(
    "campaignpool_images_duration_seconds",
    "histogram",
    "From the moment when a campaign's images were queued until the last one was copied or had failed.",
    POOL,
    _IMAGES,
)
IMAGE_CALLS = Family(
    "campaignpool_image_calls_total",
    "counter",
    "Calls of the image store by how they ended, of the account that the pool's images are in. Pools that share an "
    "account all show its calls: take the maximum over the pools before the sum.",
    (*POOL, "account", "outcome"),
)
IMAGE_CALL_DURATION = Family(
    "campaignpool_image_call_duration_seconds", "summary", "Duration of those calls.", (*POOL, "account")
)
POOL_FAMILIES = (
    CAMPAIGNS, DESIRED, MAXIMUM, STALE, REVISION, ROLLOUT, HELD, OLDEST_READY, SEEDING_AGE, CONDITION, CLAIMS, MISSES,
    CLAIM_DURATION, REFILL, SEEDED, RUNS, SEED_DURATION, JOBS, JOBS_CREATED, IMAGES, IMAGES_AGE, IMAGES_DURATION,
    IMAGE_CALLS, IMAGE_CALL_DURATION,
)  # fmt: skip

BUILD_INFO = Family(
    "campaignpool_build_info", "gauge", "Always 1; the label is the operator's version.", ("version",)
)
LEADER = Family("campaignpool_leader", "gauge", "1 while this replica reconciles, 0 while it waits.")
RECONCILES = Family(
    "campaignpool_reconcile_total",
    "counter",
    "Reconciliations by how they ended: ok, unchanged (one statement showed that a pool at rest still is), fault (a "
    "condition says why), conflict (the resource was changed; tried again at once), deleting, gone, error (a defect; "
    "the log has the details).",
    ("result",),
)
RECONCILE_DURATION = Family(
    "campaignpool_reconcile_duration_seconds", "histogram", "Duration of one reconciliation.", (), _LOOP
)
STATUS_WRITES = Family("campaignpool_status_writes_total", "counter", "Statuses written to the Kubernetes API.")
API_REQUESTS = Family(
    "campaignpool_api_requests_total",
    "counter",
    "Requests to the Kubernetes API, without those of watches. code is the HTTP status, or none where there was no "
    "answer.",
    ("method", "resource", "code"),
)
API_DURATION = Family(
    "campaignpool_api_request_duration_seconds",
    "histogram",
    "Duration of those requests.",
    ("method",),
    _REQUEST,
)
CONNECTIONS = Family(
    "campaignpool_database_connections",
    "gauge",
    "Connections of this replica to databases: active, idle, listening.",
    ("state",),
)
OPERATOR_FAMILIES = (
    BUILD_INFO, LEADER, RECONCILES, RECONCILE_DURATION, STATUS_WRITES, API_REQUESTS, API_DURATION, CONNECTIONS,
)  # fmt: skip

FAMILIES = (*POOL_FAMILIES, *OPERATOR_FAMILIES)
