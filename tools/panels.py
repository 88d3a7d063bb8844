"""The panels of claims, seeding and images, which both dashboards have, and those of the operator."""

from campaignpool_operator.alerts import miss_rate
from tools.grafana import Panel, Query

_RATE = "$__rate_interval"


def _quantiles(name: str, of: str, matchers: str, *, window: str = _RATE) -> tuple[Query, ...]:
    """Return the median and the 99th percentile of a histogram."""
    rates = f"sum by (le) (rate({name}_bucket{{{matchers}}}[{window}]))"
    return tuple(Query(f"histogram_quantile({q}, {rates})", f"{of} p{q * 100:g}") for q in (0.5, 0.99))


def _rate_by(name: str, label: str, matchers: str) -> Query:
    return Query(f"sum by ({label}) (rate({name}{{{matchers}}}[{_RATE}]))", f"{{{{{label}}}}}")


def hit_rate(matchers: str, window: str) -> str:
    """Return PromQL for the share of claims that found a ready campaign."""
    return f"1 - ({miss_rate(window, by='', selector=f'{matchers}, ')})"


def claims(matchers: str) -> tuple[Panel, ...]:
    """Return the panels of claims on the pools that some matchers choose."""
    hits = f'{matchers}, source!="clone"'
    return (
        Panel(
            "Claims",
            "Claims a second: from the claimants' own pools, from the master pool, and cloned inside the claim.",
            (_rate_by("campaignpool_claims_total", "source", matchers),),
            unit="reqps",
            stacked=True,
            alerts=("CampaignPoolHitRateLow",),
        ),
        Panel(
            "Misses",
            "Claims a second that found no ready campaign: cloned inside the claim, or unserved.",
            (_rate_by("campaignpool_misses_total", "outcome", matchers),),
            unit="reqps",
            stacked=True,
            alerts=("CampaignPoolHitRateLow", "CampaignPoolEmpty"),
        ),
        Panel(
            "Claim latency",
            "Time that claims take in the database: those of a ready campaign, and those that clone one.",
            (
                *_quantiles("campaignpool_claim_duration_seconds", "ready", hits),
                *_quantiles("campaignpool_claim_duration_seconds", "clone", f'{matchers}, source="clone"')[:1],
            ),
            unit="s",
            alerts=("CampaignPoolClaimLatencyHigh",),
        ),
    )


def seeding(matchers: str) -> tuple[Panel, ...]:
    """Return the panels of seeding."""
    return (
        Panel(
            "Refill",
            "Time from a claim until the stock that lacked after it is ready again.",
            _quantiles("campaignpool_refill_duration_seconds", "refill", matchers, window="5m"),
            unit="s",
            alerts=("CampaignPoolLow", "CampaignPoolSeedingStalled"),
        ),
        Panel(
            "Campaigns made",
            "Campaigns a second that Jobs make.",
            (Query(f"sum(rate(campaignpool_seeded_campaigns_total{{{matchers}}}[{_RATE}]))", "made"),),
            unit="cps",
        ),
        Panel(
            "Seeding duration",
            "Time that a seeding run spends cloning, without the start of its pod.",
            _quantiles("campaignpool_seed_duration_seconds", "run", matchers, window="5m"),
            unit="s",
        ),
        Panel(
            "Active Jobs",
            "Jobs that have not ended, by component.",
            (Query(f"sum by (component) (campaignpool_active_jobs{{{matchers}}})", "{{component}}"),),
            alerts=("CampaignPoolSeedingStalled",),
        ),
        Panel(
            "Jobs created",
            "Jobs a second, by component.",
            (_rate_by("campaignpool_jobs_created_total", "component", matchers),),
            unit="cps",
        ),
        Panel(
            "Failures",
            "Failed campaigns, and seeding runs that failed in the last hour.",
            (
                Query(f'sum(campaignpool_campaigns{{{matchers}, state="failed"}})', "campaigns"),
                Query(f'sum(increase(campaignpool_seeding_runs_total{{{matchers}, outcome="Failed"}}[1h]))', "runs"),
            ),
            alerts=("CampaignPoolSeedingFailing",),
        ),
    )


