"""The arguments of one seeding run; the database's URL comes from the environment alone."""

import argparse
from dataclasses import dataclass, field

URL_VARIABLE = "CAMPAIGNPOOL_DATABASE_URL"

_EPILOG = f"""exit codes:
  0   --count campaigns are ready, or as many as were lacking and maxSize allows
  65  the data refused a clone; the log and the ledger have the cause; a retry will not help
  75  stopped, or the database was unavailable for too long; a retry continues where this attempt ended
  78  the URL, the user, a right or the pool is wrong; correct it before a retry

A run repeated with the same --job continues: it makes the campaigns that are reserved and not made yet.

example:
  {URL_VARIABLE}=postgresql://seeder@db/game \\
    python -m campaignpool_seeder --pool game/chiwar --job by-hand-1 --count 5"""


@dataclass(frozen=True)
class SeedArgs:
    """The arguments of one run.

    Attributes:
        url: The database's URL; kept out of every representation.
        pool: `namespace/name`.
        job: Names the run; the same name continues it.
        number: Counts the runs of the pool.
        count: Most campaigns to make.
        generation: Generation of the resource that asks.
        job_size: Most campaigns to make each time that more are lacking afterwards.
        linger_seconds: For how long to wait for more to make.
        work_seconds: After this time nothing more is begun.
        batch_size: Campaigns in one transaction.
        fallback: What to do when the data refuses a batch: `Bisect` or `None`.
        max_connections: Connections of all seeding Jobs of the pool, this one included.
        json_logs: One JSON object a line instead of text.
    """

    url: str = field(repr=False)
    pool: str
    job: str
    number: int
    count: int
    generation: int
    job_size: int
    linger_seconds: int
    work_seconds: int
    batch_size: int
    fallback: str
    max_connections: int
    json_logs: bool


def parse(words: list[str] | None, url: str) -> SeedArgs:
    """Parse the command line; exit with 2 and one sentence where it is wrong."""
    (parser,) = parsers()
    return SeedArgs(url=url, **vars(parser.parse_args(words)))


def parsers() -> tuple[argparse.ArgumentParser]:
    """Return the parsers of the program's command lines."""
    parser = argparse.ArgumentParser(
        prog="python -m campaignpool_seeder",
        description=f"Make campaigns for the owners that lack most. {URL_VARIABLE} holds the database's URL.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pool", required=True, help="the pool, namespace/name")
    parser.add_argument("--job", required=True, help="name of this run: the Job's name")
    parser.add_argument("--count", required=True, type=positive, help="most campaigns to make")
    parser.add_argument("--number", type=positive, default=1, help="counts the runs of the pool (default: 1)")
    parser.add_argument("--generation", type=int, default=0, help="generation of the resource that asks")
    parser.add_argument(
        "--job-size",
        type=positive,
        default=100,
        help="campaigns to make each time that more are lacking afterwards (default: 100)",
    )
    parser.add_argument(
        "--linger-seconds",
        type=natural,
        default=0,
        help="wait for more to make after the last campaign (default: 0, exit at once)",
    )
    parser.add_argument(
        "--work-seconds", type=positive, default=300, help="begin nothing more after this time (default: 300)"
    )
    parser.add_argument("--batch-size", type=positive, default=10, help="campaigns in one transaction (default: 10)")
    parser.add_argument(
        "--max-connections", type=positive, default=4, help="connections of all seeding Jobs of the pool (default: 4)"
    )
    parser.add_argument(
        "--fallback",
        choices=["Bisect", "None"],
        default="Bisect",
        help="when the data refuses a batch: bisect it and name the row, or fail (default: Bisect)",
    )
    add_json_logs(parser)
    return (parser,)


def add_json_logs(parser: argparse.ArgumentParser) -> None:
    """Add `--json-logs`."""
    parser.add_argument("--json-logs", action="store_true", help="log one JSON object a line")


def natural(text: str) -> int:
    """Parse a number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return int(text)


def positive(text: str) -> int:
    """Parse a number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)
