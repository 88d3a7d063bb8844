"""Where tests of images work: in a stand-in for ImageKit, or in a folder of the real service.

    pytest tests/integration/test_imagekit_standin.py                                      the stand-in
    IMAGEKIT_PRIVATE_KEY=... IMAGEKIT_SCRATCH_FOLDER=/scratch pytest tests/integration/test_imagekit_standin.py

With both variables set the same tests run against ImageKit itself, each in a folder of its own below the scratch
folder, which it deletes afterwards; those that switch faults on, or need a clock of their own, are skipped.
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
PATIENCE, PAUSE = (120, 1) if IS_REAL else (10, 0.01)
"""Seconds: for what a list or a job takes, and between two looks at it."""


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass(frozen=True)
class Place:
    """An empty folder of a media library, and a client that may work there."""

    client: AsyncImageKit
    folder: str

    async def upload(self, name: str, content: bytes = b"something", below: str = "", **more: Any) -> Any:  # noqa: ANN401
        """Upload a file into the folder, under that name unless more is said."""
        said = {"use_unique_file_name": False} | more
        return await self.client.files.upload(file=content, file_name=name, folder=self.folder + below, **said)

    async def listed(self, below: str = "", **asked: Any) -> list[Any]:  # noqa: ANN401
        """List what is in the folder or in one below it."""
        return list(await self.client.assets.list(path=self.folder + below, **asked))

    async def names(self, below: str = "", **asked: Any) -> list[str]:  # noqa: ANN401
        """Give the names of what is in the folder or in one below it, in order."""
        return [asset.name for asset in await self.listed(below, **({"sort": "ASC_NAME"} | asked))]

    async def copied(self, job_id: str) -> None:
        """Wait until a bulk job is done."""

        async def status() -> str:
            return str((await self.client.folders.job.get(job_id)).status)

        await eventually(status, "Completed")


async def eventually(look: Callable[[], Awaitable[Any]], wanted: object) -> None:
    """Look until what is wanted is seen: lists and jobs are behind what was written."""
    end = time.monotonic() + PATIENCE
    while (seen := await look()) != wanted:
        assert time.monotonic() < end, f"seen: {seen}, wanted: {wanted}"
        await asyncio.sleep(PAUSE)


def client_of(imagekit: ImageKit, **more: Any) -> AsyncImageKit:  # noqa: ANN401
    """Make a client of a stand-in; close it after use."""
    return AsyncImageKit(private_key=imagekit.private_key, base_url=imagekit.url, max_retries=0, **more)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """An empty folder: of a stand-in, or of the real service when the environment names one."""
    folder = f"{_SCRATCH.rstrip('/') if IS_REAL else '/scratch'}/{uuid.uuid4().hex}"
    if not IS_REAL:
        late = Faults(listing_lag_seconds=0.03, job_seconds=0.03)  # as lists and jobs are
        async with ImageKit(limits=UNLIMITED, faults=late) as imagekit, client_of(imagekit) as client:
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
    """The clock of the stand-in `imagekit`."""
    return Clock()


@pytest.fixture
async def imagekit(clock: Clock) -> AsyncIterator[ImageKit]:
    """A stand-in without limits and faults, with a clock that stands still; never the real service."""
    if IS_REAL:
        pytest.skip("only the stand-in can do this")
    async with ImageKit(limits=UNLIMITED, clock=clock) as imagekit:
        yield imagekit


@pytest.fixture
async def client(imagekit: ImageKit) -> AsyncIterator[AsyncImageKit]:
    """A client of the stand-in that tries nothing again."""
    async with client_of(imagekit) as client:
        yield client


@contextlib.contextmanager
def imagekit_thread() -> Iterator[ImageKit]:
    """Run a stand-in without limits in a thread of its own, for code that is not asynchronous."""
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
