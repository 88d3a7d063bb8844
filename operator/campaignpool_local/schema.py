"""OpenAPI schemas of custom resources: what is dropped, what is filled in, and what is refused.

Pure functions; the rules in CEL, which need a valid object first, are in `rules`.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache

import jsonschema
from jsonschema import ValidationError

from campaignpool_local.errors import Cause
from campaignpool_local.values import Json, Value

OPEN = "x-kubernetes-preserve-unknown-fields"
ALWAYS = ("apiVersion", "kind", "metadata")
"""What every object has, whatever its schema says."""

_TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}


def prune(value: Value, schema: Json, path: str = "") -> tuple[Value, list[str]]:
    """Drop the fields that the schema does not declare; give what is left and the paths of what is not."""
    dropped: list[str] = []
    if isinstance(value, list):
        items = [prune(item, schema.get("items") or {OPEN: True}, f"{path}[{n}]") for n, item in enumerate(value)]
        return [item for item, _ in items], [each for _, lost in items for each in lost]
    if not isinstance(value, dict) or (OPEN in schema and "properties" not in schema):
        return value, dropped
    properties, rest = schema.get("properties") or {}, schema.get("additionalProperties")
    kept = {}
    for key, inner in value.items():
        where = f"{path}.{key}" if path else key
        if not path and key in ALWAYS:
            kept[key] = inner
        elif key in properties:
            kept[key], lost = prune(inner, properties[key], where)
            dropped += lost
        elif isinstance(rest, dict):
            kept[key], lost = prune(inner, rest, where)
            dropped += lost
        elif rest or schema.get(OPEN):
            kept[key] = inner
        else:
            dropped.append(where)
    return kept, dropped


def fill(value: Value, schema: Json) -> Value:
    """Fill in the defaults; null counts as missing unless the schema allows it."""
    if isinstance(value, list):
        return [fill(item, schema.get("items") or {}) for item in value]
    if not isinstance(value, dict):
        return value
    properties, rest = schema.get("properties") or {}, schema.get("additionalProperties")
    filled = {
        key: fill(inner, properties.get(key) or (rest if isinstance(rest, dict) else {}))
        for key, inner in value.items()
        if inner is not None or key not in properties or properties[key].get("nullable")
    }
    for key, inner in properties.items():
        if key not in filled and "default" in inner:
            filled[key] = fill(copy.deepcopy(inner["default"]), inner)
    return filled


def list_keys(schema: Json, path: tuple[str, ...]) -> tuple[str, ...] | None:
    """How the list at a path is merged: by these keys, as a set (no keys), or as a whole (None)."""
    for step in path:
        while "items" in schema:
            schema = schema["items"]
        rest = schema.get("additionalProperties")
        schema = (schema.get("properties") or {}).get(step) or (rest if isinstance(rest, dict) else {})
    kind = schema.get("x-kubernetes-list-type")
    if kind == "map":
        return tuple(schema["x-kubernetes-list-map-keys"])
    return () if kind == "set" else None


def _type(_: Value, wanted: str, value: Value, schema: Json) -> Iterator[ValidationError]:
    fits = _TYPES.get(type(value)) == wanted or (wanted == "number" and type(value) is int)
    if not fits and not (value is None and schema.get("nullable")):
        yield ValidationError("")


def _int_or_string(_: Value, wanted: bool, value: Value, schema: Json) -> Iterator[ValidationError]:
    if wanted and type(value) not in (int, str) and not (value is None and schema.get("nullable")):
        yield ValidationError("")


def _enum(_: Value, allowed: list[Value], value: Value, schema: Json) -> Iterator[ValidationError]:
    if value not in allowed and not (value is None and schema.get("nullable")):
        yield ValidationError("")


def _required(_: Value, names: list[str], value: Value, __: Json) -> Iterator[ValidationError]:
    if isinstance(value, dict):
        yield from (ValidationError("", path=(name,)) for name in names if name not in value)


def _list_type(_: Value, kind: str, value: Value, schema: Json) -> Iterator[ValidationError]:
    """Refuse the second of two items that are the same, as a set or by their keys."""
    if not isinstance(value, list) or kind == "atomic":
        return
    seen: list[Value] = []
    for number, item in enumerate(value):
        known = item
        if kind == "map" and isinstance(item, dict):
            known = {key: item[key] for key in schema["x-kubernetes-list-map-keys"] if key in item}
        if known in seen:
            yield ValidationError("", path=(number,), instance=known)
        seen.append(known)


_formats = jsonschema.FormatChecker(formats=())


@_formats.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or (len(value) > len("2026-01-01") and bool(datetime.fromisoformat(value)))


@_formats.checks("duration")
def _is_duration(value: object) -> bool:
    return not isinstance(value, str) or bool(re.fullmatch(r"-?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+|0", value))


_Validator = jsonschema.validators.extend(  # type: ignore[no-untyped-call]  # nothing says what it takes
    jsonschema.Draft4Validator,
    {
        "type": _type,
        "enum": _enum,
        "required": _required,
        "x-kubernetes-int-or-string": _int_or_string,
        "x-kubernetes-list-type": _list_type,
    },
)


def field_path(steps: Iterable[str | int], root: str = "") -> str:
    """Write a path as Kubernetes does: `spec.shards[0].name`."""
    path = root
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path


def _cause(error: ValidationError, root: str) -> Cause:
    """Put one violation into the words of a real API server."""
    field, body = field_path(error.absolute_path, root), field_path(error.absolute_path)
    value, limit, schema = error.instance, error.validator_value, error.schema
    schema = schema if isinstance(schema, dict) else {}
    written, kind = json.dumps(value, ensure_ascii=False), _TYPES.get(type(value), "null")
    says = {
        "minimum": f"should be greater than {'' if schema.get('exclusiveMinimum') else 'or equal to '}{limit}",
        "maximum": f"should be less than {'' if schema.get('exclusiveMaximum') else 'or equal to '}{limit}",
        "pattern": f"should match '{limit}'",
        "minLength": f"should be at least {limit} chars long",
        "minItems": f"should have at least {limit} items",
    }
    match error.validator:
        case "required":
            return Cause.required(field)
        case "type" | "x-kubernetes-int-or-string":
            wanted = limit if error.validator == "type" else "integer,string"
            message = f'Invalid value: "{kind}": {body} in body must be of type {wanted}: "{kind}"'
            return Cause(field, "FieldValueTypeInvalid", message)
        case "format":
            message = f"Invalid value: {written}: {body} in body must be of type {limit}: {written}"
            return Cause(field, "FieldValueTypeInvalid", message)
        case "enum":
            allowed = ", ".join(json.dumps(each) for each in limit)  # type: ignore[union-attr]  # a list
            return Cause(
                field, "FieldValueNotSupported", f"Unsupported value: {written}: supported values: {allowed}"
            )
        case "maxLength":
            return Cause(field, "FieldValueTooLong", f"Too long: may not be more than {limit} bytes")
        case "maxItems":
            message = f"Too many: {len(value)}: must have at most {limit} items"  # type: ignore[arg-type]  # a list
            return Cause(field, "FieldValueTooMany", message)
        case "x-kubernetes-list-type":
            compact = json.dumps(value, separators=(",", ":"))
            return Cause(field, "FieldValueDuplicate", f"Duplicate value: {compact}")
        case known if known in says:
            return Cause.invalid(field, written, f"{body} in body {says[known]}")
        case _:
            return Cause.invalid(field, written, error.message)


def violations(value: Value, schema: Json, root: str = "") -> list[Cause]:
    """Give every fault of a value; `root` is its place in the object, which the sentences leave out."""
    errors = _Validator(schema, format_checker=_formats).iter_errors(value)
    return [_cause(error, root) for error in errors]


@lru_cache(maxsize=256)
def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def schema_faults(schema: Json, path: str) -> Iterator[Cause]:
    """Give what is wrong with a schema itself, as far as that would surprise later."""
    described = schema.get(OPEN) or schema.get("x-kubernetes-int-or-string")
    if not schema.get("type") and not described:
        yield Cause.required(f"{path}.type", "must not be empty for specified object fields")
    if "pattern" in schema and not _compiles(schema["pattern"]):
        yield Cause.invalid(f"{path}.pattern", json.dumps(schema["pattern"]), "must be a valid regular expression")
    if "default" in schema:
        for cause in violations(schema["default"], schema):
            yield Cause(f"{path}.default", cause.reason, cause.message)
    for name, inner in (schema.get("properties") or {}).items():
        yield from schema_faults(inner, f"{path}.properties[{name}]")
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            yield from schema_faults(schema[word], f"{path}.{word}")
