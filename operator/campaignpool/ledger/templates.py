"""What the application asked about the template, and what of it could not be put into service."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from campaignpool.ledger import sql
from campaignpool.ledger.database import Connection


@dataclass(frozen=True)
class Refused:
    """A state of the template that could not be put into service.

    Attributes:
        plan_hash: Of blueprint, catalog, template's key and algorithm.
        fingerprint: Of the template's rows, as a comparison with the revision in service found it; empty without one.
        check: What it did not pass, as the spec has it.
        cause: Why, and what helps.
    """

    plan_hash: str
    fingerprint: str
    check: str
    cause: str


async def refuse(connection: Connection, pool: str, refused: Refused) -> None:
    """Record what could not be put into service; the next revision that can be ends this."""
    await connection.execute(_QUERY["refuse"], pool, json.dumps(asdict(refused)))


async def answer(connection: Connection, asked: Sequence[int]) -> None:
    """Delete calls of `template_changed` that a comparison has answered, by their ids."""
    await connection.execute(_QUERY["answer"], list(asked))


_QUERY = sql.queries("templates")
