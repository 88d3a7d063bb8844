"""What viewers may see and do, as the API and the page ask for it: in the cluster, or on somebody's laptop."""

import logging
from collections.abc import Hashable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from campaignpool.api.resource import GROUP, PLURAL
from campaignpool.errors import ClusterError
from campaignpool_operator.cluster.client import Json
from campaignpool_operator.dashboard import view
from campaignpool_operator.dashboard.identity import Identity, RefusedError, Viewer
from campaignpool_operator.dashboard.models import Checks, CheckView, Claims, PoolList, PoolView, Trends
from campaignpool_operator.dashboard.reading import PoolFacts, Reader
from campaignpool_operator.dashboard.view import ClusterFacts

_log = logging.getLogger(__name__)
_PARTS = ("jobs.batch", "pods", "events")
_POOLS = f"{PLURAL}.{GROUP}"


class Backend(Protocol):
    """Answers viewers. Raises RefusedError for what they may not, and CampaignPoolError for what is out of reach."""

    async def pools(self, viewer: Viewer) -> PoolList:
        """Return the pools that a viewer may list."""
        ...

    async def pool(self, viewer: Viewer, namespace: str, name: str) -> PoolView:
        """Return everything that a viewer may see of a pool."""
        ...

    async def trends(self, viewer: Viewer, namespace: str, name: str, hours: int) -> Trends:
        """Return the last hours of a pool."""
        ...

    async def claims(self, viewer: Viewer, namespace: str, name: str, most: int) -> Claims:
        """Return the newest claims of a pool."""
        ...

    async def checks(self, viewer: Viewer, namespace: str, name: str) -> Checks:
        """Check a pool's database."""
        ...

    async def may_see(self, viewer: Viewer, namespace: str, name: str) -> bool:
        """Return whether a viewer may get a pool."""
        ...

    async def rights(self, viewer: Viewer, namespace: str, name: str) -> Hashable:
        """Return what distinguishes viewers of a pool: those with equal rights see the same."""
        ...

    async def resource(self, viewer: Viewer, namespace: str, name: str) -> Json:
        """Return a CampaignPool that a viewer may get."""
        ...

    async def change(self, viewer: Viewer, namespace: str, name: str, patch: Mapping[str, Any]) -> None:
        """Merge a patch into a CampaignPool that a viewer may patch."""
        ...


