"""Helpers: a pool of a small schema whose template is the row with `is_master_template`."""

from textwrap import dedent

from campaignpool.api import blueprint
from campaignpool.api.spec import BlueprintSource, CampaignPoolSpec
from campaignpool.blueprint import compilation, install
from campaignpool.ledger import retiring
from campaignpool.ledger.database import Connection
from campaignpool.ledger.migrate import migrate
from tests.support import ledgers, resources

CAMPAIGNS = """
CREATE TABLE campaigns (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text,
                        is_master_template boolean NOT NULL DEFAULT false);
INSERT INTO campaigns (name, is_master_template) VALUES ('Master', true);
"""
ROOT = 'root: {table: campaigns, set: {is_master_template: "false"}}\n'


def spec(text: str, where: str = "is_master_template") -> CampaignPoolSpec:
    """Return the spec of a pool with a blueprint in YAML."""
    source = BlueprintSource(inline=blueprint.parse(dedent(text), "text"))
    return ledgers.spec(template={"where": where}, blueprint=source)


async def put(connection: Connection, text: str, where: str = "is_master_template") -> bool:
    """Install a blueprint as the operator would, and return whether this created a revision."""
    wanted = spec(text, where)
    assert wanted.blueprint.inline
    await migrate(connection)
    compiled = await compilation.compile_blueprint(connection, wanted, wanted.blueprint.inline)
    await resources.put(connection, ledgers.POOL, wanted)
    return await install.install(connection, ledgers.POOL, compiled) is not None


async def made(connection: Connection, text: str, where: str = "is_master_template", *, count: int = 2) -> list[str]:
    """Install a blueprint, create campaigns and return their keys."""
    await put(connection, text, where)
    return await ledgers.filled(connection, "", count)


async def removed(connection: Connection, keys: list[str]) -> None:
    """Retire and delete all campaigns, and expect that these were all."""
    await retiring.retire(connection, ledgers.POOL)
    assert await retiring.remove(connection, ledgers.POOL, 10) == len(keys)
