"""What changed between two fingerprints: tables, rows added, removed and changed, and in which columns.

Either side is a revision that the ledger still keeps, or the template of now, hashed in the caller's
transaction. Values are never shown: only keys, names of columns and counts.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from campaignpool.api.blueprint import Blueprint
from campaignpool.blueprint import install
from campaignpool.blueprint.compilation import Compiled
from campaignpool.blueprint.fingerprint import Fingerprint, TablePrint, short, take
from campaignpool.blueprint.queries import queries_of
from campaignpool.blueprint.sql import hashes, naming
from campaignpool.errors import ConfigurationError
from campaignpool.ledger.database import Connection

KEYS = 5
"""How many keys of rows are named for each kind of change."""

NOW = "template"
"""Names the template of now, where a revision or a fingerprint may stand."""

_HERE = "pg_temp.campaignpool_rows"


@dataclass(frozen=True)
class Revision:
    """A revision as the ledger has it.

    Attributes:
        number: Its number.
        fingerprint: Of the template it was made from.
        template: Key of the template's row.
        blueprint: What it was compiled from.
        tables: The fingerprint of each table, by the position in the plan.
        installed_at: When it was installed.
        kept: Whether the hashes of its rows still exist.
    """

    number: int
    fingerprint: str
    template: str
    blueprint: Blueprint
    tables: tuple[TablePrint, ...]
    installed_at: datetime
    kept: bool


@dataclass(frozen=True)
class Side:
    """One side of a comparison: what it is called, its fingerprint, and the table that holds its hashes."""

    label: str
    fingerprint: str
    tables: tuple[TablePrint, ...]
    rows: str


@dataclass(frozen=True)
class TableDiff:
    """What changed in one table.

    Attributes:
        table: The table, as the catalog writes it.
        counts: Rows `added`, `removed`, `changed` and `same`.
        columns: For each column with changes: in how many rows.
        keys: Up to `KEYS` keys of the rows added, removed and changed.
        seen: Columns that only the later side sees, of the schema or the blueprint as in RE2.
        unseen: Columns that only the earlier side sees.
    """

    table: str
    counts: Mapping[str, int]
    columns: Mapping[str, int]
    keys: Mapping[str, tuple[str, ...]]
    seen: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether anything changed."""
        return any(self.counts[kind] for kind in _KINDS) or bool(self.seen or self.unseen)


@dataclass(frozen=True)
class Diff:
    """What changed from one side to the other, for every table of either."""

    before: Side
    after: Side
    tables: tuple[TableDiff, ...]


_KINDS = ("added", "removed", "changed")


async def revisions(connection: Connection, pool: str) -> list[Revision]:
    """Return the revisions of a pool, the current one first.

    Raises:
        ConfigurationError: The database has no ledger, no such pool, or the pool has no revision.
    """
    queries = queries_of("diff")
    if not await connection.fetchval(queries["has_ledger"]):
        raise ConfigurationError("the database has no schema campaign_pool: the operator has not run here")
    rows = await connection.fetch(queries["revisions"], pool)
    if not rows:
        names = ", ".join(await connection.fetchval(queries["pools"])) or "none"
        raise ConfigurationError(f"the ledger has no revision of a pool {pool}: name one of its pools ({names})")
    return [
        Revision(
            row["id"],
            row["fingerprint"],
            row["template"],
            Blueprint.model_validate_json(row["blueprint"]),
            tuple(
                TablePrint(load["table"], tuple(load["columns"]), load["rows"], load["hash"])
                for load in json.loads(row["tables"])
            ),
            row["installed_at"],
            row["kept"],
        )
        for row in rows
    ]


def choose(found: Sequence[Revision], wanted: str) -> Revision:
    """Return the revision that a number or the beginning of a fingerprint means.

    Raises:
        ConfigurationError: None does, more than one does, or its hashes are gone.
    """
    if wanted.isdecimal():
        matches = [item for item in found if item.number == int(wanted)]
    else:
        matches = [item for item in found if item.fingerprint.startswith(wanted)]
    kept = [match for match in matches if match.kept]
    existing = ", ".join(f"{item.number} ({short(item.fingerprint)})" for item in found if item.kept) or "none"
    if not matches:
        raise ConfigurationError(f"no revision of the pool is {wanted}: name one that is kept: {existing}")
    if not kept:
        raise ConfigurationError(
            f"revision {wanted} was dropped, for nothing needs it: name one that is kept: {existing}"
        )
    if len({item.fingerprint for item in kept}) > 1:
        raise ConfigurationError(f"{wanted} begins more than one fingerprint: write more of it: {existing}")
    return kept[0]


