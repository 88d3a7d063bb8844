"""The local cluster of the demo: Postgres, the API emulator and the operator, which end with this process."""

import asyncio
import json
import re
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from campaignpool_local.containers.container import path_variable
from campaignpool_local.emulator import Emulator
from campaignpool_local.imagekit import ImageKit
from campaignpool_local.postgres import EmbeddedPostgres
from chiwar.demo.kube import Kube

NAMESPACE, SYSTEM, POD = "game", "campaignpool-system", "campaignpool-operator"
_ROOT = Path(__file__).parents[3]
_RENDERED, _DOCKERFILE = _ROOT / "tests/chart/golden/defaults.yaml", _ROOT / "operator/Dockerfile"
"""The chart as Helm renders it, which a test compares with Helm; and what its image runs."""


@dataclass(frozen=True)
class Stage:
    """The running servers.

    Attributes:
        kube: The client for the API.
        kubeconfig: The kubeconfig for kubectl.
        database_url: The URL of the application's database, as its owner.
        server: The Postgres server.
        log: The operator's log file.
        store: The stand-in for ImageKit.
    """

    kube: Kube
    kubeconfig: Path
    database_url: str
    server: EmbeddedPostgres
    log: Path
    store: ImageKit


@dataclass(frozen=True)
class Probe:
    """The readiness probe of the operator's container."""

    kube: Kube
    url: str

    async def ready(self) -> bool:
        """Return whether the operator says that it is ready."""
        async with self.kube.session.get(self.url) as response:
            return response.ok


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    """Run Postgres, the API emulator and the stand-in for ImageKit for the duration of a block.

    An existing folder is deleted first.
    """
    _recreate(folder)
    # Blocking calls are fine here, because no other task runs yet.
    with EmbeddedPostgres(folder / "postgres") as server:
        url = server.create_database("game")
        async with Emulator() as emulator, ImageKit() as store, aiohttp.ClientSession() as session:
            kubeconfig = emulator.kubeconfig(folder / "kubeconfig")
            kube = Kube(session, emulator.url, NAMESPACE)
            yield Stage(kube, kubeconfig, url, server, folder / "operator.log", store)


def _recreate(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


@asynccontextmanager
async def operator(running: Stage, **options: str) -> AsyncIterator[Probe]:
    """Install the chart as Helm renders it, and run the container of its Deployment until the block ends.

    Args:
        running: The servers.
        options: Further variables of the container.
    """
    kube = replace(running.kube, namespace=SYSTEM)
    await kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}, "namespaces")
    manifests = chart()
    deployment = manifests.pop("Deployment")[0]
    for kind, listed in manifests.items():
        for manifest in listed:
            await kube.apply(manifest, f"{kind.lower()}s")
    spec = deployment["spec"]["template"]["spec"]
    token = await kube.token(spec["serviceAccountName"])
    kubeconfig = running.kubeconfig.with_name("operator.kubeconfig")
    _write_kubeconfig(running.kubeconfig, kubeconfig, token)
    port = _free_port()
    variables = {"PATH": path_variable(), "KUBECONFIG": str(kubeconfig), "CAMPAIGNPOOL_HTTP_PORT": str(port)}
    variables |= options
    await kube.create(pod(deployment, variables), "pods")
    log = asyncio.create_task(kube.copy_log(POD, running.log))
    try:
        yield Probe(kube, f"http://127.0.0.1:{port}{spec['containers'][0]['readinessProbe']['httpGet']['path']}")
    finally:
        await kube.delete(f"pods/{POD}")
        await asyncio.wait([log], timeout=10)
        log.cancel()


def chart() -> dict[str, list[dict[str, Any]]]:
    """Return the objects of the chart with its default values, by kind."""
    result: dict[str, list[dict[str, Any]]] = {}
    for manifest in yaml.safe_load_all(_RENDERED.read_text()):
        result.setdefault(manifest["kind"], []).append(manifest)
    return result


def pod(deployment: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
    """Return a pod of the Deployment that runs without an image: its entry point is that of the Dockerfile.

    Args:
        deployment: As the chart renders it.
        variables: What is different outside of an image and of a cluster.
    """
    template = deepcopy(deployment["spec"]["template"])
    (container,) = template["spec"]["containers"]
    entry_point = re.search(r"^ENTRYPOINT (.*)$", _DOCKERFILE.read_text(), re.MULTILINE)
    if entry_point is None:
        raise RuntimeError(f"{_DOCKERFILE} has no ENTRYPOINT")
    container["command"] = json.loads(entry_point[1])
    container["env"] += [{"name": name, "value": value} for name, value in variables.items()]
    template["spec"]["restartPolicy"] = "Never"
    metadata = {**template["metadata"], "name": POD, "namespace": deployment["metadata"]["namespace"]}
    return {"apiVersion": "v1", "kind": "Pod", **template, "metadata": metadata}


def _write_kubeconfig(admin: Path, path: Path, token: str) -> None:
    config = yaml.safe_load(admin.read_text())
    config["users"][0]["user"] = {"token": token}
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
