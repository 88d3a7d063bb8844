"""Make campaigns of a new revision and check them before it goes into service; everything is rolled back.

The campaigns are compared with the snapshot, row by row, with all constraints checked. Then a query of the pool's
spec may look at them, as the application would.
"""

from dataclasses import dataclass, replace

import asyncpg

from campaignpool.blueprint.compile.expressions import malformed, substitute, variables_of
from campaignpool.blueprint.quote import literal
from campaignpool.blueprint.sql.functions import Revision
from campaignpool.blueprint.sql.naming import function, search_path
from campaignpool.blueprint.verify import Verified, new_ids, verify
from campaignpool.ledger.database import Connection
from campaignpool.sqlstates import described

_FIELD = "spec.rollout.verify"


@dataclass(frozen=True)
class Canary:
    """What is checked.

    Attributes:
        campaigns: How many campaigns are made.
        query: SQL that must return no row, with `$campaign` for the key of a campaign.
    """

    campaigns: int = 1
    query: str | None = None


async def check(
    connection: Connection, revision: Revision, suffix: bytes | None, condition: str | None, canary: Canary
) -> Verified:
    """Make campaigns of an installed revision in a savepoint and check them.

    Args:
        connection: In a transaction.
        revision: The revision, whose functions exist.
        suffix: Of the root's key, as the ledger has it.
        condition: What chooses the template; a clone must not match it too.
        canary: What is checked.
    """
    result = await verify(connection, revision, suffix, condition, campaigns=canary.campaigns)
    if canary.query is None or result.faults:
        return result
    fault = await _asked(connection, revision, suffix, canary.campaigns, canary.query)
    return replace(result, faults=(fault,)) if fault is not None else result


async def _asked(
    connection: Connection, revision: Revision, suffix: bytes | None, campaigns: int, query: str
) -> str | None:
    """Return what is wrong by the query of the spec."""
    if wrong := malformed(query):
        return f"{_FIELD}: {wrong}: write one SQL query"
    if unknown := variables_of(query) - {"campaign"}:
        return f"{_FIELD}: ${min(unknown)} is no variable of it: write $campaign for the key of a campaign"
    transaction = connection.transaction()
    await transaction.start()
    try:
        ids = await new_ids(connection, suffix, campaigns)
        cloned = f"SELECT {function('clone', revision.number)}($1, $2)"
        keys = await connection.fetchval(cloned, ids, [""] * campaigns)
        await connection.execute("SET CONSTRAINTS ALL IMMEDIATE; SET TRANSACTION READ ONLY")
        await connection.execute("SELECT set_config('search_path', $1, true)", search_path(revision.plan))
        return await _rows(connection, revision, keys, query)
    finally:
        if not connection.is_closed():
            await transaction.rollback()


async def _rows(connection: Connection, revision: Revision, keys: list[str], query: str) -> str | None:
    root = revision.plan.root.facts
    kind = root.column[root.primary_key[0]].base
    for number, key in enumerate(keys, 1):
        asked = substitute(query, {"campaign": f"CAST({literal(key)} AS {kind})"})
        try:
            rows = await connection.fetchval(f"SELECT count(*) FROM ({asked}) q")  # noqa: S608 (checked above)
        except (asyncpg.SyntaxOrAccessError, asyncpg.DataError, asyncpg.ReadOnlySQLTransactionError) as error:
            if isinstance(error, asyncpg.InsufficientPrivilegeError):
                raise
            return f"{_FIELD} cannot be evaluated: {described(error)}: correct it"
        if rows:
            return f"{_FIELD} returned {rows:,} rows for canary {number} of {len(keys)}, and must return none"
    return None
