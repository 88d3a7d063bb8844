"""One schedule's world: emulated API, ledger, pods and operators in one event loop, and its time."""

import asyncio
import contextlib
import random
import ssl
from collections.abc import AsyncIterator
from contextvars import copy_context
from typing import Any
from unittest import mock

import asyncpg
from kubernetes.aio.client import ApiClient, Configuration

from campaignpool.api.crd import crd
from campaignpool.api.resource import GROUP, KIND, PLURAL, VERSION
from campaignpool.ledger.database import CONNECTION_FAULTS
from campaignpool_local.emulator import Emulator
from campaignpool_local.imagekit import ImageKit
from campaignpool_local.resources import CRDS, JOBS
from campaignpool_local.store import Change
from campaignpool_local.values import Json
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.cluster.connect import KubernetesTransport
from campaignpool_operator.jobs.managed import MANAGED_BY
from campaignpool_operator.loops import Loops
from campaignpool_operator.process import AGAIN_SECONDS
from campaignpool_operator.runtime.config import Config
from campaignpool_operator.runtime.leader import Election
from campaignpool_operator.runtime.metrics import Metrics
from campaignpool_seeder.images import __main__ as images
from tests.perturbation import specs, stores
from tests.perturbation.clocks import Clocks
from tests.perturbation.pods import Pods, secret
from tests.perturbation.schedules import Schedule
from tests.perturbation.seams import ACTOR, POOLS, Actor, PerturbedCluster, Seams

NAMESPACE, NAME = "game", "small"
KEY = f"{NAMESPACE}/{NAME}"
PATH = f"/apis/{GROUP}/{VERSION}/namespaces/{NAMESPACE}/{PLURAL}"
RESYNC_SECONDS = 3600
RESTART_SECONDS = 1.0
REST_SECONDS = 600.0
"""An operator that does not look at a pool again within this time is at rest."""

LIMIT_SECONDS = 3 * RESYNC_SECONDS
_MERGE = "application/merge-patch+json"
_definition: list[Json] = []
"""The CRD as the emulator has admitted it; admitting it again takes as long as a third of a schedule."""


def transport(url: str) -> KubernetesTransport:
    """Return what sends requests to the emulator."""
    return KubernetesTransport(ApiClient(Configuration(host=url)))


