"""Kill a program that may be ending by itself at that very moment."""

import asyncio
import contextlib
from asyncio.subprocess import Process


async def killed_after(process: Process, seconds: float) -> None:
    """Let it run for so long, then ``kill -9`` it if it still runs, and wait until it is gone.

    A program that ended between the end of the time and the signal is no error: whoever kills at random moments
    meets that one too.
    """
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), seconds)
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
