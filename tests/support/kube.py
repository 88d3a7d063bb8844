"""A client for the API of a cluster: the emulator, or the one that `tests.support.clusters` describes."""

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

from tests.support import clusters

T = TypeVar("T")
POLL_SECONDS, LONGEST_PAUSE_SECONDS = 0.02, 0.1
MERGE = {"Content-Type": "application/merge-patch+json"}
POOLS = "/apis/campaignpool.dev/v1alpha1/namespaces/{}/campaignpools"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_names = itertools.count(1)


def eventually(check: Callable[[], T], description: str = "", deadline: float | None = None) -> T:
    """Call `check` until it returns a truthy value and return that; fail after the deadline of the cluster's kind."""
    deadline = deadline or clusters.limits().deadline
    began = time.monotonic()
    while not (result := check()):
        waited = time.monotonic() - began
        if waited > deadline:
            pytest.fail(f"not within {deadline:.0f} s: {description or check}; last result: {result!r}")
        time.sleep(min(POLL_SECONDS + waited / 20, LONGEST_PAUSE_SECONDS))
    return result


def plain_http(url: str = "", **options: Any) -> httpx.Client:
    """Return a client of a server without TLS; reading the system's certificates would take 60 ms of a processor."""
    return httpx.Client(base_url=url, verify=_NO_CERTIFICATES, **options)


class Kube:
    """A JSON client for the API server of a kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self._client = httpx.Client(**connection(kubeconfig), timeout=30)

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

    def replace_spec(self, path: str, spec: dict[str, Any]) -> None:
        """Put a whole spec in the place of an object's, whatever version it has."""
        headers = {"Content-Type": "application/json-patch+json"}
        _json(self._client.patch(path, json=[{"op": "replace", "path": "/spec", "value": spec}], headers=headers))

    def refused_fields(self, path: str, body: dict[str, Any]) -> list[str]:
        """Return the fields that keep an object from being created; nothing is created."""
        response = self._client.post(path, params={"dryRun": "All"}, json=body)
        assert response.status_code == httpx.codes.UNPROCESSABLE_ENTITY, f"{response.status_code} {response.text}"
        return [cause["field"] for cause in response.json()["details"]["causes"]]

    def delete(self, path: str) -> None:
        _json(self._client.delete(path))

    def install(self, crd: dict[str, Any]) -> None:
        """Apply a CRD and wait until the API serves its kind."""
        path, query = f"{CRDS}/{crd['metadata']['name']}", {"fieldManager": "tests", "force": "true"}
        headers = {"Content-Type": "application/apply-patch+yaml"}
        _json(self._client.patch(path, json=crd, params=query, headers=headers))
        eventually(lambda: self._client.get(POOLS.format("default")).is_success, "the kind is served")

    def namespace(self, *, pods: bool = True) -> str:
        """Create a namespace and return its name; by default, wait until pods can be created in it."""
        name = f"test-{os.getpid()}-{next(_names)}"
        self.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": {"campaignpool.dev/test": "true"}}})
        if not pods:
            return name
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        eventually(lambda: self.get(account) is not None, "pods can be created in the namespace")
        return name

    def text(self, path: str, **query: str) -> str:
        """Return an answer that is no JSON, such as a log."""
        response = self._client.get(path, params=query)
        assert response.is_success, f"{path}: {response.status_code} {response.text}"
        return response.text


def connection(kubeconfig: Path) -> dict[str, Any]:
    """Return the arguments with which a client of httpx reaches the API server of a kubeconfig."""
    config = yaml.safe_load(kubeconfig.read_text())
    context = next(entry["context"] for entry in config["contexts"] if entry["name"] == config["current-context"])
    cluster = next(entry["cluster"] for entry in config["clusters"] if entry["name"] == context["cluster"])
    users = {entry["name"]: entry.get("user") or {} for entry in config.get("users") or ()}
    user = users.get(context.get("user", ""), {})
    headers = {"Authorization": f"Bearer {user['token']}"} if user.get("token") else {}
    verify = _tls(cluster, user) if cluster["server"].startswith("https") else _NO_CERTIFICATES
    return {"base_url": cluster["server"], "headers": headers, "verify": verify}


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
