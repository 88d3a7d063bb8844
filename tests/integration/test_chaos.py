"""Seeders killed with -9 at random moments, twenty times, under the real operator: no half campaign, and it fills.

On the emulator only: there, a pod is a process of this machine that can be killed from outside.
"""

import asyncio
import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

import chiwar
from campaignpool.api.crd import crd
from campaignpool_local.emulator import emulator_thread
from tests.support.kube import Kube, eventually
from tests.support.operators import Game, running
from tests.support.postgres import NewDatabase
from tests.support.profile import LONG

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240), pytest.mark.long]
KILLS = 20 if LONG else 8


@pytest.fixture
def game(tmp_path: Path, new_database: NewDatabase, chiwar_template: str) -> Iterator[Game]:
    """A pool under an operator of its own, whose Jobs are retried quickly."""
    with emulator_thread(backoff=0.1) as emulator:
        kube = Kube(emulator.kubeconfig(tmp_path / "kubeconfig"))
        kube.install(crd())
        game = Game(kube, new_database(chiwar_template))
        game.put_secret()
        with running(kube.kubeconfig, tmp_path / "operator.log") as operator:
            yield game
            assert "Traceback" not in operator.log
        kube.close()


def seeders(game: Game) -> list[int]:
    """The processes that seed for this pool."""
    results = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if f"--pool={game.key}".encode() in path.read_bytes():
                results.append(int(path.parent.name))
    return results


class Killer(threading.Thread):
    """Kills seeders at random moments of their lives, until it has killed enough."""

    def __init__(self, game: Game) -> None:
        super().__init__(daemon=True)
        self.killed = 0
        self._game, self._chance, self._spared = game, random.Random(3), set[int]()

    def run(self) -> None:
        while self.killed < KILLS:
            for pid in set(seeders(self._game)) - self._spared:
                self._spared.add(pid)
                # From before its first import to after its last commit: the moments are the point of the test.
                time.sleep(self._chance.uniform(0.0, 1.2))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.killed += 1


def faults(game: Game) -> list[str]:
    async def ask() -> list[str]:
        connection = await asyncpg.connect(game.url)
        try:
            return await chiwar.half_campaigns(connection)
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_killed_seeders_leave_no_half_campaign_and_the_pool_fills(game: Game) -> None:
    killer = Killer(game)
    killer.start()
    # A Job may lose as many pods as it has retries; a pause that follows a failure would only make the test longer.
    seeding = {"batchSize": 1, "backoffLimit": 20}
    game.create(size=3, maxSize=50, maxConcurrent=2, seeding=seeding)
    eventually(lambda: game.status().get("desired") == 3, "the pool is looked after")
    users = game.users()
    while killer.is_alive():
        game.claim(users[killer.killed % len(users)])
        assert faults(game) == []
        eventually(lambda: game.states().get("ready", 0) >= 1 or not killer.is_alive(), "a campaign is ready")
    game.has("Ready", "True", "Filled")
    eventually(lambda: game.status()["ready"] == 3, "the pool is full")
    assert killer.killed == KILLS
    assert faults(game) == []
    left = game.fetch("SELECT count(*) AS n FROM campaign_pool.campaign WHERE state IN ('seeding', 'failed')")[0]["n"]
    assert left == 0
