"""References of a clone: those that a filter cuts are NULL, also where one column refers to several tables."""

import asyncpg
import pytest

from campaignpool.api import blueprint
from campaignpool.api.spec import BlueprintSource
from campaignpool.blueprint import compilation, install
from campaignpool.ledger.migrate import migrate
from tests.support import ledgers, resources

pytestmark = pytest.mark.integration

SCHEMA = """
CREATE TABLE worlds (id bigserial PRIMARY KEY, name text, is_template boolean);
CREATE TABLE heroes (id bigserial PRIMARY KEY, world_id bigint NOT NULL REFERENCES worlds, active boolean);
CREATE TABLE caves (id bigserial PRIMARY KEY, world_id bigint NOT NULL REFERENCES worlds, active boolean);
CREATE TABLE tags (id bigserial PRIMARY KEY, world_id bigint NOT NULL REFERENCES worlds, kind text, target bigint);
INSERT INTO worlds (name, is_template) VALUES ('Master', true);
INSERT INTO heroes (world_id, active) VALUES (1, true), (1, false);
INSERT INTO caves (world_id, active) VALUES (1, true), (1, false), (1, false);
INSERT INTO tags (world_id, kind, target) VALUES
    (1, 'Hero', 1), (1, 'Hero', 2), (1, 'Cave', 1), (1, 'Cave', 3), (1, 'Star', 7), (1, 'Hero', NULL);
"""
BLUEPRINT = """
root: {table: worlds, set: {is_template: "false"}}
tables:
  - {name: heroes, where: active}
  - {name: caves, where: active}
  - name: tags
    polymorphic: [{type: kind, id: target, targets: {Hero: heroes, Cave: caves}}]
"""


async def test_a_polymorphic_reference_with_keys_from_several_sequences(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(SCHEMA)
        source = BlueprintSource(inline=blueprint.parse(BLUEPRINT, "text"))
        spec = ledgers.spec(template={"where": "is_template"}, blueprint=source)
        assert spec.blueprint.inline
        await migrate(connection)
        compiled = await compilation.compile_blueprint(connection, spec, spec.blueprint.inline)
        await resources.put(connection, ledgers.POOL, spec)
        await install.install(connection, ledgers.POOL, compiled)
        (world,) = await ledgers.filled(connection, "", 1)
        rows = await connection.fetch(
            "SELECT kind, target FROM tags WHERE world_id = $1 ORDER BY kind, target", int(world)
        )
        hero = await connection.fetchval("SELECT id FROM heroes WHERE world_id = $1", int(world))
        cave = await connection.fetchval("SELECT id FROM caves WHERE world_id = $1", int(world))
    finally:
        await connection.close()
    # Those of other types are copied unchanged.
    assert [tuple(row) for row in rows] == [
        ("Cave", cave),
        ("Cave", None),
        ("Hero", hero),
        ("Hero", None),
        ("Hero", None),
        ("Star", 7),
    ]
