"""The parts of the client that need no database: the statement, the errors, the pauses."""

import asyncio
import time
from datetime import timedelta
from itertools import islice

import asyncpg
import pytest

from campaignpool.client import connections, errors
from campaignpool.client.client import Client
from campaignpool.client.errors import ClaimError, InvalidArgument, SchemaOutdated, Unreachable


def refusal(state: str, message: str = "no", **fields: str) -> asyncpg.PostgresError:
    """Return an error as asyncpg makes it of the server's message."""
    named = {"C": state, "M": message, "S": "ERROR", "V": "ERROR", **fields}
    error = asyncpg.PostgresError.new(named)
    assert isinstance(error, asyncpg.PostgresError)
    return error


CODED = [kind for kind in ClaimError.__subclasses__() if kind.sqlstate]


@pytest.mark.parametrize("kind", CODED, ids=lambda kind: kind.__name__)
def test_each_code_has_an_error_of_its_own(kind: type[ClaimError]) -> None:
    existing = errors.typed(refusal(str(kind.sqlstate), "refused", H="do this"), "key")
    assert existing is not None
    assert (type(existing), str(existing), existing.key, existing.reason) == (kind, "refused", "key", kind.__name__)
    assert existing.hint


def test_other_errors_of_the_database_are_left_alone() -> None:
    assert errors.typed(refusal("23503"), "key") is None


def test_a_function_that_a_blueprint_calls_in_vain_is_no_outdated_schema() -> None:
    assert errors.typed(refusal("42883", W="PL/pgSQL function campaign_pool.on_claim_r1"), None) is None
    assert isinstance(errors.typed(refusal("42883"), None), SchemaOutdated)


def test_who_can_try_again_is_told() -> None:
    assert {kind.__name__ for kind in ClaimError.__subclasses__() if kind.retry} == {
        "PoolEmpty",
        "PoolPaused",
        "Unreachable",
    }


def test_pauses_grow_to_a_bound_and_differ() -> None:
    longest = list(islice(connections.pauses(lambda: 0.0), 9))
    assert longest == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]
    assert list(islice(connections.pauses(lambda: 0.5), 3)) == pytest.approx([0.0375, 0.075, 0.15])


async def test_a_claim_on_the_callers_connection_cannot_wait() -> None:
    async def never() -> "asyncpg.Connection[asyncpg.Record]":
        raise AssertionError("nothing is asked")

    campaigns = Client(never, "game/chiwar")
    with pytest.raises(InvalidArgument) as refused:
        await campaigns.claim("user", wait=timedelta(seconds=1), connection=object())  # type: ignore[arg-type]
    assert refused.value.hint
    assert refused.value.key


async def test_a_server_that_accepts_and_never_answers_does_not_hold_a_claim() -> None:
    """A dead peer behind a load balancer: connecting succeeds, and nothing ever comes back."""
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    campaigns = Client(
        f"postgresql://me@127.0.0.1:{port}/game",
        "game/chiwar",
        patience=timedelta(seconds=0.1),
        timeout=timedelta(seconds=0.1),
    )
    began = time.monotonic()
    with pytest.raises(Unreachable, match="TimeoutError"):
        await asyncio.wait_for(campaigns.claim("ada", key="k"), 30)
    assert time.monotonic() - began < 30
    for writer in writers:
        writer.close()
    server.close()
    await server.wait_closed()
