"""The commands that only look: `status`, `explain` and `claims`."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable

import yaml

from campaignpool.cli.common import DONE, Subcommands, print_lines
from campaignpool_kubectl import show
from campaignpool_kubectl.options import command, of_kubectl, paint, pool_name
from campaignpool_operator.dashboard.work_models import View

WATCH_SECONDS = 2.0
LINES = 3
"""Lines of each log that are shown."""
_CLEAR = "\x1b[H\x1b[J"

_STATUS = """\
Show whether people can claim, and what goes on: without NAME a table of pools, those that
need somebody first; with NAME one screen about one pool: what is wrong and what to do, the
alerts whose condition is true, the stock and how long it lasts, the last hour's claims (hit
rate, p50, p99), the recommended size, images, owners that lack campaigns, Jobs, why they do
not run and the last lines that they wrote, failed runs, and the last Events.

examples:
  kubectl campaignpool status
  kubectl campaignpool status -A --watch
  kubectl campaignpool status chiwar -n game
  kubectl campaignpool status game/chiwar -o json | jq .verdict.answer
"""

_EXPLAIN = """\
Show the state of a pool and its causes, as a tree: from its conditions and alerts by way of Jobs
and pods to the Event, to the last lines of a log, or to what the database refused. Lines that
begin with x are causes of what is wrong, and lines that begin with ~ are work under way.

examples:
  kubectl campaignpool explain chiwar -n game
  kubectl campaignpool explain game/chiwar -o yaml
"""

_CLAIMS = """\
List the newest claims: when, which campaign, from whose pool, how it was served and how long
that took. Claimants are not shown. `release` takes the key in the column CAMPAIGN.

examples:
  kubectl campaignpool claims chiwar -n game
  kubectl campaignpool claims game/chiwar --limit 100 -o json
"""


def add(areas: Subcommands) -> None:
    """Add the commands."""
    parser = command(areas, "status", "show whether people can claim from pools, and what goes on", _STATUS, _status)
    parser.add_argument("name", nargs="?", metavar="NAME", help="a CampaignPool, as NAME or NAMESPACE/NAME")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="the pools of all namespaces")
    parser.add_argument("-w", "--watch", action="store_true", help="show it again every two seconds")
    _output(parser)
    parser = command(areas, "explain", "show the state of a pool and its causes, as a tree", _EXPLAIN, _explain)
    parser.add_argument("name", metavar="NAME", help="the CampaignPool, as NAME or NAMESPACE/NAME")
    _output(parser)
    parser = command(areas, "claims", "list the newest claims of a pool", _CLAIMS, _claims)
    parser.add_argument("name", metavar="NAME", help="the CampaignPool, as NAME or NAMESPACE/NAME")
    parser.add_argument("--limit", type=_limit, default=20, metavar="N", help="how many (default: 20)")
    _output(parser)


def _output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", choices=("text", "json", "yaml"), default="text", help="format (default: text)"
    )


def _limit(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 1000:
        raise argparse.ArgumentTypeError("a number from 1 to 1000")
    return int(text)


async def _status(arguments: argparse.Namespace) -> int:
    # Imported here, because the other commands of `campaignpool` need neither kubectl nor aiohttp.
    from campaignpool_kubectl.kubectl import connected  # noqa: PLC0415
    from campaignpool_kubectl.source import Source  # noqa: PLC0415

    async with connected(of_kubectl(arguments)) as connection:
        source = Source(connection, arguments.operator)

        async def once() -> list[str]:
            if arguments.name:
                pool = await source.pool(*pool_name(arguments, connection.namespace))
                pool = await source.with_logs(pool, LINES)
                return _printed(arguments.output, pool, lambda: show.screen(pool, paint()))
            pools = await source.pools(None if arguments.all_namespaces else connection.namespace)
            return _printed(arguments.output, pools, lambda: show.table(pools, paint()))

        return await (_watched(once) if arguments.watch else _once(once))


async def _explain(arguments: argparse.Namespace) -> int:
    from campaignpool_kubectl.kubectl import connected  # noqa: PLC0415
    from campaignpool_kubectl.source import Source  # noqa: PLC0415
    from campaignpool_operator.dashboard.problem import explain  # noqa: PLC0415

    async with connected(of_kubectl(arguments)) as connection:
        source = Source(connection, arguments.operator)
        pool = await source.pool(*pool_name(arguments, connection.namespace))
        node = explain(await source.with_logs(pool, LINES))
    print_lines(*_printed(arguments.output, node, lambda: show.tree(node, paint())))
    return DONE


async def _claims(arguments: argparse.Namespace) -> int:
    from campaignpool_kubectl.kubectl import connected  # noqa: PLC0415
    from campaignpool_kubectl.source import Source  # noqa: PLC0415

    async with connected(of_kubectl(arguments)) as connection:
        source = Source(connection, arguments.operator)
        listed = await source.claims(*pool_name(arguments, connection.namespace), arguments.limit)
    print_lines(*_printed(arguments.output, listed, lambda: show.claims(listed)))
    return DONE


def _printed(output: str, value: View, text: Callable[[], list[str]]) -> list[str]:
    """Return a value in the format that was asked for."""
    if output == "text":
        return text()
    if output == "json":
        return [value.model_dump_json(by_alias=True, exclude_none=True, indent=2)]
    plain = value.model_dump(mode="json", by_alias=True, exclude_none=True)
    return [yaml.safe_dump(plain, sort_keys=False, allow_unicode=True).rstrip()]


async def _once(show_it: Callable[[], Awaitable[list[str]]]) -> int:
    print_lines(*await show_it())
    return DONE


async def _watched(show_it: Callable[[], Awaitable[list[str]]]) -> int:
    """Show it again and again until the command is interrupted: in place on a terminal, else below."""
    while True:
        lines = await show_it()
        sys.stdout.write(_CLEAR if sys.stdout.isatty() else "")
        print_lines(*lines)
        sys.stdout.flush()
        await asyncio.sleep(WATCH_SECONDS)
