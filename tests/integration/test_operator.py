"""The real operator against the Kubernetes API, a real Postgres and real seeding Jobs.

Its resync interval is set to resync once an hour: everything that happens here, an event caused.
"""

import asyncio
import os
import signal
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

import chiwar
from campaignpool.api.crd import crd
from campaignpool_local.containers.container import refusal
from campaignpool_local.emulator import emulator_thread
from campaignpool_local.postgres import EmbeddedPostgres
from tests.support.kube import Kube, eventually, is_for_tests, kubeconfig_given
from tests.support.operators import Game, OperatorProcess, running
from tests.support.postgres import NewDatabase

pytestmark = pytest.mark.integration

TEMPLATE = "operator_template"
INTERRUPTED = {"spec": {"containers": [{"name": "seeder", "command": ["sh", "-c", "exit 75"], "args": []}]}}
HANGS = {"spec": {"containers": [{"name": "seeder", "command": ["sleep", "600"], "args": []}]}}
FAILS = {"spec": {"containers": [{"name": "seeder", "command": ["sh", "-c", "echo no; exit 1"], "args": []}]}}
NewGame = Callable[[], Game]


@pytest.fixture(scope="module")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    """An API of this module's own, so that no other tests' pools are looked after; or the one that is given."""
    given = kubeconfig_given()
    if given is not None:
        if "CAMPAIGNPOOL_TEST_DATABASE" not in os.environ:
            pytest.skip("pods need a database: set CAMPAIGNPOOL_TEST_DATABASE, and CAMPAIGNPOOL_TEST_IMAGE")
        client = Kube(given)
        client.install(crd())
        yield client
        client.close()
        return
    with emulator_thread(backoff=0.2) as emulator:
        client = Kube(emulator.kubeconfig(tmp_path_factory.mktemp("kube") / "config"))
        client.install(crd())
        yield client
        client.close()


