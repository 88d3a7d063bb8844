"""Schemas of custom resources, rules in CEL among them: what is dropped, filled in and refused. All of it pure."""

import json
from collections.abc import Iterator
from copy import deepcopy
from datetime import datetime
from functools import lru_cache

import celpy
import jsonschema
from celpy import adapter, evaluation
from jsonschema import ValidationError

from campaignpool_local.values import Cause, Json, Value

_OPEN = "x-kubernetes-preserve-unknown-fields"
_ALWAYS = ("apiVersion", "kind", "metadata")
_TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
_WORDS = {
    "required": "Required|Required value",
    "type": 'TypeInvalid|Invalid value: "{type}": {field} in body must be of type {limit}: "{type}"',
    "format": "TypeInvalid|Invalid value: {value}: {field} in body must be of type {limit}: {value}",
    "enum": "NotSupported|Unsupported value: {value}: supported values: {limit}",
    "maxLength": "TooLong|Too long: may not be more than {limit} bytes",
    "maxItems": "TooMany|Too many: {count}: must have at most {limit} items",
    "x-kubernetes-list-type": "Duplicate|Duplicate value: {value}",
    "minimum": "Invalid|Invalid value: {value}: {field} in body should be greater than or equal to {limit}",
    "maximum": "Invalid|Invalid value: {value}: {field} in body should be less than or equal to {limit}",
    "pattern": "Invalid|Invalid value: {value}: {field} in body should match '{limit}'",
    "minLength": "Invalid|Invalid value: {value}: {field} in body should be at least {limit} chars long",
}
"""Reason and sentence for a violated keyword, as a real API server words them."""


def _below(value: Value, schema: Json, path: str) -> Iterator[tuple[Value, Value, Json | None, str]]:
    """Give (key or index, value, schema, path) of everything in an object or a list; the schema may be unknown."""
    if isinstance(value, list):
        yield from ((n, item, schema.get("items"), f"{path}[{n}]") for n, item in enumerate(value))
    elif isinstance(value, dict):
        declared, rest = schema.get("properties") or {}, schema.get("additionalProperties")
        for key, item in value.items():
            yield key, item, declared.get(key, rest if isinstance(rest, dict) else None), f"{path}.{key}".strip(".")


def shaped(value: Value, schema: Json, path: str = "") -> Value:
    """Fill in defaults, and drop what the schema does not declare; null is missing unless it is allowed."""
    if isinstance(value, list):
        return [shaped(item, inner or {_OPEN: True}, at) for _, item, inner, at in _below(value, schema, path)]
    if not isinstance(value, dict):
        return value
    kept, declared = {}, schema.get("properties") or {}
    for key, item, inner, at in _below(value, schema, path):
        if at in _ALWAYS or (inner is None and schema.get(_OPEN)):
            kept[key] = item
        elif inner is not None and (item is not None or inner.get("nullable") or key not in declared):
            kept[key] = shaped(item, inner, at)
    for key in declared.keys() - kept.keys():
        if "default" in declared[key]:
            kept[key] = shaped(deepcopy(declared[key]["default"]), declared[key], f"{path}.{key}")
    return kept


def _type(validator: Value, wanted: str, value: Value, schema: Json) -> Iterator[ValidationError]:
    fits = any(validator.is_type(value, each) for each in wanted.split(","))
    if not fits and not (value is None and schema.get("nullable")):
        yield ValidationError("", validator="type", validator_value=wanted)


def _list_type(_: Value, kind: str, value: Value, schema: Json) -> Iterator[ValidationError]:
    """Refuse the second of two items that are the same, as a set or by their keys."""
    seen: list[Value] = []
    for number, item in enumerate(value if isinstance(value, list) and kind != "atomic" else ()):
        known = {key: item.get(key) for key in schema["x-kubernetes-list-map-keys"]} if kind == "map" else item
        if known in seen:
            yield ValidationError("", path=(number,), instance=known)
        seen.append(known)


_formats = jsonschema.FormatChecker(formats=())
_checks: Json = {"type": _type, "x-kubernetes-list-type": _list_type}
_checks["x-kubernetes-int-or-string"] = lambda validator, _, *rest: _type(validator, "integer,string", *rest)
_Validator = jsonschema.validators.extend(jsonschema.Draft4Validator, _checks)  # type: ignore[no-untyped-call] # untyped


@_formats.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or ("T" in value and bool(datetime.fromisoformat(value)))


def violations(value: Value, schema: Json) -> Iterator[Cause]:
    """Give every fault of a value."""
    for error in _Validator(schema, format_checker=_formats).iter_errors(value):
        field = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
        field += "." + error.message.split("'")[1] if error.validator == "required" else ""  # it names what it misses
        reason, words = _WORDS.get(str(error.validator), "Invalid|Invalid value: {value}: {said}").split("|")
        limit: Value = error.validator_value
        given = {
            "field": field.strip(".").removeprefix("status."),  # which a real server looks at on its own
            "limit": ", ".join(map(json.dumps, limit)) if isinstance(limit, list) else limit,
            "value": json.dumps(error.instance, separators=(",", ":"), ensure_ascii=False),
            "type": _TYPES.get(type(error.instance), "null"),
            "count": len(error.instance) if isinstance(error.instance, list) else "",
        }
        yield Cause(field.strip("."), f"FieldValue{reason}", words.format(**given, said=error.message))


@lru_cache(maxsize=512)
def _program(expression: str) -> Value:
    environment = celpy.Environment()
    return environment.program(environment.compile(expression))


def _breach(rule: Json, value: Value, old: Value) -> str | None:
    """Say what is wrong if a rule does not hold, or cannot be evaluated; there may be no old state."""
    said = str(rule.get("message") or f"failed rule: {rule['rule']}")
    if "oldSelf" in rule["rule"] and old is None:
        return None
    try:
        bindings = {"self": adapter.json_to_cel(value), "oldSelf": adapter.json_to_cel(old)}
        return None if _program(rule["rule"]).evaluate(bindings) else said
    except evaluation.CELEvalError as error:
        return f"{error.args[0] if error.args else error} evaluating rule: {said}"


def broken_rules(value: Value, old: Value, schema: Json, path: str = "") -> Iterator[Cause]:
    """Give every rule that a valid value breaks, here and below; what is in lists has no old state."""
    for rule in schema.get("x-kubernetes-validations") or ():
        if value is not None and (breach := _breach(rule, value, old)):
            quoted = "" if isinstance(value, dict | list) else f"{json.dumps(value)}: "
            yield Cause(path, "FieldValueInvalid", f"Invalid value: {quoted}{breach}")
    for key, item, inner, at in _below(value, schema, path):
        if inner is not None:
            yield from broken_rules(item, old.get(key) if isinstance(old, dict) else None, inner, at)
