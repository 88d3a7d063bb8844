"""The dashboard on a laptop: the page of the operator, with the rights of the kubeconfig's user."""

from collections.abc import Hashable, Mapping
from typing import Any

from campaignpool.api.resource import GROUP, PLURAL
from campaignpool.errors import ClusterError, ConfigurationError
from campaignpool_kubectl.kubectl import Connection
from campaignpool_kubectl.source import Source
from campaignpool_operator.cluster.transport import Json
from campaignpool_operator.dashboard.identity import RefusedError, Viewer
from campaignpool_operator.dashboard.models import Checks, Claims, PoolList, PoolSummary, PoolView, Trends
from campaignpool_operator.dashboard.sizing_models import ImagesView, SizingView
from campaignpool_operator.dashboard.work_models import Logs
from campaignpool_operator.rbac import Right, Rule

_PATCH = Rule(GROUP, PLURAL, ("patch",), "Change pools.")


class OneViewer:
    """Everybody who knows the address acts as the kubeconfig's user."""

    def __init__(self, name: str) -> None:
        self._viewer = Viewer({"username": name})

    async def viewer(self, headers: Mapping[str, str], peer: str | None) -> Viewer:  # noqa: ARG002 (as others take it)
        """Return the kubeconfig's user."""
        return self._viewer


class Laptop:
    """Answers with what the kubeconfig's user may see; the API server refuses the rest.

    Args:
        connection: To the cluster.
        source: Reads pools.
    """

    def __init__(self, connection: Connection, source: Source) -> None:
        self._cluster, self._source = connection.cluster, source
        self._may: dict[str, bool] = {}

    async def pools(self, viewer: Viewer) -> PoolList:  # noqa: ARG002
        """Return the pools of all namespaces."""
        listed = await self._source.pools(None)
        changed = [
            pool.model_copy(update={"may_change": await self._may_change(pool.namespace)}) for pool in listed.pools
        ]
        return listed.model_copy(update={"pools": changed})

    async def listed(self, viewer: Viewer, namespace: str, name: str) -> PoolSummary | None:
        """Return a pool as the list shows it; None: there is none."""
        listed = (await self.pools(viewer)).pools
        return next((pool for pool in listed if (pool.namespace, pool.name) == (namespace, name)), None)

    async def pool(self, viewer: Viewer, namespace: str, name: str, *, wait: bool = True) -> PoolView:  # noqa: ARG002
        """Return everything of a pool."""
        try:
            shown = await self._source.pool(namespace, name)
        except ConfigurationError as error:
            raise RefusedError(404, "NotFound", error.message) from error
        return shown.model_copy(update={"may_change": await self._may_change(namespace)})

    async def trends(self, viewer: Viewer, namespace: str, name: str, hours: int) -> Trends:  # noqa: ARG002
        """Return the last hours of a pool."""
        return await self._source.trends(namespace, name, hours)

    async def claims(self, viewer: Viewer, namespace: str, name: str, most: int) -> Claims:  # noqa: ARG002
        """Return the newest claims of a pool."""
        return await self._source.claims(namespace, name, most)

    async def checks(self, viewer: Viewer, namespace: str, name: str) -> Checks:  # noqa: ARG002
        """Check a pool's database."""
        return await self._source.checks(namespace, name)

    async def logs(self, viewer: Viewer, namespace: str, name: str, lines: int) -> Logs:  # noqa: ARG002
        """Return the last lines that a pool's Jobs wrote, as far as the user may read them."""
        return await self._source.logs(namespace, name, lines)

    async def sizing(self, viewer: Viewer, namespace: str, name: str) -> SizingView:  # noqa: ARG002
        """Return the demand of a pool and what sizes would have done."""
        return await self._source.sizing(namespace, name)

    async def images(self, viewer: Viewer, namespace: str, name: str) -> ImagesView:  # noqa: ARG002
        """Return how many images of a pool waited, over time."""
        return await self._source.images(namespace, name)

    async def rights(self, viewer: Viewer, namespace: str, name: str) -> Hashable:  # noqa: ARG002
        """Return nothing that differs: there is one viewer."""
        return ()

    async def resource(self, viewer: Viewer, namespace: str, name: str) -> Json:  # noqa: ARG002
        """Return a CampaignPool."""
        try:
            return await self._source.resource(namespace, name)
        except ConfigurationError as error:
            raise RefusedError(404, "NotFound", error.message) from error

    async def change(self, viewer: Viewer, namespace: str, name: str, patch: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Merge a patch into a CampaignPool."""
        try:
            changed = await self._cluster.patch_pool(namespace, name, patch)
        except ClusterError as error:
            status = {"Forbidden": 403, "Invalid": 422}.get(error.reason)
            if status is None:
                raise
            raise RefusedError(status, error.reason, error.message) from error
        if changed is None:
            raise RefusedError(
                404, "NotFound", f"there is no CampaignPool {name} in namespace {namespace}: look again"
            )

    async def _may_change(self, namespace: str) -> bool:
        if namespace not in self._may:
            self._may[namespace] = await self._cluster.allows(Right(_PATCH, "patch", namespace))
        return self._may[namespace]
