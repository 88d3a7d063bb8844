"""SQL that hashes the template's rows, over the temporary tables that `snapshot.members` and `places` fill.

A row's hash is made from the hashes of its values, in the order of their labels: the columns' names, or for a
file behind a reference `column.checksum` and others. Neither our own names nor the order of rows or columns
goes into it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from campaignpool.blueprint.compile.plan import ClonePlan, KeyKind, TablePlan
from campaignpool.blueprint.quote import ident
from campaignpool.blueprint.sql.snapshot import effective, source

CELL_BYTES = 4
"""Bytes kept of the hash of each value: enough to name the columns that changed in a row that did."""

# A database of SQL_ASCII has bytes that are no UTF8.
_ENCODING = "CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END"
_NULL = "'\\x" + "00" * 32 + "'::bytea"


@dataclass(frozen=True)
class Files:
    """A table outside the plan whose rows are files, and the columns that say which content they have."""

    name: str
    columns: tuple[str, ...]


def create(name: str, *, temporary: bool = False) -> str:
    """Write the table of hashes: position of the row's table, key, hash, and a few bytes for each value."""
    kind, end = ("TEMPORARY TABLE", " ON COMMIT DROP") if temporary else ("TABLE", "")
    return f"CREATE {kind} {name} (place integer NOT NULL, key text, hash bytea NOT NULL, cells bytea NOT NULL){end}"


def labels(plan: ClonePlan, table: TablePlan, files: Mapping[int, Files]) -> tuple[str, ...]:
    """Return what the hash of a table's rows sees, in order."""
    return tuple(sorted(_values(plan, table, files)))


def fill(plan: ClonePlan, table: TablePlan, files: Mapping[int, Files], into: str) -> str:
    """Write the statement that hashes the rows of a table."""
    values = _values(plan, table, files)
    cells = [
        f"coalesce(sha256(convert_to(({values[label]})::text, {_ENCODING})), {_NULL}) AS c{n}"
        for n, label in enumerate(sorted(values))
    ]
    columns = [f"c{n}" for n in range(len(cells))]
    # The same table may stand behind several references: the joins follow the rows, so they go before WHERE.
    before, where = source(plan, table).rsplit(" WHERE ", 1)
    joins = "".join(f" {join}" for join in _joins(table, files))
    hashed = " || ".join(columns) or "''::bytea"
    short = " || ".join(f"substr({column}, 1, {CELL_BYTES})" for column in columns) or "''::bytea"
    return (
        f"INSERT INTO {into} (place, key, hash, cells) SELECT {table.position}, key, sha256({hashed}), {short} FROM "
        f"(SELECT {', '.join([f'{_key(table)} AS key', *cells])} {before}{joins} WHERE {where} OFFSET 0) r"
    )


def totals(name: str) -> str:
    """Write the query for rows and hash of each table that has rows: in two levels, so that memory stays bounded."""
    parts = (
        "SELECT place, get_byte(hash, 0) AS first, count(*) AS rows, "
        f"sha256(string_agg(hash, ''::bytea ORDER BY hash)) AS hash FROM {name} GROUP BY 1, 2"
    )
    return (
        "SELECT place, sum(rows)::bigint AS rows, encode(sha256(string_agg(hash, ''::bytea ORDER BY first)), 'hex') "
        f"AS hash FROM ({parts}) p GROUP BY place"
    )


