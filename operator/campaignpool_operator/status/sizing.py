"""Sizing in the status, purely: its figures, three conditions, and Events of what changed."""

from collections.abc import Iterator
from math import floor

from campaignpool.api import reasons
from campaignpool.api.reasons import Reason
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.api.status import AvailabilityStatus, CampaignPoolStatus, PeakStatus, SizingStatus
from campaignpool_operator.facts import Event, Observed, Sizing
from campaignpool_operator.status.judgement import Judgement
from campaignpool_operator.text import sentence, stamp

KINDS = ("SizingActive", "ScalingLimited", "AvailabilityReached")


def figures(observed: Observed) -> SizingStatus | None:
    """Return the figures of sizing: the last ones while none are known, None if it is off."""
    sizing, spec = observed.sizing, observed.spec
    if spec is not None and spec.sizing.mode == "Off":
        return None
    if sizing is None:
        return observed.pool.status.sizing
    claims, misses = sizing.week
    return SizingStatus(
        recommended=sizing.recommended,
        applied=sizing.applied,
        limited_by=sizing.limited_by,
        basis=sizing.basis,
        lead_time_seconds=float(f"{sizing.lead_seconds:.2g}"),
        availability=AvailabilityStatus(
            day=_served(*sizing.day),
            week=_served(*sizing.week),
            expected=None if sizing.expected is None else _percent(sizing.expected),
            claims=claims,
            misses=misses,
        ),
        next_peak=None if sizing.peak is None else PeakStatus(at=stamp(sizing.peak[0]), size=sizing.peak[1]),
    )


def judgements(observed: Observed) -> dict[str, Judgement]:
    """Judge sizing by its three conditions; what was judged before holds while nothing is known."""
    sizing, spec = observed.sizing, observed.spec
    if spec is not None and spec.sizing.mode == "Off":
        message = "spec.sizing.mode is Off: spec.size is the size, and a person or an autoscaler may change it."
        off: Judgement = ("False", Reason.SIZING_OFF, message)
        return {"SizingActive": off, "ScalingLimited": off, "AvailabilityReached": ("Unknown", *off[1:])}
    if spec is None or sizing is None:
        result = {kind: _before(observed, kind) for kind in KINDS}
    else:
        result = {
            "SizingActive": _active(spec, sizing),
            "ScalingLimited": _limited(spec, sizing),
            "AvailabilityReached": _reached(spec, sizing),
        }
    if observed.sizing_fault:
        result["SizingActive"] = ("False", Reason.SIZING_INVALID, sentence(observed.sizing_fault))
    return result


def events(previous: CampaignPoolStatus, current: CampaignPoolStatus) -> Iterator[Event]:
    """Yield the Events of an applied size that follows something else, or is limited, since the last status."""
    before, now = previous.sizing, current.sizing
    if before is None or now is None or now.applied is None:
        return
    if before.basis != now.basis:
        message = f"the size follows {now.basis} instead of {before.basis}; it is {now.applied}"
        yield Event("Normal", Reason.SIZING_BASIS_CHANGED, sentence(message))
    if now.limited_by == "MaxSize" and before.limited_by != "MaxSize":
        limited = next(condition for condition in current.conditions if condition.type == "ScalingLimited")
        yield Event("Warning", Reason.LIMITED_BY_MAX_SIZE, limited.message)


def _active(spec: CampaignPoolSpec, sizing: Sizing) -> Judgement:
    if sizing.applied is None:
        message = f"The demand needs {sizing.recommended} ready campaigns; spec.size keeps {spec.size}."
        return "False", Reason.RECOMMENDING, message
    if sizing.basis == "Fixed":
        message = f"There is less than a day of demand: the size is {sizing.applied}, spec.size at least."
        return "True", Reason.LEARNING_DEMAND, message
    return (
        "True",
        Reason.SIZING_APPLIED,
        f"The demand needs {sizing.applied} ready campaigns; the pool is kept at them. Nobody else may scale it.",
    )


def _limited(spec: CampaignPoolSpec, sizing: Sizing) -> Judgement:
    if sizing.limited_by == "MaxSize":
        message = (
            f"the demand needs more than {sizing.recommended} campaigns for {spec.sizing.availability} of claims: "
            "raise spec.sizing.maxSize or spec.maxSize, or lower spec.sizing.availability"
        )
        return "True", Reason.LIMITED_BY_MAX_SIZE, sentence(message)
    if sizing.limited_by == "MinSize":
        message = f"The demand needs fewer than {sizing.recommended} campaigns, which spec.sizing.minSize keeps."
        return "True", Reason.LIMITED_BY_MIN_SIZE, message
    return "False", Reason.DESIRED_WITHIN_RANGE, "No limit changes the recommended size."


def _reached(spec: CampaignPoolSpec, sizing: Sizing) -> Judgement:
    claims, misses = sizing.week
    allowed = round((1.0 - spec.sizing.share) * claims, 6)
    counted = f"{misses} of {claims} claims of the last week met an empty pool"
    target = spec.sizing.availability
    if misses > max(1.0, allowed):
        message = f"{counted}; {target} allows {floor(allowed)}: see docs/how-to/size-a-pool.md"
        return "False", Reason.TARGET_MISSED, sentence(message)
    if allowed < 1:
        return "Unknown", Reason.TOO_FEW_CLAIMS, f"{counted}; {target} needs more claims to be judged."
    return "True", Reason.TARGET_REACHED, f"{counted}; {target} allows {floor(allowed)}."


def _before(observed: Observed, kind: str) -> Judgement:
    for condition in observed.pool.status.conditions:
        if condition.type == kind and condition.reason != Reason.SIZING_OFF:
            return condition.status, reasons.find(condition.reason) or Reason.UNKNOWN, condition.message
    return "Unknown", Reason.DEMAND_UNKNOWN, "The demand has not been read yet."


def _served(claims: int, misses: int) -> str | None:
    return _percent(1.0 - misses / claims) if claims else None


def _percent(share: float) -> str:
    """Return a share as a percentage, rounded down, so that 100% means all."""
    return f"{floor(max(0.0, share) * 100_000 + 1e-6) / 1000:g}%"
