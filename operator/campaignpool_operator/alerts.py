"""The alerts: one list, from which the chart's rules, the runbooks and what the dashboard says of a pool are made.

Prometheus evaluates `expr`, and fires once it was true for `wait`. The dashboard and the plugin have no history: they
say whether `holds` is true of what they read at this moment. A test compares the two on the same facts.
"""

from collections.abc import Callable
from dataclasses import dataclass

from campaignpool.api.status import CampaignPoolStatus
from campaignpool.ledger.overview import LATE_SECONDS, SLOW_SECONDS, Recent

_POOL = "{{ $labels.namespace }}/{{ $labels.pool }}"
_READY = 'campaignpool_campaigns{state="ready"}'
_SEEDING = 'campaignpool_campaigns{state="seeding"}'
_OF_POOL = "sum by (namespace, pool)"
_BY_POOL = "on (namespace, pool)"


def miss_rate(window: str, by: str = "namespace, pool", selector: str = "") -> str:
    """Return PromQL for the share of claims that found no ready campaign.

    Args:
        window: Of the rates.
        by: Labels that are kept; none: one value for all.
        selector: Matchers of the pools, each followed by a comma.
    """
    aggregate = f"sum by ({by})" if by else "sum"

    def rate(name: str, matcher: str = "") -> str:
        labels = (selector + matcher).strip(", ")
        return f"{aggregate} (rate({name}{f'{{{labels}}}' if labels else ''}[{window}]))"

    claims, misses = "campaignpool_claims_total", "campaignpool_misses_total"
    unserved = rate(misses, 'outcome="unserved"')
    return f"{rate(misses)} / ({rate(claims)} + {unserved})"


@dataclass(frozen=True)
class Facts:
    """What is known of a pool at one moment.

    Attributes:
        status: As the resource has it.
        recent: What the ledger says; None: the database was not read.
    """

    status: CampaignPoolStatus
    recent: Recent | None = None

    def condition(self, kind: str) -> tuple[str, str]:
        """Return status and reason of a condition; empty where there is none."""
        chosen = next((item for item in self.status.conditions if item.type == kind), None)
        return (chosen.status, chosen.reason) if chosen else ("", "")


@dataclass(frozen=True)
class Alert:
    """One alert.

    Attributes:
        expr: PromQL; true while something is wrong.
        holds: The same of one pool; None: the alert is about the operator as a whole.
        wait: How long it has to be true.
        severity: `critical` needs a person now, `warning` in working hours.
        summary: One line, with the labels of the series.
        meaning: What is the matter, and who notices.
        steps: What to do, in order.
    """

    name: str
    expr: str
    holds: Callable[[Facts], bool] | None
    wait: str
    severity: str
    summary: str
    meaning: str
    steps: tuple[str, ...]


def _misses(now: Facts) -> bool:
    if now.recent is None or now.recent.missed < 3:
        return False
    return now.recent.missed > 0.05 * now.recent.asked


def _slow(now: Facts) -> bool:
    # The 99th percentile is above a bound where more than 1 of 100 are.
    return now.recent is not None and now.recent.slow > 0.01 * now.recent.timed


def _outdated(now: Facts) -> bool:
    rollout = now.status.rollout
    return now.status.stale > 0 and rollout is not None and rollout.phase == "Progressing"


def _images_wait(now: Facts) -> bool:
    return now.status.images is not None and now.recent is not None and now.recent.images_late


def _unreachable(now: Facts) -> bool:
    status, reason = now.condition("Ready")
    return status not in ("", "True") and (reason == "Unavailable" or reason.startswith("Database"))


_DESCRIBE = (
    "`kubectl -n NAMESPACE describe campaignpool NAME`: the conditions and Events say why, and what to change."
)
_JOBS = "`kubectl -n NAMESPACE get jobs,pods -l campaignpool.dev/pool=NAME`, and the log of the newest pod."
_TROUBLESHOOTING = "Look the reason up in [Troubleshooting](../troubleshooting.md)."
_FASTER = "Where claims come faster than seeding, raise `size` or `seeding.maxConcurrent`."
_OPERATOR = "`kubectl -n campaignpool-system get pods`, `describe` and `logs` of the operator."

