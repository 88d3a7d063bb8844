"""The emulator as a program: it lets nobody in who should not, and leaves nothing behind."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from campaignpool_local.emulator import CONTEXT, Emulator, emulator_thread
from campaignpool_local.values import Json

PATIENCE = 20


def job(command: str, **pod: object) -> Json:
    container = {"name": "main", "image": "none", "command": ["sh", "-c", command]}
    spec = {"restartPolicy": "Never", "containers": [container], **pod}
    return {"metadata": {"generateName": "t-"}, "spec": {"backoffLimit": 2, "template": {"spec": spec}}}


@contextmanager
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=PATIENCE) as http:
        yield http


def start(http: httpx.Client, body: Json) -> str:
    """Create a Job and give the name of its pod."""
    answer = http.post("/apis/batch/v1/namespaces/default/jobs", json=body)
    name = answer.raise_for_status().json()["metadata"]["name"]
    query = {"watch": "1", "resourceVersion": "0", "labelSelector": f"job-name={name}"}
    with http.stream("GET", "/api/v1/namespaces/default/pods", params=query) as events:
        event = yaml.safe_load(next(events.iter_lines()))
    return str(event["object"]["metadata"]["name"])


def first_line(http: httpx.Client, pod: str) -> str:
    """Wait until a pod has printed something."""
    path = f"/api/v1/namespaces/default/pods/{pod}"
    query = {"watch": "1", "fieldSelector": f"metadata.name={pod}", "resourceVersion": "0"}
    with http.stream("GET", "/api/v1/namespaces/default/pods", params=query) as events:
        next(line for line in events.iter_lines() if '"phase":"Pending"' not in line)
    with http.stream("GET", f"{path}/log", params={"follow": "true"}) as log:
        return next(log.iter_lines())


@contextmanager
def served(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the program; give it and the address in the kubeconfig it wrote."""
    kubeconfig = folder / "kubeconfig"
    command = [sys.executable, "-m", "campaignpool_local", str(kubeconfig)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "emulator" in process.stdout.readline()
        config = yaml.safe_load(kubeconfig.read_text())
        try:
            yield process, config["clusters"][0]["cluster"]["server"]
        finally:
            process.kill()


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for processes by their file descriptors")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_no_process_outlives_the_emulator(tmp_path: Path, number: signal.Signals) -> None:
    with served(tmp_path) as (process, url), client(url) as http:
        pids = first_line(http, start(http, job("sleep 300 & echo $$$$ $!; wait"))).split()
        descriptors = [os.pidfd_open(int(pid)) for pid in pids]
        process.send_signal(number)
        process.wait(PATIENCE)
        for descriptor in descriptors:
            assert select.select([descriptor], [], [], PATIENCE)[0]
            os.close(descriptor)


def test_who_does_not_know_the_address_is_turned_away() -> None:
    with emulator_thread() as emulator, client(emulator.url.rpartition("/")[0]) as http:
        for path in ("/api/v1/namespaces", "/nonsense/api/v1/namespaces", "/version"):
            assert http.get(path).status_code == 401
        assert http.get("/readyz").text == "ok"


def test_the_kubeconfig_is_private_and_named_after_the_emulator(tmp_path: Path) -> None:
    with emulator_thread() as emulator:
        path = emulator.kubeconfig(tmp_path / "kubeconfig")
    assert path.stat().st_mode & 0o077 == 0
    assert yaml.safe_load(path.read_text())["current-context"] == CONTEXT == "campaignpool-local"


def test_a_taken_port_is_told_to_who_starts_it() -> None:
    with emulator_thread() as emulator:
        taken = emulator_thread(httpx.URL(emulator.url).port or 0)
        with pytest.raises(OSError, match="address already in use"):
            taken.__enter__()


async def test_it_can_be_used_in_a_loop_and_started_again() -> None:
    for _ in range(2):
        async with Emulator() as emulator, httpx.AsyncClient(base_url=emulator.url) as http:
            names = [item["metadata"]["name"] for item in (await http.get("/api/v1/namespaces")).json()["items"]]
            assert names == ["default", "kube-system"]


async def test_it_stops_at_once_whoever_still_watches() -> None:
    loop = asyncio.get_running_loop()
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        async with Emulator() as emulator:
            request = http.build_request("GET", f"{emulator.url}/api/v1/namespaces?watch=1")
            watch = await http.send(request, stream=True)
            before = loop.time()
        assert loop.time() - before < 0.9
        await watch.aclose()


def test_a_body_of_an_odd_shape_is_answered_with_a_status() -> None:
    with emulator_thread() as emulator, client(emulator.url) as http:
        answer = http.post("/api/v1/namespaces/default/configmaps", json={"metadata": "text"})
        assert answer.json()["kind"] == "Status"
        assert http.get("/api/v1/namespaces/default/configmaps").json()["items"] == []
