"""The emulator as a whole: started, addressed and stopped from Python."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml
from aiohttp import web

from campaignpool_local.access import Access
from campaignpool_local.controller import JobController
from campaignpool_local.deletion import Collector
from campaignpool_local.objects import Registry
from campaignpool_local.pods import PodRunner
from campaignpool_local.server import Server

CONTEXT = "campaignpool-local"
"""The name of the kubeconfig's context: plainly not that of a cluster."""


class Emulator:
    """A Kubernetes API emulator on the loopback interface, with a runner for Jobs; all state is in memory.

        async with Emulator() as emulator:
            emulator.kubeconfig(path)

    Args:
        port: Where to listen; 0 takes a free one.
        backoff: Seconds before a Job's first retry (a real cluster waits 10).
    """

    def __init__(self, port: int = 0, *, backoff: float = 1.0) -> None:
        self._port, self._backoff = port, backoff
        self._stack = contextlib.AsyncExitStack()
        self.url = ""
        """Where it is served, once it is started. Its path is a secret: who knows it is the administrator."""

    async def __aenter__(self) -> Self:
        registry = Registry()
        Collector(registry)
        jobs = JobController(registry, backoff=self._backoff)
        pods = PodRunner(registry, backoff=self._backoff)
        access = Access(registry)
        runner = web.AppRunner(
            Server(registry, access, pods).application(),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=1,
        )
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        self._stack.callback(registry.store.close)
        self._stack.push_async_callback(pods.close)
        self._stack.callback(jobs.close)
        self._stack.callback(registry.store.listeners.clear)  # what ends now is not to be replaced
        await web.TCPSite(runner, "127.0.0.1", self._port).start()
        self._port = runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}/{access.secret}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
    emulator = Emulator(port, backoff=backoff)
    started, stop, failure = threading.Event(), asyncio.Event(), list[BaseException]()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        async with emulator:
            started.set()
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
            failure.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="campaignpool-emulator", daemon=True)
    thread.start()
    started.wait()
    if failure:
        raise failure[0]
    try:
        yield emulator
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join()
