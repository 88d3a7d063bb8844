"""What the API answers about demand, sizes and images, as models."""

from campaignpool_operator.dashboard.work_models import Time, View


class HourView(View):
    """An hour of demand on the master pool."""

    start: Time
    """When it began."""
    claims: int | None = None
    """Claims that came; absent for hours that have not ended."""
    low: int
    """Nine of ten hours have at least so many, as was expected a day before, or is now."""
    mean: float
    """What was expected."""
    high: int
    """Nine of ten hours have at most so many."""


class SizeTried(View):
    """What one size, kept at all hours, would have done in the replayed demand."""

    size: int
    """Campaigns of the master pool."""
    misses: int
    """Claims that would have met an empty pool."""
    idle: float
    """Mean number of ready campaigns."""


class SizingView(View):
    """The demand of a pool, what it is expected to be, and what sizes would have done."""

    pool: str
    """Namespace and name."""
    at: Time
    """Now, by the database's clock."""
    availability: float
    """Share of claims that are to find a ready campaign."""
    lead_seconds: float
    """How long a refill takes: nine of ten take no longer."""
    hours: list[HourView]
    """The last 24 hours, and the coming 24."""
    sizes_since: Time
    """When the first of `sizes` is for."""
    sizes_step_seconds: float
    """Between one of `sizes` and the next."""
    sizes: list[int]
    """The sizes that the demand needs."""
    replayed_since: Time
    """When the demand begins on which sizes were tried."""
    replayed_claims: int
    """How many claims that are."""
    tried: list[SizeTried]
    """The sizes that were tried, the smallest first; none without past demand."""


class ImagesPoint(View):
    """How many images waited at a moment."""

    at: Time
    """When."""
    waiting: int
    """Images that were to be copied."""


class ImagesView(View):
    """How images of a pool were copied; of campaigns that may still be retired or released, or are not finished."""

    pool: str
    """Namespace and name."""
    points: list[ImagesPoint]
    """From the first that waits, or a day back, until now."""
    copied_a_minute: float
    """Images that were copied a minute, in the last ten minutes."""
