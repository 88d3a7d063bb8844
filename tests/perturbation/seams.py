"""The seams: everything that the operator exchanges with the API, the database and the clock passes one of them.

| seam | what is wrapped | numbers count |
| --- | --- | --- |
| `api` | `Cluster._send`, all but GET | writes to the API, Events too |
| `get Pool`, `list Jobs` | `Cluster._send`, GET | readings |
| `sql` | `execute`, `fetch`, ... of asyncpg | statements that write, and COMMITs of what was written |
| `inside` | the same | statements that write inside of a transaction |
| `notify` | the callback of `add_listener` | notifications |
| `watch Pool`, `watch Job` | the changes of the emulator's store | events |
| `pod` | the seeder that runs in a pod | pods |
| `step` | the loop of a pool, between `observe` and `apply` | loops that have something to do |
| `start` | the beginning of the scenario | 1 |

A task belongs to an operator, a pod, or the harness, by the context variable `ACTOR`. Only those of an operator are
counted; what a pod does is counted by its own seam.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from email.utils import format_datetime
from typing import Any
from unittest import mock

import asyncpg

from campaignpool.api.resource import GROUP, PLURAL
from campaignpool.errors import ClusterError
from campaignpool_local.resources import JOBS
from campaignpool_local.store import Change, Key, Store, name_of
from campaignpool_local.values import Json
from campaignpool_local.watch import selector
from campaignpool_operator.cluster.client import Cluster, Transport
from tests.perturbation.clocks import Clocks
from tests.perturbation.schedules import Fault

POOLS: Key = (GROUP, PLURAL)
PAUSE_SECONDS = 20.0
"""Longer than a lease."""

LATE_SECONDS = 5.0

_WRITERS = (
    "put_pool|begin_waiting|finish_run|retire|remove|prune|prune_claimed|prune_images|count_claims|close_pool|"
    "finish_deletion|quarantine|use_revision|write_apply|drop_revision|requeue|answer"
)
_STATEMENTS = "INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|GRANT|REVOKE|COMMENT"
_WRITES = re.compile(rf"^({_STATEMENTS})\b|campaign_pool\.({_WRITERS})\w*\(", re.IGNORECASE)
_INSIDE = re.compile(r"\b(INSERT INTO|DELETE FROM|UPDATE \w+)", re.IGNORECASE)
_REFUSALS = {"403": "Forbidden", "409": "Conflict", "429": "TooManyRequests", "500": "InternalError"}
_COMMENTS = re.compile(r"--[^\n]*\n")


@dataclass(eq=False)
class Actor:
    """An operator's process, or a pod: what ends with it."""

    name: str
    alive: bool = True
    connections: "list[asyncpg.Connection[asyncpg.Record]]" = field(default_factory=list)
    listening: "list[asyncpg.Connection[asyncpg.Record]]" = field(default_factory=list)
    statements: int = 0
    reserved: bool = False
    """The ledger knows the run of a pod's Job."""
    killed_after: int | None = None
    """A pod is killed after so many statements."""
    on_death: Callable[[], None] = lambda: None
    awake: asyncio.Event = field(default_factory=asyncio.Event)
    """Not set while the process is stopped."""

    def __post_init__(self) -> None:
        self.awake.set()

    @property
    def is_operator(self) -> bool:
        return self.name.startswith("operator")

    def die(self) -> None:
        """End as a killed process does: the server sees its connections closed."""
        if self.alive:
            self.alive = False
            for connection in self.connections:
                connection.terminate()
            self.on_death()


ACTOR: ContextVar[Actor | None] = ContextVar("ACTOR", default=None)


