"""A client for the cluster of the tests: the emulator, or a test cluster that KUBECONFIG names.

On a real cluster, pods have to reach the database and need an image:

    KUBECONFIG=... CAMPAIGNPOOL_TEST_DATABASE=postgresql://... CAMPAIGNPOOL_TEST_IMAGE=... pytest -m integration

The URL belongs to a superuser; pods and this machine reach the server by the same name.
"""

import base64
import itertools
import os
import ssl
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import yaml

T = TypeVar("T")
DEADLINE = 30.0
POLL_SECONDS = 0.03
MERGE = {"Content-Type": "application/merge-patch+json"}
POOLS = "/apis/campaignpool.dev/v1alpha1/namespaces/{}/campaignpools"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_names = itertools.count(1)


def is_for_tests(context: str) -> bool:
    """Return whether the name of a kubeconfig context says that the cluster is for tests."""
    return context.startswith("kind-") or context == "campaignpool-local" or "test" in context


def kubeconfig_given() -> Path | None:
    """Return the path in KUBECONFIG, or None for the emulator; fail if its context is not a test cluster."""
    if not (path := os.environ.get("KUBECONFIG")):
        return None
    context = yaml.safe_load(Path(path).read_text()).get("current-context", "")
    if not is_for_tests(context):
        pytest.fail(f"KUBECONFIG's context is {context!r}, which is no test cluster: name it kind-… or …test…")
    return Path(path)


def eventually(check: Callable[[], T], description: str = "", deadline: float = DEADLINE) -> T:
    """Call `check` until it returns a truthy value and return that; fail the test after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not (result := check()):
        if time.monotonic() > end:
            pytest.fail(f"not within {deadline:.0f} s: {description or check}; last result: {result!r}")
        time.sleep(POLL_SECONDS)
    return result


class Kube:
    """A JSON client for the API server of a kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        config = yaml.safe_load(kubeconfig.read_text())
        context = next(entry["context"] for entry in config["contexts"] if entry["name"] == config["current-context"])
        cluster = next(entry["cluster"] for entry in config["clusters"] if entry["name"] == context["cluster"])
        users = {entry["name"]: entry.get("user") or {} for entry in config.get("users") or ()}
        user = users.get(context.get("user", ""), {})
        headers = {"Authorization": f"Bearer {user['token']}"} if user.get("token") else {}
        verify: ssl.SSLContext | bool = True
        if cluster["server"].startswith("https"):
            verify = _tls(cluster, user)
        self._client = httpx.Client(base_url=cluster["server"], headers=headers, verify=verify, timeout=30)

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, **headers: str) -> dict[str, Any] | None:
        response = self._client.get(path, headers=headers)
        return None if response.status_code == httpx.codes.NOT_FOUND else _json(response)

    def items(self, path: str) -> list[dict[str, Any]]:
        return list((self.get(path) or {}).get("items", ()))

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return _json(self._client.post(path, json=body))

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return _json(self._client.patch(path, json=body, headers=MERGE))

    def delete(self, path: str) -> None:
        _json(self._client.delete(path))

    def install(self, crd: dict[str, Any]) -> None:
        """Create a CRD and wait until the API serves its kind."""
        if self.get(f"{CRDS}/{crd['metadata']['name']}") is None:
            self.create(CRDS, crd)
        eventually(lambda: self._client.get(POOLS.format("default")).is_success, "the kind is served")

    def namespace(self) -> str:
        """Create a namespace and return its name."""
        name = f"test-{os.getpid()}-{next(_names)}"
        self.create("/api/v1/namespaces", {"metadata": {"name": name}})
        return name


def _json(response: httpx.Response) -> dict[str, Any]:
    assert response.is_success, f"{response.request.method} {response.url}: {response.status_code} {response.text}"
    result: dict[str, Any] = response.json()
    return result


def _tls(cluster: dict[str, Any], user: dict[str, Any]) -> ssl.SSLContext:
    """Return a TLS context with the kubeconfig's certificates, which are inline data or files."""
    authority = cluster.get("certificate-authority-data")
    context = ssl.create_default_context(
        cafile=cluster.get("certificate-authority"),
        cadata=base64.b64decode(authority).decode() if authority else None,
    )
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for key in ("client-certificate", "client-key"):
            path = user.get(key)
            if data := user.get(f"{key}-data"):
                path = Path(folder) / key
                path.write_bytes(base64.b64decode(data))
            paths.append(path)
        if all(paths):
            context.load_cert_chain(*paths)
    return context
