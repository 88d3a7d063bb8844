"""Cluster physics: images, pod security, the least rights; and the operator's tests against the chart's operator.

On kind, or on the cluster that KUBECONFIG names.

`make e2e` makes a kind cluster where Docker is at hand, builds both images and loads them. With KUBECONFIG the
images have to be on the nodes already.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

import chiwar
from tests.support.clusters import kubeconfig_given
from tests.support.operators import NEVER

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]
ROOT = Path(__file__).parents[2]
CLUSTER, NAMESPACE, OPERATOR = "campaignpool-test", "campaignpool-e2e", "campaignpool-operator"
IMAGES = {"campaignpool-operator:0.1.0": "operator", "campaignpool-seeder:0.1.0": "jobs/seeder"}
VALUES = (
    f"--namespace={NAMESPACE}",
    "--set=image.registry=,image.repository=campaignpool-operator",
    "--set=seeder.image.registry=,seeder.image.repository=campaignpool-seeder",
)
"""The images that were built here, and the pools' namespace, which enforces the restricted standard."""
CLAIM = "SELECT campaign_id FROM campaign_pool.claim(pool => $1, claimant => $2, key => $3)"


def run(*words: str, kubeconfig: Path | None = None) -> str:
    environment = {**os.environ, **({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def kubeconfig() -> Iterator[Path]:
    """The cluster: the one that is given, or a kind cluster of our own."""
    if given := kubeconfig_given():
        yield given
        return
    missing = [tool for tool in ("kind", "docker", "kubectl", "helm") if shutil.which(tool) is None]
    if missing or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        pytest.fail(
            f"no cluster: set KUBECONFIG, or have kind, kubectl, helm and a running Docker (missing: {missing})"
        )
    with tempfile.TemporaryDirectory(prefix="campaignpool-e2e-") as folder:
        config = Path(folder) / "kubeconfig"
        node = ["--image", os.environ["CAMPAIGNPOOL_KIND_NODE"]] if "CAMPAIGNPOOL_KIND_NODE" in os.environ else []
        run("kind", "create", "cluster", "--name", CLUSTER, "--kubeconfig", str(config), "--wait", "120s", *node)
        try:
            for image, place in IMAGES.items():
                run("docker", "build", "-f", f"{place}/Dockerfile", "-t", image, ".")
            run("kind", "load", "docker-image", "--name", CLUSTER, *IMAGES)
            yield config
        finally:
            run("kind", "delete", "cluster", "--name", CLUSTER, "--kubeconfig", str(config))


@contextmanager
def installed(kubeconfig: Path, resync_seconds: int) -> Iterator[None]:
    """Install the chart and a Postgres for the duration of a block."""

    def kubectl(*words: str) -> str:
        return run("kubectl", *words, kubeconfig=kubeconfig)

    kubectl("apply", "-f", "tests/e2e/cluster.yaml")
    try:
        resync = f"--set=resyncSeconds={resync_seconds}"
        run("helm", "install", "campaignpool", "charts/campaignpool-operator", *VALUES, resync, kubeconfig=kubeconfig)
        for deployment in ("postgres", OPERATOR):
            kubectl("-n", NAMESPACE, "rollout", "status", f"deployment/{deployment}", "--timeout=180s")
        yield
    finally:
        where = f"--namespace={NAMESPACE}"
        run("helm", "uninstall", "campaignpool", "--ignore-not-found", where, kubeconfig=kubeconfig)
        kubectl("delete", "-f", "tests/e2e/cluster.yaml", "--ignore-not-found", "--timeout=180s")


@contextmanager
def forwarded(kubeconfig: Path) -> Iterator[str]:
    """The database's URL on this machine, by a port that kubectl forwards."""
    command = ["kubectl", "-n", NAMESPACE, "port-forward", "service/postgres", ":5432"]
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            match = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
            assert match
            yield f"postgresql://game:for-tests-only@127.0.0.1:{match[1]}/game"
        finally:
            process.terminate()


def test_a_pool_fills_and_is_claimed_from(kubeconfig: Path) -> None:
    def kubectl(*words: str) -> str:
        return run("kubectl", *words, kubeconfig=kubeconfig)

    pool = ("-n", NAMESPACE, "wait", "campaignpool/chiwar")
    with installed(kubeconfig, 10), forwarded(kubeconfig) as url:
        asyncio.run(_load(url))
        kubectl("-n", NAMESPACE, "apply", "-f", "examples/chiwar/pool.yaml")
        kubectl(*pool, "--for=condition=Ready", "--timeout=180s")
        assert kubectl("-n", NAMESPACE, "get", "cp", "chiwar", "-o", "jsonpath={.status.ready}") == "8"
        asyncio.run(_claim(url))
        kubectl(*pool, "--for=jsonpath={.status.claimed}=1", "--timeout=60s")
        kubectl(*pool, "--for=jsonpath={.status.ready}=8", "--timeout=60s")
        kubectl("-n", NAMESPACE, "delete", "campaignpool/chiwar", "--timeout=120s")
        asyncio.run(_only_the_claimed_is_left(url))


@pytest.mark.timeout(3600)
def test_the_operators_tests_pass_against_the_chart(kubeconfig: Path) -> None:
    def kubectl(*words: str) -> str:
        return run("kubectl", *words, kubeconfig=kubeconfig)

    with installed(kubeconfig, NEVER):
        node = kubectl("get", "nodes", "-o", "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}")
        port = kubectl("-n", NAMESPACE, "get", "service/postgres", "-o", "jsonpath={.spec.ports[0].nodePort}")
        database = os.environ.get(
            "CAMPAIGNPOOL_TEST_DATABASE", f"postgresql://game:for-tests-only@{node}:{port}/postgres"
        )
        environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "CAMPAIGNPOOL_TEST_DATABASE": database,
            "CAMPAIGNPOOL_TEST_OPERATOR": f"{NAMESPACE}/{OPERATOR}",
        }
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            *map(str, sorted((ROOT / "tests/integration").glob("test_operator*.py"))),
        ]
        done = subprocess.run(command, env=environment, cwd=ROOT, check=False)
        assert done.returncode == 0, "the tests of the operator fail on this cluster: see above"


async def _load(url: str) -> None:
    connection = await asyncpg.connect(url)
    await chiwar.load(connection)
    await connection.close()


async def _claim(url: str) -> None:
    connection = await asyncpg.connect(url)
    campaign = await connection.fetchval(CLAIM, f"{NAMESPACE}/chiwar", str(chiwar.NEW_USER_ID), "first")
    assert await chiwar.check_clone(connection, campaign) == []
    await connection.close()


async def _only_the_claimed_is_left(url: str) -> None:
    connection = await asyncpg.connect(url)
    assert await connection.fetchval("SELECT count(*) FROM campaigns") == 2  # the template, and the claimed one
    await connection.close()
