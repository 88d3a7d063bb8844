"""The command `doctor` of the plugin: check a cluster, and its databases as the operator's pod sees them."""

import argparse

from campaignpool.cli import doctor
from campaignpool.cli.checks import CHECKS
from campaignpool.cli.common import DATABASE, Subcommands, database, names_database
from campaignpool_kubectl.options import command, of_kubectl, run

NAMES = ("api", "definition", "rights", "operator", "leader", "pools", *CHECKS)

_DOCTOR = """\
Check a cluster and the databases of its pools, or one database, and say what to do about what
is wrong. Nothing is changed.

Each line is a check and its result:
  ok    as it should be
  note  may be meant so: read it once
  fix   wrong, with what to do

Of the cluster, with your kubeconfig and your rights:
  api          the API server answers, and is recent enough
  clock        its clock, this machine's and the operator's agree
  definition   the CustomResourceDefinition is established, and has this program's fields
  rights       what you may see and do
  operator     its pods are ready, and of this program's release
  leader       a replica holds the Lease, and renews it
  pools        nothing is wrong with a pool

Of each database, as the operator's pod sees it, by way of its API (dashboard.enabled); with
--database-url or --database-url-file, of that database alone, as this machine sees it:
  connection   the URL leads to a server that takes changes, over TLS
  version      Postgres is recent enough
  clock        the server's clock agrees
  pooler       nothing in between assigns sessions by transaction
  extensions   PL/pgSQL is there, which functions are written in
  ledger       the schema campaign_pool is of the release that looks
  roles        applications and seeders have their rights
  connections  the server has room for what pools may use (spec.database.maxConnections)
  orphans      pools whose CampaignPool is gone
  halted       pools whose seeding failed ten times in a row
  held         campaigns that the database refuses to delete

Checking a database yourself, use the URL of the operator's Secret: another role sees less.
Without --resources, a pool then counts as orphaned if no operator has reconciled it for ten
resyncs, and for ten minutes at least. --resources takes the output of kubectl for every
cluster that uses this database, and compares exactly.

examples:
  kubectl campaignpool doctor
  kubectl campaignpool doctor -n game -o json | jq '.checks[] | select(.status == "fix")'
  kubectl campaignpool doctor --database-url-file url
  kubectl get campaignpools -A -o yaml | kubectl campaignpool doctor --resources - --database-url-file url

It exits with 1 if anything is to be fixed, also if there is no connection.
"""


def add(areas: Subcommands) -> None:
    """Add the command."""
    text = f"{_DOCTOR}\n{DATABASE.partition('exit codes:')[0].rstrip()}\n"
    parser = command(areas, "doctor", "check the cluster, the operator and the databases", text, _cluster)
    database(parser)
    doctor.arguments(parser)
    parser.set_defaults(command=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    return doctor.check_database(arguments) if names_database(arguments) else run(_cluster, arguments)


async def _cluster(arguments: argparse.Namespace) -> int:
    # Imported here, because the other commands of `campaignpool` need neither kubectl nor aiohttp.
    from campaignpool_kubectl.examination import Examination  # noqa: PLC0415
    from campaignpool_kubectl.kubectl import connected  # noqa: PLC0415

    async with connected(of_kubectl(arguments)) as connection:
        findings = await Examination(connection, arguments.namespace, arguments.operator).findings()
    return doctor.report(findings, arguments.output, NAMES)
