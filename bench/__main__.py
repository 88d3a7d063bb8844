"""`python -m bench`: run benches and write down what they found."""

import argparse
import asyncio
import importlib
import pkgutil
import sys

import bench
from bench import report
from bench.harness import Bench, Progress
from campaignpool.errors import CampaignPoolError

_EPILOG = """what it writes:
  bench/results/NAME.json   every figure, with the machine, the versions and the date
  bench/results/NAME.svg    a plot
  bench/README.md           the section of the bench, between its markers

Nothing has to be set up: a Postgres server of its own runs in .local/bench for as long as it takes (about
7 GB of disk) and is deleted at the end. Let nothing else run meanwhile; ratios bear some noise, times do not.
Rails' ActiveRecord is measured too where Ruby is: on Debian, apt-get install ruby ruby-activerecord ruby-pg.

examples:
  make bench                all of them, about twenty minutes on 2 cores
  make bench NAME=clone     one
  python -m bench clone pool"""


def discover() -> dict[str, Bench]:
    """Give every bench by its name: the modules of this package that have a `BENCH`."""
    names = (module.name for module in pkgutil.iter_modules(bench.__path__) if not module.name.startswith("_"))
    modules = {name: importlib.import_module(f"bench.{name}") for name in names}
    return {
        name: module.BENCH for name, module in modules.items() if isinstance(getattr(module, "BENCH", None), Bench)
    }


def main(words: list[str] | None = None) -> int:
    """Run the benches that are named, or all."""
    benches = discover()
    listed = "\n".join(f"  {name:<8}{each.summary}" for name, each in benches.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure, and write down the figures that the project quotes.",
        epilog=f"benches:\n{listed}\n\n{_EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="*", help="which benches (default: all)")
    chosen = parser.parse_args(words).name or list(benches)
    unknown = sorted(set(chosen) - set(benches))
    if unknown:
        parser.error(f"no bench named {', '.join(unknown)}; there are {', '.join(benches)}")
    for name in chosen:
        try:
            result = asyncio.run(benches[name].run(Progress(name)))
        except CampaignPoolError as error:
            sys.stderr.write(f"bench {name}: {error}\n")
            return 1
        report.write(name, benches[name], result)
        for figure, value in result.figures.items():
            goal = next((each for each in result.goals if each.figure == figure), None)
            verdict = "" if goal is None else f"   goal {goal}: {'met' if goal.met(result.figures) else 'missed'}"
            print(f"{name}  {figure:<32}{report.rounded(value):>12}{verdict}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
