"""`kubectl campaignpool` against a cluster: with a user's rights, and the operator's API by way of the API server."""

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import httpx
import pytest
import yaml

from campaignpool.api.crd import crd
from campaignpool.cli.checks import CHECKS
from campaignpool.cli.common import INTERRUPTED
from campaignpool_kubectl.main import main
from campaignpool_local.emulator import Emulator, emulator_thread
from campaignpool_operator.runtime.config import VERSION
from tests.integration.test_dashboard_api import address
from tests.support.accounts import kubeconfig_of
from tests.support.clusters import needs_emulator
from tests.support.kube import Kube, eventually
from tests.support.operators import Game, filled, running
from tests.support.postgres import NewDatabase

pytestmark = [pytest.mark.integration, pytest.mark.kubectl, needs_emulator]
KUBECTL = Path(__file__).parents[2] / ".tools/kubectl/1.37/kubectl"
RBAC = "/apis/rbac.authorization.k8s.io/v1/{}"
RULES = [
    {"apiGroups": ["campaignpool.dev"], "resources": ["campaignpools"], "verbs": ["get", "list", "patch"]},
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["events", "pods"], "verbs": ["list"]},
]
REACH = [{"apiGroups": [""], "resources": ["pods/log", "services", "services/proxy"], "verbs": ["get", "list"]}]


Run: TypeAlias = Callable[..., tuple[int, str]]


@pytest.fixture
def cluster() -> Iterator[Emulator]:
    with emulator_thread(backoff=0.2) as emulator:
        yield emulator


