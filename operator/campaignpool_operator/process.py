"""The process as a whole: it answers probes, waits until it leads, reconciles, and stops."""

import asyncio
import logging
import signal
import uuid
from contextlib import suppress
from typing import Any

import kopf

from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.cluster.connect import connect
from campaignpool_operator.dashboard.backend import InCluster
from campaignpool_operator.dashboard.identity import Identity, Proxy
from campaignpool_operator.dashboard.reading import Reader, followed
from campaignpool_operator.dashboard.server import DashboardServer
from campaignpool_operator.handlers import registry
from campaignpool_operator.loops import Loops
from campaignpool_operator.runtime.config import VERSION, Config
from campaignpool_operator.runtime.health import HealthServer
from campaignpool_operator.runtime.leader import LEASE_SECONDS, Election
from campaignpool_operator.runtime.metrics import Metrics
from campaignpool_operator.runtime.rights import Rights

AGAIN_SECONDS = 3.0
"""Pause after the watches ended with an error."""

_STOP_SECONDS = 5.0
"""kopf is asked to stop, and cancelled after this."""

_KILL_SECONDS = 20
"""A process that has not stopped after this hangs, and is killed."""

_log = logging.getLogger(__name__)


async def run(config: Config) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: There is no cluster to talk to.
    """
    operator = Operator(config)
    try:
        await operator.start()
        await operator.stopped.wait()
        asyncio.get_running_loop().call_later(_KILL_SECONDS, signal.raise_signal, signal.SIGKILL)
    finally:
        await operator.stop()


class Operator:
    """Everything that lives as long as the process.

    Args:
        config: Its options.
    """

    def __init__(self, config: Config) -> None:
        self.stopped = asyncio.Event()
        """Set by the signals that ask the process to stop."""
        self._config = config
        self._metrics = Metrics(VERSION)
        self._cluster: Cluster | None = None
        self._rights: Rights | None = None
        self._election: Election | None = None
        self._health: HealthServer | None = None
        self._dashboard: Dashboard | None = None
        self._loops: Loops | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Connect, serve probes, wait for the Lease in the background. Raises ConfigurationError."""
        self._handle_signals()
        config = self._config
        self._cluster = cluster = await connect()
        cluster.require_secret_label = config.require_secret_label
        cluster.pool_selector = config.pool_selector
        cluster.on_request = self._metrics.request_sent
        lease_namespace = config.lease_namespace if config.leader_election else None
        self._rights = Rights(
            cluster,
            config.namespaces,
            lease_namespace,
            dashboard=config.dashboard,
            watches=config.watch_references,
        )
        if config.http_port is not None:
            self._health = HealthServer(self._stuck, self._unready, self._metrics)
            await self._health.start(config.http_host, config.http_port)
        if config.dashboard:
            self._dashboard = await Dashboard.start(config, self._metrics)
        self._begin(self._rights.run(), "rights")
        if config.leader_election:
            # A container that restarts in its pod has the pod's name again, and must not take the Lease for its own.
            identity = f"{config.identity}_{uuid.uuid4().hex[:8]}"
            self._election = Election(cluster, config.lease_namespace, config.lease_name, identity)
            cluster.may_write = self._election.leads
            self._election.start()
        self._begin(self._lead_when_elected(cluster, self._rights), "leading")

    async def stop(self) -> None:
        """End the loops, then give up the Lease, then end the rest."""
        for task in reversed(self._tasks):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._election is not None:
            await self._election.release()
        for part in (self._dashboard, self._health, self._cluster):
            if part is not None:
                await part.close()

    def _handle_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.stopped.set)

    def _begin(self, work: Any, name: str) -> None:  # noqa: ANN401 (a coroutine)
        self._tasks.append(asyncio.create_task(work, name=name))

    async def _lead_when_elected(self, cluster: Cluster, rights: Rights) -> None:
        while True:
            if self._election is not None:
                await self._election.elected()
            try:
                await self._lead(cluster, rights)
            except Exception as error:  # noqa: BLE001 (kopf exports no class of errors; the watches begin again)
                _log.error("the watches ended and begin again: %s", error)
                cluster.forbidden.set()
                await asyncio.sleep(AGAIN_SECONDS)

    async def _lead(self, cluster: Cluster, rights: Rights) -> None:
        """Reconcile until the Lease is lost."""
        changed = self._dashboard.reader.touch if self._dashboard is not None else None
        self._loops = loops = Loops(self._config, cluster, self._metrics, changed)
        loops.start()
        self._metrics.leader.set(1)
        stop = asyncio.Event()
        watches = asyncio.create_task(self._watch(loops, rights, stop), name="watches")
        deposed = asyncio.create_task(self._election.deposed() if self._election else asyncio.Event().wait())
        try:
            await asyncio.wait({watches, deposed}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # kopf takes longer to stop, and only reads: another replica may begin before.
            await loops.close()
            if self._election is not None:
                await self._election.release()
            raise
        finally:
            self._metrics.leader.set(0)
            self._loops = None
            deposed.cancel()
            await loops.close()
            stop.set()
            await _ended(watches)
        await watches

    async def _watch(self, loops: Loops, rights: Rights, stop: asyncio.Event) -> None:
        """Have kopf watch pools and Jobs until told to stop."""
        # kopf gives up on an API that is not there yet or refuses a watch, and asks one without our CRD in vain.
        await loops.reachable.wait()
        await rights.granted.wait()
        # kopf would form an identity from the user's name, which a container's numeric user does not have. Any: kopf
        # does not export the type.
        identity: Any = self._config.identity
        before = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=registry(loops, self._config.pool_selector),
            identity=identity,
            standalone=True,
            clusterwide=not self._config.namespaces,
            namespaces=self._config.namespaces,
            stop_flag=stop,
        )
        self._handle_signals()  # kopf has put its own handlers in their place
        await kopf.run_tasks(tasks, ignored=before)

    def _stuck(self) -> str | None:
        return self._loops.stuck() if self._loops is not None else None

    def _unready(self) -> str | None:
        if self._rights is not None and self._rights.missing:
            return self._rights.missing
        if self._loops is not None:
            return self._loops.unready()
        if self._election is None or self._election.leads():
            return "the watches are being opened again"
        silence = self._election.silence()
        if silence > LEASE_SECONDS:
            return "the lease cannot be read: the Kubernetes API does not answer"
        return None


