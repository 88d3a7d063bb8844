"""The kinds of patch: merge, JSON, strategic merge, and what server-side apply does. All of it pure."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator

import jsonpatch
import jsonpointer

from campaignpool_local.errors import ApiError, bad_request, details, rejected_patch
from campaignpool_local.values import Json, Value

ListKeys = Callable[[tuple[str, ...]], tuple[str, ...] | None]
"""How the list at a path is merged: by these keys, as a set (no keys), or as a whole (None)."""

_MERGED_BY = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "ports": ("containerPort",),
    "secrets": ("name",),
    "imagePullSecrets": ("name",),
    "ownerReferences": ("uid",),
    "conditions": ("type",),
    "finalizers": (),
}


def built_in_keys(path: tuple[str, ...]) -> tuple[str, ...] | None:
    """How lists of built-in kinds are merged."""
    return _MERGED_BY.get(path[-1])


def merge(target: Value, patch: Value) -> Value:
    """Apply a JSON merge patch."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def json_patch(target: Json, operations: Value) -> Json:
    """Apply a JSON patch, as a whole or not at all."""
    try:
        patched: Json = jsonpatch.apply_patch(target, operations)
    except (jsonpatch.JsonPatchConflict, jsonpatch.JsonPatchTestFailed, jsonpointer.JsonPointerException) as error:
        raise rejected_patch() from error
    except (jsonpatch.InvalidJsonPatch, TypeError, AttributeError) as error:
        raise bad_request(f"error decoding patch: {error}") from error
    return patched


def _find(items: list[Value], wanted: Value, keys: tuple[str, ...]) -> int | None:
    """The place of the item that is the same by its keys."""
    for number, item in enumerate(items):
        if all(item.get(key) == wanted.get(key) for key in keys) if keys else item == wanted:
            return number
    return None


def strategic(target: Value, patch: Value, path: tuple[str, ...] = ()) -> Value:
    """Apply a strategic merge patch, which knows by which key the items of a list belong together."""
    if isinstance(patch, list):
        return _strategic_list(target or [], patch, path)
    if not isinstance(patch, dict):
        return patch
    replaces = patch.get("$patch") == "replace"
    merged = dict(target) if isinstance(target, dict) and not replaces else {}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            merged[name] = [each for each in merged.get(name) or [] if each not in value]
        elif value is None:
            merged.pop(key, None)
        elif not key.startswith("$"):  # the other directives are about the order: of no consequence here
            merged[key] = strategic(merged.get(key), value, (*path, key))
    return merged


def _strategic_list(target: list[Value], patch: list[Value], path: tuple[str, ...]) -> list[Value]:
    keys = built_in_keys(path) if path else None
    if keys is None or {"$patch": "replace"} in patch:
        return [each for each in patch if each != {"$patch": "replace"}]
    items = list(target)
    for each in patch:
        place = _find(items, each, keys)
        if isinstance(each, dict) and each.get("$patch") == "delete":
            items = [item for number, item in enumerate(items) if number != place]
        elif place is None:
            items.append(strategic({}, each, path))
        else:
            items[place] = strategic(items[place], each, path)
    return items


# --- server-side apply ---------------------------------------------------------------------------------------


def _field_set(value: Value, keys: ListKeys, path: tuple[str, ...] = ()) -> Json:
    """Write down which fields a value sets, in the form of `fieldsV1`."""
    if isinstance(value, dict):
        return {f"f:{key}": _field_set(inner, keys, (*path, key)) for key, inner in value.items()}
    by = keys(path) if isinstance(value, list) and path else None
    if by is None:
        return {}
    if not by:
        return {f"v:{json.dumps(item)}": {} for item in value}
    return {_item_key(item, by): {".": {}, **_field_set(item, keys, path)} for item in value}


def _item_key(item: Json, by: tuple[str, ...]) -> str:
    return "k:" + json.dumps({key: item.get(key) for key in by}, separators=(",", ":"))


