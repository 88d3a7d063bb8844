"""Connections to an application's database, and what its errors mean.

The URL comes from a Secret: it never appears in a message, a log or a process list.
"""

import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeAlias

import asyncpg

from campaignpool import sqlstates
from campaignpool.errors import CampaignPoolError, SecretError, UnreachableError

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

CONNECT_SECONDS = 5.0
"""A database that does not answer by then is unreachable for now; the loop comes again."""

STATEMENT_SECONDS = 300
"""Bound of one statement of ours on the server; a batch takes some hundredths of a second a campaign."""

LOCK_SECONDS = 30
"""Bound of a wait for a lock: longer than any claim or batch, shorter than a person's patience."""

KEEPALIVE_SECONDS = 30
"""A peer that is gone is noticed by the server after three probes this far apart, also by the side that waits."""


@asynccontextmanager
async def connected(url: str, application_name: str) -> AsyncIterator[Connection]:
    """Connect for the length of a block.

    Args:
        url: `postgresql://…`.
        application_name: Shows in `pg_stat_activity`; connections are counted by it.

    Raises:
        SecretError: The URL is none.
        CredentialsError: User, password or a right is refused.
        UnreachableError: No answer, or the connection was lost inside the block.
        SeedingError: The data refused a statement of the block.
    """
    connection = await connect(url, application_name)
    try:
        with translated():
            yield connection
    finally:
        await close(connection)


async def close(connection: Connection) -> None:
    """Close a connection, whatever state it is in."""
    try:
        await connection.close(timeout=CONNECT_SECONDS)
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()


async def connect(url: str, application_name: str) -> Connection:
    """Open a connection; the caller closes it. Raises as `connected` does."""
    if not url.startswith(("postgresql://", "postgres://")):
        raise SecretError(
            "the Secret's value is no database URL: write postgresql://user:password@host:5432/database",
            reason="DatabaseUrlInvalid",
        )
    settings = {
        "application_name": application_name[:63],
        "default_transaction_isolation": "read committed",  # whatever the database's or the role's is
        "statement_timeout": f"{STATEMENT_SECONDS}s",
        "lock_timeout": f"{LOCK_SECONDS}s",
        "idle_in_transaction_session_timeout": "60s",
        "tcp_keepalives_idle": str(KEEPALIVE_SECONDS),
        "tcp_keepalives_interval": str(KEEPALIVE_SECONDS),
        "tcp_keepalives_count": "3",
    }
    with translated():
        try:
            return await asyncpg.connect(url, timeout=CONNECT_SECONDS, server_settings=settings)
        except ValueError as error:  # such as a port that is no number
            raise asyncpg.ClientConfigurationError("not a URL") from error


@contextmanager
def translated() -> Iterator[None]:
    """Raise the driver's errors as ours, whose class decides about retries."""
    try:
        yield
    except CampaignPoolError:
        raise
    except Exception as error:
        known = _translate(error)
        if known is None:
            raise
        raise known from error


def _translate(error: Exception) -> CampaignPoolError | None:
    """Return our error for one of the driver's, or None for one that is not about the database."""
    if isinstance(error, asyncpg.PostgresError):
        return sqlstates.translate(error)
    make = next((make for kinds, make in _DRIVER if isinstance(error, kinds)), None)
    return make(error) if make else None


# The first that fits counts: what is special stands before what is general.
_DRIVER: tuple[tuple[tuple[type[Exception], ...], Callable[[Exception], CampaignPoolError]], ...] = (
    (
        (asyncpg.ClientConfigurationError,),
        lambda _: SecretError("the Secret's value cannot be read as a database URL", reason="DatabaseUrlInvalid"),
    ),
    (
        (asyncpg.InterfaceError, asyncpg.InternalClientError),
        lambda _: UnreachableError("the connection to the database was lost, and is opened again"),
    ),
    ((ssl.SSLError,), lambda _: UnreachableError("the database refuses the TLS handshake: check sslmode in the URL")),
    (
        (TimeoutError,),
        lambda _: UnreachableError(
            f"the database does not answer within {CONNECT_SECONDS:.0f} s: check the host and the port in the URL"
        ),
    ),
    ((OSError,), lambda _: UnreachableError("no connection to the database: check the host and the port in the URL")),
)