ALERTS = (
    Alert(
        "CampaignPoolEmpty",
        f"sum by (namespace, pool) ({_READY}) == 0 and {_BY_POOL} campaignpool_desired_campaigns > 0",
        lambda now: now.status.ready == 0 and now.status.desired > 0,
        "2m",
        "critical",
        f"Pool {_POOL} has no campaign that can be claimed.",
        "Every claim has to make its campaign while the user waits, or fails, as `claims.onEmpty` says.",
        (
            _DESCRIBE,
            _TROUBLESHOOTING,
            _FASTER,
        ),
    ),
    Alert(
        "CampaignPoolLow",
        f"sum by (namespace, pool) ({_READY}) < {_BY_POOL} 0.25 * campaignpool_desired_campaigns",
        lambda now: now.status.ready < 0.25 * now.status.desired,
        "15m",
        "warning",
        f"Pool {_POOL} has had less than a quarter of its campaigns for 15 minutes.",
        "Seeding does not keep up with claims, or does not work. The pool may run empty.",
        (_DESCRIBE, _JOBS, _FASTER),
    ),
    Alert(
        "CampaignPoolHitRateLow",
        f"{miss_rate('30m')} > 0.05 and {_BY_POOL} {_OF_POOL} (increase(campaignpool_misses_total[30m])) >= 3",
        _misses,
        "10m",
        "warning",
        f"{{{{ $value | humanizePercentage }}}} of the claims on pool {_POOL} found no ready campaign.",
        "The pool is too small for the claims that there are, or is refilled too slowly. Users wait for a clone, or "
        "get an error.",
        (
            _DESCRIBE,
            _FASTER,
            "[Size a pool](../how-to/size-a-pool.md) says how large it has to be for the claims that there were.",
        ),
    ),
    Alert(
        "CampaignPoolClaimLatencyHigh",
        "histogram_quantile(0.99, sum by (namespace, pool, le) "
        '(rate(campaignpool_claim_duration_seconds_bucket{source!="clone"}[15m])))'
        f" > {SLOW_SECONDS}",
        _slow,
        "15m",
        "warning",
        f"1 % of the claims on pool {_POOL} take longer than {{{{ $value | humanizeDuration }}}}.",
        "A claim of a ready campaign takes about a millisecond. The database is busy, or claims wait for a lock.",
        (
            "`pg_stat_activity` shows which sessions wait for a lock, `pg_blocking_pids` what blocks them.",
            "Look for transactions that have been open for long: claims read past all rows deleted since then.",
            "Check the server's CPU and disk, and what runs inside a claim: `onClaim` of the blueprint, triggers.",
        ),
    ),
    Alert(
        "CampaignPoolSeedingFailing",
        'campaignpool_campaigns{state="failed"} > 0',
        lambda now: now.status.failed > 0,
        "10m",
        "warning",
        f"{{{{ $value }}}} campaigns of pool {_POOL} could not be made.",
        "The database refuses the rows of a campaign: a constraint, a trigger, a template that was changed.",
        (_DESCRIBE, _JOBS, "`campaignpool blueprint check` names the row and the constraint before a run does."),
    ),
    Alert(
        "CampaignPoolSeedingStalled",
        f"(sum by (namespace, pool) ({_READY}) < {_BY_POOL} campaignpool_desired_campaigns)"
        f" and {_BY_POOL} (sum by (namespace, pool) ({_SEEDING}) == 0)",
        lambda now: now.status.ready < now.status.desired and now.status.seeding == 0,
        "15m",
        "warning",
        f"Pool {_POOL} lacks campaigns, and none is being made.",
        "Something is in the way of seeding: a fault of the pool, a quota, `paused: true`.",
        (_DESCRIBE, "`kubectl -n NAMESPACE get campaignpool NAME -o jsonpath={.spec.paused}`", _TROUBLESHOOTING),
    ),
    Alert(
        "CampaignPoolTemplateOutdated",
        f'campaignpool_stale_campaigns > 0 and {_BY_POOL} campaignpool_rollout_phase{{phase="Progressing"}} == 1',
        _outdated,
        "2h",
        "warning",
        f"{{{{ $value }}}} campaigns of pool {_POOL} are of an older template, for 2 hours.",
        "The template has changed, and the campaigns made before are not replaced: users get old content.",
        (_DESCRIBE, "Check that seeding works: older campaigns are replaced as new ones become ready."),
    ),
    Alert(
        "CampaignPoolRolloutStalled",
        'campaignpool_condition{type="RolloutStalled"} == 1',
        lambda now: now.condition("RolloutStalled")[0] == "True",
        "15m",
        "warning",
        f"A change of the template of pool {_POOL} waits for a person: {{{{ $labels.reason }}}}.",
        "The template or the blueprint has changed, and the pool goes on with the content of before.",
        (_DESCRIBE, "Do what the message of the condition RolloutStalled says: confirm, correct, or make room."),
    ),
    Alert(
        "CampaignPoolImagesFailing",
        'campaignpool_images{state="failed"} > 0',
        lambda now: now.status.images is not None and now.status.images.failed > 0,
        "10m",
        "warning",
        f"{{{{ $value }}}} images of pool {_POOL} could not be copied.",
        "Campaigns show the template's images, or none, until they are copied.",
        (
            _DESCRIBE,
            "`campaignpool images status --pool NAMESPACE/NAME` names the files and the store's answers.",
            "Once the cause is gone, `campaignpool images retry --pool NAMESPACE/NAME` tries them again.",
        ),
    ),
    Alert(
        "CampaignPoolImageQueueOld",
        f"campaignpool_images_queue_age_seconds > {LATE_SECONDS:.0f}",
        _images_wait,
        "10m",
        "warning",
        f"A campaign of pool {_POOL} has waited {{{{ $value | humanizeDuration }}}} for its images.",
        "The images Job does not run, the store answers slowly, or its rate limit is too low.",
        (_DESCRIBE, _JOBS, "Compare `campaignpool_image_calls_total` by outcome with the account's rate limit."),
    ),
    Alert(
        "CampaignPoolDatabaseUnreachable",
        'max by (namespace, pool, reason) (campaignpool_condition{type="Ready", reason=~"Database.*|Unavailable"}'
        " == 0)",
        _unreachable,
        "5m",
        "critical",
        f"The operator cannot work in the database of pool {_POOL}: {{{{ $labels.reason }}}}.",
        "Nothing is seeded, retired or counted. Claims work as long as the application itself reaches the database.",
        (
            _DESCRIBE,
            "Check the URL in the Secret, the network policy, the role's rights and the server's connections.",
            _TROUBLESHOOTING,
        ),
    ),
    Alert(
        "CampaignPoolOperatorDown",
        "absent(campaignpool_build_info)",
        None,
        "5m",
        "critical",
        "No operator is scraped.",
        "Pools are not refilled. Campaigns that are ready can still be claimed.",
        (_OPERATOR, "Check that Prometheus selects the ServiceMonitor or PodMonitor."),
    ),
    Alert(
        "CampaignPoolNoLeader",
        "max(campaignpool_leader) == 0",
        None,
        "2m",
        "critical",
        "No replica of the operator reconciles.",
        "The replicas run, but none holds the Lease: they cannot write it, or a process that is gone held it last.",
        (_OPERATOR, "`kubectl -n campaignpool-system get lease`, and the right to update it.", "`/readyz` says why."),
    ),
    Alert(
        "CampaignPoolReconcileErrors",
        'sum(rate(campaignpool_reconcile_total{result=~"error|fault"}[10m]))'
        " / sum(rate(campaignpool_reconcile_total[10m])) > 0.1",
        None,
        "15m",
        "warning",
        "{{ $value | humanizePercentage }} of all reconciliations fail.",
        "One pool or several cannot be reconciled: the API, a database or a resource is at fault.",
        ("`kubectl get campaignpools --all-namespaces`, and describe those that are not ready.", _OPERATOR),
    ),
    Alert(
        "CampaignPoolReconcileSlow",
        "histogram_quantile(0.99, sum by (le) (rate(campaignpool_reconcile_duration_seconds_bucket[10m]))) > 30",
        None,
        "15m",
        "warning",
        "1 % of all reconciliations take longer than {{ $value | humanizeDuration }}.",
        "A database or the Kubernetes API answers slowly; pools are refilled late.",
        (_OPERATOR, "Look for locks and slow statements of `campaignpool-operator` in `pg_stat_activity`."),
    ),
)


def holding(now: Facts) -> list[Alert]:
    """Return the alerts whose condition is true of a pool now, the critical ones first."""
    listed = [alert for alert in ALERTS if alert.holds is not None and alert.holds(now)]
    return sorted(listed, key=lambda alert: alert.severity)
