"""SQL of a revision's functions that compare ready campaigns with what was cloned; they change nothing."""

import re
from collections.abc import Collection

from campaignpool.blueprint.compile.plan import ClonePlan, KeyKind, TablePlan
from campaignpool.blueprint.quote import ident, literal
from campaignpool.blueprint.sql import functions, retirement
from campaignpool.blueprint.sql.functions import PREFIXES, Revision, written


def missing(revision: Revision) -> str:
    """Write `missing_r<id>(root keys text[])`, which returns those keys whose row is not in the root table."""
    root = revision.plan.root
    key = root.facts.column[root.facts.primary_key[0]]
    query = (
        "RETURN QUERY SELECT k.key FROM unnest($1) AS k (key) "
        f"WHERE NOT EXISTS (SELECT FROM {root.facts.rows} t WHERE t.{ident(key.name)} = CAST(k.key AS {key.base}));"
    )
    body = [f"IF {retirement.is_there(root)} THEN", query, "END IF;"]
    return written(revision, "missing", "text[]", "SETOF text", [], body)


def lacking(revision: Revision) -> str:
    """Write `lacking_r<id>(ids uuid[], root keys text[])`.

    It returns which table has fewer rows of these campaigns than were cloned; NULL: none. Rows that triggers make and
    attachments of images, which come later, are not counted.
    """
    declared = [PREFIXES, "_campaigns bigint := cardinality($1);", "_rows bigint;"]
    keys, body = retirement.found_again(revision)
    images = functions.copied(revision)
    for table in revision.plan.tables:
        rows = revision.surveys[table.position].rows
        if not rows or table.trigger_rows == "Keep" or (images is not None and images.position == table.position):
            continue
        counts = " + ".join(f"(SELECT count(*) FROM {source})" for source in retirement.sources(revision, table))
        named = table.facts.name.replace("%", "%%")
        cause = literal(f"table {named} has %s of its %s rows: the others were deleted or changed")
        body += [
            f"IF {retirement.is_there(table)} THEN",
            f"    _rows := {counts};",
            f"    IF _rows < _campaigns * {rows} THEN RETURN format({cause}, _rows, _campaigns * {rows}); END IF;",
            "END IF;",
        ]
    body.append("RETURN NULL;")
    return written(revision, "lacking", "uuid[], text[]", "text", [*declared, *keys], body)


def changed(revision: Revision, differing: Collection[tuple[int, str]]) -> str:
    """Write `changed_r<id>(ids uuid[], root keys text[], ignored text[])`.

    It returns which column of which table has other values than were cloned; NULL: none. Columns that are set are not
    compared, nor those in `ignored`, as `table.column`.

    Args:
        revision: The revision.
        differing: Columns, by position of the table, that differ from the template's as soon as a row is inserted.
    """
    declared = [PREFIXES, "_column text;", "_rows bigint;"]
    keys, body = retirement.found_again(revision)
    images = functions.copied(revision)
    for table in revision.plan.tables:
        names = [name for name in table.copied if (table.position, name) not in differing]
        rows, copies = revision.surveys[table.position].rows, images is not None and images.position == table.position
        if not rows or not names or copies or table.trigger_rows == "Keep":
            continue
        named = table.facts.name.replace("%", "%%")
        cause = literal(f"column %s of table {named} has other values in %s of %s rows")
        body += [
            f"IF {retirement.is_there(table)} THEN",
            f"    {_differences(revision, table, names)};",
            f"    IF FOUND THEN RETURN format({cause}, _column, _rows, cardinality($1) * {rows}); END IF;",
            "END IF;",
        ]
    body.append("RETURN NULL;")
    return written(revision, "changed", "uuid[], text[], text[]", "text", [*declared, *keys], body)


def written_on_update(plan: ClonePlan) -> list[str]:
    """Return the columns, as `table.column`, that a trigger of UPDATE writes, such as the time of the last change."""
    return [
        f"{table.facts.name}.{name}"
        for table in plan.tables
        for name in table.copied
        if any(
            re.search(rf'\bNEW\."?{re.escape(name)}\b', trigger.source, re.IGNORECASE)
            for trigger in table.facts.triggers
            if trigger.update
        )
    ]


def _differences(revision: Revision, table: TablePlan, names: list[str]) -> str:
    """Return the statement that gives the first column with other values, and in how many rows.

    Rows whose keys can be computed again are compared one by one, others as a whole.
    """
    keys = [name for name, kind in table.keys.items() if kind is KeyKind.SPLICED]
    values = revision.values.columns(table)
    cloned = [f"({values[name]})::text" for name in keys] + [f"s.{ident(name)}::text" for name in names]
    seen = [f"t.{ident(name)}::text" for name in (*keys, *names)]
    existing = " UNION ALL ".join(
        f"SELECT {_numbered(seen)} FROM {item}" for item in retirement.sources(revision, table)
    )
    row_key = "".join(f"v{n}, " for n in range(len(keys)))
    columns = " UNION ALL ".join(
        f"SELECT {n} AS n, {literal(name)} AS name, count(*) AS rows "
        f"FROM (SELECT {row_key}v{n} FROM e EXCEPT ALL SELECT {row_key}v{n} FROM f) d "
        f"WHERE {literal(f'{table.facts.name}.{name}')} <> ALL ($3)"
        for n, name in enumerate(names, len(keys))
    )
    rows = f"{revision.frozen(table)} s, {retirement.CAMPAIGNS}"
    return (
        f"WITH e AS MATERIALIZED (SELECT {_numbered(cloned)} FROM {rows}), f AS MATERIALIZED ({existing}) "
        f"SELECT d.name, d.rows INTO _column, _rows FROM ({columns}) d WHERE d.rows > 0 ORDER BY d.n LIMIT 1"
    )


def _numbered(expressions: list[str]) -> str:
    return ", ".join(f"{expression} AS v{n}" for n, expression in enumerate(expressions))
