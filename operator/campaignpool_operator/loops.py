"""What reconciles, for as long as this replica leads: the lister, the loops of all pools, the listeners."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from campaignpool.api.resource import KIND
from campaignpool.errors import ClusterError
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.cluster.transport import Json
from campaignpool_operator.reconcile import Reconciler
from campaignpool_operator.runtime.config import Config
from campaignpool_operator.runtime.listener import Listeners
from campaignpool_operator.runtime.metrics import Metrics
from campaignpool_operator.runtime.scheduler import Scheduler

_RELIST_SECONDS = 3.0
"""Pause after a list that had no answer."""

_MISSED_LISTS = 3
"""The operator is not ready once so many lists in a row had no answer."""

_log = logging.getLogger(__name__)


class Loops:
    """Run from `start` to `close`. What it leaves undone, the next replica or start goes on with.

    Args:
        config: The operator's options.
        cluster: The Kubernetes API.
        metrics: Where figures are counted.
        changed: Called with the name of a pool after each of its loops.
    """

    def __init__(
        self, config: Config, cluster: Cluster, metrics: Metrics, changed: Callable[[str], None] | None = None
    ) -> None:
        self.reachable = asyncio.Event()
        """Set once the API has given the pools for the first time."""
        self._config, self._cluster, self._metrics = config, cluster, metrics
        self._seen: dict[str, tuple[object, ...]] = {}
        self._asked: set[str] = set()
        self._listed_at: float | None = None
        self._refusal = ""
        self._listeners = Listeners(self.request)
        self._reconciler = Reconciler(config, cluster, self._listeners, metrics, self.request)
        self._changed = changed
        metrics.connections = lambda: {**self._reconciler.connections(), "listening": self._listeners.connected}
        self._scheduler = Scheduler(
            self._loop, config.max_loops, failed=lambda _: metrics.reconciles.labels("error").inc()
        )
        self._lister: asyncio.Task[None] | None = None

    def start(self) -> None:
        """List the pools, and reconcile each."""
        self._lister = asyncio.create_task(self._list(), name="lister")

    async def close(self) -> None:
        """End at once, whatever is under way. May be called again."""
        if self._lister is not None:
            self._lister.cancel()
            await asyncio.gather(self._lister, return_exceptions=True)
        for part in (self._scheduler, self._listeners, self._reconciler):
            await part.close()
        self._metrics.drop_all()

    async def _loop(self, key: str) -> float | None:
        asked = key in self._asked
        self._asked.discard(key)
        delay = await self._reconciler(key, asked=asked)
        if self._changed is not None:
            self._changed(key)
        return delay

    def request(self, key: str) -> None:
        """Ask for the loop of a pool."""
        self._asked.add(key)
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
        """Ask for the loop of the pool that a Job belongs to, unless it is another operator's."""
        meta = job["metadata"]
        for owner in meta.get("ownerReferences") or ():
            key = f"{meta['namespace']}/{owner['name']}"
            if owner.get("controller") and owner["kind"] == KIND and key in self._seen:
                self.request(key)

    def stuck(self) -> str | None:
        """Return which pools have a loop that hangs, or None."""
        stuck = self._scheduler.stuck()
        return f"stuck: {', '.join(sorted(stuck))}" if stuck else None

    def unready(self) -> str | None:
        """Return what keeps the loops from working, or None."""
        if self._listed_at is None:
            return self._refusal or "the pools have not been listed yet"
        silence = asyncio.get_running_loop().time() - self._listed_at
        if silence > _MISSED_LISTS * self._config.resync_seconds + _MISSED_LISTS:
            return f"the Kubernetes API has not answered for {silence:.0f} s"
        return self.stuck()

    async def _list(self) -> None:
        """List the pools now and then: finds what a watch missed, and proves that the API answers.

        Pools that are looked after have a resync of their own.
        """
        while True:
            try:
                for namespace in self._config.namespaces or (None,):
                    for resource in await self._cluster.pools(namespace):
                        self._listed(resource)
                self._listed_at = asyncio.get_running_loop().time()
                self.reachable.set()
                pause = self._config.resync_seconds
            except ClusterError as error:
                _log.warning("the pools cannot be listed", extra={"reason": error.reason, "cause": error.message})
                asked = f" with --pool-selector={self._config.pool_selector}" if self._config.pool_selector else ""
                self._refusal = f"the pools cannot be listed{asked}: {error.message}"
                pause = min(_RELIST_SECONDS, self._config.resync_seconds)
            await asyncio.sleep(pause)

    def _listed(self, resource: Json) -> None:
        meta = resource["metadata"]
        key = f"{meta['namespace']}/{meta['name']}"
        if key not in self._scheduler.pools():
            self.request(key)
        self.pool_changed(resource)
