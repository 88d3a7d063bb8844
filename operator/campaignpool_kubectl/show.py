"""How the kubectl plugin shows pools on a terminal, purely: facts in, lines out."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from campaignpool_operator.dashboard.models import Claims, Node, PoolList, PoolSummary, PoolView, VerdictView

_GREEN, _AMBER, _RED, _DIM, _BOLD = "32", "33", "31", "2", "1"
_ANSWERS = {"Yes": _GREEN, "Until": _AMBER, "Slower": _AMBER, "No": _RED, "Unknown": _DIM}
_MARKS = {"ok": ("-", ""), "work": ("~", _AMBER), "wrong": ("x", _RED)}
_SENTENCE = 70
_OWNERS_SHOWN = 8
_SHOWN = 3
"""Failed runs and Events, the latest."""


class Paint:
    """Colours text on a terminal, and leaves it alone elsewhere."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    def __call__(self, text: str, code: str) -> str:
        """Return the text in a colour."""
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours and code else text


def local(moment: str) -> str:
    """Return a time of the API in this machine's zone, with the date where it is not today."""
    at, now = datetime.fromisoformat(moment).astimezone(), datetime.now().astimezone()
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M}"


def verdict(answer: VerdictView) -> str:
    """Return the answer in a few words, with its time in this machine's zone."""
    return answer.text.replace("{until}", local(answer.until)[:5] if answer.until else "")


def duration(seconds: float) -> str:
    """Return a duration: `0.4 ms`, `26 ms`, `2.1 s`, `6 min`, `3 h`."""
    for bound, factor, unit in ((0.01, 1000, "ms"), (1, 1000, "ms"), (120, 1, "s"), (7200, 1 / 60, "min")):
        if seconds < bound:
            number = seconds * factor
            return f"{number:.1f} {unit}" if number < 10 else f"{number:.0f} {unit}"
    return f"{seconds / 3600:.0f} h"


def share(rate: float | None) -> str:
    """Return a share in percent; a dash without one. 99.96 % is never shown as 100 %."""
    if rate is None:
        return "-"
    return "100 %" if rate == 1 else f"{int(rate * 10_000) / 100:g} %"


