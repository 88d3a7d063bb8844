"""No campaign twice, no key with two campaigns, nothing claimed touched, and counts that add up to the row."""

import asyncio
import os

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support import small
from tests.support.claim_machine import Claims
from tests.support.storm import Profile, Storm, faults_after

pytestmark = [pytest.mark.integration, pytest.mark.long]
EXAMPLES = int(os.environ.get("CAMPAIGNPOOL_EXAMPLES", "15"))
"""How many stories of a pool: the default is what a push can wait for, 500 and more are for the night."""


async def weathered(url: str, profile: Profile) -> Storm:
    connection = await asyncpg.connect(url)
    try:
        await small.made(connection, small.spec(maxSize=1000))
        storm = Storm(url, profile)
        await storm.run()
        assert await faults_after(storm, connection) == []
    finally:
        await connection.close()
    print(", ".join(f"{name} {number}" for name, number in sorted(storm.counts.items())))
    return storm


async def test_whatever_happens_to_a_pool_no_claim_is_lost_or_given_twice(database_url: str) -> None:
    storm = await weathered(database_url, Profile(connections=12, claims=1200, ready=60))
    assert all(storm.counts[name] for name in ("killed", "hung up", "retire", "rolled back", "released"))


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_a_hundred_thousand_claims_from_64_connections(database_url: str) -> None:
    storm = await weathered(database_url, Profile(connections=64, claims=100_000, ready=500))
    assert storm.counts["claimed"] >= 100_000


@pytest.mark.timeout(120 if EXAMPLES <= 15 else 3600)
def test_claims_and_everything_around_them_do_what_a_model_says(database_url: str) -> None:
    """Any steps in any order, one after the other."""
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(database_url))
        runner.run(small.made(connection))

        class OfThisDatabase(Claims):
            pass

        OfThisDatabase.connection, OfThisDatabase.runner = connection, runner
        try:
            run_state_machine_as_test(
                OfThisDatabase,
                settings=settings(
                    max_examples=EXAMPLES,
                    stateful_step_count=30,
                    deadline=None,
                    derandomize=EXAMPLES <= 15,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(connection.close())
