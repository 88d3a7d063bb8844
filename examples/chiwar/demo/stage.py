"""The local cluster of the demo: Postgres, the API emulator and the operator, which end with this process."""

import asyncio
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from campaignpool_local.containers.container import Container, path_variable
from campaignpool_local.emulator import Emulator
from campaignpool_local.guard import end_with_us
from campaignpool_local.imagekit import ImageKit
from campaignpool_local.postgres import EmbeddedPostgres
from chiwar.demo.kube import Kube

NAMESPACE = "game"


@dataclass(frozen=True)
class Stage:
    """The running servers.

    Attributes:
        kube: The client for the API.
        kubeconfig: The kubeconfig for kubectl.
        database_url: The URL of the application's database, as its owner.
        server: The Postgres server.
        log: The operator's log file.
        store: The stand-in for ImageKit.
    """

    kube: Kube
    kubeconfig: Path
    database_url: str
    server: EmbeddedPostgres
    log: Path
    store: ImageKit


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    """Run Postgres, the API emulator and the stand-in for ImageKit for the duration of a block.

    An existing folder is deleted first.
    """
    _recreate(folder)
    # Blocking calls are fine here, because no other task runs yet.
    with EmbeddedPostgres(folder / "postgres") as server:
        url = server.create_database("game")
        async with Emulator() as emulator, ImageKit() as store, aiohttp.ClientSession() as session:
            kubeconfig = emulator.kubeconfig(folder / "kubeconfig")
            kube = Kube(session, emulator.url, NAMESPACE)
            yield Stage(kube, kubeconfig, url, server, folder / "operator.log", store)


def _recreate(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


@asynccontextmanager
async def operator(running: Stage) -> AsyncIterator[None]:
    """Run the real operator as its container does, logging to a file, until the block ends."""
    variables = {"PATH": path_variable(), "KUBECONFIG": str(running.kubeconfig), "CAMPAIGNPOOL_HTTP_PORT": "0"}
    container = Container([sys.executable, "-m", "campaignpool_operator"], variables, read_only=True)
    with running.log.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *container.start(),
            env={},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        end_with_us(process.pid, signal.SIGTERM)
        try:
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()
            end_with_us(process.pid, 0)
