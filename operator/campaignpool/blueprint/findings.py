"""What the template's rows say against a plan, found before the first clone. Over the rows of `install.collect`.

Faults are what every clone would run into; warnings are what a person may want to know or to fix.
"""

from collections.abc import AsyncIterator, Iterator, Sequence

from campaignpool.blueprint.catalog import Column, Index
from campaignpool.blueprint.compile.expressions import mentioned
from campaignpool.blueprint.compile.plan import ClonePlan, KeyKind, TablePlan, anchor_targets
from campaignpool.blueprint.queries import queries_of
from campaignpool.blueprint.quote import ident
from campaignpool.blueprint.sql import snapshot
from campaignpool.blueprint.sql.collisions import collision, unstable
from campaignpool.blueprint.sql.naming import IN, member
from campaignpool.blueprint.sql.snapshot import Survey
from campaignpool.ledger.database import Connection


async def collisions(connection: Connection, plan: ClonePlan) -> AsyncIterator[str]:
    """Return a fault for every unique index that clones would violate, found by making the values of two of them."""
    for table in plan.tables:
        for index in table.facts.indexes:
            query = collision(plan, table, index)
            if query and await connection.fetchval(query):
                yield _collision_fault(table, index)


def _collision_fault(table: TablePlan, index: Index) -> str:
    columns = ", ".join(column or expression for column, expression in zip(index.columns, index.keys, strict=True))
    where = f" where {index.predicate}" if index.predicate else ""
    # Columns that an index on an expression or its predicate reads can be set as well as those it lists.
    read = mentioned(" ".join([*index.keys, index.predicate or ""]), [column.name for column in table.facts.columns])
    names = dict.fromkeys([*(name for name in index.columns if name), *read])
    name = next((name for name in names if name in table.copied or name in table.sets), None)
    column = table.facts.column[name] if name else None
    example = f"{name}: {_example(column, index)}" if column else "COLUMN: a value that is new in every campaign"
    return (
        f"unique index {index.name} of {table.facts.name} ({columns}){where} would hold the same values for every "
        f"campaign: set one of its columns, such as `{example}`"
    )


def _example(column: Column, index: Index) -> str:
    """Return a value of a column that no two campaigns have in a unique index."""
    if not column.not_null and index.nulls_distinct:
        return "NULL"
    return f"a value that leaves the row out of {index.name}" if column.base == "boolean" else column.example


async def contradictions(connection: Connection, plan: ClonePlan, surveys: Sequence[Survey]) -> AsyncIterator[str]:
    """Return a fault for whatever else stands in the way of every clone."""
    if not surveys[0].rows:
        yield (
            f"the template itself would be left out: a required reference of {plan.root.facts.name} points at a row "
            "that a filter leaves out: change the filter, or set the column"
        )
    for table, survey in zip(plan.tables, surveys, strict=True):
        for item, rows in zip(plan.derived[table.position], survey.conflicts, strict=True):
            if rows:
                yield (
                    f"column {item.column.name} of {table.facts.name} holds several references, which would want "
                    f"different values in {rows} rows: set it, or remove one of the tables it refers to"
                )
        for fault, query in (*_leaving(plan, table), *_unsteady(plan, table)):
            if survey.rows and await connection.fetchval(query):
                yield fault


def _unsteady(plan: ClonePlan, table: TablePlan) -> Iterator[tuple[str, str]]:
    """Return what is wrong with keys that others refer to, each with a query whether it is."""
    for name, query in unstable(plan, table):
        yield (
            (
                f"column {name} of {table.facts.name} is set and referred to, and its expression gives another value "
                f"each time: {table.facts.column[name].derived}"
            ),
            query,
        )
    for name in table.numbered:
        default = table.facts.column[name].default
        yield (
            (
                f"column {name} of {table.facts.name} is a key that others refer to, and its default gives the "
                f"same value twice: {table.facts.column[name].derived}"
            ),
            f"SELECT ({default}) = ({default})",
        )


def _leaving(plan: ClonePlan, table: TablePlan) -> Iterator[tuple[str, str]]:
    """Return foreign keys out of the plan by a column that changes: a fault and a query for whether it counts."""
    inside = {item.facts.oid for item in plan.tables}
    changed = {name for name, kind in table.keys.items() if kind is not KeyKind.COPIED}
    changed |= {item.column.name for item in plan.derived[table.position] if item.origins}
    for key in table.facts.foreign_keys:
        names = [name for name in key.columns if name in changed]
        if key.target in inside or not names or set(key.columns) & set(table.sets):
            continue
        given = " AND ".join(f"{ident(name)} IS NOT NULL" for name in key.columns)
        fault = (
            f"foreign key {key.name} of {table.facts.name} refers to {key.target_name}, which is not part of the "
            f"blueprint, by {', '.join(names)}, which is new in every campaign: add the table, or set one of "
            f"({', '.join(key.columns)})"
        )
        # Names come from the catalog.
        yield fault, f"SELECT EXISTS (SELECT FROM {member(table.position)} WHERE {IN} AND {given})"  # noqa: S608 (quoted names)


