"""The command `campaignpool size simulate`: past demand, replayed against sizes, policies and the sizer."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from campaignpool.cli import pictures
from campaignpool.cli.common import DONE, Run, Subcommands, command, group, print_lines
from campaignpool.errors import ConfigurationError
from campaignpool.ledger import demand as ledger
from campaignpool.ledger.database import Connection
from campaignpool.sizing import compare, trace
from campaignpool.sizing.compare import Demand, Outcome
from campaignpool.sizing.simulation import Refills
from campaignpool.sizing.sizer import TICK

_SIZE = """\
commands:
  simulate   replay past demand: which size or policy serves a share of claims at the least idle"""

_SIMULATE = """\
Replay past demand against fixed sizes and against policies that change the size, and
print what each costs: the share of claims served from the pool, the campaigns that were
ready on average, and how many were created and retired. A decision sees only what came
before it. Nothing is changed.

  fixed    the smallest size that never changes, found in hindsight
  buffer   a share of the last hour's claims, as autoscalers keep it
  season   what the same time of the last four weeks claimed
  recent   what the last ten minutes claimed
  sizing   season, level and the last minutes, corrected by its own past errors
  oracle   an operator that knows how many claims come in each bucket of the trace

All but `sizing` have the setting that is cheapest in hindsight; nobody knows it in advance.

A trace is a CSV file with the columns start (ISO 8601), seconds (width of the bucket)
and count (claims in it). With --trace no database is needed. With --pool, what no option
says is taken from the pool: the target, the time zone, the Jobs at once and onEmpty from
its spec, the lead time from the refills that the operator measured.

examples:
  campaignpool size simulate --trace demand.csv --target 99.9 --lead 30 --time-zone Europe/Berlin
  campaignpool size simulate --pool game/chiwar --target 99.5 --svg pictures
"""

# What is replayed where no option and no pool says it.
_TERMS = ledger.Terms(0.999, "UTC", 2, "Clone", None)
_LEAD_SECONDS = 30.0
_UNMEASURED = "the operator has measured no refill of this pool, so the lead time is a guess: give --lead"

_HEADINGS = ("POLICY", "SETTING", "HITS", "MISSES", "IDLE", "CREATED", "RETIRED")
_DAYS = 86_400.0
# Fewer missed claims than this allow no statement about a share.
_FEW = 3
# Decisions that take less time than starting processes for them.
_SHORT = 8_000


def add(areas: Subcommands) -> None:
    """Add the commands."""
    commands = group(areas, "size", "replay past demand to find the size of a pool", _SIZE)
    parser = command(commands, "simulate", "replay past demand against sizes and policies", _SIMULATE, _simulate)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--trace", metavar="FILE", help="demand in a CSV file")
    source.add_argument("--pool", metavar="NAMESPACE/NAME", help="demand that the ledger has of this CampaignPool")
    of_pool = "default: as the pool, or"
    parser.add_argument(
        "--target", type=_percent, metavar="PERCENT", help=f"share of claims to serve ({of_pool} 99.9)"
    )
    parser.add_argument(
        "--lead",
        type=_seconds,
        metavar="SECONDS",
        help=f"from order to ready campaigns ({of_pool} 30)",
    )
    parser.add_argument("--jobs", type=_count, metavar="N", help=f"seeding Jobs at once ({of_pool} 2)")
    parser.add_argument(
        "--on-empty", choices=("Clone", "Wait", "Fail"), help=f"as spec.claims.onEmpty ({of_pool} Clone)"
    )
    parser.add_argument("--time-zone", type=_zone, metavar="ZONE", help=f"of the local clock ({of_pool} UTC)")
    parser.add_argument(
        "--weeks", type=_seconds, default=4.0, metavar="N", help="replay at most the last N weeks (default: 4)"
    )
    parser.add_argument("--svg", metavar="DIR", help="draw pictures into this directory")
    parser.add_argument("--png", metavar="DIR", help="the same as PNG")


def _simulate(arguments: argparse.Namespace) -> Run | int:
    if arguments.svg or arguments.png:
        pictures.require()
    if arguments.trace:
        try:
            buckets = trace.read(Path(arguments.trace))
        except trace.TraceError as error:
            raise ConfigurationError(str(error)) from error
        return _report(arguments, buckets, _TERMS, [])

    async def run(connection: Connection) -> int:
        buckets = [trace.Bucket(*bucket[:3]) for bucket in await ledger.read(connection, arguments.pool)]
        terms = await ledger.terms(connection, arguments.pool)
        if not buckets or terms is None:
            raise ConfigurationError(f"the ledger has no claims of a pool {arguments.pool}: write NAMESPACE/NAME")
        return _report(arguments, buckets, terms, await ledger.gaps(connection, arguments.pool))

    return run


def _report(
    arguments: argparse.Namespace,
    buckets: Sequence[trace.Bucket],
    terms: ledger.Terms,
    gaps: Sequence[tuple[float, float]],
) -> int:
    lead = arguments.lead or terms.lead_seconds or _LEAD_SECONDS
    demand = Demand.of(
        buckets,
        availability=arguments.target or terms.availability,
        refills=Refills(lead, arguments.jobs or terms.jobs, on_empty=arguments.on_empty or terms.on_empty),
        zone=arguments.time_zone or terms.time_zone,
        weeks=arguments.weeks,
        gaps=gaps,
    )
    if not any(demand.since <= at < demand.until for at in demand.times):
        raise ConfigurationError("the last 40 % of the demand, which is replayed, has no claims: give a longer trace")
    tasks = [(policy, demand) for policy in compare.POLICIES]
    extra = (
        [compare.at_target(demand, target) for target in pictures.TARGETS] if arguments.svg or arguments.png else []
    )
    outcomes = _run([*tasks, *(("sizing", other) for other in extra)])
    table = outcomes[: len(tasks)]
    unmeasured = arguments.pool and not (arguments.lead or terms.lead_seconds)
    print_lines(*heading(demand), *([_UNMEASURED] if unmeasured else []))
    print_lines("", *rows(table), "", *verdict(table, demand))
    for directory, suffix in ((arguments.svg, "svg"), (arguments.png, "png")):
        if directory:
            drawn = pictures.draw(demand, table, outcomes[len(tasks) :], Path(directory), suffix)
            print_lines(f"{len(drawn)} pictures in {directory}: {', '.join(path.name for path in drawn)}")
    return DONE


def heading(demand: Demand) -> list[str]:
    """Return what is replayed, in words."""
    claims = sum(demand.since <= at < demand.until for at in demand.times)
    days = (demand.until - demand.since) / _DAYS
    learned = (demand.since - demand.buckets[0].start) / _DAYS
    refills = demand.refills
    return [
        f"{claims:,} claims of {days:.1f} days, after {learned:.1f} days to learn from ({demand.zone})",
        f"a refill takes {refills.lead:.3g} s, {refills.jobs} at once; onEmpty: {refills.on_empty}",
    ]


def rows(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the lines of a table, one a policy."""
    cells = [_HEADINGS, *(_row(outcome) for outcome in outcomes)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADINGS))]
    return ["  ".join([*map(str.ljust, row[:2], widths), *map(str.rjust, row[2:], widths[2:])]) for row in cells]


