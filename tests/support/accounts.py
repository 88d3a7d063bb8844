"""Service accounts: a kubeconfig with the token of one."""

from pathlib import Path

import yaml

from campaignpool_local.emulator import Emulator
from tests.support.kube import Kube


def kubeconfig_of(cluster: Emulator, kube: Kube, namespace: str, name: str, path: Path) -> Path:
    """Write a kubeconfig with which a client is this service account."""
    where = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
    token = kube.create(where, {"spec": {"expirationSeconds": 3600}})["status"]["token"]
    config = yaml.safe_load(cluster.kubeconfig(path).read_text())
    config["users"][0]["user"] = {"token": token}
    path.write_text(yaml.safe_dump(config))
    return path
