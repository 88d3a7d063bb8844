"""The dashboards: all pools and the operator, and one pool. `make generate` writes them into the chart."""

import json
from collections.abc import Iterator
from pathlib import Path

from tools.grafana import Dashboard, Panel, Query, Variable
from tools.panels import OPERATOR, claims, hit_rate, images, seeding

FOLDER = Path("charts/campaignpool-operator/files/dashboards")

_HIT_WINDOW = "1h"
_BY_POOL = "sum by (namespace, pool)"

_NAMESPACES = "label_values(campaignpool_desired_campaigns, namespace)"
_POOLS = 'label_values(campaignpool_desired_campaigns{namespace=~"$namespace"}, pool)'
_FLEET = 'namespace=~"$namespace"'
_POOL = 'namespace="$namespace", pool="$pool"'

_GOOD_HIGH = (("red", None), ("orange", 0.95), ("green", 0.99))
_BAD_ABOVE_ZERO = (("green", None), ("red", 1))

FLEET = Dashboard(
    "campaignpool-fleet",
    "CampaignPool / Fleet",
    "All pools, and the operator.",
    (Variable("namespace", "Namespace", _NAMESPACES, many=True),),
    (
        (
            "Now",
            (
                Panel(
                    "Pools",
                    "Pools that the operator keeps.",
                    (Query(f"count(campaignpool_desired_campaigns{{{_FLEET}}})"),),
                    "stat",
                    width=4,
                    height=4,
                ),
                Panel(
                    "Pools that are not ready",
                    "Pools whose condition Ready is not True.",
                    (Query(f'count(campaignpool_condition{{{_FLEET}, type="Ready"}} == 0) or vector(0)'),),
                    "stat",
                    width=4,
                    height=4,
                    steps=_BAD_ABOVE_ZERO,
                    alerts=("CampaignPoolDatabaseUnreachable", "CampaignPoolSeedingStalled"),
                ),
                Panel(
                    "Empty pools",
                    "Pools that want campaigns and have none that can be claimed.",
                    (
                        Query(
                            f'count({_BY_POOL} (campaignpool_campaigns{{{_FLEET}, state="ready"}}) == 0 '
                            "and on (namespace, pool) campaignpool_desired_campaigns > 0) or vector(0)"
                        ),
                    ),
                    "stat",
                    width=4,
                    height=4,
                    steps=_BAD_ABOVE_ZERO,
                    alerts=("CampaignPoolEmpty",),
                ),
                Panel(
                    "Stock",
                    "Ready campaigns against those that are wanted.",
                    (
                        Query(
                            f'sum(campaignpool_campaigns{{{_FLEET}, state="ready"}}) '
                            f"/ sum(campaignpool_desired_campaigns{{{_FLEET}}})"
                        ),
                    ),
                    "stat",
                    unit="percentunit",
                    width=4,
                    height=4,
                    steps=(("red", None), ("orange", 0.5), ("green", 0.9)),
                    alerts=("CampaignPoolLow",),
                ),
                Panel(
                    "Hit rate",
                    "Share of the claims of the last hour that found a ready campaign.",
                    (Query(hit_rate(_FLEET, _HIT_WINDOW)),),
                    "stat",
                    unit="percentunit",
                    width=4,
                    height=4,
                    steps=_GOOD_HIGH,
                    alerts=("CampaignPoolHitRateLow",),
                ),
                Panel(
                    "Leaders",
                    "Replicas that reconcile: one.",
                    (Query("sum(campaignpool_leader)"),),
                    "stat",
                    width=4,
                    height=4,
                    steps=(("red", None), ("green", 1), ("red", 2)),
                    alerts=("CampaignPoolNoLeader",),
                ),
            ),
        ),
        (
            "Pools",
            (
                Panel(
                    "Each pool",
                    "A click on a name opens the pool's dashboard.",
                    (
                        Query(f'{_BY_POOL} (campaignpool_campaigns{{{_FLEET}, state="ready"}})', column="ready"),
                        Query(f"{_BY_POOL} (campaignpool_desired_campaigns{{{_FLEET}}})", column="wanted"),
                        Query(
                            f'{_BY_POOL} (campaignpool_campaigns{{{_FLEET}, state="seeding"}})', column="being made"
                        ),
                        Query(f'{_BY_POOL} (campaignpool_campaigns{{{_FLEET}, state="failed"}})', column="failed"),
                        Query(f"{_BY_POOL} (campaignpool_stale_campaigns{{{_FLEET}}})", column="stale"),
                        Query(
                            f"{_BY_POOL} (increase(campaignpool_claims_total{{{_FLEET}}}[1h]))",
                            column="claims of the hour",
                        ),
                        Query(
                            f"{_BY_POOL} (increase(campaignpool_misses_total{{{_FLEET}}}[1h]))",
                            column="misses of the hour",
                        ),
                        Query(
                            f"max by (namespace, pool) (campaignpool_oldest_ready_age_seconds{{{_FLEET}}})",
                            column="oldest ready, seconds",
                        ),
                    ),
                    "table",
                    width=24,
                    height=9,
                    link="/d/campaignpool-pool?var-namespace=${__data.fields.namespace}&var-pool=${__data.fields.pool}",
                    alerts=("CampaignPoolEmpty", "CampaignPoolLow", "CampaignPoolTemplateOutdated"),
                ),
                Panel(
                    "Stock of all pools",
                    "Ready campaigns, those being made, and those that are wanted.",
                    (
                        Query(f'sum(campaignpool_campaigns{{{_FLEET}, state="ready"}})', "ready"),
                        Query(f'sum(campaignpool_campaigns{{{_FLEET}, state="seeding"}})', "being made"),
                        Query(f"sum(campaignpool_desired_campaigns{{{_FLEET}}})", "wanted"),
                    ),
                    width=12,
                    alerts=("CampaignPoolLow",),
                ),
                Panel(
                    "Pools that lack most",
                    "Campaigns that are wanted and not ready, of the ten pools that lack most.",
                    (
                        Query(
                            f"topk(10, {_BY_POOL} (campaignpool_desired_campaigns{{{_FLEET}}}) - {_BY_POOL} "
                            f'(campaignpool_campaigns{{{_FLEET}, state="ready"}}))',
                            "{{namespace}}/{{pool}}",
                        ),
                    ),
                    width=12,
                    alerts=("CampaignPoolEmpty", "CampaignPoolLow"),
                ),
            ),
        ),
        ("Claims", claims(_FLEET)),
        ("Seeding", seeding(_FLEET)),
        ("Images", images(_FLEET)),
        ("Operator", OPERATOR),
    ),
)