class Dashboard:
    """The dashboard's server, with a connection to the Kubernetes API of its own: every replica serves it."""

    def __init__(self, cluster: Cluster, reader: Reader, server: DashboardServer) -> None:
        self._cluster, self._server = cluster, server
        self.reader = reader

    @classmethod
    async def start(cls, config: Config, metrics: Metrics) -> "Dashboard":
        """Serve. Raises ConfigurationError."""
        cluster = await connect()
        cluster.require_secret_label = config.require_secret_label
        cluster.pool_selector = config.pool_selector
        cluster.on_request = metrics.request_sent
        proxy = Proxy(config.dashboard_user_header, config.dashboard_groups_header, config.dashboard_trusted_proxies)
        identity, (reader, hub) = Identity(cluster, proxy), followed(cluster, config.namespaces)
        signs_in = not config.dashboard_user_header
        server = DashboardServer(InCluster(reader, identity), identity, hub, signs_in=signs_in)
        await server.start(config.http_host, config.dashboard_port)
        return cls(cluster, reader, server)

    async def close(self) -> None:
        """Serve no more."""
        await self._server.close()
        await self.reader.close()
        await self._cluster.close()


async def _ended(watches: asyncio.Task[None]) -> None:
    """Wait until kopf has stopped as it was asked to, and cancel it where it takes too long."""
    with suppress(TimeoutError, asyncio.CancelledError):
        async with asyncio.timeout(_STOP_SECONDS):
            await asyncio.shield(watches)
    if not watches.done():
        watches.cancel()
        await asyncio.gather(watches, return_exceptions=True)