def images(matchers: str) -> tuple[Panel, ...]:
    """Return the panels of images."""
    return (
        Panel(
            "Images queue",
            "Images that wait to be copied, and images that failed.",
            (Query(f'sum by (state) (campaignpool_images{{{matchers}, state!="copied"}})', "{{state}}"),),
            alerts=("CampaignPoolImagesFailing",),
        ),
        Panel(
            "Images queue age",
            "How long the campaign that has waited longest has waited for its images.",
            (Query(f"max(campaignpool_images_queue_age_seconds{{{matchers}}})", "oldest"),),
            unit="s",
            alerts=("CampaignPoolImageQueueOld",),
        ),
        Panel(
            "Images duration",
            "Time from a campaign's place in the queue until all of its images are copied.",
            _quantiles("campaignpool_images_duration_seconds", "campaign", matchers, window="5m"),
            unit="s",
            alerts=("CampaignPoolImageQueueOld",),
        ),
        Panel(
            "Calls of the image store",
            "Calls a second by how they ended. Pools that share an account count once.",
            (
                Query(
                    "sum by (outcome) (max by (account, outcome) "
                    f"(rate(campaignpool_image_calls_total{{{matchers}}}[{_RATE}])))",
                    "{{outcome}}",
                ),
            ),
            unit="reqps",
            stacked=True,
            width=12,
            alerts=("CampaignPoolImagesFailing",),
        ),
        Panel(
            "Duration of a call of the image store",
            "Average, by account.",
            (
                Query(
                    f"max by (account) (rate(campaignpool_image_call_duration_seconds_sum{{{matchers}}}[5m])) "
                    f"/ max by (account) (rate(campaignpool_image_call_duration_seconds_count{{{matchers}}}[5m]))",
                    "{{account}}",
                ),
            ),
            unit="s",
            width=12,
        ),
    )


def _ours(name: str) -> str:
    """Return PromQL for a metric of the process, of the operator only."""
    return f"{name} and on (instance, job) campaignpool_build_info"


OPERATOR = (
    Panel(
        "Leader",
        "1 for the replica that reconciles.",
        (Query("campaignpool_leader", "{{instance}}"),),
        stacked=True,
        alerts=("CampaignPoolNoLeader", "CampaignPoolOperatorDown"),
    ),
    Panel(
        "Reconciliations",
        "Loops a second by how they ended.",
        (Query(f"sum by (result) (rate(campaignpool_reconcile_total[{_RATE}]))", "{{result}}"),),
        unit="ops",
        stacked=True,
        alerts=("CampaignPoolReconcileErrors",),
    ),
    Panel(
        "Duration of a reconciliation",
        "Time that one loop takes.",
        (
            Query(
                "histogram_quantile(0.5, sum by (le) "
                f"(rate(campaignpool_reconcile_duration_seconds_bucket[{_RATE}])))",
                "p50",
            ),
            Query(
                "histogram_quantile(0.99, sum by (le) "
                f"(rate(campaignpool_reconcile_duration_seconds_bucket[{_RATE}])))",
                "p99",
            ),
        ),
        unit="s",
        alerts=("CampaignPoolReconcileSlow",),
    ),
    Panel(
        "API requests",
        "Requests a second to the Kubernetes API, without watches.",
        (
            Query(
                f"sum by (method, resource) (rate(campaignpool_api_requests_total[{_RATE}]))",
                "{{method}} {{resource}}",
            ),
        ),
        unit="reqps",
        stacked=True,
        alerts=("CampaignPoolReconcileErrors",),
    ),
    Panel(
        "API requests that failed",
        "Requests a second that were refused or not answered, by status. 404 and 409 are part of normal operation.",
        (
            Query(
                f'sum by (code) (rate(campaignpool_api_requests_total{{code!~"2.."}}[{_RATE}]))',
                "{{code}}",
            ),
        ),
        unit="reqps",
        alerts=("CampaignPoolReconcileErrors",),
    ),
    Panel(
        "Duration of an API request",
        "99th percentile, by method.",
        (
            Query(
                "histogram_quantile(0.99, sum by (le, method) "
                f"(rate(campaignpool_api_request_duration_seconds_bucket[{_RATE}])))",
                "{{method}}",
            ),
        ),
        unit="s",
        alerts=("CampaignPoolReconcileSlow",),
    ),
    Panel(
        "Database connections",
        "Connections of the operator to all databases, by state.",
        (Query("sum by (state) (campaignpool_database_connections)", "{{state}}"),),
        stacked=True,
        alerts=("CampaignPoolDatabaseUnreachable",),
    ),
    Panel(
        "CPU",
        "Cores that each replica uses.",
        (
            Query(
                f"rate(process_cpu_seconds_total[{_RATE}]) and on (instance, job) campaignpool_build_info",
                "{{instance}}",
            ),
        ),
    ),
    Panel(
        "Memory",
        "Resident memory of each replica.",
        (Query(_ours("process_resident_memory_bytes"), "{{instance}}"),),
        unit="bytes",
    ),
)
