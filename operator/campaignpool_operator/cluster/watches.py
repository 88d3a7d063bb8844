"""Watch the Secrets and ConfigMaps that pools name, each by its name.

A watch by name needs no list, and the server sends the metadata of that one object. Where its resourceVersion is not
the one that a loop has read, the loop is asked for again, and reads the object itself.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple
from urllib.parse import quote

from campaignpool.backoff import retry_delay
from campaignpool.errors import ClusterError
from campaignpool_operator.cluster.client import Cluster

_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"

_SECONDS = (240.0, 300.0)
"""A watch ends after a time between these, and goes on where it was."""

_RETRY_SECONDS = (1.0, 60.0)

_log = logging.getLogger(__name__)


class Reference(NamedTuple):
    """A Secret or a ConfigMap."""

    plural: Literal["secrets", "configmaps"]
    namespace: str
    name: str

    @property
    def path(self) -> str:
        """Where objects of this kind are, beside this one."""
        return f"/api/v1/namespaces/{quote(self.namespace)}/{self.plural}"


async def version_of(cluster: Cluster, reference: Reference) -> str | None:
    """Return the resourceVersion of an object; None: there is none. Raises ClusterError."""
    result = await cluster.at(f"{reference.path}/{quote(reference.name)}")
    return None if result is None else str(result["metadata"]["resourceVersion"])


@dataclass
class _Watch:
    """One object: the pools that name it, and since when it is watched without a gap."""

    task: asyncio.Task[None]
    pools: set[str] = field(default_factory=set)
    since: float | None = None


class Watches:
    """The watches of all pools.

    Args:
        cluster: The Kubernetes API.
        changed: Called with the key of a pool that has read another version than there is.
        enabled: Without it nothing is watched.
    """

    def __init__(self, cluster: Cluster, changed: Callable[[str], None], *, enabled: bool = True) -> None:
        self._cluster, self._changed, self._enabled = cluster, changed, enabled
        self._watches: dict[Reference, _Watch] = {}
        self._read: dict[str, Mapping[Reference, str | None]] = {}

    def want(self, key: str, read: Mapping[Reference, str | None]) -> None:
        """Watch what a loop of a pool has read, with the versions that it had, and nothing else for this pool."""
        if not self._enabled:
            return
        before = self._read.get(key, {})
        self._read[key] = dict(read)
        for reference in read.keys() - before.keys():
            if reference not in self._watches:
                # Not named after the object: names of tasks get into logs.
                task = asyncio.create_task(self._run(reference), name="watch")
                self._watches[reference] = _Watch(task)
            self._watches[reference].pools.add(key)
        self._leave(key, before.keys() - read.keys())

    def drop(self, key: str) -> None:
        """Watch nothing for a pool any more."""
        self._leave(key, self._read.pop(key, {}))

    def holds(self, references: Iterable[Reference], since: float) -> bool:
        """Return whether all of these have been watched since a time of the event loop's clock, without a gap."""
        watches = [self._watches.get(reference) for reference in references]
        return all(watch is not None and watch.since is not None and watch.since <= since for watch in watches)

    async def close(self) -> None:
        """End all watches."""
        tasks = [watch.task for watch in self._watches.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._watches.clear()
        self._read.clear()

    def _leave(self, key: str, references: Iterable[Reference]) -> None:
        for reference in list(references):
            watch = self._watches[reference]
            watch.pools.discard(key)
            if not watch.pools:
                self._watches.pop(reference).task.cancel()

    async def _run(self, reference: Reference) -> None:
        version, failures = "", 0
        while True:
            watch, wait = self._watches[reference], 0.0
            query = {"fieldSelector": f"metadata.name={reference.name}"}
            query |= {"resourceVersion": version} if version else {}  # else what exists comes first
            seconds = random.uniform(*_SECONDS)  # noqa: S311 (so that not all begin again at once)
            try:
                async with self._cluster.watch(reference.path, query, seconds, _METADATA) as events:
                    if watch.since is None:
                        watch.since = asyncio.get_running_loop().time()
                    async for event in events:
                        failures, version = 0, str(event["object"]["metadata"]["resourceVersion"])
                        if event["type"] != "BOOKMARK":
                            self._notice(reference, None if event["type"] == "DELETED" else version)
            except ClusterError as error:
                watch.since, failures = None, failures + 1
                wait = retry_delay(failures, *_RETRY_SECONDS) * random.uniform(0.8, 1.2)  # noqa: S311 (jitter)
                if error.reason in ("Expired", "Gone"):
                    version, wait = "", wait if failures > 1 else 0.0
                elif failures == 1:
                    fields = {"resource": reference.plural, "reason": error.reason, "cause": error.message}
                    _log.info("a watch ended with an error; will retry", extra=fields)
            # Else the server has ended it in its time, and it goes on where it was.
            await asyncio.sleep(wait)

    def _notice(self, reference: Reference, version: str | None) -> None:
        for key in sorted(self._watches[reference].pools):
            if self._read[key][reference] != version:
                self._changed(key)