def account(cluster: Emulator, kube: Kube, name: str, rules: list[dict[str, list[str]]], folder: Path) -> Path:
    """Create a service account with these rights in the whole cluster, and return its kubeconfig."""
    kube.create("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": name}})
    kube.create(RBAC.format("clusterroles"), {"metadata": {"name": name}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
    binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    kube.create(RBAC.format("clusterrolebindings"), binding)
    path = kubeconfig_of(cluster, kube, "default", name, folder / name)
    config = yaml.safe_load(path.read_text())
    # kubectl sends tokens over TLS only, which the emulator does not have.
    config["users"][0]["user"]["as"] = f"system:serviceaccount:default:{name}"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    if not KUBECTL.exists():
        pytest.skip("there is no kubectl: make kubectl fetches it")
    monkeypatch.setenv("PATH", str(KUBECTL.parent), prepend=":")
    assert shutil.which("kubectl") == str(KUBECTL)

    def call(*words: str) -> tuple[int, str]:
        code = main(words)
        output = capsys.readouterr()
        return code, output.out + output.err

    return call


@contextlib.contextmanager
def dashboard(user: str) -> Iterator[str]:
    """Run the dashboard on this machine, and yield its address."""
    code = "import sys; from campaignpool_kubectl.main import main; sys.exit(main())"
    process = subprocess.Popen([sys.executable, "-c", code, "dashboard", user], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()
        assert process.wait(20) == INTERRUPTED
    finally:
        process.kill()
        process.communicate()


@dataclass(frozen=True)
class Setting:
    """A pool of which one campaign was claimed; ann may change it and reach the operator's API, ben only looks."""

    game: Game
    ann: str
    ben: str
    claimed: str


@pytest.fixture
def setting(cluster: Emulator, new_database: NewDatabase, chiwar_template: str, tmp_path: Path) -> Iterator[Setting]:
    kube = Kube(cluster.kubeconfig(tmp_path / "admin"))
    kube.install(crd())
    game = Game(kube, new_database(chiwar_template))
    ann = f"--kubeconfig={account(cluster, kube, 'ann', RULES + REACH, tmp_path)}"
    ben = f"--kubeconfig={account(cluster, kube, 'ben', [{**RULES[0], 'verbs': ['get', 'list']}], tmp_path)}"
    with running(kube.kubeconfig, tmp_path / "log", "--dashboard", "--dashboard-port=0") as operator:
        port = int(address(operator).split(":")[2].split("/")[0])
        labels, ports = {"campaignpool.dev/dashboard": "true"}, [{"name": "http", "port": 8081, "targetPort": port}]
        service = {"metadata": {"name": "dashboard", "labels": labels}, "spec": {"ports": ports}}
        kube.create("/api/v1/namespaces/default/services", service)
        game.put_secret()
        game.create()
        filled(game)
        yield Setting(game, ann, ben, game.claim(game.users()[0])["campaign_id"])
        assert "Traceback" not in operator.log, operator.log
    kube.close()


def test_a_person_looks_at_a_pool_and_changes_it_without_a_database_password(setting: Setting, run: Run) -> None:
    game, ann, ben = setting.game, setting.ann, setting.ben
    # With a right to the operator's API there are figures of the database, without it what the cluster knows.
    code, text = run("status", game.key, ann, "-o", "json")
    assert code == 0, text
    shown = json.loads(text)
    assert shown["ledger"] == {"known": True}, shown["ledger"]
    assert (shown["day"]["claims"], shown["hidden"]) == (1, [])
    assert max(len(job.get("log", ())) for job in shown["jobs"]) == 3
    code, text = run("status", game.key, ben)
    assert code == 0, text
    assert "EVENT" not in text
    assert "DATABASE    not read" in text
    assert "you may not list" in text

    code, text = run("pause", game.key, ben)
    assert (code, "cannot patch" in text) == (1, True), text
    code, text = run("pause", game.key, ann, "--dry-run")
    assert (code, '"paused": true' in text) == (0, True), text
    assert game.pool()["spec"].get("paused", False) is False
    code, text = run("drain", game.key, ann, "--wait", "--timeout=30s")
    assert (code, text) == (0, f"{game.key}: drain is done\n")
    assert game.count_events("Normal", "Drained") == 1
    eventually(lambda: game.states() == {"ready": 2, "claimed": 1}, "the pool is filled again")

    # The operator's pod checks the database; a user who may not reach its API hears what the cluster knows.
    code, lines = checked(run, ann)
    assert code == 0, lines
    assert lines["definition"][0][0] == "note"
    assert ("ok", f"{game.key}: the server's clock and the operator's agree within 10 s") in lines["clock"]
    assert [status for status, _ in lines["clock"]] == ["ok"] * 3
    assert lines.keys() >= set(CHECKS)
    admin = f"--kubeconfig={game.kube.kubeconfig}"
    code, lines = checked(run, admin, "-n", game.namespace)
    assert (code, lines["operator"][0][0], lines["definition"][0][0]) == (1, "fix", "ok"), lines
    assert "the operator's pod reaches the database, and a seeder did at" in lines["connection"][0][1]
    install_operator(game.kube)
    game.patch(template={"where": "false"})
    game.has("Degraded", "True", "TemplateNotFound")
    code, lines = checked(run, admin, "-n", game.namespace)
    assert (code, lines["operator"][0][0], lines["leader"][0][0]) == (1, "ok", "fix"), lines
    assert "TemplateNotFound" in lines["pools"][0][1]


def checked(run: Run, *words: str) -> tuple[int, dict[str, list[tuple[str, str]]]]:
    """Return the exit code of `doctor`, and (status, message) by check."""
    code, text = run("doctor", "-o", "json", *words)
    lines: dict[str, list[tuple[str, str]]] = {}
    for item in json.loads(text)["checks"]:
        lines.setdefault(item["check"], []).append((item["status"], item["message"]))
    return code, lines


def install_operator(kube: Kube) -> None:
    """Create the chart's Deployment, whose pods are ready, and the Lease of a leader that is gone."""
    labels = {"app.kubernetes.io/part-of": "campaignpool"}
    variables = [{"name": "CAMPAIGNPOOL_LEASE_NAME", "value": "operator"}]
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "operator", "image": f"operator:{VERSION}", "env": variables}]},
    }
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    deployments = "/apis/apps/v1/namespaces/default/deployments"
    kube.create(deployments, {"metadata": {"name": "operator", "labels": labels}, "spec": spec})
    kube.patch(f"{deployments}/operator/status", {"status": {"replicas": 1, "readyReplicas": 1}})
    held = {"holderIdentity": "gone_1", "leaseDurationSeconds": 12, "renewTime": "2026-01-01T00:00:00.000000Z"}
    kube.create(
        "/apis/coordination.k8s.io/v1/namespaces/default/leases", {"metadata": {"name": "operator"}, "spec": held}
    )


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_every_command_of_the_plugin_does_what_it_says(setting: Setting, run: Run) -> None:
    game, ann, ben = setting.game, setting.ann, setting.ben
    assert "hit rate 100 %" in run("status", "chiwar", "-n", game.namespace, ann)[1]
    assert game.key in run("status", "-A", ann)[1]
    assert run("status", f"{game.namespace}/none", ann)[0] == 2
    assert setting.claimed in run("claims", game.key, ann)[1]
    assert f"{game.key} wants 2 campaigns" in run("explain", game.key, ann)[1]
    actions = (("pause",), ("drain",), ("resume",), ("refresh",), ("release", setting.claimed), ("resize", "1"))
    for name, *value in actions:
        code, text = run(name, game.key, *value, ann, "--wait", "--timeout=30s")
        assert (code, text) == (0, f"{game.key}: {name} is done\n")
    assert game.count_events("Normal", "Released") == 1
    eventually(lambda: game.states() == {"ready": 1}, "the pool is filled again, and the claimed campaign is gone")
    assert "campaignpool.dev/paused-by" not in game.pool()["metadata"].get("annotations", {})
    code, text = run("release", game.key, "0195f2a1-7c5e-7000-8000-00000000c0de", ann, "--wait")
    assert code == 0, text
    assert game.count_events("Warning", "ReleaseRefused") == 1

    assert "revision 1 is in service" in run("rollout", "status", game.key, ann)[1]
    assert run("rollout", "pin", game.key, "1", ann, "--wait")[0] == 0
    assert game.pool()["spec"]["template"]["revision"] == 1
    assert run("rollout", "unpin", game.key, ann, "--wait")[0] == 0
    assert "revision" not in game.pool()["spec"]["template"]
    assert "no earlier revision is kept" in run("rollout", "undo", game.key, ann)[1]

    # The dashboard of this machine has ann's rights, and ben's.
    for user, may_change in ((ann, True), (ben, False)):
        with dashboard(user) as base:
            page = httpx.get(base)
            assert "default-src 'none'" in page.headers["Content-Security-Policy"]
            shown = httpx.get(f"{base}api/v1/pools/{game.key}").json()
            assert (shown["mayChange"], shown["ledger"]["known"]) == (may_change, may_change)
            assert httpx.get(base, headers={"Host": "elsewhere.example"}).status_code == 403
            assert httpx.get(base.rsplit("/", 2)[0] + "/api/v1/pools").status_code == 404
            changes = {"X-CSRF-Token": page.cookies["campaignpool-csrf"]}
            asked = f"{base}actions/{game.key}/refresh"
            answer = httpx.post(asked, json={}, headers=changes, cookies=dict(page.cookies))
            assert answer.status_code == (200 if may_change else 403), answer.text
