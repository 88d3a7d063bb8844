"""The chart, rendered by the real Helm 3 and 4: values, the schemas of the API, golden files, the rules."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from campaignpool.api.crd import crd
from campaignpool_local.emulator import Emulator
from campaignpool_operator.alerts import ALERTS
from campaignpool_operator.rbac import LEASE_RULES, POOL_RULES, WATCH_RULES
from tests.support.helm import CHART, HELMS, NAMESPACE, Helm, helms
from tools.dashboards import DASHBOARDS

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
MATRIX: dict[str, dict[str, Any]] = {
    "defaults": {},
    "some namespaces": {"watchNamespaces": ["game", "stage"], "crds": {"install": False}},
    "one replica": {"replicas": 1, "leaderElection": {"enabled": False}},
    "everything": yaml.safe_load((GOLDEN / "everything.values.yaml").read_text()),
    "no accounts": {
        "serviceAccount": {"create": False, "name": "mine"},
        "rbac": {"create": False, "aggregate": False},
    },
    "OpenShift": {"podSecurityContext": {"runAsNonRoot": True}, "crds": {"keep": False}},
    "monitoring": {
        "monitoring": {
            "serviceMonitor": {"enabled": True},
            "podMonitor": {"enabled": True},
            "dashboards": {"enabled": True, "namespace": "stage"},
        }
    },
    "scaled down": {"replicas": 0, "rbac": {"scaleRole": False}},
}
PATHS = {
    "ServiceAccount": "api/v1/namespaces/{}/serviceaccounts",
    "ConfigMap": "api/v1/namespaces/{}/configmaps",
    "Service": "api/v1/namespaces/{}/services",
    "Deployment": "apis/apps/v1/namespaces/{}/deployments",
    "Role": "apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "ClusterRole": "apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "PodDisruptionBudget": "apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "NetworkPolicy": "apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "CustomResourceDefinition": "apis/apiextensions.k8s.io/v1/customresourcedefinitions",
}
FOREIGN = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}
"""Kinds of the Prometheus operator, which the emulator does not serve."""


@pytest.fixture(params=HELMS)
def helm(request: pytest.FixtureRequest, tmp_path: Path) -> Helm:
    return helms(request.param, tmp_path)


@pytest.fixture(scope="module")
def client(emulator: Emulator) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=emulator.url) as found:
        for name in ("campaignpool-system", "game", "stage"):
            found.post("/api/v1/namespaces", json={"metadata": {"name": name}})
        yield found


def only(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [item for item in objects if item["kind"] == kind]
    return found


def test_it_lints(helm: Helm) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART))


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_every_object_is_one_that_the_api_takes(helm: Helm, client: httpx.Client, values: dict[str, Any]) -> None:
    objects = helm.template(values)
    names = [(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in objects]
    assert len(names) == len(set(names))
    for item in objects:
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "campaignpool-operator"
        assert set(values.get("commonLabels", {}).items()) <= set(labels.items())
        assert set(values.get("commonAnnotations", {}).items()) <= set(
            item["metadata"].get("annotations", {}).items()
        )
        if item["kind"] in FOREIGN:
            continue
        path = PATHS[item["kind"]].format(item["metadata"].get("namespace"))
        answer = client.post(f"/{path}", params={"dryRun": "All", "fieldValidation": "Strict"}, json=item)
        assert answer.status_code == httpx.codes.CREATED, answer.text


@pytest.mark.parametrize("name", ["defaults", "everything"])
def test_what_is_rendered_is_what_the_golden_file_says(helm: Helm, name: str) -> None:
    """To take a change over: write `got` into the file, and read the difference."""
    rendered = [item for item in helm.template(MATRIX[name]) if item["kind"] != "CustomResourceDefinition"]
    got = yaml.safe_dump_all(sorted(rendered, key=lambda each: (each["kind"], each["metadata"]["name"])), width=110)
    assert (GOLDEN / f"{name}.yaml").read_text() == got


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"replica": 3}, "replica"),
        ({"image": {"tagg": "1"}}, "tagg"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"log": {"level": "loud"}}, "level"),
        ({"seeder": {"podTemplate": {"containers": []}}}, "containers"),
        ({"replicas": 2, "leaderElection": {"enabled": False}}, "needs leaderElection.enabled=true"),
    ],
    ids=str,
)
def test_a_wrong_value_is_an_error_that_names_it(helm: Helm, values: dict[str, Any], words: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        helm.template(values)
    assert words in failed.value.stderr


def test_the_crd_is_that_of_the_models_and_stays(helm: Helm) -> None:
    kept = only(helm.template({"commonAnnotations": {"team": "game"}}), "CustomResourceDefinition")
    assert kept["spec"] == crd()["spec"]
    assert kept["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep", "team": "game"}
    gone = only(helm.template({"crds": {"keep": False}}), "CustomResourceDefinition")
    assert "annotations" not in gone["metadata"]


def test_some_namespaces_need_no_right_in_the_cluster(helm: Helm) -> None:
    objects = helm.template(MATRIX["some namespaces"])
    assert not [item["kind"] for item in objects if item["kind"].startswith(("Cluster", "Custom"))]
    roles = [item for item in objects if item["kind"] == "Role"]
    assert {role["metadata"]["namespace"] for role in roles} == {"game", "stage", "campaignpool-system"}


def test_the_roles_hold_the_operators_rules_and_no_others(helm: Helm) -> None:
    objects = helm.template({})
    whole = next(item for item in objects if item["metadata"]["name"] == "campaignpool-system-campaignpool-operator")
    lease = only(objects, "Role")
    for role, rules in ((whole, (*POOL_RULES, *WATCH_RULES)), (lease, LEASE_RULES)):
        wanted = [{"apiGroups": [r.group], "resources": [r.resource], "verbs": list(r.verbs)} for r in rules]
        assert role["rules"] == wanted


def test_operator_pods_pass_the_restricted_standard_and_pin_no_user(helm: Helm) -> None:
    pod = only(helm.template({}), "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    assert not {"hostNetwork", "hostPID", "hostIPC", "volumes"} & set(pod)
    assert "runAsUser" not in json.dumps(pod)


def test_the_alerts_are_rendered_with_their_runbooks(helm: Helm) -> None:
    values = {"monitoring": {"prometheusRule": {"enabled": True, "runbookUrl": "https://wiki.example.com/pools/"}}}
    rule = only(helm.template(values), "PrometheusRule")
    listed = [item for group in rule["spec"]["groups"] for item in group["rules"]]
    assert len(listed) >= 10
    for item in listed:
        assert item["annotations"]["runbook_url"] == f"https://wiki.example.com/pools/{item['alert']}"


def test_the_dashboards_are_what_grafanas_sidecar_loads(helm: Helm) -> None:
    assert "ConfigMap" not in [item["kind"] for item in helm.template({})]
    mine = {"annotations": {"grafana_folder": "Game"}, "namespace": "monitoring"}
    rules = {"runbookUrl": "https://wiki.example.com/pools/"}
    for options, namespace in (({}, NAMESPACE), (mine, "monitoring")):
        values = {"monitoring": {"dashboards": {"enabled": True, **options}, "prometheusRule": rules}}
        maps = [item for item in helm.template(values) if item["kind"] == "ConfigMap"]
        documents = [json.loads(text) for item in maps for text in item["data"].values()]
        assert {document["uid"] for document in documents} == {dashboard.uid for dashboard in DASHBOARDS}
        for item in maps:
            assert item["metadata"]["namespace"] == namespace
            assert item["metadata"]["labels"]["grafana_dashboard"] == "1"
            assert item["metadata"].get("annotations", {}) == options.get("annotations", {})
        runbooks = {
            link["url"] for document in documents for panel in document["panels"] for link in panel.get("links", [])
        }
        assert runbooks == {f"https://wiki.example.com/pools/{alert.name}" for alert in ALERTS}


def test_every_object_of_the_readme_example_renders(helm: Helm) -> None:
    guide = (ROOT / "docs/how-to/install.md").read_text()
    for block in guide.split("```yaml\n")[1:]:
        text = block.split("```")[0]
        if "local health" not in text:
            assert helm.template(yaml.safe_load(text))
