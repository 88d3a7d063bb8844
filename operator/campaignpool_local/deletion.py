"""What happens when something is deleted: finalizers, dependents, namespaces, the objects of a removed kind."""

from __future__ import annotations

import asyncio

from campaignpool_local.errors import Cause, conflict, details, invalid
from campaignpool_local.kinds import CRD_FINALIZER
from campaignpool_local.objects import NAMESPACES, Registry, is_free
from campaignpool_local.resources import ResourceType
from campaignpool_local.store import Change, Key, name_of
from campaignpool_local.values import Json, Value, stamp

_HOLDS = {"Orphan": "orphan", "Foreground": "foregroundDeletion", "Background": ""}
"""The finalizer with which an object waits for its dependents, by propagation policy."""


def owner_uids(obj: Json) -> set[str]:
    """The uids of an object's owners."""
    return {reference["uid"] for reference in obj["metadata"].get("ownerReferences") or ()}


def _success(kind: ResourceType, obj: Json) -> Json:
    about = details(kind.group, kind.plural, obj["metadata"]["name"], uid=obj["metadata"]["uid"])
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": about}


def _check(kind: ResourceType, obj: Json, options: Json) -> None:
    metadata, group, name = obj["metadata"], kind.group, obj["metadata"]["name"]
    for key, word, hint in (
        ("uid", "UID", ". The object might have been deleted and then recreated"),
        ("resourceVersion", "ResourceVersion", ". The object might have been modified"),
    ):
        wanted = (options.get("preconditions") or {}).get(key)
        if wanted not in (None, metadata[key]):
            why = f"the {word} in the precondition ({wanted}) does not match the {word} in record ({metadata[key]})"
            raise conflict(group, kind.kind, name, why + hint)
    policy = options.get("propagationPolicy") or "Background"
    if policy not in _HOLDS:
        cause = Cause(
            "propagationPolicy",
            "FieldValueNotSupported",
            f'Unsupported value: "{policy}": supported values: "Foreground", "Background", "Orphan"',
        )
        raise invalid("meta.k8s.io", "DeleteOptions", "", [cause])


def _grace(obj: Json, options: Json) -> int:
    """How many seconds the process of a pod has to end; nothing else has a process."""
    if obj["kind"] != "Pod" or obj["status"]["phase"] != "Running":
        return 0
    wanted = options.get("gracePeriodSeconds")
    return int(obj["spec"]["terminationGracePeriodSeconds"] if wanted is None else wanted)


def delete(registry: Registry, kind: ResourceType, obj: Json, options: Json) -> Json:
    """Delete an object, or mark it if something holds it; gives the body of the answer."""
    _check(kind, obj, options)
    store = registry.store
    dry_run = bool(options.get("dryRun"))
    # Jobs are the one kind whose dependents a request that says nothing leaves behind.
    policy = options.get("propagationPolicy") or ("Orphan" if kind.kind == "Job" else "Background")
    hold, grace = _HOLDS[policy], _grace(obj, options)
    metadata = dict(obj["metadata"])
    again = "deletionTimestamp" in metadata
    if hold and hold not in metadata.get("finalizers", ()):
        metadata["finalizers"] = [*metadata.get("finalizers", ()), hold]
    if not again:
        metadata["deletionTimestamp"] = stamp()
        if kind.has_generation:
            metadata["generation"] += 1
    metadata["deletionGracePeriodSeconds"] = min(grace, metadata.get("deletionGracePeriodSeconds", grace))
    marked = {**obj, "metadata": metadata}
    if kind.key == NAMESPACES:
        marked["status"] = {**obj["status"], "phase": "Terminating"}
    if marked == obj or dry_run:
        return registry.shown(kind, marked if not dry_run else obj)
    if not is_free(marked):
        return registry.shown(kind, store.put(kind.key, marked))
    store.remove(kind.key, marked if again else obj)
    whole = kind.kind in ("Pod", "ServiceAccount")
    return registry.shown(kind, obj) if whole else _success(kind, obj)


