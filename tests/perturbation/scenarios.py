"""The scenarios: what people do to a pool. Each waits for rest between its steps."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from tests.perturbation.pods import FAILS
from tests.perturbation.world import World
from tests.support import small

Rest: TypeAlias = Callable[[str], Awaitable[None]]
Scenario: TypeAlias = Callable[[World, Rest], Awaitable[None]]

SIDECAR: dict[str, Any] = {"podTemplate": {"spec": {"containers": [{"name": "proxy", "image": "proxy"}]}}}


async def fill(world: World, rest: Rest) -> None:
    """A pool with an owner is created."""
    await world.create(size=2, owners=[{"id": "a", "size": 1}])
    await rest("full")


async def refill(world: World, rest: Rest) -> None:
    """Campaigns are claimed and made up for."""
    await world.create(size=2)
    await rest("full")
    await world.claim("anna", "key 1")
    await world.claim("berta")
    await rest("full again")


async def linger(world: World, rest: Rest) -> None:
    """A Job waits for more to make, and does so when a campaign is claimed; then it ends."""
    await world.create(size=2, seeding={"lingerSeconds": 20})
    await world.run_for(5)
    await world.claim("anna")
    await world.run_for(5)
    await rest("full again")


async def accompany(world: World, rest: Rest) -> None:
    """Jobs whose pods have a container that goes on; a claim comes while they do."""
    await world.create(size=2, maxConcurrent=1, seeding=SIDECAR)
    await rest("full")
    await world.claim("anna")
    await rest("full again")


async def shrink(world: World, rest: Rest) -> None:
    """The size is lowered, and an owner leaves."""
    await world.create(size=4, owners=[{"id": "a", "size": 2}])
    await rest("full")
    await world.patch(size=2, owners=[])
    await rest("smaller")


async def delete(world: World, rest: Rest) -> None:
    """A pool with a claimed campaign is deleted."""
    await world.create(size=2)
    await rest("full")
    await world.claim("anna", "key 1")
    await world.delete()
    await rest("gone")


async def recreate(world: World, rest: Rest) -> None:
    """A pool is deleted, and another one of its name is created before it is at rest."""
    await world.create(size=2)
    await rest("full")
    await world.delete()
    await rest("gone")
    await world.create(size=1)
    await rest("full again")


async def revise(world: World, rest: Rest) -> None:
    """The blueprint changes, and stale campaigns are replaced."""
    await world.create(size=2, claims={"allowStale": False})
    await rest("full")
    await world.patch(blueprint={"inline": small.blueprint(2)})
    await rest("replaced")


async def fail(world: World, rest: Rest) -> None:
    """Jobs fail until the resource is corrected."""
    await world.create(size=2, seeding={"image": FAILS, "backoffLimit": 0})
    await world.run_for(15)
    await world.patch(seeding={"image": None})
    await rest("full")


async def pause(world: World, rest: Rest) -> None:
    """A pool is paused, claimed from, made larger, and goes on."""
    await world.create(size=2)
    await rest("full")
    await world.patch(paused=True)
    await world.claim("anna")
    await world.patch(size=3)
    await rest("paused")
    await world.patch(paused=False)
    await rest("goes on")


async def owners(world: World, rest: Rest) -> None:
    """Owners come and go, one is called master, and one claims."""
    await world.create(size=1, owners=[{"id": "master", "size": 1}, {"id": "a", "size": 1}])
    await rest("full")
    await world.claim("a")
    await world.patch(owners=[{"id": "a", "size": 2}, {"id": "b", "size": 1}])
    await rest("others")


async def cap(world: World, rest: Rest) -> None:
    """The targets exceed maxSize, and then do not."""
    await world.create(size=3, maxSize=4, owners=[{"id": "a", "size": 3}])
    await rest("shared")
    await world.patch(maxSize=8)
    await rest("full")


async def refuse(world: World, rest: Rest) -> None:
    """The blueprint names no table of the database, and is corrected."""
    bad = small.blueprint()
    await world.create(size=1, blueprint={"inline": {**bad, "tables": [{"name": "dragons"}]}})
    await world.run_for(10)
    await world.patch(blueprint={"inline": bad})
    await rest("full")


async def undo(world: World, rest: Rest) -> None:
    """A revision is rolled out, and a person goes back to the one before."""
    await world.create(size=2)
    await rest("full")
    first = await world.connection.fetchval("SELECT min(id) FROM campaign_pool.revision WHERE dropped_at IS NULL")
    await world.patch(blueprint={"inline": small.blueprint(2)})
    await rest("rolled out")
    await world.patch(template={"revision": first})
    await rest("undone")


async def canary(world: World, rest: Rest) -> None:
    """A revision fails its check and does not go into service; the next one passes."""
    await world.create(size=2)
    await rest("full")
    await world.patch(blueprint={"inline": small.blueprint(2)}, rollout={"verify": "SELECT 1"})
    await rest("refused")
    await world.patch(blueprint={"inline": small.blueprint(3)}, rollout={"verify": None})
    await rest("rolled out")


async def returning(world: World, rest: Rest) -> None:
    """A user who has claimed gets a pool."""
    await world.create(size=2, returning={"size": 1})
    await rest("full")
    await world.claim("anna")
    await rest("full again")


async def expire(world: World, rest: Rest) -> None:
    """Campaigns that were ready for an hour are replaced."""
    await world.create(size=2, maxAge="1h")
    await rest("full")
    await world.run_for(3700)
    await rest("replaced")


async def images(world: World, rest: Rest) -> None:
    """Images are copied for a campaign that is claimed, and for the one that follows; then the pool is deleted."""
    await world.create_images()
    await rest("copied")
    await world.claim("anna")
    await rest("copied again")
    await world.delete()
    await rest("gone")


async def hand_over(world: World, rest: Rest) -> None:
    """The replica that leads is stopped, and another one goes on; a claim comes between."""
    world.start_operator()
    await world.create(size=2)
    await rest("full")
    await world.stop_leader()
    await world.claim("anna")
    world.start_operator()
    await rest("full again")


_ALL = (fill, refill, linger, accompany, shrink, delete, recreate, revise, fail, pause, owners, cap, refuse)
_LATER = (undo, canary, returning, expire, images, hand_over)
SCENARIOS: dict[str, Scenario] = {scenario.__name__.replace("_", " "): scenario for scenario in (*_ALL, *_LATER)}
ELECTING = ("hand over",)
"""Scenarios whose operators elect a leader; in the others an operator leads without asking."""
