"""Expressions are no statements, and have no sub-selects on tables outside the blueprint unless it allows them."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from campaignpool.errors import BlueprintError, TemplateError
from campaignpool.ledger.database import Connection
from tests.support import field

pytestmark = pytest.mark.integration

SCHEMA = f"""
{field.CAMPAIGNS}
CREATE TABLE heroes (id serial PRIMARY KEY, campaign_id uuid NOT NULL REFERENCES campaigns, name text);
CREATE TABLE secrets (password text);
CREATE VIEW all_secrets AS SELECT * FROM secrets;
INSERT INTO heroes (campaign_id, name) SELECT id, 'h' || n FROM campaigns, generate_series(1, 3) n;
"""
REFUSED = {
    "1); DROP TABLE heroes; SELECT (1": "closes what the expression did not open",
    "(SELECT 1": r"a `\(` is not closed",
    "name; DELETE FROM heroes": "a `;` ends a statement",
    "name -- more": "a comment is no part",
    "name /* more */": "a comment is no part",
    "$x$ text $x$": r"there is no variable \$x here",
    "E'\\\\') FROM secrets --'": "without an E before them",
    "'open": "a quote is not closed",
    "(SELECT password FROM secrets)": r"a sub-select reads .*secrets.*, which is not part of the blueprint",
    "(TABLE secrets)": "a sub-select reads",
    "(SELECT password FROM all_secrets)": "a sub-select reads",
    "(WITH s AS (SELECT * FROM secrets) SELECT min(password) FROM s)": "a sub-select reads",
    "(SELECT min(rolname) FROM pg_roles)": "a sub-select reads",
}


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    connection: Connection = await asyncpg.connect(database_url)
    await connection.execute(SCHEMA)
    yield connection
    await connection.close()


def text(expression: str, more: str = "") -> str:
    return f"""{field.ROOT}tables: [{{name: heroes, set: {{name: "{expression}"}}}}]\n{more}"""


@pytest.mark.parametrize("expression", REFUSED)
async def test_what_is_no_expression_is_refused(connection: Connection, expression: str) -> None:
    with pytest.raises(BlueprintError, match=REFUSED[expression]):
        await field.put(connection, text(expression))


async def test_sub_selects_on_tables_of_the_blueprint_are_expressions(connection: Connection) -> None:
    expression = "(SELECT 'one; of (' || count(*) FROM heroes h WHERE h.campaign_id = campaign_id) || ' -- ' || name"
    assert await field.put(connection, text(expression))


async def test_the_blueprint_can_allow_other_sub_selects(connection: Connection) -> None:
    assert await field.put(connection, text("(SELECT password FROM secrets)", "allowSubqueries: true"))


async def test_the_templates_condition_is_one_expression(connection: Connection) -> None:
    where = "is_master_template) OR (true"
    with pytest.raises(TemplateError, match=r"spec.template.where: a `\)` closes"):
        await field.put(connection, field.ROOT, where)
