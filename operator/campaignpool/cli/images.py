"""The commands `campaignpool images …`: how images of campaigns stand, and another try for failed ones."""

import argparse
import json
import sys
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Any

from campaignpool.errors import ConfigurationError
from campaignpool.ledger import images, pools
from campaignpool.ledger.database import Connection
from campaignpool.ledger.images import CampaignImages

_IMAGES = """\
commands:
  status   say how the images of each campaign of a pool stand
  retry    try once more what failed"""

_STATUS = """\
Say how the images of each campaign stand: how many are copied, and why others are
not. Campaigns that were claimed long ago and have all their images are left out.
Nothing is changed.

examples:
  campaignpool images status --pool game/chiwar
  campaignpool images status --pool game/chiwar --campaign 6f1c0d5e-… --json
"""

_RETRY = """\
Try once more the images that failed: of a pool, or of one campaign. The operator
makes a Job for them within seconds. What the annotation `campaignpool.dev/retry-images`
on the CampaignPool does, for who is at the database.

examples:
  campaignpool images retry --pool game/chiwar
  campaignpool images retry --pool game/chiwar --campaign 6f1c0d5e-…
"""

_HEADINGS = ("CAMPAIGN", "STATE", "CLAIMED", "COPIED", "FAILED", "WHY")

Run = Callable[[Connection], Coroutine[None, None, int]]
AddCommand = Callable[[Any, str, str, str], argparse.ArgumentParser]


def add(areas: Any, add_command: AddCommand, url: str) -> None:  # noqa: ANN401 (argparse keeps its type to itself)
    """Add the commands.

    Args:
        areas: Where to.
        add_command: Makes a command that takes a database's URL.
        url: What every command's help says of the database.
    """
    area = areas.add_parser(
        "images",
        help="see how images stand, and try failed ones again",
        description=_IMAGES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = area.add_subparsers(title="commands", required=True, metavar="COMMAND")
    status = add_command(commands.add_parser, "status", "say how images stand", f"{_STATUS}\n{url}")
    status.add_argument("--json", action="store_true", help="for machines")
    status.set_defaults(command=_status)
    retry = add_command(commands.add_parser, "retry", "try once more what failed", f"{_RETRY}\n{url}")
    retry.set_defaults(command=_retry)
    for command in (status, retry):
        command.add_argument("--pool", required=True, metavar="NAMESPACE/NAME", help="the CampaignPool")
        command.add_argument("--campaign", metavar="KEY", help="key of one campaign's row (default: all)")


def table(albums: list[CampaignImages]) -> list[str]:
    """Give the lines of a table, one a campaign, and a line with the sums."""
    rows = [_HEADINGS, *(_row(album) for album in albums)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS) - 1)]
    lines = ["  ".join([*map(str.ljust, row, widths), row[-1]]).rstrip() for row in rows]
    shown = [album for album in albums if album.state != "deleting"]
    copied, total = sum(album.copied for album in shown), sum(album.images for album in shown)
    failed = sum(album.failed for album in shown)
    return [*lines, f"{copied} of {total} images of {len(shown)} campaigns are copied, {failed} failed"]


def _row(album: CampaignImages) -> tuple[str, ...]:
    return (
        album.campaign_id or "(gone)",
        album.state,
        "yes" if album.claimed else "no",
        f"{album.copied}/{album.images}",
        str(album.failed),
        "; ".join(album.failures) or album.cause or "",
    )


def _status(arguments: argparse.Namespace) -> Run:
    async def run(connection: Connection) -> int:
        await _known(connection, arguments.pool)
        albums = await images.listed(connection, arguments.pool, arguments.campaign)
        if arguments.json:
            facts = [{**asdict(album), "queued_at": album.queued_at.isoformat()} for album in albums]
            _print(json.dumps(facts, indent=2))
        else:
            _print(*(table(albums) if albums else ["no images are copied, or to be copied"]))
        return 0

    return run


def _retry(arguments: argparse.Namespace) -> Run:
    async def run(connection: Connection) -> int:
        await _known(connection, arguments.pool)
        count = await images.requeue(connection, arguments.pool, arguments.campaign)
        _print("1 image is tried once more" if count == 1 else f"{count} images are tried once more")
        return 0

    return run


async def _known(connection: Connection, pool: str) -> None:
    if not await connection.fetchval("SELECT to_regclass('campaign_pool.image_set') IS NOT NULL"):
        raise ConfigurationError("the operator has not been at this database, or only one that copies no images")
    if not await pools.exists(connection, pool):
        raise ConfigurationError(f"there is no pool {pool} in this database: write NAMESPACE/NAME of a CampaignPool")


def _print(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
