"""The types and small conversions that all rooms share."""

import re
from datetime import UTC, datetime
from typing import Any

Value = Any
"""Anything that JSON can hold."""
Json = dict[str, Any]
"""A JSON object."""

_STEP = re.compile(
    r"""\[\?\(@\.(?P<test>[\w.-]+)\s*==\s*["'](?P<equals>[^"']*)["']\)\]"""
    r"""|\[["'](?P<quoted>[^"']+)["']\]|\.?(?P<name>(?:[\w/-]|\\.)+)"""
)


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def stamp(time: datetime | None = None) -> str:
    """Write a time as Kubernetes does, to the second."""
    return f"{time or now():%Y-%m-%dT%H:%M:%SZ}"


def condition(status: Json, kind: str) -> Json | None:
    """Give a condition of a status, if it is true."""
    return next(
        (each for each in status.get("conditions", ()) if (each["type"], each["status"]) == (kind, "True")), None
    )


def json_path(value: Value, path: str) -> Value:
    """Read a JSONPath of the simple kind that definitions use; None if nothing is there."""
    for step in _STEP.finditer(path):
        if step["test"]:
            items = value if isinstance(value, list) else []
            value = next((each for each in items if str(json_path(each, step["test"])) == step["equals"]), None)
        else:
            name = step["quoted"] or step["name"].replace("\\", "")
            value = value.get(name) if isinstance(value, dict) else None
    return value
