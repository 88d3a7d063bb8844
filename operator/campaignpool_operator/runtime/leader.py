"""Leader election over a Lease of coordination.k8s.io: of all replicas, one reconciles.

The leader renews the Lease every few seconds. It stops as soon as HOLD_SECONDS have passed since its last renewal,
before any other replica takes the Lease over, which happens LEASE_SECONDS after the last renewal that was seen.
Each replica measures with its own monotonic clock; the times in the Lease are never compared.
"""

import asyncio
import logging
import random
import time
from datetime import UTC, datetime
from typing import Any

from campaignpool.errors import ClusterError
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.cluster.transport import Json

LEASE_SECONDS = 12
RENEW_SECONDS = 3.0
HOLD_SECONDS = 8.0
POLL_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Election:
    """One replica's part in the election.

    Args:
        cluster: The Kubernetes API.
        namespace: Of the Lease.
        name: Of the Lease.
        identity: Of this replica; no other process may ever use it.
    """

    def __init__(self, cluster: Cluster, namespace: str, name: str, identity: str) -> None:
        self._cluster, self._namespace, self._name, self._identity = cluster, namespace, name, identity
        self._lease: Json = {}
        self._held_until = self._answered_at = -float("inf")
        self._seen: tuple[object, float] = (None, 0.0)
        self._failing = False
        self._changed = asyncio.Condition()
        self._leads = False
        self._task: asyncio.Task[None] | None = None

    def leads(self) -> bool:
        """Return whether the Lease is held at this moment, by the clock."""
        return time.monotonic() < self._held_until

    def silence(self) -> float:
        """Return the seconds since the API last answered a request for the Lease."""
        return time.monotonic() - self._answered_at

    async def elected(self) -> None:
        """Return once this replica leads."""
        await self._until(leads=True)

    async def deposed(self) -> None:
        """Return once this replica does not lead."""
        await self._until(leads=False)

    def start(self) -> None:
        """Take the Lease whenever it is free and renew it while it is held, in the background."""
        self._task = asyncio.create_task(self._run(), name="election")

    async def release(self) -> None:
        """Take no part any longer, and free the Lease, so that nobody need wait until it expires.

        What is under way has to have ended before. Where the API does not answer, the Lease expires.
        """
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task, held, self._held_until = None, self.leads(), -float("inf")
        if held and await self._attempt(self._free()):
            _log.info("the lease is released", extra={"identity": self._identity})

    async def _run(self) -> None:
        while True:
            await self._acquire()
            _log.info("leading", extra={"identity": self._identity})
            await self._announce(leads=True)
            await self._hold()
            self._held_until = -float("inf")
            _log.warning("the lease is lost; all loops stop", extra={"identity": self._identity})
            await self._announce(leads=False)

    async def _until(self, *, leads: bool) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._leads == leads)

    async def _announce(self, *, leads: bool) -> None:
        async with self._changed:
            self._leads = leads
            self._changed.notify_all()

    async def _acquire(self) -> None:
        while True:
            if await self._attempt(self._take()):
                return
            await asyncio.sleep(POLL_SECONDS * random.uniform(0.8, 1.0))  # noqa: S311 (jitter)

    async def _hold(self) -> None:
        """Renew the Lease; return once another replica has it, or once it was not renewed for HOLD_SECONDS."""
        pause = RENEW_SECONDS
        while True:
            await asyncio.sleep(min(pause, max(self._held_until - time.monotonic(), 0)))
            left = self._held_until - time.monotonic()
            if left <= 0:
                return
            try:
                async with asyncio.timeout(left):
                    renewed = await self._attempt(self._renew())
            except TimeoutError:
                return
            if renewed is False:
                return
            pause = POLL_SECONDS if renewed is None else RENEW_SECONDS

    async def _attempt(self, request: Any) -> bool | None:  # noqa: ANN401 (a coroutine of bool)
        """Await a request; return None where the API gave no answer, which is logged once."""
        try:
            result: bool = await request
        except ClusterError as error:
            if not self._failing:
                _log.warning("the lease cannot be read or written", extra={"cause": error.message})
            self._failing = True
            return None
        self._failing = False
        self._answered_at = time.monotonic()
        return result

    async def _take(self) -> bool:
        """Take the Lease where it is free; return whether it is held now."""
        lease = await self._cluster.lease(self._namespace, self._name)
        now = _micro_time()
        mine = {"holderIdentity": self._identity, "leaseDurationSeconds": LEASE_SECONDS, "acquireTime": now}
        began = time.monotonic()
        if lease is None:
            body = {"metadata": {"name": self._name}, "spec": {**mine, "renewTime": now, "leaseTransitions": 0}}
            created = await self._cluster.create_lease(self._namespace, body)
            return created is not None and self._held(created, began)
        spec = lease.get("spec") or {}
        if not self._is_free(spec):
            return False
        self._lease = lease
        transitions = int(spec.get("leaseTransitions") or 0) + 1
        return await self._put({**mine, "renewTime": now, "leaseTransitions": transitions})

    async def _renew(self) -> bool:
        """Renew the Lease; return whether it is still held."""
        if await self._put({**self._lease["spec"], "renewTime": _micro_time()}):
            return True
        lease = await self._cluster.lease(self._namespace, self._name)
        if lease is None or (lease.get("spec") or {}).get("holderIdentity") != self._identity:
            return False
        self._lease = lease  # somebody annotated it
        return await self._put({**lease["spec"], "renewTime": _micro_time()})

    async def _free(self) -> bool:
        """Remove the holder from the Lease; return False where it has another one by now."""
        lease = await self._cluster.lease(self._namespace, self._name)  # a renewal may have been cut off
        if lease is None or (lease.get("spec") or {}).get("holderIdentity") != self._identity:
            return False
        self._lease = lease
        return await self._put({**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1})

    async def _put(self, spec: Json) -> bool:
        """Replace the Lease as it was last seen; return False where somebody changed it since."""
        began = time.monotonic()
        try:
            changed = await self._cluster.replace_lease(self._namespace, {**self._lease, "spec": spec})
        except ClusterError as error:
            if error.reason in ("Conflict", "NotFound"):
                return False
            raise
        return spec["holderIdentity"] == "" or self._held(changed, began)

    def _held(self, lease: Json, began: float) -> bool:
        self._lease, self._held_until = lease, began + HOLD_SECONDS
        return True

    def _is_free(self, spec: Json) -> bool:
        """Return whether nobody holds the Lease, or its holder has not renewed it for its duration."""
        if not spec.get("holderIdentity"):
            return True
        renewal = (spec["holderIdentity"], spec.get("renewTime"))
        if self._seen[0] != renewal:
            self._seen = (renewal, time.monotonic())
        return time.monotonic() - self._seen[1] > float(spec.get("leaseDurationSeconds") or LEASE_SECONDS)


def _micro_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
