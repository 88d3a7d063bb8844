"""Faults of a value by its schema, in the words of the API server; patterns are RE2's, as in RE2."""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime

import jsonschema
import re2
from jsonschema import ValidationError

from campaignpool_local.faults import invalid
from campaignpool_local.values import Cause, Json, Value, json_path

_TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
_GO_TYPES = {str: "string", bool: "bool", float: "float64"}
_WORDS = {
    "required": "Required|Required value",
    "type": 'TypeInvalid|Invalid value: "{type}": {field} in body must be of type {limit}: "{type}"',
    "format": "TypeInvalid|Invalid value: {value}: {field} in body must be of type {limit}: {value}",
    "enum": "NotSupported|Unsupported value: {value}: supported values: {limit}",
    "maxLength": "TooLong|Too long: may not be more than {limit} byte{s}",
    "maxItems": "TooMany|Too many: {count}: must have at most {limit} item{s}",
    "maxProperties": "TooMany|Too many: {count}: must have at most {limit} item{s}",
    "x-kubernetes-list-type": "Duplicate|Duplicate value: {value}",
    "item": "Invalid|Invalid value: {value}: must be an object for an array of list-type map",
    "minimum": "Invalid|Invalid value: {value}: {field} in body should be greater than{or_equal} {limit}",
    "maximum": "Invalid|Invalid value: {value}: {field} in body should be less than{or_equal} {limit}",
    "multipleOf": "Invalid|Invalid value: {value}: {field} in body should be a multiple of {limit}",
    "pattern": "Invalid|Invalid value: {value}: {field} in body should match '{limit}'",
    "minLength": "Invalid|Invalid value: {value}: {field} in body should be at least {limit} chars long",
    "minItems": "Invalid|Invalid value: {count}: {field} in body should have at least {limit} items",
    "minProperties": "Invalid|Invalid value: {count}: {field} in body should have at least {limit} properties",
}
"""Reason and sentence for a violated keyword, as a real API server words them."""


def _is_integer(value: Value) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return whole or (isinstance(value, float) and value.is_integer())


def _type(validator: Value, wanted: str, value: Value, schema: Json) -> Iterator[ValidationError]:
    fits = any(
        _is_integer(value) if part == "integer" else validator.is_type(value, part) for part in wanted.split(",")
    )
    if not fits and not (value is None and schema.get("nullable")):
        yield ValidationError("", validator="type", validator_value=wanted)


def _list_type(_: Value, kind: str, value: Value, schema: Json) -> Iterator[ValidationError]:
    """Refuse the second of two items that are the same, as a set or by their keys; items of a map are objects."""
    seen: list[Value] = []
    for number, item in enumerate(value if isinstance(value, list) and kind != "atomic" else ()):
        if kind == "map" and not isinstance(item, dict):
            yield ValidationError("", path=(number,), instance=item, validator="item")
            continue
        by_key = kind == "map" and isinstance(item, dict)
        existing = {key: item.get(key) for key in schema["x-kubernetes-list-map-keys"]} if by_key else item
        if existing in seen:
            yield ValidationError("", path=(number,), instance=existing)
        seen.append(existing)


def _pattern(_: Value, pattern: str, value: Value, __: Json) -> Iterator[ValidationError]:
    if isinstance(value, str) and not re2.search(pattern, value):
        yield ValidationError("")


_formats = jsonschema.FormatChecker(formats=())
_checks: Json = {"type": _type, "pattern": _pattern}
_checks["x-kubernetes-int-or-string"] = lambda validator, _, *rest: _type(validator, "integer,string", *rest)
_list_checks: Json = {
    name: jsonschema.Draft4Validator.VALIDATORS[name] for name in ("items", "properties", "additionalProperties")
}
_list_checks["x-kubernetes-list-type"] = _list_type
_Lists = jsonschema.validators.create({}, _list_checks)
_Validator = jsonschema.validators.extend(jsonschema.Draft4Validator, _checks)  # type: ignore[no-untyped-call] # untyped


@_formats.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or ("T" in value and bool(datetime.fromisoformat(value)))


def _listed(values: list[Value]) -> str:
    return ", ".join(json.dumps(value if isinstance(value, str) else json.dumps(value)) for value in values)


def violations(value: Value, schema: Json) -> Iterator[Cause]:
    """Return every fault of a value, but those of lists as sets and maps."""
    yield from _causes(_Validator(schema, format_checker=_formats).iter_errors(value))


def list_violations(value: Value, schema: Json) -> Iterator[Cause]:
    """Return the faults of lists that are sets or maps."""
    yield from _causes(_Lists(schema).iter_errors(value))


def scale_violations(obj: Json, path: str) -> Iterator[Cause]:
    """Return the fault of the replicas that the Scale of an object reads at a path."""
    value = json_path(obj, path)
    if isinstance(value, str | bool | float):
        kind = _GO_TYPES[type(value)]
        text = (
            f"{path} accessor error: {str(value).lower() if value in (True, False) else value} is of the type {kind}"
        )
        yield invalid(path, 0, f"{text}, expected int64")
    elif isinstance(value, int) and value < 0:
        yield invalid(path, value, "should be a non-negative integer")


def _causes(errors: Iterable[ValidationError]) -> Iterator[Cause]:
    for error in errors:
        field = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
        field += "." + error.message.split("'")[1] if error.validator == "required" else ""  # it names what it misses
        reason, words = _WORDS.get(str(error.validator), "Invalid|Invalid value: {value}: {said}").split("|")
        limit: Value = error.validator_value
        exclusive = isinstance(error.schema, dict) and error.schema.get(f"exclusive{str(error.validator).title()}")
        given = {
            "field": field.strip(".").removeprefix("status."),  # which a real server looks at on its own
            "limit": _listed(limit) if isinstance(limit, list) else limit,
            "value": json.dumps(error.instance, separators=(",", ":"), ensure_ascii=False),
            "type": _TYPES.get(type(error.instance), "null"),
            "count": len(error.instance) if isinstance(error.instance, list | dict) else "",
            "s": "" if limit == 1 else "s",
            "or_equal": "" if exclusive else " or equal to",
        }
        yield Cause(field.strip("."), f"FieldValue{reason}", words.format(**given, said=error.message))