def _row(outcome: Outcome) -> tuple[str, ...]:
    replay = outcome.replay
    setting = outcome.setting if outcome.reached else "does not reach the target"
    if outcome.policy == "sizing":
        setting = outcome.setting
    counts = (f"{count:,}" for count in (replay.created, replay.retired))
    return (outcome.policy, setting, f"{replay.hit_rate:.3%}", f"{replay.misses:,}", f"{replay.idle:.2f}", *counts)


def verdict(outcomes: Sequence[Outcome], demand: Demand) -> list[str]:
    """Return which policy serves the target at the least idle, and by how much."""
    by_name = {outcome.policy: outcome for outcome in outcomes}
    fixed, sizing = by_name["fixed"], by_name["sizing"]
    size = fixed.setting.removeprefix("size ")
    usable = [outcome for outcome in outcomes if outcome.reached and outcome.policy != "oracle"]
    cheapest = min(usable, key=lambda outcome: outcome.replay.idle)
    target = f"{demand.availability * 100:g} %"
    idle = f"{cheapest.replay.idle:.2f} ready on average"
    if cheapest is fixed:
        lines = [f"Cheapest for {target}: a fixed size of {size}, {idle}. Nothing in this demand can be foreseen."]
    else:
        less = 1 - cheapest.replay.idle / fixed.replay.idle
        lines = [
            f"Cheapest for {target}: {cheapest.policy}, {idle}: {less:.0%} less than the best fixed size, {size}."
        ]
    if cheapest is not sizing:
        compared = f"{sizing.replay.idle / fixed.replay.idle:.2f} times the idle of the best fixed size, {size}"
        reaches = "reaches the target" if sizing.reached else f"reaches {sizing.replay.hit_rate:.3%}"
        lines.append(f"Sizing, which needs no setting, {reaches} with {compared}.")
    if (1 - demand.availability) * fixed.replay.claims < _FEW:
        lines.append(f"{target} of {fixed.replay.claims:,} claims allow too few misses to tell policies apart.")
    return lines


def _run(tasks: Sequence[tuple[str, Demand]]) -> list[Outcome]:
    """Return the outcome of each task, in their order; long ones run in processes of their own."""
    demand = tasks[0][1]
    if len(demand.times) + (demand.until - demand.since) / TICK < _SHORT:
        return [compare.run(policy, of_task) for policy, of_task in tasks]
    with _progress(len(tasks)) as advance, ProcessPoolExecutor(mp_context=get_context("spawn")) as executor:
        futures = [executor.submit(compare.run, policy, demand) for policy, demand in tasks]
        for _ in as_completed(futures):
            advance()
        return [future.result() for future in futures]


@contextmanager
def _progress(number: int) -> Iterator[Callable[[], None]]:
    """Yield a function that writes how many replays are done to standard error, if that is a terminal."""
    began, done = time.monotonic(), 0

    def write() -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[Kreplaying: {done} of {number} policies, {time.monotonic() - began:.0f} s")
            sys.stderr.flush()

    def advance() -> None:
        nonlocal done
        done += 1
        write()

    write()
    try:
        yield advance
    finally:
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")


def _percent(text: str) -> float:
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = 0.0
    if not 50 <= value < 100:
        raise argparse.ArgumentTypeError("a percentage from 50 to below 100, such as 99.9")
    return value / 100


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError("a number above 0")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 1000:
        raise argparse.ArgumentTypeError("a number from 1 to 1000")
    return int(text)


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise argparse.ArgumentTypeError("a time zone of the IANA database, such as Europe/Berlin") from None
    return text
