"""What makes a schema structural, and what its extensions may say: faults of a schema without its rules."""

from collections.abc import Iterator
from typing import NamedTuple

import re2

from campaignpool_local.faults import forbidden, invalid, required, unsupported
from campaignpool_local.values import Cause, Json

TYPES = ("array", "boolean", "integer", "number", "object", "string")
_OPEN, _EITHER, _LIST = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string", "x-kubernetes-list-type"
_EMPTY = {
    "root": "must not be empty at the root",
    "items": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_UNKNOWN = ("$ref", "additionalItems", "patternProperties", "definitions", "dependencies", "id")
_NESTED = {
    "type": "must be empty to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "default": "must be undefined to be structural",
    "additionalProperties": "must be undefined to be structural",
    "nullable": "must be false to be structural",
    _OPEN: "must be false to be structural",
    _EITHER: "must be false to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}
"""What cannot stand below `anyOf`, `allOf`, `oneOf` and `not`."""
_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_CORRELATED = ("atomic",)  # kinds of maps whose fields have no state before


class Place(NamedTuple):
    """A schema within a schema: where it is, what holds it, and what its values may not do."""

    path: str
    schema: Json
    level: str = "root"
    old_refused: str = ""  # the path of the first list or map above whose items have no state before
    cardinality: int | None = 1  # how many values of it an object may have, None without a bound


def places(here: Place) -> Iterator[Place]:
    """Return a schema and all schemas within it, but for those that only check values."""
    yield here
    schema, path, count = here.schema, here.path, here.cardinality
    refused = here.old_refused or (path if schema.get("x-kubernetes-map-type") in _CORRELATED else "")
    for name, item in (schema.get("properties") or {}).items():
        yield from places(Place(f"{path}.properties[{name}]", item, "field", refused, count))
    if isinstance(items := schema.get("items"), dict):
        bound = schema.get("maxItems")
        refused = here.old_refused or ("" if schema.get(_LIST) == "map" else path)
        many = None if count is None or bound is None else count * bound
        yield from places(Place(f"{path}.items", items, "items", refused, many))
    if isinstance(values := schema.get("additionalProperties"), dict):
        bound = schema.get("maxProperties")
        many = None if count is None or bound is None else count * bound
        yield from places(Place(f"{path}.additionalProperties", values, "field", here.old_refused, many))


def structural_faults(root: Place) -> list[Cause]:
    """Return the faults of form: what is missing, or must not be there, for a schema to be structural."""
    faults = [fault for here in places(root) for fault in _form(here)]
    return sorted(faults, key=lambda fault: f"{fault.field}: {fault.message}")


def _form(here: Place) -> Iterator[Cause]:
    path, schema, _, *_ = here
    if schema.get("type") == "array" and "items" not in schema:
        yield required(f"{path}.items", "must be specified")
    if here.level == "root" and "additionalProperties" in schema:
        yield forbidden(f"{path}.additionalProperties", "must not be used at the root")
    if schema.get(_EITHER) and schema.get(_OPEN):
        yield invalid(f"{path}.{_OPEN}", True, "must be false if x-kubernetes-int-or-string is true")
    if not schema.get("type") and not schema.get(_EITHER) and not schema.get(_OPEN):
        yield required(f"{path}.type", _EMPTY[here.level])
    elif here.level == "root" and schema.get("type", "object") != "object":
        yield invalid(f"{path}.type", schema["type"], "must be object at the root")
    if here.level == "root":
        yield from _about_metadata(path, schema.get("properties") or {})
    yield from _values(schema, path, either=bool(schema.get(_EITHER)))


def _about_metadata(path: str, properties: Json) -> Iterator[Cause]:
    for name in ("kind", "apiVersion"):
        if (kind := (properties.get(name) or {}).get("type", "string")) != "string":
            yield invalid(f"{path}.properties[{name}].type", kind, "must be string")
    if "metadata" in properties:
        where, metadata = f"{path}.properties[metadata]", properties["metadata"]
        if metadata.get("type") != "object":
            yield invalid(f"{where}.type", metadata.get("type", ""), "must be object")
        names = {key for key in metadata if key not in ("type", "properties", "default")}
        if names or not (metadata.get("properties") or {}).keys() <= {"name", "generateName"}:
            why = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            yield forbidden(where, why)


def _values(schema: Json, path: str, *, either: bool = False) -> Iterator[Cause]:
    """Return the faults of what checks values: patterns, and schemas that stand below a junctor."""
    if "pattern" in schema:
        try:
            re2.compile(schema["pattern"])
        except re2.error as error:
            why = f"must be a valid regular expression, but isn't: {error}"
            yield invalid(f"{path}.pattern", schema["pattern"], why)
    for word in ("anyOf", "allOf", "oneOf", "not"):
        below = schema.get(word) or []
        if either and (below == _OR_STRING or (word == "allOf" and below[:1] == [{"anyOf": _OR_STRING}])):
            below = below[1:] if word == "allOf" else []
        listed = [(f"{path}.{word}", below)] if isinstance(below, dict) else []
        for where, inner in listed or [(f"{path}.{word}[{n}]", item) for n, item in enumerate(below)]:
            yield from _nested(inner, where)


def _nested(schema: Json, path: str) -> Iterator[Cause]:
    for key, why in _NESTED.items():
        if schema.get(key):
            yield forbidden(f"{path}.{key}", why)
    yield from _values(schema, path)
    for name, item in (schema.get("properties") or {}).items():
        yield from _nested(item, f"{path}.properties[{name}]")
    if isinstance(schema.get("items"), dict):
        yield from _nested(schema["items"], f"{path}.items")


def keyword_faults(here: Place) -> Iterator[Cause]:
    """Return the faults of keywords in one schema: unknown types, sets, maps, lists by key."""
    path, schema, _, *_ = here
    kind = schema.get("type", "")
    if kind and kind not in TYPES:
        yield unsupported(f"{path}.type", kind, TYPES)
    for key in _UNKNOWN:
        if schema.get(key):
            yield forbidden(f"{path}.{key}", f"{key} is not supported")
    if schema.get("uniqueItems"):
        why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden(f"{path}.uniqueItems", why)
    if schema.get("properties") and schema.get("additionalProperties", True) is not True:
        yield forbidden(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    if schema.get(_OPEN) is False:
        yield invalid(f"{path}.{_OPEN}", False, "must be true or undefined")
    yield from _kinds(path, schema)
    yield from _list_by_key(path, schema)


def _kinds(path: str, schema: Json) -> Iterator[Cause]:
    """Return the faults of what says how maps and lists are merged."""
    kind = schema.get("type", "")
    for word, wanted, values in (
        ("x-kubernetes-map-type", "object", ("atomic", "granular")),
        (_LIST, "array", ("atomic", "set", "map")),
    ):
        if word in schema and kind != wanted:
            why = f"must be {wanted} if {word} is specified"
            yield invalid(f"{path}.type", kind, why) if kind else required(f"{path}.type", why)
        if word in schema and schema[word] not in values:
            yield unsupported(f"{path}.{word}", schema[word], values)


def _list_by_key(path: str, schema: Json) -> Iterator[Cause]:
    kind, keys, items = schema.get(_LIST), schema.get("x-kubernetes-list-map-keys") or [], schema.get("items") or {}
    where = f"{path}.x-kubernetes-list-map-keys"
    if keys and kind != "map":
        why = "must be map if x-kubernetes-list-map-keys is non-empty"
        yield invalid(f"{path}.{_LIST}", kind, why) if kind else required(f"{path}.{_LIST}", why)
    if kind == "map" and not keys:
        yield required(where, "must not be empty if x-kubernetes-list-type is map")
    if kind == "map" and items.get("type") != "object":
        why = "must be object if parent array's x-kubernetes-list-type is map"
        yield invalid(f"{path}.items.type", items.get("type", ""), why)
    if kind in ("map", "set") and items.get("nullable"):
        yield forbidden(f"{path}.items.nullable", f"cannot be nullable when x-kubernetes-list-type is {kind}")
    if kind != "map":
        return
    if len(set(keys)) < len(keys):
        yield invalid(where, keys, "must not contain duplicate entries")
    for key in keys:
        field = (items.get("properties") or {}).get(key)
        if field is None:
            yield invalid(where, keys, "entries must all be names of item properties")
        elif key not in (items.get("required") or ()) and "default" not in field:
            why = (
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            )
            yield required(f"{path}.items.properties[{key}].default", why)
