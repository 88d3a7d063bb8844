"""Serve the stand-in in the foreground: `python -m campaignpool_local.imagekit`."""

import argparse
import asyncio
import signal

from campaignpool_local.imagekit import UNLIMITED, Faults, ImageKit, Limits, Rate
from campaignpool_local.imagekit.server import PRIVATE_KEY

_ABOUT = """\
A stand-in for ImageKit's media library API, for demonstrations and tests. It keeps all files in memory, serves them
on the loopback interface, and is not part of ImageKit.
"""


async def _serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    limits = Limits(writes=Rate(options.writes, options.burst)) if options.writes else UNLIMITED
    faults = Faults(job_seconds=options.job_seconds, listing_lag_seconds=options.lag)
    async with ImageKit(options.port, private_key=options.key, limits=limits, faults=faults) as imagekit:
        files = imagekit.add_images(options.folder, options.images)
        lines = [f"The stand-in for ImageKit is running at {imagekit.url}; stop it with Ctrl-C"]
        if files:
            lines.append(
                f"  {len(files)} images in {options.folder}, for example {files[0].url(imagekit.files.endpoint)}"
            )
        print(*lines, sep="\n", flush=True)  # noqa: T201 - a command
        await stop.wait()


def main() -> None:
    """Parse the command line and serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m campaignpool_local.imagekit", description=_ABOUT)
    parser.add_argument("--port", type=int, default=0, help="port of 127.0.0.1 to listen on (default: a free one)")
    parser.add_argument("--key", default=PRIVATE_KEY, help="the private key that clients use (%(default)s)")
    parser.add_argument("--folder", default="/template", help="folder to fill with images (%(default)s)")
    parser.add_argument("--images", type=int, default=0, help="number of images in it (%(default)s)")
    parser.add_argument(
        "--writes", type=float, default=5, help="writes per second; 0 removes all limits (%(default)s)"
    )
    parser.add_argument("--burst", type=int, default=20, help="writes in a burst (%(default)s)")
    parser.add_argument(
        "--job-seconds", type=float, default=0, help="duration of a folder copy in seconds (%(default)s)"
    )
    parser.add_argument("--lag", type=float, default=0, help="lag of lists in seconds (%(default)s)")
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
