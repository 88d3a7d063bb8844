"""The fingerprint: a hash of everything of the template that reaches a clone.

It sees every row and every column that a clone copies, remaps or reads, each reference as a clone has it, and
the content of files behind references that leave the plan (key, checksum or size of a blob). It does not
see columns that are set, keys that the database draws again, or rows that a filter leaves out.

It is the same after a vacuum, a dump and restore, another order of rows or columns, and an upgrade of the
operator: the algorithm has a name of its own, which is part of every fingerprint. Tables are hashed one by one,
and so is each row, so that `campaignpool.diff` can name what changed.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256

from campaignpool.blueprint.compile.plan import ClonePlan
from campaignpool.blueprint.queries import queries_of
from campaignpool.blueprint.sql import hashes
from campaignpool.blueprint.sql.hashes import Files
from campaignpool.ledger.database import Connection

ALGORITHM = "t1"
"""Name of the algorithm: rows and columns as `blueprint.sql.hashes` has them. Another way to hash gets
another name, and then every pool gets a new revision once."""


@dataclass(frozen=True)
class TablePrint:
    """The fingerprint of one table.

    Attributes:
        table: The table, as the catalog writes it.
        columns: What was seen of its rows, in the order of the cells of `sql.hashes`.
        rows: How many rows a clone has.
        hash: Of the rows, whatever their order.
    """

    table: str
    columns: tuple[str, ...]
    rows: int
    hash: str


@dataclass(frozen=True)
class Fingerprint:
    """The fingerprint of a template, by the position of the table in the plan."""

    tables: tuple[TablePrint, ...]

    @property
    def text(self) -> str:
        """The fingerprint itself: the algorithm's name and a hash, whatever the order of the tables."""
        parts = sorted([table.table, table.columns, table.rows, table.hash] for table in self.tables)
        return f"{ALGORITHM}-{sha256(json.dumps(parts).encode()).hexdigest()}"


def short(text: str) -> str:
    """Return as much of a fingerprint as people read."""
    return text[: len(ALGORITHM) + 13]


async def take(connection: Connection, plan: ClonePlan, into: str, *, temporary: bool = False) -> Fingerprint:
    """Hash the rows that `install.collect` collected, in the same transaction.

    Args:
        connection: In the transaction that collected.
        plan: The clone plan.
        into: Table to make for the hashes of the rows.
        temporary: Whether that table ends with the transaction.
    """
    files = await _files(connection, plan)
    await connection.execute(hashes.create(into, temporary=temporary))
    async with canonical(connection):
        for table in plan.tables:
            await connection.execute(hashes.fill(plan, table, files, into))
    result = {row["place"]: (row["rows"], row["hash"]) for row in await connection.fetch(hashes.totals(into))}
    return Fingerprint(
        tuple(
            TablePrint(table.facts.name, hashes.labels(plan, table, files), *result.get(table.position, (0, "")))
            for table in plan.tables
        )
    )


async def _files(connection: Connection, plan: ClonePlan) -> Mapping[int, Files]:
    """Return the tables outside the plan that hold files, by oid."""
    inside = {table.facts.oid for table in plan.tables}
    outside = {key.target for table in plan.tables for key in table.facts.foreign_keys} - inside
    rows = await connection.fetch(queries_of("fingerprint")["files"], sorted(outside))
    return {row["oid"]: Files(row["name"], tuple(row["columns"])) for row in rows}


@asynccontextmanager
async def canonical(connection: Connection) -> AsyncIterator[None]:
    """Let values have the same text in every session, inside a transaction."""
    queries = queries_of("fingerprint")
    was = await connection.fetch(queries["settings"])
    await connection.execute(queries["canonical"])
    yield
    # Not after an error: the transaction is over then, and the settings with it.
    await connection.execute(queries["restore"], [row["name"] for row in was], [row["value"] for row in was])
