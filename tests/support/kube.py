"""A cluster for tests: the emulator, or the one that KUBECONFIG names where that is plainly for tests; a client.

On a real cluster, pods have to reach the database and have an image to run:

    KUBECONFIG=... CAMPAIGNPOOL_TEST_DATABASE=postgresql://... CAMPAIGNPOOL_TEST_IMAGE=... pytest -m integration

The URL is that of a superuser, on a server that both the pods and this machine reach by the same name.
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
    """Whether a kubeconfig's context says by its name that nobody will miss what is in it."""
    return context.startswith("kind-") or context == "campaignpool-local" or "test" in context


def kubeconfig_given() -> Path | None:
    """The kubeconfig to use, None where the emulator is; fails on a cluster that is not plainly for tests."""
    if not (given := os.environ.get("KUBECONFIG")):
        return None
    context = yaml.safe_load(Path(given).read_text()).get("current-context", "")
    if not is_for_tests(context):
        pytest.fail(f"KUBECONFIG's context is {context!r}, which is not plainly for tests: name one kind-… or …test…")
    return Path(given)


def eventually(check: Callable[[], T], what: str = "", deadline: float = DEADLINE) -> T:
    """Ask until the answer is truthy and give it; fail after the deadline with the last one."""
    end = time.monotonic() + deadline
    while not (answer := check()):
        if time.monotonic() > end:
            pytest.fail(f"not within {deadline:.0f} s: {what or check}; the last answer: {answer!r}")
        time.sleep(POLL_SECONDS)
    return answer


class Kube:
    """A client that speaks JSON, from a kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        config = yaml.safe_load(kubeconfig.read_text())
        context = next(each["context"] for each in config["contexts"] if each["name"] == config["current-context"])
        cluster = next(each["cluster"] for each in config["clusters"] if each["name"] == context["cluster"])
        users = {each["name"]: each.get("user") or {} for each in config.get("users") or ()}
        user = users.get(context.get("user", ""), {})
        headers = {"Authorization": f"Bearer {user['token']}"} if user.get("token") else {}
        verify: ssl.SSLContext | bool = True
        if cluster["server"].startswith("https"):
            verify = _tls(cluster, user)
        self._client = httpx.Client(base_url=cluster["server"], headers=headers, verify=verify, timeout=30)

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, **headers: str) -> dict[str, Any] | None:
        answer = self._client.get(path, headers=headers)
        return None if answer.status_code == httpx.codes.NOT_FOUND else _json(answer)

    def items(self, path: str) -> list[dict[str, Any]]:
        return list((self.get(path) or {}).get("items", ()))

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return _json(self._client.post(path, json=body))

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return _json(self._client.patch(path, json=body, headers=MERGE))

    def delete(self, path: str) -> None:
        _json(self._client.delete(path))

    def install(self, crd: dict[str, Any]) -> None:
        """Install a CRD, and wait until its kind is served."""
        if self.get(f"{CRDS}/{crd['metadata']['name']}") is None:
            self.create(CRDS, crd)
        eventually(lambda: self._client.get(POOLS.format("default")).is_success, "the kind is served")

    def namespace(self) -> str:
        """Make a namespace."""
        name = f"test-{os.getpid()}-{next(_names)}"
        self.create("/api/v1/namespaces", {"metadata": {"name": name}})
        return name


def _json(answer: httpx.Response) -> dict[str, Any]:
    assert answer.is_success, f"{answer.request.method} {answer.url}: {answer.status_code} {answer.text}"
    result: dict[str, Any] = answer.json()
    return result


def _tls(cluster: dict[str, Any], user: dict[str, Any]) -> ssl.SSLContext:
    """Certificates as kubeconfigs have them: as data or as files."""
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