class Collector:
    """Follows the store and clears away what lost its owner, its namespace or its definition."""

    def __init__(self, registry: Registry) -> None:
        self._registry, self._store = registry, registry.store
        self._waiting = False
        self._store.listeners.append(self._notice)

    def _notice(self, _: Key, change: Change) -> None:
        metadata = change.object["metadata"]
        astray = change.type != "DELETED" and not owner_uids(change.object) <= self._store.uids
        if not self._waiting and (astray or change.type == "DELETED" or "deletionTimestamp" in metadata):
            self._waiting = True
            asyncio.get_running_loop().call_soon(self._sweep)

    def _sweep(self) -> None:
        self._waiting = False
        everything = list(self._store.everything())
        present = frozenset(self._store.uids)
        for key, listed in everything:
            obj = self._fresh(key, listed)
            if obj and owner_uids(obj):
                self._check_owners(key, obj, present)
            obj = self._fresh(key, listed)
            if obj and "deletionTimestamp" in obj["metadata"]:
                uid = obj["metadata"]["uid"]
                self._advance(key, obj, [each for each in self._store.everything() if uid in owner_uids(each[1])])

    def _fresh(self, key: Key, obj: Json) -> Json | None:
        """Give the present state of an object, which this very sweep may have changed."""
        return self._store.get(key, *name_of(obj))

    def _delete(self, key: Key, obj: Json) -> None:
        current = self._fresh(key, obj)
        if current and "deletionTimestamp" not in current["metadata"]:
            kind = self._registry.catalog.of_key(key)
            delete(self._registry, kind, current, {"propagationPolicy": "Background"})

    def _set(self, key: Key, obj: Json, field: str, left: list[Value]) -> None:
        """Leave this of a list in the metadata."""
        metadata = {**obj["metadata"], field: left}
        if not left:
            del metadata[field]
        self._registry.write(key, {**obj, "metadata": metadata})

    def _check_owners(self, key: Key, obj: Json, present: frozenset[str]) -> None:
        """Forget the owners that are gone; without any left, go too."""
        references = obj["metadata"]["ownerReferences"]
        left = [each for each in references if each["uid"] in present]
        if not left:
            self._delete(key, obj)
        elif len(left) < len(references):
            self._set(key, obj, "ownerReferences", left)

    def _advance(self, key: Key, obj: Json, dependents: list[tuple[Key, Json]]) -> None:
        """Bring the deletion of an object that is held one step further."""
        finalizers, uid = obj["metadata"].get("finalizers", []), obj["metadata"]["uid"]
        if "orphan" in finalizers:
            for where, each in dependents:
                left = [other for other in each["metadata"]["ownerReferences"] if other["uid"] != uid]
                self._set(where, each, "ownerReferences", left)
            self._release(key, obj, "orphan")
        elif "foregroundDeletion" in finalizers:
            for where, each in dependents:
                self._delete(where, each)
            left = [each for where, each in dependents if self._fresh(where, each)]
            if not any(_blocks(each, uid) for each in left):
                self._release(key, obj, "foregroundDeletion")
        elif key == NAMESPACES:
            name = obj["metadata"]["name"]
            self._empty([each for each in self._store.everything() if each[1]["metadata"].get("namespace") == name])
            if not any(each["metadata"].get("namespace") == name for _, each in self._store.everything()):
                self._store.remove(key, obj)
        elif CRD_FINALIZER in finalizers:
            objects = (obj["spec"]["group"], obj["spec"]["names"]["plural"])
            self._empty([(objects, each) for each in self._store.list(objects)])
            if not self._store.list(objects):
                self._release(key, obj, CRD_FINALIZER)

    def _empty(self, content: list[tuple[Key, Json]]) -> None:
        for key, obj in content:
            self._delete(key, obj)

    def _release(self, key: Key, obj: Json, finalizer: str) -> None:
        self._set(key, obj, "finalizers", [each for each in obj["metadata"]["finalizers"] if each != finalizer])


def _blocks(dependent: Json, uid: str) -> bool:
    references = dependent["metadata"]["ownerReferences"]
    return any(each["uid"] == uid and each.get("blockOwnerDeletion") for each in references)
