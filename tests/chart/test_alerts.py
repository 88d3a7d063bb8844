"""Each alert fires on what it is for, and none on a pool that is well; with the real promtool where there is one."""

import random
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from campaignpool.api.status import CampaignPoolStatus
from campaignpool.ledger.images import ImageTotals
from campaignpool.ledger.overview import LATE_SECONDS, Recent
from campaignpool.ledger.pools import Ledger
from campaignpool_operator.alerts import ALERTS, Facts
from campaignpool_operator.runtime.families import FAMILIES
from campaignpool_operator.runtime.figures import Figures, Look
from tools.alerts import rules
from tools.grafana import RUNBOOK_URL

ROOT = Path(__file__).parents[2]
STAMP = "2026-03-05T12:00:00Z"
POOL = 'namespace="game", pool="chiwar"'
OF_POOL = {"namespace": "game", "pool": "chiwar"}


class Case(NamedTuple):
    series: dict[str, str]
    at: str
    labels: dict[str, str]
    summary: str


def campaigns(**states: int) -> dict[str, str]:
    return {f'campaignpool_campaigns{{{POOL}, state="{state}"}}': f"{count}x300" for state, count in states.items()}


def demand(hits: str, cloned: str, unserved: str) -> dict[str, str]:
    return {
        f'campaignpool_claims_total{{{POOL}, source="owner"}}': "0x300",
        f'campaignpool_claims_total{{{POOL}, source="master"}}': hits,
        f'campaignpool_claims_total{{{POOL}, source="clone"}}': cloned,
        f'campaignpool_misses_total{{{POOL}, outcome="cloned"}}': cloned,
        f'campaignpool_misses_total{{{POOL}, outcome="unserved"}}': unserved,
    }


def durations(fast: str, slow: str, all_: str, source: str) -> dict[str, str]:
    """Return claims up to 0.1 s, up to 0.25 s and in all."""
    bucket = f'campaignpool_claim_duration_seconds_bucket{{{POOL}, source="{source}", le='
    return {f'{bucket}"0.1"}}': fast, f'{bucket}"0.25"}}': slow, f'{bucket}"+Inf"}}': all_}