async def warnings(connection: Connection, plan: ClonePlan, surveys: Sequence[Survey]) -> AsyncIterator[str]:
    """Return what is no fault: rows left out or copied in part, triggers that fire, indexes that are missing."""
    for table, survey in zip(plan.tables, surveys, strict=True):
        name = table.facts.name
        if survey.dropped:
            yield f"rows of {name} that are left out because a row that they require is: {survey.dropped:,}"
        for link, rows in zip(table.links, survey.nulled, strict=True):
            if rows and not link.required:
                columns = ", ".join(link.nulls)
                yield f"rows of {name} where {columns} becomes NULL because what it refers to is left out: {rows:,}"
        async for text in _uncopied(connection, plan, table):
            yield text
        if table.where or survey.dropped:
            for text in _counters(plan, table):
                yield text
        if table.facts.on_insert:
            yield f"triggers of {name} fire for every row that is inserted: {', '.join(table.facts.on_insert)}"
    async for text in _of_catalog(connection, plan):
        yield text


async def _uncopied(connection: Connection, plan: ClonePlan, table: TablePlan) -> AsyncIterator[str]:
    """Return rows that refer to the template by one column, and that another keeps out of the campaign."""
    name, anchors = table.facts.name, ", ".join(table.anchors)
    query = snapshot.partly(plan, table)
    rows = await connection.fetchval(query) if query else 0
    if rows:
        yield (
            f"rows of {name} that refer to the template by one of {anchors} and not by all, and "
            f"so are not copied: {rows:,}; name under `via` those that make a row part of a campaign"
        )
    query = snapshot.unanchored(plan, table)
    rows = await connection.fetchval(query) if query else 0
    if rows:
        others = dict.fromkeys(name for link in table.links if not link.anchor for name in link.columns)
        yield (
            f"rows of {name} that refer to the template by one of {', '.join(others)}, and are not copied because "
            f"{anchors} is NULL: {rows:,}; fill it, or name under `via` those that make a row part of a campaign"
        )


def _counters(plan: ClonePlan, table: TablePlan) -> Iterator[str]:
    """Yield a warning for every copied column that seems to count the rows of a table, some of which are left out."""
    names = {f"{table.facts.relation}_count", f"{table.facts.relation}Count"}
    for target in (plan.tables[position] for position in anchor_targets(table)):
        for column in sorted(names & set(target.copied)):
            yield (
                f"column {column} of {target.facts.name} seems to count rows of {table.facts.name}, some of which "
                "are left out: set it to the number of those that are copied"
            )


async def _of_catalog(connection: Connection, plan: ClonePlan) -> AsyncIterator[str]:
    """Return what makes deletion slow, stops it, or happens with it, and the numbers that run out."""
    queries, oids = queries_of("findings"), [table.facts.oid for table in plan.tables]
    for row in await connection.fetch(queries["unindexed"], oids):
        yield (
            f"foreign key {row['name']} of {row['table']} has no index, so deleting campaigns reads the whole table: "
            f"CREATE INDEX {row['how']}ON {row['table']} ({row['columns']})"
        )
    for text in _pairs(plan):
        yield text
    for row in await connection.fetch(queries["sequences"], oids):
        yield (
            f"sequence {row['sequence']} has {row['left']:,} numbers left for {row['column']} of {row['table']}, "
            f"which is of type {row['type']}: ALTER TABLE {row['table']} ALTER COLUMN {row['column']} TYPE bigint, "
            f"and ALTER SEQUENCE {row['sequence']} AS bigint, before it runs out"
        )
    for row in await connection.fetch(queries["actions"], oids):
        yield (
            f"foreign key {row['name']} of {row['table']}, which is not part of the blueprint, would delete or "
            f"change rows with those of {row['target']}: a campaign on which they hang stays retiring; where "
            "triggers make them, add the table with `triggerRows: Keep`"
        )
    for row in await connection.fetch(queries["triggers"], oids):
        yield f"triggers of {row['table']} fire when campaigns that nobody claimed are deleted: {row['names']}"
    for row in await connection.fetch(queries["publications"]):
        yield (
            f"publication {row['name']} publishes all tables, and so those that the operator makes for every "
            "revision: replication to a subscriber that lacks them stops: let it publish the schemas of the "
            "application alone (FOR TABLES IN SCHEMA ..., since Postgres 15), or list its tables"
        )


def _pairs(plan: ClonePlan) -> Iterator[str]:
    """Return a warning for every polymorphic reference without an index to find it by."""
    for table in plan.tables:
        how = "CONCURRENTLY " if table.facts.kind == "r" else ""
        for pair in table.polymorphic:
            pairs = {pair.column, pair.type_column}
            result = table.facts.indexes
            if not any(index.columns[0] == pair.column or set(index.columns[:2]) == pairs for index in result):
                yield (
                    f"polymorphic reference {pair.column} of {table.facts.name} has no index, so finding a "
                    f"campaign reads the whole table: CREATE INDEX {how}ON {table.facts.name} "
                    f"({ident(pair.column)}, {ident(pair.type_column)})"
                )
