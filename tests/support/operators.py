"""The operator in its own process, and pools of the sample application for it to reconcile."""

import abc
import asyncio
import contextlib
import copy
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import yaml

import chiwar
from campaignpool.api.crd import crd
from campaignpool.api.resource import SECRET_LABEL
from campaignpool_local.containers.container import Container, path_variable
from campaignpool_local.emulator import emulator_thread
from tests.support import clusters
from tests.support.kube import POOLS, Kube, eventually, plain_http
from tests.support.node import node_thread
from tests.support.postgres import Server

_POOL = Path(__file__).parent.parent.parent / "examples" / "chiwar" / "pool.yaml"
_SERVING = re.compile(r"serving probes and metrics port=(\d+)")
HTTP_PORT = 8080
NEVER = 3600
"""Seconds between resyncs, so that only events cause reconciliations in a test."""


class Operator(abc.ABC):
    """An operator that runs, by what it serves and logs."""

    @property
    @abc.abstractmethod
    def log(self) -> str:
        """What it logged since this object was created."""

    @abc.abstractmethod
    def get(self, path: str) -> str:
        """Return what it serves at a path."""

    @abc.abstractmethod
    def alive(self) -> bool:
        """Return whether it runs."""

    def metrics(self) -> dict[str, float]:
        """Return the samples by name and labels, as the exposition format writes them."""
        lines = self.get("/metrics").splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}

    def metric(self, name: str) -> float:
        """Return the sum of a metric over all its labels."""
        return sum(value for key, value in self.metrics().items() if key.partition("{")[0] == name)

    def loops(self) -> float:
        return self.metric("campaignpool_reconcile_total")