def _leaves(fields: Json, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for step, below in fields.items():
        yield from _leaves(below, (*path, step)) if below else [(*path, step)]


def _step(value: Value, step: str) -> tuple[Value, Value]:
    """Follow one step of a path of fieldsV1: give the key or index in `value`, and what is there."""
    kind, _, rest = step.partition(":")
    if kind == "f" and isinstance(value, dict):
        return rest, value.get(rest)
    if isinstance(value, list) and kind in ("k", "v"):
        wanted = json.loads(rest)
        place = _find(value, wanted, tuple(wanted) if kind == "k" else ())
        return place, None if place is None else value[place]
    return None, None


def _read(value: Value, path: tuple[str, ...]) -> Value:
    for step in path:
        value = value if step == "." else _step(value, step)[1]
    return value


def _remove(value: Value, path: tuple[str, ...]) -> None:
    """Remove a field that nobody applies any more, in place."""
    parents = [value]
    for step in path:
        parents.append(_step(parents[-1], step)[1])
    steps = list(zip(parents, path, strict=False))
    parent, last = steps[-1]
    if last == ".":
        parent, last = steps[-2]
    place, found = _step(parent, last)
    if place is not None and found is not None:
        del parent[place]


def _merge_applied(live: Value, applied: Value, keys: ListKeys, path: tuple[str, ...] = ()) -> Value:
    if isinstance(applied, dict):
        merged = dict(live) if isinstance(live, dict) else {}
        for key, value in applied.items():
            merged[key] = _merge_applied(merged.get(key), value, keys, (*path, key))
        return merged
    by = keys(path) if isinstance(applied, list) and path else None
    if by is None or not isinstance(live, list):
        return applied
    items = list(live)
    for each in applied:
        place = _find(items, each, by)
        if place is None:
            items.append(each)
        elif by:
            items[place] = _merge_applied(items[place], each, keys, path)
    return items


def _conflicts(live: Json, applied: Json, entries: list[Json], mine: set[tuple[str, ...]]) -> list[tuple[str, str]]:
    """Give (manager, field) of each field that another manager applied with another value."""
    found = []
    for entry in entries:
        for path in _leaves(entry["fieldsV1"]):
            if path in mine and path[-1] != "." and _read(live, path) != _read(applied, path):
                field = "".join(f".{step[2:]}" if step[0] == "f" else f"[{step[2:]}]" for step in path)
                found.append((entry["manager"], field))
    return found


def _without(fields: Json, taken: set[tuple[str, ...]], path: tuple[str, ...] = ()) -> Json:
    """The fields of a manager that are left to it after another one took some over."""
    left = {}
    for step, below in fields.items():
        if (*path, step) not in taken and (kept := _without(below, taken, (*path, step)) if below else {}) == below:
            left[step] = below
        elif below and kept:
            left[step] = kept
    return left


def apply(live: Json, applied: Json, *, manager: str, sub: str, force: bool, keys: ListKeys, now: str) -> Json:
    """Apply the fields of one manager: set what it names, remove what it named before and nobody else does.

    Only managers that apply are kept in `metadata.managedFields`; what was written by update or patch belongs to
    nobody, so it gives way without a conflict.
    """
    intent = {key: value for key, value in applied.items() if key not in ("apiVersion", "kind")}
    intent["metadata"] = {
        key: value for key, value in applied.get("metadata", {}).items() if key not in ("name", "namespace")
    }
    if not intent["metadata"]:
        del intent["metadata"]
    fields = _field_set(intent, keys)
    mine = set(_leaves(fields))
    entries: list[Json] = copy.deepcopy(live.get("metadata", {}).get("managedFields") or [])
    own = next((each for each in entries if (each["manager"], each.get("subresource", "")) == (manager, sub)), None)
    others = [each for each in entries if each is not own]
    if (conflicts := _conflicts(live, intent, others, mine)) and not force:
        raise _conflict_error(conflicts)
    for each in others if conflicts else ():
        each["fieldsV1"] = _without(each["fieldsV1"], mine)
    others = [each for each in others if each["fieldsV1"]]
    result: Json = copy.deepcopy(_merge_applied(live, intent, keys))
    kept = mine.union(*(set(_leaves(each["fieldsV1"])) for each in others))
    lost = set(_leaves(own["fieldsV1"])) - kept if own else set()
    for path in sorted(lost, key=lambda path: path[-1] != "."):  # whole items first: they are found by their keys
        _remove(result, path)
    entry = {
        "manager": manager,
        "operation": "Apply",
        "apiVersion": applied["apiVersion"],
        "time": own["time"] if own and own["fieldsV1"] == fields else now,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        **({"subresource": sub} if sub else {}),
    }
    result.setdefault("metadata", {})["managedFields"] = [*others, entry]
    return result


def _conflict_error(conflicts: list[tuple[str, str]]) -> ApiError:
    causes = [
        {"reason": "FieldManagerConflict", "message": f'conflict with "{manager}"', "field": field}
        for manager, field in conflicts
    ]
    count = f"{len(causes)} conflict{'s' if len(causes) > 1 else ''}"
    said = "; ".join(f"{cause['message']}: {cause['field']}" for cause in causes)
    return ApiError(409, "Conflict", f"Apply failed with {count}: {said}", {**details("", ""), "causes": causes})