ONE_POOL = Dashboard(
    "campaignpool-pool",
    "CampaignPool / Pool",
    "One pool.",
    (Variable("namespace", "Namespace", _NAMESPACES), Variable("pool", "Pool", _POOLS)),
    (
        (
            "Now",
            (
                Panel(
                    "Ready",
                    "Campaigns that can be claimed.",
                    (Query(f'sum(campaignpool_campaigns{{{_POOL}, state="ready"}})'),),
                    "stat",
                    width=4,
                    height=4,
                    steps=(("red", None), ("green", 1)),
                    alerts=("CampaignPoolEmpty",),
                ),
                Panel(
                    "Wanted",
                    "Campaigns that the resource asks for, over all owners.",
                    (Query(f"max(campaignpool_desired_campaigns{{{_POOL}}})"),),
                    "stat",
                    width=4,
                    height=4,
                ),
                Panel(
                    "Hit rate",
                    "Share of the claims of the last hour that found a ready campaign.",
                    (Query(hit_rate(_POOL, _HIT_WINDOW)),),
                    "stat",
                    unit="percentunit",
                    width=4,
                    height=4,
                    steps=_GOOD_HIGH,
                    alerts=("CampaignPoolHitRateLow",),
                ),
                Panel(
                    "Claims of the last hour",
                    "Claims that got a campaign.",
                    (Query(f"sum(increase(campaignpool_claims_total{{{_POOL}}}[1h]))"),),
                    "stat",
                    width=4,
                    height=4,
                ),
                Panel(
                    "Oldest ready",
                    "For how long the oldest ready campaign has been ready.",
                    (Query(f"max(campaignpool_oldest_ready_age_seconds{{{_POOL}}})"),),
                    "stat",
                    unit="s",
                    width=4,
                    height=4,
                ),
                Panel(
                    "Failed",
                    "Campaigns that could not be made, of the last hour.",
                    (Query(f'sum(campaignpool_campaigns{{{_POOL}, state="failed"}})'),),
                    "stat",
                    width=4,
                    height=4,
                    steps=_BAD_ABOVE_ZERO,
                    alerts=("CampaignPoolSeedingFailing",),
                ),
                Panel(
                    "Conditions",
                    "Which conditions of the resource's status are True, with their reasons.",
                    (
                        Query(
                            f"max by (type, reason) (campaignpool_condition{{{_POOL}}})",
                            "{{type}}: {{reason}}",
                        ),
                    ),
                    "state-timeline",
                    width=24,
                    height=7,
                    steps=(("gray", None), ("blue", 1)),
                    alerts=("CampaignPoolDatabaseUnreachable", "CampaignPoolSeedingStalled"),
                ),
            ),
        ),
        (
            "Stock",
            (
                Panel(
                    "Stock against target",
                    "Ready campaigns, those being made, what is wanted, and spec.maxSize.",
                    (
                        Query(f'sum(campaignpool_campaigns{{{_POOL}, state="ready"}})', "ready"),
                        Query(f'sum(campaignpool_campaigns{{{_POOL}, state="seeding"}})', "being made"),
                        Query(f"max(campaignpool_desired_campaigns{{{_POOL}}})", "wanted"),
                        Query(f"max(campaignpool_max_campaigns{{{_POOL}}})", "maxSize"),
                    ),
                    width=12,
                    alerts=("CampaignPoolEmpty", "CampaignPoolLow"),
                ),
                Panel(
                    "Stale, retiring and held",
                    "Campaigns of another revision or too old, those being deleted, and those that cannot be.",
                    (
                        Query(f"max(campaignpool_stale_campaigns{{{_POOL}}})", "stale"),
                        Query(f'sum(campaignpool_campaigns{{{_POOL}, state="retiring"}})', "retiring"),
                        Query(f"max(campaignpool_held_campaigns{{{_POOL}}})", "held"),
                    ),
                    width=6,
                    alerts=("CampaignPoolTemplateOutdated", "CampaignPoolRolloutStalled"),
                ),
                Panel(
                    "Seeding queue age",
                    "How long the oldest campaign that a Job has reserved has waited to be made.",
                    (Query(f"max(campaignpool_seeding_queue_age_seconds{{{_POOL}}})", "oldest"),),
                    unit="s",
                    width=6,
                    alerts=("CampaignPoolSeedingStalled",),
                ),
            ),
        ),
        ("Claims", claims(_POOL)),
        ("Seeding", seeding(_POOL)),
        ("Images", images(_POOL)),
    ),
)

DASHBOARDS = (FLEET, ONE_POOL)


def panels_of(alert: str) -> Iterator[tuple[Dashboard, Panel]]:
    """Yield the panels that show what an alert is about."""
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels:
            if alert in panel.alerts:
                yield dashboard, panel


def generated() -> dict[Path, str]:
    """Return every dashboard by its path in the repository."""
    return {
        FOLDER / f"{dashboard.uid}.json": json.dumps(
            dashboard.document(other for other in DASHBOARDS if other is not dashboard), indent=2
        )
        + "\n"
        for dashboard in DASHBOARDS
    }
