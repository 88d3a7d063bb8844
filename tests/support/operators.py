"""The real operator as a process of its own, and pools of the sample application for it to look after."""

import asyncio
import contextlib
import copy
import os
import re
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import yaml

from tests.support.containers import as_foreign_user, bare_environment
from tests.support.kube import POOLS, Kube, eventually

_POOL = Path(__file__).parent.parent.parent / "examples" / "chiwar" / "pool.yaml"
_SERVING = re.compile(r"serving probes and metrics port=(\d+)")
NEVER = 3600
"""Seconds between resyncs: whatever happens in a test was caused by an event."""


class OperatorProcess:
    """`python -m campaignpool_operator` as a container runs it, with its log in a file."""

    def __init__(self, kubeconfig: Path, log: Path, *options: str, ready: bool = True) -> None:
        self._log = log
        command = [sys.executable, "-m", "campaignpool_operator", "--http-host=127.0.0.1", "--http-port=0"]
        image = os.environ.get("CAMPAIGNPOOL_TEST_IMAGE")
        command += [f"--resync-seconds={NEVER}", *([f"--seeder-image={image}"] if image else []), *options]
        with log.open("ab") as output:
            self._before = output.tell()
            self.process = subprocess.Popen(
                as_foreign_user(*command),
                env=bare_environment(KUBECONFIG=str(kubeconfig)),
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
        found = _SERVING.search(self.log)
        return found[1] if found else None

    def metrics(self) -> dict[str, float]:
        """Samples by name and labels, as they stand in the text."""
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}

    def metric(self, name: str) -> float:
        """The sum of a metric over all its labels."""
        return sum(value for key, value in self.metrics().items() if key.partition("{")[0] == name)

    def loops(self) -> float:
        return self.metric("campaignpool_reconcile_total")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(15)


@contextlib.contextmanager
def running(kubeconfig: Path, log: Path, *options: str, ready: bool = True) -> Iterator[OperatorProcess]:
    """Run an operator for a block, which by default begins once it is ready. It is ended with the block."""
    operator = OperatorProcess(kubeconfig, log, *options, ready=ready)
    try:
        yield operator
    finally:
        if operator.process.poll() is None:
            operator.process.kill()
            operator.process.wait()


class Game:
    """A namespace with a Secret and a CampaignPool, and the database behind them."""

    def __init__(self, kube: Kube, url: str) -> None:
        self.kube, self.url = kube, url
        self.namespace = kube.namespace()
        self.key = f"{self.namespace}/chiwar"
        self.path = f"{POOLS.format(self.namespace)}/chiwar"
        self.secrets = f"/api/v1/namespaces/{self.namespace}/secrets"
        self.manifest: dict[str, Any] = yaml.safe_load(_POOL.read_text())

    def put_secret(self, **data: str) -> None:
        """Make the Secret; by default with the right URL."""
        body = {"metadata": {"name": "chiwar-database"}, "stringData": data or {"url": self.url}}
        self.kube.create(self.secrets, body)

    def create(self, **spec: Any) -> None:  # noqa: ANN401 (any YAML)
        """Create the pool, with these changes to the sample's spec."""
        manifest = copy.deepcopy(self.manifest)
        manifest["spec"] |= {"owners": [], "size": 2, **spec}
        self.kube.create(POOLS.format(self.namespace), manifest)

    def patch(self, **spec: Any) -> None:  # noqa: ANN401 (any YAML)
        self.kube.patch(self.path, {"spec": spec})

    def touch(self, text: str) -> None:
        """Change what changes nothing: asks for a loop."""
        self.kube.patch(self.path, {"metadata": {"annotations": {"touched": text}}})

    def delete(self) -> None:
        self.kube.delete(self.path)

    def pool(self) -> dict[str, Any]:
        found = self.kube.get(self.path)
        assert found is not None, "the pool is gone"
        return found

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.pool().get("status", {})
        return status

    def condition(self, kind: str) -> dict[str, Any]:
        conditions = {each["type"]: each for each in self.status().get("conditions", ())}
        found: dict[str, Any] = conditions.get(kind, {})
        return found

    def has(self, kind: str, status: str, reason: str | None = None) -> dict[str, Any]:
        """Wait for a condition at the present generation."""

        def check() -> dict[str, Any] | None:
            pool = self.pool()
            found = {each["type"]: each for each in pool.get("status", {}).get("conditions", ())}.get(kind)
            if found is None or found["observedGeneration"] != pool["metadata"]["generation"]:
                return None
            return found if found["status"] == status and reason in (None, found["reason"]) else None

        return eventually(check, f"{kind} is {status} {reason or ''}; {self.key}")

    def gone(self) -> None:
        eventually(lambda: self.kube.get(self.path) is None, f"{self.key} is gone")

    def events(self) -> list[tuple[str, str, str]]:
        found = self.kube.items(f"/api/v1/namespaces/{self.namespace}/events")
        mine = [each for each in found if each["involvedObject"]["kind"] == "CampaignPool"]
        return [(each["type"], each["reason"], each["message"]) for each in mine]

    def told(self, kind: str, reason: str) -> int:
        """Wait for an Event, which follows the status that it speaks of, and give how often it was posted."""
        return eventually(lambda: [each[:2] for each in self.events()].count((kind, reason)), f"Event {reason}")

    def jobs(self) -> list[dict[str, Any]]:
        return self.kube.items(f"/apis/batch/v1/namespaces/{self.namespace}/jobs")

    def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        async def ask() -> list[asyncpg.Record]:
            connection = await asyncpg.connect(self.url)
            try:
                return list(await connection.fetch(query, *arguments))
            finally:
                await connection.close()

        return asyncio.run(ask())

    def claim(self, user: str, key: str | None = None) -> asyncpg.Record:
        return self.fetch("SELECT * FROM campaign_pool.claim($1, $2, $3)", self.key, user, key)[0]

    def users(self) -> list[str]:
        return [row["id"] for row in self.fetch("SELECT id::text FROM users ORDER BY id")]

    def states(self) -> dict[str, int]:
        """Ledger: how many campaigns of the pool are in each state, those that were claimed among them."""
        query = """SELECT state, count(*) FROM (
                       SELECT pool_id, state FROM campaign_pool.campaign
                       UNION ALL SELECT pool_id, 'claimed' FROM campaign_pool.claimed WHERE released_at IS NULL
                   ) c JOIN campaign_pool.pool p ON p.id = c.pool_id WHERE p.name = $1 GROUP BY state"""
        return {row["state"]: row["count"] for row in self.fetch(query, self.key)}

    def at(self, **parts: str) -> str:
        """The database's URL with another host, password or database."""
        url = urllib.parse.urlsplit(self.url)
        host, password = parts.get("host", f"{url.hostname}:{url.port}"), parts.get("password", url.password)
        path = f"/{parts['database']}" if "database" in parts else url.path
        return f"postgresql://{url.username}:{password}@{host}{path}"
