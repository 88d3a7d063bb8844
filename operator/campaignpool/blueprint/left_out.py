"""Tables outside a plan that have rows of the template: by a foreign key to a row that a campaign is made of.

What a revision left out when it was frozen, somebody left out knowingly. A table that had no such rows then may have
been left out only because it was empty.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from campaignpool.blueprint.compile.plan import ClonePlan
from campaignpool.blueprint.queries import queries_of
from campaignpool.blueprint.sql.naming import IN, member
from campaignpool.ledger.database import Connection


@dataclass(frozen=True)
class Referring:
    """A foreign key from a table outside a plan to one of its tables; columns are quoted.

    Attributes:
        oid: Of the table.
        name: Of the table.
        target: Position of the table that it refers to.
    """

    oid: int
    name: str
    target: int
    columns: tuple[str, ...]
    target_columns: tuple[str, ...]


async def candidates(connection: Connection, plan: ClonePlan) -> list[Referring]:
    """Return the foreign keys to tables of a plan, but those of tables into which claims insert."""
    place = {table.facts.oid: table.position for table in plan.tables}
    inserted = {facts.oid for facts in plan.claim_tables}
    rows = await connection.fetch(queries_of("changes")["referring"], list(place))
    return [
        Referring(row["oid"], row["name"], place[row["target"]], tuple(row["columns"]), tuple(row["target_columns"]))
        for row in rows
        if row["oid"] not in inserted
    ]


async def counted(connection: Connection, found: Sequence[Referring]) -> dict[str, int]:
    """Return how many rows of the template these tables have, without those that have none.

    To be called in the transaction in which `install.collect` collected. Of a table with two references, the one by
    which it has most rows counts.
    """
    result: dict[str, int] = {}
    for item in found:
        own, theirs = ", ".join(item.columns), ", ".join(f"m.{name}" for name in item.target_columns)
        keys = f"SELECT {theirs} FROM {member(item.target)} m WHERE m.{IN}"  # noqa: S608 (quoted names)
        rows = await connection.fetchval(f"SELECT count(*) FROM {item.name} t WHERE ({own}) IN ({keys})")  # noqa: S608
        if rows:
            result[item.name] = max(rows, result.get(item.name, 0))
    return result
