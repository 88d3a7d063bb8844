"""Kill a process that may exit at the same moment."""

import asyncio
import contextlib
from asyncio.subprocess import Process


async def killed_after(process: Process, seconds: float) -> None:
    """Send SIGKILL to a process that still runs after `seconds`, and wait for its exit.

    A process that exits just before the signal is sent is not an error.
    """
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), seconds)
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
