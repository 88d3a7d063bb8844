"""Demand traces: CSV files with `start` (ISO 8601), `seconds` (width of the bucket) and `count` (claims in it)."""

import csv
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import NamedTuple


class Bucket(NamedTuple):
    """A number of claims in some seconds; `start` is in seconds since 1970."""

    start: float
    seconds: float
    claims: int


class TraceError(ValueError):
    """A trace cannot be read: the message names the file, the line and what to change."""


def read(path: Path) -> list[Bucket]:
    """Return the buckets of a file, sorted by time. Raise TraceError for a file that is no trace."""
    buckets: list[Bucket] = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if missing := {"start", "seconds", "count"} - set(reader.fieldnames or ()):
                raise TraceError(f"{path}: the column {min(missing)} is missing: a trace has start,seconds,count")
            buckets.extend(_bucket(path, reader.line_num, row) for row in reader)
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror}") from error
    if not any(bucket.claims for bucket in buckets):
        raise TraceError(f"{path}: the trace has no claims")
    return sorted(buckets)


def _bucket(path: Path, line: int, row: dict[str, str]) -> Bucket:
    try:
        start = datetime.fromisoformat(row["start"].strip())
        seconds, count = float(row["seconds"]), int(row["count"])
    except (ValueError, AttributeError, TypeError) as error:
        raise TraceError(
            f"{path}, line {line}: expected an ISO 8601 time, seconds and a whole number of claims"
        ) from error
    if seconds <= 0 or count < 0:
        raise TraceError(f"{path}, line {line}: seconds must be above 0, and count not negative")
    return Bucket((start if start.tzinfo else start.replace(tzinfo=UTC)).timestamp(), seconds, count)


def arrivals(buckets: Sequence[Bucket], *, seed: int = 1) -> list[float]:
    """Return the moments of the claims, drawn evenly within each bucket from a seed, sorted."""
    random = Random(seed)  # noqa: S311 (a replay repeats itself)
    return sorted(bucket.start + random.random() * bucket.seconds for bucket in buckets for _ in range(bucket.claims))
