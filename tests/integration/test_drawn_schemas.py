"""Clones of random schemas are complete, do not affect other rows, and are deleted completely.

`test_any_schema` counts statements and covers more types. This module covers composite keys, keys that are
references, text keys, several references on a column, deletion in batches, actions of foreign keys, triggers,
partitions, inheritance and policies.
"""

import os
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import pytest
from hypothesis import HealthCheck, given, settings

from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.blueprint import compilation, install
from campaignpool.errors import BlueprintError
from campaignpool.ledger import retiring, seeding
from campaignpool.ledger.database import Connection
from campaignpool_local.postgres import EmbeddedPostgres
from tests.support import resources, stock
from tests.support.commands import execute
from tests.support.schema_model import Schema, q
from tests.support.schema_oracle import content, differences, expected
from tests.support.schema_sql import blueprint, constraints, ddl, describe, inserts
from tests.support.schema_strategy import schemas
from tests.support.synchronous import Server

pytestmark = [pytest.mark.integration, pytest.mark.long]

EXAMPLES = int(os.environ.get("CAMPAIGNPOOL_EXAMPLES", "50"))
"""The number of schemas: by default few and always the same ones; `make soak` tries 500."""

POOL = "any/schema"


@pytest.fixture(scope="module")
def server(postgres_server: EmbeddedPostgres) -> Iterator[Server]:
    url = postgres_server.create_database("drawn_schemas")
    # A role that owns the database and is no superuser, so that row level security applies to it.
    execute(url, "CREATE ROLE drawn LOGIN PASSWORD 'drawn' CREATEROLE", "ALTER DATABASE drawn_schemas OWNER TO drawn")
    parts = urlsplit(url)
    server = Server(urlunsplit(parts._replace(netloc=f"drawn:drawn@{parts.hostname}:{parts.port}")))
    yield server
    server.close()
    postgres_server.drop_database("drawn_schemas")
    execute(postgres_server.url, "DROP OWNED BY drawn", "DROP ROLE drawn")


async def create_campaigns(connection: Connection, job: str, count: int, batch: int) -> list[str]:
    """Create campaigns in batches and return their keys."""
    await stock.reserve(connection, POOL, job, count)
    statements = set()
    while (batch_result := await seeding.seed(connection, POOL, job, batch)).campaigns:
        statements.add(batch_result.statements)
    assert len(statements) == 1
    query = "SELECT root_key FROM campaign_pool.campaign WHERE run = $1 AND state = 'ready'"
    return [row["root_key"] for row in await connection.fetch(query, job)]


async def remove_campaigns(connection: Connection, *batches: int) -> None:
    """Delete the retiring campaigns in batches of two and assert the size of every batch."""
    sizes = [await retiring.remove(connection, POOL, 2) for _ in batches]
    causes = await connection.fetch("SELECT DISTINCT cause FROM campaign_pool.campaign WHERE cause IS NOT NULL")
    assert ([row["cause"] for row in causes], sizes) == ([], [*batches]), [row["cause"] for row in causes]


async def check_schema(connection: Connection, schema: Schema) -> None:
    """Check the clones of a schema in a transaction that is rolled back."""
    transaction = connection.transaction(isolation="repeatable_read")
    await transaction.start()
    try:
        for statement in (*ddl(schema), *inserts(schema), *constraints(schema)):
            await connection.execute(statement)
        await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        await check_clones(connection, schema)
    except Exception as error:
        error.add_note(describe(schema))
        raise
    finally:
        await transaction.rollback()


async def check_clones(connection: Connection, schema: Schema) -> None:
    before = await content(connection, schema)
    root = schema.tables[0]
    query = f"SELECT {q(root.primary[0])}::text FROM {root.sql} WHERE token LIKE 'T%'"
    key = await connection.fetchval(query)
    spec = CampaignPoolSpec.model_validate(
        {
            "database": {"secretRef": {"name": "none"}},
            "template": {"key": key},
            "blueprint": {"inline": blueprint(schema)},
            "size": 1,
            "maxSize": 100,
        }
    )
    assert spec.blueprint.inline
    wanted = expected(schema)
    if schema.refused:
        statement, message = schema.refused
        await connection.execute(statement)
        with pytest.raises(BlueprintError, match=message):
            await compilation.compile_blueprint(connection, spec, spec.blueprint.inline)
        return
    compiled = await compilation.compile_blueprint(connection, spec, spec.blueprint.inline)
    await resources.put(connection, POOL, spec)
    if not wanted.kept[schema.tables[0].name]:
        with pytest.raises(BlueprintError, match="the template itself would be left out"):
            await install.install(connection, POOL, compiled)
        return
    assert await install.install(connection, POOL, compiled)

    keys = await create_campaigns(connection, "batch", 2, 2)
    await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    after = await content(connection, schema)
    assert differences(schema, before, after, keys) == []
    keys += await create_campaigns(connection, "single", 2, 1)
    await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    after = await content(connection, schema)
    assert differences(schema, before, after, keys) == []

    query = "UPDATE campaign_pool.campaign SET state = 'retiring' WHERE root_key = ANY ($1)"
    await connection.execute(query, keys[1:])
    await remove_campaigns(connection, 2, 1)
    assert differences(schema, before, await content(connection, schema), keys[:1]) == []
    await connection.execute(query, keys)
    await remove_campaigns(connection, 1)
    assert differences(schema, before, await content(connection, schema), []) == []


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES <= 80,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
@pytest.mark.timeout(3600)
@given(schema=schemas())
def test_clone_equals_template(server: Server, schema: Schema) -> None:
    server.run(check_schema(server.connection, schema))
