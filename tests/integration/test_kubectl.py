"""Real kubectls against the emulator: what people do with a custom resource, and with Jobs.

`make kubectl` fetches them; every test runs with each version.
"""

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from campaignpool_local.emulator import Emulator

ROOT = Path(__file__).parents[2]
KUBECTLS = sorted((ROOT / ".tools/kubectl").glob("*/kubectl"))
TIMEOUT = 30

pytestmark = [pytest.mark.integration, pytest.mark.kubectl]

SPEC_SCHEMA = {
    "type": "object",
    "description": "What is wanted.",
    "required": ["replicas"],
    "properties": {
        "replicas": {"type": "integer", "description": "How many fish to keep.", "minimum": 0},
        "owner": {"type": "string", "default": "nobody"},
        "shares": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "part": {"type": "integer"}},
                "x-kubernetes-validations": [{"rule": "self.part > 0", "message": "a part must be positive"}],
            },
        },
    },
    "x-kubernetes-validations": [
        {
            "rule": "!has(self.shares) || self.shares.all(s, s.part <= self.replicas)",
            "message": "the parts exceed the replicas",
        },
        {"rule": "self.owner == oldSelf.owner", "message": "owner is immutable"},
    ],
}
CRD: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "ponds.kubectl.example.com"},
    "spec": {
        "group": "kubectl.example.com",
        "scope": "Namespaced",
        "names": {"plural": "ponds", "singular": "pond", "kind": "Pond", "shortNames": ["pd"], "categories": ["all"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": SPEC_SCHEMA,
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                },
                "additionalPrinterColumns": [
                    {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
                    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
                    {"name": "Owner", "type": "string", "jsonPath": ".spec.owner", "priority": 1},
                ],
            }
        ],
    },
}


class Kubectl:
    """One kubectl, in a namespace of its own."""

    def __init__(self, program: Path, kubeconfig: Path, home: Path) -> None:
        self.namespace = f"kubectl-{secrets.token_hex(4)}"
        self._program = program
        self._environment = {"KUBECONFIG": str(kubeconfig), "HOME": str(home), "PATH": os.environ["PATH"]}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [str(self._program), "--namespace", self.namespace, *arguments]
        return subprocess.Popen(
            command,
            env=self._environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str, given: object = None) -> tuple[int, str, str]:
        """Return the exit code, what it said and what it complained of."""
        with self.start(*arguments) as process:
            text = None if given is None else yaml.safe_dump(given)
            said, complained = process.communicate(text, timeout=TIMEOUT)
            return process.returncode, said, complained

    def __call__(self, *arguments: str, given: object = None) -> str:
        """Run what is expected to go well, and give what it said."""
        code, said, complained = self.run(*arguments, given=given)
        assert code == 0, complained
        return said

    def pond(self, name: str = "koi", **spec: object) -> dict[str, object]:
        return {
            "apiVersion": "kubectl.example.com/v1",
            "kind": "Pond",
            "metadata": {"name": name},
            "spec": {"replicas": 3, **spec},
        }

    def job(self, command: str, **spec: object) -> dict[str, object]:
        container = {"name": "main", "image": "none", "command": ["sh", "-c", command]}
        pod = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "seed"},
            "spec": {**spec, "template": {"spec": pod}},
        }

    def read(self, kind: str, name: str) -> dict[str, dict[str, object]]:
        document: dict[str, dict[str, object]] = json.loads(self("get", kind, name, "-o", "json"))
        return document


