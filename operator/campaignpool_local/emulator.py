"""The emulator as a whole: started, addressed and stopped from Python."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Self

import yaml
from aiohttp import web

from campaignpool_local.access import Access
from campaignpool_local.deletion import Collector
from campaignpool_local.jobs import JobController
from campaignpool_local.objects import Registry
from campaignpool_local.pods import PodRunner
from campaignpool_local.server import Server
from campaignpool_local.store import Store

CONTEXT = "campaignpool-local"
"""The name of the kubeconfig's context: plainly not that of a cluster."""


class Emulator:
    """A Kubernetes API emulator on the loopback interface, with a runner for Jobs; all state is in memory.

    Args:
        port: Where to listen; 0 takes a free one.
        backoff: Seconds before each retry of a Job, one at most (a real cluster begins with 10).
    """

    def __init__(self, port: int = 0, *, backoff: float = 1.0) -> None:
        self._port, self._backoff = port, backoff
        self._stack = contextlib.AsyncExitStack()
        self.url = ""
        """Where it is served, once it is started. Its path is a secret: who knows it is the administrator."""

    async def __aenter__(self) -> Self:
        registry = Registry(Store())
        Collector(registry)
        jobs, pods, access = (
            JobController(registry, backoff=self._backoff),
            PodRunner(registry),
            Access(registry.store),
        )
        application = web.Application(client_max_size=16 * 2**20)
        application.router.add_route("*", "/{path:.*}", Server(registry, access, pods).answer)
        runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        self._stack.push_async_callback(pods.close)
        self._stack.callback(jobs.close)  # what ends now is not to be replaced
        self._stack.push_async_callback(runner.cleanup)
        try:
            await web.TCPSite(runner, "127.0.0.1", self._port).start()
        except OSError:
            await self._stack.aclose()
            raise
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/{access.secret}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def kubeconfig(self, path: Path | str) -> Path:
        """Write a kubeconfig with which kubectl, kopf and other clients find this emulator."""
        path = Path(path)
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": CONTEXT, "cluster": {"server": self.url}}],
            "users": [{"name": CONTEXT, "user": {}}],
            "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT, "namespace": "default"}}],
            "current-context": CONTEXT,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)  # also if it was there before
        path.write_text(yaml.safe_dump(config))
        return path


@contextlib.contextmanager
def emulator_thread(port: int = 0, *, backoff: float = 1.0) -> Iterator[Emulator]:
    """Run an emulator in a thread of its own, for code that is not asynchronous."""
    started: Future[tuple[Emulator, asyncio.AbstractEventLoop]] = Future()
    stop = asyncio.Event()

    async def serve() -> None:
        async with Emulator(port, backoff=backoff) as emulator:
            started.set_result((emulator, asyncio.get_running_loop()))
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except OSError as error:
            started.set_exception(error)

    thread = threading.Thread(target=run, name="campaignpool-emulator", daemon=True)
    thread.start()
    emulator, loop = started.result()
    try:
        yield emulator
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
