"""The commands `campaignpool images …`."""

import argparse
import json
from dataclasses import asdict

from campaignpool.cli.common import Run, Subcommands, command, group, print_lines
from campaignpool.errors import ConfigurationError
from campaignpool.ledger import images, pools
from campaignpool.ledger.database import Connection
from campaignpool.ledger.images import CampaignImages

_IMAGES = """\
commands:
  status   show the images of each campaign of a pool
  retry    retry failed images"""

_STATUS = """\
Show the images of each campaign: how many are copied, and why others are not.
Campaigns that were claimed long ago and have all their images are left out.
Nothing is changed.

examples:
  campaignpool images status --pool game/chiwar
  campaignpool images status --pool game/chiwar --campaign 6f1c0d5e-… --json
"""

_RETRY = """\
Retry failed images: of a pool, or of one campaign. The operator creates a Job for them
within seconds. The annotation `campaignpool.dev/retry-images` on the CampaignPool has
the same effect, without access to the database.

examples:
  campaignpool images retry --pool game/chiwar
  campaignpool images retry --pool game/chiwar --campaign 6f1c0d5e-…
"""

_HEADINGS = ("CAMPAIGN", "STATE", "CLAIMED", "COPIED", "FAILED", "WHY")


def add(areas: Subcommands) -> None:
    """Add the commands."""
    commands = group(areas, "images", "show images, and retry failed ones", _IMAGES)
    status = command(commands, "status", "show the images of each campaign", _STATUS, _status)
    status.add_argument("--json", action="store_true", help="print JSON")
    retry = command(commands, "retry", "retry failed images", _RETRY, _retry)
    for parser in (status, retry):
        parser.add_argument("--pool", required=True, metavar="NAMESPACE/NAME", help="the CampaignPool")
        parser.add_argument("--campaign", metavar="KEY", help="key of one campaign's row (default: all)")


def table(image_sets: list[CampaignImages]) -> list[str]:
    """Return the lines of a table, one a campaign, and a line with the sums."""
    rows = [_HEADINGS, *(_row(image_set) for image_set in image_sets)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS) - 1)]
    lines = ["  ".join([*map(str.ljust, row, widths), row[-1]]).rstrip() for row in rows]
    shown = [image_set for image_set in image_sets if image_set.state != "deleting"]
    copied, total = sum(image_set.copied for image_set in shown), sum(image_set.images for image_set in shown)
    failed = sum(image_set.failed for image_set in shown)
    return [*lines, f"{copied} of {total} images of {len(shown)} campaigns are copied, {failed} failed"]


def _row(image_set: CampaignImages) -> tuple[str, ...]:
    return (
        image_set.campaign_id or "(gone)",
        image_set.state,
        "yes" if image_set.claimed else "no",
        f"{image_set.copied}/{image_set.images}",
        str(image_set.failed),
        "; ".join(image_set.failures) or image_set.cause or "",
    )


def _status(arguments: argparse.Namespace) -> Run:
    async def run(connection: Connection) -> int:
        await _known(connection, arguments.pool)
        image_sets = await images.listed(connection, arguments.pool, arguments.campaign)
        if arguments.json:
            facts = [{**asdict(image_set), "queued_at": image_set.queued_at.isoformat()} for image_set in image_sets]
            print_lines(json.dumps(facts, indent=2))
        else:
            print_lines(*(table(image_sets) if image_sets else ["there are no images"]))
        return 0

    return run


def _retry(arguments: argparse.Namespace) -> Run:
    async def run(connection: Connection) -> int:
        await _known(connection, arguments.pool)
        count = await images.requeue(connection, arguments.pool, arguments.campaign)
        print_lines("1 image is retried" if count == 1 else f"{count} images are retried")
        return 0

    return run


async def _known(connection: Connection, pool: str) -> None:
    if not await connection.fetchval("SELECT to_regclass('campaign_pool.image_set') IS NOT NULL"):
        raise ConfigurationError(
            "this database has no ledger: the operator creates it when it reconciles the first CampaignPool"
        )
    if not await pools.exists(connection, pool):
        raise ConfigurationError(
            f"there is no pool {pool} in this database: write the NAMESPACE/NAME of a CampaignPool"
        )
