"""The expected clone of a random schema, computed from its rows alone, and its comparison with a database.

This module uses no code of the compiler. It follows the references between rows to find the template's rows, and it
matches the rows of a clone to them by their tokens.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from tests.support.schema_model import MADE, NUMBER_KEYS, UUID_KEYS, Row, Schema, Table
from tests.support.schema_sql import reference_columns

Content = Mapping[str, list[dict[str, str | None]]]


@dataclass
class Expected:
    """The rows that a clone consists of, by table, and all rows of the template, including the excluded ones."""

    kept: dict[str, list[Row]] = field(default_factory=dict)
    members: set[Row] = field(default_factory=set)

    @property
    def rows(self) -> int:
        """The number of rows of a clone."""
        return sum(map(len, self.kept.values()))


def expected(schema: Schema) -> Expected:
    """Return the rows that a clone consists of."""
    members: set[Row] = {row for row in schema.tables[0].rows if row.campaign == "T"}
    size = 0
    while size != len(members):
        size = len(members)
        for table in schema.tables[1:]:
            members |= {row for row in table.rows if all(anchor in members for anchor in _anchors(table, row))}
    excluded = {row for row in members if not row.keep}
    size = -1
    while size != len(excluded):
        size = len(excluded)
        for table in schema.tables:
            rows = [row for row in table.rows if row in members]
            excluded |= {row for row in rows if any(needed in excluded for needed in _needs(table, row))}
    return Expected(
        {table.name: [row for row in table.rows if row in members - excluded] for table in schema.tables}, members
    )


def _anchors(table: Table, row: Row) -> list[Row | None]:
    return [(row.typed[1] if row.typed else None) if n is None else row.targets[n] for n in table.anchors]


def _needs(table: Table, row: Row) -> list[Row | None]:
    """Return the rows that a row requires."""
    required = [target for n, target in enumerate(row.targets) if not table.refs[n].nullable]
    return [*required, *_anchors(table, row)]


async def content(connection: "asyncpg.Connection[asyncpg.Record]", schema: Schema) -> Content:
    """Return all rows, with every value as text."""
    rows = {}
    for table in schema.tables:
        columns = ", ".join(f"{_q(column.name)}::text AS {_q(column.name)}" for column in table.columns)
        rows[table.name] = [dict(row) for row in await connection.fetch(f"SELECT {columns} FROM {table.sql}")]
    return rows


def differences(schema: Schema, before: Content, after: Content, keys: list[str]) -> list[str]:
    """Return how the rows added between two contents differ from the expected clones with these root keys."""
    wanted = expected(schema)
    problems: list[str] = []
    new: dict[str, list[dict[str, str | None]]] = {}
    for table in schema.tables:
        counts = Counter(map(_frozen, after[table.name]))
        counts.subtract(map(_frozen, before[table.name]))
        problems += [f"{table.name}: an existing row changed: {dict(row)}" for row, n in counts.items() if n < 0]
        new[table.name] = [dict(row) for row, n in counts.items() for _ in range(n)]
    problems += _shared_keys(schema, before, new)
    references = _References(schema, new, before, wanted)
    root = schema.tables[0]
    if sorted(keys) != sorted(str(row[root.primary[0]]) for row in new[root.name]):
        problems.append("the returned keys are not those of the new campaigns")
    counts_by_campaign: dict[str, Counter[tuple[str, str]]] = {key: Counter() for key in keys}
    for table in schema.tables:
        for row in new[table.name]:
            campaign = references.campaign(table, row)
            if campaign not in counts_by_campaign:
                problems.append(f"{table.name}: a new row belongs to no new campaign: {row}")
                continue
            counts_by_campaign[campaign][table.name, str(row["token"])] += 1
            problems += references.differences(table, row, campaign)
    for table in schema.tables:
        problems += _order(table, [(references.campaign(table, row), row) for row in new[table.name]], before, wanted)
    tokens = Counter((name, row.token) for name, rows in wanted.kept.items() for row in rows)
    for key, counts in counts_by_campaign.items():
        if counts != tokens:
            problems.append(f"campaign {key}: lacks {dict(tokens - counts)}, has too many of {dict(counts - tokens)}")
    return problems


def _order(
    table: Table, rows: list[tuple[str | None, dict[str, str | None]]], before: Content, wanted: Expected
) -> list[str]:
    """Return whether the new keys of a table ascend in another order than the template's."""
    held = {name for ref in table.refs for name in ref.columns}
    if table.key not in (*UUID_KEYS, *NUMBER_KEYS, *MADE) or table.primary[-1] in held:
        return []

    def tokens(some: list[dict[str, str | None]]) -> list[str | None]:
        number = table.key in NUMBER_KEYS
        key = table.primary[-1]
        return [
            row["token"] for row in sorted(some, key=lambda row: int(row[key] or 0) if number else row[key] or "")
        ]

    kept = {row.token for row in wanted.kept[table.name]}
    order = tokens([row for row in before[table.name] if row["token"] in kept])
    campaigns = {campaign for campaign, _ in rows}
    result = {campaign: tokens([row for own, row in rows if own == campaign]) for campaign in campaigns}
    return [
        f"{table.name}: the keys of {campaign} are in another order"
        for campaign in result
        if result[campaign] != order
    ]


