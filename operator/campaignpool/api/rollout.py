"""The model of `spec.rollout`: how a change of the template reaches the campaigns of a pool."""

from typing import Literal

from pydantic import Field

from campaignpool.api.model import Model
from campaignpool.api.resource import FILLED, Percent


class Canary(Model):
    """What is made of a new revision before it goes into service."""

    campaigns: int = Field(default=1, ge=1, le=100)
    """How many campaigns are made in one transaction and compared with the snapshot; then they are rolled back."""


class Rollout(Model):
    """How a change of the template or the blueprint reaches the pool."""

    strategy: Literal["RollingUpdate", "OnReplenish", "Paused"] = "RollingUpdate"
    """`RollingUpdate`: ready campaigns of other revisions are replaced, new ones before old ones go. `OnReplenish`:
    nothing is replaced; what is made after claims is of the new revision. `Paused`: no revision is frozen, and
    nothing is replaced."""
    min_ready: Percent = "50%"
    """Share of each owner's campaigns that stay claimable where old ones have to go first, because `maxSize` leaves
    no room for new ones beside them."""
    canary: Canary = Field(default_factory=Canary, json_schema_extra=FILLED)
    """The check of a new revision: one that fails it does not go into service."""
    verify: str | None = Field(default=None, min_length=1, max_length=5000)
    """SQL query that must return no row, asked for each campaign of the canary before it is rolled back; `$campaign`
    is the campaign's key. It can only read, as the role in the URL."""
    revision_history_limit: int = Field(default=3, ge=0, le=20)
    """How many revisions are kept beside the one in service, the latest ones, so that `template.revision` can return
    to them. Each keeps a copy of the template's rows."""
