"""Why a Job's pod does not run: the shapes of a real cluster, as recorded in tests/conformance/shapes-pods.md."""

import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import httpx
import pytest

from campaignpool_local.emulator import Emulator
from campaignpool_local.kubelet.images import Images
from campaignpool_local.values import Json
from tests.support.kube import eventually

PULL = (
    'failed to pull and unpack image "nowhere.invalid/seeder:9": failed to resolve reference'
    ' "nowhere.invalid/seeder:9": failed to do request: Head "https://nowhere.invalid/v2/seeder/manifests/9": dial'
    " tcp: lookup nowhere.invalid on 10.96.0.10:53: no such host"
)
BAD_NAME = (
    'Failed to apply default image tag "Bad Name": couldn\'t parse image name "Bad Name": invalid reference format:'
    " repository name (library/Bad Name) must be lowercase"
)
NO_COMMAND = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed:"
    ' unable to start container process: exec: "/nope": stat /nope: no such file or directory: unknown'
)
PREEMPTION = (
    " no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
)
UNMATCHED = f"0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.{PREEMPTION}"
TOO_BIG = f"0/1 nodes are available: 1 Insufficient memory.{PREEMPTION}"
RESTRICTED = (
    'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "seeder" must set'
    ' securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "seeder" must set'
    ' securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "seeder" must set'
    ' securityContext.runAsNonRoot=true), seccompProfile (pod or container "seeder" must set'
    ' securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
)
SLEEP = ["sleep", "600"]


class Seen(NamedTuple):
    """What tells the cause: of the Job, of its pod, of its container."""

    job: Json
    pod: Json
    events: dict[str, list[str]]  # messages by reason, of Job and pod

    def state(self, container: str = "seeder") -> Json:
        result = {item["name"]: item["state"] for item in self.pod["status"].get("containerStatuses", ())}
        state: Json = result.get(container, {})
        return state

    def condition(self, kind: str) -> tuple[str, str, str]:
        value = {item["type"]: item for item in self.pod["status"].get("conditions", ())}.get(kind, {})
        return value.get("status", ""), value.get("reason", ""), value.get("message", "")


class Cluster:
    """A namespace in which one Job is tried."""

    def __init__(self, api: httpx.Client, **labels: str) -> None:
        self._api = api
        metadata = {"generateName": "shp-", "labels": labels}
        created = api.post("/api/v1/namespaces", json={"metadata": metadata}).raise_for_status().json()
        self.namespace: str = created["metadata"]["name"]

    def make(self, plural: str, name: str, **body: object) -> None:
        path = f"/api/v1/namespaces/{self.namespace}/{plural}"
        self._api.post(path, json={"metadata": {"name": name}, **body}).raise_for_status()

    def start(self, container: Json, *more: Json, pod: Json | None = None, **spec: object) -> None:
        seeder = {"name": "seeder", "image": "seeder:1", "command": SLEEP, **container}
        template = {"spec": {"restartPolicy": "Never", "containers": [seeder, *more], **(pod or {})}}
        body = {"metadata": {"name": "j"}, "spec": {"backoffLimit": 0, "template": template, **spec}}
        self._api.post(f"/apis/batch/v1/namespaces/{self.namespace}/jobs", json=body).raise_for_status()

    def seen(self) -> Seen:
        def items(plural: str) -> list[Json]:
            result: list[Json] = self._api.get(f"/api/v1/namespaces/{self.namespace}/{plural}").json()["items"]
            return result

        job = self._api.get(f"/apis/batch/v1/namespaces/{self.namespace}/jobs/j").json()
        messages = dict[str, list[str]]()
        for event in items("events"):
            messages.setdefault(event["reason"], []).append(event["message"])
        return Seen(job, next(iter(items("pods")), {"status": {"phase": ""}}), messages)

    def when(self, holds: Callable[[Seen], bool]) -> Seen:
        def look() -> Seen | None:
            seen = self.seen()
            return seen if holds(seen) else None

        return eventually(look, "the shape is there")

    def waits(self, reason: str) -> Seen:
        return self.when(lambda seen: seen.state().get("waiting", {}).get("reason") == reason)

    def ends(self) -> Seen:
        return self.when(lambda seen: "terminated" in seen.state())


@pytest.fixture(scope="module")
def api(emulator: Emulator) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=emulator.url, timeout=60) as client:
        yield client


@pytest.fixture
def cluster(api: httpx.Client) -> Iterator[Cluster]:
    created = Cluster(api)
    yield created
    api.delete(f"/api/v1/namespaces/{created.namespace}").raise_for_status()


