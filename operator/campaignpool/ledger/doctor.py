"""What `campaignpool doctor` reads of a server and of its ledger; nothing is written."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias, cast

from campaignpool.ledger import migrate, sql
from campaignpool.ledger.database import Connection

Standing: TypeAlias = Literal["absent", "older", "current", "newer", "different"]
Language: TypeAlias = Literal["absent", "forbidden", "usable"]


@dataclass(frozen=True)
class Server:
    """The server and this session.

    Attributes:
        version: As a number, 170002 for 17.2.
        role: Whose session it is.
        standby: It takes no changes.
        now: By its clock.
        tls: Version of TLS; None for a session in clear text.
        local: It is on this machine.
    """

    version: int
    version_text: str
    role: str
    standby: bool
    now: datetime
    tls: str | None
    local: bool


@dataclass(frozen=True)
class Role:
    """A role that the ledger creates to be granted; `members` are the roles that it was granted to."""

    name: str
    present: bool
    granted: bool
    members: int


@dataclass(frozen=True)
class PoolRow:
    """A pool in the ledger.

    Attributes:
        look_by: The operator reads the resource again before this time.
        unseen: That time has passed.
        deleted: Its deletion has begun.
        unclaimed: Campaigns that nobody claimed.
        revisions: Revisions with tables and functions.
    """

    pool: str
    uid: str
    max_connections: int
    look_by: datetime
    unseen: bool
    deleted: bool
    unclaimed: int
    revisions: int


@dataclass(frozen=True)
class Halted:
    """A pool whose last runs failed, with the cause of the last of them."""

    pool: str
    failures: int
    cause: str


async def server(connection: Connection) -> Server:
    """Return what is known of the server and of this session."""
    row = await connection.fetchrow(_QUERY["server"])
    if row is None:
        raise AssertionError("the query returns one row")
    return Server(**row)


async def standing(connection: Connection) -> Standing:
    """Return how the ledger's version compares with this program's."""
    if not await connection.fetchval(_QUERY["ledger"]):
        return "absent"
    wanted, row = sql.schema(), await connection.fetchrow(_QUERY["release"])
    if row is None:
        raise AssertionError("the query returns one row")
    versions = json.loads(row["versions"] or "{}")
    ours = {str(number): file.checksum for number, file in enumerate(wanted.versions, 1)}
    if any(versions[number] != ours.get(number, versions[number]) for number in versions):
        return "different"
    if row["release"] > wanted.release or versions.keys() > ours.keys():
        return "newer"
    return "current" if await migrate.is_current(connection) else "older"


async def language(connection: Connection) -> Language:
    """Return whether this role may write functions in PL/pgSQL."""
    return cast("Language", await connection.fetchval(_QUERY["language"]))


async def roles(connection: Connection) -> list[Role]:
    """Return the roles of applications and seeders."""
    return [Role(**row) for row in await connection.fetch(_QUERY["roles"])]


async def connections(connection: Connection) -> tuple[int, int]:
    """Return how many connections the server takes, and how many more this role can open now."""
    row = await connection.fetchrow(_QUERY["connections"])
    if row is None:
        raise AssertionError("the query returns one row")
    return row["most"], row["free"]


async def pools(connection: Connection) -> list[PoolRow]:
    """Return all pools, those included whose resource is gone."""
    return [PoolRow(**row) for row in await connection.fetch(_QUERY["pools"])]


async def halted(connection: Connection, failures: int) -> list[Halted]:
    """Return the pools of which so many runs failed in a row."""
    return [Halted(**row) for row in await connection.fetch(_QUERY["halted"], failures)]


async def keeps_session(connection: Connection, other: Connection) -> bool:
    """Return whether a connection stays with one session of the server, also while another one is used.

    Where a pooler assigns sessions by transaction, `other` takes over the session that `connection` has just used.
    """
    before = await connection.fetchval(_QUERY["pid"])
    async with other.transaction():
        taken = await other.fetchval(_QUERY["pid"])
        return before not in (taken, None) and before == await connection.fetchval(_QUERY["pid"])


_QUERY = sql.queries("doctor")
