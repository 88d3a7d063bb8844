"""Keep the CampaignPools in memory, current by a watch: who looks at them costs the API server nothing."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from campaignpool.errors import ClusterError
from campaignpool_operator.cluster.client import REQUEST_SECONDS, Cluster
from campaignpool_operator.cluster.transport import Json

AGAIN_SECONDS = 1.0
"""Pause before pools are listed again, where the list or the watch was refused or had no answer."""


class Mirror:
    """The CampaignPools of a cluster.

    Args:
        cluster: The Kubernetes API.
        namespaces: Those that are mirrored; none: the whole cluster.
        changed: Called with the name of a pool that changed, came or went.
    """

    def __init__(self, cluster: Cluster, namespaces: Sequence[str], changed: Callable[[str], None]) -> None:
        self._cluster, self._changed = cluster, changed
        self._parts: dict[str | None, dict[str, Json]] = {part: {} for part in namespaces or (None,)}
        self._unlisted: dict[str | None, ClusterError | None] = dict.fromkeys(self._parts)
        self._tried = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to list and to watch."""
        self._tasks = [asyncio.create_task(self._keep(part), name="dashboard pools") for part in self._parts]

    async def close(self) -> None:
        """End."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def current(self) -> bool:
        """Whether every namespace was listed, and the last list had an answer."""
        return not self._unlisted

    async def pools(self) -> list[Json]:
        """Return all CampaignPools; they must not be changed. Raises ClusterError while they are not known."""
        await self._known()
        return [resource for part in self._parts.values() for resource in part.values()]

    async def pool(self, namespace: str, name: str) -> Json | None:
        """Return a CampaignPool; it must not be changed. Raises ClusterError while it is not known."""
        await self._known()
        part = self._parts.get(None, self._parts.get(namespace)) or {}
        return part.get(f"{namespace}/{name}")

    async def _known(self) -> None:
        """Wait until every list was tried once. Raises ClusterError."""
        with suppress(TimeoutError):
            async with asyncio.timeout(REQUEST_SECONDS):
                await self._tried.wait()
        for error in self._unlisted.values():
            raise error or ClusterError("the Kubernetes API has not listed the pools yet: try again")

    async def _keep(self, part: str | None) -> None:
        while True:
            try:
                await self._follow(part, await self._list(part))
            except ClusterError:
                await asyncio.sleep(AGAIN_SECONDS)

    async def _list(self, part: str | None) -> str:
        """List the pools; return the version of the list."""
        try:
            listed, version = await self._cluster.pools_at(part)
        except ClusterError as error:
            self._unlisted[part] = error
            raise
        else:
            self._unlisted.pop(part, None)
        finally:
            if None not in self._unlisted.values():
                self._tried.set()
        before, self._parts[part] = self._parts[part], {_key(resource): _lean(resource) for resource in listed}
        for key in before.keys() | self._parts[part].keys():
            if _version(before.get(key)) != _version(self._parts[part].get(key)):
                self._changed(key)
        return version

    async def _follow(self, part: str | None, version: str) -> None:
        """Take over what changes since a version of the list. Raises ClusterError where the watch fails."""
        while True:
            async for event in self._cluster.watch_pools(part, version):
                resource = event["object"]
                version = resource["metadata"]["resourceVersion"]
                if event["type"] == "BOOKMARK":
                    continue
                key = _key(resource)
                if event["type"] == "DELETED":
                    self._parts[part].pop(key, None)
                else:
                    self._parts[part][key] = _lean(resource)
                self._changed(key)


def _key(resource: Json) -> str:
    return f"{resource['metadata']['namespace']}/{resource['metadata']['name']}"


def _version(resource: Json | None) -> str:
    return str(resource["metadata"]["resourceVersion"]) if resource else ""


def _lean(resource: Json) -> Json:
    """Leave out what nobody looks at, and what is half of a resource that many changed."""
    resource["metadata"].pop("managedFields", None)
    return resource
