"""Try the expressions of a blueprint against the catalog, without reading a row."""

from collections.abc import Iterator
from functools import partial

import asyncpg

from campaignpool.blueprint import catalog
from campaignpool.blueprint.compile.expressions import IMAGE_VARIABLES, VARIABLES, expand, substitute
from campaignpool.blueprint.compile.plan import ClonePlan
from campaignpool.blueprint.sql import claims
from campaignpool.ledger.database import Connection


def probes(plan: ClonePlan) -> Iterator[tuple[str, str]]:
    """Give, for every expression of a blueprint, where it stands and a query that holds it and reads no row."""
    for table in plan.tables:
        name = table.facts.name
        if table.where:
            yield f"table {name}, where", _query(plan, name, table.where, "boolean")
        for column, expression in table.sets.items():
            yield f"table {name}, set {column}", _query(plan, name, expression, table.facts.column[column].base)
    if plan.images is not None:
        blobs = plan.images.blobs
        yield "images, path", _query(plan, blobs.name, plan.images.path, "text")
        for column, expression in plan.images.sets.items():
            kind = blobs.column[column].base
            yield f"images, set {column}", _query(plan, blobs.name, expression, kind)
    yield from _claim_probes(plan)


def _claim_probes(plan: ClonePlan) -> Iterator[tuple[str, str]]:
    root = plan.root.facts
    for column, expression in plan.blueprint.on_claim.set_.items():
        yield f"onClaim, set {column}", _query(plan, root.name, expression, root.column[column].base)
    for facts, values in claims.inserted(plan):
        for column, expression in values.items():
            yield f"onClaim, table {facts.name}, {column}", _query(plan, None, expression, facts.column[column].base)


def _query(plan: ClonePlan, table: str | None, expression: str, kind: str) -> str:
    root = plan.root.facts
    key = root.column[root.primary_key[0]].base
    names = (*VARIABLES, *IMAGE_VARIABLES)
    nothing = {**dict.fromkeys(names, "NULL::text"), "campaign": f"NULL::{key}", "size": "NULL::bigint"}
    nothing["id"] = "NULL::text"
    value = f"SELECT CAST(({substitute(expand(expression, partial(_no_clone, plan)), nothing)}) AS {kind})"
    return f"{value} FROM {table} t WHERE false" if table else value


def _no_clone(plan: ClonePlan, name: str, key: str) -> str:
    """Give SQL of the type that `$clone_of` gives, which reads no row."""
    facts = plan.tables[plan.names[name]].facts
    return f"(SELECT CAST(NULL AS {facts.column[facts.primary_key[0]].base}) WHERE CAST(({key}) AS text) IS NULL)"


async def fault(connection: Connection, path: str, where: str, query: str) -> str | None:
    """Give what Postgres has against an expression, in words for the author of the blueprint; None: nothing.

    What has nothing to do with the expression, such as a lock that is not to be had, is raised as it is.
    """
    try:
        async with catalog.search_path(connection, path):
            await connection.prepare(query)
    except asyncpg.PostgresSyntaxError as error:
        return f"{where}: {error.args[0]}: correct the expression"
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.PostgresConnectionError):
        raise
    except (asyncpg.OperatorInterventionError, asyncpg.InsufficientResourcesError):
        raise
    except asyncpg.PostgresError as error:
        return (
            f"{where}: {error.args[0]}: correct the expression, or the type it gives, and qualify names that are "
            "neither in the role's search path nor in a schema of the blueprint's tables"
        )
    return None
