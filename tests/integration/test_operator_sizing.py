"""Sizing in the real operator: it recommends by default, sizes the pool if asked to, and leaves it alone when off."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from campaignpool.api.crd import crd
from campaignpool_local.emulator import emulator_thread
from tests.support.kube import Kube, eventually
from tests.support.operators import Game, running

pytestmark = pytest.mark.integration

# A claim every four seconds around this time of the day, today and on the nine days before.
_DAILY = """
INSERT INTO campaign_pool.claimed (id, pool_id, revision_id, owner, campaign_id, claimant, source, claimed_at, waited,
    releasable_until, rules_id)
SELECT gen_random_uuid(), p.id, p.revision_id, '', gen_random_uuid(), gen_random_uuid(), 'master', at, '0', now(),
       p.revision_id
FROM campaign_pool.pool p, generate_series(0, 9) day, generate_series(-120.0, 300.0, 4.0) second,
     LATERAL (SELECT now() - day * interval '1 day' + second * interval '1 second') t (at)
WHERE p.name = $1 AND at < now()
"""


@pytest.fixture
def game(chiwar_url: str, tmp_path: Path) -> Iterator[Game]:
    """A pool's namespace, its database, and an operator for it alone."""
    with emulator_thread(backoff=0.2) as emulator:
        kube = Kube(emulator.kubeconfig(tmp_path / "config"))
        kube.install(crd())
        with running(kube.kubeconfig, tmp_path / "log") as operator:
            yield Game(kube, chiwar_url)
            assert "Traceback" not in operator.log, operator.log
        kube.close()


def test_a_pool_is_recommended_a_size_and_then_kept_at_it(game: Game) -> None:
    game.put_secret()
    game.create(size=1, claims={"onEmpty": "Fail"}, maxSize=40)
    game.has("Ready", "True", "Filled")
    game.has("SizingActive", "False", "Recommending")
    assert game.status()["sizing"]["recommended"] == 1, "spec.size, as there is no demand"
    assert game.status()["sizing"]["basis"] == "Fixed"
    assert "expected" not in game.status()["sizing"]["availability"], "nothing was found from demand yet"

    # All of the demand is read for another availability.
    game.fetch(_DAILY, game.key)
    game.patch(sizing={"mode": "Auto", "maxSize": 30, "availability": "99.5%"})
    game.has("SizingActive", "True", "SizingApplied")
    game.has("Ready", "True", "Filled")
    status = game.status()
    assert status["sizing"]["basis"] in ("Blend", "Recent")
    assert 2 <= status["sizing"]["applied"] == status["desired"] < 25
    assert status["sizing"]["availability"]["week"] == "100%"
    assert game.states()["ready"] >= status["desired"]

    # A schedule raises the minimum at once, an invalid one changes nothing.
    event = {"name": "class", "schedule": "* * * * *", "duration": "1h", "minSize": 25}
    game.patch(sizing={"schedules": [event]})
    eventually(lambda: game.status()["desired"] == 25, "the schedule raises the size", 60)
    game.has("Ready", "True", "Filled")
    assert game.status()["sizing"]["basis"] == "Schedule"
    game.patch(sizing={"schedules": [{**event, "schedule": "61 * * * *"}]})
    assert (
        "class: '61 * * * *' is no cron expression" in game.has("SizingActive", "False", "SizingInvalid")["message"]
    )
    assert game.status()["desired"] == 25

    # Off: the size is that of the spec again.
    game.patch(sizing={"mode": "Off"})
    game.has("SizingActive", "False", "SizingOff")
    eventually(lambda: (game.status()["ready"], "sizing" in game.status()) == (1, False), "back to spec.size", 60)


def test_an_autoscaler_and_sizing_exclude_each_other(game: Game) -> None:
    game.put_secret()
    game.create(sizing={"mode": "Auto"})
    scale = f"{game.path}/scale"
    with pytest.raises(AssertionError, match="size is found by sizing while"):
        game.kube.patch(scale, {"spec": {"replicas": 4}})
    game.patch(sizing={"mode": "Off"})
    game.kube.patch(scale, {"spec": {"replicas": 4}})
    eventually(lambda: game.status().get("desired") == 4, "the autoscaler's size")
