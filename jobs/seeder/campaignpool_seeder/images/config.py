"""What one images Job is asked for: its arguments, and the two secrets from the environment alone."""

import argparse
import re
from dataclasses import dataclass, field
from datetime import timedelta

URL_VARIABLE = "CAMPAIGNPOOL_DATABASE_URL"
KEY_VARIABLE = "CAMPAIGNPOOL_IMAGES_KEY"

ORPHANS = "orphans"
"""The word that asks for the other command."""

SHORTEST_LEASE = timedelta(seconds=1)

_EXIT_CODES = """exit codes:
  0   nothing is due any more
  75  interrupted, or the store or the database was out of reach for too long; trying again goes on where it ended
  78  the key, the database's user or the configuration is refused; somebody has to mend that first

The database's URL stands in CAMPAIGNPOOL_DATABASE_URL, the store's private key in CAMPAIGNPOOL_IMAGES_KEY."""


@dataclass(frozen=True)
class Access:
    """What every command needs.

    Attributes:
        url: Of the database; kept out of every representation.
        key: The store's private key; likewise.
        folder: That holds one folder for each campaign.
        endpoint: Base URL of the store; None is its own.
        requests_per_second: Calls a second that all Jobs of the account make together.
        burst: Calls at once after a rest.
        json_logs: One JSON object a line instead of text.
    """

    url: str = field(repr=False)
    key: str = field(repr=False)
    folder: str
    endpoint: str | None
    requests_per_second: float
    burst: int
    json_logs: bool


@dataclass(frozen=True)
class Request(Access):
    """One Job.

    Attributes:
        pool: `namespace/name`.
        strategy: `CopyFolder` or `CopyEach`.
        concurrency: Calls at once of this Job.
        max_attempts: How often an image is tried.
        deadline: Age at which what is missing of an album counts as failed.
        max_connections: That the pool's images Jobs may hold together, this one included.
        lease: How long an album is kept from others when this Job is killed.
    """

    pool: str
    strategy: str
    concurrency: int
    max_attempts: int
    deadline: timedelta
    max_connections: int
    lease: timedelta


@dataclass(frozen=True)
class Orphans(Access):
    """A search for folders that no campaign has; `delete` deletes them."""

    delete: bool


def parse(arguments: list[str], url: str, key: str) -> Request | Orphans:
    """Read the command line; exits with 2 and one sentence when it is wrong."""
    if arguments[:1] == [ORPHANS]:
        return Orphans(url=url, key=key.strip(), **vars(_orphans().parse_args(arguments[1:])))
    return Request(url=url, key=key.strip(), **vars(_job().parse_args(arguments)))


def _job() -> argparse.ArgumentParser:
    parser = _parser(
        "python -m campaignpool_seeder.images",
        "Copy the images of a pool's campaigns, and delete those of campaigns that are gone. "
        f"`{ORPHANS}` as the first word finds folders that no campaign has.",
    )
    positive = _at_least_one
    parser.add_argument("--pool", required=True, help="the pool, namespace/name")
    parser.add_argument(
        "--strategy", required=True, choices=["CopyFolder", "CopyEach"], help="copy a folder at once, or each file"
    )
    parser.add_argument("--concurrency", type=positive, default=4, help="calls at once (default: 4)")
    parser.add_argument("--max-attempts", type=positive, default=8, help="how often an image is tried (default: 8)")
    parser.add_argument(
        "--deadline", type=duration, default="2h", help="age at which missing images have failed (default: 2h)"
    )
    parser.add_argument(
        "--max-connections", type=positive, default=4, help="connections of all images Jobs of the pool (default: 4)"
    )
    parser.add_argument(
        "--lease",
        type=_lease,
        default="2m",
        help="how long an album is kept from others when this Job is killed (default: 2m)",
    )
    return parser


def _orphans() -> argparse.ArgumentParser:
    parser = _parser(
        f"python -m campaignpool_seeder.images {ORPHANS}",
        "List the campaigns' folders in the store that the ledger of this database does not know. Do not let two "
        "databases share a folder: each takes the other's campaigns for orphans.",
    )
    parser.add_argument("--delete", action="store_true", help="delete what was found")
    return parser


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=name,
        description=description,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", required=True, type=_folder, help="holds one folder for each campaign")
    parser.add_argument("--endpoint", type=_endpoint, help="base URL of the store's API (default: ImageKit's)")
    parser.add_argument(
        "--requests-per-second",
        type=_at_least_one,
        default=5,
        help="calls a second that all Jobs of the account make together (default: 5)",
    )
    parser.add_argument("--burst", type=_at_least_one, default=20, help="calls at once after a rest (default: 20)")
    parser.add_argument("--json-logs", action="store_true", help="one JSON object a line")
    return parser


def duration(text: str) -> timedelta:
    """Read a duration as Kubernetes writes it: `90s`, `15m`, `1h30m`."""
    found = re.fullmatch(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?", text)
    if not text or not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 90s, 15m or 1h30m")
    hours, minutes, seconds = (int(each or 0) for each in found.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _lease(text: str) -> timedelta:
    found = duration(text)
    if found < SHORTEST_LEASE:
        raise argparse.ArgumentTypeError(f"{text!r} is less than a second")
    return found


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def _folder(text: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._-]+)+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no folder such as /campaigns")
    return text


def _endpoint(text: str) -> str:
    if not re.fullmatch(r"https?://\S+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no URL such as https://api.imagekit.io")
    return text
