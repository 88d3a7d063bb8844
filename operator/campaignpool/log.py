"""Logging, set up once per process: lines for people, or one JSON object a line for machines.

Facts go into `extra`: `log.info("batch made", extra={"campaigns": 5})` prints `batch made campaigns=5`, and the
same as fields in JSON. Nothing secret is ever passed to a logger.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

import asyncpg

from campaignpool.sqlstates import described

_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _facts(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _USUAL and not key.startswith("_")}


class _Formatter(logging.Formatter):
    """Writes tracebacks without values of rows, which the text of Postgres' errors may hold."""

    def trace(self, record: logging.LogRecord) -> str:
        """Return the traceback of a record's exception and of those before it; empty where it has none."""
        error = record.exc_info[1] if record.exc_info else None
        parts: list[str] = []
        while error is not None:
            text = described(error) if isinstance(error, asyncpg.PostgresError) else str(error)
            frames = "".join(traceback.format_tb(error.__traceback__))
            parts.insert(0, f"Traceback (most recent call last):\n{frames}{type(error).__qualname__}: {text}")
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\n\n".join(parts)


class TextFormatter(_Formatter):
    """`2026-01-31T12:00:00.000Z INFO message key=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        facts = "".join(f" {key}={value}" for key, value in _facts(record).items())
        trace = f"\n{self.trace(record)}" if record.exc_info else ""
        return f"{_time(record)} {record.levelname} {record.getMessage()}{facts}{trace}"


class JsonFormatter(_Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, then the facts."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        head = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        trace = {"exception": self.trace(record)} if record.exc_info else {}
        return json.dumps({**head, "message": record.getMessage(), **_facts(record), **trace}, default=str)


def readable(line: str) -> str:
    """Return a line of a `JsonFormatter` as a `TextFormatter` writes it, without traceback; any other unchanged."""
    try:
        record = json.loads(line)
        head = f"{record.pop('time')} {record.pop('level').upper()} {record.pop('message')}"
    except (ValueError, AttributeError, KeyError, TypeError):
        return line
    for key in ("logger", "exception"):
        record.pop(key, None)
    return head + "".join(f" {key}={value}" for key, value in record.items())


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def setup(*, as_json: bool, level: int = logging.INFO) -> None:
    """Send all logging to standard output, in one of the two forms."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
