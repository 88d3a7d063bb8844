"""The real operator against the Kubernetes API, a real Postgres and real seeding Jobs.

Its resync interval is set to resync once an hour: everything that happens here, an event caused.
"""

import os
import shutil
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml

from campaignpool.api.reasons import find
from tests.support.clusters import is_for_tests
from tests.support.kube import Kube, eventually
from tests.support.operators import Game, Operator, cluster, filled, operator_of, settled
from tests.support.postgres import NewDatabase

pytestmark = pytest.mark.integration

KUBECTLS = sorted((Path(__file__).parents[2] / ".tools/kubectl").glob("*/kubectl"))

INTERRUPTED = {"spec": {"containers": [{"name": "seeder", "command": ["sh", "-c", "exit 75"], "args": []}]}}
HANGS = {"spec": {"containers": [{"name": "seeder", "command": ["sleep", "600"], "args": []}]}}
FAILS = {"spec": {"containers": [{"name": "seeder", "command": ["sh", "-c", "echo no; exit 1"], "args": []}]}}
NewGame = Callable[[], Game]


@pytest.fixture(scope="module")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    with cluster(tmp_path_factory.mktemp("kube")) as client:
        yield client


@pytest.fixture(scope="module")
def operator(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with operator_of(kube, tmp_path_factory.mktemp("operator")) as running:
        yield running


@pytest.fixture
def new_game(kube: Kube, small_game: str, pods_database: NewDatabase) -> Iterator[NewGame]:
    games: list[Game] = []

    def make() -> Game:
        games.append(Game(kube, pods_database(small_game)))
        return games[-1]

    yield make
    for game in games:
        game.close()


@pytest.fixture
def game(operator: Operator, new_game: NewGame) -> Game:
    assert operator.alive(), operator.log
    return new_game()


def test_contexts_that_are_for_tests() -> None:
    assert all(is_for_tests(name) for name in ("kind-x", "campaignpool-local", "my-test-cluster"))
    assert not any(is_for_tests(name) for name in ("", "production", "gke_game", "kindly"))


def test_a_pool_is_filled_and_says_so(operator: Operator, game: Game) -> None:
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

    for reason, times in (("Filled", 1), ("SeedingStarted", 1), ("RevisionInstalled", 1)):
        assert game.count_events("Normal", reason) == times
    assert operator.metrics()[f'campaignpool_desired_campaigns{{namespace="{game.namespace}",pool="chiwar"}}'] == 5
    assert operator.get("/livez") == "ok\n"


def test_a_claim_is_heard_and_replaced(game: Game) -> None:
    game.put_secret()
    game.create(size=3)
    filled(game)
    user = game.users()[0]
    jobs = len(game.jobs())
    assert game.claim(user)["source"] == "master"
    eventually(lambda: len(game.jobs()) > jobs, "a Job was made: the notification was heard, a resync is far away")
    eventually(lambda: (game.status()["claimed"], game.status()["ready"]) == (1, 3), "refilled")
    assert game.condition("Ready")["status"] == "True"
    assert game.states() == {"ready": 3, "claimed": 1}


def test_a_job_that_lingers_makes_up_for_claims(game: Game) -> None:
    game.put_secret()
    game.create(seeding={"lingerSeconds": 60})
    filled(game)
    for user in game.users()[:2]:
        game.claim(user)
        eventually(lambda: game.states()["ready"] == 2, "the claim is made up for")
    (job,) = game.jobs()
    assert not (job.get("status") or {}).get("completionTime"), "no other Job was needed"


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


def test_an_idle_pool_is_never_written(operator: Operator, game: Game) -> None:
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


def test_a_change_of_the_template_is_rolled_out_and_undone(game: Game) -> None:
    game.put_secret()
    game.create(size=2, maxSize=2)
    filled(game)
    first = game.status()["rollout"]["revision"]
    template = "(SELECT id FROM campaigns WHERE is_master_template)"
    game.fetch(f"UPDATE weapons SET name = name || '!' WHERE campaign_id = {template}")
    game.annotate(refresh="now")
    eventually(lambda: game.status()["rollout"]["revision"] > first, "a revision was frozen")
    eventually(lambda: game.revisions() == {game.status()["rollout"]["revision"]}, "all are of the new revision")
    game.has("TemplateCurrent", "True", "TemplateUnchanged")
    (noticed,) = [message for _, reason, message in game.events() if reason == "TemplateChanged"]
    assert "public.weapons (" in noticed
    assert "!" not in noticed
    assert game.status()["refreshed"] == "now"

    of_template = f"(SELECT id FROM weapons WHERE campaign_id = {template})"
    game.fetch(f"DELETE FROM carries WHERE weapon_id IN {of_template}")
    game.fetch("SELECT campaign_pool.template_changed($1)", game.key)
    message = game.has("RolloutStalled", "True", "ShrinkUnconfirmed")["message"]
    assert "rows of public.carries" in message
    second = game.status()["rollout"]["revision"]
    assert game.status()["rollout"]["phase"] == "Stalled"
    game.annotate(**{"confirm-shrink": message.rpartition("=")[2].rstrip(".")})
    eventually(lambda: game.status()["rollout"]["kept"] == [first, second, second + 1], "confirmed and frozen")
    game.has("RolloutStalled", "False")
    eventually(lambda: not game.fetch("SELECT FROM campaign_pool.template_change"), "answered")

    eventually(lambda: game.revisions() == {second + 1}, "all are of the new revision")
    assert game.count_events("Normal", "RolloutComplete")
    game.patch(template={"revision": second})
    eventually(lambda: game.revisions() == {second}, "undone")
    assert filled(game)["rollout"]["phase"] == "Complete"
    game.has("TemplateCurrent", "False", "TemplateChanged")
    game.patch(template={"revision": 999})
    assert "999" in game.has("RolloutStalled", "True", "RevisionNotKept")["message"]


def test_a_change_that_fails_its_check_stops_and_the_pool_goes_on(game: Game) -> None:
    game.put_secret()
    verify = "SELECT id FROM weapons WHERE campaign_id = $campaign AND name LIKE '%!'"
    game.create(size=2, rollout={"verify": verify})
    first = filled(game)["rollout"]["revision"]
    template = "(SELECT id FROM campaigns WHERE is_master_template)"
    game.fetch(f"UPDATE weapons SET name = name || '!' WHERE campaign_id = {template}")
    game.annotate(refresh="now")
    assert "spec.rollout.verify returned" in game.has("RolloutStalled", "True", "CanaryFailed")["message"]
    game.claim(game.users()[0])
    eventually(lambda: (game.status()["claimed"], game.status()["ready"]) == (1, 2), "refilled")
    assert game.revisions() == {first}
    assert game.count_events("Warning", "CanaryFailed") == 1
    game.patch(rollout={"verify": None})
    eventually(lambda: game.status()["rollout"]["revision"] > first, "the check has changed")
    game.has("RolloutStalled", "False")


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


def test_a_paused_pool_holds_still_and_is_claimed_from(operator: Operator, game: Game) -> None:
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


def test_deletion_removes_what_nobody_claimed_and_nothing_else(operator: Operator, game: Game) -> None:
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


def test_deletion_leaves_and_names_what_others_hang_on(operator: Operator, game: Game) -> None:
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
def test_bad_input_ends_as_a_condition_an_event_and_a_pause(operator: Operator, game: Game, case: str) -> None:
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
    ready = game.has("Ready", "True", "TargetsExceedMaxSize")
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


def test_a_new_blueprint_and_a_rotated_password_act_without_a_resync(game: Game) -> None:
    game.put_secret()
    inline = game.manifest["spec"]["blueprint"]["inline"]
    plans = f"/api/v1/namespaces/{game.namespace}/configmaps"
    plan = {"metadata": {"name": "plan"}, "data": {"blueprint.yaml": yaml.safe_dump(inline)}}
    game.create(size=1, blueprint={"configMapRef": {"name": "plan"}})
    game.has("Ready", "False", "ConfigMapNotFound")
    game.kube.create(plans, plan)
    before = filled(game)["rollout"]["revision"]
    text = yaml.safe_dump({**inline, "tables": inline["tables"][:2]})
    game.kube.patch(f"{plans}/plan", {"data": {"blueprint.yaml": text}})
    eventually(lambda: game.status()["rollout"]["revision"] > before, "the blueprint acts")
    filled(game)
    game.kube.patch(f"{game.secrets}/chiwar-database", {"stringData": {"url": game.at(password="wr0ng")}})
    game.has("Degraded", "True", "DatabaseAuthenticationFailed")
    game.kube.patch(f"{game.secrets}/chiwar-database", {"stringData": {"url": game.url}})
    filled(game)


def test_an_owner_called_master_has_a_pool_of_its_own(game: Game) -> None:
    game.put_secret()
    game.create(size=1, owners=[{"id": "master", "size": 2}])
    status = filled(game)
    assert {owner["id"]: owner["ready"] for owner in status["owners"]} == {"": 1, "master": 2}
    assert status["replicas"] == 1, "what kubectl scale sets is the size of the master pool"
    assert len(game.jobs()) == 1, "one Job makes the campaigns of all owners"


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


def test_a_pod_template_that_cannot_be_merged_is_a_condition(operator: Operator, game: Game) -> None:
    game.put_secret()
    game.create(seeding={"podTemplate": {"spec": {"containers": [None]}}})
    assert "spec.seeding.podTemplate" in game.has("Degraded", "True", "SpecInvalid")["message"]
    assert "Traceback" not in operator.log
    game.patch(seeding={"podTemplate": None})
    filled(game)


def with_container(**changes: Any) -> dict[str, Any]:
    return {"podTemplate": {"spec": {"containers": [{"name": "seeder", **changes}]}}, "backoffLimit": 0}


ABSENT_KEY = {"name": "X", "valueFrom": {"secretKeyRef": {"name": "chiwar-database", "key": "nope"}}}


def with_volume(volume: dict[str, Any], **changes: Any) -> dict[str, Any]:
    mounts = [{"name": "more", "mountPath": "/more"}]
    spec = with_container(volumeMounts=mounts, **changes)
    spec["podTemplate"]["spec"]["volumes"] = [{"name": "more", **volume}]
    return spec


FILL = {"command": ["sh", "-c", "head -c 3000000 /dev/zero > /more/a; sleep 600"], "args": []}
NOT_RUNNING: dict[str, tuple[str, dict[str, Any], str]] = {
    "an image that cannot be pulled": (
        "ImagePullBackOff",
        {"image": "nowhere.invalid/seeder:9"},
        "spec.seeding.image",
    ),
    "an image whose name is none": ("InvalidImageName", {"image": "Bad Name"}, "spec.seeding.image"),
    "an image that is never pulled": (
        "ErrImageNeverPull",
        with_container(image="nowhere.invalid/absent:1", imagePullPolicy="Never"),
        "imagePullPolicy",
    ),
    "a node selector of no node": (
        "Unschedulable",
        {"podTemplate": {"spec": {"nodeSelector": {"disk": "absent"}}}},
        "node selector",
    ),
    "more memory than any node has": (
        "Unschedulable",
        {"resources": {"requests": {"memory": "900Gi"}, "limits": {"memory": "900Gi"}}},
        "Insufficient memory",
    ),
    "a key that is missing in a Secret": ("CreateContainerConfigError", with_container(env=[ABSENT_KEY]), "nope"),
    "a volume of a Secret that is missing": (
        "FailedMount",
        with_volume({"secret": {"secretName": "absent"}}),
        '"absent" not found',
    ),
    "a ServiceAccount that is missing": (
        "ServiceAccountNotFound",
        {"podTemplate": {"spec": {"serviceAccountName": "nope"}}},
        "serviceAccountName",
    ),
    "a command that does not exist": ("StartError", with_container(command=["/nope"]), "/nope"),
    "memory above the limit": (
        "OOMKilled",
        {"resources": {"limits": {"memory": "8Mi"}}, "backoffLimit": 0},
        "its limit of 8Mi",
    ),
    "a quota of no pods": ("QuotaExceeded", {}, "exceeded quota: none"),
    "pod security": (
        "PodSecurityViolation",
        with_container(securityContext={"allowPrivilegeEscalation": True}),
        "allowPrivilegeEscalation=false",
    ),
    "a volume that is full": (
        "Evicted",
        with_volume({"emptyDir": {"sizeLimit": "1Mi"}}, **FILL),
        "exceeds the limit",
    ),
    "a Job that takes too long": (
        "DeadlineExceeded",
        {"podTemplate": HANGS, "activeDeadlineSeconds": 10},
        "its pod had not begun to seed",
    ),
    "a Job that is suspended": ("Suspended", with_container(command=["sleep", "600"], args=[]), "is suspended"),
}


def test_kubectl_describe_explains_a_pod_that_does_not_run_within_ten_seconds(
    operator: Operator, new_game: NewGame
) -> None:
    games = {case: new_game() for case in NOT_RUNNING}
    quota, held = games["a quota of no pods"], games["a Job that is suspended"]
    none = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    quota.kube.create(f"/api/v1/namespaces/{quota.namespace}/resourcequotas", none)
    restricted = games["pod security"]
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    restricted.kube.patch(f"/api/v1/namespaces/{restricted.namespace}", {"metadata": {"labels": label}})
    for case, game in games.items():
        game.put_secret()
        game.create(size=1, seeding=NOT_RUNNING[case][1])
    (job,) = eventually(held.jobs, "a Job")
    path = f"/apis/batch/v1/namespaces/{held.namespace}/jobs/{job['metadata']['name']}"
    held.kube.patch(path, {"spec": {"suspend": True}})
    for case, game in games.items():
        reason, _, says = NOT_RUNNING[case]
        degraded = game.has("Degraded", "True", reason)
        assert says in degraded["message"], degraded
        assert game.condition("Ready")["reason"] == reason
        progressing = game.condition("Progressing")
        assert progressing["status"] == "False"
        assert progressing["reason"] in (reason, "Backoff"), progressing
        remedy = find(reason).remedy.replace("`", "").rstrip(".")
        text = " ".join(described(game).split())
        assert remedy in text, f"kubectl describe does not say how to end {reason}:\n{text}"
    assert "Traceback" not in operator.log


def described(game: Game) -> str:
    """Return what kubectl describe says of a pool."""
    kubectl = shutil.which(KUBECTLS[-1] if KUBECTLS else "kubectl")
    if kubectl is None:
        pytest.skip("there is no kubectl: run `make kubectl`")
    command = [kubectl, "describe", "campaignpool", "chiwar", "--namespace", game.namespace]
    environment = {"KUBECONFIG": str(game.kube.kubeconfig), "PATH": os.environ["PATH"], "HOME": "/nowhere"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


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


def test_a_job_that_fails_is_kept_as_the_cause_and_the_next_waits(operator: Operator, game: Game) -> None:
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


def test_a_pool_in_trouble_delays_no_other(operator: Operator, new_game: NewGame) -> None:
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
    assert operator.alive()
