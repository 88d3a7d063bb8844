"""The few calls that the demo makes to the Kubernetes API, as plain HTTP: what is sent stays in sight."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@dataclass(frozen=True)
class Kube:
    """One API server, seen from one namespace."""

    session: aiohttp.ClientSession
    url: str
    namespace: str

    async def apply(self, manifest: dict[str, Any], plural: str) -> None:
        """Apply a manifest, as `kubectl apply --server-side` does.

        Raises:
            RuntimeError: The API refuses it, with the API's own message.
        """
        version, name = manifest["apiVersion"], manifest["metadata"]["name"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        clusterwide = manifest["kind"] in ("Namespace", "CustomResourceDefinition")
        place = "" if clusterwide else f"/namespaces/{self.namespace}"
        async with self.session.patch(
            f"{self.url}{root}{place}/{plural}/{name}",
            data=json.dumps(manifest),
            headers={"Content-Type": "application/apply-patch+yaml"},
            params={"fieldManager": "demo", "force": "true"},
        ) as answer:
            if answer.status not in (200, 201):
                raise RuntimeError(f"{manifest['kind']} {name} is refused: {(await answer.json())['message']}")

    async def get(self, path: str) -> dict[str, Any]:
        """Read one object or list of the namespace, such as `campaignpools/chiwar`."""
        async with self.session.get(self._path(path)) as answer:
            found: dict[str, Any] = await answer.json()
            return found

    async def rows(self, path: str) -> AsyncIterator[tuple[list[dict[str, Any]], list[Any]]]:
        """Watch as `kubectl get --watch` does: the columns, and the cells of a row each time it changes."""
        columns: list[dict[str, Any]] = []
        parameters = {"watch": "true", "includeObject": "None"}
        headers = {"Accept": TABLE}
        async with self.session.get(self._path(path), params=parameters, headers=headers) as answer:
            async for line in answer.content:
                table = json.loads(line)["object"]
                columns = table["columnDefinitions"] or columns
                for row in table["rows"] or ():
                    yield columns, row["cells"]

    def _path(self, path: str) -> str:
        group = "/api/v1" if path.startswith(("events", "secrets", "pods")) else "/apis/campaignpool.dev/v1alpha1"
        return f"{self.url}{group}/namespaces/{self.namespace}/{path}"
