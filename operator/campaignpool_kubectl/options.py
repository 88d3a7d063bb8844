"""What every command of the plugin shares: which cluster, which pool, how to print, what a failure exits with."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeAlias

from campaignpool.cli.common import FAULT, INTERRUPTED, UNREACHABLE, USAGE, Subcommands, described
from campaignpool.errors import CampaignPoolError, ClusterError, ConfigurationError
from campaignpool_kubectl.show import Paint

SERVICE_VARIABLE = "CAMPAIGNPOOL_OPERATOR"

CLUSTER = f"""\
the cluster:
  Your kubeconfig names it, and your rights apply: kubectl is used to reach it. Figures that only
  the database knows come from the operator's API (dashboard.enabled of the chart), by way of
  the API server; no database password is needed. Where several operators serve it, name one:
  --operator NAMESPACE/SERVICE or the variable {SERVICE_VARIABLE}.

exit codes:
  0 done   1 refused, or not done in time   2 wrong usage   3 no answer from the cluster"""

Work: TypeAlias = Callable[[argparse.Namespace], Coroutine[Any, Any, int]]


def command(areas: Subcommands, name: str, summary: str, text: str, work: Work) -> argparse.ArgumentParser:
    """Add a command that works on a cluster."""
    parser = described(areas.add_parser, name, f"{text}\n{CLUSTER}", summary)
    parser.add_argument("-n", "--namespace", metavar="NAME", help="the pool's namespace (default: the context's)")
    parser.add_argument("--context", metavar="NAME", help="context of the kubeconfig (default: the current one)")
    parser.add_argument(
        "--kubeconfig", metavar="FILE", help="the kubeconfig (default: KUBECONFIG, or ~/.kube/config)"
    )
    parser.add_argument(
        "--operator", metavar="NAMESPACE/SERVICE", help="Service of the operator's API (default: found)"
    )
    parser.set_defaults(command=lambda arguments: run(work, arguments), operator=os.environ.get(SERVICE_VARIABLE))
    return parser


def run(work: Work, arguments: argparse.Namespace) -> int:
    """Run a command and return its exit code."""
    try:
        return asyncio.run(_interruptible(work, arguments))
    except (asyncio.CancelledError, KeyboardInterrupt):
        return INTERRUPTED
    except ConfigurationError as error:
        return _failed(error, USAGE)
    except ClusterError as error:
        return _failed(error, FAULT if error.reason in ("Forbidden", "Invalid", "NotFound") else UNREACHABLE)
    except CampaignPoolError as error:
        return _failed(error, FAULT)


async def _interruptible(work: Work, arguments: argparse.Namespace) -> int:
    """Run a command that ends in order on Ctrl-C and on SIGTERM, also where a shell made it ignore Ctrl-C."""
    task = asyncio.current_task()
    if task is None:
        raise AssertionError("a coroutine runs in a task")
    for number in (signal.SIGINT, signal.SIGTERM):
        # Only the main thread may have handlers, and Windows has none.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await work(arguments)


def _failed(error: CampaignPoolError, code: int) -> int:
    sys.stderr.write(f"campaignpool: {error.message}\n")
    return code


def of_kubectl(arguments: argparse.Namespace) -> list[str]:
    """Return the options that are passed on to kubectl."""
    names = ("namespace", "context", "kubeconfig")
    return [f"--{name}={value}" for name in names if (value := getattr(arguments, name))]


def pool_name(arguments: argparse.Namespace, namespace: str) -> tuple[str, str]:
    """Return namespace and name of the pool that is named, as NAME or NAMESPACE/NAME."""
    before, slash, name = arguments.name.rpartition("/")
    return (before, name) if slash else (namespace, name)


def not_found(namespace: str, name: str) -> ConfigurationError:
    """Return the error of a pool that is not there."""
    return ConfigurationError(
        f"there is no CampaignPool {name} in namespace {namespace}: list them with kubectl get campaignpools -A"
    )


def paint() -> Paint:
    """Return what colours text: on a terminal, unless NO_COLOR is set."""
    return Paint(colours=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
