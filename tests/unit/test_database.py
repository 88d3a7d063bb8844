"""Errors of the driver are raised as ours: the class decides about retries, and no message has a secret."""

import socket

import asyncpg
import pytest

from campaignpool.errors import (
    CampaignPoolError,
    CredentialsError,
    SecretError,
    SeedingError,
    TransientError,
    UnreachableError,
)
from campaignpool.ledger.database import connect, translated

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("error", "meaning", "reason", "retry"),
    [
        (asyncpg.InvalidPasswordError("no"), CredentialsError, "DatabaseAuthenticationFailed", False),
        (asyncpg.InvalidCatalogNameError("no"), CredentialsError, "DatabaseNotFound", False),
        (asyncpg.InsufficientPrivilegeError("no"), CredentialsError, "DatabasePermissionDenied", False),
        (asyncpg.TooManyConnectionsError("no"), UnreachableError, "TooManyConnections", True),
        (asyncpg.CannotConnectNowError("no"), UnreachableError, "DatabaseUnreachable", True),
        (asyncpg.AdminShutdownError("no"), UnreachableError, "DatabaseUnreachable", True),
        (asyncpg.ConnectionDoesNotExistError("no"), UnreachableError, "DatabaseUnreachable", True),
        (asyncpg.DeadlockDetectedError("no"), TransientError, "DatabaseBusy", True),
        (asyncpg.LockNotAvailableError("no"), TransientError, "DatabaseBusy", True),
        (asyncpg.QueryCanceledError("no"), TransientError, "DatabaseBusy", True),
        (asyncpg.UniqueViolationError("no"), SeedingError, "SeedingFailed", False),
        (asyncpg.InterfaceError("connection is closed"), UnreachableError, "DatabaseUnreachable", True),
        (TimeoutError(), UnreachableError, "DatabaseUnreachable", True),
        (ConnectionRefusedError(), UnreachableError, "DatabaseUnreachable", True),
        (socket.gaierror(), UnreachableError, "DatabaseUnreachable", True),
    ],
)
def test_the_class_decides(error: Exception, meaning: type[CampaignPoolError], reason: str, retry: bool) -> None:
    with pytest.raises(CampaignPoolError) as raised, translated():
        raise error
    assert type(raised.value) is meaning
    assert (raised.value.reason, raised.value.retry) == (reason, retry)


def test_what_is_not_about_the_database_passes() -> None:
    with pytest.raises(KeyError), translated():
        raise KeyError("x")


@pytest.mark.parametrize(
    "url", ["", "game", f"mysql://me:{SECRET}@db/game", f"postgresql://me:{SECRET}@db:port/game"]
)
async def test_a_url_that_is_none_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(SecretError) as refused:
        await connect(url, "test")
    assert refused.value.reason == "DatabaseUrlInvalid"
    assert SECRET not in str(refused.value)


async def test_a_host_that_does_not_answer_is_named_without_the_password() -> None:
    with pytest.raises(UnreachableError, match="check the host and the port") as refused:
        await connect(f"postgresql://me:{SECRET}@127.0.0.1:1/game", "test")
    assert SECRET not in str(refused.value)
