"""Bring a compiled blueprint into the database: snapshot tables and functions of a revision. (Interface first.)"""

from dataclasses import dataclass

from campaignpool.api import CampaignPoolSpec
from campaignpool.blueprint import Blueprint
from campaignpool.clone import ClonePlan
from campaignpool.database import Connection


@dataclass(frozen=True)
class Compiled:
    """A blueprint compiled against the database as it is now.

    Attributes:
        plan: What becomes of which table.
        template: Key of the template's row, as text.
        plan_hash: Of blueprint, catalog, template and algorithm: another hash asks for another revision.
    """

    plan: ClonePlan
    template: str
    plan_hash: str

    @property
    def root_table(self) -> str:
        """The table of the campaigns, as the catalog writes it."""
        return self.plan.root.facts.name
