"""The operator in its own process, and pools of the sample application for it to reconcile."""

import asyncio
import contextlib
import copy
import os
import re
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import yaml

from campaignpool_local.containers.container import Container, path_variable
from tests.support.kube import POOLS, Kube, eventually

_POOL = Path(__file__).parent.parent.parent / "examples" / "chiwar" / "pool.yaml"
_SERVING = re.compile(r"serving probes and metrics port=(\d+)")
NEVER = 3600
"""Seconds between resyncs, so that only events cause reconciliations in a test."""


class OperatorProcess:
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
            eventually(lambda: httpx.get(f"{self.url}/readyz").is_success, "the operator is ready")

    @property
    def log(self) -> str:
        return self._log.read_bytes()[self._before :].decode()

    def _port(self) -> str | None:
        assert self.process.poll() is None, self.log
        match = _SERVING.search(self.log)
        return match[1] if match else None

    def metrics(self) -> dict[str, float]:
        """Return the samples by name and labels, as the exposition format writes them."""
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}

    def metric(self, name: str) -> float:
        """Return the sum of a metric over all its labels."""
        return sum(value for key, value in self.metrics().items() if key.partition("{")[0] == name)

    def loops(self) -> float:
        return self.metric("campaignpool_reconcile_total")

    def stop(self, signal_number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(signal_number)
        return self.process.wait(15)


@contextlib.contextmanager
def running(
    kubeconfig: Path, log: Path, *options: str, ready: bool = True, variables: Mapping[str, str] | None = None
) -> Iterator[OperatorProcess]:
    """Run an operator for the duration of a block; by default, wait until it is ready first."""
    operator = OperatorProcess(kubeconfig, log, *options, ready=ready, variables=variables)
    try:
        yield operator
    finally:
        if operator.process.poll() is None:
            operator.process.kill()
            operator.process.wait()


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
        """Create the Secret, by default with the right URL."""
        body = {"metadata": {"name": "chiwar-database"}, "stringData": data or {"url": self.url}}
        self.kube.create(self.secrets, body)

    def create(self, **spec: Any) -> None:
        """Create the pool, with `spec` merged into the sample's."""
        manifest = copy.deepcopy(self.manifest)
        manifest["spec"] |= {"owners": [], "size": 2, **spec}
        self.kube.create(POOLS.format(self.namespace), manifest)

    def patch(self, **spec: Any) -> None:
        self.kube.patch(self.path, {"spec": spec})

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

    def at(self, **parts: str) -> str:
        """Return the database's URL with another host, password or database."""
        url = urllib.parse.urlsplit(self.url)
        host, password = parts.get("host", f"{url.hostname}:{url.port}"), parts.get("password", url.password)
        path = f"/{parts['database']}" if "database" in parts else url.path
        return f"postgresql://{url.username}:{password}@{host}{path}"
