"""The emulator as a whole: started, addressed and stopped from Python."""

import asyncio
import contextlib
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Self

import yaml
from aiohttp import web

from campaignpool_local.access.defaults import RoleAggregator
from campaignpool_local.access.users import Tokens
from campaignpool_local.deletion import Collector
from campaignpool_local.jobs import JobController
from campaignpool_local.kubelet.images import Images
from campaignpool_local.kubelet.runner import PodRunner
from campaignpool_local.objects import Registry
from campaignpool_local.pod_gates import PodGates
from campaignpool_local.server import Server
from campaignpool_local.store import Store

CONTEXT = "campaignpool-local"  # of the kubeconfig: plainly not that of a cluster


class Emulator:
    """A Kubernetes API emulator on the loopback interface, with a runner for Jobs; all state is in memory.

    Port 0 is a free one. The `backoff` before each retry of a Job is one second at most; a real cluster takes 10.
    `images` are patterns of those that can be pulled; by default all can, but for those of hosts in `.invalid`.
    Without `runs_pods` it is an API server alone, to which a node can be added. `registry`, once it is started, has
    all objects and their history.
    """

    registry: Registry

    def __init__(
        self,
        port: int = 0,
        *,
        backoff: float = 1.0,
        images: Collection[str] | None = None,
        runs_pods: bool = True,
    ) -> None:
        self._port, self._backoff, self._images, self._runs_pods = port, backoff, images, runs_pods
        self._stack = contextlib.AsyncExitStack()
        self.url = ""  # once it is started; its path is a secret: who knows it is the administrator

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            self.registry = registry = Registry(Store())
            Collector(registry)
            JobController(registry, backoff=self._backoff)
            RoleAggregator(registry)
            PodGates(registry)
            pods, tokens = PodRunner(registry, Images(self._images)), Tokens(registry.store)
            if self._runs_pods:
                stack.push_async_callback(pods.close)
            else:
                await pods.close()
            application = web.Application(client_max_size=16 * 2**20)
            application.router.add_route("*", "/{path:.*}", Server(registry, tokens, pods).answer)
            runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", self._port).start()
            port = runner.addresses[0][1]
            pods.service = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(port)}
            self.url = f"http://127.0.0.1:{port}/{tokens.secret}"
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig with which kubectl, kopf and other clients find this emulator."""
        cluster, user = {"name": CONTEXT, "cluster": {"server": self.url}}, {"name": CONTEXT, "user": {}}
        context = {"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT, "namespace": "default"}}
        config = {"apiVersion": "v1", "kind": "Config", "clusters": [cluster], "users": [user], "contexts": [context]}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)  # also if it was there before
        path.write_text(yaml.safe_dump({**config, "current-context": CONTEXT}))
        return path


@contextlib.contextmanager
def emulator_thread(port: int = 0, *, backoff: float = 1.0, runs_pods: bool = True) -> Iterator[Emulator]:
    """Run an emulator in a thread of its own, for code that is not asynchronous."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        loop = runner.get_loop()
        thread = threading.Thread(target=loop.run_forever, name="campaignpool-emulator", daemon=True)
        thread.start()
        emulator = Emulator(port, backoff=backoff, runs_pods=runs_pods)
        try:
            yield asyncio.run_coroutine_threadsafe(emulator.__aenter__(), loop).result()
        finally:
            asyncio.run_coroutine_threadsafe(emulator.__aexit__(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