class InCluster:
    """Answers with the rights that the API server says a viewer has.

    Args:
        reader: Reads pools.
        identity: Knows what viewers may.
    """

    def __init__(self, reader: Reader, identity: Identity) -> None:
        self._reader, self._identity = reader, identity

    async def pools(self, viewer: Viewer) -> PoolList:
        """Return the pools that a viewer may list."""
        listed = await self._reader.pools()
        allowed = await self._namespaces(viewer, [resource for resource, _ in listed])
        now = datetime.now(UTC)
        may = {name: await self._identity.may(viewer, "patch", _POOLS, name) for name in allowed}
        shown = [
            view.summary(resource, ledger, now).model_copy(update={"may_change": may[namespace]})
            for resource, ledger in listed
            if (namespace := resource["metadata"]["namespace"]) in allowed
        ]
        return PoolList(at=view.time(now), pools=view.ordered(shown))

    async def pool(self, viewer: Viewer, namespace: str, name: str) -> PoolView:
        """Return everything that a viewer may see of a pool."""
        await self._identity.require(viewer, "get", namespace, name)
        facts = await self._reader.pool(namespace, name)
        if facts is None:
            raise _not_found(namespace, name)
        visible = await self._visible(facts, viewer, namespace)
        may = await self._identity.may(viewer, "patch", _POOLS, namespace, name)
        shown = view.pool_view(facts.resource, facts.ledger, visible, facts.at)
        return shown.model_copy(update={"may_change": may})

    async def trends(self, viewer: Viewer, namespace: str, name: str, hours: int) -> Trends:
        """Return the last hours of a pool."""
        await self._identity.require(viewer, "get", namespace, name)
        listed = await self._reader.trends(namespace, name, hours)
        if listed is None:
            raise _not_found(namespace, name)
        return Trends(pool=f"{namespace}/{name}", hours=[view.trend_view(hour) for hour in listed])

    async def claims(self, viewer: Viewer, namespace: str, name: str, most: int) -> Claims:
        """Return the newest claims of a pool."""
        await self._identity.require(viewer, "get", namespace, name)
        listed = await self._reader.claims(namespace, name, most)
        if listed is None:
            raise _not_found(namespace, name)
        return Claims(pool=f"{namespace}/{name}", claims=[view.claim_view(claim) for claim in listed])

    async def checks(self, viewer: Viewer, namespace: str, name: str) -> Checks:
        """Check a pool's database."""
        await self._identity.require(viewer, "get", namespace, name)
        findings = await self._reader.checks(namespace, name)
        if findings is None:
            raise _not_found(namespace, name)
        listed = [CheckView(check=item.check, status=item.status, message=item.message) for item in findings]
        return Checks(pool=f"{namespace}/{name}", at=view.time(datetime.now(UTC)), checks=listed)

    async def may_see(self, viewer: Viewer, namespace: str, name: str) -> bool:
        """Return whether a viewer may get a pool."""
        return await self._identity.may(viewer, "get", _POOLS, namespace, name)

    async def rights(self, viewer: Viewer, namespace: str, name: str) -> Hashable:
        """Return what distinguishes viewers of a pool: those with equal rights see the same."""
        lists = [await self._identity.may(viewer, "list", part, namespace) for part in _PARTS]
        return (await self._identity.may(viewer, "patch", _POOLS, namespace, name), *lists)

    async def resource(self, viewer: Viewer, namespace: str, name: str) -> Json:
        """Return a CampaignPool that a viewer may get."""
        await self._identity.require(viewer, "get", namespace, name)
        resource = await self._reader.resource(namespace, name)
        if resource is None:
            raise _not_found(namespace, name)
        return resource

    async def change(self, viewer: Viewer, namespace: str, name: str, patch: Mapping[str, Any]) -> None:
        """Merge a patch into a CampaignPool that a viewer may patch."""
        await self._identity.require(viewer, "patch", namespace, name)
        try:
            changed = await self._reader.change(namespace, name, patch)
        except ClusterError as error:
            if error.reason != "Invalid":
                raise
            raise RefusedError(422, "Invalid", error.message) from error
        if changed is None:
            raise _not_found(namespace, name)
        _log.info("changed by a viewer", extra={"pool": f"{namespace}/{name}", "user": viewer.name})

    async def _visible(self, facts: PoolFacts, viewer: Viewer, namespace: str) -> ClusterFacts:
        """Return what a viewer may see of a pool's Jobs, pods and Events."""
        may = {part: await self._identity.may(viewer, "list", part, namespace) for part in _PARTS}
        jobs = [_visible(job, pods=may["pods"], events=may["events"]) for job in facts.jobs]
        return ClusterFacts(
            jobs=jobs if may["jobs.batch"] else None,
            events=facts.events if may["events"] else None,
            hidden=[part for part, allowed in may.items() if not allowed],
        )

    async def _namespaces(self, viewer: Viewer, resources: Sequence[Json]) -> set[str]:
        """Return the namespaces of resources whose pools a viewer may list."""
        names = {resource["metadata"]["namespace"] for resource in resources}
        if await self._identity.may(viewer, "list", _POOLS, ""):
            return names
        return {name for name in names if await self._identity.may(viewer, "list", _POOLS, name)}


def _not_found(namespace: str, name: str) -> RefusedError:
    message = f"there is no CampaignPool {name} in namespace {namespace}: list them with kubectl get campaignpools -A"
    return RefusedError(404, "NotFound", message)


def _visible(job: Json, *, pods: bool, events: bool) -> Json:
    shown = [pod if events else {**pod, "events": []} for pod in job["pods"]] if pods else []
    return {**job, "pods": shown, "events": job["events"] if events else []}
