"""The command `campaignpool purge`: remove what a pool whose CampaignPool is gone left in the database."""

import argparse

from campaignpool.blueprint import install
from campaignpool.cli.common import DONE, Run, Subcommands, command, print_lines, read
from campaignpool.cli.resources import Resource, resources
from campaignpool.errors import ConfigurationError
from campaignpool.ledger import pools, retiring
from campaignpool.ledger.database import Connection
from campaignpool.ledger.pools import Remains

_PURGE = """\
Remove what a pool left in the database after its CampaignPool was deleted without the
operator: campaigns that nobody claimed, with all their rows, the reservations, and the
tables and functions of its revisions. Claimed campaigns and the records of their claims
stay. Files of images in the store are not deleted.

Delete the CampaignPool first: a pool whose resource still exists stays closed after this.

  --pool NAMESPACE/NAME   one pool
  --orphaned              every pool whose CampaignPool is not in --resources

--resources takes the output of kubectl for every cluster that uses this database.

examples:
  campaignpool purge --pool game/chiwar --dry-run
  kubectl get campaignpools -A -o yaml | campaignpool purge --orphaned --resources - --dry-run
"""

BATCH = 10
"""Campaigns in one transaction."""


def add(areas: Subcommands) -> None:
    """Add the command."""
    parser = command(areas, "purge", "remove what deleted pools left behind", _PURGE, _purge)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--pool", metavar="NAMESPACE/NAME", help="the pool to remove")
    which.add_argument("--orphaned", action="store_true", help="remove every pool whose CampaignPool is gone")
    parser.add_argument(
        "--resources", metavar="FILE", help="existing CampaignPools, as kubectl prints them; - is stdin"
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be removed, and remove nothing")


def _purge(arguments: argparse.Namespace) -> Run:
    if arguments.orphaned != bool(arguments.resources):
        raise ConfigurationError(
            "--orphaned and --resources belong together: pipe `kubectl get campaignpools -A -o yaml` to --resources -"
        )
    existing = resources(read(arguments.resources)) if arguments.orphaned else []

    async def run(connection: Connection) -> int:
        if not await pools.is_installed(connection):
            raise ConfigurationError("this database has no ledger: there is nothing to remove")
        remains = await pools.remains(connection)
        if arguments.orphaned:
            chosen = [pool for pool in remains if Resource(pool.pool, pool.uid) not in existing]
        else:
            chosen = [pool for pool in remains if pool.pool == arguments.pool]
            if not chosen and not await pools.exists(connection, arguments.pool):
                raise ConfigurationError(f"there is no pool {arguments.pool} in this database")
        for pool in chosen:
            print_lines(_described(pool))
            if not arguments.dry_run:
                print_lines(f"  {await purge(connection, pool)}")
        if not chosen:
            print_lines("nothing is left of a deleted pool")
        return DONE

    return run


async def purge(connection: Connection, pool: Remains) -> str:
    """Remove what is left of a pool, and return what was removed. Every step can be repeated."""
    await pools.close_pool(connection, pool.pool, pool.uid)
    await pools.cancel_runs(connection, pool.pool)
    removed = 0
    while True:
        retired = await retiring.retire(connection, pool.pool, BATCH)
        batch = await retiring.remove(connection, pool.pool, BATCH)
        removed += batch
        if retired + batch == 0:
            break
    if not await pools.finish_deletion(connection, pool.pool):
        return f"{removed} campaigns removed; a claim is under way: run this again"
    dropped = await install.drop_unused(connection, pool.pool)
    held = await retiring.held(connection, pool.pool)
    text = f"{removed} campaigns and {dropped} revisions removed"
    return "; ".join([text, *(f"{count} campaigns stay: {cause}" for cause, count in held.items())])


def _described(pool: Remains) -> str:
    return f"{pool.pool}: {pool.unclaimed} unclaimed campaigns, {pool.revisions} revisions, {pool.claimed} claims"