@pytest.fixture(scope="module")
def operator(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    with running(kube.kubeconfig, tmp_path_factory.mktemp("operator") / "log") as process:
        yield process
        log = process.log
        assert "Traceback" not in log, log
        assert process.stop() == 0


@pytest.fixture(scope="module")
def template(request: pytest.FixtureRequest) -> str | None:
    """The name of a database with a small game in it; on a real cluster the one that is given serves all tests."""
    if "KUBECONFIG" in os.environ:
        return None
    server: EmbeddedPostgres = request.getfixturevalue("postgres_server")

    async def load(url: str) -> None:
        connection = await asyncpg.connect(url)
        try:
            await chiwar.load(connection, scale=0.1)
        finally:
            await connection.close()

    asyncio.run(load(server.create_database(TEMPLATE)))
    return TEMPLATE


@pytest.fixture
def new_game(kube: Kube, template: str | None, new_database: NewDatabase) -> Iterator[NewGame]:
    games: list[Game] = []

    def make() -> Game:
        game = Game(kube, os.environ["CAMPAIGNPOOL_TEST_DATABASE"] if template is None else new_database(template))
        games.append(game)
        return game

    yield make
    for game in games:
        if kube.get(game.path) is not None:
            kube.patch(game.path, {"metadata": {"finalizers": None}})
            if kube.get(game.path) is not None:
                game.delete()


@pytest.fixture
def game(operator: OperatorProcess, new_game: NewGame) -> Game:
    assert operator.process.poll() is None, operator.log
    return new_game()


def filled(game: Game) -> dict[str, Any]:
    game.has("Ready", "True", "Filled")
    game.has("Progressing", "False", "UpToDate")
    return game.status()


def settled(operator: OperatorProcess, game: Game, loops: int) -> None:
    """Wait until so many loops more have run, each asked for."""
    for number in range(loops):
        before = operator.loops()
        game.touch(f"{time.monotonic()} {number}")
        eventually(lambda before=before: operator.loops() > before, "a loop")


def test_contexts_that_are_for_tests() -> None:
    assert all(is_for_tests(name) for name in ("kind-x", "campaignpool-local", "my-test-cluster"))
    assert not any(is_for_tests(name) for name in ("", "production", "gke_game", "kindly"))


def test_a_pool_is_filled_and_says_so(operator: OperatorProcess, game: Game) -> None:
    returning = game.users()[0]
    game.put_secret()
    game.create(size=3, owners=[{"id": returning, "name": "Ann", "size": 2}])
    status = filled(game)
    assert (status["desired"], status["ready"], status["seeding"], status["claimed"]) == (5, 5, 0, 0)
    owners = {owner["name"]: (owner["desired"], owner["ready"]) for owner in status["owners"]}
    assert owners == {"master": (3, 3), "Ann": (2, 2)}
    assert status["lastSeed"]["statements"] > 0
    assert game.states() == {"ready": 5}
    assert game.pool()["metadata"]["finalizers"] == ["campaignpool.dev/finalizer"]
    assert "annotations" not in game.pool()["metadata"], "kopf stores nothing"

    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    table = game.kube.get(game.path, Accept=accept)
    assert table is not None
    columns = [column["name"] for column in table["columnDefinitions"]]
    cells = dict(zip(columns, table["rows"][0]["cells"], strict=True))
    assert (cells["Ready"], cells["Desired"], cells["Claimed"], cells["Status"]) == (5, 5, 0, "Filled")

    for reason, times in (("Filled", 1), ("SeedingStarted", 2), ("RevisionInstalled", 1)):
        assert game.count_events("Normal", reason) == times
    assert operator.metrics()[f'campaignpool_desired_campaigns{{namespace="{game.namespace}",pool="chiwar"}}'] == 5
    assert httpx.get(f"{operator.url}/livez").text == "ok\n"


def test_a_claim_is_heard_and_replaced_within_seconds(game: Game) -> None:
    game.put_secret()
    game.create(size=3)
    filled(game)
    user = game.users()[0]
    jobs = len(game.jobs())
    began = time.monotonic()
    assert game.claim(user)["source"] == "master"
    eventually(lambda: len(game.jobs()) > jobs, "a Job was made")
    assert time.monotonic() - began < 1.5, "the notification, not the resync, was heard"
    eventually(lambda: (game.status()["claimed"], game.status()["ready"]) == (1, 3), "refilled")
    assert game.condition("Ready")["status"] == "True"
    assert game.states() == {"ready": 3, "claimed": 1}


def test_a_connection_that_is_cut_is_opened_again(game: Game) -> None:
    game.put_secret()
    game.create()
    filled(game)
    ours = "application_name = 'campaignpool-operator' AND query ~ '^LISTEN|campaign_pool.wake'"
    listening = f"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND {ours}"
    (before,) = eventually(lambda: game.fetch(listening), "listening")
    game.fetch("SELECT pg_terminate_backend($1)", before["pid"])
    eventually(lambda: [row for row in game.fetch(listening) if row != before], "listening again")
    game.claim(game.users()[0])
    eventually(lambda: (game.status()["claimed"], game.status()["ready"]) == (1, 2), "refilled")


def test_an_idle_pool_is_never_written(operator: OperatorProcess, game: Game) -> None:
    game.put_secret()
    game.create()
    filled(game)
    eventually(lambda: not [job for job in game.jobs() if not job["status"].get("completionTime")], "Jobs ended")
    settled(operator, game, 2)
    writes, status = operator.metric("campaignpool_status_writes_total"), game.status()
    version = game.pool()["metadata"]["resourceVersion"]
    requested = operator.loops()
    # Touching the pool would change its version; an event of one of its Jobs asks for a loop as well.
    job = game.jobs()[0]["metadata"]["name"]
    path = f"/apis/batch/v1/namespaces/{game.namespace}/jobs/{job}"
    for number in range(5):
        game.kube.patch(path, {"metadata": {"annotations": {"touched": str(number)}}})
        eventually(lambda number=number: operator.loops() > requested + number, "a loop")
    assert operator.metric("campaignpool_status_writes_total") == writes
    assert game.status() == status
    assert game.pool()["metadata"]["resourceVersion"] == version


def test_what_is_too_much_is_retired(game: Game) -> None:
    returning = game.users()[0]
    game.put_secret()
    game.create(size=4, owners=[{"id": returning, "size": 2}])
    filled(game)
    campaigns = "SELECT count(*) FROM campaigns WHERE NOT is_master_template"
    before = game.fetch(campaigns)[0][0]
    game.patch(size=1, owners=[])
    eventually(lambda: game.states() == {"ready": 1}, "retired and removed")
    assert game.fetch(campaigns)[0][0] == before - 5
    status = filled(game)
    assert (status["desired"], status["ready"]) == (1, 1)
    assert [owner["name"] for owner in status["owners"]] == ["master"]


def test_a_paused_pool_holds_still_and_is_claimed_from(operator: OperatorProcess, game: Game) -> None:
    game.put_secret()
    game.create(size=2)
    filled(game)
    game.patch(paused=True)
    game.has("Paused", "True")
    game.claim(game.users()[0])
    eventually(lambda: game.status()["claimed"] == 1, "seen")
    settled(operator, game, 2)
    assert game.states() == {"ready": 1, "claimed": 1}
    assert game.condition("Ready")["reason"] == "Paused"
    game.patch(paused=False)
    filled(game)
    assert game.states() == {"ready": 2, "claimed": 1}
    assert game.count_events("Normal", "Paused") == game.count_events("Normal", "Resumed") == 1


def test_deletion_removes_what_nobody_claimed_and_nothing_else(operator: OperatorProcess, game: Game) -> None:
    campaigns = game.fetch("SELECT count(*) FROM campaigns")[0][0]
    game.put_secret()
    game.create(size=3)
    filled(game)
    claimed = game.claim(game.users()[0])["campaign_id"]
    filled(game)
    rows = "SELECT count(*) FROM schticks WHERE campaign_id = $1::uuid"
    whole = game.fetch(rows, claimed)[0][0]
    game.delete()
    game.gone()
    assert game.states() == {"claimed": 1}
    assert game.fetch("SELECT count(*) FROM campaigns")[0][0] == campaigns + 1
    assert game.fetch(rows, claimed)[0][0] == whole > 0
    snapshots = "SELECT FROM pg_class WHERE relnamespace = 'campaign_pool'::regnamespace AND relname ~ '^r[0-9]'"
    assert game.fetch(snapshots) == []
    with pytest.raises(asyncpg.PostgresError, match="no pool named"):
        game.claim(game.users()[0])
    eventually(lambda: not game.jobs(), "the Jobs are gone")
    assert not [key for key in operator.metrics() if game.namespace in key]
    game.create(size=1)
    filled(game)
    assert game.states() == {"claimed": 1, "ready": 1}


def test_deletion_leaves_and_names_what_others_hang_on(operator: OperatorProcess, game: Game) -> None:
    game.put_secret()
    game.create(size=2)
    filled(game)
    held = game.fetch("SELECT root_key FROM campaign_pool.campaign ORDER BY id LIMIT 1")[0]["root_key"]
    game.fetch(
        "INSERT INTO invitations (campaign_id, user_id, email, created_at, updated_at)"
        " SELECT $1::text::uuid, id, 'a@example.com', now(), now() FROM users LIMIT 1",
        held,
    )
    game.delete()
    game.gone()
    assert game.states() == {"retiring": 1}
    results = [line for line in operator.log.splitlines() if "campaigns left in place" in line and game.key in line]
    assert len(results) == 1
    assert "invitations" in results[0]


def test_deletion_ends_active_jobs(game: Game) -> None:
    game.put_secret()
    game.create(seeding={"podTemplate": HANGS})
    eventually(game.jobs, "a Job")
    assert game.has("Progressing", "True", "Seeding")
    game.delete()
    game.gone()
    eventually(lambda: not game.jobs(), "the Jobs are gone")


def test_deletion_needs_no_secret(game: Game) -> None:
    game.put_secret()
    game.create()
    filled(game)
    game.kube.delete(f"{game.secrets}/chiwar-database")
    game.delete()
    game.gone()
    assert game.states() == {}


def test_a_namespace_that_is_deleted_takes_its_pool_along(game: Game) -> None:
    game.put_secret()
    game.create()
    filled(game)
    game.kube.delete(f"/api/v1/namespaces/{game.namespace}")
    eventually(lambda: game.kube.get(f"/api/v1/namespaces/{game.namespace}") is None, "the namespace is gone")
    assert game.states() == {}


def test_a_pool_that_was_never_in_a_ledger_is_let_go_at_once(game: Game) -> None:
    game.create()
    game.has("Ready", "False", "SecretNotFound")
    assert "finalizers" not in game.pool()["metadata"]
    game.delete()
    game.gone()


Prepare = Callable[[Game], dict[str, Any]]


def with_secret(spec: dict[str, Any] | None = None, **data: str) -> Prepare:
    def prepare(game: Game) -> dict[str, Any]:
        game.put_secret(**{key: value.replace("URL", game.url) for key, value in data.items()})
        return spec or {}

    return prepare


def with_url(**parts: str) -> Prepare:
    def prepare(game: Game) -> dict[str, Any]:
        game.put_secret(url=game.at(**parts))
        return {}

    return prepare


def with_blueprint(change: Callable[[dict[str, Any]], object]) -> Prepare:
    def prepare(game: Game) -> dict[str, Any]:
        game.put_secret()
        blueprint = game.manifest["spec"]["blueprint"]
        change(blueprint["inline"])
        return {"blueprint": blueprint}

    return prepare


def two_templates(game: Game) -> dict[str, Any]:
    game.put_secret()
    game.fetch(
        "INSERT INTO campaigns (user_id, name, is_master_template, active, created_at, updated_at) "
        "SELECT user_id, 'another', true, true, now(), now() FROM campaigns WHERE is_master_template"
    )
    return {}


BAD = {
    "no Secret": (lambda game: {}, "SecretNotFound", "chiwar-database"),  # noqa: ARG005 (nothing is prepared)
    "no key": (with_secret(password="URL"), "SecretKeyMissing", "no key url"),
    "no URL": (with_secret(url="mysql://u@h/d"), "DatabaseUrlInvalid", "postgresql://"),
    "wrong password": (with_url(password="wr0ng-s3cr3t"), "DatabaseAuthenticationFailed", "password"),
    "no such database": (with_url(database="absent"), "DatabaseNotFound", "database"),
    "unreachable": (with_url(host="127.0.0.1:1"), "DatabaseUnreachable", "database"),
    "no template": (with_secret({"template": {"where": "false"}}), "TemplateNotFound", "spec.template.where"),
    "two templates": (two_templates, "TemplateAmbiguous", "more than one row"),
    "no such table": (
        with_blueprint(lambda blueprint: blueprint["tables"].append({"name": "dragons"})),
        "BlueprintInvalid",
        "dragons",
    ),
    "no such column": (
        with_blueprint(lambda blueprint: blueprint["root"]["set"].update(wings="2")),
        "BlueprintInvalid",
        "wings",
    ),
    "no ConfigMap": (
        with_secret({"blueprint": {"configMapRef": {"name": "plan"}, "inline": None}}),
        "ConfigMapNotFound",
        "ConfigMap plan",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_as_a_condition_an_event_and_a_pause(operator: OperatorProcess, game: Game, case: str) -> None:
    prepare, reason, says = BAD[case]
    spec = prepare(game)
    if spec.get("blueprint", {}).get("inline", "") is None:
        del spec["blueprint"]["inline"]
    game.create(**spec)
    ready = game.has("Ready", "False", reason)
    assert says in ready["message"]
    assert ready["message"].endswith(".")
    degraded = game.has("Degraded", "True", reason)
    assert degraded["message"] == ready["message"]
    writes = operator.metric("campaignpool_status_writes_total")
    settled(operator, game, 3)
    assert operator.metric("campaignpool_status_writes_total") == writes, "said once"
    warnings = [event for event in game.events() if event[0] == "Warning"]
    assert [(kind, why) for kind, why, _ in warnings] == [("Warning", reason)]
    assert game.jobs() == []
    everything = operator.log + str(game.pool()) + str(game.events())
    password = urllib.parse.urlsplit(game.url).password
    assert password
    assert password not in everything
    assert "wr0ng-s3cr3t" not in everything
    assert "Traceback" not in everything


def test_what_is_mended_heals(game: Game) -> None:
    game.put_secret(url=game.at(host="127.0.0.1:1"))
    game.create()
    game.has("Ready", "False", "DatabaseUnreachable")
    game.kube.delete(f"{game.secrets}/chiwar-database")
    game.put_secret()
    game.touch("now")
    filled(game)
    assert game.count_events("Normal", "Recovered") == 1


def test_sizes_above_max_size_are_filled_as_far_as_it_allows(game: Game) -> None:
    game.put_secret()
    game.create(size=2, maxSize=3, owners=[{"id": "someone", "size": 4}])
    ready = game.has("Ready", "False", "TargetsExceedMaxSize")
    assert "add up to 6, maxSize is 3" in ready["message"]
    assert game.states() == {"ready": 3}
    game.patch(maxSize=10)
    filled(game)


def test_another_root_table_is_refused(game: Game) -> None:
    game.put_secret()
    game.create()
    filled(game)
    # By way of a ConfigMap, which no rule of the API guards.
    text = "root: {table: users}"
    config_map = {"metadata": {"name": "plan"}, "data": {"blueprint.yaml": text}}
    game.kube.create(f"/api/v1/namespaces/{game.namespace}/configmaps", config_map)
    blueprint = {"inline": None, "configMapRef": {"name": "plan", "key": "blueprint.yaml"}}
    game.patch(blueprint=blueprint, template={"where": "id = (SELECT min(id::text)::uuid FROM users)"})
    assert "campaigns" in game.has("Ready", "False", "RootTableChanged")["message"]
    assert game.states() == {"ready": 2}


def test_settings_reach_the_ledger_while_the_blueprint_is_broken(game: Game) -> None:
    game.put_secret()
    game.create(size=1)
    filled(game)
    blueprint = {"inline": None, "configMapRef": {"name": "absent", "key": "blueprint.yaml"}}
    game.patch(blueprint=blueprint, claims={"onEmpty": "Fail"})
    game.has("Ready", "False", "ConfigMapNotFound")
    assert game.claim(game.users()[0])["source"] == "master"
    with pytest.raises(asyncpg.PostgresError) as empty:
        game.claim(game.users()[0])
    assert empty.value.sqlstate == "CP002", "the pool says Fail, not Clone"


def test_an_owner_called_master_has_a_pool_of_its_own(game: Game) -> None:
    game.put_secret()
    game.create(size=1, owners=[{"id": "master", "size": 2}])
    status = filled(game)
    assert {owner["id"]: owner["ready"] for owner in status["owners"]} == {"": 1, "master": 2}
    assert status["replicas"] == 1, "what kubectl scale sets is the size of the master pool"
    assert len({job["metadata"]["name"] for job in game.jobs()}) == 2


def test_stale_campaigns_that_no_claim_may_give_are_replaced(game: Game) -> None:
    game.put_secret()
    game.create(size=2, claims={"allowStale": False})
    filled(game)
    before = {row["root_key"] for row in game.fetch("SELECT root_key FROM campaign_pool.campaign")}
    blueprint = game.manifest["spec"]["blueprint"]
    blueprint["inline"]["root"]["set"]["name"] = "'another'"
    game.patch(blueprint=blueprint)

    def replaced() -> bool:
        rows = game.fetch("SELECT root_key, state FROM campaign_pool.campaign")
        return len(rows) == 2 and {row["state"] for row in rows} == {"ready"} and not before & {r[0] for r in rows}

    eventually(replaced, "all are of the new revision")
    status = filled(game)
    assert (status["ready"], status["stale"]) == (2, 0)


def test_a_pod_template_that_cannot_be_merged_is_a_condition(operator: OperatorProcess, game: Game) -> None:
    game.put_secret()
    game.create(seeding={"podTemplate": {"spec": {"containers": [None]}}})
    assert "spec.seeding.podTemplate" in game.has("Degraded", "True", "SpecInvalid")["message"]
    assert "Traceback" not in operator.log
    game.patch(seeding={"podTemplate": None})
    filled(game)


def with_container(**changes: Any) -> dict[str, Any]:
    return {"podTemplate": {"spec": {"containers": [{"name": "seeder", **changes}]}}, "backoffLimit": 0}


ABSENT_KEY = {"name": "X", "valueFrom": {"secretKeyRef": {"name": "chiwar-database", "key": "nope"}}}
NOT_RUNNING: dict[str, tuple[dict[str, Any], str]] = {
    "ImagePullBackOff": ({"image": "nowhere.invalid/seeder:9"}, "spec.seeding.image"),
    "InvalidImageName": ({"image": "Bad Name"}, "spec.seeding.image"),
    "ErrImageNeverPull": (
        with_container(image="nowhere.invalid/absent:1", imagePullPolicy="Never"),
        "imagePullPolicy",
    ),
    "Unschedulable": ({"podTemplate": {"spec": {"nodeSelector": {"disk": "absent"}}}}, "node selector"),
    "CreateContainerConfigError": (with_container(env=[ABSENT_KEY]), "nope"),
    "ServiceAccountNotFound": ({"podTemplate": {"spec": {"serviceAccountName": "nope"}}}, "serviceAccountName"),
    "StartError": (with_container(command=["/nope"]), "/nope"),
    "OOMKilled": ({"resources": {"limits": {"memory": "8Mi"}}, "backoffLimit": 0}, "its limit of 8Mi"),
    "QuotaExceeded": ({}, "exceeded quota: none"),
    "Suspended": (with_container(command=["sleep", "600"], args=[]), "is suspended"),
}


def test_a_pod_that_does_not_run_is_explained_within_ten_seconds(
    operator: OperatorProcess, new_game: NewGame
) -> None:
    games = {reason: new_game() for reason in NOT_RUNNING}
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    namespace = games["QuotaExceeded"].namespace
    games["QuotaExceeded"].kube.create(f"/api/v1/namespaces/{namespace}/resourcequotas", quota)
    for reason, game in games.items():
        game.put_secret()
        game.create(size=1, seeding=NOT_RUNNING[reason][0])
    held = games["Suspended"]
    (job,) = eventually(held.jobs, "a Job")
    path = f"/apis/batch/v1/namespaces/{held.namespace}/jobs/{job['metadata']['name']}"
    held.kube.patch(path, {"spec": {"suspend": True}})
    for reason, game in games.items():
        degraded = game.has("Degraded", "True", reason)
        assert NOT_RUNNING[reason][1] in degraded["message"], degraded
        assert game.condition("Ready")["reason"] == reason
        progressing = game.condition("Progressing")
        assert progressing["status"] == "False"
        assert progressing["reason"] in (reason, "Backoff"), progressing
    assert "Traceback" not in operator.log


def test_a_job_that_cannot_start_is_replaced_after_its_deadline_with_a_pause(game: Game) -> None:
    game.put_secret()
    game.create(size=1, seeding={"image": "nowhere.invalid/seeder:9", "startDeadlineSeconds": 10})
    (first,) = eventually(game.jobs, "a Job")
    eventually(lambda: not game.jobs(), "it is deleted")
    game.has("Progressing", "False", "Backoff")
    degraded = game.has("Degraded", "True", "ImagePullBackOff")
    assert "retried after 10 s" in degraded["message"]
    rows = game.fetch("SELECT outcome, reason FROM campaign_pool.run")
    assert [tuple(row) for row in rows] == [("Failed", "ImagePullBackOff")]
    game.patch(seeding={"image": None})
    filled(game)
    assert first["metadata"]["name"] not in {job["metadata"]["name"] for job in game.jobs()}


def test_a_seeder_beside_a_sidecar_counts_as_finished(game: Game) -> None:
    game.put_secret()
    proxy = {"name": "proxy", "image": "proxy:1", "command": ["sleep", "600"]}
    game.create(size=1, maxConcurrent=1, seeding={"podTemplate": {"spec": {"containers": [proxy]}}})
    status = filled(game)
    assert status["ready"] == 1
    game.claim(game.users()[0])
    eventually(lambda: game.status()["claimed"] == 1 and game.status()["ready"] == 1, "the next Job had a place")
    eventually(lambda: not game.jobs(), "Jobs whose run succeeded are deleted")


def test_failed_runs_are_retried_at_once_when_the_annotation_says_so(game: Game) -> None:
    game.put_secret()
    game.create(size=1, seeding={"podTemplate": FAILS, "backoffLimit": 0})
    game.has("Degraded", "True", "SeedingFailed")
    (first,) = game.jobs()
    game.kube.patch(game.path, {"metadata": {"annotations": {"campaignpool.dev/retry": "1"}}})
    eventually(lambda: len(game.jobs()) == 2, "another Job, before the pause is over")
    assert game.count_events("Normal", "Retried") == 1
    assert game.status()["retried"] == "1"
    assert first in game.jobs()


def test_a_seeder_that_gave_up_on_the_database_is_named_and_retried_after_a_pause(game: Game) -> None:
    game.put_secret()
    game.create(size=1, seeding={"podTemplate": INTERRUPTED, "backoffLimit": 0})
    degraded = game.has("Degraded", "True", "SeedingInterrupted")
    assert "it is retried after 10 s" in degraded["message"]
    (job,) = game.jobs()
    assert f"kubectl logs job/{job['metadata']['name']}" in degraded["message"]
    game.has("Progressing", "False", "Backoff")


def test_a_job_that_fails_is_kept_as_the_cause_and_the_next_waits(operator: OperatorProcess, game: Game) -> None:
    game.put_secret()
    game.create(seeding={"podTemplate": FAILS, "backoffLimit": 0})
    degraded = game.has("Degraded", "True", "SeedingFailed")
    assert "BackoffLimitExceeded" in degraded["message"]
    game.has("Progressing", "False", "Backoff")
    settled(operator, game, 2)
    assert len(game.jobs()) == 1, "no Job before the pause is over"
    game.patch(seeding={"podTemplate": None})
    status = filled(game)
    assert status["ready"] == 2
    assert game.has("Degraded", "False", "AsExpected")
    numbers = [row["number"] for row in game.fetch("SELECT number FROM campaign_pool.run ORDER BY number")]
    assert numbers == [1, 2]


def test_a_pool_in_trouble_delays_no_other(operator: OperatorProcess, new_game: NewGame) -> None:
    troubled = [new_game() for _ in range(3)]
    for item in troubled:
        item.put_secret(url=item.at(host="127.0.0.1:1"))
        item.create()
    well = new_game()
    well.put_secret()
    well.create()
    filled(well)
    for item in troubled:
        item.has("Ready", "False", "DatabaseUnreachable")
    assert operator.process.poll() is None


class TestRestarts:
    """Operators of their own, each for one namespace of an API that no other operator looks at."""

    @pytest.fixture
    def own_kube(self, tmp_path: Path) -> Iterator[Kube]:
        if "KUBECONFIG" in os.environ:
            pytest.skip("another operator would be active in the same cluster")
        with emulator_thread(backoff=0.2) as emulator:
            client = Kube(emulator.kubeconfig(tmp_path / "config"))
            client.install(crd())
            yield client
            client.close()

    @pytest.fixture
    def own_game(self, own_kube: Kube, template: str, new_database: NewDatabase) -> Game:
        game = Game(own_kube, new_database(template))
        game.put_secret()
        return game

    def test_killed_while_active_it_continues_and_makes_no_campaign_too_many(
        self, own_game: Game, tmp_path: Path
    ) -> None:
        log = tmp_path / "log"
        own_game.create(size=6, seeding={"batchSize": 1})
        with running(own_game.kube.kubeconfig, log) as operator:
            eventually(own_game.jobs, "a Job")
            operator.stop(signal.SIGKILL)
        with running(own_game.kube.kubeconfig, log) as operator:
            filled(own_game)
            assert own_game.states() == {"ready": 6}
            assert len(own_game.jobs()) == 1
            began = time.monotonic()
            assert operator.stop() == 0
            assert time.monotonic() - began < 5

    def test_it_runs_as_a_numeric_user_without_a_name(self, own_kube: Kube, tmp_path: Path) -> None:
        if why := refusal():
            pytest.skip(f"no process can be run as a foreign user here: {why}")
        with running(own_kube.kubeconfig, tmp_path / "log") as operator:
            uid = Path(f"/proc/{operator.process.pid}/uid_map").read_text().split()[0]
            assert uid == "65532"
            assert operator.stop() == 0, operator.log

    def test_with_the_option_a_secret_needs_the_label(self, own_game: Game, tmp_path: Path) -> None:
        own_game.create(size=1)
        with running(own_game.kube.kubeconfig, tmp_path / "log", "--require-secret-label"):
            degraded = own_game.has("Degraded", "True", "SecretNotLabelled")
            assert 'lacks the label campaignpool.dev/database: "true"' in degraded["message"]
            assert not own_game.jobs()
            secret = f"{own_game.secrets}/chiwar-database"
            own_game.kube.patch(secret, {"metadata": {"labels": {"campaignpool.dev/database": "true"}}})
            own_game.touch("labelled")
            filled(own_game)

    def test_claims_go_on_without_it_and_are_made_up_for(self, own_game: Game, tmp_path: Path) -> None:
        own_game.create(size=2)
        with running(own_game.kube.kubeconfig, tmp_path / "log"):
            filled(own_game)
        for user in own_game.users()[:3]:
            own_game.claim(user)
        with running(own_game.kube.kubeconfig, tmp_path / "log"):
            eventually(lambda: own_game.status()["claimed"] == 3, "the claims are seen")
            filled(own_game)
        assert own_game.states() == {"ready": 2, "claimed": 3}

    def test_a_pool_deleted_meanwhile_is_drained_at_the_next_start(self, own_game: Game, tmp_path: Path) -> None:
        own_game.create(size=2)
        with running(own_game.kube.kubeconfig, tmp_path / "log"):
            filled(own_game)
        own_game.delete()
        assert own_game.pool()["metadata"]["deletionTimestamp"]
        with running(own_game.kube.kubeconfig, tmp_path / "log"):
            own_game.gone()
        assert own_game.states() == {}

    def test_a_pool_that_cannot_be_cleaned_up_goes_after_a_time_and_says_what_is_left(
        self, own_game: Game, tmp_path: Path
    ) -> None:
        own_game.create(size=1, deletion={"timeout": "4s"})
        with running(own_game.kube.kubeconfig, tmp_path / "log"):
            filled(own_game)
        own_game.kube.delete(f"{own_game.secrets}/chiwar-database")
        with running(own_game.kube.kubeconfig, tmp_path / "log"):
            own_game.has("Degraded", "True", "SecretNotFound")
            own_game.delete()
            told = "after spec.deletion.timeout"
            eventually(lambda: told in own_game.condition("Degraded")["message"], "the way out is named")
            own_game.gone()
            assert own_game.count_events("Warning", "LeftBehind") == 1
        assert own_game.states() == {"ready": 1}

    def test_it_waits_for_an_api_that_does_not_know_pools_yet(
        self, template: str, new_database: NewDatabase, tmp_path: Path
    ) -> None:
        if "KUBECONFIG" in os.environ:
            pytest.skip("the API of a real cluster is there")
        with emulator_thread() as before:
            client = Kube(before.kubeconfig(tmp_path / "config"))
            with running(client.kubeconfig, tmp_path / "log", ready=False) as operator:
                eventually(lambda: "the pools cannot be listed" in operator.log, "the missing CRD is said")
                assert httpx.get(f"{operator.url}/readyz").status_code == 503
                assert httpx.get(f"{operator.url}/livez").status_code == 200
                client.install(crd())
                game = Game(client, new_database(template))
                game.put_secret()
                game.create(size=1)
                filled(game)
                assert "Traceback" not in operator.log
            client.close()

    def test_it_serves_the_namespaces_that_are_set(self, own_game: Game, own_kube: Kube, tmp_path: Path) -> None:
        other = Game(own_kube, own_game.url)
        other.create()
        own_game.create()
        with running(own_kube.kubeconfig, tmp_path / "log", f"--namespaces={own_game.namespace}") as operator:
            filled(own_game)
            settled(operator, own_game, 2)
            assert "status" not in other.pool()