class Seams:
    """The crossings of one schedule.

    Attributes:
        busy: Requests and statements under way; no virtual time passes during one.
        trace: One line for each crossing.
    """

    def __init__(self, clocks: Clocks, faults: tuple[Fault, ...]) -> None:
        self.clocks, self._faults = clocks, faults
        self.busy = 0
        self.idle = asyncio.Event()
        """Set while nothing is under way."""
        self.idle.set()
        self.trace: list[str] = []
        self.counts: Counter[str] = Counter()
        self.injected: list[Fault] = []
        self.generic: dict[str, Callable[..., Awaitable[None]]] = {}
        self._wrote: set[int] = set()
        self.counting = False
        self.notified = 0
        self.delayed = 0
        """Events that are to come later."""
        self._held: dict[str, Callable[[], None]] = {}
        """Events that change places with the next one of their seam."""

    # --- crossings -------------------------------------------------------------------------------------------------

    def cross(self, seam: str, what: str) -> Fault | None:
        """Count a crossing; return the fault that is due there."""
        if not self.counting:
            return None
        self.counts[seam] += 1
        number = self.counts[seam]
        actor = ACTOR.get()
        self.trace.append(f"{self.clocks.passed:9.2f} {actor.name if actor else '':12} {seam} {number}: {what}")
        fault = next((item for item in self._faults if (item.seam, item.number) == (seam, number)), None)
        if fault is not None:
            self.injected.append(fault)
            self.trace.append(f"          ----> {fault}")
        return fault

    async def meet(self, fault: Fault | None) -> Fault | None:
        """Do what a fault asks for that is possible at every seam; return those that the seam itself has to do."""
        actor = ACTOR.get()
        if fault is None:
            return None
        if fault.action == "before" and actor is not None:
            await self.die(actor)
        if fault.action == "pause":
            await self._pause(actor, float(fault.arguments[0]) if fault.arguments else PAUSE_SECONDS)
            return None
        if fault.action in self.generic:
            await self.generic[fault.action](*fault.arguments)
            return None
        return fault

    @staticmethod
    async def _pause(actor: Actor | None, seconds: float) -> None:
        """Stop the actor, which renews no lease until it goes on."""
        if actor is not None:
            actor.awake.clear()
        try:
            await asyncio.sleep(seconds)
        finally:
            if actor is not None:
                actor.awake.set()

    @staticmethod
    async def die(actor: Actor) -> None:
        """End the actor; the task that asks for it is cancelled with all others."""
        actor.die()
        await asyncio.get_running_loop().create_future()

    async def run(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Do something outside of the process, during which no time passes."""
        self.busy += 1
        self.idle.clear()
        try:
            return await call()
        finally:
            self.busy -= 1
            if not self.busy:
                self.idle.set()

    # --- the database ----------------------------------------------------------------------------------------------

    async def statement(
        self, connection: "asyncpg.Connection[asyncpg.Record]", query: str, call: Callable[[], Awaitable[Any]]
    ) -> Any:
        actor = ACTOR.get()
        if actor is None:
            return await call()
        if not actor.alive:
            raise asyncpg.InterfaceError("the process has ended")
        actor.statements += 1
        if not actor.is_operator:
            result = await self.run(call)
            actor.reserved |= "campaign_pool.reserve(" in query
            if actor.killed_after == actor.statements:
                await self.die(actor)
            return result
        fault = await self.meet(self._written(connection, query))
        return await (self.run(call) if fault is None else self._disturbed(fault, actor, connection, call))

    async def _disturbed(
        self,
        fault: Fault,
        actor: Actor,
        connection: "asyncpg.Connection[asyncpg.Record]",
        call: Callable[[], Awaitable[Any]],
    ) -> Any:
        """Do with a statement what a fault says."""
        match fault.action:
            case "40001":
                raise asyncpg.SerializationError("could not serialize access due to concurrent update")
            case "cut":
                pass
            case "inside":
                sent = asyncio.ensure_future(call())
                await asyncio.sleep(0)
                connection.terminate()
                await asyncio.gather(sent, return_exceptions=True)
                await self.die(actor)
            case "after" | "lost":
                await self.run(call)
                if fault.action == "after":
                    await self.die(actor)
            case other:
                raise ValueError(f"{other!r} is nothing that happens to a statement")
        connection.terminate()
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    def _written(self, connection: "asyncpg.Connection[asyncpg.Record]", query: str) -> Fault | None:
        """Count a statement that writes: apart, those that only a later COMMIT makes true."""
        text = _COMMENTS.sub("", query).strip()
        seam = "sql"
        if text.startswith("COMMIT"):
            if id(connection) not in self._wrote:
                return None
            self._wrote.discard(id(connection))
        elif _WRITES.search(text) or _INSIDE.search(text):
            if connection.is_in_transaction():
                self._wrote.add(id(connection))
                seam = "inside"
        else:
            if text.startswith("ROLLBACK;"):
                self._wrote.discard(id(connection))
            return None
        return self.cross(seam, " ".join(text.split())[:80])

    def _listener(self, callback: Callable[..., None]) -> Callable[..., None]:
        actor = ACTOR.get()
        if actor is None or not actor.is_operator:
            return callback

        def told(*arguments: Any) -> None:
            self.notified += 1
            if actor.alive:
                # Postgres loses a notification with the connection alone.
                self.deliver("notify", str(arguments[-1]), lambda: callback(*arguments), arguments[0].terminate)

        return told

    # --- events ----------------------------------------------------------------------------------------------------

    def deliver(
        self, seam: str, what: str, call: Callable[[], None], lose: Callable[[], None] = lambda: None
    ) -> None:
        """Hand on an event, or do with it what a fault says; `lose` is called for one that is dropped."""
        fault, loop, held = self.cross(seam, what), asyncio.get_running_loop(), self._held.pop(seam, None)
        match fault.action if fault else "":
            case "":
                call()
            case "drop":
                lose()
            case "double":
                call()
                self._later(0.05, call)
            case "late":
                self._later(LATE_SECONDS, call)
            case "swap":
                self._held[seam] = self._later(LATE_SECONDS, call)
            case _:
                call()
                loop.create_task(self.meet(fault))
        if held is not None:
            held()

    def _later(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Hand on an event after so many seconds; return what hands it on before."""
        self.delayed += 1

        def now() -> None:
            if not timer.cancelled():
                timer.cancel()
                self.delayed -= 1
                call()

        timer = asyncio.get_running_loop().call_later(seconds, now)
        return now

    # --- wrappers --------------------------------------------------------------------------------------------------

    def _prepare(self, original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def prepare(connection: Any, query: str, **options: Any) -> Any:
            return await self.run(lambda: original(connection, query, **options))

        return prepare

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Wrap asyncpg for a block."""
        connect, kind = asyncpg.connect, asyncpg.Connection

        async def connected(*arguments: Any, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":
            actor = ACTOR.get()
            if actor is not None and not actor.alive:
                raise ConnectionRefusedError("the process has ended")

            async def call() -> "asyncpg.Connection[asyncpg.Record]":
                connection = await connect(*arguments, **options)
                await self.clocks.translate(connection)
                return connection

            connection: asyncpg.Connection[asyncpg.Record] = await self.run(call)
            if actor is not None:
                actor.connections.append(connection)
            return connection

        def wrapped(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
            async def method(connection: Any, query: str, *arguments: Any, **options: Any) -> Any:
                return await self.statement(
                    connection, query, lambda: original(connection, query, *arguments, **options)
                )

            return method

        listen = kind.add_listener

        async def add_listener(connection: Any, channel: str, callback: Callable[..., None]) -> None:
            if (actor := ACTOR.get()) is not None and actor.is_operator:
                actor.listening.append(connection)
            await self.run(lambda: listen(connection, channel, self._listener(callback)))

        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(asyncpg, "connect", connected))
            for name in ("execute", "fetch", "fetchrow", "fetchval"):
                stack.enter_context(mock.patch.object(kind, name, wrapped(getattr(kind, name))))
            stack.enter_context(mock.patch.object(kind, "add_listener", add_listener))
            stack.enter_context(mock.patch.object(kind, "prepare", self._prepare(kind.prepare)))
            yield


class PerturbedCluster(Cluster):
    """The operator's connection to the API, wrapped."""

    def __init__(self, transport: Transport, seams: Seams, store: Store) -> None:
        super().__init__(transport)
        self._seams, self._store = seams, store

    def _set_clock(self, date: str | None) -> None:
        del date  # the emulator's web server has the real one
        super()._set_clock(format_datetime(self._seams.clocks.now("api"), usegmt=True))

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Json | None = None,
        kind: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        actor = ACTOR.get()
        if actor is None:
            return await super()._send(method, path, query, body=body, kind=kind, headers=headers)
        if not actor.alive:
            raise ClusterError("the process has ended")
        if "/leases" in path:
            await actor.awake.wait()
        event = path.endswith("/events") and body
        what = f"{method} {'Event ' + body['reason'] if event and body else '/'.join(path.split('/')[-2:])}"

        async def call() -> Json:
            return await super(PerturbedCluster, self)._send(
                method, path, query, body=body, kind=kind, headers=headers
            )

        seam = "api" if method != "GET" else "list Jobs" if path.endswith("/jobs") else "get Pool"
        counts = method != "GET" or PLURAL in path or path.endswith("/jobs")
        fault = await self._seams.meet(self._seams.cross(seam, what)) if counts and "/leases" not in path else None
        if fault is None:
            return dict(await self._seams.run(call))
        if fault.action == "old":
            return self._old(path, query or {}, int(fault.arguments[0]))
        if fault.action in _REFUSALS:
            raise ClusterError(f"the Kubernetes API refuses {what}", reason=_REFUSALS[fault.action])
        if fault.action not in ("after", "lost"):
            raise ValueError(f"{fault.action!r} is nothing that happens to a request")
        await self._seams.run(call)
        if fault.action == "after":
            await self._seams.die(actor)
        raise ClusterError(f"no answer from the Kubernetes API to {what}: ClientConnectionResetError")

    def _old(self, path: str, query: Mapping[str, str], versions: int) -> Json:
        """Return an answer as it was so many changes of this kind ago."""
        parts = path.strip("/").split("/")
        key = JOBS if parts[-1] == "jobs" else POOLS
        namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts else ""
        changes = [item for item in self._store.history if item.key == key][-versions:]
        objects = before(self._store, key, changes)
        if parts[-1] in ("jobs", PLURAL):
            chosen = selector(query.get("labelSelector", ""), query.get("fieldSelector", ""))
            mine = [obj for (where, _), obj in sorted(objects.items()) if where == namespace and chosen(obj)]
            version = str(changes[0].version - 1 if changes else 0)
            return {"metadata": {"resourceVersion": version}, "items": mine}
        if (namespace, parts[-1]) not in objects:
            raise ClusterError("not found", reason="NotFound")
        return objects[namespace, parts[-1]]


def before(store: Store, key: Key, changes: list[Change]) -> dict[tuple[str, str], Json]:
    """Return the objects of a kind as they were before some changes, the latest last."""
    objects = {name_of(obj): obj for obj in store.list(key)}
    for change in reversed(changes):
        if change.before is None:
            objects.pop(name_of(change.object), None)
        else:
            objects[name_of(change.object)] = change.before
    return objects
