"""The operator as a whole: its parts from start to stop, and which loops an event asks for."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from campaignpool.api.resource import KIND
from campaignpool.errors import ClusterError
from campaignpool_operator.cluster.client import Cluster, Json
from campaignpool_operator.reconcile import Reconciler
from campaignpool_operator.runtime.config import Config
from campaignpool_operator.runtime.health import HealthServer
from campaignpool_operator.runtime.listener import Listeners
from campaignpool_operator.runtime.metrics import Metrics
from campaignpool_operator.runtime.scheduler import Scheduler

VERSION = "0.1.0"

_RELIST_SECONDS = 3.0
"""Pause after a list that had no answer."""

_MISSED_LISTS = 3
"""The operator is not ready once so many lists in a row had no answer."""

_log = logging.getLogger(__name__)


class Operator:
    """Everything that lives as long as the process.

    Args:
        config: Its options.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.metrics = Metrics(VERSION)
        self.http_port: int | None = None
        self._seen: dict[str, tuple[object, ...]] = {}
        self._listed_at: float | None = None
        self.reachable = asyncio.Event()
        """Set once the API has given the pools for the first time."""
        self._cluster: Cluster | None = None
        self._scheduler: Scheduler | None = None
        self._listeners: Listeners | None = None
        self._reconciler: Reconciler | None = None
        self._health: HealthServer | None = None
        self._lister: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, serve probes, begin to list. Raises ConfigurationError where there is no cluster to talk to."""
        self._cluster = await Cluster.connect()
        self._listeners = Listeners(self.request)
        self._reconciler = reconciler = Reconciler(self.config, self._cluster, self._listeners, self.metrics)
        self._scheduler = Scheduler(
            reconciler, self.config.max_loops, failed=lambda _: self.metrics.reconciles.labels("error").inc()
        )
        if self.config.http_port is not None:
            self._health = HealthServer(self._wrong, self._unready, self.metrics)
            self.http_port = await self._health.start(self.config.http_host, self.config.http_port)
        self._lister = asyncio.create_task(self._list(self._cluster), name="lister")

    async def stop(self) -> None:
        """End at once, whatever is under way: the next start goes on with it. May be called again."""
        if self._lister is not None:
            self._lister.cancel()
            await asyncio.gather(self._lister, return_exceptions=True)
        parts = (self._scheduler, self._listeners, self._reconciler, self._health, self._cluster)
        self._scheduler = self._listeners = self._reconciler = self._health = self._cluster = None
        for part in parts:
            if part is not None:
                await part.close()

    def request(self, key: str) -> None:
        """Ask for the loop of a pool."""
        if self._scheduler is not None:
            self._scheduler.enqueue(key)

    def pool_changed(self, resource: Mapping[str, Any]) -> None:
        """Ask for the loop of a pool where what changed is not only its status, which we write ourselves."""
        meta = resource["metadata"]
        key = f"{meta['namespace']}/{meta['name']}"
        matters = (
            meta["uid"],
            meta.get("generation"),
            meta.get("deletionTimestamp"),
            sorted((meta.get("annotations") or {}).items()),
            sorted((meta.get("labels") or {}).items()),
        )
        if self._seen.get(key) != matters:
            self._seen[key] = matters
            self.request(key)

    def pool_gone(self, resource: Mapping[str, Any]) -> None:
        """Forget a pool, by way of its loop."""
        key = f"{resource['metadata']['namespace']}/{resource['metadata']['name']}"
        self._seen.pop(key, None)
        self.request(key)

    def job_changed(self, job: Mapping[str, Any]) -> None:
        """Ask for the loop of the pool that a Job belongs to."""
        meta = job["metadata"]
        for owner in meta.get("ownerReferences") or ():
            if owner.get("controller") and owner["kind"] == KIND:
                self.request(f"{meta['namespace']}/{owner['name']}")

    async def _list(self, cluster: Cluster) -> None:
        """List the pools now and then: finds what a watch missed, and proves that the API answers.

        Pools that are looked after have a resync of their own.
        """
        while True:
            try:
                for namespace in self.config.namespaces or (None,):
                    for resource in await cluster.pools(namespace):
                        self._listed(resource)
                self._listed_at = asyncio.get_running_loop().time()
                self.reachable.set()
                pause = self.config.resync_seconds
            except ClusterError as error:
                _log.warning("the pools cannot be listed", extra={"reason": error.reason, "cause": error.message})
                pause = min(_RELIST_SECONDS, self.config.resync_seconds)
            await asyncio.sleep(pause)

    def _listed(self, resource: Json) -> None:
        meta = resource["metadata"]
        key = f"{meta['namespace']}/{meta['name']}"
        if self._scheduler is not None and key not in self._scheduler.pools():
            self.request(key)
        self.pool_changed(resource)

    def _wrong(self) -> str | None:
        stuck = self._scheduler.stuck() if self._scheduler is not None else []
        return f"stuck: {', '.join(sorted(stuck))}" if stuck else None

    def _unready(self) -> str | None:
        if self._listed_at is None:
            return "the pools have not been listed yet"
        silence = asyncio.get_running_loop().time() - self._listed_at
        if silence > _MISSED_LISTS * self.config.resync_seconds + _MISSED_LISTS:
            return f"the Kubernetes API has not answered for {silence:.0f} s"
        return self._wrong()