class OperatorRun:
    """One operator's process: everything but kopf, whose events come from the emulator's store."""

    def __init__(self, world: "World", name: str) -> None:
        self.world, self.actor = world, Actor(name)
        self.delays: dict[str, float] = {}
        self.loops_run = 0
        self._context = copy_context()
        self._context.run(ACTOR.set, self.actor)
        self.cluster = PerturbedCluster(transport(world.url), world.seams, world.store)
        self.loops = self._new_loops()
        self.actor.on_death = lambda: world.replace_operator(self)
        self._watches: asyncio.Task[None] | None = None
        self._leading: asyncio.Task[None] | None = None
        self.election = Election(self.cluster, NAMESPACE, "operator", name) if world.elects else None
        self.leads = self.election is None

    def start(self) -> None:
        if self.election is None:
            self._begin()
            return
        self.cluster.may_write = self.election.leads
        self._context.run(self.election.start)
        self._leading = self._context.run(asyncio.get_running_loop().create_task, self._lead(self.election))

    def _begin(self) -> None:
        self._context.run(self.loops.start)
        self._watches = asyncio.get_running_loop().create_task(self._watch())

    async def _lead(self, election: Election) -> None:
        """Reconcile whenever this replica is elected, as `process` does."""
        while True:
            await election.elected()
            self.leads = True
            self._begin()
            await election.deposed()
            await self.actor.awake.wait()  # a process that is stopped does not learn of it
            self.leads = False
            await self._close()
            self.loops = self._new_loops()

    async def watch_again(self) -> None:
        """Begin again with everything, as `process` does after a watch that was refused."""
        self.leads = False
        await self._close()
        await asyncio.sleep(AGAIN_SECONDS)
        if self.actor.alive:
            self.loops, self.leads = self._new_loops(), True
            self._begin()

    async def stop(self) -> None:
        """End as a process does that is asked to: another replica may take over at once."""
        self.actor.on_death = lambda: None
        await self._cancel(self._leading)
        await self._close()
        if self.election is not None:
            await self._context.run(asyncio.get_running_loop().create_task, self.election.release())
        await self.end()

    def _new_loops(self) -> Loops:
        config = Config(resync_seconds=RESYNC_SECONDS, http_port=None, watch_references=False)
        loops: Loops = self._context.run(Loops, config, self.cluster, Metrics("9"))
        self._wrap(loops)
        return loops

    async def _watch(self) -> None:
        """List first, as kopf does once the API has answered, and follow the changes from then on."""
        await self.loops.reachable.wait()
        self.world.store.listeners.append(self._notice)
        self.relist()

    def relist(self) -> None:
        """Hand on all objects, as kopf does after a 410."""
        for key in (POOLS, JOBS):
            for obj in self.world.store.list(key):
                self._context.copy().run(self._hand_on, Change(key, 0, "", obj, None))

    def _notice(self, change: Change) -> None:
        if change.key == JOBS:
            if (change.object["metadata"].get("labels") or {}).get("app.kubernetes.io/managed-by") != MANAGED_BY:
                return
        elif change.key != POOLS:
            return
        asyncio.get_running_loop().call_soon(self._context.copy().run, self._deliver, change)

    def _deliver(self, change: Change) -> None:
        if self.actor.alive:
            kind = "Job" if change.key == JOBS else "Pool"
            what = f"{change.type} {change.object['metadata']['name']}"
            self.world.seams.deliver(f"watch {kind}", what, lambda: self._hand_on(change))

    def _hand_on(self, change: Change) -> None:
        if not self.actor.alive:
            return
        if change.key == JOBS:
            self.loops.job_changed(change.object)
        elif change.type == "DELETED":
            self.loops.pool_gone(change.object)
        else:
            self.loops.pool_changed(change.object)

    def _wrap(self, loops: Loops) -> None:
        scheduler, reconciler = loops._scheduler, loops._reconciler
        step, carry_out, seams = scheduler._step, reconciler._apply, self.world.seams

        async def counted(key: str) -> float | None:
            self.delays.pop(key, None)
            self.loops_run += 1
            delay = await step(key)
            if delay is not None:
                self.delays[key] = delay
            return delay

        async def paused(session: Any, observed: Any, todo: Any) -> Any:
            self.world.observed.append(observed)
            actions = [type(action).__name__ for action in todo.actions]
            if actions:
                await seams.meet(seams.cross("step", " ".join(actions)))
            return await carry_out(session, observed, todo)

        scheduler._step = counted
        reconciler._apply = paused  # type: ignore[method-assign]

    def at_rest(self) -> bool:
        """Return whether nothing is under way, it listens to all databases, and no loop is due before the resync."""
        pools, listeners = self.loops._scheduler._pools, self.loops._listeners
        listens = listeners.connected == len(listeners._tasks) and not listeners._changed._waiting
        return listens and all(
            task.began is None and not task.wanted.is_set() and self.delays.get(key, 0.0) >= REST_SECONDS
            for key, task in pools.items()
        )

    async def end(self) -> None:
        """End as a killed process does: nothing that it still does has an effect."""
        self.actor.alive = False
        await self._cancel(self._leading, self.election._task if self.election else None)
        await self._close()
        for connection in self.actor.connections:
            connection.terminate()
        await self.cluster.close()

    async def _close(self) -> None:
        """End watches and loops."""
        with contextlib.suppress(ValueError):
            self.world.store.listeners.remove(self._notice)
        tasks = [task for task in (self._watches, self.loops._lister) if task is not None]
        tasks += [item.task for item in self.loops._scheduler._pools.values() if item.task is not None]
        tasks += self.loops._listeners._tasks.values()
        await self._cancel(*tasks)
        self.loops._scheduler._pools.clear()
        await self.loops.close()

    @staticmethod
    async def _cancel(*given: asyncio.Task[None] | None) -> None:
        tasks = [task for task in given if task is not None]
        while left := [task for task in tasks if not task.done()]:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=0.01)
        await asyncio.gather(*tasks, return_exceptions=True)


