"""Helpers: a pool of any schema, from a blueprint in YAML; its template is the row with `is_template`."""

from campaignpool.api import blueprint
from campaignpool.api.spec import BlueprintSource
from campaignpool.blueprint import compilation, install
from campaignpool.blueprint.compilation import Compiled
from campaignpool.ledger.database import Connection
from campaignpool.ledger.migrate import migrate
from tests.support import ledgers, resources


async def compiled(connection: Connection, text: str) -> Compiled:
    """Compile a blueprint, write the pool's spec into the ledger and return the compiled blueprint."""
    source = BlueprintSource(inline=blueprint.parse(text, "text"))
    spec = ledgers.spec(template={"where": "is_template"}, blueprint=source)
    assert spec.blueprint.inline
    await migrate(connection)
    result = await compilation.compile_blueprint(connection, spec, spec.blueprint.inline)
    await resources.put(connection, ledgers.POOL, spec)
    return result


async def installed(connection: Connection, text: str) -> Compiled:
    """Compile a blueprint, install its revision and return the compiled blueprint."""
    result = await compiled(connection, text)
    assert await install.install(connection, ledgers.POOL, result)
    return result
