"""Images in the status, purely: their figures, the condition ImagesDegraded, and Events.

The end of a campaign's images is an Event, never that of one image; a loop that finds many posts a few and a count.
"""

from collections.abc import Iterator
from datetime import datetime

from campaignpool.api.reasons import Reason, find
from campaignpool.api.resource import RETRY_IMAGES
from campaignpool.api.status import CampaignPoolStatus, ImagesStatus
from campaignpool.ledger.images import Finished, ImageTotals
from campaignpool_operator.facts import FINALIZER, Event, Observed
from campaignpool_operator.plan.actions import RetryImages
from campaignpool_operator.plan.images import ImagesPlan
from campaignpool_operator.status.judgement import Judgement

KIND = "ImagesDegraded"

EVENTS = 5
"""Campaigns that one loop posts Events about."""

_AT_ONCE = f"to try again at once, give the annotation {RETRY_IMAGES} a new value"


def counted(observed: Observed, todo: ImagesPlan) -> ImagesStatus | None:
    """Return the figures of images; None where none were ever copied, the last ones where a fault hides them."""
    before = observed.pool.status.images
    if observed.ledger is None or observed.spec is None:
        return before
    images = observed.ledger.images
    retried = next((action.asked for action in todo.actions if isinstance(action, RetryImages)), None)
    if before is None and images == ImageTotals() and not observed.spec.images.copies and retried is None:
        return None
    last = images.last_finished_at
    reported = before.last_finished_at if before else None
    if last is not None and (reported is None or last > datetime.fromisoformat(reported)):
        reported = last.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return ImagesStatus(
        pending=images.pending,
        copied=images.copied,
        failed=images.failed,
        last_finished_at=reported,
        retried=retried or (before.retried if before else None),
    )


def judge(observed: Observed, todo: ImagesPlan) -> Judgement | None:
    """Judge how images stand; None where a fault hides it."""
    if observed.ledger is None or observed.spec is None:
        return None
    images, fault, failures = observed.ledger.images, observed.images_fault, todo.failures
    if fault is not None:
        return "True", fault.reason, f"{fault.message}{_ending(observed)}"
    if todo.obstacle is not None:
        return "True", todo.obstacle.reason, todo.obstacle.message
    if (account := images.blocked) is not None and account.open_until is not None:
        cause = f" ({account.cause.rstrip('.')})" if account.cause else ""
        message = f"calls of ImageKit failed one after the other{cause}; they are tried again every minute or so"
        return "True", Reason.BREAKER_OPEN, message
    if failures.count:
        times = "the last images Job" if failures.count == 1 else f"{failures.count} images Jobs in a row"
        cause = "; ".join(item.rstrip(".") for item in (failures.cause, images.cause) if item)
        message = f"{times} failed ({cause}); another is created after a pause; {_AT_ONCE}"
        return "True", Reason.IMAGES_JOB_FAILED, message
    if images.failed:
        causes = "; ".join(f"{cause.rstrip('.')} ({count})" for cause, count in images.causes.items())
        failed = f"{images.failed} images of {images.partial} campaigns were not copied: {causes}"
        return "True", Reason.IMAGES_FAILED, f"{failed}; fix the cause; {_AT_ONCE}"
    if images.stalled:
        cause = f": {images.cause.rstrip('.')}" if images.cause else ""
        return "True", Reason.IMAGES_STALLED, f"images of {images.stalled} campaigns get no further{cause}"
    if not observed.spec.images.copies and not images.unfinished:
        return "False", Reason.NOT_COPIED, "images.strategy is Share: nothing is copied"
    return "False", Reason.AS_EXPECTED, "images are copied without errors"


def _ending(observed: Observed) -> str:
    """Return what becomes of images in a pool that is being deleted."""
    if not observed.pool.deleting or observed.ledger is None:
        return ""
    campaigns = observed.ledger.images.unfinished
    return (
        f"; the pool waits for images of {campaigns} campaigns until spec.deletion.timeout has passed, or until the "
        f"finalizer {FINALIZER} is removed"
    )


def events(observed: Observed, before: CampaignPoolStatus, now: CampaignPoolStatus) -> Iterator[Event]:
    """Return the Events about images between two statuses."""
    yield from _ends(observed.images_finished)
    was = next((condition for condition in before.conditions if condition.type == KIND), None)
    current = next((condition for condition in now.conditions if condition.type == KIND), None)
    if current is None:
        return
    news = was is None or (was.status, was.reason) != (current.status, current.reason)
    images = observed.ledger.images if observed.ledger is not None else ImageTotals()
    closed = not any(account.open_until for account in images.accounts)
    if news and closed and was is not None and was.reason == Reason.BREAKER_OPEN:
        yield Event("Normal", Reason.BREAKER_CLOSED, "Calls of ImageKit go through again.")
    if current.status == "True" and news:
        yield Event("Warning", find(current.reason) or Reason.UNKNOWN, current.message)
    elif current.status == "False" and was is not None and was.status == "True":
        yield Event("Normal", Reason.IMAGES_RECOVERED, current.message)


def _ends(finished: tuple[Finished, ...]) -> Iterator[Event]:
    for item in finished[:EVENTS]:
        campaign = f"campaign {item.campaign_id}" if item.campaign_id else "a campaign that is gone"
        copied = f"{item.copied} of {item.images}"
        if item.failed:
            cause = f": {item.cause.rstrip('.')}" if item.cause else ""
            yield Event(
                "Warning", Reason.IMAGES_PARTIAL, f"Images of {campaign} are not all copied: {copied}{cause}."
            )
        else:
            yield Event("Normal", Reason.IMAGES_COPIED, f"Images of {campaign} are copied: {copied}.")
    additional = finished[EVENTS:]
    if additional:
        whole = sum(1 for item in additional if not item.failed)
        yield Event(
            "Normal",
            Reason.IMAGES_COPIED,
            f"Images of {len(additional)} more campaigns ended, {whole} of them without failures.",
        )