def table(pools: PoolList, paint: Paint) -> list[str]:
    """Return the lines of a list of pools."""
    if not pools.pools:
        return ["There is no CampaignPool that you may list."]
    heading = ("POOL", "CAN PEOPLE CLAIM", "READY", "MAKING", "HIT RATE", "CLAIMS 24H", "WHAT GOES ON")
    rows = [heading, *map(_row, pools.pools)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heading) - 1)]
    lines = []
    for number, row in enumerate(rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        if number:
            cells[1] = paint(cells[1], _ANSWERS[pools.pools[number - 1].verdict.answer])
        lines.append("  ".join([*cells, row[-1]]).rstrip())
    return lines


def _row(pool: PoolSummary) -> tuple[str, ...]:
    status, day = pool.status, pool.day
    sentence = pool.sentence if len(pool.sentence) <= _SENTENCE else f"{pool.sentence[: _SENTENCE - 1]}…"
    rate, claims = (share(day.hit_rate), f"{day.claims + day.failed:,}") if day else ("?", "?")
    return (
        pool.pool,
        verdict(pool.verdict),
        f"{status.ready}/{status.desired}",
        str(status.seeding),
        rate,
        claims,
        sentence,
    )


def screen(pool: PoolView, paint: Paint) -> list[str]:
    """Return everything about a pool that kubectl's table cannot say."""
    head = paint(verdict(pool.verdict), f"{_BOLD};{_ANSWERS[pool.verdict.answer]}")
    lines = [f"{paint(pool.pool, _BOLD)}: can people claim? {head}", f"  {pool.verdict.detail}"]
    for title, text in (*_wrong(pool), *_stock(pool), *_claims(pool), *_work(pool), *_history(pool)):
        lines.append(f"{paint(f'{title:<11}', _RED if title == 'WRONG' else _DIM)} {text}")
    return lines


def _wrong(pool: PoolView) -> Iterator[tuple[str, str]]:
    if pool.problem is not None:
        yield "WRONG", f"{pool.problem.reason} since {local(pool.problem.since)}: {pool.problem.message}"
        if pool.problem.remedy:
            yield "WHAT TO DO", pool.problem.remedy.replace("`", "")
    for alert in pool.alerts:
        yield "ALERT", f"{alert.name} ({alert.severity}), fires after {alert.fires_after}: {alert.meaning}"
    if pool.paused:
        yield "PAUSED", f"by {pool.paused_by}" if pool.paused_by else "spec.paused is true"


def _stock(pool: PoolView) -> Iterator[tuple[str, str]]:
    status, answer = pool.status, pool.verdict
    extra = [f"{status.stale} of an older revision"] if status.stale else []
    extra += [f"{status.failed} failed"] if status.failed else []
    making = "none is" if status.seeding == 0 else f"{status.seeding} are"
    text = f"{status.ready} of {status.desired} are ready, {making} being made"
    yield "STOCK", ", ".join([text, *extra])
    lasts = f"without a refill for {duration(answer.stock_seconds)}" if answer.stock_seconds is not None else ""
    pace = f"{answer.claims_per_hour:.0f} claims an hour" if answer.claims_per_hour is not None else ""
    refill = f"a refill takes {duration(answer.refill_seconds)}" if answer.refill_seconds is not None else ""
    if parts := [part for part in (lasts, pace, refill) if part]:
        yield "LASTS", ", ".join(parts)


def _claims(pool: PoolView) -> Iterator[tuple[str, str]]:
    hour, day = pool.claims, pool.day
    if not pool.ledger.known:
        yield "DATABASE", f"not read: {pool.ledger.message}"
    if hour is not None:
        text = f"{hour.owner + hour.master + hour.clone} in the last hour, hit rate {share(hour.hit_rate)}"
        if hour.p50_seconds is not None and hour.p99_seconds is not None:
            text += f", p50 {duration(hour.p50_seconds)}, p99 {duration(hour.p99_seconds)}"
        if hour.clone_p50_seconds is not None:
            text += f", {hour.clone} cloned in {duration(hour.clone_p50_seconds)}"
        yield "CLAIMS", text
    if day is not None:
        failed = f", {day.failed} failed" if day.failed else ""
        yield (
            "LAST 24 H",
            f"{day.claims:,} claims, hit rate {share(day.hit_rate)}, {day.missed} met an empty pool{failed}",
        )


def _work(pool: PoolView) -> Iterator[tuple[str, str]]:
    status = pool.status
    if (sizing := status.sizing) is not None:
        applied = f", applied {sizing.applied}" if sizing.applied is not None else ""
        expected = (
            f", {sizing.availability.expected} of claims expected to be served"
            if sizing.availability.expected
            else ""
        )
        yield "SIZE", f"{pool.spec.get('size', 5)} in the spec, {sizing.recommended} recommended{applied}{expected}"
    if (images := status.images) is not None:
        yield "IMAGES", f"{images.pending} to copy, {images.copied} copied, {images.failed} failed"
    if (rolling := pool.rollout) is not None:
        others = f", {rolling['stale']} of others" if rolling.get("stale") else ""
        yield (
            "ROLL-OUT",
            f"{rolling['phase']}: revision {rolling['revision']}, {rolling.get('updated', 0)} ready of it{others}",
        )
    lacking = [owner for owner in status.owners if owner.ready < owner.desired]
    for owner in lacking[:_OWNERS_SHOWN]:
        yield "OWNER", f"{owner.name} has {owner.ready} of {owner.desired}, {owner.seeding} are being made"
    if len(lacking) > _OWNERS_SHOWN:
        yield "OWNER", f"and {len(lacking) - _OWNERS_SHOWN} more lack campaigns"


def _history(pool: PoolView) -> Iterator[tuple[str, str]]:
    """Yield Jobs with what they wrote, failed runs and Events."""
    for job in pool.jobs or ():
        if job.state != "Succeeded":
            why = f": {job.obstacle.reason}: {job.obstacle.message}" if job.obstacle else ""
            yield "JOB", f"{job.name} ({job.component}) is {job.state} since {local(job.created_at)}{why}"
            for line in job.log or ():
                yield "", f"| {line}"
    for run in [run for run in pool.runs or () if run.outcome == "Failed"][:_SHOWN]:
        when = local(run.finished_at or run.started_at)
        yield "RUN", f"{run.job} failed at {when}: {run.reason or 'Unknown'}: {run.message or 'no message'}"
    for event in (pool.events or [])[:_SHOWN]:
        times = f", {event.count} times" if event.count > 1 else ""
        yield "EVENT", f"{local(event.at)} {event.reason}{times}: {event.message}"
    if pool.hidden:
        yield "HIDDEN", f"you may not list {', '.join(pool.hidden)} in namespace {pool.namespace}"


def tree(node: Node, paint: Paint) -> list[str]:
    """Return an explanation, one line a node, indented below what it explains."""
    return list(_tree(node, paint, "", ""))


def _tree(node: Node, paint: Paint, indent: str, branch: str) -> Iterator[str]:
    mark, code = _MARKS[node.state]
    yield f"{indent}{branch}{paint(f'{mark} {node.text}', code)}"
    below = indent + {"": "", "├ ": "│ ", "└ ": "  "}[branch]
    for number, child in enumerate(node.children, 1):
        yield from _tree(child, paint, below, "└ " if number == len(node.children) else "├ ")


def rollout(resource: Mapping[str, Any]) -> list[str]:
    """Return how the revision in service reaches the pool."""
    pool = f"{resource['metadata']['namespace']}/{resource['metadata']['name']}"
    status = resource.get("status") or {}
    current = status.get("rollout")
    if not current:
        return [f"{pool} has no revision yet."]
    pinned = ((resource.get("spec") or {}).get("template") or {}).get("revision")
    ready = f"{current.get('updated', 0)} ready campaigns are of it, {current.get('stale', 0)} of other revisions"
    lines = [
        f"{pool}: revision {current['revision']} is in service since {local(current['since'])}: {current['phase']}",
        ready,
    ]
    lines.append(f"kept: {', '.join(map(str, current.get('kept') or ())) or 'none'}")
    if pinned is not None:
        lines.append(f"pinned: spec.template.revision is {pinned}, and no change is rolled out")
    stalled = [
        f"{condition['reason']}: {condition['message']}"
        for condition in status.get("conditions") or ()
        if (condition["type"], condition["status"]) == ("RolloutStalled", "True")
    ]
    return lines + stalled


def claims(listed: Claims) -> list[str]:
    """Return the newest claims as a table."""
    if not listed.claims:
        return [f"Nobody has claimed from {listed.pool} in the last 30 days."]
    rows: list[Sequence[str]] = [("WHEN", "CAMPAIGN", "FROM", "SOURCE", "TOOK", "CAN BE RELEASED")]
    for claim in listed.claims:
        until = (
            f"released {local(claim.released_at)}" if claim.released_at else f"until {local(claim.releasable_until)}"
        )
        over = datetime.fromisoformat(claim.releasable_until) < datetime.now().astimezone()
        release = "no more" if over and not claim.released_at else until
        rows.append(
            (local(claim.at), claim.campaign, claim.owner or "master", claim.source, duration(claim.seconds), release)
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
