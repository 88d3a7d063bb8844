"""Put facts of the cluster and of the ledger together into what the API answers, purely."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import ValidationError

from campaignpool.api.resource import PAUSED_BY
from campaignpool.api.status import CampaignPoolStatus
from campaignpool.ledger.activity import CLAIM_SECONDS
from campaignpool.ledger.overview import Claim, ClaimFigures, DayHour, Recent
from campaignpool.ledger.seeding import Run
from campaignpool.ledger.trends import Hour
from campaignpool_operator.alerts import Alert, Facts, holding
from campaignpool_operator.dashboard.models import (
    ClaimsView,
    ClaimView,
    DayView,
    LedgerView,
    PoolSummary,
    PoolView,
    StatusView,
    TrendHour,
    VerdictView,
)
from campaignpool_operator.dashboard.problem import described, problem
from campaignpool_operator.dashboard.verdict import Verdict, verdict
from campaignpool_operator.dashboard.work_models import AlertView, EventView, JobView, RunView

_DAY = 24
_GROUPS = ("NeedYou", "AtWork", "Paused", "Fine")
_LINK = re.compile(r"\[(.*?)\]\(.*?\)")
_ANSWERS = ("No", "Slower", "Until", "Unknown", "Yes")


@dataclass(frozen=True)
class LedgerFacts:
    """What was read of one pool from its ledger.

    Attributes:
        claims: Of the last hour; None: it was not asked for.
        ten_minutes: Claims on the master pool in the last ten minutes; None: not known.
        newest: The newest claims.
        runs: The latest, the latest first.
        day: The claims of the last 24 hours.
        recent: What alerts ask; None: it was not read.
        message: Why nothing could be read; None: it was.
    """

    claims: ClaimFigures | None = None
    ten_minutes: int | None = None
    newest: Sequence[Claim] = ()
    runs: Sequence[Run] = ()
    day: Sequence[DayHour] = ()
    recent: Recent | None = None
    message: str | None = None


@dataclass(frozen=True)
class ClusterFacts:
    """What was read of one pool's surroundings in the cluster; None: the viewer may not see it."""

    jobs: Sequence[Mapping[str, Any]] | None = None
    events: Sequence[Mapping[str, Any]] | None = None
    hidden: Sequence[str] = field(default_factory=tuple)


def summary(
    resource: Mapping[str, Any], facts: LedgerFacts, now: datetime, *, may_change: bool = False
) -> PoolSummary:
    """Return a pool as a list shows it."""
    return PoolSummary(**_summary(resource, facts, now), may_change=may_change)


def pool_view(
    resource: Mapping[str, Any],
    ledger: LedgerFacts,
    cluster: ClusterFacts,
    now: datetime,
    *,
    may_change: bool = False,
) -> PoolView:
    """Return everything that is known of a pool."""
    metadata, raw_status = resource["metadata"], resource.get("status") or {}
    readable = ledger.message is None
    return PoolView(
        **_summary(resource, ledger, now),
        may_change=may_change,
        uid=metadata["uid"],
        created_at=metadata["creationTimestamp"],
        at=time(now),
        spec=dict(resource.get("spec") or {}),
        conditions=[described(condition) for condition in _status(resource).conditions],
        rollout=raw_status.get("rollout"),
        ledger=LedgerView(known=readable, message=ledger.message),
        claims=claims_view(ledger.claims) if ledger.claims else None,
        newest=[claim_view(claim) for claim in ledger.newest] if readable else None,
        runs=[run_view(run) for run in ledger.runs] if readable else None,
        jobs=None if cluster.jobs is None else [JobView.model_validate(job) for job in cluster.jobs],
        events=None if cluster.events is None else [EventView.model_validate(event) for event in cluster.events],
        alerts=[
            alert_view(alert, metadata["namespace"], metadata["name"])
            for alert in holding(Facts(_status(resource), ledger.recent))
        ],
        hidden=list(cluster.hidden),
    )


