"""The node of the tests beside an API server without nodes: pods run, end, are stopped, and report."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from campaignpool_local.emulator import emulator_thread
from tests.support.kube import Kube, eventually
from tests.support.node import NODE, node_thread

pytestmark = pytest.mark.integration
Pod = Callable[..., str]


@pytest.fixture(scope="module")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    with emulator_thread(runs_pods=False) as emulator:
        kubeconfig = emulator.kubeconfig(tmp_path_factory.mktemp("kube") / "config")
        with node_thread(kubeconfig):
            client = Kube(kubeconfig)
            yield client
            client.close()


@pytest.fixture
def pod(kube: Kube) -> Pod:
    namespace = kube.namespace()

    def create(*command: str, env: list[dict[str, Any]] | None = None, **spec: Any) -> str:
        container = {"name": "main", "image": "any", "command": list(command), "env": env or []}
        body = {"metadata": {"name": "pod"}, "spec": {"restartPolicy": "Never", "containers": [container], **spec}}
        kube.create(f"/api/v1/namespaces/{namespace}/pods", body)
        return f"/api/v1/namespaces/{namespace}/pods/pod"

    return create


def phase(kube: Kube, path: str, wanted: str) -> dict[str, Any]:
    def current() -> dict[str, Any] | None:
        pod = kube.get(path)
        assert pod is not None
        return pod if pod["status"]["phase"] == wanted else None

    return eventually(current, f"{path} is {wanted}")


def test_a_pod_is_put_on_the_node_and_runs_to_its_end(kube: Kube, pod: Pod) -> None:
    ended = phase(kube, pod("sh", "-c", "exit 0"), "Succeeded")
    assert ended["spec"]["nodeName"] == NODE
    conditions = {item["type"]: (item["status"], item.get("reason")) for item in ended["status"]["conditions"]}
    assert conditions["PodScheduled"] == ("True", None)
    assert conditions["Ready"] == ("False", "PodCompleted")


def test_a_container_gets_the_secret_that_the_api_server_has(kube: Kube, pod: Pod) -> None:
    reference = {"name": "X", "valueFrom": {"secretKeyRef": {"name": "mine", "key": "code"}}}
    path = pod("sh", "-c", 'exit "$X"', env=[reference])

    def waiting() -> str:
        statuses = (kube.get(path) or {})["status"].get("containerStatuses") or [{"state": {}}]
        return str(statuses[0]["state"].get("waiting", {}).get("reason"))

    eventually(lambda: waiting() == "CreateContainerConfigError", "the Secret is missing")
    kube.create(path.rpartition("/pods")[0] + "/secrets", {"metadata": {"name": "mine"}, "stringData": {"code": "7"}})
    ended = phase(kube, path, "Failed")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (7, "Error")


def test_a_pod_that_is_deleted_is_stopped_and_goes(kube: Kube, pod: Pod) -> None:
    running = pod("sleep", "600")
    phase(kube, running, "Running")
    kube.delete(running)
    eventually(lambda: kube.get(running) is None, "it is gone")


def test_a_pod_that_never_started_goes_at_once(kube: Kube, pod: Pod) -> None:
    waiting = pod("true", nodeSelector={"disk": "absent"})

    def refused() -> bool:
        conditions = (kube.get(waiting) or {})["status"].get("conditions") or ()
        return any((item["type"], item.get("reason")) == ("PodScheduled", "Unschedulable") for item in conditions)

    eventually(refused, "no node takes it")
    kube.delete(waiting)
    eventually(lambda: kube.get(waiting) is None, "it is gone")


def test_events_are_posted(kube: Kube, pod: Pod) -> None:
    path = pod("sh", "-c", "exit 0")
    phase(kube, path, "Succeeded")
    events = path.rpartition("/pods")[0] + "/events"
    eventually(lambda: {"Scheduled", "Created"} <= {item["reason"] for item in kube.items(events)}, "both Events")