class World:
    """What a scenario acts on.

    Attributes:
        steps: What was true at each rest, by the name of the step; the oracles compare it.
    """

    def __init__(self, schedule: Schedule, url: str) -> None:
        self.schedule, self.database_url = schedule, url
        self.clocks = Clocks()
        self.seams = Seams(self.clocks, schedule.faults)
        self.operators: list[OperatorRun] = []
        self.observed: list[Any] = []
        self.elects = False
        self.images: ImageKit | None = None
        self._buried: set[asyncio.Task[None]] = set()
        self._numbers = 0
        self.seams.generic = {
            "second": self._second,
            "jump": self._jump,
            "touch": self._touch,
            "relist": self._relist,
            "denied": self._denied,
        }

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator["World"]:
        """Start everything but the operator."""
        random.seed(0)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the system's certificates, which nobody uses
        without = mock.patch.object(ssl, "create_default_context", return_value=context)
        store = mock.patch.object(images, "ImageKit", stores.perturbed(self.seams))
        async with contextlib.AsyncExitStack() as self._stack:
            for replaced in (self.clocks.installed(), self.seams.installed(), without, store):
                self._stack.enter_context(replaced)
            self.connection = await asyncpg.connect(self.database_url)
            ageing = await asyncpg.connect(self.database_url)
            await self.clocks.begin(ageing)
            async with Emulator(backoff=0.2, runs_pods=False) as emulator:
                self.url, self.registry, self.store = emulator.url, emulator.registry, emulator.registry.store
                self.pods = Pods(self.registry, self.seams)
                self.people = Cluster(transport(self.url))
                try:
                    await self._prepare()
                    yield self
                finally:
                    for operator in self.operators:
                        await operator.end()
                    for task in self._buried:
                        task.cancel()
                    await asyncio.gather(*self._buried, return_exceptions=True)
                    await self.pods.close()
                    await self.people.close()
                    ageing.terminate()
                    self.connection.terminate()

    async def _prepare(self) -> None:
        if not _definition:
            await self.people._send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body=crd())
            _definition.extend(self.store.list(CRDS))
        else:
            self.store.put(CRDS, _definition[0])
        await self.people._send("POST", "/api/v1/namespaces", body={"metadata": {"name": NAMESPACE}})
        await self.people._send("POST", f"/api/v1/namespaces/{NAMESPACE}/secrets", body=secret(self.database_url))

    # --- operators -------------------------------------------------------------------------------------------------

    def start_operator(self) -> OperatorRun:
        self._numbers += 1
        operator = OperatorRun(self, f"operator {self._numbers}")
        self.operators.append(operator)
        operator.start()
        return operator

    def replace_operator(self, operator: OperatorRun) -> None:
        """Clear away an operator that died, and start another one, as Kubernetes does."""
        task = asyncio.get_running_loop().create_task(self._replace(operator))
        self._buried.add(task)

    async def _replace(self, operator: OperatorRun) -> None:
        ACTOR.set(None)
        await asyncio.sleep(0)
        await operator.end()
        self.operators.remove(operator)
        await asyncio.sleep(RESTART_SECONDS)
        self.start_operator()

    async def stop_leader(self) -> None:
        """Stop the operator that leads, once there is one."""
        while not (leaders := [operator for operator in self.operators if operator.leads]):
            await self.run_for(1)
        await leaders[0].stop()
        self.operators.remove(leaders[0])

    async def _second(self) -> None:
        token = ACTOR.set(None)
        self.start_operator()
        ACTOR.reset(token)

    async def _jump(self, clock: str, seconds: str) -> None:
        token = ACTOR.set(None)
        await self.clocks.set_off(clock, float(seconds))
        ACTOR.reset(token)

    async def _relist(self) -> None:
        for operator in self.operators:
            operator.relist()

    async def _denied(self) -> None:
        actor = ACTOR.get()
        for operator in self.operators:
            if operator.actor is actor:
                await operator.watch_again()

    async def _touch(self) -> None:
        """Set an annotation: a write with the resourceVersion of before is refused."""
        token = ACTOR.set(None)
        if self.pool() is not None:
            annotations = {"touched": str(self.clocks.passed)}
            await self.people._send(
                "PATCH", f"{PATH}/{NAME}", body={"metadata": {"annotations": annotations}}, kind=_MERGE
            )
        ACTOR.reset(token)

    # --- time ------------------------------------------------------------------------------------------------------

    async def quiet(self) -> None:
        """Wait until nothing happens without time that passes."""
        loop: Any = asyncio.get_running_loop()
        while True:
            idle = 0
            while idle < 2:
                await self.seams.idle.wait()
                await asyncio.sleep(0.001)
                idle = idle + 1 if self.seams.busy == 0 and not loop._ready else 0
            before = self.seams.notified
            await self._barrier()
            if before == self.seams.notified and self.seams.busy == 0:
                return

    async def _barrier(self) -> None:
        """Have the server send the notifications of all that was committed: it does before it answers a statement."""
        for operator in self.operators:
            for connection in operator.actor.listening:
                with contextlib.suppress(*CONNECTION_FAULTS):
                    if not connection.is_closed():
                        await connection.execute("SELECT 1")

    async def _next(self, most: float) -> float:
        """Let time pass until the next timer, at most so long; return how long."""
        loop: Any = asyncio.get_running_loop()
        timers = [handle.when() for handle in loop._scheduled if not handle.cancelled()]
        wait = min(max(0.0, min(timers, default=loop.time() + most) - loop.time()) + 0.001, most)
        await self.clocks.advance(wait)
        return wait

    def at_rest(self) -> bool:
        alive = [operator for operator in self.operators if operator.actor.alive]
        dying = any(not task.done() for task in self._buried)
        leads = any(operator.leads for operator in alive) and all(item.leads or item.election for item in alive)
        comes = dying or self.seams.delayed or self.pods.active
        return leads and not comes and all(item.at_rest() for item in alive)

    async def settle(self) -> bool:
        """Let time pass until every operator rests; return False where that takes too long."""
        end = self.clocks.passed + LIMIT_SECONDS
        while self.clocks.passed < end:
            await self.quiet()
            if self.at_rest():
                return True
            await self._next(LIMIT_SECONDS)
        return False

    async def run_for(self, seconds: float) -> None:
        """Let so much time pass."""
        left = seconds
        while left > 0:
            await self.quiet()
            left -= await self._next(left)
        await self.quiet()

    # --- people ----------------------------------------------------------------------------------------------------

    def pool(self, name: str = NAME) -> Json | None:
        return self.store.get(POOLS, NAMESPACE, name)

    async def create(self, **spec: object) -> None:
        """Create the pool, small, with Jobs that do not linger, and without sizing: at rest nothing is active."""
        seeding = {"lingerSeconds": 0, **dict(spec.pop("seeding", {}))}  # type: ignore[call-overload] # a mapping
        await self.create_with(specs.base() | {"seeding": seeding} | spec)

    async def create_with(self, spec: Json, name: str = NAME) -> None:
        body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "metadata": {"name": name}, "spec": spec}
        await self.people._send("POST", PATH, body=body)

    async def replace(self, spec: Json, name: str = NAME) -> None:
        """Replace the whole spec, as `kubectl replace` does."""
        pool = self.pool(name)
        assert pool is not None
        await self.people._send("PUT", f"{PATH}/{name}", body={**pool, "spec": spec})

    async def create_images(self) -> None:
        """Add pictures to the application, in a store, and create the pool that copies them."""
        self.images = store = await stores.opened(self._stack, self.clocks)
        await self.connection.execute(stores.SCHEMA)
        secrets = f"/api/v1/namespaces/{NAMESPACE}/secrets"
        await self.people._send("POST", secrets, body=stores.secret(store))
        settings = {"strategy": "CopyEach", "secretRef": {"name": "imagekit"}, "endpoint": store.url}
        await self.create(size=1, blueprint={"inline": stores.blueprint()}, images=settings)

    async def patch(self, **spec: object) -> None:
        await self.people._send("PATCH", f"{PATH}/{NAME}", body={"spec": spec}, kind=_MERGE)

    async def delete(self, name: str = NAME) -> None:
        await self.people._send("DELETE", f"{PATH}/{name}")

    async def claim(self, user: str, key: str | None = None) -> Any:
        return await self.connection.fetchrow("SELECT * FROM campaign_pool.claim($1, $2, $3)", KEY, user, key)
