"""What viewers may see and do, as the API and the page ask for it: in the cluster, or on somebody's laptop."""

import asyncio
import logging
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from campaignpool.api.resource import GROUP, PLURAL
from campaignpool.errors import ClusterError
from campaignpool_operator.cluster.transport import Json
from campaignpool_operator.dashboard import view
from campaignpool_operator.dashboard.board import Shared
from campaignpool_operator.dashboard.identity import Identity, RefusedError, Viewer
from campaignpool_operator.dashboard.models import Checks, CheckView, Claims, PoolList, PoolSummary, PoolView, Trends
from campaignpool_operator.dashboard.reading import LIST_SECONDS, NOT_READ, Details, Reader, name_of
from campaignpool_operator.dashboard.sizing_models import ImagesView, SizingView
from campaignpool_operator.dashboard.view import ClusterFacts
from campaignpool_operator.dashboard.work_models import Logs, LogView

_log = logging.getLogger(__name__)
_PARTS = ("jobs.batch", "pods", "events")
_POOLS = f"{PLURAL}.{GROUP}"


class Backend(Protocol):
    """Answers viewers. Raises RefusedError for what they may not, and CampaignPoolError for what is out of reach."""

    async def pools(self, viewer: Viewer) -> PoolList:
        """Return the pools that a viewer may list."""
        ...

    async def listed(self, viewer: Viewer, namespace: str, name: str) -> PoolSummary | None:
        """Return a pool as the list of a viewer who may list it shows it; None: there is none."""
        ...

    async def pool(self, viewer: Viewer, namespace: str, name: str, *, wait: bool = True) -> PoolView:
        """Return everything that a viewer may see of a pool; without `wait`, what is known at this moment."""
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

    async def logs(self, viewer: Viewer, namespace: str, name: str, lines: int) -> Logs:
        """Return the last lines that a pool's Jobs wrote, as far as a viewer may read them."""
        ...

    async def sizing(self, viewer: Viewer, namespace: str, name: str) -> SizingView:
        """Return the demand of a pool and what sizes would have done."""
        ...

    async def images(self, viewer: Viewer, namespace: str, name: str) -> ImagesView:
        """Return how many images of a pool waited, over time."""
        ...

    async def rights(self, viewer: Viewer, namespace: str, name: str) -> Hashable:
        """Return what distinguishes viewers: those with equal rights see the same; None: they see nothing.

        Args:
            viewer: Who looks.
            namespace: Where.
            name: Of the pool whose view they look at; empty: they look at the list.
        """
        ...

    async def resource(self, viewer: Viewer, namespace: str, name: str) -> Json:
        """Return a CampaignPool that a viewer may get."""
        ...

    async def change(self, viewer: Viewer, namespace: str, name: str, patch: Mapping[str, Any]) -> None:
        """Merge a patch into a CampaignPool that a viewer may patch."""
        ...


@dataclass(frozen=True)
class Rights:
    """What a viewer may do about a pool: change it, and list which parts of its surroundings."""

    change: bool
    parts: frozenset[str]


