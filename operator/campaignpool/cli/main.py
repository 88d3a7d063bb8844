"""The command `campaignpool`: parses arguments, connects, and reports errors.

Exit codes: 0 done; 1 the blueprint, the template or the database has a fault, one line each on standard error;
2 wrong usage; 3 no connection to the database.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence

from campaignpool.cli import blueprint, doctor, images, purge, size
from campaignpool.cli.common import (
    DONE,
    FAULT,
    INTERRUPTED,
    UNREACHABLE,
    USAGE,
    Command,
    Run,
    Subcommands,
    reworded,
    url_from,
)
from campaignpool.errors import (
    BlueprintError,
    CampaignPoolError,
    ConfigurationError,
    CredentialsError,
    SecretError,
    UnreachableError,
)
from campaignpool.ledger.database import connected

_ABOUT = """\
See and change the pools of a cluster (status, explain, and one command for each action);
write, check and compare blueprints, which declare what a campaign consists of; check a
database and its pools; show the images of campaigns and retry failed ones; remove what
deleted pools left behind; replay past demand to find the size of a pool.

When something is wrong, start with `status` and `explain`, which use your kubeconfig, or
with `doctor`, which needs the URL of the database.

Start a new pool with `blueprint discover`, which writes a first blueprint from a live
database. Decide what it marks, see with `blueprint check` what a clone will be, and put it
into the CampaignPool resource.

Only `images retry` and `purge` change the database themselves."""


def main(words: Sequence[str] | None = None, root: argparse.ArgumentParser | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        words: Of the command line; by default, of this process.
        root: The parser; by default, that of the commands of this package.
    """
    arguments = (root or parser()).parse_args(words)
    command: Command = arguments.command
    try:
        run = command(arguments)
        if isinstance(run, int):
            return run
        url, source = url_from(arguments)
    except BlueprintError as error:
        return _print_errors(error.faults, FAULT)
    except ConfigurationError as error:
        return _print_errors([error.message], USAGE)
    try:
        return asyncio.run(_connected(url, run))
    except BlueprintError as error:
        return _print_errors(error.faults, FAULT)
    except CampaignPoolError as error:
        return _print_errors([reworded(error.message, source)], _exit_code(error))
    except KeyboardInterrupt:
        return INTERRUPTED  # everything is rolled back as the connection ends
    except BrokenPipeError:
        # The reader of the output has closed it; there is nowhere left to print.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def _exit_code(error: CampaignPoolError) -> int:
    if isinstance(error, SecretError):
        return USAGE
    if isinstance(error, CredentialsError):
        return FAULT if error.reason == "DatabasePermissionDenied" else UNREACHABLE
    return UNREACHABLE if isinstance(error, UnreachableError) else FAULT


async def _connected(url: str, run: Run) -> int:
    async with connected(url, "campaignpool-cli") as connection:
        return await run(connection)


def parser(
    before: Callable[[Subcommands], None] = lambda _: None, prog: str = "campaignpool"
) -> argparse.ArgumentParser:
    """Return the parser of the whole command line.

    Args:
        before: Adds commands that stand before those of this package, and `doctor` if it checks more.
        prog: How the program was called.
    """
    root = argparse.ArgumentParser(
        prog=prog, description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    areas = root.add_subparsers(title="commands", required=True, metavar="COMMAND")
    before(areas)
    blueprint.add(areas)
    if "doctor" not in areas.choices:
        doctor.add(areas)
    images.add(areas)
    purge.add(areas)
    size.add(areas)
    return root


def _print_errors(messages: Sequence[str], code: int) -> int:
    for message in messages:
        sys.stderr.write(f"campaignpool: {message}\n")
    return code
