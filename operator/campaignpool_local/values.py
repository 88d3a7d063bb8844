"""The types and small conversions that all rooms share."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import Any

Value = Any
"""Anything that JSON can hold."""
Json = dict[str, Any]
"""A JSON object."""


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def stamp(time: datetime | None = None) -> str:
    """Write a time as Kubernetes does, to the second."""
    return f"{time or now():%Y-%m-%dT%H:%M:%SZ}"


def moment(text: str) -> datetime:
    """Read a time that Kubernetes wrote."""
    return datetime.fromisoformat(text)


def compact(value: Value) -> str:
    """Write JSON without spaces."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def random_suffix() -> str:
    """Five characters for the end of a generated name; no vowels, so that they never make a word."""
    return "".join(secrets.choice("bcdfghjklmnpqrstvwxz2456789") for _ in range(5))


def condition(obj: Json, kind: str) -> Json | None:
    """Give a condition of an object's status, if it is true."""
    listed = (obj.get("status") or {}).get("conditions") or []
    return next((each for each in listed if each["type"] == kind and each["status"] == "True"), None)
