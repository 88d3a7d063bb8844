"""Whether people can claim from a pool, and for how long, purely: the first thing that an admin wants to know.

Claims need Postgres only, and refilling needs the operator: these are two facts. A pool that cannot be refilled is no
outage while its stock lasts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from campaignpool.api.status import CampaignPoolStatus

Answer = Literal["No", "Slower", "Until", "Yes", "Unknown"]

_ROUNDED = timedelta(minutes=5)
_TEN_MINUTES = 600.0


@dataclass(frozen=True)
class Verdict:
    """Whether people can claim.

    Attributes:
        answer: No; Slower: claims clone; Until: the stock is not refilled; Yes; Unknown.
        text: The answer in a few words.
        detail: One or two sentences.
        until: When the stock is used up, for Until; None: claims are too rare to tell.
        stock_seconds: How long the stock would last without a refill; None: claims are too rare to tell.
        refill_seconds: How long a refill takes; None: it was not measured yet.
        claims_per_hour: The pace of the last ten minutes; None: not known.
    """

    answer: Answer
    text: str
    detail: str
    until: datetime | None = None
    stock_seconds: float | None = None
    refill_seconds: float | None = None
    claims_per_hour: float | None = None


_NOT_KNOWN = Verdict("Unknown", "Not known", "The operator has not reconciled this pool yet: check that it runs.")
_AFTER = {
    "Clone": "After that each claim makes its own campaign, which is slower.",
    "Wait": "After that claims wait.",
    "Fail": "After that claims fail with CP002.",
}


def verdict(
    spec: Mapping[str, Any], status: CampaignPoolStatus, now: datetime, *, deleting: bool, ten_minutes: int | None
) -> Verdict:
    """Return whether people can claim.

    Args:
        spec: The pool's, as the API has it.
        status: The pool's.
        now: The time.
        deleting: The resource is being deleted.
        ten_minutes: Claims on the master pool in the last ten minutes; None: not known.
    """
    if not status.conditions:
        return _NOT_KNOWN
    on_empty = (spec.get("claims") or {}).get("onEmpty", "Clone")
    anybody = status.replicas if int(spec.get("size", 5)) else status.ready
    pace = None if ten_minutes is None else ten_minutes / _TEN_MINUTES
    stock = anybody / pace if pace else None
    refill = status.sizing.lead_time_seconds if status.sizing else None
    figures = replace(
        _NOT_KNOWN,
        stock_seconds=stock,
        refill_seconds=refill,
        claims_per_hour=None if pace is None else pace * 3600,
    )
    if deleting:
        return replace(figures, answer="No", text="No", detail="The pool is being deleted: claims fail with CP001.")
    if anybody == 0:
        return _empty(on_empty, figures)
    detail = f"{_campaigns(anybody)} ready for anybody"
    if others := status.ready - anybody:
        detail += f", {others} more for known owners"
    if status.ready < status.desired and status.seeding == 0:
        until = None if stock is None else _rounded(now, timedelta(seconds=stock))
        text = "Yes, until about {until}" if until else f"Yes, for the next {_claims(anybody)}"
        detail = f"{detail}, and none is being made. {_AFTER[on_empty]}"
        return replace(figures, answer="Until", text=text, detail=detail, until=until)
    return replace(figures, answer="Yes", text="Yes, from the pool", detail=f"{detail}.")


def _empty(on_empty: str, figures: Verdict) -> Verdict:
    if on_empty == "Clone":
        detail = "No campaign is ready: each claim makes its own, in its transaction."
        return replace(figures, answer="Slower", text="Yes, but slower", detail=detail)
    fails = "claims wait, and fail with CP002 if they do not" if on_empty == "Wait" else "claims fail with CP002"
    return replace(figures, answer="No", text="No", detail=f"No campaign is ready: {fails}.")


def _campaigns(count: int) -> str:
    return "1 campaign is" if count == 1 else f"{count} campaigns are"


def _claims(count: int) -> str:
    return "claim" if count == 1 else f"{count} claims"


def _rounded(now: datetime, lasts: timedelta) -> datetime:
    """Return when the stock is used up; beyond an hour it is known to five minutes only."""
    until = now + lasts
    if lasts <= timedelta(hours=1):
        return until.replace(second=0, microsecond=0)
    return datetime.fromtimestamp(
        round(until.timestamp() / _ROUNDED.total_seconds()) * _ROUNDED.total_seconds(), until.tzinfo
    )