@pytest.fixture(scope="module")
def api(emulator: Emulator) -> Iterator[httpx.Client]:
    """The API, with the definition of ponds; spares the tests four kubectls each."""
    with httpx.Client(base_url=emulator.url) as http:
        http.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=CRD).raise_for_status()
        yield http
        http.delete(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{CRD['metadata']['name']}")


@pytest.fixture(params=KUBECTLS or [None], ids=[program.parent.name for program in KUBECTLS] or ["none"])
def kubectl(
    request: pytest.FixtureRequest, emulator: Emulator, api: httpx.Client, tmp_path: Path
) -> Iterator[Kubectl]:
    if request.param is None:
        pytest.skip("there is no kubectl in .tools/kubectl: `make kubectl` fetches it")
    kubectl = Kubectl(request.param, emulator.kubeconfig(tmp_path / "kubeconfig"), tmp_path)
    api.post("/api/v1/namespaces", json={"metadata": {"name": kubectl.namespace}}).raise_for_status()
    yield kubectl
    api.delete(f"/api/v1/namespaces/{kubectl.namespace}").raise_for_status()


def test_apply_creates_and_changes(kubectl: Kubectl) -> None:
    assert "created" in kubectl("apply", "-f", "-", given=kubectl.pond())
    assert "unchanged" in kubectl("apply", "-f", "-", given=kubectl.pond())
    assert "configured" in kubectl("apply", "-f", "-", given=kubectl.pond(replicas=4))
    assert kubectl.read("pond", "koi")["spec"] == {"replicas": 4, "owner": "nobody"}


def test_apply_of_a_job_patches_it_strategically(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", given=kubectl.job("true", suspend=True))
    assert "configured" in kubectl("apply", "-f", "-", given=kubectl.job("true", suspend=True, backoffLimit=2))
    assert kubectl.read("job", "seed")["spec"]["backoffLimit"] == 2


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ({"replicas": -1}, "spec.replicas in body should be greater than or equal to 0"),
        ({"shares": [{"name": "a", "part": 2}, {"name": "b", "part": 4}]}, "the parts exceed the replicas"),
        ({"shares": [{"name": "a", "part": 0}]}, "a part must be positive"),
    ],
    ids=["schema", "rule", "rule of an item"],
)
def test_what_breaks_the_schema_is_refused(kubectl: Kubectl, spec: dict[str, object], fault: str) -> None:
    code, _, complained = kubectl.run("apply", "-f", "-", given=kubectl.pond(**spec))
    assert code == 1
    assert fault in complained