def active(seen: Seen) -> tuple[int | None, int, int]:
    status = seen.job["status"]
    return status.get("active"), status["ready"], status["terminating"]


def test_an_image_that_cannot_be_pulled(cluster: Cluster) -> None:
    cluster.start({"image": "nowhere.invalid/seeder:9"})
    seen = cluster.waits("ImagePullBackOff")
    message = seen.state()["waiting"]["message"]
    assert message == f'Back-off pulling image "nowhere.invalid/seeder:9": ErrImagePull: {PULL}'
    assert active(seen) == (1, 0, 0)
    assert seen.pod["status"]["phase"] == "Pending"
    unready = ("False", "ContainersNotReady", "containers with unready status: [seeder]")
    assert (seen.condition("Ready"), seen.condition("ContainersReady")) == (unready, unready)
    failed = cluster.when(lambda seen: "Error: ImagePullBackOff" in seen.events.get("Failed", ())).events["Failed"]
    assert {f'Failed to pull image "nowhere.invalid/seeder:9": {PULL}', "Error: ErrImagePull"} < set(failed)


def test_an_image_whose_name_is_none(cluster: Cluster) -> None:
    cluster.start({"image": "Bad Name"})
    seen = cluster.waits("InvalidImageName")
    assert seen.state()["waiting"]["message"] == BAD_NAME
    seen = cluster.when(lambda seen: "Failed" in seen.events)
    assert (seen.events["InspectFailed"], seen.events["Failed"]) == ([BAD_NAME], ["Error: InvalidImageName"])


def test_an_image_that_is_never_pulled(cluster: Cluster) -> None:
    cluster.start({"image": "absent.invalid/seeder:1", "imagePullPolicy": "Never"})
    message = cluster.waits("ErrImageNeverPull").state()["waiting"]["message"]
    assert message == 'Container image "absent.invalid/seeder:1" is not present with pull policy of Never'
    events = cluster.when(lambda seen: "Failed" in seen.events).events
    assert (events["ErrImageNeverPull"], events["Failed"]) == ([message], ["Error: ErrImageNeverPull"])


def test_a_command_that_does_not_exist(cluster: Cluster) -> None:
    cluster.start({"command": ["/nope"]})
    seen = cluster.ends()
    ended = seen.state()["terminated"]
    assert (ended["reason"], ended["exitCode"], ended["message"]) == ("StartError", 128, NO_COMMAND)
    seen = cluster.when(lambda seen: "BackoffLimitExceeded" in seen.events)
    assert seen.events["Failed"] == [f"Error: {NO_COMMAND}"]
    assert seen.events["BackoffLimitExceeded"] == ["Job has reached the specified backoff limit"]


def test_a_key_that_is_missing_in_a_secret(cluster: Cluster) -> None:
    cluster.make("secrets", "empty")
    cluster.start({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "empty", "key": "nope"}}}]})
    message = cluster.waits("CreateContainerConfigError").state()["waiting"]["message"]
    assert message == f"couldn't find key nope in Secret {cluster.namespace}/empty"
    assert cluster.when(lambda seen: "Failed" in seen.events).events["Failed"] == [f"Error: {message}"]


def test_a_secret_that_is_missing(cluster: Cluster) -> None:
    cluster.start({"envFrom": [{"secretRef": {"name": "none"}}]})
    message = cluster.waits("CreateContainerConfigError").state()["waiting"]["message"]
    assert message == 'secret "none" not found'


def test_a_service_account_that_is_missing(cluster: Cluster) -> None:
    cluster.start({}, pod={"serviceAccountName": "nope"})
    seen = cluster.when(lambda seen: "FailedCreate" in seen.events)
    [message, *_] = seen.events["FailedCreate"]
    assert message.startswith('Error creating: pods "j-')
    where = f'{cluster.namespace}/nope: serviceaccount "nope" not found'
    assert message.endswith(f"is forbidden: error looking up service account {where}")
    assert cluster.when(lambda seen: "ready" in seen.job["status"]).job["status"].get("active") is None