def of_revision(revision: Revision) -> Side:
    """Return a revision as a side of a comparison."""
    label = f"revision {revision.number} of {revision.installed_at:%Y-%m-%d %H:%M}"
    return Side(label, revision.fingerprint, revision.tables, naming.rows(revision.number))


async def of_template(connection: Connection, compiled: Compiled) -> Side:
    """Hash the template of now, into a temporary table of the caller's transaction."""
    await install.collect(connection, compiled.plan, compiled.template)
    result: Fingerprint = await take(connection, compiled.plan, _HERE, temporary=True)
    return Side("the template now", result.text, result.tables, _HERE)


async def compare(connection: Connection, before: Side, after: Side) -> Diff:
    """Compare two sides, table by table; tables whose hash and columns are equal cost nothing."""
    old = {item.table: (place, item) for place, item in enumerate(before.tables)}
    new = {item.table: (place, item) for place, item in enumerate(after.tables)}
    results = [
        await _compare_table(connection, before, after, old.get(table), new.get(table))
        for table in dict.fromkeys([*old, *new])
    ]
    return Diff(before, after, tuple(results))


async def _compare_table(
    connection: Connection,
    before: Side,
    after: Side,
    old: tuple[int, TablePrint] | None,
    new: tuple[int, TablePrint] | None,
) -> TableDiff:
    table = (old or new or (0, TablePrint("", (), 0, "")))[1].table
    # A position that no row has stands for a table that the side does not know.
    was_at, was = old or (-1, TablePrint(table, new[1].columns if new else (), 0, ""))
    is_at, now = new or (-1, TablePrint(table, was.columns, 0, ""))
    if (was.columns, was.rows, was.hash) == (now.columns, now.rows, now.hash):
        return TableDiff(table, {"added": 0, "removed": 0, "changed": 0, "same": was.rows}, {}, {})
    shared = [name for name in was.columns if name in now.columns]
    places = [(was.columns.index(name), now.columns.index(name)) for name in shared]
    count, listed = hashes.differences((before.rows, was_at), (after.rows, is_at), places, KEYS)
    removed, added, changed, same, *cells = await connection.fetchval(count)
    keys = {row["kind"]: tuple(row["keys"]) for row in await connection.fetch(listed)}
    return TableDiff(
        table,
        {"added": added, "removed": removed, "changed": changed, "same": same},
        {name: number for name, number in zip(shared, cells, strict=True) if number},
        keys,
        tuple(name for name in now.columns if name not in was.columns),
        tuple(name for name in was.columns if name not in now.columns),
    )


def words(diff: Diff) -> list[str]:
    """Return it as a person reads it."""
    lines = [f"from {diff.before.label}, {short(diff.before.fingerprint)}"]
    lines.append(f"to   {diff.after.label}, {short(diff.after.fingerprint)}")
    lines.append("")
    same = 0
    for table in diff.tables:
        if not table.differs:
            same += 1
            continue
        counts = [f"{table.counts[kind]:,} {kind}" for kind in _KINDS if table.counts[kind]]
        rows = f"{', '.join(counts)}, {table.counts['same']:,} as before" if counts else "no row changed"
        lines.append(f"{table.table}: {rows}")
        if table.columns:
            changed = ", ".join(f"{name} in {number:,}" for name, number in table.columns.items())
            lines.append(f"    columns changed: {changed}")
        for kind in _KINDS:
            if keys := table.keys.get(kind):
                additional = table.counts[kind] - len(keys)
                lines.append(f"    {kind}: {', '.join(keys)}{f' and {additional:,} more' if additional > 0 else ''}")
        lines += [f"    columns new in a clone: {', '.join(table.seen)}"] if table.seen else []
        lines += [f"    columns no longer in a clone: {', '.join(table.unseen)}"] if table.unseen else []
    if same == len(diff.tables):
        lines.append(f"nothing changed in {same:,} tables")
    elif same:
        lines.append("1 other table is as it was" if same == 1 else f"{same:,} other tables are as they were")
    return lines


def as_json(diff: Diff) -> dict[str, Any]:
    """Return it for machines."""
    sides = {"from": diff.before, "to": diff.after}
    return {
        **{name: {"label": side.label, "fingerprint": side.fingerprint} for name, side in sides.items()},
        "equal": not any(table.differs for table in diff.tables),
        "tables": [
            {
                "table": table.table,
                **table.counts,
                "columns": dict(table.columns),
                "keys": {kind: list(keys) for kind, keys in table.keys.items()},
                "newColumns": list(table.seen),
                "goneColumns": list(table.unseen),
            }
            for table in diff.tables
        ],
    }
