"""Rehearse what a claim does to a clone; everything is rolled back.

What a claim writes is checked by Postgres only when somebody claims. A value that no claim can write would let every
claim fail, of campaigns that are ready and whole.
"""

from collections.abc import Iterator

import asyncpg

from campaignpool.blueprint.catalog import TableFacts
from campaignpool.blueprint.compile.expressions import variables_of
from campaignpool.blueprint.compile.plan import ClonePlan
from campaignpool.blueprint.quote import ident
from campaignpool.blueprint.sql.claims import claimant_type, expressions, inserted
from campaignpool.blueprint.sql.functions import Revision
from campaignpool.blueprint.sql.naming import function
from campaignpool.ledger.database import Connection
from campaignpool.ledger.seeding import raised_text
from campaignpool.sqlstates import described, is_transient

_ALWAYS = (
    asyncpg.GeneratedAlwaysError,
    asyncpg.StringDataRightTruncationError,
    asyncpg.NotNullViolationError,
    asyncpg.SyntaxOrAccessError,
)
"""Errors that no other claimant changes."""

_MADE_UP = {"uuid": "00000000-0000-4000-8000-000000000000", "smallint": "1", "integer": "1", "bigint": "1"}


async def claimed(
    connection: Connection, revision: Revision, campaign: object, key: str
) -> tuple[str | None, str | None]:
    """Claim a clone, and return a fault where every claim would be refused, and a warning where some may be.

    The claimant is somebody whom the column that gets `$claimant` may refer to, or else made up: then only what holds
    for everybody counts.

    Args:
        connection: In a transaction.
        revision: The revision, whose functions exist.
        campaign: Id of the clone, which was made in the transaction.
        key: Key of its root row.
    """
    plan = revision.plan
    claimant = await _somebody(connection, plan)
    used = {name for expression in expressions(plan) for name in variables_of(expression)}
    certain = claimant is not None or not used & {"claimant", "owner"}
    given = claimant or _MADE_UP.get(claimant_type(plan) or "", "x")
    transaction = connection.transaction()
    await transaction.start()
    try:
        query = f"SELECT {function('on_claim', revision.number)}($1, $2, $3, NULL)"
        changed = await connection.fetchval(query, campaign, key, given)
        await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except asyncpg.PostgresError as error:
        if isinstance(error, asyncpg.InsufficientPrivilegeError) or is_transient(error):
            raise
        await transaction.rollback()
        raised = await raised_text(connection, getattr(error, "context", None))
        text = f"{described(error, raised)}: correct `onClaim`"
        if isinstance(error, _ALWAYS) or (certain and isinstance(error, asyncpg.CheckViolationError)):
            return f"every claim would be refused: {text}", None
        if certain and not isinstance(error, asyncpg.UniqueViolationError):
            return None, f"a claim by a user of the database would be refused: {text}"
        return None, None
    await transaction.rollback()
    if not changed:
        root = plan.root.facts
        names = [trigger.name for trigger in root.triggers if trigger.update]
        by = f"; triggers of it fire: {', '.join(names)}" if names else ""
        return f"every claim would be refused: the row of {root.name} cannot be changed{by}", None
    return None, None


async def _somebody(connection: Connection, plan: ClonePlan) -> str | None:
    """Return the key of a row that the columns which get `$claimant` refer to; None where none is found."""
    for query in _referred(plan):
        try:
            async with connection.transaction():
                if claimant := await connection.fetchval(query):
                    return str(claimant)
        except asyncpg.InsufficientPrivilegeError:
            continue
    return None


def _referred(plan: ClonePlan) -> Iterator[str]:
    written: list[tuple[TableFacts, dict[str, str]]] = [(plan.root.facts, dict(plan.blueprint.on_claim.set_))]
    written += [(facts, dict(values)) for facts, values in inserted(plan)]
    for facts, values in written:
        for key in facts.foreign_keys:
            if len(key.columns) == 1 and values.get(key.columns[0], "").strip() == "$claimant":
                yield f"SELECT {ident(key.target_columns[0])}::text FROM {key.target_name} LIMIT 1"  # noqa: S608 (quoted)
