"""A container runs as a numeric user, with its own variables and mounts alone, in a folder that it cannot write."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from campaignpool_local.containers.container import Container, Mount, path_variable, refusal
from campaignpool_local.emulator import Emulator
from campaignpool_local.values import Json
from tests.support.kube import eventually

JOBS, PODS = "/apis/batch/v1/namespaces/{}/jobs", "/api/v1/namespaces/{}/pods"
namespaces_needed = pytest.mark.skipif(bool(refusal()), reason=f"this machine starts no containers: {refusal()}")


def run(script: str, *mounts: Mount, read_only: bool = False, **variables: str) -> str:
    """Run a shell script in a container, and return what it prints."""
    environment = {"PATH": path_variable(), **variables}
    container = Container(["sh", "-c", script], environment, mounts=mounts, read_only=read_only)
    host = {"SECRET_OF_THE_HOST": "1"}
    done = subprocess.run(container.start(), env=host, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@namespaces_needed
def test_the_user_has_a_number_and_no_privileges() -> None:
    assert run("id -u; id -g").split() == ["65532", "65532"]
    assert "CapEff:\t0000000000000000" in run("cat /proc/self/status")
    assert "NoNewPrivs:\t1" in run("cat /proc/self/status")


def test_the_variables_are_those_of_the_container() -> None:
    names = {line.partition("=")[0] for line in run("env", A="1").splitlines()}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD", "LC_CTYPE"} == {"PATH", "A"}


def test_no_value_stands_on_a_command_line() -> None:
    command = Container(["true"], {"PATH": path_variable(), "PASSWORD": "hunter2"}).start()
    assert "hunter2" not in " ".join(command)
    orders = Path(command[-1])
    assert orders.stat().st_mode & 0o077 == 0
    subprocess.run(command, env={}, check=True)
    assert not orders.exists()


@namespaces_needed
def test_the_working_directory_is_empty_and_read_only() -> None:
    assert run("pwd; ls -A") == "/empty\n"
    assert "Read-only file system" in run("touch here")


@namespaces_needed
def test_a_read_only_container_writes_to_its_mounts_alone(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/url").write_text("postgres://x")
    secret = Mount(tmp_path / "secret", "/etc/campaignpool/ca")
    mounts = (Mount(tmp_path / "scratch", "/scratch", read_only=False), secret)
    text = run(
        "cat /etc/campaignpool/ca/url; touch /scratch/a /etc/campaignpool/ca/b /var/c; echo x > /dev/null",
        *mounts,
        read_only=True,
    )
    assert text.startswith("postgres://x")
    assert text.count("Read-only file system") == 2
    assert os.listdir(tmp_path / "scratch") == ["a"]  # noqa: PTH208 - names


@namespaces_needed
def test_what_is_mounted_is_gone_with_the_container() -> None:
    assert not Path("/empty").exists()
    assert not Path("/etc/campaignpool").exists()


def made(api: httpx.Client, namespace: str, container: Json, **pod: object) -> str:
    """Create a Job, and return its name."""
    main = {"name": "main", "image": "seeder:1", **container}
    template = {"spec": {"restartPolicy": "Never", "containers": [main], **pod}}
    body = {"metadata": {"generateName": "c-"}, "spec": {"backoffLimit": 0, "template": template}}
    return str(api.post(JOBS.format(namespace), json=body).raise_for_status().json()["metadata"]["name"])


def ended(api: httpx.Client, namespace: str, job: str) -> tuple[Json, str]:
    """Wait for the end of a Job's pod: return the state of its container, and its log."""

    def state() -> tuple[Json, str] | None:
        pods = api.get(PODS.format(namespace), params={"labelSelector": f"job-name={job}"}).json()["items"]
        results = [item for pod in pods for item in pod["status"].get("containerStatuses", ())]
        if not results or "terminated" not in results[0]["state"]:
            return None
        name = pods[0]["metadata"]["name"]
        return results[0]["state"]["terminated"], api.get(f"{PODS.format(namespace)}/{name}/log").text

    return eventually(state, "the pod ends")


@pytest.fixture(scope="module")
def api(emulator: Emulator) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=emulator.url, timeout=60) as client:
        yield client


def test_a_secret_is_mounted_as_files(api: httpx.Client) -> None:
    if refusal():
        pytest.skip(refusal())
    secret = {"metadata": {"name": "c-ca"}, "stringData": {"ca.crt": "certificate", "other": "x"}}
    api.post("/api/v1/namespaces/default/secrets", json=secret).raise_for_status()
    volume = {"name": "ca", "secret": {"secretName": "c-ca", "items": [{"key": "ca.crt", "path": "tls/root.crt"}]}}
    mount = {"name": "ca", "mountPath": "/etc/app/ca", "readOnly": True}
    command = ["sh", "-c", "cat /etc/app/ca/tls/root.crt; ls /etc/app/ca"]
    job = made(api, "default", {"command": command, "volumeMounts": [mount]}, volumes=[volume])
    state, log = ended(api, "default", job)
    assert (state["reason"], log) == ("Completed", "certificatetls\n")


def test_memory_above_the_limit_ends_a_container(api: httpx.Client) -> None:
    command = [sys.executable, "-c", "import time; held = bytearray(200_000_000); time.sleep(60)"]
    job = made(api, "default", {"command": command, "resources": {"limits": {"memory": "64Mi"}}})
    before = time.monotonic()
    state, _ = ended(api, "default", job)
    assert (state["reason"], state["exitCode"]) == ("OOMKilled", 137)
    assert time.monotonic() - before < 30


def test_a_command_that_is_not_there_is_told_as_the_runtime_does(api: httpx.Client) -> None:
    state, _ = ended(api, "default", made(api, "default", {"command": ["/nope"]}))
    assert (state["reason"], state["exitCode"], state["startedAt"]) == ("StartError", 128, "1970-01-01T00:00:00Z")
    assert state["message"] == (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed:"
        ' unable to start container process: exec: "/nope": stat /nope: no such file or directory: unknown'
    )
