"""The command `campaignpool doctor`: say what is wrong, and what to do about it."""

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace

from campaignpool.cli.checks import CHECKS, Finding, examine
from campaignpool.cli.common import DONE, FAULT, Subcommands, command, print_lines, read, reworded, url_from
from campaignpool.cli.resources import resources

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
  extensions   PL/pgSQL is there, which functions are written in
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
    parser = command(areas, "doctor", "check the database and the pools, and say what to do", _DOCTOR, check_database)
    arguments(parser)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that do not name a database."""
    parser.add_argument(
        "--resources", metavar="FILE", help="existing CampaignPools, as kubectl prints them; - is stdin"
    )
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="format (default: text)")


def check_database(arguments: argparse.Namespace) -> int:
    """Check the database that is named, print what was found and return the exit code."""
    url, source = url_from(arguments)
    listed = tuple(resources(read(arguments.resources))) if arguments.resources else None
    findings = asyncio.run(examine(url, listed))
    return report(
        [replace(item, message=reworded(item.message, source)) for item in findings], arguments.output, list(CHECKS)
    )


def report(findings: Sequence[Finding], output: str, names: Sequence[str]) -> int:
    """Print what checks with these names found, as text or as JSON, and return the exit code."""
    wrong = any(item.status == "fix" for item in findings)
    if output == "json":
        checks = [{"check": item.check, "status": item.status, "message": item.message} for item in findings]
        print_lines(json.dumps({"ok": not wrong, "checks": checks}, indent=2))
    else:
        width = max(map(len, names))
        print_lines(*(f"{item.status:<4}  {item.check:<{width}}  {item.message}" for item in findings))
    return FAULT if wrong else DONE
