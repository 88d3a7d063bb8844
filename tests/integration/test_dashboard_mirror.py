"""The pools in memory, against the Kubernetes API."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from campaignpool.api.crd import crd
from campaignpool.errors import ClusterError
from campaignpool_local.emulator import emulator_thread
from campaignpool_operator.cluster import client as clients
from campaignpool_operator.cluster.connect import connect
from campaignpool_operator.dashboard import mirror as mirrors
from campaignpool_operator.dashboard.mirror import Mirror
from tests.support.clusters import needs_emulator
from tests.support.kube import Kube
from tests.support.operators import Game

pytestmark = [pytest.mark.integration, needs_emulator]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Kube]:
    with emulator_thread() as emulator:
        kube = Kube(emulator.kubeconfig(tmp_path / "config"))
        yield kube
        kube.close()


async def until(check: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not check():  # noqa: ASYNC110 (what it checks has no event)
            await asyncio.sleep(0.01)


async def test_pools_are_known_as_they_change_and_again_after_the_api_was_away(
    api: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(clients, "WATCH_SECONDS", 1.0)
    cluster = await connect(api.kubeconfig)
    watches, changed = [], []
    watch = cluster.watch_pools
    monkeypatch.setattr(cluster, "watch_pools", lambda *where: watches.append(where) or watch(*where))
    mirror = Mirror(cluster, (), changed.append)
    mirror.start()
    with pytest.raises(ClusterError):
        await mirror.pools()
    assert not mirror.current
    api.install(crd())
    await until(lambda: mirror.current)
    assert await mirror.pools() == []

    game = Game(api, "postgresql://nobody@127.0.0.1:1/none")
    game.create()
    await until(lambda: changed)
    (pool,) = await mirror.pools()
    assert pool == await mirror.pool(game.namespace, "chiwar")
    assert pool["spec"]["blueprint"]
    assert "managedFields" not in pool["metadata"]
    await until(lambda: len(watches) >= 2)
    game.patch(size=7)
    await until(lambda: len(changed) >= 2)
    (pool,) = await mirror.pools()
    assert pool["spec"]["size"] == 7
    api.delete(game.path)
    await until(lambda: len(changed) >= 3)
    assert await mirror.pool(game.namespace, "chiwar") is None
    assert set(changed) == {game.key}
    await mirror.close()
    await cluster.close()


async def test_changes_that_the_api_no_longer_has_are_found_by_a_new_list(
    api: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "AGAIN_SECONDS", 0.05)
    api.install(crd())
    cluster = await connect(api.kubeconfig)
    watch = cluster.watch_pools
    # The first watch begins at a version that is too old.
    versions = iter(["1"])
    monkeypatch.setattr(cluster, "watch_pools", lambda part, version: watch(part, next(versions, version)))
    changed: list[str] = []
    mirror = Mirror(cluster, (), changed.append)
    game = Game(api, "postgresql://nobody@127.0.0.1:1/none")
    mirror.start()
    game.create()
    await until(lambda: changed)
    assert mirror.current
    assert await mirror.pool(game.namespace, "chiwar")
    await mirror.close()
    await cluster.close()
