"""What a clone of a drawn schema must be, from its rows alone, and whether a database has exactly that.

Nothing of the compiler is used here: which rows are part of the template is walked from the rows' own pointers, and
a clone's rows are found and compared by their tokens, following the references from row to row.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from tests.support.drawn_sql import used
from tests.support.tables import Row, Schema, Table

Content = Mapping[str, list[dict[str, str | None]]]


@dataclass
class Expected:
    """What a clone consists of: by table, the rows; and all rows that are the template's, copied or not."""

    kept: dict[str, list[Row]] = field(default_factory=dict)
    member: set[Row] = field(default_factory=set)

    @property
    def rows(self) -> int:
        """How many rows a clone has."""
        return sum(map(len, self.kept.values()))


def expected(schema: Schema) -> Expected:
    """Say what a clone consists of."""
    member: set[Row] = {row for row in schema.tables[0].rows if row.campaign == "T"}
    size = 0
    while size != len(member):
        size = len(member)
        for table in schema.tables[1:]:
            member |= {row for row in table.rows if all(each in member for each in _anchors(table, row))}
    out = {row for row in member if not row.keep}
    size = -1
    while size != len(out):
        size = len(out)
        for table in schema.tables:
            out |= {row for row in table.rows if row in member and any(each in out for each in _needs(table, row))}
    return Expected(
        {table.name: [row for row in table.rows if row in member - out] for table in schema.tables}, member
    )


def _anchors(table: Table, row: Row) -> list[Row | None]:
    return [(row.typed[1] if row.typed else None) if n is None else row.targets[n] for n in table.anchors]


def _needs(table: Table, row: Row) -> list[Row | None]:
    """Give what a row cannot be without."""
    required = [target for n, target in enumerate(row.targets) if not table.refs[n].nullable]
    return [*required, *_anchors(table, row)]


async def content(connection: "asyncpg.Connection[asyncpg.Record]", schema: Schema) -> Content:
    """Read all rows, every value as text."""
    found = {}
    for table in schema.tables:
        columns = ", ".join(f"{_q(column.name)}::text AS {_q(column.name)}" for column in table.columns)
        found[table.name] = [dict(row) for row in await connection.fetch(f"SELECT {columns} FROM {table.sql}")]
    return found


def faults(schema: Schema, before: Content, after: Content, keys: list[str]) -> list[str]:
    """Give what is wrong with the clones that stand between two contents; `keys` are those of their roots."""
    wanted = expected(schema)
    found: list[str] = []
    new: dict[str, list[dict[str, str | None]]] = {}
    for table in schema.tables:
        counts = Counter(map(_frozen, after[table.name]))
        counts.subtract(map(_frozen, before[table.name]))
        found += [f"{table.name}: a row that was there changed: {dict(row)}" for row, n in counts.items() if n < 0]
        new[table.name] = [dict(row) for row, n in counts.items() for _ in range(n)]
    found += _shared(schema, before, new)
    walk = _Walk(schema, new, before, wanted)
    root = schema.tables[0]
    if sorted(keys) != sorted(str(row[root.primary[0]]) for row in new[root.name]):
        found.append("the keys that were given are not those of the new campaigns")
    per: dict[str, Counter[tuple[str, str]]] = {key: Counter() for key in keys}
    for table in schema.tables:
        for row in new[table.name]:
            campaign = walk.campaign(table, row)
            if campaign not in per:
                found.append(f"{table.name}: a new row hangs on no new campaign: {row}")
                continue
            per[campaign][table.name, str(row["token"])] += 1
            found += walk.differences(table, row, campaign)
    tokens = Counter((name, row.token) for name, rows in wanted.kept.items() for row in rows)
    for key, made in per.items():
        if made != tokens:
            found.append(f"campaign {key}: lacks {dict(tokens - made)}, has too many of {dict(made - tokens)}")
    return found


def _shared(schema: Schema, before: Content, new: Content) -> list[str]:
    """Give keys that two campaigns share."""
    found = []
    for table in schema.tables:
        keys = [tuple(row[name] for name in table.primary) for rows in (before, new) for row in rows[table.name]]
        if table.primary and len(set(keys)) != len(keys):
            found.append(f"{table.name}: two rows share a key")
    return found


