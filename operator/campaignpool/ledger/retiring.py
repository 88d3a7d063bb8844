"""Retiring and deleting campaigns that nobody claimed."""

import json

from campaignpool.ledger import sql
from campaignpool.ledger.database import Connection
from campaignpool.sqlstates import Kind, Refusal, codes


async def retire(
    connection: Connection, pool: str, owner: str | None, *, keep: int = 0, most: int | None = None
) -> int:
    """Take ready campaigns out of a pool until `keep` are ready; return how many were taken.

    Args:
        connection: To the pool's database.
        pool: `namespace/name` of the resource.
        owner: Whose campaigns; None: of all owners, those that wait for images included.
        keep: How many are to remain. They are counted under the pool's lock, so two operators do not both retire.
        most: How many are taken at most; None: all that are too many. Older revisions come first.
    """
    return int(await connection.fetchval(_QUERY["retire"], pool, owner, keep, most))


async def remove(connection: Connection, pool: str, batch: int) -> int:
    """Delete up to `batch` retiring campaigns with all their rows, in one transaction; return how many."""
    return int(await connection.fetchval(_QUERY["remove"], pool, batch, _PASSING))


async def held(connection: Connection, pool: str) -> dict[str, int]:
    """Return why retiring campaigns could not be deleted, and how many, by cause."""
    result: dict[str, int] = {}
    for row in await connection.fetch(_QUERY["held"], pool):
        refusal = json.loads(row["refusal"])
        raised = refusal.pop("raised")
        cause = Refusal(**refusal).text(raised)
        result[cause] = result.get(cause, 0) + row["campaigns"]
    return result


_PASSING = [*codes(Kind.TRANSIENT), *codes(Kind.OURS), "42501"]
"""SQLSTATEs and classes of errors that say nothing about one campaign."""


_QUERY = sql.queries("retiring")
