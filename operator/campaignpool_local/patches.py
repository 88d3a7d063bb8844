"""Merge, JSON and strategic merge patches, and the scale of a custom resource; all of it pure."""

from functools import partial

import jsonpatch
import jsonpointer

from campaignpool_local.resources import ResourceType
from campaignpool_local.values import ApiError, Json, Value, json_path

_MERGED_BY = {
    **dict.fromkeys(("containers", "initContainers", "env", "volumes", "imagePullSecrets", "secrets"), "name"),
    "ownerReferences": "uid",
    "conditions": "type",
    "volumeMounts": "mountPath",
}
"""By which key the items of a list belong together in a strategic patch."""


def merge(target: Value, patch: Value, merged_by: dict[str, str] | None = None) -> Value:
    """Apply a JSON merge patch; the lists that are `merged_by` a key are merged item by item."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, list) and key in (merged_by or {}):
            by = (merged_by or {})[key]
            items = {item.get(by): item for item in merged.get(key) or ()}
            items |= {item.get(by): merge(items.get(item.get(by)), item, merged_by) for item in value}
            gone = [item.get(by) for item in value if item.get("$patch") == "delete"]
            merged[key] = [item for name, item in items.items() if name not in gone]
        elif key == "finalizers" and merged_by and isinstance(value, list):
            merged[key] = list(dict.fromkeys([*(merged.get(key) or ()), *value]))
        elif not key.startswith("$"):  # the other directives of strategic patches are about order
            merged[key] = merge(merged.get(key), value, merged_by)
    return merged


strategic = partial(merge, merged_by=_MERGED_BY)
"""Apply a strategic merge patch, which merges some lists by key."""


def json_patch(target: Json, operations: Value) -> Json:
    """Apply a JSON patch, as a whole or not at all."""
    try:
        patched: Json = jsonpatch.apply_patch(target, operations)
    except (jsonpatch.JsonPatchConflict, jsonpatch.JsonPatchTestFailed, jsonpointer.JsonPointerException) as error:
        message = "the server rejected our request due to an error in our request"
        raise ApiError(422, "Invalid", message, {}) from error
    return patched


def scale_of(kind: ResourceType, obj: Json) -> Json:
    """Return the Scale of an object: replicas, wherever the definition of its type says that they are."""
    paths = (kind.crd or {})["subresources"]["scale"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    head = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {key: obj["metadata"][key] for key in kept}}
    wanted, present = (json_path(obj, paths[f"{part}ReplicasPath"]) or 0 for part in ("spec", "status"))
    selector = json_path(obj, paths.get("labelSelectorPath", ".none"))
    status = {"replicas": present, **({"selector": selector} if selector else {})}
    return {**head, "spec": {"replicas": wanted}, "status": status}


def with_scale(kind: ResourceType, obj: Json, scale: Json) -> Json:
    """Return the object with the replicas of a Scale; of its metadata the version alone counts."""
    patch: Value = scale["spec"]["replicas"]
    for step in reversed((kind.crd or {})["subresources"]["scale"]["specReplicasPath"].strip(".").split(".")):
        patch = {step: patch}
    version = (scale.get("metadata") or {}).get("resourceVersion", "")
    merged: Json = merge(obj, {**patch, "metadata": {"resourceVersion": version}})
    return merged
