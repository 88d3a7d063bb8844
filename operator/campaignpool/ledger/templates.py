"""What the application asked about the template."""

from collections.abc import Sequence

from campaignpool.ledger import sql
from campaignpool.ledger.database import Connection


async def answer(connection: Connection, asked: Sequence[int]) -> None:
    """Delete calls of `template_changed` that a comparison has answered, by their ids."""
    await connection.execute(_QUERY["answer"], list(asked))


_QUERY = sql.queries("templates")
