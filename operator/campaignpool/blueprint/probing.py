"""Try the expressions of a blueprint against the catalog, without reading a row."""

import json
from collections.abc import Iterator
from functools import partial

import asyncpg

from campaignpool.blueprint import catalog
from campaignpool.blueprint.compile.expressions import (
    IMAGE_VARIABLES,
    VARIABLES,
    expand,
    malformed,
    reads,
    substitute,
)
from campaignpool.blueprint.compile.plan import ClonePlan
from campaignpool.blueprint.queries import queries_of
from campaignpool.blueprint.quote import ident
from campaignpool.blueprint.sql import claims
from campaignpool.ledger.database import Connection


def probes(plan: ClonePlan) -> Iterator[tuple[str, str, str]]:
    """Yield every expression of a blueprint: where it stands, its text, and a query that holds it."""
    for table in plan.tables:
        name = table.facts.name
        if table.where:
            yield f"table {name}, where", table.where, _query(plan, name, table.where, "boolean")
        for column, expression in table.sets.items():
            kind = table.facts.column[column].base
            yield f"table {name}, set {column}", expression, _query(plan, name, expression, kind)
    if plan.images is not None:
        blobs = plan.images.blobs
        yield "images, path", plan.images.path, _query(plan, blobs.name, plan.images.path, "text")
        for column, expression in plan.images.sets.items():
            kind = blobs.column[column].base
            yield f"images, set {column}", expression, _query(plan, blobs.name, expression, kind)
    yield from _claim_probes(plan)


def _claim_probes(plan: ClonePlan) -> Iterator[tuple[str, str, str]]:
    root = plan.root.facts
    for column, expression in plan.blueprint.on_claim.set_.items():
        kind = root.column[column].base
        yield f"onClaim, set {column}", expression, _query(plan, root.name, expression, kind)
    for facts, values in claims.inserted(plan):
        for column, expression in values.items():
            kind = facts.column[column].base
            yield f"onClaim, table {facts.name}, {column}", expression, _query(plan, None, expression, kind)


def _query(plan: ClonePlan, table: str | None, expression: str, kind: str) -> str:
    root = plan.root.facts
    key = root.column[root.primary_key[0]].base
    names = (*VARIABLES, *IMAGE_VARIABLES)
    result = {**dict.fromkeys(names, "NULL::text"), "campaign": f"NULL::{key}", "size": "NULL::bigint"}
    result["id"] = "NULL::text"
    value = f"SELECT CAST(({substitute(expand(expression, partial(_no_clone, plan)), result)}) AS {kind})"
    return f"{value} FROM {table} t" if table else value


def _no_clone(plan: ClonePlan, name: str, key: str) -> str:
    """Return SQL of the type that `$clone_of` gives, which reads no row."""
    facts = plan.tables[plan.names[name]].facts
    return f"(SELECT CAST(NULL AS {facts.column[facts.primary_key[0]].base}) WHERE CAST(({key}) AS text) IS NULL)"


async def faults(connection: Connection, plan: ClonePlan, path: str) -> list[str]:
    """Return what is wrong with the expressions of a blueprint, each with the place where it stands."""
    results = []
    for where, expression, query in probes(plan):
        if wrong := malformed(expression):
            results.append(f"{where}: {wrong}: write one SQL expression")
        elif refused := await fault(connection, path, where, query):
            results.append(refused)
        elif reads(expression) and not plan.blueprint.allow_subqueries:
            results += [
                f"{where}: a sub-select reads {name}, which is not part of the blueprint: add the table, or set "
                "`allowSubqueries: true` if the blueprint's author may read it"
                for name in await _outside(connection, plan, path, query)
            ]
    return results


async def _outside(connection: Connection, plan: ClonePlan, path: str, query: str) -> list[str]:
    """Return the relations that a query reads and no table of the blueprint is, or is a part of."""
    results = [*(table.facts.oid for table in plan.tables), *(facts.oid for facts in plan.claim_tables)]
    if plan.images is not None:
        results.append(plan.images.blobs.oid)
    async with catalog.search_path(connection, path):
        explained = await connection.fetchval(f"EXPLAIN (VERBOSE, FORMAT JSON) {query}")
    relations = sorted(set(_relations(json.loads(explained))))
    return list(await connection.fetchval(queries_of("probing")["outside"], relations, results))


def _relations(node: object) -> Iterator[str]:
    """Yield the relations of an explained plan, qualified and quoted."""
    if isinstance(node, dict):
        if "Relation Name" in node:
            yield f"{ident(node.get('Schema', 'pg_catalog'))}.{ident(node['Relation Name'])}"
        for value in node.values():
            yield from _relations(value)
    elif isinstance(node, list):
        for value in node:
            yield from _relations(value)


async def fault(connection: Connection, path: str, where: str, query: str) -> str | None:
    """Return what Postgres has against an expression, in words for the author of the blueprint; None: nothing.

    What has nothing to do with the expression, such as a lock that is not to be had, is raised unchanged.
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
