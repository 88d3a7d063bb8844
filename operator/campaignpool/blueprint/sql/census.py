"""SQL by which discovery looks at a database. It only reads, and makes no table, not even a temporary one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from campaignpool.blueprint.catalog import TableFacts
from campaignpool.blueprint.compile.keys import INTEGERS
from campaignpool.blueprint.quote import ident, literal
from campaignpool.blueprint.sql.snapshot import exclusive

IDS = 200
"""How many ids are looked up to tell which table they are keys of."""

_SAMPLED_ROWS = 500
_UUID = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_WORD = "[0-9A-Za-z_-]{16,40}"
"""What text keys look like that an application makes: cuid, ULID, KSUID, nanoid."""


@dataclass(frozen=True)
class Hang:
    """One way in which rows of a table belong to rows of another.

    Attributes:
        columns: The columns that refer.
        target: Oid of the table they refer to.
        target_columns: What they hold.
        required: Whether none of the columns can be NULL.
        type_column: Of a polymorphic reference: the column that names the type; else empty.
        type_name: The name of the type that means the target.
        type: Of a polymorphic reference: the type of the id column.
    """

    columns: tuple[str, ...]
    target: int
    target_columns: tuple[str, ...]
    required: bool
    type_column: str = ""
    type_name: str = ""
    type: str = ""


@dataclass(frozen=True)
class Reached:
    """A table that belongs to the root, directly or not.

    Attributes:
        facts: The table.
        hangs: By which all of its rows of a campaign are found; empty for the root alone.
        loose: Whether nothing but nullable columns ties it to the campaign, any of which is enough.
    """

    facts: TableFacts
    hangs: tuple[Hang, ...] = ()
    loose: bool = False

    @property
    def is_root(self) -> bool:
        """Whether it is the table of the campaigns."""
        return not self.hangs


def branches(reached: Mapping[int, Reached], oid: int, template: str, depth: int = 0) -> list[str]:
    """Return conditions on `t<depth>` that are exclusive and together hold for the template's rows of a table."""
    table = reached[oid]
    if table.is_root:
        key = table.facts.column[table.facts.primary_key[0]]
        return [f"t{depth}.{ident(key.name)} = CAST({literal(template)} AS {key.base})"]
    plain = [_within(reached, hang, template, depth) for hang in table.hangs if not hang.type_column]
    if plain and table.loose:
        return exclusive(plain)
    if plain:
        return [" AND ".join(plain)]
    return [_within(reached, hang, template, depth) for hang in table.hangs]


def _within(reached: Mapping[int, Reached], hang: Hang, template: str, depth: int) -> str:
    target = reached[hang.target]
    own = ", ".join(f"t{depth}.{ident(name)}" for name in hang.columns)
    below = depth + 1
    keys = ", ".join(f"CAST(t{below}.{ident(name)} AS {hang.type})" for name in hang.target_columns)
    if not hang.type:
        keys = ", ".join(f"t{below}.{ident(name)}" for name in hang.target_columns)
    inner = " OR ".join(f"({branch})" for branch in branches(reached, hang.target, template, below))
    typed = f"t{depth}.{ident(hang.type_column)} = {literal(hang.type_name)} AND " if hang.type_column else ""
    return f"{typed}({own}) IN (SELECT {keys} FROM {target.facts.name} t{below} WHERE {inner})"


def unanchored(reached: Mapping[int, Reached], oid: int, template: str) -> tuple[list[str], str] | None:
    """Return the query that counts rows which a NULL keeps out of the campaign, and the columns that tie them to it.

    None where there can be none. What a blueprint finds of them is `snapshot.unanchored`.
    """
    table = reached[oid]
    able = [n for hang in table.hangs for n in hang.columns if not table.facts.column[n].not_null]
    anchors = {(hang.columns, hang.target) for hang in table.hangs}
    others = [
        Hang(key.columns, key.target, key.target_columns, required=False)
        for key in table.facts.foreign_keys
        if key.target in reached and (key.columns, key.target) not in anchors
    ]
    if not able or not others:
        return None
    word = " AND " if table.loose else " OR "
    null = word.join(f"t0.{ident(name)} IS NULL" for name in able)
    names = [name for hang in others if hang.target != oid for name in hang.columns]
    return names, f"{tied(reached, table.facts, others, template)} AND ({null})"


def tied(reached: Mapping[int, Reached], table: TableFacts, hangs: Iterable[Hang], template: str) -> str:
    """Write the query that counts rows of a table which refer to the template by any of some references."""
    conditions = " OR ".join(f"({_within(reached, hang, template, 0)})" for hang in hangs)
    return f"SELECT count(*) FROM {table.name} t0 WHERE ({conditions})"


def census(table: TableFacts, condition: str, kept: str | None) -> str:
    """Write the query that counts a table's rows under a condition: all, kept, true and not NULL by column."""
    columns = [ident(column.name) for column in table.columns]
    flags = [f"count(*) FILTER (WHERE t0.{ident(c.name)})" for c in table.columns if c.type == "boolean"]
    counts = ["count(*)", f"count(*) FILTER (WHERE {kept})" if kept else "count(*)"]
    counts += [*flags, *(f"count(t0.{column})" for column in columns)]
    return f"SELECT ARRAY[{', '.join(counts)}] FROM {table.name} t0 WHERE {condition}"


def total(table: TableFacts) -> str:
    """Write the query that counts all rows of a table."""
    return f"SELECT count(*) FROM {table.name}"