def time(moment: datetime) -> str:
    """Return a time as the API writes it: to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ordered(pools: Sequence[PoolSummary]) -> list[PoolSummary]:
    """Return pools with those that need somebody first, and among these those in trouble soonest."""
    return sorted(
        pools,
        key=lambda pool: (
            _GROUPS.index(pool.group),
            _ANSWERS.index(pool.verdict.answer),
            pool.verdict.until or "9",
            pool.pool,
        ),
    )


def _summary(resource: Mapping[str, Any], ledger: LedgerFacts, now: datetime) -> dict[str, Any]:
    metadata, spec, status = resource["metadata"], resource.get("spec") or {}, _status(resource)
    annotations = metadata.get("annotations") or {}
    deleting, paused = bool(metadata.get("deletionTimestamp")), bool(spec.get("paused"))
    answer = verdict(spec, status, now, deleting=deleting, ten_minutes=ledger.ten_minutes)
    wrong = problem(status)
    return {
        "pool": f"{metadata['namespace']}/{metadata['name']}",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "generation": int(metadata.get("generation", 1)),
        "deleting": deleting,
        "paused": paused,
        "paused_by": annotations.get(PAUSED_BY) if paused else None,
        "group": _group(answer, status, paused=paused, wrong=wrong is not None, deleting=deleting),
        "sentence": _sentence(status, paused=paused),
        "verdict": verdict_view(answer),
        "problem": wrong,
        "status": StatusView(**{name: getattr(status, name) for name in StatusView.model_fields}),
        "day": day_view(ledger.day, now) if ledger.message is None else None,
    }


def _status(resource: Mapping[str, Any]) -> CampaignPoolStatus:
    try:
        return CampaignPoolStatus.model_validate(resource.get("status") or {})
    except ValidationError:
        return CampaignPoolStatus()


def _group(
    answer: Verdict, status: CampaignPoolStatus, *, paused: bool, wrong: bool, deleting: bool
) -> Literal["NeedYou", "AtWork", "Paused", "Fine"]:
    if wrong or answer.answer == "Unknown":
        return "NeedYou"
    if paused:
        return "Paused"
    if deleting:
        return "AtWork"
    if answer.answer in ("No", "Slower", "Until"):
        # An empty pool that is being filled needs nobody.
        return "AtWork" if status.seeding else "NeedYou"
    by_type = {condition.type: condition.status for condition in status.conditions}
    return "AtWork" if by_type.get("Progressing") == "True" else "Fine"


def _sentence(status: CampaignPoolStatus, *, paused: bool) -> str:
    by_type = {condition.type: condition for condition in status.conditions}
    for kind in ("Degraded", "ImagesDegraded", "Progressing"):
        condition = by_type.get(kind)
        if condition is not None and condition.status == "True":
            return condition.message
    if paused:
        return "Paused: no campaign is made or retired."
    ready = by_type.get("Ready")
    return ready.message if ready is not None else "The operator has not reconciled this pool yet."


def verdict_view(answer: Verdict) -> VerdictView:
    """Return a verdict as the API shows it."""
    values = {**vars(answer), "until": time(answer.until) if answer.until else None}
    return VerdictView(**values)


def _rate(hits: int, asked: int) -> float | None:
    return max(0, hits) / asked if asked else None


def claims_view(figures: ClaimFigures) -> ClaimsView:
    """Return the claims of the last hour as the API shows them."""
    served = figures.owner + figures.master
    return ClaimsView(
        owner=figures.owner,
        master=figures.master,
        clone=figures.clone,
        unserved=figures.unserved,
        waiting=figures.waiting,
        hit_rate=_rate(served - figures.waiting, served + figures.clone + figures.unserved),
        p50_seconds=figures.p50,
        p99_seconds=figures.p99,
        clone_p50_seconds=figures.clone_p50,
        duration_bounds=list(CLAIM_SECONDS),
        durations=list(figures.durations),
    )


def day_view(day: Sequence[DayHour], now: datetime) -> DayView:
    """Return the claims of the last 24 hours as the API shows them."""
    first = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=_DAY - 1)
    hours = [(0, 0)] * _DAY
    for item in day:
        place = round((item.hour - first).total_seconds() / 3600)
        if 0 <= place < _DAY:
            hours[place] = (item.claims + item.unserved, item.clone + item.unserved + item.waiting)
    asked, missed = sum(claims for claims, _ in hours), sum(misses for _, misses in hours)
    failed = sum(item.unserved for item in day)
    return DayView(
        claims=sum(item.claims for item in day),
        missed=missed,
        failed=failed,
        hit_rate=_rate(asked - missed, asked),
        hours=hours,
    )


def alert_view(alert: Alert, namespace: str, name: str) -> AlertView:
    """Return an alert whose condition is true of a pool as the API shows it."""
    steps = [step.replace("NAMESPACE", namespace).replace("NAME", name) for step in alert.steps]
    return AlertView(
        name=alert.name,
        severity=alert.severity,
        fires_after=alert.wait,
        meaning=alert.meaning,
        steps=[_LINK.sub(r"\1", step) for step in steps],
    )


def run_view(run: Run) -> RunView:
    """Return a run as the API shows it."""
    return RunView(
        job=run.job,
        count=run.count,
        attempts=run.attempts,
        started_at=time(run.started_at),
        finished_at=time(run.finished_at) if run.finished_at else None,
        outcome=run.outcome,
        reason=run.reason,
        message=run.message,
        campaigns=run.campaigns,
        rows=run.rows,
        seconds=run.seconds,
    )


def trend_view(hour: Hour) -> TrendHour:
    """Return an hour as the API shows it."""
    return TrendHour(**{**asdict(hour), "hour": time(hour.hour), "lowest": hour.lowest})


def claim_view(claim: Claim) -> ClaimView:
    """Return the record of a claim as the API shows it."""
    return ClaimView(
        campaign=claim.campaign_id,
        owner=claim.owner,
        source=claim.source,
        at=time(claim.claimed_at),
        seconds=claim.seconds,
        releasable_until=time(claim.releasable_until),
        released_at=time(claim.released_at) if claim.released_at else None,
    )
