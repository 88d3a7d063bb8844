"""Whatever an application does beside its pool, each campaign is what was frozen, and deletion leaves nothing."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings

from campaignpool_local.postgres import EmbeddedPostgres
from tests.support.histories import STEPS, History, histories
from tests.support.synchronous import Server

pytestmark = [pytest.mark.integration, pytest.mark.long]

EXAMPLES = int(os.environ.get("CAMPAIGNPOOL_EXAMPLES", "8"))
"""The number of histories: by default few and always the same ones; `make soak` tries 500."""


@pytest.fixture(scope="module")
def server(postgres_server: EmbeddedPostgres) -> Iterator[Server]:
    server = Server(postgres_server.create_database("drawn_histories"))
    yield server
    server.close()
    postgres_server.drop_database("drawn_histories")


async def lives(server: Server, steps: list[tuple[str, int]]) -> None:
    history = History(server.connection, server.url)
    try:
        await history.run(steps)
    finally:
        await history.close()


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES <= 8,
    print_blob=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@pytest.mark.timeout(3600)
@example(steps=[("seed", 2), ("claim", 0), *((step, n) for n, step in enumerate(STEPS)), ("claim", 0), ("delete", 1)])
@given(steps=histories)
def test_campaigns_are_what_was_frozen(server: Server, steps: list[tuple[str, int]]) -> None:
    server.run(lives(server, steps))