DESIRED = {f"campaignpool_desired_campaigns{{{POOL}}}": "8x300"}
CASES = {
    "CampaignPoolEmpty": Case(
        campaigns(ready=0) | DESIRED, "5m", OF_POOL, "Pool game/chiwar has no campaign that can be claimed."
    ),
    "CampaignPoolLow": Case(
        campaigns(ready=1) | DESIRED,
        "20m",
        OF_POOL,
        "Pool game/chiwar has had less than a quarter of its campaigns for 15 minutes.",
    ),
    "CampaignPoolHitRateLow": Case(
        demand(hits="0+8x300", cloned="0+1x300", unserved="0+1x300"),
        "45m",
        OF_POOL,
        "20% of the claims on pool game/chiwar found no ready campaign.",
    ),
    "CampaignPoolClaimLatencyHigh": Case(
        durations(fast="0+90x300", slow="0+100x300", all_="0+100x300", source="master"),
        "45m",
        OF_POOL,
        "1 % of the claims on pool game/chiwar take longer than 235ms.",
    ),
    "CampaignPoolSeedingFailing": Case(
        campaigns(failed=2),
        "15m",
        {**OF_POOL, "state": "failed"},
        "2 campaigns of pool game/chiwar could not be made.",
    ),
    "CampaignPoolSeedingStalled": Case(
        campaigns(ready=3, seeding=0) | DESIRED,
        "20m",
        OF_POOL,
        "Pool game/chiwar lacks campaigns, and none is being made.",
    ),
    "CampaignPoolTemplateOutdated": Case(
        {
            f"campaignpool_stale_campaigns{{{POOL}}}": "3x300",
            f'campaignpool_rollout_phase{{{POOL}, phase="Progressing"}}': "1x300",
        },
        "3h",
        OF_POOL,
        "3 campaigns of pool game/chiwar are of an older template, for 2 hours.",
    ),
    "CampaignPoolRolloutStalled": Case(
        {f'campaignpool_condition{{{POOL}, type="RolloutStalled", reason="ShrinkUnconfirmed"}}': "1x300"},
        "20m",
        {**OF_POOL, "type": "RolloutStalled", "reason": "ShrinkUnconfirmed"},
        "A change of the template of pool game/chiwar waits for a person: ShrinkUnconfirmed.",
    ),
    "CampaignPoolImagesFailing": Case(
        {f'campaignpool_images{{{POOL}, state="failed"}}': "4x300"},
        "15m",
        {**OF_POOL, "state": "failed"},
        "4 images of pool game/chiwar could not be copied.",
    ),
    "CampaignPoolImageQueueOld": Case(
        {f"campaignpool_images_queue_age_seconds{{{POOL}}}": "3600x300"},
        "15m",
        OF_POOL,
        "A campaign of pool game/chiwar has waited 1h 0m 0s for its images.",
    ),
    "CampaignPoolDatabaseUnreachable": Case(
        {f'campaignpool_condition{{{POOL}, type="Ready", reason="DatabaseUnreachable"}}': "0x300"},
        "10m",
        {**OF_POOL, "reason": "DatabaseUnreachable"},
        "The operator cannot work in the database of pool game/chiwar: DatabaseUnreachable.",
    ),
    "CampaignPoolOperatorDown": Case({}, "10m", {}, "No operator is scraped."),
    "CampaignPoolNoLeader": Case(
        {'campaignpool_leader{pod="a"}': "0x300", 'campaignpool_leader{pod="b"}': "0x300"},
        "5m",
        {},
        "No replica of the operator reconciles.",
    ),
    "CampaignPoolReconcileErrors": Case(
        {
            'campaignpool_reconcile_total{result="ok"}': "0+8x300",
            'campaignpool_reconcile_total{result="fault"}': "0+2x300",
        },
        "30m",
        {},
        "20% of all reconciliations fail.",
    ),
    "CampaignPoolReconcileSlow": Case(
        {
            'campaignpool_reconcile_duration_seconds_bucket{le="30"}': "0x300",
            'campaignpool_reconcile_duration_seconds_bucket{le="60"}': "0+1x300",
            'campaignpool_reconcile_duration_seconds_bucket{le="+Inf"}': "0+1x300",
        },
        "30m",
        {},
        "1 % of all reconciliations take longer than 59.7s.",
    ),
}
WELL = {
    **campaigns(ready=8, seeding=0, failed=0),
    **DESIRED,
    **demand(hits="0+10x300", cloned="0x100 0+1x1 1x198", unserved="0x300"),
    **durations(fast="0+199x300", slow="0+200x300", all_="0+200x300", source="master"),
    **durations(fast="0x300", slow="0x300", all_="0+5x300", source="clone"),
    f"campaignpool_stale_campaigns{{{POOL}}}": "0x300",
    f'campaignpool_rollout_phase{{{POOL}, phase="Progressing"}}': "1x300",
    f'campaignpool_condition{{{POOL}, type="RolloutStalled", reason="NotStalled"}}': "0x300",
    f'campaignpool_images{{{POOL}, state="failed"}}': "0x300",
    f"campaignpool_images_queue_age_seconds{{{POOL}}}": "10x300",
    f'campaignpool_condition{{{POOL}, type="Ready", reason="Filled"}}': "1x300",
    'campaignpool_build_info{version="1"}': "1x300",
    'campaignpool_leader{pod="a"}': "1x300",
    'campaignpool_leader{pod="b"}': "0x300",
    'campaignpool_reconcile_total{result="ok"}': "0+8x300",
    'campaignpool_reconcile_total{result="fault"}': "0x300",
    'campaignpool_reconcile_duration_seconds_bucket{le="0.5"}': "0+8x300",
    'campaignpool_reconcile_duration_seconds_bucket{le="+Inf"}': "0+8x300",
}


def group(name: str, series: dict[str, str], *tests: dict[str, Any]) -> dict[str, Any]:
    listed = [{"series": key, "values": values} for key, values in series.items()]
    return {"name": name, "interval": "1m", "input_series": listed, "alert_rule_test": list(tests)}


def fires(name: str) -> dict[str, Any]:
    case, alert = CASES[name], next(item for item in ALERTS if item.name == name)
    annotations = {
        "summary": case.summary,
        "description": alert.meaning,
        "runbook_url": f"{RUNBOOK_URL}/{name}",
    }
    expected = [{"exp_labels": {**case.labels, "severity": alert.severity}, "exp_annotations": annotations}]
    return group(name, case.series, {"eval_time": case.at, "alertname": name, "exp_alerts": expected})