def test_memory_above_the_limit(cluster: Cluster) -> None:
    command = [sys.executable, "-c", "import time; held = bytearray(200_000_000); time.sleep(60)"]
    cluster.start({"command": command, "resources": {"limits": {"memory": "64Mi"}}})
    ended = cluster.ends().state()["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


def test_a_sidecar_goes_on(cluster: Cluster) -> None:
    cluster.start({"command": ["true"]}, {"name": "proxy", "image": "proxy:1", "command": SLEEP})
    seen = cluster.ends()
    assert seen.state()["terminated"]["reason"] == "Completed"
    assert "running" in cluster.when(lambda seen: "running" in seen.state("proxy")).state("proxy")
    seen = cluster.when(lambda seen: seen.job["status"].get("ready") == 0)
    assert (seen.pod["status"]["phase"], seen.condition("Ready")[1]) == ("Running", "ContainersNotReady")
    assert active(seen) == (1, 0, 0)


def test_a_native_sidecar_ends_with_its_pod(cluster: Cluster) -> None:
    proxy = {"name": "proxy", "image": "proxy:1", "command": SLEEP, "restartPolicy": "Always"}
    cluster.start({"command": ["true"]}, pod={"initContainers": [proxy]})
    seen = cluster.when(lambda seen: "Completed" in seen.events)
    assert seen.pod["status"]["phase"] == "Succeeded"


@pytest.mark.parametrize(
    ("container", "pod", "message"),
    [
        ({"resources": {"requests": {"memory": "1Ei"}}}, {}, TOO_BIG),
        ({}, {"nodeSelector": {"disk": "fast"}}, UNMATCHED),
    ],
    ids=["too big", "no node matches"],
)
def test_a_pod_that_no_node_takes(cluster: Cluster, container: Json, pod: Json, message: str) -> None:
    cluster.start(container, pod=pod)
    seen = cluster.when(lambda seen: "FailedScheduling" in seen.events)
    assert seen.condition("PodScheduled") == ("False", "Unschedulable", message)
    assert seen.events["FailedScheduling"] == [message]
    assert (seen.pod["status"]["phase"], active(seen)) == ("Pending", (1, 0, 0))


def test_a_quota_of_no_pods(cluster: Cluster) -> None:
    cluster.make("resourcequotas", "q", spec={"hard": {"pods": "0"}})
    cluster.start({})
    [message, *_] = cluster.when(lambda seen: "FailedCreate" in seen.events).events["FailedCreate"]
    assert message.endswith("is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0")


def test_pod_security_refuses_a_pod(api: httpx.Client) -> None:
    cluster = Cluster(api, **{"pod-security.kubernetes.io/enforce": "restricted"})
    cluster.start({})
    [message, *_] = cluster.when(lambda seen: "FailedCreate" in seen.events).events["FailedCreate"]
    assert message.endswith(f"is forbidden: {RESTRICTED}")


def test_a_pod_that_writes_too_much_is_evicted(cluster: Cluster) -> None:
    volume = {"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}}
    command = ["sh", "-c", "head -c 3000000 /dev/zero > /scratch/a; sleep 600"]
    mounts = [{"name": "scratch", "mountPath": "/scratch"}]
    cluster.start({"command": command, "volumeMounts": mounts}, pod={"volumes": [volume]})
    seen = cluster.when(lambda seen: seen.pod["status"].get("reason") == "Evicted")
    message = 'Usage of EmptyDir volume "scratch" exceeds the limit "1Mi". '
    assert (seen.pod["status"]["phase"], seen.pod["status"]["message"]) == ("Failed", message)
    assert cluster.seen().events["Evicted"] == [message]


def test_a_job_that_takes_too_long(cluster: Cluster) -> None:
    cluster.start({}, activeDeadlineSeconds=1, pod={"terminationGracePeriodSeconds": 1})
    seen = cluster.when(lambda seen: "DeadlineExceeded" in seen.events)
    assert seen.events["DeadlineExceeded"] == ["Job was active longer than specified deadline"]


def test_a_suspended_job(cluster: Cluster) -> None:
    cluster.start({}, suspend=True)
    seen = cluster.when(lambda seen: bool(seen.job["status"].get("conditions")))
    [condition] = seen.job["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Suspended", "True", "JobSuspended")
    assert seen.events["Suspended"] == ["Job suspended"]


def test_a_repeated_event_is_counted(api: httpx.Client, cluster: Cluster) -> None:
    cluster.start({"image": "Bad Name"})
    query = {"fieldSelector": "involvedObject.kind=Pod,reason=Failed,type=Warning"}
    path = f"/api/v1/namespaces/{cluster.namespace}/events"

    def counted() -> bool:
        items = api.get(path, params=query).json()["items"]
        return len(items) == 1 and items[0]["count"] > 1

    eventually(counted, "the Event is counted up")


@pytest.mark.parametrize(
    ("image", "known"),
    [("seeder:1", True), ("ghcr.io/a/seeder:1", True), ("seeder:2", False), ("other/seeder:1", False)],
)
def test_the_images_of_a_node_can_be_listed(image: str, *, known: bool) -> None:
    trouble = Images(["seeder:1", "ghcr.io/a/*"]).trouble(image, "IfNotPresent")
    assert (trouble is None) == known
    if trouble:
        assert trouble.message.endswith(": not found")