def _shared_keys(schema: Schema, before: Content, new: Content) -> list[str]:
    """Return the tables in which two rows share a primary key."""
    problems = []
    for table in schema.tables:
        keys = [tuple(row[name] for name in table.primary) for rows in (before, new) for row in rows[table.name]]
        if table.primary and len(set(keys)) != len(keys):
            problems.append(f"{table.name}: two rows share a key")
    return problems


class _References:
    """An index of the new rows by their columns, to follow references from row to row."""

    def __init__(self, schema: Schema, new: Content, before: Content, wanted: Expected) -> None:
        self.schema, self.new, self.before, self.wanted = schema, new, before, wanted
        self.rows = {table.name: {row.token: row for row in table.rows} for table in schema.tables}
        self.old = {name: {str(row["token"]): row for row in rows} for name, rows in before.items()}
        self.index: dict[tuple[str, tuple[str, ...]], dict[tuple[Any, ...], dict[str, str | None]]] = {}

    def find(self, table: Table, columns: tuple[str, ...], values: tuple[str | None, ...]) -> dict[str, Any] | None:
        """Return the new row with these values in `columns`, or None."""
        key = (table.name, columns)
        if key not in self.index:
            self.index[key] = {tuple(row[name] for name in columns): row for row in self.new[table.name]}
        return self.index[key].get(values)

    def campaign(self, table: Table, row: Mapping[str, str | None]) -> str | None:
        """Return the key of the new campaign that a new row belongs to, or None."""
        if table is self.schema.tables[0]:
            return row[table.primary[0]]
        campaigns = set()
        for n in table.anchors:
            target, columns, held = self.resolve(table, row, n)
            parent = self.find(target, held, tuple(row[name] for name in columns)) if target else None
            campaigns.add(self.campaign(target, parent) if target and parent else None)
        return campaigns.pop() if len(campaigns) == 1 else None

    def resolve(
        self, table: Table, row: Mapping[str, str | None], n: int | None
    ) -> tuple[Table | None, tuple[str, ...], tuple[str, ...]]:
        """Return the target table of a reference, its columns, and the columns that it refers to."""
        if n is None:
            assert table.pair
            target = table.pair.targets.get(str(row[table.pair.type]))
            return target, (table.pair.id,), target.primary if target else ()
        return table.refs[n].target, table.refs[n].columns, table.refs[n].target_columns

    def differences(self, table: Table, row: Mapping[str, str | None], campaign: str) -> list[str]:
        """Return how a new row differs from the expected clone of the template's row."""
        token = str(row["token"])
        origin = self.rows[table.name].get(token)
        if origin is None:
            return [f"{table.name}: a row that the template does not have: {row}"]
        was = self.old[table.name][token]
        problems = []
        copied = {column.name for column in table.columns} - reference_columns(table) - {"stamped"}
        targets = list(enumerate(origin.targets))
        every_target: list[tuple[int | None, Row | None]] = [*targets]
        every_target += [(None, origin.typed[1])] if origin.typed else []
        for n, target in every_target:
            problem = self._reference(table, row, was, campaign, n, target)
            problems += [f"{table.name} {token}: {problem}"] if problem else []
        for column in table.columns:
            if column.name in table.sets:
                is_right = self._set(table.sets[column.name], was[column.name], row[column.name], campaign)
                problems += [] if is_right else [f"{table.name} {token}: {column.name} is {row[column.name]}"]
            elif column.name in copied and row[column.name] != was[column.name]:
                problems.append(f"{table.name} {token}: {column.name} was not copied: {row[column.name]}")
        return problems

    def _reference(
        self,
        table: Table,
        row: Mapping[str, str | None],
        was: Mapping[str, str | None],
        campaign: str,
        n: int | None,
        target: Row | None,
    ) -> str | None:
        target_table, columns, held = self.resolve(table, row, n)
        values = tuple(row[name] for name in columns)
        if target_table is None:
            return "its type was not copied"
        kept = target is not None and target in self.wanted.kept[target_table.name]
        if target is None or (target in self.wanted.members and not kept):
            return None if None in values else f"{columns} should be NULL, and is {values}"
        if not kept:
            return (
                None if values == tuple(was[name] for name in columns) else f"{columns} left the template: {values}"
            )
        other = self.find(target_table, held, values)
        if other is None or other["token"] != target.token:
            return f"{columns} should refer to the clone of {target.token}, and is {values}"
        return None if self.campaign(target_table, other) == campaign else f"{columns} refers to another campaign"

    def _set(self, expression: str, was: str | None, now: str | None, campaign: str) -> bool:
        if expression == "NULL":
            return now is None
        if "$id" in expression:
            return now == campaign and now.startswith("made/")
        if expression == "gen_random_uuid()":
            return now is not None and now != was
        return now is not None and was is not None and was in now and campaign in now


def _frozen(row: Mapping[str, str | None]) -> frozenset[tuple[str, str | None]]:
    return frozenset(row.items())


def _q(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
