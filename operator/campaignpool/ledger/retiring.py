"""Retiring and deleting campaigns that nobody claimed."""

import json

from campaignpool.ledger import sql
from campaignpool.ledger.database import Connection
from campaignpool.sqlstates import Kind, Refusal, codes


async def retire(connection: Connection, pool: str, most: int | None = None) -> int:
    """Take up to `most` campaigns out of a pool, whatever is wanted, older revisions first; return how many.

    Those that wait for images are taken too. None: all of them.
    """
    return int(await connection.fetchval(_QUERY["retire"], pool, most))


async def retire_surplus(connection: Connection, pool: str, keep: int = 0, *, early: bool = False) -> int:
    """Take out of a pool what its owners have too much; return how many. The master pool keeps at least `keep`.

    What others lack is given to them instead, where the blueprint uses `$owner` nowhere. Campaigns are counted under
    the pool's lock, so two operators do not both retire. `early`: outdated ones go instead, before those that replace
    them are made, as many as `minReady` allows.
    """
    return int(await connection.fetchval(_QUERY["retire_surplus"], pool, keep, early))


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
