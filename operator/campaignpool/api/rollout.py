"""The model of `spec.rollout`: how a change of the template reaches the campaigns of a pool."""

from pydantic import Field

from campaignpool.api.model import Model


class Rollout(Model):
    """How a change of the template or the blueprint reaches the pool."""

    revision_history_limit: int = Field(default=3, ge=0, le=20)
    """How many revisions are kept beside the one in service, the latest ones, so that `template.revision` can return
    to them. Each keeps a copy of the template's rows."""
