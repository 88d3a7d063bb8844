"""What one run is asked for: its arguments, and the database's URL from the environment alone."""

import argparse
from dataclasses import dataclass, field

URL_VARIABLE = "CAMPAIGNPOOL_DATABASE_URL"

_EXIT_CODES = """exit codes:
  0   every campaign that was asked for, or that maxSize allows, is ready
  65  the data refused a clone; the cause is in the ledger and in the log; trying again will not help
  75  interrupted, or the database was out of reach for too long; trying again goes on where it ended
  78  the database refuses the user, or the URL or the pool is wrong; somebody has to mend that first

A run that is repeated under the same --job goes on: it makes what is reserved and not yet made."""


@dataclass(frozen=True)
class Request:
    """One run.

    Attributes:
        url: Of the database; kept out of every representation.
        pool: `namespace/name`.
        job: Names the run; the same name goes on with it.
        owner: Whom the campaigns are for; empty for the master pool.
        number: Counts the runs of this owner.
        count: Campaigns to make.
        generation: Of the resource that asks.
        batch_size: Campaigns in one transaction.
        fallback: What to do when the data refuses a batch: `Bisect` or `None`.
        max_connections: That the pool's seeders may hold together, this one included.
        json_logs: One JSON object a line instead of text.
    """

    url: str = field(repr=False)
    pool: str
    job: str
    owner: str
    number: int
    count: int
    generation: int
    batch_size: int
    fallback: str
    max_connections: int
    json_logs: bool


def parse(arguments: list[str] | None, url: str) -> Request:
    """Read the command line; exits with 2 and one sentence when it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m campaignpool_seeder",
        description=f"Make ready campaigns for one owner of a pool. The database's URL stands in {URL_VARIABLE}.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    positive = _at_least_one
    parser.add_argument("--pool", required=True, help="the pool, namespace/name")
    parser.add_argument("--job", required=True, help="name of this run; the Job's name")
    parser.add_argument("--count", required=True, type=positive, help="campaigns to make")
    parser.add_argument("--owner", default="", help="whom they are for (default: the master pool)")
    parser.add_argument("--number", type=positive, default=1, help="counts the runs of this owner (default: 1)")
    parser.add_argument("--generation", type=int, default=0, help="generation of the resource that asks")
    parser.add_argument("--batch-size", type=positive, default=10, help="campaigns in one transaction (default: 10)")
    parser.add_argument(
        "--max-connections", type=positive, default=4, help="connections of all seeders of the pool (default: 4)"
    )
    parser.add_argument(
        "--fallback",
        choices=["Bisect", "None"],
        default="Bisect",
        help="when the data refuses a batch: halve it and name the row, or end (default: Bisect)",
    )
    parser.add_argument("--json-logs", action="store_true", help="one JSON object a line")
    return Request(url=url, **vars(parser.parse_args(arguments)))


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)