def test_what_breaks_a_transition_rule_is_refused(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", given=kubectl.pond(owner="me"))
    code, _, complained = kubectl.run("patch", "pond", "koi", "--type=merge", "-p", '{"spec": {"owner": "you"}}')
    assert code == 1
    assert "owner is immutable" in complained


def test_get_prints_the_columns(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", given=kubectl.pond(owner="me"))
    status = '{"status": {"conditions": [{"type": "Ready", "status": "True"}]}}'
    kubectl("patch", "pond", "koi", "--subresource=status", "--type=merge", "-p", status)
    assert [line.split() for line in kubectl("get", "pd").splitlines()] == [
        ["NAME", "REPLICAS", "READY"],
        ["koi", "3", "True"],
    ]
    assert kubectl("get", "pond", "koi", "-o", "wide").splitlines()[1].split() == ["koi", "3", "True", "me"]
    assert kubectl("get", "all", "-o", "name").split() == ["pond.kubectl.example.com/koi"]


def test_get_gives_the_object_in_other_forms(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", given=kubectl.pond())
    assert yaml.safe_load(kubectl("get", "pond", "koi", "-o", "yaml"))["spec"]["replicas"] == 3
    assert kubectl("get", "pond", "koi", "-o", "jsonpath={.spec.replicas}") == "3"


def test_get_watches(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", given=kubectl.pond())
    with kubectl.start("get", "ponds", "--watch", "--no-headers") as watch:
        assert watch.stdout is not None
        assert watch.stdout.readline().split() == ["koi", "3"]
        kubectl("scale", "pond/koi", "--replicas=5")
        assert watch.stdout.readline().split() == ["koi", "5"]
        watch.terminate()


def test_scale_sets_the_replicas(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", given=kubectl.pond())
    kubectl("scale", "pond", "koi", "--current-replicas=3", "--replicas=7")
    assert kubectl.read("pond", "koi")["spec"]["replicas"] == 7


def test_describe_shows_the_events(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", given=kubectl.pond())
    uid = kubectl("get", "pond", "koi", "-o", "jsonpath={.metadata.uid}")
    about = {"apiVersion": "kubectl.example.com/v1", "kind": "Pond", "name": "koi", "uid": uid}
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "koi.1"},
        "involvedObject": {**about, "namespace": kubectl.namespace},
        "type": "Normal",
        "reason": "Fed",
        "message": "the fish are fed",
    }
    kubectl("apply", "-f", "-", given=event)
    assert "the fish are fed" in kubectl("describe", "pond", "koi")


def test_wait_waits_for_conditions_and_fields(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", given=kubectl.pond())
    with kubectl.start("wait", "--for=condition=Ready", "pond/koi", "--timeout=10s") as waiting:
        status = '{"status": {"phase": "Calm", "conditions": [{"type": "Ready", "status": "True"}]}}'
        kubectl("patch", "pond", "koi", "--subresource=status", "--type=merge", "-p", status)
        assert waiting.wait(TIMEOUT) == 0
    kubectl("wait", "--for=jsonpath={.status.phase}=Calm", "pond/koi", "--timeout=5s")


def test_explain_describes_the_fields(kubectl: Kubectl) -> None:
    assert "How many fish to keep." in kubectl("explain", "ponds.spec.replicas")
    fields = kubectl("explain", "ponds.spec", "--recursive")
    assert "replicas" in fields
    assert "part" in fields


def test_delete_waits_until_it_is_gone(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", given=kubectl.pond())
    kubectl("delete", "pond", "koi", "--timeout=10s")
    assert kubectl("get", "ponds", "-o", "name") == ""


def test_a_job_runs_and_its_log_can_be_followed(kubectl: Kubectl, tmp_path: Path) -> None:
    sign = tmp_path / "go"
    command = f"echo one; until test -e {sign}; do sleep 0.05; done; python -c 'print(2)'"
    kubectl("apply", "-f", "-", given=kubectl.job(command))
    kubectl("wait", "--for=jsonpath={.status.ready}=1", "job/seed", "--timeout=10s")
    with kubectl.start("logs", "--follow", "job/seed") as log:
        assert log.stdout is not None
        assert log.stdout.readline() == "one\n"
        sign.touch()
        assert log.stdout.read() == "2\n"
    kubectl("wait", "--for=condition=Complete", "job/seed", "--timeout=10s")
    assert kubectl("logs", "job/seed", "--tail=1") == "2\n"
    assert kubectl("get", "job", "seed", "--no-headers").split()[:3] == ["seed", "Complete", "1/1"]
    assert "1 Succeeded" in kubectl("describe", "job", "seed")


def is_alive(pid: str) -> bool:
    """Whether a process runs; one that has ended may stay listed until its parent asks for it."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks the process up in /proc")
def test_deleting_a_job_ends_its_processes(kubectl: Kubectl, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    kubectl("apply", "-f", "-", given=kubectl.job(f"sleep 300 & echo $! > {note}; echo noted; wait"))
    kubectl("wait", "--for=jsonpath={.status.ready}=1", "job/seed", "--timeout=10s")
    with kubectl.start("logs", "--follow", "job/seed") as log:
        assert log.stdout is not None
        assert log.stdout.readline() == "noted\n"
        log.terminate()
    kubectl("delete", "job", "seed", "--cascade=foreground", "--timeout=10s")
    assert kubectl("get", "pods", "-o", "name") == ""
    assert not is_alive(note.read_text().strip())


def test_our_own_definition_is_served_and_explained(kubectl: Kubectl) -> None:
    kubectl("apply", "--server-side", "-f", str(ROOT / "crds/campaignpools.yaml"))
    kubectl("wait", "--for=condition=Established", "crd/campaignpools.campaignpool.dev", "--timeout=5s")
    assert "maxConcurrent" in kubectl("explain", "campaignpools.spec", "--recursive")
    assert kubectl("get", "campaignpools", "-o", "name") == ""