def differences(
    before: tuple[str, int], after: tuple[str, int], columns: Sequence[tuple[int, int]], keys: int
) -> tuple[str, str]:
    """Write two queries for what differs between two tables of hashes, each given with the position in it.

    Rows that are equal are paired first, whatever their keys: what is left is paired by key.

    Args:
        before: Table of hashes and position.
        after: The same, later.
        columns: For each column that both sides see: its place on either side.
        keys: How many keys to give at most.

    Returns:
        A query for counts (removed, added, unchanged, changed, then changed in each column) and one for the
        keys: `kind` (`removed`, `added`, `changed`) and an array `keys`.
    """
    sides = [
        f"{side} AS (SELECT *, row_number() OVER (PARTITION BY hash ORDER BY key) AS n FROM {name} "
        f"WHERE place = {place})"
        for side, (name, place) in (("a", before), ("b", after))
    ]
    rest = (
        "l AS (SELECT * FROM a WHERE NOT EXISTS (SELECT FROM b WHERE (b.hash, b.n) = (a.hash, a.n))), "
        "r AS (SELECT * FROM b WHERE NOT EXISTS (SELECT FROM a WHERE (b.hash, b.n) = (a.hash, a.n)))"
    )
    size = CELL_BYTES
    differs = [
        f"substr(l.cells, {own * size + 1}, {size}) <> substr(r.cells, {other * size + 1}, {size})"
        for own, other in columns
    ]
    flags = f"ARRAY[{', '.join(differs)}]::boolean[]"
    paired = (
        f"p AS (SELECT coalesce(l.key, r.key) AS key, CASE WHEN r.hash IS NULL THEN 'removed' "
        f"WHEN l.hash IS NULL THEN 'added' WHEN true = ANY ({flags}) THEN 'changed' ELSE 'same' END AS kind, "
        f"{flags} AS flags FROM l FULL JOIN r ON r.key = l.key)"
    )
    head = f"WITH {', '.join(sides)}, {rest}, {paired}"
    counts = [f"count(*) FILTER (WHERE kind = '{kind}')" for kind in ("removed", "added", "changed", "same")]
    counts[3] += " + (SELECT count(*) FROM a) - (SELECT count(*) FROM l)"
    counts += [f"count(*) FILTER (WHERE kind = 'changed' AND flags[{n + 1}])" for n in range(len(columns))]
    listed = f"(array_agg(key ORDER BY key))[1:{keys}]"
    return (
        f"{head} SELECT ARRAY[{', '.join(counts)}] FROM p",
        f"{head} SELECT kind, {listed} AS keys FROM p WHERE kind <> 'same' AND key IS NOT NULL GROUP BY kind",
    )


def _own(table: TablePlan) -> list[str]:
    """Return the columns that reach a clone: copied, remapped, read by an expression, keys without default."""
    names = [*table.copied, *table.mentioned, *(name for reference in table.references for name in reference.columns)]
    names += [item.column for item in table.polymorphic]
    names += [name for name, kind in table.keys.items() if kind is not KeyKind.DEFAULT]
    return list(dict.fromkeys(names))


def _key(table: TablePlan) -> str:
    """Return what names a row to people and across two fingerprints; NULL where the table has no primary key."""
    parts = [f"m.{ident(name)}::text" for name in table.facts.primary_key]
    return f"concat_ws(', ', {', '.join(parts)})" if parts else "NULL::text"


def _values(plan: ClonePlan, table: TablePlan, files: Mapping[int, Files]) -> dict[str, str]:
    """Return what is seen of a row: label and expression."""
    values = {name: effective(plan, table, name) for name in _own(table)}
    for column, alias, _, result in _outside(table, files):
        values |= {f"{column}.{name}": f"{alias}.{ident(name)}" for name in result.columns}
    return values


def _outside(table: TablePlan, files: Mapping[int, Files]) -> Iterator[tuple[str, str, str, Files]]:
    """Return each reference to a file outside the plan: column, alias, condition of the join, files."""
    for number, key in enumerate(table.facts.foreign_keys):
        value = files.get(key.target)
        if value and set(key.columns) <= set(table.copied):
            alias = f"f{number}"
            pairs = zip(key.target_columns, key.columns, strict=True)
            condition = " AND ".join(f"{alias}.{ident(theirs)} = m.{ident(own)}" for theirs, own in pairs)
            yield key.columns[0], alias, condition, value


def _joins(table: TablePlan, files: Mapping[int, Files]) -> Iterator[str]:
    for _, alias, condition, result in _outside(table, files):
        yield f"LEFT JOIN {result.name} {alias} ON {condition}"