def like_the_template(root: TableFacts, template: str) -> str:
    """Write the query that counts, for each boolean of the root, the other rows that hold the template's value."""
    key = root.column[root.primary_key[0]]
    flags = [ident(column.name) for column in root.columns if column.base == "boolean"]
    counts = [f"count(*) FILTER (WHERE o.{name} IS NOT DISTINCT FROM t.{name})" for name in flags]
    return (
        f"SELECT ARRAY[count(*)::bigint, {', '.join(counts) or 'NULL'}] FROM {root.name} t "
        f"JOIN {root.name} o ON o.{ident(key.name)} <> t.{ident(key.name)} "
        f"WHERE t.{ident(key.name)} = CAST({literal(template)} AS {key.base})"
    )


def types(table: TableFacts, type_column: str) -> str:
    """Write the query for the names of types in a column, by an index that begins with it where there is one."""
    column = ident(type_column)
    if not any(index.columns[:1] == (type_column,) and not index.predicate for index in table.indexes):
        return f"SELECT DISTINCT {column}::text AS name FROM {table.name} WHERE {column} IS NOT NULL LIMIT 100"
    # Jump from one name to the next, instead of reading the whole index.
    first = f"SELECT min({column}) AS name FROM {table.name}"
    following = (
        f"SELECT (SELECT min({column}) FROM {table.name} WHERE {column} > f.name) FROM f WHERE f.name IS NOT NULL"
    )
    return (
        f"WITH RECURSIVE f AS ({first} UNION ALL {following}) "
        "SELECT name::text FROM f WHERE name IS NOT NULL LIMIT 100"
    )


def ids(table: TableFacts, type_column: str, id_column: str) -> str:
    """Write the query for some ids that stand beside a type, given as $1."""
    kind = table.column[type_column].base
    return (
        f"SELECT DISTINCT {ident(id_column)}::text AS id FROM (SELECT {ident(id_column)} FROM {table.name} "
        f"WHERE {ident(type_column)} = CAST($1::text AS {kind}) AND {ident(id_column)} IS NOT NULL "
        f"LIMIT {10 * _SAMPLED_ROWS}) s LIMIT {IDS}"
    )


def sampled(table: TableFacts, column: str) -> str:
    """Write the query for some values of a column."""
    name = ident(column)
    rows = f"SELECT {name}::text AS id FROM {table.name} WHERE {name} IS NOT NULL LIMIT {10 * _SAMPLED_ROWS}"
    return f"SELECT DISTINCT id FROM ({rows}) s LIMIT {IDS}"


def known(table: TableFacts) -> str:
    """Write the query for how many of some texts, given as $1, are keys of a table."""
    key = table.column[table.primary_key[0]]
    return f"SELECT count(*) FROM {table.name} WHERE {ident(key.name)} = ANY (CAST($1::text[] AS {key.base}[]))"


def key_of(tables: Sequence[TableFacts]) -> str:
    """Write the query for how many of some ids, given as $1, are keys of each table; `table` is its place."""
    parts = [
        f"SELECT {place} AS place, count(*) AS hits FROM {table.name} WHERE {ident(key.name)} "
        f"= ANY (CAST($1::text[] AS {'bigint' if key.base in INTEGERS else key.base}[]))"
        for place, table in enumerate(tables)
        for key in (table.column[table.primary_key[0]],)
    ]
    return " UNION ALL ".join(parts)


def content_types(table: TableFacts) -> str:
    """Write the query for the names of Django's content types."""
    return f"SELECT id::text AS id, app_label || '.' || model AS label FROM {table.name}"


def most_frequent(table: TableFacts, column: str) -> str:
    """Write the query for the most frequent value of a column among some rows, if it is half of them."""
    name = ident(column)
    rows = f"SELECT {name}::text AS v FROM {table.name} LIMIT {10 * _SAMPLED_ROWS}"
    return (
        f"SELECT v FROM (SELECT v, count(*) AS n, sum(count(*)) OVER () AS every FROM ({rows}) s GROUP BY v) g "
        "WHERE 2 * n >= every AND length(v) <= 40 ORDER BY n DESC, v LIMIT 1"
    )


def values(table: TableFacts, column: str, conditions: Iterable[str], *, inside: bool, texts: bool = False) -> str:
    """Write the query for some values of a column of the template's rows.

    Args:
        table: The table.
        column: The column.
        conditions: They select the template's rows.
        inside: Return the ids inside of its text instead of whole values.
        texts: Of these, also words that may be text keys.
    """
    rows = " UNION ALL ".join(
        f"SELECT t0.{ident(column)}::text AS v FROM {table.name} t0 "
        f"WHERE t0.{ident(column)} IS NOT NULL AND ({condition})"
        for condition in conditions
    )
    sample = f"(SELECT v FROM ({rows}) r LIMIT {_SAMPLED_ROWS}) s"
    if not inside:
        return f"SELECT DISTINCT v AS id FROM {sample} LIMIT {IDS}"
    pattern = f"({_UUID}|{_WORD})" if texts else f"({_UUID})"
    value = f"CASE WHEN m[1] ~ '^{_UUID}$' THEN lower(m[1]) ELSE m[1] END"
    # Case matters, whatever the collation of the column.
    return (
        f"SELECT DISTINCT {value} AS id FROM {sample}, "
        f"regexp_matches(v COLLATE \"C\", '{pattern}', 'g') m LIMIT {IDS}"
    )
