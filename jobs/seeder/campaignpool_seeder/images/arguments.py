"""The arguments of one images Job; the two secrets come from the environment alone."""

import argparse
import re
from dataclasses import dataclass, field
from datetime import timedelta

from campaignpool_seeder.arguments import URL_VARIABLE, add_json_logs, positive
from campaignpool_seeder.images.strategies import STRATEGIES

KEY_VARIABLE = "CAMPAIGNPOOL_IMAGES_KEY"

ORPHANS = "orphans"
"""The first word of the other command."""

SHORTEST_LEASE = timedelta(seconds=1)

_EPILOG = f"""exit codes:
  0   no image set is due any more
  75  stopped, or the store or the database was unavailable for too long; a retry continues where this attempt ended
  78  the key, the database's user or the configuration is refused; correct it before a retry

{URL_VARIABLE} holds the database's URL, {KEY_VARIABLE} the store's private key."""


@dataclass(frozen=True)
class StoreArgs:
    """The arguments of every command.

    Attributes:
        url: The database's URL; kept out of every representation.
        key: The store's private key; likewise.
        folder: The folder that holds one folder for each campaign.
        endpoint: Base URL of the store's API; None is its own.
        requests_per_second: Calls a second of all Jobs of the account together.
        burst: Calls that the store allows at once.
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
class ImagesArgs(StoreArgs):
    """The arguments of one Job.

    Attributes:
        pool: `namespace/name`.
        strategy: A key of `STRATEGIES`.
        concurrency: Concurrent calls of this Job.
        max_attempts: How often an image is tried.
        deadline: Age at which the missing images of an image set count as failed.
        max_connections: Connections of all images Jobs of the pool, this one included.
        lease: How long an image set stays leased after this Job is killed.
    """

    pool: str
    strategy: str
    concurrency: int
    max_attempts: int
    deadline: timedelta
    max_connections: int
    lease: timedelta


@dataclass(frozen=True)
class OrphansArgs(StoreArgs):
    """The arguments of a search for folders without a campaign; `delete` deletes them."""

    delete: bool


def parse(words: list[str], url: str, key: str) -> ImagesArgs | OrphansArgs:
    """Parse the command line; exit with 2 and one sentence where it is wrong."""
    job, orphans = parsers()
    if words[:1] == [ORPHANS]:
        return OrphansArgs(url=url, key=key.strip(), **vars(orphans.parse_args(words[1:])))
    return ImagesArgs(url=url, key=key.strip(), **vars(job.parse_args(words)))


def parsers() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """Return the parsers of the program's command lines: of a Job, and of a search for orphans."""
    return _job(), _orphans()


def _job() -> argparse.ArgumentParser:
    parser = _parser(
        "python -m campaignpool_seeder.images",
        "Copy the images of a pool's campaigns, and delete those of deleted campaigns. "
        f"`{ORPHANS}` as the first word finds folders without a campaign.",
        "python -m campaignpool_seeder.images --pool game/chiwar --strategy CopyEach --folder /campaigns",
    )
    parser.add_argument("--pool", required=True, help="the pool, namespace/name")
    parser.add_argument(
        "--strategy", required=True, choices=list(STRATEGIES), help="copy a folder at once, or each file"
    )
    parser.add_argument("--concurrency", type=positive, default=4, help="concurrent calls (default: 4)")
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
        help="how long an image set stays leased after this Job is killed (default: 2m)",
    )
    return parser


def _orphans() -> argparse.ArgumentParser:
    parser = _parser(
        f"python -m campaignpool_seeder.images {ORPHANS}",
        "List the campaigns' folders in the store that the ledger of this database does not know. Two databases "
        "must not share a folder: each would report the other's campaigns as orphans.",
        f"python -m campaignpool_seeder.images {ORPHANS} --folder /campaigns",
    )
    parser.add_argument("--delete", action="store_true", help="delete these folders")
    return parser


def _parser(name: str, description: str, example: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=name,
        description=description,
        epilog=f"{_EPILOG}\n\nexample:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", required=True, type=_folder, help="the folder with one folder for each campaign")
    parser.add_argument("--endpoint", type=_endpoint, help="base URL of the store's API (default: ImageKit's)")
    parser.add_argument(
        "--requests-per-second",
        type=positive,
        default=5,
        help="calls a second of all Jobs of the account together (default: 5)",
    )
    parser.add_argument(
        "--burst", type=positive, default=20, help="calls that the store allows at once (default: 20)"
    )
    add_json_logs(parser)
    return parser


def duration(text: str) -> timedelta:
    """Parse a duration as Kubernetes writes it: `90s`, `15m`, `1h30m`."""
    match = re.fullmatch(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?", text)
    if not text or not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 90s, 15m or 1h30m")
    hours, minutes, seconds = (int(group or 0) for group in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _lease(text: str) -> timedelta:
    length = duration(text)
    if length < SHORTEST_LEASE:
        raise argparse.ArgumentTypeError(f"{text!r} is less than a second")
    return length


def _folder(text: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._-]+)+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a folder such as /campaigns")
    return text


def _endpoint(text: str) -> str:
    if not re.fullmatch(r"https?://\S+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a URL such as https://api.imagekit.io")
    return text