def test_every_alert_fires_when_it_should_and_is_silent_otherwise(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool: Debian's package `prometheus` has it")
    (tmp_path / "alerts.yaml").write_text(rules())
    silent = [{"eval_time": "4h", "alertname": alert.name, "exp_alerts": []} for alert in ALERTS]
    tests = [*map(fires, CASES), group("a pool that is well", WELL, *silent)]
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"rule_files": ["alerts.yaml"], "tests": tests}))
    for command in (["check", "rules", "alerts.yaml"], ["test", "rules", "tests.yaml"]):
        done = subprocess.run([promtool, *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


REASONS = ("Filled", "DatabaseUnreachable", "Unavailable", "SecretMissing")
DRAWN = 60


def drawn(draw: random.Random) -> Facts:
    """Return facts of a pool; counts of claims are those of a steady pace, so that any window has the same share."""
    reason = draw.choice(REASONS)
    conditions = {"Ready": (str(reason == "Filled"), reason), "RolloutStalled": (draw.choice(["True", "False"]), "X")}
    asked, missed, slow = draw.randint(0, 40), draw.randint(0, 3), draw.randint(0, 2)
    slow = min(slow, asked)
    status = {
        **{name: draw.randint(0, 5) for name in ("ready", "desired", "seeding", "failed", "stale")},
        "images": {"pending": 0, "copied": 0, "failed": draw.randint(0, 1)} if draw.random() < 0.7 else None,
        "rollout": {"revision": 1, "phase": draw.choice(["Progressing", "Complete"]), "since": STAMP},
        "conditions": [
            {"type": kind, "status": status, "reason": why, "message": "", "lastTransitionTime": STAMP}
            for kind, (status, why) in conditions.items()
        ],
    }
    late = draw.random() < 0.5 and status["images"] is not None  # of a pool without images nothing is late
    recent = Recent((asked + missed) * 30, missed * 30, asked * 15, slow * 15, late)
    return Facts(CampaignPoolStatus.model_validate(status), recent)


def exposed(facts: Facts, pool: str) -> dict[str, str]:
    """Return the series that the operator exposes of these facts, over five hours."""
    recent, at = facts.recent, datetime(2026, 3, 5, 12, tzinfo=UTC)
    assert recent is not None
    waited = timedelta(seconds=LATE_SECONDS + (100 if recent.images_late else -100))
    totals = ImageTotals(
        failed=facts.status.images.failed if facts.status.images else 0,
        oldest_queued_at=at - waited,
    )
    figures = Figures()
    figures.take(Look(at, facts.status, ledger=Ledger(images=totals)))
    series = {}
    for family, labels, value in (*figures.samples(), *figures.ages()):
        if family.kind == "gauge":
            named = zip(family.labels, ("game", pool, *labels), strict=True)
            matchers = ", ".join(f'{key}="{text}"' for key, text in named)
            series[f"{family.name}{{{matchers}}}"] = f"{value:f}x300"
    of_pool = f'namespace="game", pool="{pool}"'
    found, cloned = (recent.asked - recent.missed) // 30, recent.missed // 30
    counters = {
        f'campaignpool_claims_total{{{of_pool}, source="master"}}': found,
        f'campaignpool_claims_total{{{of_pool}, source="clone"}}': cloned,
        f'campaignpool_misses_total{{{of_pool}, outcome="cloned"}}': cloned,
        f'campaignpool_misses_total{{{of_pool}, outcome="unserved"}}': 0,
    }
    bucket = f'campaignpool_claim_duration_seconds_bucket{{{of_pool}, source="master", le='
    counters |= {f'{bucket}"0.1"}}': (recent.timed - recent.slow) // 15} | {
        f'{bucket}"{bound}"}}': recent.timed // 15 for bound in ("0.25", "+Inf")
    }
    return series | {name: f"0+{slope}x300" for name, slope in counters.items()}


def test_what_the_dashboard_says_of_a_pool_is_what_prometheus_evaluates(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool: Debian's package `prometheus` has it")
    draw = random.Random(1)
    pools = {f"p{number}": drawn(draw) for number in range(DRAWN)}
    series = {key: value for pool, facts in pools.items() for key, value in exposed(facts, pool).items()}
    tests = [
        {
            "expr": f"count by (pool) ({alert.expr})",
            "eval_time": "4h",
            "exp_samples": [
                {"labels": f'{{pool="{pool}"}}', "value": 1} for pool, facts in pools.items() if alert.holds(facts)
            ],
        }
        for alert in ALERTS
        if alert.holds is not None
    ]
    assert sum(bool(test["exp_samples"]) for test in tests) == 11
    listed = [{"series": key, "values": values} for key, values in series.items()]
    group = {"interval": "1m", "input_series": listed, "promql_expr_test": tests}
    # Without the rules, which would be evaluated each minute for all pools; the expressions are theirs.
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"tests": [group]}))
    command = [promtool, "test", "rules", "tests.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case_and_a_page() -> None:
    assert set(CASES) == {alert.name for alert in ALERTS}
    for alert in ALERTS:
        assert (ROOT / f"docs/runbooks/{alert.name}.md").exists()


def test_alerts_use_metrics_that_the_operator_exposes() -> None:
    exposed = {family.name for family in FAMILIES}
    for alert in ALERTS:
        for name in re.findall(r"campaignpool_\w+", alert.expr):
            assert name.removesuffix("_bucket") in exposed, alert.name
