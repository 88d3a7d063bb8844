"""`python -m campaignpool_operator`: keep every CampaignPool at its size, until told to stop."""

import argparse
import asyncio
import logging
import sys

from pydantic import ValidationError

from campaignpool.errors import CampaignPoolError
from campaignpool.log import setup
from campaignpool_operator.cluster.client import APPLICATION
from campaignpool_operator.process import run
from campaignpool_operator.runtime.config import DEFAULT_SEEDER_IMAGE, VERSION, Config

_EPILOG = """\
Every option can also be set in the environment, as CAMPAIGNPOOL_ and its name: CAMPAIGNPOOL_RESYNC_SECONDS=10.
The cluster is that of the pod's service account, or outside of a pod that of KUBECONFIG.

It stops within a few seconds of SIGTERM. Nothing is lost by that, or by a kill: what exists is in the ledgers and in
the API, and the next start goes on from there. Claims do not need a running operator.

exit codes: 0 stopped as asked, 1 the API could not be reached or refused, 2 the options are wrong
"""


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    result = argparse.ArgumentParser(
        prog="campaignpool-operator",
        description="Keeps pools of ready-made campaigns at their size: watches CampaignPool resources, makes Jobs "
        "for what is lacking, and says in each resource's status how things stand.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    add = result.add_argument
    add("--namespaces", metavar="A,B", help="namespaces to serve (default: the whole cluster)")
    add(
        "--pool-selector",
        metavar="LABELS",
        help="serve only the pools with these labels, such as tier=gold: operators share pools (default: all pools)",
    )
    add("--seeder-image", metavar="IMAGE", help=f"image of the seeding Jobs (default: {DEFAULT_SEEDER_IMAGE})")
    add(
        "--require-secret-label",
        action="store_true",
        help='use a Secret only if it carries the label campaignpool.dev/database: "true" (default: any Secret)',
    )
    add(
        "--no-watch-references",
        dest="watch_references",
        action="store_false",
        help="do not watch the Secrets and ConfigMaps that pools name: read them at each resync (default: watch)",
    )
    add("--resync-seconds", metavar="N", help="look at each pool at least this often (default: 30)")
    add("--http-host", metavar="HOST", help="address of probes and metrics (default: every one)")
    add(
        "--http-port",
        metavar="PORT",
        help="of /livez, /readyz and /metrics (default: 8080; 0: a free one; off: none)",
    )
    add("--dashboard", action="store_true", help="serve the API of the dashboard (default: no)")
    add("--dashboard-port", metavar="PORT", help="of the dashboard (default: 8081; 0: a free one)")
    add(
        "--dashboard-user-header",
        metavar="NAME",
        help="header in which a proxy names the user (default: tokens only)",
    )
    add("--dashboard-groups-header", metavar="NAME", help="header in which it lists their groups (default: none)")
    add(
        "--dashboard-trusted-proxies",
        metavar="A,B",
        help="networks from which these headers are accepted (default: this pod itself)",
    )
    add("--max-jobs", metavar="N", help="seeding Jobs of all pools at once; pools take turns (default: 20)")
    add("--max-loops", metavar="N", help="pools looked at in the same moment (default: 64)")
    add("--json-logs", action="store_true", help="log one JSON object a line")
    add("--log-level", metavar="LEVEL", help="debug, info, warning or error (default: info; debug: kopf's log, too)")
    add("--leader-election", action="store_true", help="reconcile only while holding the Lease (default: no Lease)")
    add("--lease-name", metavar="NAME", help=f"name of the Lease (default: {APPLICATION})")
    add("--lease-namespace", metavar="NAME", help="namespace of the Lease (default: the pod's own)")
    add("--version", action="version", version=f"campaignpool-operator {VERSION}")
    return result


def main() -> int:
    """Run until stopped; gives the exit code."""
    options = vars(parser().parse_args())
    try:
        config = Config(**options)
    except ValidationError as error:
        for item in error.errors():
            sys.stderr.write(f"campaignpool-operator: {'.'.join(map(str, item['loc']))}: {item['msg']}\n")
        return 2
    level = logging.getLevelNamesMapping()[config.log_level.upper()]
    setup(as_json=config.json_logs, level=level)
    # kopf says at INFO what it handled, for every event; ours says what was done.
    logging.getLogger("kopf").setLevel(level if level == logging.DEBUG else max(level, logging.WARNING))
    try:
        asyncio.run(run(config))
    except CampaignPoolError as error:
        logging.getLogger("campaignpool_operator").error(error.message)  # noqa: TRY400 (expected: no stack trace)
        return 1
    except asyncio.CancelledError:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
