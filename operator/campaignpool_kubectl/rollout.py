"""The commands `rollout …`: which revision is in service, and how to return to an earlier one."""

import argparse
from functools import partial

from campaignpool.api.actions import BY_NAME, earlier
from campaignpool.cli.common import DONE, FAULT, Subcommands, group, print_lines
from campaignpool_kubectl import show
from campaignpool_kubectl.act import act, options
from campaignpool_kubectl.options import command, of_kubectl, pool_name

_ROLLOUT = """\
commands:
  status   show the revision in service, how many ready campaigns are of it, and whether it waits for somebody
  undo     return to the revision before the one in service
  pin      make campaigns from a revision that is kept
  unpin    follow the template again"""

_STATUS = """\
Show the revision in service, the revisions that are kept, how many ready campaigns are of
which, and why a change of the template waits for somebody.

examples:
  kubectl campaignpool rollout status chiwar -n game
"""
_UNDO = """\
Return to the revision before the one in service: new campaigns are made from it, and ready
ones of later revisions are replaced. Claimed ones stay. It holds until `rollout unpin`.

examples:
  kubectl campaignpool rollout undo game/chiwar --dry-run
  kubectl campaignpool rollout undo game/chiwar --wait
"""
_PIN = """\
Make campaigns from a revision that is kept, as `rollout status` lists them. Ready campaigns of
later revisions are replaced, and no change is rolled out until `rollout unpin`.

examples:
  kubectl campaignpool rollout pin game/chiwar 7 --wait
"""
_UNPIN = """\
Follow the template again: the latest revision goes into service, and changes are rolled out.

examples:
  kubectl campaignpool rollout unpin game/chiwar
"""


def add(areas: Subcommands) -> None:
    """Add the commands."""
    commands = group(areas, "rollout", "see the roll-out of a changed template, and undo it", _ROLLOUT)
    parser = command(commands, "status", "show the revision in service", _STATUS, _status)
    _name(parser)
    parser = command(commands, "undo", "return to the revision before", _UNDO, _undo)
    _name(parser)
    options(parser)
    parser = command(commands, "pin", "make campaigns from a revision that is kept", _PIN, partial(_change, "pin"))
    _name(parser)
    parser.add_argument("value", metavar="REVISION", type=_revision, help="the revision")
    options(parser)
    parser = command(commands, "unpin", "follow the template again", _UNPIN, partial(_change, "unpin"))
    _name(parser)
    options(parser)


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the CampaignPool, as NAME or NAMESPACE/NAME")


def _revision(text: str) -> str:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError("a number above 0")
    return text


async def _status(arguments: argparse.Namespace) -> int:
    from campaignpool_kubectl.kubectl import connected  # noqa: PLC0415 (other commands do not need it)
    from campaignpool_kubectl.source import Source  # noqa: PLC0415

    async with connected(of_kubectl(arguments)) as connection:
        source = Source(connection, arguments.operator)
        resource = await source.resource(*pool_name(arguments, connection.namespace))
    print_lines(*show.rollout(resource))
    return DONE


async def _undo(arguments: argparse.Namespace) -> int:
    from campaignpool_kubectl.kubectl import connected  # noqa: PLC0415
    from campaignpool_kubectl.source import Source  # noqa: PLC0415

    async with connected(of_kubectl(arguments)) as connection:
        source = Source(connection, arguments.operator)
        namespace, name = pool_name(arguments, connection.namespace)
        before = earlier(await source.resource(namespace, name))
        if before is None:
            why = "no earlier revision is kept; spec.rollout.revisionHistoryLimit says how many are"
            print_lines(f"{namespace}/{name}: {why}")
            return FAULT
        return await act(BY_NAME["pin"], str(before), connection, source, arguments)


async def _change(action: str, arguments: argparse.Namespace) -> int:
    from campaignpool_kubectl.kubectl import connected  # noqa: PLC0415
    from campaignpool_kubectl.source import Source  # noqa: PLC0415

    async with connected(of_kubectl(arguments)) as connection:
        source = Source(connection, arguments.operator)
        return await act(BY_NAME[action], getattr(arguments, "value", ""), connection, source, arguments)
