"""`python -m bench`: run benchmarks and write their results."""

import argparse
import asyncio
import importlib
import pkgutil
import sys

import bench
from bench import report
from bench.harness import Bench, Progress
from campaignpool.errors import CampaignPoolError

_EPILOG = """files written:
  bench/results/NAME.json   all figures, with the machine, the versions and the date
  bench/results/NAME.svg    a plot
  bench/README.md           the section of the bench, between its markers

No setup is needed. A bench starts its own Postgres server in .local/bench (about 7 GB of disk) and deletes it at the
end. Run nothing else at the same time: ratios tolerate some noise, times do not. If Ruby is installed, the clone
bench also measures Rails' ActiveRecord: on Debian, apt-get install ruby ruby-activerecord ruby-pg.

examples:
  make bench                all benches, about twenty minutes on 2 cores
  make bench NAME=clone     one bench
  python -m bench clone pool"""


def discover() -> dict[str, Bench]:
    """Return the benches by name: the modules of this package that define `BENCH`."""
    names = (module.name for module in pkgutil.iter_modules(bench.__path__) if not module.name.startswith("_"))
    modules = {name: importlib.import_module(f"bench.{name}") for name in names}
    return {
        name: module.BENCH for name, module in modules.items() if isinstance(getattr(module, "BENCH", None), Bench)
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the named benches, by default all, and return the exit code."""
    benches = discover()
    listed = "\n".join(f"  {name:<8}{definition.summary}" for name, definition in benches.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure the figures that the project quotes.",
        epilog=f"benches:\n{listed}\n\n{_EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="*", help="benches to run (default: all)")
    chosen = parser.parse_args(arguments).name or list(benches)
    unknown = sorted(set(chosen) - set(benches))
    if unknown:
        parser.error(f"unknown bench {', '.join(unknown)}: choose from {', '.join(benches)}")
    for name in chosen:
        try:
            result = asyncio.run(benches[name].run(Progress(name)))
        except CampaignPoolError as error:
            sys.stderr.write(f"bench {name}: {error}\n")
            return 1
        report.write(name, benches[name], result)
        for figure, value in result.figures.items():
            goal = next((goal for goal in result.goals if goal.figure == figure), None)
            verdict = "" if goal is None else f"   goal {goal}: {'met' if goal.met(result.figures) else 'missed'}"
            print(f"{name}  {figure:<32}{report.rounded(value):>12}{verdict}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
