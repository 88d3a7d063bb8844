"""Who wrote which field: the field managers of objects, and server-side apply, which they make possible.

A set of fields is kept in the form that `fieldsV1` has: `f:name` for a field, `k:{...}` for an item of a list with
keys, a dot for what is itself owned and not only something in it.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple

from campaignpool_local.resources import ResourceType
from campaignpool_local.values import ApiError, Json, Value, stamp

Path = tuple[str, ...]
_KEYS = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "ports": ("port", "containerPort", "protocol"),
    "ownerReferences": ("uid",),
    "conditions": ("type",),
    "imagePullSecrets": ("name",),
}
"""The keys of lists in built-in kinds, whose schema is not known here."""
_IDENTITY = ("apiVersion", "kind")
_SERVERS = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "managedFields",
    "selfLink",
)


class Manager(NamedTuple):
    """Who writes: a name, and whether by apply or by any other way."""

    name: str
    operation: str = "Update"
    subresource: str = ""


def _item_key(item: Value, keys: tuple[str, ...]) -> str | None:
    if not isinstance(item, dict):
        return None
    result = {key: item[key] for key in keys if key in item}
    return f"k:{json.dumps(result, separators=(',', ':'), sort_keys=True)}" if result else None


def _keys_of(field: str, schema: Json | None) -> tuple[str, ...]:
    if schema is not None:
        return tuple(schema.get("x-kubernetes-list-map-keys") or ())
    return _KEYS.get(field, ())


def _below(value: Value, field: str, schema: Json | None) -> Iterator[tuple[str, str, Value, Json | None]]:
    """Return (step, field, value, schema) of what is owned one by one: fields of objects, items of keyed lists."""
    if isinstance(value, dict):
        declared, rest = ((schema or {}).get(key) or {} for key in ("properties", "additionalProperties"))
        for key, item in value.items():
            inner = None if schema is None else declared.get(key, rest if isinstance(rest, dict) else {})
            yield f"f:{key}", key, item, inner
    elif isinstance(value, list) and (keys := _keys_of(field, schema)):
        for item in value:
            if step := _item_key(item, keys):
                yield step, field, item, None if schema is None else schema.get("items") or {}


def leaves(value: Value, schema: Json | None, path: Path = (), field: str = "") -> dict[Path, Value]:
    """Return what is owned in a value, by its path; items of lists and empty objects are owned themselves."""
    found, parts = dict[Path, Value](), list(_below(value, field, schema))
    if not parts or (path[-1:] and path[-1].startswith("k:")):
        found[path] = value if not parts else None
    for step, name, item, inner in parts:
        found |= leaves(item, inner, (*path, step), name)
    return found


def _tree(paths: set[Path]) -> Json:
    """Write paths in the form of `fieldsV1`."""
    result: Json = {}
    ordered = sorted(paths)  # so that what is below a path comes right after it
    for path, following in zip(ordered, [*ordered[1:], ()], strict=False):  # of no path, none follows
        at = result
        for step in path:
            at = at.setdefault(step, {})
        if path and (path[-1].startswith("k:") or following[: len(path)] == path):
            at["."] = {}
    return result


def paths_of(tree: Json, path: Path = ()) -> Iterator[Path]:
    """Return the paths in a set of fields."""
    if path and (not tree or "." in tree):
        yield path
    for step, inner in tree.items():
        if step != ".":
            yield from paths_of(inner, (*path, step))


def _content(kind: ResourceType, obj: Json, subresource: str = "") -> dict[Path, Value]:
    """Return what managers own of an object."""
    schema = kind.schema if kind.crd is not None else None
    part = {key: value for key, value in obj.items() if key not in (*_IDENTITY, "metadata")}
    if subresource == "status":
        part = {key: value for key, value in part.items() if key == "status"}
    elif "status" in kind.subresources:
        part.pop("status", None)
    metadata = {key: value for key, value in (obj.get("metadata") or {}).items() if key not in _SERVERS}
    if metadata and subresource != "status":
        part["metadata"] = metadata
    typed = schema and {**schema, "properties": {**(schema.get("properties") or {}), "metadata": {}}}
    return {path: value for path, value in leaves(part, typed).items() if path}


def _entry(kind: ResourceType, manager: Manager, paths: set[Path]) -> Json:
    entry = {"manager": manager.name, "operation": manager.operation, "apiVersion": kind.api_version, "time": stamp()}
    fields = {"fieldsType": "FieldsV1", "fieldsV1": _tree(paths)}
    return {**entry, **fields, **({"subresource": manager.subresource} if manager.subresource else {})}


def _is_of(entry: Json, manager: Manager) -> bool:
    return (entry["manager"], entry["operation"], entry.get("subresource", "")) == tuple(manager)


def tracked(kind: ResourceType, old: Json | None, new: Json, manager: Manager) -> list[Json]:
    """Return the field managers of an object after one of them wrote it by other means than apply."""
    before = _content(kind, old or {}, manager.subresource)
    after = _content(kind, new, manager.subresource)
    changed = {path for path, value in after.items() if path not in before or before[path] != value}
    changed |= {path[:n] for path in changed for n in range(1, len(path)) if _is_new_map(path[:n], before)}
    gone = before.keys() - after.keys()
    entries = []
    mine = set[Path](changed)
    for entry in ((old or {}).get("metadata") or {}).get("managedFields") or ():
        paths = set(paths_of(entry["fieldsV1"])) - gone
        if _is_of(entry, manager):
            mine |= paths
        elif kept := paths - changed:
            entries.append(entry if kept == set(paths_of(entry["fieldsV1"])) else {**entry, "fieldsV1": _tree(kept)})
    if not changed and not gone:
        return list(((old or {}).get("metadata") or {}).get("managedFields") or ())
    return [*entries, _entry(kind, manager, mine)] if mine else entries


def _is_new_map(path: Path, before: dict[Path, Value]) -> bool:
    """Return whether a map of built-in kinds was not there before, so that its writer owns it as a whole."""
    maps = (("f:data",), ("f:metadata", "f:labels"), ("f:metadata", "f:annotations"), ("f:stringData",))
    return path in maps and not any(item[: len(path)] == path for item in before)


def applied(kind: ResourceType, live: Json | None, wanted: Json, manager: Manager, *, force: bool) -> Json:
    """Return an object after a manager has applied what it wants; raise a 409 if others own and disagree."""
    intent = _content(kind, wanted, manager.subresource)
    present = _content(kind, live or {}, manager.subresource)
    entries = ((live or {}).get("metadata") or {}).get("managedFields") or []
    conflicts, others = [], list[Json]()
    earlier = set[Path]()
    contested = {path for path, value in intent.items() if path in present and present[path] != value}
    for entry in entries:
        paths = set(paths_of(entry["fieldsV1"]))
        if _is_of(entry, manager):
            earlier = paths
            continue
        if lost := sorted(paths & contested):
            conflicts += [(entry, path) for path in lost]
            paths -= set(lost)
        if paths:
            others.append({**entry, "fieldsV1": _tree(paths)} if lost else entry)
    if conflicts and not force:
        raise _conflict(conflicts)
    shared = {path for entry in others for path in paths_of(entry["fieldsV1"])}
    result = _without(live or {}, {path for path in earlier - intent.keys() if path not in shared})
    merged: Json = _merged(result, wanted, kind.schema if kind.crd is not None else None)
    mine = _entry(kind, manager, set(intent))
    before = next((item for item in entries if _is_of(item, manager)), None)
    if before and before["fieldsV1"] == mine["fieldsV1"]:
        mine["time"] = before["time"]
    metadata = {**merged.get("metadata", {}), "managedFields": [*others, mine]}
    return {**merged, "metadata": metadata}


def _conflict(found: list[tuple[Json, Path]]) -> ApiError:
    causes = []
    for entry, path in found:
        using = f" using {entry['apiVersion']}" if entry["operation"] != "Apply" else ""
        field = "".join(f".{step[2:]}" if step.startswith("f:") else f"[{_shown(step)}]" for step in path)
        text = f'conflict with "{entry["manager"]}"{using}'
        causes.append({"reason": "FieldManagerConflict", "message": text, "field": field})
    listed = ", ".join(f"{cause['message']}: {cause['field']}" for cause in causes)
    count = f"{len(causes)} conflict{'s' if len(causes) > 1 else ''}"
    return ApiError(409, "Conflict", f"Apply failed with {count}: {listed}", {"causes": causes})


def _shown(step: str) -> str:
    return ",".join(f"{key}={json.dumps(value)}" for key, value in json.loads(step[2:]).items())


def _without(value: Value, paths: set[Path]) -> Value:
    """Return a value without what is at some paths."""
    if isinstance(value, dict):
        kept = {}
        for key, item in value.items():
            inner = {path[1:] for path in paths if path[0] == f"f:{key}"}
            if () not in inner:
                kept[key] = _without(item, inner) if inner else item
        return kept
    if isinstance(value, list):
        items = []
        for item in value:
            steps = {path for path in paths if path[0].startswith("k:") and _has_key(item, path[0])}
            inner = {path[1:] for path in steps}
            if () not in inner:
                items.append(_without(item, inner) if inner else item)
        return items
    return value


def _has_key(item: Value, step: str) -> bool:
    return isinstance(item, dict) and json.loads(step[2:]).items() <= item.items()


def _merged(live: Value, wanted: Value, schema: Json | None, field: str = "") -> Value:
    """Return a value with everything that is wanted; lists with keys are merged item by item."""
    if isinstance(wanted, dict):
        merged = dict(live) if isinstance(live, dict) else {}
        for _, key, item, inner in _below(wanted, field, schema):
            merged[key] = _merged(merged.get(key), item, inner, key)
        return merged
    keys = _keys_of(field, schema) if isinstance(wanted, list) else ()
    if not keys or not isinstance(live, list):
        return wanted
    inner = None if schema is None else schema.get("items") or {}
    result = {_item_key(item, keys): item for item in live}
    for item in wanted:
        step = _item_key(item, keys)
        result[step] = _merged(result.get(step), item, inner)
    return list(result.values())
