"""What changed in the template since a revision was frozen: tables and counts, never values.

A comparison reads the template once. Before that, `writes` tells from Postgres' statistics whether anything can have
changed at all.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from campaignpool.blueprint import diff, left_out
from campaignpool.blueprint.check import rolled_back
from campaignpool.blueprint.compilation import Compiled
from campaignpool.blueprint.diff import Side
from campaignpool.blueprint.fingerprint import TablePrint
from campaignpool.blueprint.queries import queries_of
from campaignpool.blueprint.sql import naming
from campaignpool.ledger.database import Connection
from campaignpool.ledger.pools import look_within


@dataclass(frozen=True)
class TableChange:
    """How a table of the template differs from a revision.

    Attributes:
        table: The table, as the catalog writes it.
        before: Rows that the revision has.
        now: Rows that a clone would have now.
        named: Whether the blueprint still names the table.
    """

    table: str
    before: int
    now: int
    added: int
    removed: int
    changed: int
    named: bool = True


@dataclass(frozen=True)
class Changes:
    """How the template stands to a revision.

    Attributes:
        fingerprint: Of the template now.
        tables: Tables of the plan or of the revision whose rows differ.
        left_out: Tables outside the plan that had no rows of the template and have some now, with how many.
        watched: Oids of the tables that all this depends on.
        writes: What `writes` returned for them before the template was read.
    """

    fingerprint: str
    tables: tuple[TableChange, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    watched: tuple[int, ...] = ()
    writes: str | None = None


async def writes(connection: Connection, tables: Sequence[int]) -> str | None:
    """Return what differs once a row of these tables was written; None where the server does not count writes."""
    value: str | None = await connection.fetchval(queries_of("changes")["writes"], list(tables))
    return value


@dataclass(frozen=True)
class State:
    """What differs once anything has changed that a loop of a pool reads in its database.

    Attributes:
        at: By the database's clock.
        ledger: Of the pool in its ledger; None where it has none.
        catalog: Of the database; None where the server does not count writes.
        writes: As `writes` returns it.
    """

    at: datetime
    ledger: str | None
    catalog: str | None
    writes: str | None


async def state(connection: Connection, pool: str, tables: Sequence[int], resync_seconds: float) -> State:
    """Return the state of a pool, whose clones depend on these tables, in one statement."""
    written = queries_of("changes")["writes"].replace("$1", "$3").strip().removesuffix(";")
    query = f"SELECT s.at, s.ledger, s.catalog, ({written}) AS writes FROM campaign_pool.state_of($1, $2) s"  # noqa: S608
    row = await connection.fetchrow(query, pool, look_within(resync_seconds), list(tables))
    if row is None:
        raise LookupError("a function that returns a row has returned none")
    return State(row["at"], row["ledger"], row["catalog"] or None, row["writes"])


async def compare(connection: Connection, compiled: Compiled, revision: int) -> Changes:
    """Compare the template of now, as the compiled blueprint has it, with a revision that is kept."""
    row = await connection.fetchrow(queries_of("changes")["revision"], revision)
    if row is None:
        raise LookupError(f"there is no revision {revision}")
    tables = tuple(
        TablePrint(item["table"], tuple(item["columns"]), item["rows"], item["hash"])
        for item in json.loads(row["tables"])
    )
    ignored = set(row["left_out"])
    unknown = [item for item in await left_out.candidates(connection, compiled.plan) if item.name not in ignored]
    inside = [table.facts.oid for table in compiled.plan.tables]
    files = [key.target for table in compiled.plan.tables for key in table.facts.foreign_keys]
    watched = tuple(sorted({*inside, *files, *(item.oid for item in unknown)}))
    # Before the transaction's snapshot is taken: what is written after it shows in the next answer of `writes`.
    written = await writes(connection, watched)
    async with rolled_back(connection):
        now = await diff.of_template(connection, compiled)
        before = Side("", row["fingerprint"], tables, naming.rows(revision))
        counts = await left_out.counted(connection, unknown)
        changed = await diff.compare(connection, before, now) if now.fingerprint != before.fingerprint else None
    return Changes(now.fingerprint, tuple(_changed(changed)) if changed else (), counts, watched, written)


def _changed(result: diff.Diff) -> list[TableChange]:
    before = {item.table: item.rows for item in result.before.tables}
    now = {item.table: item.rows for item in result.after.tables}
    return [
        TableChange(
            item.table,
            before.get(item.table, 0),
            now.get(item.table, 0),
            item.counts["added"],
            item.counts["removed"],
            item.counts["changed"],
            item.table in now,
        )
        for item in result.tables
        if item.differs
    ]
