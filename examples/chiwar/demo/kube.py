"""The demo's calls to the Kubernetes API, as plain HTTP so that the requests are visible."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


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
        clusterwide = manifest["kind"] in ("Namespace", "CustomResourceDefinition")
        scope = "" if clusterwide else f"/namespaces/{self.namespace}"
        async with self.session.patch(
            f"{self.url}{root}{scope}/{plural}/{name}",
            data=json.dumps(manifest),
            headers={"Content-Type": "application/apply-patch+yaml"},
            params={"fieldManager": "demo", "force": "true"},
        ) as response:
            if response.status not in (200, 201):
                message = (await response.json())["message"]
                raise RuntimeError(f"the API refused {manifest['kind']} {name}: {message}")

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
        group = "/api/v1" if path.startswith(("events", "secrets", "pods")) else "/apis/campaignpool.dev/v1alpha1"
        return f"{self.url}{group}/namespaces/{self.namespace}/{path}"
