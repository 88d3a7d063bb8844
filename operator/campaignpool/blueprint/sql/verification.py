"""SQL that clones, and compares the tables with the plan. For transactions that are rolled back."""

from collections.abc import Iterator

from campaignpool.blueprint.compile.plan import KeyKind, TablePlan
from campaignpool.blueprint.quote import ident, literal
from campaignpool.blueprint.sql import functions
from campaignpool.blueprint.sql.functions import NEW, Revision, root_keys


def rehearse(revision: Revision, condition: str | None) -> str:
    """Write `rehearse_r<id>(ids uuid[], owners text[])`, which clones and gives a row for every difference.

    A row has the position of the table, the kind of the difference (`rows`, `value`, `order`, `template`), the
    column, the rows that were found and those that were planned; for `value`, the rows that differ. The last row, of
    the kind `key`, has the key of the first clone in the place of a column.

    Args:
        revision: The revision.
        condition: What chooses the template: `template` says that it holds for a clone too.
    """
    declared, body = functions.cloning(revision, checked=False)
    body.append("SET CONSTRAINTS ALL IMMEDIATE;")
    images = functions.copied(revision)
    for table in revision.plan.tables:
        if (images is None or images.position != table.position) and table.trigger_rows != "Keep":
            body += _compared(revision, table)
    if condition is not None:
        root = functions.hanging(revision, revision.plan.root)
        body += _told(
            f"SELECT count(*) INTO _rows FROM {revision.plan.root.facts.rows} t WHERE {root} AND ({condition})",
            "_rows > 0",
            "0, 'template', NULL, _rows, 0::bigint",
        )
    body.append(f"RETURN QUERY SELECT 0, 'key', ({root_keys(revision)})[1], 0::bigint, 0::bigint;")
    returns = "TABLE (place integer, kind text, named text, seen bigint, planned bigint)"
    return functions.written(revision, "rehearse", "uuid[], text[]", returns, declared, body)


def _compared(revision: Revision, table: TablePlan) -> Iterator[str]:
    condition = functions.hanging(revision, table)
    if condition is None:
        return
    planned = f"(_campaigns * {revision.surveys[table.position].rows})"
    yield from _told(
        f"SELECT count(*) INTO _rows FROM {table.facts.rows} t WHERE {condition}",
        f"_rows <> {planned}",
        f"{table.position}, 'rows', NULL, _rows, {planned}",
    )
    values = revision.values.columns(table)
    names = [name for name in values if name in table.copied or table.keys.get(name) or name in _references(table)]
    names = [name for name in names if table.keys.get(name) is not KeyKind.DEFAULT and name not in table.sets]
    if not names or not revision.surveys[table.position].rows:
        return
    created = ", ".join(f"({values[name]})::text AS v{n}" for n, name in enumerate(names))
    seen = ", ".join(f"t.{ident(name)}::text AS v{n}" for n, name in enumerate(names))
    sides = (
        f"WITH e AS MATERIALIZED (SELECT {created} FROM {revision.frozen(table)} s CROSS JOIN {NEW}), "
        f"f AS MATERIALIZED (SELECT {seen} FROM {table.facts.rows} t WHERE {condition})"
    )
    columns = " UNION ALL ".join(
        f"SELECT {n} AS n, {literal(name)}::text AS name, count(*) AS rows "
        f"FROM (SELECT v{n} FROM e EXCEPT ALL SELECT v{n} FROM f) d"
        for n, name in enumerate(names)
    )
    yield f"IF _rows = {planned} THEN"
    yield f"    {sides} SELECT count(*) INTO _rows FROM (SELECT * FROM e EXCEPT ALL SELECT * FROM f) d;"
    yield "    IF _rows > 0 THEN"
    yield (
        f"        RETURN QUERY {sides} SELECT {table.position}, 'value', d.name, d.rows, {planned} "
        f"FROM ({columns}) d WHERE d.rows > 0 ORDER BY d.n;"
    )
    mixed = f"{table.position}, 'order', NULL::text, _rows, {planned}"
    yield f"        IF NOT FOUND THEN RETURN QUERY SELECT {mixed}; END IF;"
    yield "    END IF;"
    yield "END IF;"


def _told(query: str, differs: str, row: str) -> Iterator[str]:
    yield f"{query};"
    yield f"IF {differs} THEN RETURN QUERY SELECT {row.replace('NULL', 'NULL::text')}; END IF;"


def _references(table: TablePlan) -> set[str]:
    return {name for link in table.links for name in link.columns}