class InCluster:
    """Answers with the rights that the API server says a viewer has.

    Args:
        reader: Reads pools.
        identity: Knows what viewers may.
    """

    def __init__(self, reader: Reader, identity: Identity) -> None:
        self._reader, self._identity = reader, identity
        self._shared = Shared()

    async def pools(self, viewer: Viewer) -> PoolList:
        """Return the pools that a viewer may list."""
        resources = await self._reader.resources()
        names = sorted({resource["metadata"]["namespace"] for resource in resources})
        # The database is asked while the API server is.
        days, rights = await asyncio.gather(
            self._reader.days(), asyncio.gather(*(self._in_list(viewer, name) for name in names))
        )
        may = {name: change for name, change in zip(names, rights, strict=True) if change is not None}

        async def build() -> PoolList:
            now = datetime.now(UTC)
            shown = [
                view.summary(resource, days.get(name_of(resource), NOT_READ), now, may_change=may[namespace])
                for resource in resources
                if (namespace := resource["metadata"]["namespace"]) in may
            ]
            return PoolList(at=view.time(now), pools=view.ordered(shown))

        return await self._shared.get((self._reader.version, *may.items()), LIST_SECONDS, build)

    async def listed(self, viewer: Viewer, namespace: str, name: str) -> PoolSummary | None:
        """Return a pool as the list of a viewer who may list it shows it; None: there is none."""
        change, found = await self._in_list(viewer, namespace), await self._reader.listed(namespace, name)
        if change is None or found is None:
            return None
        return view.summary(*found, datetime.now(UTC), may_change=change)

    async def pool(self, viewer: Viewer, namespace: str, name: str, *, wait: bool = True) -> PoolView:
        """Return everything that a viewer may see of a pool; without `wait`, what is known at this moment."""
        await self._identity.require(viewer, "get", namespace, name)
        facts, rights = await asyncio.gather(
            self._reader.pool(namespace, name, wait=wait), self._of_pool(viewer, namespace, name)
        )
        if facts is None:
            raise _not_found(namespace, name)
        ledger, visible = facts.details.ledger, _visible(facts.details, rights.parts)
        return view.pool_view(facts.resource, ledger, visible, facts.at, may_change=rights.change)

    async def trends(self, viewer: Viewer, namespace: str, name: str, hours: int) -> Trends:
        """Return the last hours of a pool."""
        await self._identity.require(viewer, "get", namespace, name)
        listed = await self._reader.trends(namespace, name, hours)
        if listed is None:
            raise _not_found(namespace, name)
        return listed

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

    async def logs(self, viewer: Viewer, namespace: str, name: str, lines: int) -> Logs:
        """Return the last lines that a pool's Jobs wrote, as far as a viewer may read them."""
        await self._identity.require(viewer, "get", namespace, name)
        hidden = [
            part
            for verb, part in (("list", "jobs.batch"), ("list", "pods"), ("get", "pods/log"))
            if not await self._identity.may(viewer, verb, part, namespace)
        ]
        written = [] if hidden else await self._reader.logs(namespace, name, lines)
        if written is None:
            raise _not_found(namespace, name)
        logs = [LogView.model_validate(log) for log in written]
        return Logs(pool=f"{namespace}/{name}", logs=logs, hidden=hidden)

    async def sizing(self, viewer: Viewer, namespace: str, name: str) -> SizingView:
        """Return the demand of a pool and what sizes would have done."""
        await self._identity.require(viewer, "get", namespace, name)
        result = await self._reader.sizing(namespace, name)
        if result is None:
            raise _not_found(namespace, name)
        return result

    async def images(self, viewer: Viewer, namespace: str, name: str) -> ImagesView:
        """Return how many images of a pool waited, over time."""
        await self._identity.require(viewer, "get", namespace, name)
        result = await self._reader.images(namespace, name)
        if result is None:
            raise _not_found(namespace, name)
        return result

    async def rights(self, viewer: Viewer, namespace: str, name: str) -> Hashable:
        """Return what distinguishes viewers: those with equal rights see the same; None: they see nothing."""
        if not name:
            return await self._in_list(viewer, namespace)
        if not await self._identity.may(viewer, "get", _POOLS, namespace, name):
            return None
        return await self._of_pool(viewer, namespace, name)

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

    async def _in_list(self, viewer: Viewer, namespace: str) -> bool | None:
        """Return whether a viewer may change the pools of a namespace; None: they may not list them."""
        # Who may do something in all namespaces is not asked about in each.
        everywhere = [self._identity.may(viewer, verb, _POOLS, "") for verb in ("list", "patch")]
        listing, changing = await asyncio.gather(*everywhere)
        if not (listing or await self._identity.may(viewer, "list", _POOLS, namespace)):
            return None
        return changing or await self._identity.may(viewer, "patch", _POOLS, namespace)

    async def _of_pool(self, viewer: Viewer, namespace: str, name: str) -> Rights:
        asked = [self._identity.may(viewer, "list", part, namespace) for part in _PARTS]
        change, *lists = await asyncio.gather(self._identity.may(viewer, "patch", _POOLS, namespace, name), *asked)
        parts = [part for part, allowed in zip(_PARTS, lists, strict=True) if allowed]
        return Rights(change=change, parts=frozenset(parts))


def _not_found(namespace: str, name: str) -> RefusedError:
    message = f"there is no CampaignPool {name} in namespace {namespace}: list them with kubectl get campaignpools -A"
    return RefusedError(404, "NotFound", message)


def _visible(details: Details, parts: Collection[str]) -> ClusterFacts:
    """Return what a viewer may see of a pool's Jobs, pods and Events."""
    events = "events" in parts
    jobs = [_visible_job(job, pods="pods" in parts, events=events) for job in details.jobs]
    return ClusterFacts(
        jobs=jobs if "jobs.batch" in parts else None,
        events=details.events if events else None,
        hidden=[part for part in _PARTS if part not in parts],
    )


def _visible_job(job: Json, *, pods: bool, events: bool) -> Json:
    shown = [pod if events else {**pod, "events": []} for pod in job["pods"]] if pods else []
    return {**job, "pods": shown, "events": job["events"] if events else []}
