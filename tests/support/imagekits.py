"""Fixtures: a media library for tests of images, in the stand-in for ImageKit or in a folder of the real service.

    pytest tests/integration/test_imagekit_standin.py                                      the stand-in
    IMAGEKIT_PRIVATE_KEY=... IMAGEKIT_SCRATCH_FOLDER=/scratch pytest tests/integration/test_imagekit_standin.py

With both variables set the same tests run against ImageKit itself, each in its own folder below the scratch
folder, which the fixture deletes. Tests that inject faults or set the clock are skipped.
"""

import asyncio
import contextlib
import os
import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import pytest
from imagekitio import AsyncImageKit, NotFoundError

from campaignpool_local.imagekit import UNLIMITED, Faults, ImageKit

_KEY, _SCRATCH = os.environ.get("IMAGEKIT_PRIVATE_KEY", ""), os.environ.get("IMAGEKIT_SCRATCH_FOLDER", "")
IS_REAL = bool(_KEY and _SCRATCH)
TIMEOUT, PAUSE = (120, 1) if IS_REAL else (10, 0.01)
"""Seconds: how long `eventually` polls, and the pause between two polls."""


class Clock:
    """A clock that tests advance by setting `seconds`."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass(frozen=True)
class Place:
    """An empty folder of a media library, and a client with access to it."""

    client: AsyncImageKit
    folder: str

    async def upload(self, name: str, content: bytes = b"something", below: str = "", **options: Any) -> Any:
        """Upload a file into the folder or one below it; by default under exactly this name."""
        options = {"use_unique_file_name": False} | options
        return await self.client.files.upload(file=content, file_name=name, folder=self.folder + below, **options)

    async def listed(self, below: str = "", **query: Any) -> list[Any]:
        """Return the assets in the folder or in one below it."""
        return list(await self.client.assets.list(path=self.folder + below, **query))

    async def names(self, below: str = "", **query: Any) -> list[str]:
        """Return the sorted names of the assets in the folder or in one below it."""
        return [asset.name for asset in await self.listed(below, **({"sort": "ASC_NAME"} | query))]

    async def wait_for_job(self, job_id: str) -> None:
        """Wait until a bulk job is completed."""

        async def status() -> str:
            return str((await self.client.folders.job.get(job_id)).status)

        await eventually(status, "Completed")


async def eventually(look: Callable[[], Awaitable[Any]], wanted: object) -> None:
    """Poll until `look` returns `wanted`, because lists and jobs lag behind writes."""
    end = time.monotonic() + TIMEOUT
    while (result := await look()) != wanted:
        assert time.monotonic() < end, f"last result: {result}, wanted: {wanted}"
        await asyncio.sleep(PAUSE)


def client_of(imagekit: ImageKit, **options: Any) -> AsyncImageKit:
    """Return a client of a stand-in; the caller closes it."""
    return AsyncImageKit(private_key=imagekit.private_key, base_url=imagekit.url, max_retries=0, **options)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """Yield an empty folder of a stand-in, or of the real service if the environment names one."""
    folder = f"{_SCRATCH.rstrip('/') if IS_REAL else '/scratch'}/{uuid.uuid4().hex}"
    if not IS_REAL:
        lag = Faults(listing_lag_seconds=0.03, job_seconds=0.03)  # the real service lags too
        async with ImageKit(limits=UNLIMITED, faults=lag) as imagekit, client_of(imagekit) as client:
            yield Place(client, folder)
        return
    async with AsyncImageKit(private_key=_KEY, max_retries=8) as client:
        try:
            yield Place(client, folder)
        finally:
            with contextlib.suppress(NotFoundError):  # the test wrote nothing
                await client.folders.delete(folder_path=folder)


@pytest.fixture
def clock() -> Clock:
    """Return the clock of the stand-in `imagekit`."""
    return Clock()


@pytest.fixture
async def imagekit(clock: Clock) -> AsyncIterator[ImageKit]:
    """Yield a stand-in without limits and faults, whose clock only tests advance; never the real service."""
    if IS_REAL:
        pytest.skip("only the stand-in can do this")
    async with ImageKit(limits=UNLIMITED, clock=clock) as imagekit:
        yield imagekit


@pytest.fixture
async def client(imagekit: ImageKit) -> AsyncIterator[AsyncImageKit]:
    """Yield a client of the stand-in without retries."""
    async with client_of(imagekit) as client:
        yield client


@contextlib.contextmanager
def imagekit_thread() -> Iterator[ImageKit]:
    """Run a stand-in without limits in a thread, for synchronous tests."""
    started: Future[tuple[ImageKit, asyncio.AbstractEventLoop]] = Future()
    stop = asyncio.Event()

    async def serve() -> None:
        async with ImageKit(limits=UNLIMITED) as imagekit:
            started.set_result((imagekit, asyncio.get_running_loop()))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="imagekit", daemon=True)
    thread.start()
    imagekit, loop = started.result(10)
    try:
        yield imagekit
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
