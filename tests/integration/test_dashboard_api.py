"""The dashboard's API: what a viewer sees of pools, by their rights in the cluster."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from campaignpool.api.crd import crd
from campaignpool_local.emulator import Emulator, emulator_thread
from campaignpool_operator.dashboard.models import Claims, PoolList, PoolView, Trends
from campaignpool_operator.dashboard.sizing_models import SizingView
from campaignpool_operator.dashboard.work_models import Logs
from tests.support.clusters import needs_emulator
from tests.support.fuzzing import fuzz
from tests.support.kube import Kube, eventually
from tests.support.operators import Game, OperatorProcess, filled, running
from tests.support.postgres import NewDatabase

pytestmark = [pytest.mark.integration, needs_emulator]
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/{}"


@pytest.fixture
def cluster() -> Iterator[Emulator]:
    with emulator_thread(backoff=0.2) as emulator:
        yield emulator


def viewer(kube: Kube, name: str, namespace: str, **rules: list[str]) -> dict[str, str]:
    """Create a service account that may get and list these resources; return the headers of its token."""
    kube.create("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": name}})
    listed = [{"apiGroups": ["*"], "resources": resources, "verbs": [verb]} for verb, resources in rules.items()]
    kube.create(RBAC.format(namespace, "roles"), {"metadata": {"name": name}, "rules": listed})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
    binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    kube.create(RBAC.format(namespace, "rolebindings"), binding)
    where = f"/api/v1/namespaces/default/serviceaccounts/{name}/token"
    return {"Authorization": f"Bearer {kube.create(where, {'spec': {}})['status']['token']}"}


def address(operator: OperatorProcess) -> str:
    serving = eventually(
        lambda: re.search(r"serving the dashboard port=(\d+)", operator.log), "the dashboard is served"
    )
    return f"http://127.0.0.1:{serving[1]}/api/v1"


def test_viewers_see_what_the_api_server_lets_them_see(
    cluster: Emulator, new_database: NewDatabase, chiwar_template: str, tmp_path: Path
) -> None:
    kube = Kube(cluster.kubeconfig(tmp_path / "admin"))
    kube.install(crd())
    game, other = Game(kube, new_database(chiwar_template)), Game(kube, "postgresql://nobody@127.0.0.1:1/none")
    everything = ["campaignpools", "jobs", "pods", "events"]
    ann = viewer(kube, "ann", game.namespace, get=[*everything, "pods/log"], list=everything)
    ben = viewer(kube, "ben", other.namespace, get=["campaignpools"], list=["campaignpools"])
    options = ("--dashboard", "--dashboard-port=0")
    with running(kube.kubeconfig, tmp_path / "log", *options) as operator, httpx.Client() as client:
        base = address(operator)
        game.put_secret()
        game.create()
        filled(game)
        claimed = game.claim(game.users()[0])

        def get(path: str, headers: dict[str, str], code: int = 200) -> Any:
            answer = client.get(f"{base}{path}", headers=headers)
            assert answer.status_code == code, answer.text
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            return answer.json()

        mine, path = f"/pools/{game.namespace}/chiwar", f"/pools/{other.namespace}/chiwar"
        listed = PoolList.model_validate(get("/pools", ann))
        assert [(pool.pool, pool.verdict.answer) for pool in listed.pools] == [(game.key, "Yes")]
        assert get("/pools", ben)["pools"] == []

        pool = PoolView.model_validate(eventually(lambda: _with_claim(get(mine, ann)), "the claim is counted"))
        assert pool.hidden == []
        assert [run.outcome for run in pool.runs or ()][-1] == "Succeeded"
        assert {job.component for job in pool.jobs or ()} == {"seeder"}
        assert "SeedingStarted" in {event.reason for event in pool.events or ()}
        assert pool.claims is not None
        assert (pool.claims.hit_rate, sum(pool.claims.durations)) == (1, 1)
        assert pool.claims.p50_seconds
        assert get(f"{mine}/explain", ann)["state"] in ("ok", "work")
        trends = Trends.model_validate(get(f"{mine}/trends?hours=2", ann)).hours
        assert (sum(hour.master for hour in trends), min(hour.lowest_ready or 0 for hour in trends)) == (1, 0)
        assert sum(hour.campaigns for hour in trends) >= 2
        jobs = {job.name for job in pool.jobs or ()}
        logs = eventually(
            lambda: (
                (read := Logs.model_validate(get(f"{mine}/logs?lines=5", ann))).hidden
                or ({log.job for log in read.logs} >= jobs and read)
            ),
            "each Job has written something",
        )
        assert isinstance(logs, Logs)
        assert all(0 < len(log.lines) <= 5 for log in logs.logs)
        assert " INFO " in logs.logs[0].lines[-1]
        assert pool.alerts == []
        sizing = SizingView.model_validate(get(f"{mine}/sizing", ann))
        assert (len(sizing.hours), sizing.availability) == (48, 0.999)
        assert set(sizing.sizes) == {2}
        assert get(f"{mine}/images", ann)["points"][-1]["waiting"] == 0
        (claim,) = Claims.model_validate(get(f"{mine}/claims", ann)).claims
        assert claim.campaign == claimed["campaign_id"]

        # A database that does not answer hides its facts; a viewer without a right to pods sees none.
        other.put_secret()
        other.create()
        other.has("Degraded", "True", "DatabaseUnreachable")
        blind = PoolView.model_validate(get(path, ben))
        assert (blind.ledger.known, blind.jobs, blind.events) == (False, None, None)
        assert blind.hidden == ["jobs.batch", "pods", "events"]
        assert get(f"{path}/logs", ben)["hidden"] == ["jobs.batch", "pods", "pods/log"]
        (unreachable,) = get(f"{path}/checks", ben)["checks"]
        assert (unreachable["check"], unreachable["status"]) == ("connection", "fix")
        assert "CampaignPoolDatabaseUnreachable" in [alert.name for alert in blind.alerts]
        assert blind.problem is not None
        assert blind.problem.reason == "DatabaseUnreachable"
        assert get(f"{path}/trends", ben, 503)["reason"] == "Unavailable"

        assert "may not get CampaignPool chiwar" in get(mine, ben, 403)["message"]
        assert get(mine, {}, 401)["reason"] == "Unauthorized"
        assert get(mine, {"Authorization": "Bearer none"}, 401)["reason"] == "Unauthorized"
        assert get(f"/pools/{game.namespace}/none", ann, 404)["reason"] == "NotFound"
        assert get(f"{mine}/trends?hours=0", ann, 400)["reason"] == "Invalid"
        assert get("/none", ann, 404)["reason"] == "NotFound"
        assert client.post(f"{base}/pools", headers=ann).status_code == 405
        # Whatever else is asked, the answer is one that the document declares.
        assert fuzz(f"{base}/openapi.json", ann, {"namespace": game.namespace, "name": "chiwar"}) > 10
        assert ann["Authorization"].removeprefix("Bearer ") not in operator.log
        assert "Traceback" not in operator.log, operator.log
    kube.close()


def _with_claim(pool: dict[str, Any]) -> dict[str, Any]:
    return pool if (pool.get("claims") or {}).get("master") else {}
