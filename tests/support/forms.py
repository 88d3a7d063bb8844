"""Helpers: a pool of whatever schema, from a blueprint in YAML, whose template is the row with `is_template`."""

from campaignpool.api import blueprint
from campaignpool.api.spec import BlueprintSource
from campaignpool.blueprint import compilation, install
from campaignpool.blueprint.compilation import Compiled
from campaignpool.ledger.database import Connection
from campaignpool.ledger.migrate import migrate
from tests.support import ledgers, resources


async def compiled(connection: Connection, text: str) -> Compiled:
    """Compile a blueprint for a pool in the ledger."""
    source = BlueprintSource(inline=blueprint.parse(text, "text"))
    spec = ledgers.spec(template={"where": "is_template"}, blueprint=source)
    assert spec.blueprint.inline
    await migrate(connection)
    found = await compilation.compile_blueprint(connection, spec, spec.blueprint.inline)
    await resources.put(connection, ledgers.POOL, spec)
    return found


async def installed(connection: Connection, text: str) -> Compiled:
    """Compile a blueprint and install it."""
    found = await compiled(connection, text)
    assert await install.install(connection, ledgers.POOL, found)
    return found
