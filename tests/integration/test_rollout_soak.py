"""Changes of the template, failing checks, going back and expiry, while claims go on, with the real operator."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kube import Kube, eventually
from tests.support.operators import Game, Operator, cluster, filled, operator_of, settled
from tests.support.postgres import NewDatabase

pytestmark = [pytest.mark.integration, pytest.mark.soak]
SECONDS = 60
MAX_SIZE = 7

_UNCLAIMED = """
SELECT count(*) FROM campaign_pool.campaign WHERE state IN ('seeding', 'imaging', 'ready', 'retiring')
"""
_TEMPLATE = "(SELECT id FROM campaigns WHERE is_master_template)"
_RENAME = f"UPDATE weapons SET name = left(name, 20) || random()::text WHERE campaign_id = {_TEMPLATE}"
_AGE = "UPDATE campaign_pool.campaign SET ready_at = ready_at - interval '2 hours' WHERE state = 'ready'"
FAILS = "SELECT $campaign"


@pytest.fixture
def kube(tmp_path: Path) -> Iterator[Kube]:
    with cluster(tmp_path) as client:
        yield client


@pytest.fixture
def operator(kube: Kube, tmp_path: Path) -> Iterator[Operator]:
    with operator_of(kube, tmp_path) as running:
        yield running


@pytest.fixture
def game(operator: Operator, kube: Kube, small_game: str, pods_database: NewDatabase) -> Iterator[Game]:
    assert operator.alive()
    new_game = Game(kube, pods_database(small_game))
    yield new_game
    new_game.close()


def step(game: Game, rng: random.Random) -> None:
    """Do one thing to the pool or its template."""
    match rng.choice(["rename", "rename", "go back", "go on", "check", "age", "strategy"]):
        case "rename":
            game.fetch(_RENAME)
            game.fetch("SELECT campaign_pool.template_changed($1)", game.key)
        case "go back":
            game.patch(template={"revision": rng.choice(game.status()["rollout"]["kept"])})
        case "go on":
            game.patch(template={"revision": None}, rollout={"verify": None})
        case "check":
            game.patch(rollout={"verify": rng.choice([FAILS, None])})
        case "age":
            game.patch(maxAge=rng.choice(["1h", None]))
            game.fetch(_AGE)
        case _:
            strategy = rng.choice(["RollingUpdate", "OnReplenish", "Paused"])
            game.patch(rollout={"strategy": strategy, "minReady": rng.choice(["0%", "50%", "100%"])})


@pytest.mark.timeout(300)
def test_whatever_happens_to_a_template_its_pool_comes_to_rest(operator: Operator, game: Game) -> None:
    rng = random.Random(17)
    game.put_secret()
    game.create(size=5, maxSize=MAX_SIZE, claims={"onEmpty": "Clone", "allowStale": True})
    filled(game)
    users, claimed, end = game.users(), set[str](), time.monotonic() + SECONDS
    while time.monotonic() < end:
        step(game, rng)
        for _ in range(3):
            campaign = game.claim(rng.choice(users))["campaign_id"]
            assert campaign not in claimed
            claimed.add(campaign)
            assert game.fetch(_UNCLAIMED)[0][0] <= MAX_SIZE
    game.patch(template={"revision": None}, rollout={"verify": None, "strategy": "RollingUpdate"}, maxAge=None)
    game.fetch("SELECT campaign_pool.template_changed($1)", game.key)
    eventually(lambda: game.status()["rollout"]["phase"] == "Complete", "the last revision is in all campaigns")
    game.has("TemplateCurrent", "True")
    filled(game)
    assert game.revisions() == {game.status()["rollout"]["revision"]}
    assert len(game.fetch("SELECT FROM campaign_pool.claimed")) == len(claimed)
    settled(operator, game, 2)
    writes = operator.metric("campaignpool_status_writes_total")
    settled(operator, game, 2)
    assert operator.metric("campaignpool_status_writes_total") == writes
