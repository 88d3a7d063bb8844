"""What happens when something is deleted: finalizers, dependents, namespaces, the objects of a removed kind."""

import asyncio
from collections import Counter
from collections.abc import Callable

from campaignpool_local.admission.kinds import CRD_FINALIZER
from campaignpool_local.objects import Registry, is_free, shown
from campaignpool_local.resources import CRDS, NAMESPACES, PODS, ResourceType, find
from campaignpool_local.store import Change, Key, Places, name_of
from campaignpool_local.values import Json, Value, stamp

# The finalizer with which an object waits for its dependents, by propagation policy.
_HOLDS = {"Orphan": ["orphan"], "Foreground": ["foregroundDeletion"]}


def delete(registry: Registry, kind: ResourceType, obj: Json, options: Json) -> Json:
    """Delete an object, or mark it if something holds it; gives the body of the answer."""
    metadata, name = dict(obj["metadata"]), obj["metadata"]["name"]
    for key, wanted in (options.get("preconditions") or {}).items():
        if wanted != metadata[key]:
            why = f"the {key} in the precondition ({wanted}) does not match the {key} in record ({metadata[key]})"
            raise kind.conflict(name, why)
    # Jobs are the one kind whose dependents a request that says nothing leaves behind.
    policy = options.get("propagationPolicy") or ("Orphan" if kind.kind == "Job" else "Background")
    held = metadata.get("finalizers") or []
    metadata["finalizers"] = held + [hold for hold in _HOLDS.get(policy, ()) if hold not in held]
    grace = 0  # but for the process of a pod
    if kind.key == PODS and obj["status"]["phase"] == "Running":
        grace = int(options.get("gracePeriodSeconds", obj["spec"]["terminationGracePeriodSeconds"]))
    if "deletionTimestamp" not in metadata:
        metadata |= {"deletionTimestamp": stamp(), "deletionGracePeriodSeconds": grace}
        metadata |= {"generation": metadata["generation"] + 1} if kind.has_generation else {}
    metadata["deletionGracePeriodSeconds"] = min(metadata["deletionGracePeriodSeconds"], grace)
    marked = {**obj, "metadata": metadata, **({"status": {"phase": "Terminating"}} if kind.key == NAMESPACES else {})}
    if options.get("dryRun") or marked == obj:
        return shown(kind, obj)
    if not is_free(marked):
        return shown(kind, registry.store.put(kind.key, marked))
    registry.store.put(kind.key, obj, remove=True)
    details = {**kind.about(name), "uid": metadata["uid"]}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _owners(obj: Json) -> list[Json]:
    return obj["metadata"].get("ownerReferences") or []


def _blocks(uid: str) -> Callable[[Json], bool]:
    """Return whether a reference to this owner holds the owner while its dependents go."""
    return lambda reference: reference["uid"] == uid and bool(reference.get("blockOwnerDeletion"))


class Collector:
    """Follows the store and clears away what lost its owner, its namespace or its definition."""

    def __init__(self, registry: Registry) -> None:
        self._registry, self._store, self._waiting = registry, registry.store, False
        self._store.listeners.append(self._notice)

    def _notice(self, _: Change) -> None:
        if not self._waiting:
            self._waiting = True
            asyncio.get_running_loop().call_soon(self._sweep)

    def _sweep(self) -> None:
        """Do what is due until there is nothing; after every change all is looked at again."""
        self._waiting, seen = False, 0
        while seen != self._store.version:
            seen, everything = self._store.version, self._store.everything()
            present = {obj["metadata"]["uid"] for _, obj in everything}
            for key, obj in everything:
                left = [owner for owner in _owners(obj) if owner["uid"] in present]
                if "deletionTimestamp" in obj["metadata"]:
                    self._advance(key, obj, everything)
                elif _owners(obj) and not left:
                    self._delete(key, obj)
                elif left != _owners(obj):
                    self._set(key, obj, "ownerReferences", left)
                if seen != self._store.version:
                    break

    def _delete(self, key: Key, obj: Json) -> None:
        delete(self._registry, find(self._store, key), obj, {"propagationPolicy": "Background"})

    def _set(self, key: Key, obj: Json, field: str, left: list[Value]) -> None:
        """Leave this of a list in the metadata."""
        metadata = {name: value for name, value in obj["metadata"].items() if name != field}
        self._registry.write(key, {**obj, "metadata": {**metadata, **({field: left} if left else {})}})

    def _advance(self, key: Key, obj: Json, everything: Places) -> None:
        """Bring the deletion of an object that is held one step further: delete what must go first, or release it."""
        finalizers, uid = obj["metadata"].get("finalizers") or [], obj["metadata"]["uid"]
        dependents = [(where, item) for where, item in everything if uid in (own["uid"] for own in _owners(item))]
        first, hold = list[tuple[Key, Json]](), ""
        if "orphan" in finalizers:
            hold = "orphan"
            for where, item in dependents:
                self._set(where, item, "ownerReferences", [own for own in _owners(item) if own["uid"] != uid])
        elif "foregroundDeletion" in finalizers:
            first, hold = dependents, "foregroundDeletion"
        elif key == CRDS:
            objects = (obj["spec"]["group"], obj["spec"]["names"]["plural"])
            first, hold = [(objects, item) for item in self._store.list(objects)], CRD_FINALIZER
        elif key == NAMESPACES:
            first = [(where, item) for where, item in everything if name_of(item)[0] == obj["metadata"]["name"]]
            self._tell(obj, [item for _, item in first])
        for where, item in first:
            self._delete(where, item)
        if hold == "foregroundDeletion":  # it waits for those alone that block it
            first = [(where, item) for where, item in first if any(map(_blocks(uid), _owners(item)))]
        if not first and hold in finalizers:
            self._set(key, obj, "finalizers", [finalizer for finalizer in finalizers if finalizer != hold])
        elif not first and key == NAMESPACES and obj["spec"]:  # the one kind that is held by its spec
            self._registry.write(key, {**obj, "spec": {}})

    def _tell(self, namespace: Json, left: list[Json]) -> None:
        """Write into a namespace that goes what is left in it, and which finalizers hold that."""
        held = [item for item in left if item["metadata"].get("finalizers")]
        counts = Counter(finalizer for item in held for finalizer in item["metadata"]["finalizers"])
        finalizers = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(counts.items()))
        kinds = Counter(f"{item['kind'].lower()}s" for item in held)
        content = ", ".join(f"{kind} has {count} resource instances" for kind, count in sorted(kinds.items()))
        remaining = {
            "NamespaceContentRemaining": ("SomeResourcesRemain", f"Some resources are remaining: {content}"),
            "NamespaceFinalizersRemaining": (
                "SomeFinalizersRemain",
                f"Some content in the namespace has finalizers remaining: {finalizers}",
            ),
        }
        conditions = [
            {"type": kind, "status": "True", "lastTransitionTime": stamp(), "reason": reason, "message": message}
            for kind, (reason, message) in (remaining if held else {}).items()
        ]
        results = [(item["type"], item["message"]) for item in namespace["status"].get("conditions") or ()]
        if held and results != [(condition["type"], condition["message"]) for condition in conditions]:
            status = {**namespace["status"], "conditions": conditions}
            self._registry.write(NAMESPACES, {**namespace, "status": status})
