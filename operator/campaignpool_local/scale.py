"""The scale subresource of custom resources: replicas, wherever the definition says that they are."""

from __future__ import annotations

from campaignpool_local.resources import ResourceType
from campaignpool_local.tables import json_path
from campaignpool_local.values import Json

_GUARDS = ("name", "uid", "resourceVersion")

_GUARDS = ("name", "uid", "resourceVersion")


def _paths(kind: ResourceType) -> Json:
    declared: Json = (kind.crd or {})["subresources"]["scale"]
    return declared


def scale_of(kind: ResourceType, obj: Json) -> Json:
    """Give the Scale of an object."""
    paths = _paths(kind)
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status = {"replicas": json_path(obj, paths["statusReplicasPath"]) or 0}
    if "labelSelectorPath" in paths and (selector := json_path(obj, paths["labelSelectorPath"])):
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: obj["metadata"][key] for key in kept if key in obj["metadata"]},
        "spec": {"replicas": json_path(obj, paths["specReplicasPath"]) or 0},
        "status": status,
    }


def with_scale(kind: ResourceType, obj: Json, scale: Json) -> Json:
    """Give the object with the replicas of a Scale; the rest of the Scale only guards its version."""
    *parents, last = _paths(kind)["specReplicasPath"].strip(".").split(".")
    place = obj
    for step in parents:
        place = place.setdefault(step, {})
    place[last] = (scale.get("spec") or {}).get("replicas", 0)
    guards = {key: value for key, value in (scale.get("metadata") or {}).items() if key in _GUARDS}
    return {**obj, "metadata": {**obj["metadata"], **guards}}
