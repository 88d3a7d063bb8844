"""Schemas of custom resources: what is filled in, what is dropped, what is unknown. All of it pure."""

from collections.abc import Iterator
from copy import deepcopy

from campaignpool_local.values import Json, Value

_OPEN = "x-kubernetes-preserve-unknown-fields"
_ALWAYS = ("apiVersion", "kind", "metadata")


def below(value: Value, schema: Json, path: str) -> Iterator[tuple[Value, Value, Json | None, str]]:
    """Return (key or index, value, schema, path) of everything in an object or a list; the schema may be unknown."""
    if isinstance(value, list):
        yield from ((n, item, schema.get("items"), f"{path}[{n}]") for n, item in enumerate(value))
    elif isinstance(value, dict):
        declared, rest = schema.get("properties") or {}, schema.get("additionalProperties")
        for key, item in value.items():
            yield key, item, declared.get(key, rest if isinstance(rest, dict) else None), f"{path}.{key}".strip(".")


def shaped(value: Value, schema: Json, path: str = "") -> Value:
    """Fill in defaults, and drop what the schema does not declare; null is missing unless it is allowed."""
    if isinstance(value, list):
        return [shaped(item, inner or {_OPEN: True}, at) for _, item, inner, at in below(value, schema, path)]
    if not isinstance(value, dict):
        return value
    kept, declared = {}, schema.get("properties") or {}
    for key, item, inner, at in below(value, schema, path):
        if at in _ALWAYS or (inner is None and schema.get(_OPEN)):
            kept[key] = item
        elif inner is not None and (item is not None or inner.get("nullable") or key not in declared):
            kept[key] = shaped(item, inner, at)
    for key in declared.keys() - kept.keys():
        if "default" in declared[key]:
            kept[key] = shaped(deepcopy(declared[key]["default"]), declared[key], f"{path}.{key}")
    return kept


def unknown_fields(value: Value, schema: Json, path: str = "") -> Iterator[str]:
    """Return the paths of what a schema does not declare, and drops."""
    for key, item, inner, at in below(value, schema, path):
        if at in _ALWAYS:
            continue
        if inner is not None:
            yield from unknown_fields(item, inner, at)
        elif not (isinstance(key, int) or schema.get(_OPEN)):
            yield at
