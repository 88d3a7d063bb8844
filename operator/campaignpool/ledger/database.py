"""Connections to an application's database, and what its errors mean.

The URL comes from a Secret: it never appears in a message, a log or a process list.
"""

import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeAlias

import asyncpg

from campaignpool import sqlstates, urls
from campaignpool.errors import CampaignPoolError, SecretError, UnreachableError

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

CONNECT_SECONDS = urls.CONNECT_SECONDS

CONNECTION_FAULTS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What asyncpg raises on a connection that the server, the network or another task ended; time-outs are OSErrors.

InternalClientError comes when the server's last message has arrived and the end of the connection has not."""

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
        url: As `campaignpool.urls` reads it.
        application_name: Shows in `pg_stat_activity`; connections are counted by it.

    Raises:
        SecretError: The URL is invalid.
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
    except CONNECTION_FAULTS:
        connection.terminate()


async def connect(url: str, application_name: str) -> Connection:
    """Open a connection; the caller closes it. Raises as `connected` does."""
    with translated():
        connection = await open_connection(url)
        try:
            await configure(connection, application_name)
        except BaseException:
            await close(connection)
            raise
    return connection


async def open_connection(url: str) -> Connection:
    """Open a connection without any setting. Raises SecretError, and the driver's errors."""
    target = urls.parse(url)
    for name, path in target.files:
        _require_readable(name, path)
    try:
        return await asyncpg.connect(
            target.dsn,
            timeout=target.connect_seconds,
            ssl=ssl.create_default_context() if target.system_roots else None,
            server_settings={"options": target.options} if target.options else None,
            statement_cache_size=0,  # poolers in transaction mode do not know named statements
        )
    except ValueError as error:
        raise asyncpg.ClientConfigurationError("not a URL") from error


async def configure(connection: Connection, application_name: str) -> None:
    """Set the session's settings, after connecting: poolers refuse them as startup parameters."""
    await connection.execute(_CONFIGURE, application_name[:63])


_SETTINGS = {
    "default_transaction_isolation": "read committed",  # whatever the database's or the role's is
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",  # names of types are compared
    "array_nulls": "on",
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "lock_timeout": f"{LOCK_SECONDS}s",
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": str(KEEPALIVE_SECONDS),
    "tcp_keepalives_interval": str(KEEPALIVE_SECONDS),
    "tcp_keepalives_count": "3",
}
_LATER_SETTINGS = {"transaction_timeout": "0"}  # since Postgres 17
_CONFIGURE = ", ".join(
    [
        "SELECT set_config('application_name', $1, false)",
        *(f"set_config('{name}', '{value}', false)" for name, value in _SETTINGS.items()),
        *(
            f"CASE WHEN current_setting('{name}', true) IS NOT NULL THEN set_config('{name}', '{value}', false) END"
            for name, value in _LATER_SETTINGS.items()
        ),
    ]
)


def _require_readable(name: str, path: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise SecretError(
            f"the file of {name} in the database URL cannot be read: {error.strerror}: mount it into the pod, or "
            "correct the path",
            reason="DatabaseUrlInvalid",
        ) from error


@contextmanager
def translated() -> Iterator[None]:
    """Raise the driver's errors as ours, whose class decides about retries."""
    try:
        yield
    except CampaignPoolError:
        raise
    except Exception as error:
        existing = _translate(error)
        if existing is None:
            raise
        raise existing from error


def _translate(error: Exception) -> CampaignPoolError | None:
    """Return our error for one of the driver's, or None for one that is not about the database."""
    if isinstance(error, asyncpg.PostgresError):
        return sqlstates.translate(error)
    make = next((make for kinds, make in _DRIVER if isinstance(error, kinds)), None)
    return make(error) if make else None


def _lost(_: Exception) -> CampaignPoolError:
    return UnreachableError("the connection to the database was lost, and is opened again")


def _refused(error: Exception) -> CampaignPoolError:
    if "rejected SSL upgrade" in str(error):
        return UnreachableError(
            "the server offers no TLS, and the URL asks for it: turn on TLS in the server, or set sslmode=prefer"
        )
    return UnreachableError("no connection to the database: check the host and the port in the URL")


# The first that fits counts: special classes stand before general ones.
_DRIVER: tuple[tuple[tuple[type[Exception], ...], Callable[[Exception], CampaignPoolError]], ...] = (
    (
        (asyncpg.TargetServerAttributeNotMatched,),
        lambda _: UnreachableError(
            "no host of the URL is what target_session_attrs asks for: wait for the failover, or correct the hosts",
            reason="DatabaseReadOnly",
        ),
    ),
    (
        (asyncpg.ClientConfigurationError,),
        lambda _: SecretError("the database URL is invalid: the driver cannot use it", reason="DatabaseUrlInvalid"),
    ),
    ((asyncpg.InterfaceError, asyncpg.InternalClientError), _lost),
    (
        (ssl.SSLCertVerificationError,),
        lambda error: UnreachableError(
            f"the server's certificate is refused: {getattr(error, 'verify_message', '') or 'it is not valid'}: set "
            "sslrootcert in the URL to the certificate of its authority, and use the host that it is for"
        ),
    ),
    (
        (ssl.SSLError,),
        lambda _: UnreachableError(
            "the TLS handshake with the server failed: check sslmode, sslrootcert, sslcert and sslkey in the URL"
        ),
    ),
    (
        (TimeoutError,),
        lambda _: UnreachableError(
            "the database does not answer in time: check the host and the port in the URL, and network policies"
        ),
    ),
    (
        (socket.gaierror,),
        lambda _: UnreachableError("the host of the database does not resolve: check its name and the cluster's DNS"),
    ),
    (
        (ConnectionRefusedError,),
        lambda _: UnreachableError(
            "the host of the database refuses the connection: check the host and the port in the URL, and that "
            "Postgres runs there"
        ),
    ),
    ((OSError,), _refused),
)
