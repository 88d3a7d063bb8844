"""The programs `campaignpool` and `kubectl-campaignpool`: the commands of `campaignpool.cli` and of the plugin."""

import argparse
import sys
from collections.abc import Sequence

from campaignpool.cli import main as cli
from campaignpool.cli.common import Subcommands
from campaignpool_kubectl import act, completion, dashboard, doctor, look, rollout


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return cli.main(words, parser())


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line, as it was called: as a program or as a plugin."""
    is_plugin = sys.argv[0].rpartition("/")[2].startswith("kubectl-")
    return cli.parser(_add, "kubectl campaignpool" if is_plugin else "campaignpool")


def _add(areas: Subcommands) -> None:
    look.add(areas)
    act.add(areas)
    rollout.add(areas)
    dashboard.add(areas)
    doctor.add(areas)
    completion.add(areas, parser)
