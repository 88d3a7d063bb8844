"""helm install, upgrade and uninstall against the API; the operator runs with what was installed, and no more."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from campaignpool_local.emulator import Emulator, emulator_thread
from campaignpool_operator.cluster.connect import connect
from campaignpool_operator.rbac import LEASE_RULES, POOL_RULES, WATCH_RULES, Rule
from campaignpool_operator.runtime.rights import Rights
from tests.support.accounts import kubeconfig_of
from tests.support.helm import CHART, HELMS, NAMESPACE, RELEASE, Helm, helms
from tests.support.kube import CRDS, POOLS, Kube, eventually
from tests.support.operators import OperatorProcess, running

pytestmark = pytest.mark.integration

NAME = "campaignpool-operator"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}"
CRD = f"{CRDS}/campaignpools.campaignpool.dev"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
CLUSTER_ROLE = f"{RBAC}/clusterroles/{NAMESPACE}-{NAME}"
LEASE_ROLE = f"{RBAC}/namespaces/{NAMESPACE}/roles/{NAME}-lease"
POOL = yaml.safe_load((Path(__file__).parents[2] / "examples/chiwar/pool.yaml").read_text())


@pytest.fixture
def cluster() -> Iterator[Emulator]:
    with emulator_thread() as emulator:
        yield emulator


@pytest.fixture
def kube(cluster: Emulator, tmp_path: Path) -> Iterator[Kube]:
    client = Kube(cluster.kubeconfig(tmp_path / "admin"))
    yield client
    client.close()


def install(helm: Helm, kube: Kube, values: dict[str, Any] | None = None, verb: str = "install") -> str:
    where = ["--namespace", NAMESPACE, *(["--create-namespace"] if verb == "install" else [])]
    given = helm.values({"log": {"format": "text"}, **(values or {})})
    return helm(verb, RELEASE, str(CHART), *where, *given, kubeconfig=kube.kubeconfig)


def variables(kube: Kube) -> dict[str, str]:
    """The environment of the operator's container, as the kubelet would set it."""
    value = kube.get(DEPLOYMENT)
    assert value is not None
    listed = value["spec"]["template"]["spec"]["containers"][0]["env"]
    return {item["name"]: item.get("value", NAMESPACE) for item in listed}


def account(cluster: Emulator, kube: Kube, folder: Path) -> Path:
    return kubeconfig_of(cluster, kube, NAMESPACE, NAME, folder / "operator")


def answer(operator: OperatorProcess) -> str:
    return operator.get("/readyz").strip()


def without(rules: list[dict[str, Any]], rule: Rule) -> list[dict[str, Any]]:
    taken = {"apiGroups": [rule.group], "resources": [rule.resource], "verbs": list(rule.verbs)}
    assert taken in rules
    return [item for item in rules if item != taken]


@pytest.mark.parametrize("major", HELMS)
def test_install_upgrade_and_uninstall_leave_pools_alone(major: str, kube: Kube, tmp_path: Path) -> None:
    helm = helms(major, tmp_path)
    notes = install(helm, kube)
    assert f"kubectl -n {NAMESPACE} rollout status deployment/{NAME}" in notes
    assert "keeps the CRD, all pools and all data" in notes
    eventually(lambda: kube.items(POOLS.format("default")) == [], "the kind is served")
    kube.create(POOLS.format("default"), POOL)

    install(helm, kube, {"replicas": 3, "crds": {"keep": True}}, verb="upgrade")
    upgraded = kube.get(DEPLOYMENT)
    assert upgraded is not None
    assert upgraded["spec"]["replicas"] == 3

    helm("uninstall", RELEASE, "--namespace", NAMESPACE, kubeconfig=kube.kubeconfig)
    assert kube.get(DEPLOYMENT) is None
    assert kube.get(CLUSTER_ROLE) is None
    assert kube.get(CRD) is not None
    assert kube.get(f"{POOLS.format('default')}/chiwar") is not None

    install(helm, kube)  # adopts the CRD that was kept
    assert kube.get(f"{POOLS.format('default')}/chiwar") is not None


@pytest.mark.parametrize("namespaces", [[], ["game"]], ids=["whole cluster", "one namespace"])
def test_the_operator_works_with_what_was_installed(
    namespaces: list[str], cluster: Emulator, kube: Kube, tmp_path: Path
) -> None:
    helm = helms("4", tmp_path)
    kube.create("/api/v1/namespaces", {"metadata": {"name": "game"}})
    install(helm, kube, {"watchNamespaces": namespaces, "podDisruptionBudget": {"enabled": False}})
    kube.create(POOLS.format("game"), POOL)
    operator_account = account(cluster, kube, tmp_path)
    with running(operator_account, tmp_path / "log", variables=variables(kube)) as operator:
        path = f"{POOLS.format('game')}/chiwar"

        def status() -> dict[str, Any]:
            value: dict[str, Any] = (kube.get(path) or {}).get("status", {})
            return value

        eventually(status, "the pool has a status")
        conditions = {statu["type"]: statu for statu in status()["conditions"]}
        assert "There is no Secret chiwar-database" in conditions["Ready"]["message"]
        assert operator.metric("campaignpool_leader") == 1
        assert "forbidden" not in operator.log.lower()
        assert "Traceback" not in operator.log


def test_without_a_right_it_is_unready_and_says_which_one(cluster: Emulator, kube: Kube, tmp_path: Path) -> None:
    install(helms("4", tmp_path), kube)
    role = kube.get(CLUSTER_ROLE)
    assert role is not None
    watch = next(rule for rule in POOL_RULES if rule.resource == "jobs" and "watch" in rule.verbs)
    kube.patch(CLUSTER_ROLE, {"rules": without(role["rules"], watch)})
    with running(
        account(cluster, kube, tmp_path), tmp_path / "log", variables=variables(kube), ready=False
    ) as operator:
        eventually(lambda: "may not list jobs.batch, watch jobs.batch" in answer(operator), "it says so")
        assert operator.log.count("may not list jobs.batch") == 1
        kube.patch(CLUSTER_ROLE, {"rules": role["rules"]})
        eventually(lambda: answer(operator) == "ok", "it is ready")

        kube.create(POOLS.format("default"), POOL)  # a right that is taken away while it runs
        status = next(rule for rule in POOL_RULES if rule.resource.endswith("/status"))
        kube.patch(CLUSTER_ROLE, {"rules": without(role["rules"], status)})
        kube.patch(f"{POOLS.format('default')}/chiwar", {"spec": {"size": 3}})
        eventually(lambda: "may not patch campaignpools.campaignpool.dev/status" in answer(operator), "it says so")
        assert "Traceback" not in operator.log


def test_every_rule_that_is_taken_away_is_missed(cluster: Emulator, kube: Kube, tmp_path: Path) -> None:
    install(helms("4", tmp_path), kube)
    operator_account = account(cluster, kube, tmp_path)

    async def missing() -> str | None:
        api = await connect()
        try:
            rights = Rights(api, (), NAMESPACE)
            await rights.check()
            return rights.missing
        finally:
            await api.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(operator_account))
        assert asyncio.run(missing()) is None
        for path, rules in ((CLUSTER_ROLE, (*POOL_RULES, *WATCH_RULES)), (LEASE_ROLE, LEASE_RULES)):
            role = kube.get(path)
            assert role is not None
            for rule in rules:
                kube.patch(path, {"rules": without(role["rules"], rule)})
                text = asyncio.run(missing())
                assert text, rule
                assert rule.qualified in text
            kube.patch(path, {"rules": role["rules"]})
