"""A pool at rest costs one statement a resync, and whatever changes ends its rest."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from tests.perturbation import world as module
from tests.perturbation.runner import Runner
from tests.perturbation.seams import ACTOR
from tests.perturbation.world import KEY, NAMESPACE, OperatorRun, World
from tests.support import small

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
RESYNC_SECONDS = 30
LATE = 3 * RESYNC_SECONDS
MORE = "INSERT INTO things SELECT gen_random_uuid(), $1, 'one more'"


@pytest.fixture(autouse=True)
def _resync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESYNC_SECONDS", RESYNC_SECONDS)


def loops(operator: OperatorRun) -> tuple[int, int]:
    """Return how many whole loops there were, and how many were left out."""
    counts = operator.loops._metrics.reconciles
    left_out = int(counts.labels("unchanged")._value.get())
    return operator.loops_run - left_out, left_out


async def resting(world: World, **spec: object) -> OperatorRun:
    """Return an operator whose pool is full, and has rested for a while."""
    operator = world.start_operator()
    await world.create(size=2, **spec)
    await world.run_for(700)  # the Job is deleted then
    await flushed(world)
    await world.run_for(LATE)
    before = loops(operator)
    await world.run_for(2 * RESYNC_SECONDS)
    after = loops(operator)
    assert (after[0] - before[0], after[1] > before[1]) == (0, True)
    return operator


async def flushed(world: World) -> None:
    """Have every session report to the statistics what it wrote."""
    for operator in world.operators:
        for connection in operator.actor.connections:
            while not connection.is_closed():
                try:
                    await connection.execute("SELECT pg_stat_force_next_flush()")
                except asyncpg.InterfaceError:  # a loop uses it at this moment
                    await asyncio.sleep(0)
                else:
                    break
    await world.connection.execute("SELECT pg_stat_force_next_flush()")
    await world.connection.execute("SELECT 1")


def test_a_pool_at_rest_asks_the_cluster_for_nothing_and_the_database_for_one_statement(runner: Runner) -> None:
    async def act(world: World) -> None:
        operator = await resting(world)
        statements: list[str] = []
        requests: list[str] = []
        run, send = world.seams.statement, operator.cluster._transport.send

        async def noted(connection: Any, query: str, call: Callable[[], Awaitable[Any]]) -> Any:
            if ACTOR.get() is operator.actor:
                statements.append(query)
            return await run(connection, query, call)

        async def sent(method: str, path: str, *arguments: Any) -> Any:
            requests.append(f"{method} {path}")
            return await send(method, path, *arguments)

        world.seams.statement = noted  # type: ignore[method-assign]
        operator.cluster._transport.send = sent  # type: ignore[method-assign]
        _, before = loops(operator)
        await world.run_for(4 * RESYNC_SECONDS)
        _, after = loops(operator)
        assert after > before
        looked = [query for query in statements if query != "SELECT 1"]
        assert 0 <= len(looked) - (after - before) <= 1, looked  # the last one may not have been answered
        assert all("campaign_pool.state_of" in query for query in looked)
        assert {request.partition("?")[0].rpartition("/")[2] for request in requests} <= {"campaignpools", "database"}

    runner.alone(act)


async def claimed(world: World) -> None:
    """A claim whose notification is lost."""
    await world.connection.execute("SELECT nextval(changes) FROM campaign_pool.pool")
    await world.claim("anna")


async def missed(world: World) -> None:
    """A claim that gets no campaign, and so leaves no record."""
    await world.connection.execute("SELECT nextval(misses) FROM campaign_pool.pool")


async def migrated(world: World) -> None:
    await world.connection.execute("ALTER TABLE things ADD COLUMN colour text")


async def edited(world: World) -> None:
    await world.connection.execute("UPDATE campaign_pool.pool SET settings = settings || '{\"max_size\": 1}'")


async def asked(world: World) -> None:
    await world.connection.execute(
        "INSERT INTO campaign_pool.template_change (pool_id) SELECT id FROM campaign_pool.pool"
    )


async def rotated(world: World) -> None:
    """The Secret names another address of the same server."""
    url = world.database_url.replace("127.0.0.1", "localhost")
    body = {"data": module.secret(url)["data"]}
    path = f"/api/v1/namespaces/{NAMESPACE}/secrets/database"
    await world.people._send("PATCH", path, body=body, kind=module._MERGE)


@pytest.mark.parametrize("change", [claimed, missed, migrated, edited, asked, rotated])
def test_whatever_changes_is_found_at_the_next_resync(
    runner: Runner, change: Callable[[World], Awaitable[None]]
) -> None:
    async def act(world: World) -> None:
        operator = await resting(world)
        before, _ = loops(operator)
        await change(world)
        await flushed(world)
        await world.run_for(1.2 * RESYNC_SECONDS)
        after, _ = loops(operator)
        assert after > before

    runner.alone(act)


def test_a_template_that_was_written_is_compared_within_its_interval(runner: Runner) -> None:
    async def act(world: World) -> None:
        operator = await resting(world, template={"where": "is_template", "checkInterval": "5m"})
        await world.connection.execute(MORE, small.TEMPLATE)
        await flushed(world)
        await world.run_for(400)
        revision = await world.connection.fetchval("SELECT revision_id FROM campaign_pool.pool WHERE name = $1", KEY)
        assert revision == 2, loops(operator)

    runner.alone(act)


def test_a_campaign_that_the_application_changed_is_found_by_an_audit(runner: Runner) -> None:
    async def act(world: World) -> None:
        await resting(world)
        await world.connection.execute("DELETE FROM things WHERE world_id <> $1", small.TEMPLATE)
        await flushed(world)
        await world.run_for(LATE)
        assert await small.inconsistencies(world.connection) == []

    runner.alone(act)


def test_a_lost_connection_ends_the_rest(runner: Runner) -> None:
    async def act(world: World) -> None:
        operator = await resting(world)
        before, _ = loops(operator)
        for connection in operator.actor.connections:
            connection.terminate()
        await world.run_for(2 * RESYNC_SECONDS)
        whole, _ = loops(operator)
        assert whole > before
        with pytest.raises(asyncpg.InterfaceError):
            await operator.actor.connections[0].execute("SELECT 1")

    runner.alone(act)