class OperatorProcess(Operator):
    """`python -m campaignpool_operator` as a container runs it, with its log in a file."""

    def __init__(
        self,
        kubeconfig: Path,
        log: Path,
        *options: str,
        ready: bool = True,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._log = log
        command = [sys.executable, "-m", "campaignpool_operator", "--http-host=127.0.0.1", "--http-port=0"]
        image = os.environ.get("CAMPAIGNPOOL_TEST_IMAGE")
        command += [f"--resync-seconds={NEVER}", *([f"--seeder-image={image}"] if image else []), *options]
        environment = {"PATH": path_variable(), "KUBECONFIG": str(kubeconfig), **(variables or {})}
        # A connection for each request, as probes make them.
        self._http = plain_http(limits=httpx.Limits(max_keepalive_connections=0))
        with log.open("ab") as output:
            self._before = output.tell()
            self.process = subprocess.Popen(
                Container(command, environment, read_only=True).start(),
                env={},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        port = eventually(self._port, "the operator serves")
        self.url = f"http://127.0.0.1:{port}"
        if ready:
            eventually(lambda: self.answer("/readyz").is_success, "the operator is ready")

    @property
    def log(self) -> str:
        return self._log.read_bytes()[self._before :].decode()

    def answer(self, path: str) -> httpx.Response:
        """Return its answer to a GET."""
        return self._http.get(f"{self.url}{path}")

    def get(self, path: str) -> str:
        return self.answer(path).text

    def alive(self) -> bool:
        return self.process.poll() is None

    def _port(self) -> str | None:
        assert self.alive(), self.log
        match = _SERVING.search(self.log)
        return match[1] if match else None

    def stop(self, signal_number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(signal_number)
        return self.process.wait(15)

    def close(self) -> None:
        """Kill it if it still runs."""
        if self.alive():
            self.process.kill()
            self.process.wait()
        self._http.close()


class InstalledOperator(Operator):
    """The chart's Deployment in the cluster; its pods are asked through the API server, the leader for figures."""

    def __init__(self, kube: Kube, where: str) -> None:
        self._kube, (self._namespace, self._name) = kube, where.split("/")
        self._began = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        eventually(self._leader, f"one replica of {where} leads")

    @property
    def log(self) -> str:
        return "".join(self._kube.text(f"{pod}/log", sinceTime=self._began) for pod in self._pods())

    def get(self, path: str) -> str:
        return self._kube.text(f"{self._leader()}:{HTTP_PORT}/proxy{path}")

    def alive(self) -> bool:
        return bool(self._leader())

    def _pods(self) -> list[str]:
        """Return the paths of the pods that are ready."""
        path = f"/apis/apps/v1/namespaces/{self._namespace}/deployments/{self._name}"
        labels = (self._kube.get(path) or {})["spec"]["selector"]["matchLabels"]
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        pods = f"/api/v1/namespaces/{self._namespace}/pods"
        return [
            f"{pods}/{pod['metadata']['name']}"
            for pod in self._kube.items(f"{pods}?labelSelector={selector}")
            if any((state["type"], state["status"]) == ("Ready", "True") for state in pod["status"]["conditions"])
        ]

    def _leader(self) -> str:
        """Return the path of the pod that leads, or nothing while none does."""
        for pod in self._pods():
            if "\ncampaignpool_leader 1" in self._kube.text(f"{pod}:{HTTP_PORT}/proxy/metrics"):
                return pod
        return ""


@contextlib.contextmanager
def running(
    kubeconfig: Path, log: Path, *options: str, ready: bool = True, variables: Mapping[str, str] | None = None
) -> Iterator[OperatorProcess]:
    """Run an operator for the duration of a block; by default, wait until it is ready first."""
    operator = OperatorProcess(kubeconfig, log, *options, ready=ready, variables=variables)
    try:
        yield operator
    finally:
        operator.close()


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Kube]:
    """Yield the cluster that is given, with its pods run here where it has no nodes; else an emulator of its own."""
    with contextlib.ExitStack() as stack:
        if (given := clusters.kubeconfig_given()) is None:
            given = stack.enter_context(emulator_thread(backoff=0.2)).kubeconfig(folder / "config")
        elif clusters.pods_are_local():
            stack.enter_context(node_thread(given))
        kube = Kube(given)
        stack.callback(kube.close)
        if not clusters.installed_operator():
            kube.install(crd())
        yield kube


@contextlib.contextmanager
def operator_of(kube: Kube, folder: Path) -> Iterator[Operator]:
    """Yield the operator that is installed in the cluster, else one that is started; it must not log an exception."""
    if where := clusters.installed_operator():
        installed = InstalledOperator(kube, where)
        yield installed
        assert "Traceback" not in installed.log, installed.log
        return
    with running(kube.kubeconfig, folder / "log") as process:
        yield process
        log = process.log
        assert "Traceback" not in log, log
        assert process.stop() == 0


class Game:
    """A namespace with a Secret and a CampaignPool, and the application's database."""

    def __init__(self, kube: Kube, url: str) -> None:
        self.kube, self.url = kube, url
        self.namespace = kube.namespace()
        self.key = f"{self.namespace}/chiwar"
        self.path = f"{POOLS.format(self.namespace)}/chiwar"
        self.secrets = f"/api/v1/namespaces/{self.namespace}/secrets"
        self.manifest: dict[str, Any] = yaml.safe_load(_POOL.read_text())

    def put_secret(self, **data: str) -> None:
        """Create the Secret, by default with the right URL, as an operator takes it that requires the label."""
        metadata = {"name": "chiwar-database", "labels": dict([SECRET_LABEL])}
        body = {"metadata": metadata, "stringData": data or {"url": self.url}}
        self.kube.create(self.secrets, body)

    def create(self, **spec: Any) -> None:
        """Create the pool, with `spec` merged into the sample's; its Jobs do not linger unless `spec` says so."""
        manifest = copy.deepcopy(self.manifest)
        seeding = {"lingerSeconds": 0, **spec.pop("seeding", {})}
        manifest["spec"] |= {"owners": [], "size": 2, "seeding": seeding, **spec}
        self.kube.create(POOLS.format(self.namespace), manifest)

    def patch(self, **spec: Any) -> None:
        self.kube.patch(self.path, {"spec": spec})

    def annotate(self, **annotations: str) -> None:
        """Set annotations of `campaignpool.dev`."""
        named = {f"campaignpool.dev/{name}": value for name, value in annotations.items()}
        self.kube.patch(self.path, {"metadata": {"annotations": named}})

    def touch(self, text: str) -> None:
        """Set an annotation, which triggers a reconciliation and changes nothing else."""
        self.kube.patch(self.path, {"metadata": {"annotations": {"touched": text}}})

    def delete(self) -> None:
        self.kube.delete(self.path)

    def pool(self) -> dict[str, Any]:
        resource = self.kube.get(self.path)
        assert resource is not None, "the pool is gone"
        return resource

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.pool().get("status", {})
        return status

    def condition(self, kind: str) -> dict[str, Any]:
        conditions = {item["type"]: item for item in self.status().get("conditions", ())}
        condition: dict[str, Any] = conditions.get(kind, {})
        return condition

    def has(self, kind: str, status: str, reason: str | None = None) -> dict[str, Any]:
        """Wait for a condition at the current generation and return it."""

        def check() -> dict[str, Any] | None:
            pool = self.pool()
            condition = {item["type"]: item for item in pool.get("status", {}).get("conditions", ())}.get(kind)
            if condition is None or condition["observedGeneration"] != pool["metadata"]["generation"]:
                return None
            return condition if condition["status"] == status and reason in (None, condition["reason"]) else None

        return eventually(check, f"{kind} is {status} {reason or ''}; {self.key}")

    def close(self) -> None:
        """Delete the namespace with everything in it; the pool's campaigns stay where they are."""
        if self.kube.get(self.path) is not None:
            self.kube.patch(self.path, {"metadata": {"finalizers": None}})
        if self.kube.get(f"/api/v1/namespaces/{self.namespace}") is not None:
            self.kube.delete(f"/api/v1/namespaces/{self.namespace}")

    def gone(self) -> None:
        eventually(lambda: self.kube.get(self.path) is None, f"{self.key} is gone")

    def events(self) -> list[tuple[str, str, str]]:
        events = self.kube.items(f"/api/v1/namespaces/{self.namespace}/events")
        about_pools = [event for event in events if event["involvedObject"]["kind"] == "CampaignPool"]
        return [(event["type"], event["reason"], event["message"]) for event in about_pools]

    def count_events(self, kind: str, reason: str) -> int:
        """Wait for an Event, which follows the status change it reports, and return how often it was posted."""
        return eventually(lambda: [event[:2] for event in self.events()].count((kind, reason)), f"Event {reason}")

    def jobs(self) -> list[dict[str, Any]]:
        return self.kube.items(f"/apis/batch/v1/namespaces/{self.namespace}/jobs")

    def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        async def run() -> list[asyncpg.Record]:
            connection = await asyncpg.connect(self.url)
            try:
                return list(await connection.fetch(query, *arguments))
            finally:
                await connection.close()

        return asyncio.run(run())

    def claim(self, user: str, key: str | None = None) -> asyncpg.Record:
        return self.fetch("SELECT * FROM campaign_pool.claim($1, $2, $3)", self.key, user, key)[0]

    def users(self) -> list[str]:
        return [row["id"] for row in self.fetch("SELECT id::text FROM users ORDER BY id")]

    def states(self) -> dict[str, int]:
        """Return the number of the pool's campaigns in each state of the ledger, including claimed ones."""
        query = """SELECT state, count(*) FROM (
                       SELECT pool_id, state FROM campaign_pool.campaign
                       UNION ALL SELECT pool_id, 'claimed' FROM campaign_pool.claimed WHERE released_at IS NULL
                   ) c JOIN campaign_pool.pool p ON p.id = c.pool_id WHERE p.name = $1 GROUP BY state"""
        return {row["state"]: row["count"] for row in self.fetch(query, self.key)}

    def revisions(self) -> set[int]:
        """Return the revisions of the pool's ready campaigns."""
        return {row[0] for row in self.fetch("SELECT revision_id FROM campaign_pool.campaign WHERE state = 'ready'")}

    def at(self, **parts: str) -> str:
        """Return the database's URL with another host, password or database."""
        url = urllib.parse.urlsplit(self.url)
        host, password = parts.get("host", f"{url.hostname}:{url.port}"), parts.get("password", url.password)
        path = f"/{parts['database']}" if "database" in parts else url.path
        return f"postgresql://{url.username}:{password}@{host}{path}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Set the time that tests may take on a cluster of this kind."""
    if clusters.limits() != clusters.EMULATOR:
        for item in items:
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(clusters.limits().timeout))


@pytest.fixture(scope="session")
def small_game(pods_server: Server) -> str:
    """Return the name of a database with a small game in it."""

    async def load(url: str) -> None:
        connection = await asyncpg.connect(url)
        try:
            await chiwar.load(connection, scale=0.1)
        finally:
            await connection.close()

    asyncio.run(load(pods_server.create_database("small_game")))
    return "small_game"


def filled(game: Game) -> dict[str, Any]:
    """Wait until a pool is full and return its status."""
    game.has("Ready", "True", "Filled")
    game.has("Progressing", "False", "UpToDate")
    return game.status()


def settled(operator: Operator, game: Game, loops: int) -> None:
    """Wait until so many loops more have run, each asked for."""
    for number in range(loops):
        before = operator.loops()
        game.touch(f"{time.monotonic()} {number}")
        eventually(lambda before=before: operator.loops() > before, "a loop")
