"""The commands that change a pool: one for each action of `campaignpool.api.actions`."""

import argparse
import asyncio
import json
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from campaignpool.api.actions import ACTIONS, Action, Request
from campaignpool.api.resource import seconds
from campaignpool.cli.common import DONE, FAULT, Subcommands, print_lines
from campaignpool_kubectl.options import command, not_found, of_kubectl, pool_name

if TYPE_CHECKING:
    from campaignpool_kubectl.kubectl import Connection
    from campaignpool_kubectl.source import Source

POLL_SECONDS = 0.5
_EXAMPLES = {
    "replenish": "kubectl campaignpool replenish chiwar -n game --wait",
    "pause": "kubectl campaignpool pause game/chiwar",
    "resume": "kubectl campaignpool resume game/chiwar --wait",
    "refresh": "kubectl campaignpool refresh game/chiwar --wait",
    "retry-images": "kubectl campaignpool retry-images game/chiwar",
    "drain": "kubectl campaignpool drain game/chiwar --dry-run",
    "resize": "kubectl campaignpool resize game/chiwar 20 --wait --timeout 10m",
    "release": "kubectl campaignpool release game/chiwar 0195f2a1-7c5e-7000-8000-00000000c0de",
}
_TEXT = """\
{about}

--dry-run prints the patch, has the API server check it, and changes nothing. --wait returns
once it is done, or with exit code 1 after --timeout.

examples:
  {example}
"""


def add(areas: Subcommands) -> None:
    """Add the commands."""
    for action in ACTIONS:
        if action.name not in _EXAMPLES:
            continue
        text = _TEXT.format(about=action.about, example=_EXAMPLES[action.name])
        summary = action.about.partition(",")[0].partition(";")[0].partition(":")[0].rstrip(".")
        parser = command(areas, action.name, f"{summary[0].lower()}{summary[1:]}", text, partial(_act, action))
        parser.add_argument("name", metavar="NAME", help="the CampaignPool, as NAME or NAMESPACE/NAME")
        if action.argument:
            kind = _size if action.argument == "SIZE" else str
            parser.add_argument("value", metavar=action.argument, type=kind, help=_ARGUMENTS[action.argument])
        options(parser)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command that changes something."""
    parser.add_argument("--dry-run", action="store_true", help="change nothing; print what would be changed")
    parser.add_argument("--wait", action="store_true", help="return once it is done")
    parser.add_argument("--timeout", type=_duration, default="5m", metavar="TIME", help="for --wait (default: 5m)")


_ARGUMENTS = {
    "SIZE": "how many campaigns to keep ready in the master pool",
    "CAMPAIGN": "key of the campaign, as `claims` lists it",
}


def _size(text: str) -> str:
    if not text.isdecimal() or int(text) > 1000:
        raise argparse.ArgumentTypeError("a number from 0 to 1000")
    return text


def _duration(text: str) -> str:
    if not seconds(text):
        raise argparse.ArgumentTypeError("a time such as 90s, 5m or 1h")
    return text


async def _act(action: Action, arguments: argparse.Namespace) -> int:
    from campaignpool_kubectl.kubectl import connected  # noqa: PLC0415 (other commands do not need it)
    from campaignpool_kubectl.source import Source  # noqa: PLC0415

    async with connected(of_kubectl(arguments)) as connection:
        source = Source(connection, arguments.operator)
        return await act(action, getattr(arguments, "value", ""), connection, source, arguments)


async def act(
    action: Action, value: str, connection: "Connection", source: "Source", arguments: argparse.Namespace
) -> int:
    """Do something to the pool that the arguments name, and wait for it where they say so; return the exit code."""
    namespace, name = pool_name(arguments, connection.namespace)
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    request = Request(stamp, connection.user, value)
    patch = action.patch(request)
    resource = await connection.cluster.patch_pool(namespace, name, patch, dry_run=arguments.dry_run)
    if resource is None:
        raise not_found(namespace, name)
    pool = f"{namespace}/{name}"
    if arguments.dry_run:
        print_lines(f"{pool}: would be changed by {json.dumps(patch)}", f"  {action.about}")
        return DONE
    if not arguments.wait:
        print_lines(f"{pool}: {action.name} was asked for; see it with: kubectl campaignpool status {pool}")
        return DONE
    try:
        async with asyncio.timeout(seconds(arguments.timeout)):
            while not action.done(resource, request):
                await asyncio.sleep(POLL_SECONDS)
                resource = await source.resource(namespace, name)
    except TimeoutError:
        why = f"see why with: kubectl campaignpool explain {pool}"
        print_lines(f"{pool}: {action.name} is not done after {arguments.timeout}; {why}")
        return FAULT
    print_lines(f"{pool}: {action.name} is done")
    return DONE