class _Walk:
    """The new rows, found by what refers to them."""

    def __init__(self, schema: Schema, new: Content, before: Content, wanted: Expected) -> None:
        self.schema, self.new, self.before, self.wanted = schema, new, before, wanted
        self.rows = {table.name: {row.token: row for row in table.rows} for table in schema.tables}
        self.old = {name: {str(row["token"]): row for row in rows} for name, rows in before.items()}
        self.index: dict[tuple[str, tuple[str, ...]], dict[tuple[Any, ...], dict[str, str | None]]] = {}

    def found(self, table: Table, columns: tuple[str, ...], values: tuple[str | None, ...]) -> dict[str, Any] | None:
        """Give the new row of a table that has some values."""
        place = (table.name, columns)
        if place not in self.index:
            self.index[place] = {tuple(row[name] for name in columns): row for row in self.new[table.name]}
        return self.index[place].get(values)

    def campaign(self, table: Table, row: Mapping[str, str | None]) -> str | None:
        """Give the key of the new campaign that a new row is part of."""
        if table is self.schema.tables[0]:
            return row[table.primary[0]]
        campaigns = set()
        for n in table.anchors:
            target, columns, held = self.place(table, row, n)
            up = self.found(target, held, tuple(row[name] for name in columns)) if target else None
            campaigns.add(self.campaign(target, up) if target and up else None)
        return campaigns.pop() if len(campaigns) == 1 else None

    def place(
        self, table: Table, row: Mapping[str, str | None], n: int | None
    ) -> tuple[Table | None, tuple[str, ...], tuple[str, ...]]:
        """Give the table that a reference points at, the columns that hold it, and what they hold."""
        if n is None:
            assert table.pair
            target = table.pair.targets.get(str(row[table.pair.type]))
            return target, (table.pair.id,), target.primary if target else ()
        return table.refs[n].target, table.refs[n].columns, table.refs[n].target_columns

    def differences(self, table: Table, row: Mapping[str, str | None], campaign: str) -> list[str]:
        """Give how a new row differs from what the template's row makes it."""
        token = str(row["token"])
        origin = self.rows[table.name].get(token)
        if origin is None:
            return [f"{table.name}: a row that the template does not have: {row}"]
        was = self.old[table.name][token]
        found = []
        targets = list(enumerate(origin.targets))
        every: list[tuple[int | None, Row | None]] = [*targets]
        every += [(None, origin.typed[1])] if origin.typed else []
        for n, target in every:
            fault = self._reference(table, row, was, campaign, n, target)
            found += [f"{table.name} {token}: {fault}"] if fault else []
        for column in table.columns:
            if column.name in table.sets:
                good = self._set(table.sets[column.name], was[column.name], row[column.name], campaign)
                found += [] if good else [f"{table.name} {token}: {column.name} is {row[column.name]}"]
            elif column.name not in used(table) and row[column.name] != was[column.name]:
                found.append(f"{table.name} {token}: {column.name} was not copied: {row[column.name]}")
        return found

    def _reference(
        self,
        table: Table,
        row: Mapping[str, str | None],
        was: Mapping[str, str | None],
        campaign: str,
        n: int | None,
        target: Row | None,
    ) -> str | None:
        where, columns, held = self.place(table, row, n)
        values = tuple(row[name] for name in columns)
        if where is None:
            return "its type was not copied"
        kept = target is not None and target in self.wanted.kept[where.name]
        if target is None or (target in self.wanted.member and not kept):
            return None if None in values else f"{columns} should be NULL, and is {values}"
        if not kept:
            return (
                None if values == tuple(was[name] for name in columns) else f"{columns} left the template: {values}"
            )
        other = self.found(where, held, values)
        if other is None or other["token"] != target.token:
            return f"{columns} should point at the clone of {target.token}, and is {values}"
        return None if self.campaign(where, other) == campaign else f"{columns} points into another campaign"

    def _set(self, expression: str, was: str | None, now: str | None, campaign: str) -> bool:
        if expression == "NULL":
            return now is None
        if expression == "gen_random_uuid()":
            return now is not None and now != was
        return now is not None and was is not None and was in now and campaign in now


def _frozen(row: Mapping[str, str | None]) -> frozenset[tuple[str, str | None]]:
    return frozenset(row.items())


def _q(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
