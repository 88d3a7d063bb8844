"""Operators that start, stop and are killed: each test has one of its own, so no other may run in its cluster."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from campaignpool.api.crd import crd
from campaignpool_local.containers.container import refusal
from campaignpool_local.emulator import emulator_thread
from tests.support.clusters import needs_emulator, needs_own_operator
from tests.support.kube import Kube, eventually
from tests.support.operators import Game, cluster, filled, running, settled
from tests.support.postgres import NewDatabase

pytestmark = [pytest.mark.integration, needs_own_operator]


@pytest.fixture
def kube(tmp_path: Path) -> Iterator[Kube]:
    with cluster(tmp_path) as client:
        yield client


@pytest.fixture
def game(kube: Kube, small_game: str, pods_database: NewDatabase) -> Iterator[Game]:
    game = Game(kube, pods_database(small_game))
    game.put_secret()
    yield game
    game.close()


def test_killed_while_active_it_continues_and_makes_no_campaign_too_many(game: Game, tmp_path: Path) -> None:
    log = tmp_path / "log"
    game.create(size=6, seeding={"batchSize": 1})
    with running(game.kube.kubeconfig, log) as operator:
        eventually(game.jobs, "a Job")
        operator.stop(signal.SIGKILL)
    with running(game.kube.kubeconfig, log) as operator:
        filled(game)
        assert game.states() == {"ready": 6}
        assert len(game.jobs()) == 1
        assert operator.stop() == 0


def test_it_runs_as_a_numeric_user_without_a_name(kube: Kube, tmp_path: Path) -> None:
    if why := refusal():
        pytest.skip(f"no process can be run as a foreign user here: {why}")
    with running(kube.kubeconfig, tmp_path / "log") as operator:
        uid = Path(f"/proc/{operator.process.pid}/uid_map").read_text().split()[0]
        assert uid == "65532"
        assert operator.stop() == 0, operator.log


def test_with_the_option_a_secret_needs_the_label(game: Game, tmp_path: Path) -> None:
    secret = f"{game.secrets}/chiwar-database"
    game.kube.patch(secret, {"metadata": {"labels": {"campaignpool.dev/database": None}}})
    game.create(size=1)
    with running(game.kube.kubeconfig, tmp_path / "log", "--require-secret-label"):
        degraded = game.has("Degraded", "True", "SecretNotLabelled")
        assert 'lacks the label campaignpool.dev/database: "true"' in degraded["message"]
        assert not game.jobs()
        game.kube.patch(secret, {"metadata": {"labels": {"campaignpool.dev/database": "true"}}})
        game.touch("labelled")
        filled(game)


def test_claims_go_on_without_it_and_are_made_up_for(game: Game, tmp_path: Path) -> None:
    game.create(size=2)
    with running(game.kube.kubeconfig, tmp_path / "log"):
        filled(game)
    for user in game.users()[:3]:
        game.claim(user)
    with running(game.kube.kubeconfig, tmp_path / "log"):
        eventually(lambda: game.status()["claimed"] == 3, "the claims are seen")
        filled(game)
    assert game.states() == {"ready": 2, "claimed": 3}


def test_a_pool_deleted_meanwhile_is_drained_at_the_next_start(game: Game, tmp_path: Path) -> None:
    game.create(size=2)
    with running(game.kube.kubeconfig, tmp_path / "log"):
        filled(game)
    game.delete()
    assert game.pool()["metadata"]["deletionTimestamp"]
    with running(game.kube.kubeconfig, tmp_path / "log"):
        game.gone()
    assert game.states() == {}


def test_a_pool_that_cannot_be_cleaned_up_goes_after_a_time_and_says_what_is_left(game: Game, tmp_path: Path) -> None:
    game.create(size=1, deletion={"timeout": "4s"})
    with running(game.kube.kubeconfig, tmp_path / "log"):
        filled(game)
    game.kube.delete(f"{game.secrets}/chiwar-database")
    with running(game.kube.kubeconfig, tmp_path / "log"):
        game.has("Degraded", "True", "SecretNotFound")
        game.delete()
        told = "after spec.deletion.timeout"
        eventually(lambda: told in game.condition("Degraded")["message"], "the way out is named")
        game.gone()
        assert game.count_events("Warning", "LeftBehind") == 1
    assert game.states() == {"ready": 1}


@needs_emulator
def test_it_waits_for_an_api_that_does_not_know_pools_yet(
    small_game: str, pods_database: NewDatabase, tmp_path: Path
) -> None:
    with emulator_thread() as before:
        client = Kube(before.kubeconfig(tmp_path / "config"))
        with running(client.kubeconfig, tmp_path / "log", ready=False) as operator:
            eventually(lambda: "the pools cannot be listed" in operator.log, "the missing CRD is said")
            assert operator.answer("/readyz").status_code == 503
            assert operator.answer("/livez").status_code == 200
            client.install(crd())
            game = Game(client, pods_database(small_game))
            game.put_secret()
            game.create(size=1)
            filled(game)
            assert "Traceback" not in operator.log
        client.close()


def test_it_serves_the_namespaces_that_are_set(game: Game, kube: Kube, tmp_path: Path) -> None:
    other = Game(kube, game.url)
    other.create()
    game.create()
    with running(kube.kubeconfig, tmp_path / "log", f"--namespaces={game.namespace}") as operator:
        filled(game)
        settled(operator, game, 2)
        assert "status" not in other.pool()


def test_operators_share_the_pools_by_their_labels(game: Game, kube: Kube, tmp_path: Path) -> None:
    gold, silver, neither = game, Game(kube, game.url), Game(kube, game.url)
    for pool, labels in ((gold, {"tier": "gold"}), (silver, {"tier": "silver"}), (neither, {})):
        pool.manifest["metadata"]["labels"] = labels
        if pool is not gold:
            pool.put_secret()
        pool.create(size=1)
    with (
        running(kube.kubeconfig, tmp_path / "gold", "--pool-selector=tier=gold") as first,
        running(kube.kubeconfig, tmp_path / "silver", "--pool-selector=tier in (silver, bronze)") as second,
    ):
        filled(gold)
        filled(silver)
        settled(first, gold, 2)
        settled(second, silver, 2)
        assert "status" not in neither.pool()
        assert silver.key not in first.log
        assert gold.key not in second.log

        # A pool that changes its label changes its operator.
        kube.patch(neither.path, {"metadata": {"labels": {"tier": "bronze"}}})
        filled(neither)
        kube.patch(neither.path, {"metadata": {"labels": {"tier": "gold"}}})
        neither.patch(size=2)
        eventually(lambda: neither.status()["ready"] == 2, "the other operator fills it")
        assert f"pool={neither.key}" in first.log
        for operator in (first, second):
            assert "Traceback" not in operator.log


def test_a_selector_that_the_api_does_not_understand_is_said(kube: Kube, tmp_path: Path) -> None:
    with running(kube.kubeconfig, tmp_path / "log", "--pool-selector=tier in (gold", ready=False) as operator:
        message = "the pools cannot be listed with --pool-selector=tier in (gold: the Kubernetes API refuses"
        eventually(lambda: message in operator.answer("/readyz").text, "the refusal is served")
        assert operator.answer("/readyz").status_code == 503


def test_pools_share_the_jobs_and_idle_ones_make_room(game: Game, kube: Kube, tmp_path: Path) -> None:
    games = [game, *(Game(kube, game.url) for _ in range(3))]
    most = 0
    with running(kube.kubeconfig, tmp_path / "log", "--max-jobs=2"):
        for pool in games:
            if pool is not game:
                pool.put_secret()
            pool.create(size=1, seeding={"lingerSeconds": 600})

        def ready() -> int:
            nonlocal most
            jobs = [job for pool in games for job in pool.jobs()]
            most = max(most, sum(bool((job.get("status") or {}).get("active")) for job in jobs))
            return sum(pool.condition("Ready").get("status") == "True" for pool in games)

        eventually(lambda: ready() == len(games), "every pool had its turn", 60)
    assert most <= 2


def test_another_row_that_the_condition_chooses_becomes_the_template(game: Game, tmp_path: Path) -> None:
    game.create(size=1)
    with running(game.kube.kubeconfig, tmp_path / "log", "--resync-seconds=1") as operator:
        filled(game)
        (before,) = game.revisions()
        claimed = game.claim(game.users()[0])["campaign_id"]
        filled(game)
        game.fetch("UPDATE campaigns SET is_master_template = (id = $1)", claimed)
        game.touch("the template is another row")
        eventually(lambda: game.revisions() and before not in game.revisions(), "campaigns of the other row")
        assert "Traceback" not in operator.log
