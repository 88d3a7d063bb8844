"""Specs of all kinds, one after the other on one pool: how it then stands depends on the last one alone.

`CAMPAIGNPOOL_EXAMPLES` sets how many specs are drawn. What the API server itself refuses is in
`tests/unit/test_pool_admission.py`; a few specs on a real cluster are in `tests/integration/test_operator_specs.py`.
"""

import os
import random
from typing import Any

import pytest

from tests.perturbation import oracles, specs
from tests.perturbation.runner import Runner
from tests.perturbation.seams import POOLS
from tests.perturbation.specs import BAD, Bad, Json
from tests.perturbation.world import World

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(300)]

EXAMPLES = int(os.environ.get("CAMPAIGNPOOL_EXAMPLES", "40"))
IN_A_ROW = 10
AT_ONCE = 6
LONGEST_PAUSE = 120.0
"""Seconds, as in `reconcile.CONFIGURATION_SECONDS`."""


LEFT = """
SELECT count(*) FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id
WHERE p.name = 'game/fresh'
"""


async def fresh(world: World, spec: Json) -> Any:
    """Return how a pool of this spec stands that never had another; it is deleted, and leaves nothing."""
    await world.create_with(spec, "fresh")
    assert await world.settle(), spec
    result = await specs.standing(world.pool("fresh"), world.connection)
    await world.delete("fresh")
    assert await world.settle(), spec
    assert world.pool("fresh") is None, spec
    assert await world.connection.fetchval(LEFT) == 0
    return result


@pytest.mark.parametrize("seed", range(max(1, EXAMPLES // IN_A_ROW)))
def test_a_pool_stands_as_its_last_spec_alone_asks(runner: Runner, seed: int) -> None:
    """Each spec is followed by the next, then by itself again: what one leaves behind, another would show."""
    chance = random.Random(seed)

    async def tried(world: World) -> None:
        world.start_operator()
        drawn = [specs.valid(chance) for _ in range(IN_A_ROW)]
        wanted = [await fresh(world, spec) for spec in drawn]
        await world.create_with(drawn[0])
        for number in range(1, IN_A_ROW):
            for at in (number, number - 1):
                await world.replace(drawn[at])
                assert await world.settle(), drawn[at]
                existing = await specs.standing(world.pool(), world.connection)
                where = f"seed {seed}, spec {at} after {number - 1 if at == number else number}: {drawn[at]}"
                assert existing == wanted[at], where
        assert await oracles.rules(world, {}) == []
        assert oracles.history(world.store, world.pods.begun) == []

    runner.alone(tried)


async def refused(world: World, name: str, bad: Bad) -> None:
    """Wait for the condition of a bad spec, and see that it changes nothing more."""
    await world.run_for(15)
    pool = world.pool(name)
    assert pool is not None
    existing = {item["type"]: item for item in pool["status"]["conditions"]}[bad.kind]
    assert (existing["status"], existing["reason"]) == (bad.status, bad.reason), existing["message"]
    assert existing["observedGeneration"] == pool["metadata"]["generation"]
    version, loops = world.store.history[-1].version, world.operators[0].loops_run
    ledger = await world.connection.fetch(LEDGER)
    await world.run_for(3 * LONGEST_PAUSE)
    later = [change for change in world.store.history if change.version > version]
    assert [change.object for change in later if change.key == POOLS or change.type == "ADDED"] == []
    assert await world.connection.fetch(LEDGER) == ledger
    assert world.operators[0].loops_run - loops < 12, "the pauses grow"


LEDGER = """
SELECT 'campaign', id::text, state FROM campaign_pool.campaign UNION ALL
SELECT 'run', job, outcome FROM campaign_pool.run UNION ALL
SELECT 'revision', id::text, (dropped_at IS NULL)::text FROM campaign_pool.revision ORDER BY 1, 2
"""


@pytest.mark.parametrize("first", range(0, len(BAD), AT_ONCE))
def test_what_only_the_operator_refuses_is_a_condition_and_heals(runner: Runner, first: int) -> None:
    good, more = specs.base(), specs.base() | {"size": 3}

    async def tried(world: World) -> None:
        world.start_operator()
        wanted = await fresh(world, good)
        for number, (name, bad) in enumerate(list(BAD.items())[first : first + AT_ONCE]):
            pool = f"bad-{number}"
            for spec in (good, more):
                if spec is good:
                    await world.create_with(good | bad.changes, pool)
                else:
                    await world.replace(more | bad.changes, pool)
                await refused(world, pool, bad)
                await world.replace(good, pool)
                assert await world.settle(), name
                assert await specs.standing(world.pool(pool), world.connection) == wanted, name
        assert await oracles.rules(world, {}) == []
        assert oracles.history(world.store, world.pods.begun) == []

    runner.alone(tried)
