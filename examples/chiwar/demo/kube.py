"""The demo's calls to the Kubernetes API, as plain HTTP so that the requests are visible."""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


_CLUSTERWIDE = ("Namespace", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding")


@dataclass(frozen=True)
class Kube:
    """A client for one namespace of an API server."""

    session: aiohttp.ClientSession
    url: str
    namespace: str

    async def apply(self, manifest: dict[str, Any], plural: str) -> None:
        """Apply a manifest, as `kubectl apply --server-side` does.

        Raises:
            RuntimeError: The API refuses the manifest; the message is the API's.
        """
        version, name = manifest["apiVersion"], manifest["metadata"]["name"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        scope = "" if manifest["kind"] in _CLUSTERWIDE else f"/namespaces/{self.namespace}"
        async with self.session.patch(
            f"{self.url}{root}{scope}/{plural}/{name}",
            data=json.dumps(manifest),
            headers={"Content-Type": "application/apply-patch+yaml"},
            params={"fieldManager": "demo", "force": "true"},
        ) as response:
            if response.status not in (200, 201):
                message = (await response.json())["message"]
                raise RuntimeError(f"the API refused {manifest['kind']} {name}: {message}")

    async def create(self, manifest: dict[str, Any], path: str) -> dict[str, Any]:
        """Create an object of the namespace and return it. Raises aiohttp.ClientResponseError."""
        async with self.session.post(self._path(path), json=manifest, raise_for_status=True) as response:
            created: dict[str, Any] = await response.json()
            return created

    async def delete(self, path: str) -> None:
        """Delete an object of the namespace."""
        async with self.session.delete(self._path(path)):
            return

    async def token(self, account: str) -> str:
        """Return a token of a ServiceAccount of the namespace, for a day."""
        request = {"spec": {"expirationSeconds": 86400}}
        return str((await self.create(request, f"serviceaccounts/{account}/token"))["status"]["token"])

    async def copy_log(self, pod: str, path: Path) -> None:
        """Write what a pod logs to a file, until it ends."""
        parameters = {"follow": "true"}
        with path.open("wb") as file:
            async with self.session.get(self._path(f"pods/{pod}/log"), params=parameters, timeout=None) as response:
                async for line in response.content:
                    file.write(line)
                    file.flush()

    async def get(self, path: str) -> dict[str, Any]:
        """Return an object or a list of the namespace, such as `campaignpools/chiwar`."""
        async with self.session.get(self._path(path)) as response:
            resource: dict[str, Any] = await response.json()
            return resource

    async def rows(self, path: str) -> AsyncIterator[tuple[list[dict[str, Any]], list[Any]]]:
        """Watch like `kubectl get --watch`: yield the columns and the cells of a row whenever it changes."""
        columns: list[dict[str, Any]] = []
        parameters = {"watch": "true", "includeObject": "None"}
        headers = {"Accept": TABLE}
        async with self.session.get(self._path(path), params=parameters, headers=headers) as response:
            async for line in response.content:
                table = json.loads(line)["object"]
                columns = table["columnDefinitions"] or columns
                for row in table["rows"] or ():
                    yield columns, row["cells"]

    def _path(self, path: str) -> str:
        group = (
            "/api/v1"
            if path.startswith(("events", "secrets", "pods", "serviceaccounts"))
            else "/apis/campaignpool.dev/v1alpha1"
        )
        return f"{self.url}{group}/namespaces/{self.namespace}/{path}"


def secret(name: str, key: str, value: str) -> dict[str, Any]:
    """Return the manifest of a Secret with one key."""
    data = {key: base64.b64encode(value.encode()).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
