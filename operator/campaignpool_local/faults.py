"""Faults of fields in the words of the API server: the kind of fault, the value as JSON, and a sentence."""

import json
from collections.abc import Iterable

from campaignpool_local.values import Cause, Value


def quoted(value: Value) -> str:
    """Write a value as messages do: compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def invalid(field: str, value: Value, why: str) -> Cause:
    """Return the fault that a value is not allowed."""
    return Cause(field, "FieldValueInvalid", f"Invalid value: {quoted(value)}: {why}")


def required(field: str, why: str = "") -> Cause:
    """Return the fault that a value is missing."""
    return Cause(field, "FieldValueRequired", f"Required value: {why}" if why else "Required value")


def forbidden(field: str, why: str) -> Cause:
    """Return the fault that a value is not allowed here."""
    return Cause(field, "FieldValueForbidden", f"Forbidden: {why}")


def duplicate(field: str, value: Value) -> Cause:
    """Return the fault that a value is there twice."""
    return Cause(field, "FieldValueDuplicate", f"Duplicate value: {quoted(value)}")


def unsupported(field: str, value: Value, supported: Iterable[str]) -> Cause:
    """Return the fault that a value is none of those that are known."""
    existing = ", ".join(map(quoted, supported))
    return Cause(field, "FieldValueNotSupported", f"Unsupported value: {quoted(value)}: supported values: {existing}")
