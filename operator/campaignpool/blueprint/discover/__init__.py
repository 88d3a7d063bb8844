"""Write a first blueprint from a live database.

`observe` reads facts, `decide` makes a proposal of them, `render` writes it down. Only the first needs a
database; what names suggest stands apart, in `names`.
"""

from campaignpool.api.spec import Template
from campaignpool.blueprint.discover.decide import decide
from campaignpool.blueprint.discover.observe import observe
from campaignpool.blueprint.discover.render import MARK, render
from campaignpool.ledger.database import Connection

__all__ = ["MARK", "discover"]


async def discover(connection: Connection, root: str, template: Template) -> str:
    """Return a commented blueprint in YAML.

    Raises:
        ConfigurationError: There is no such root table, or it has no primary key of one column.
        TemplateError: The template is not there, or its condition holds for more than one row.
    """
    return render(decide(await observe(connection, root, template)))
