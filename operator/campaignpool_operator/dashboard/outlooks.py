"""The demand around a moment and what sizes would have done, computed from a pool's ledger as the API shows them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from campaignpool.api.sizing import Sizing
from campaignpool.errors import CampaignPoolError
from campaignpool.ledger import demand, pools
from campaignpool.ledger.database import Connection
from campaignpool.ledger.demand import Demand, Terms
from campaignpool.sizing.forecast import SLOT
from campaignpool.sizing.outlook import Outlook, outlook
from campaignpool.sizing.simulation import Refills
from campaignpool_operator.dashboard.sizing_models import HourView, SizeTried, SizingView
from campaignpool_operator.dashboard.view import time
from campaignpool_operator.sizing.leads import LeadTimes
from campaignpool_operator.sizing.learning import HISTORY_DAYS, Setting, learn

_computing = asyncio.Semaphore(1)
"""One at a time: each takes a second of the processor where there are many claims."""


@dataclass(frozen=True)
class Known:
    """What a ledger knows of the demand for a pool.

    Attributes:
        at: Now, by the database's clock.
        terms: How demand is served.
        rows: The demand.
        gaps: When it is not known.
    """

    at: datetime
    terms: Terms
    rows: Sequence[Demand] = ()
    gaps: Sequence[tuple[float, float]] = ()


async def read(connection: Connection, pool: str) -> Known:
    """Return what the ledger knows. Raises CampaignPoolError."""
    terms = await demand.terms(connection, pool)
    if terms is None:
        raise CampaignPoolError(f"the ledger has no pool {pool} yet: wait until the operator has reconciled it")
    at = await pools.clock(connection)
    rows = await demand.read(connection, pool, at - timedelta(days=HISTORY_DAYS))
    return Known(at, terms, rows, await demand.gaps(connection, pool))


async def compute(resource: Mapping[str, Any], known: Known) -> SizingView:
    """Return what follows from the demand, computed in a thread."""
    async with _computing:
        return await asyncio.to_thread(computed, resource, known)


def computed(resource: Mapping[str, Any], known: Known) -> SizingView:
    """Return what follows from the demand, purely."""
    terms, spec = known.terms, resource.get("spec") or {}
    try:
        sizing = Sizing.model_validate(spec.get("sizing") or {})
    except ValidationError:
        sizing = Sizing()
    size, largest = int(spec.get("size", 5)), int(spec.get("maxSize", 100))
    shown = (resource.get("status") or {}).get("sizing") or {}
    now, lead = known.at.timestamp(), LeadTimes(terms.lead_seconds).seconds
    learned = learn(known.rows, known.gaps, Setting(terms.availability, terms.time_zone, lead, terms.jobs), now)
    bounds = (min(sizing.min_size, largest), min(largest, sizing.max_size or largest))
    marked = [number for number in (size, shown.get("recommended"), shown.get("applied")) if number]
    result = outlook(
        learned.history,
        Refills(lead, terms.jobs, on_empty=terms.on_empty),
        now,
        price=learned.sizer.price,
        bounds=bounds,
        first_size=size,
        marked=marked,
    )
    pool = f"{resource['metadata']['namespace']}/{resource['metadata']['name']}"
    return _view(pool, result, known, lead)


def _view(pool: str, result: Outlook, known: Known, lead: float) -> SizingView:
    first = result.hours[0].start
    return SizingView(
        pool=pool,
        at=time(known.at),
        availability=round(known.terms.availability, 9),
        lead_seconds=lead,
        hours=[
            HourView(start=_moment(hour.start), claims=hour.claims, low=hour.low, mean=hour.mean, high=hour.high)
            for hour in result.hours
        ],
        sizes_since=_moment(first),
        sizes_step_seconds=SLOT,
        sizes=result.sizes,
        replayed_since=_moment(result.since),
        replayed_claims=result.claims,
        tried=[SizeTried(size=item.size, misses=item.misses, idle=item.idle) for item in result.tried],
    )


def _moment(seconds: float) -> str:
    return time(datetime.fromtimestamp(seconds, UTC))
