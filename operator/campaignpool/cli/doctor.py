"""The command `campaignpool doctor`: say what is wrong, and what to do about it."""

import argparse
import asyncio
import json
from functools import partial

from campaignpool.cli.checks import CHECKS, Finding, Subject
from campaignpool.cli.common import DONE, FAULT, Subcommands, command, print_lines, read, reworded, url_from
from campaignpool.cli.resources import Resource, resources
from campaignpool.errors import CampaignPoolError
from campaignpool.ledger.database import close, connect, translated

_DOCTOR = """\
Check what campaignpool needs, and say what to do about what is wrong. Nothing is changed.

Each line is a check and its result:
  ok    as it should be
  note  may be meant so: read it once
  fix   wrong, with what to do

  connection   the URL leads to a server that takes changes, over TLS
  version      Postgres is recent enough
  clock        the server's clock and this machine's agree
  pooler       nothing in between assigns sessions by transaction
  ledger       the schema campaign_pool is of this program's release
  roles        applications and seeders have their rights
  connections  the server has room for what pools may use (spec.database.maxConnections)
  orphans      pools whose CampaignPool is gone
  halted       pools whose seeding failed ten times in a row
  held         campaigns that the database refuses to delete

Use the URL of the operator's Secret: another role sees less. Without --resources, a pool
counts as orphaned if no operator has reconciled it for ten resyncs, and for ten minutes
at least. --resources takes the output of kubectl for every cluster that uses this
database, and compares exactly.

examples:
  campaignpool doctor --database-url-file url
  kubectl get campaignpools -A -o yaml | campaignpool doctor --resources -
  campaignpool doctor -o json | jq '.checks[] | select(.status == "fix")'

It exits with 1 if anything is to be fixed, also if there is no connection.
"""


def add(areas: Subcommands) -> None:
    """Add the command."""
    parser = command(areas, "doctor", "check the database and the pools, and say what to do", _DOCTOR, _doctor)
    parser.add_argument(
        "--resources", metavar="FILE", help="existing CampaignPools, as kubectl prints them; - is stdin"
    )
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="format (default: text)")


def _doctor(arguments: argparse.Namespace) -> int:
    url, source = url_from(arguments)
    listed = tuple(resources(read(arguments.resources))) if arguments.resources else None
    findings = [
        Finding(item.check, item.status, reworded(item.message, source)) for item in asyncio.run(examine(url, listed))
    ]
    wrong = any(item.status == "fix" for item in findings)
    if arguments.output == "json":
        checks = [{"check": item.check, "status": item.status, "message": item.message} for item in findings]
        print_lines(json.dumps({"ok": not wrong, "checks": checks}, indent=2))
    else:
        width = max(map(len, CHECKS))
        print_lines(*(f"{item.status:<4}  {item.check:<{width}}  {item.message}" for item in findings))
    return FAULT if wrong else DONE


async def examine(url: str, listed: tuple[Resource, ...] | None) -> list[Finding]:
    """Return what all checks found; without a connection, only that."""
    open_one = partial(connect, url, "campaignpool-doctor")
    try:
        connection = await open_one()
    except CampaignPoolError as error:
        return [Finding("connection", "fix", error.message)]
    subject, findings = Subject(connection, open_one, listed), list[Finding]()
    try:
        for name, check in CHECKS.items():
            try:
                with translated():
                    findings += [Finding(name, status, message) async for status, message in check(subject)]
            except CampaignPoolError as error:
                findings.append(Finding(name, "fix", f"cannot be checked: {error.message}"))
    finally:
        await close(connection)
    return findings
