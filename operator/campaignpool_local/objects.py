"""From a request to a stored object: names, identity, defaults, validation, generations.

`Registry` is what the server and the controllers write through.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from campaignpool_local.errors import (
    ApiError,
    Cause,
    already_exists,
    bad_request,
    details,
    invalid,
    modified,
    not_found,
)
from campaignpool_local.kinds import STRATEGIES, event_inward, event_outward, metadata_faults, name_faults
from campaignpool_local.resources import Catalog, ResourceType
from campaignpool_local.rules import broken_rules, has_rules
from campaignpool_local.schema import fill, prune, violations
from campaignpool_local.store import Change, Key, Store
from campaignpool_local.values import Json, compact, random_suffix, stamp

NAMESPACES: Key = ("", "namespaces")
CRDS: Key = ("apiextensions.k8s.io", "customresourcedefinitions")

_OWNED = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "namespace")
"""Metadata that only the server writes."""
_BLOCKING = ("Required", "NotSupported", "TypeInvalid", "TooLong", "TooMany")
_UNCHECKED = Cause.invalid(
    "<nil>",
    "null",
    "some validation rules were not checked because the object was invalid; correct the existing errors to "
    "complete validation",
)


@dataclass
class Options:
    """How an object is to be written, and what became of its unknown fields."""

    dry_run: bool = False
    strict: bool = False
    """Whether unknown fields are refused, rather than dropped."""
    dropped: list[str] = field(default_factory=list)


def is_free(obj: Json) -> bool:
    """Whether nothing holds an object any longer that is marked for deletion."""
    metadata = obj["metadata"]
    going = "deletionTimestamp" in metadata and metadata.get("deletionGracePeriodSeconds", 0) == 0
    return going and not metadata.get("finalizers") and not (obj.get("spec") or {}).get("finalizers")


def _desired(obj: Json, kind: ResourceType) -> Json:
    """What `metadata.generation` counts the changes of."""
    ignored = {"metadata", *(("status",) if "status" in kind.subresources else ())}
    return {key: value for key, value in obj.items() if key not in ignored}


class Registry:
    """The types that are served and the objects that are stored, with the rules between the two."""

    def __init__(self) -> None:
        self.store = Store()
        self.catalog = Catalog()
        self.store.listeners.append(self._follow_crds)
        for name in ("default", "kube-system"):
            self.create(self.catalog.of_key(NAMESPACES), "", {"metadata": {"name": name}})

    # --- reading ------------------------------------------------------------------------------------------

    def read(self, kind: ResourceType, namespace: str, name: str) -> Json:
        """Give an object as it is stored, or raise a 404."""
        obj = self.store.get(kind.key, namespace, name)
        if obj is None:
            raise not_found(kind.group, kind.plural, name)
        return obj

    def shown(self, kind: ResourceType, obj: Json) -> Json:
        """Give a stored object as this version of this group shows it."""
        if obj["apiVersion"] == kind.api_version:
            return obj
        if kind.crd is None:
            return {**event_outward(obj), "apiVersion": kind.api_version}
        pruned, _ = prune(fill(obj, kind.schema), kind.schema)
        return {**pruned, "apiVersion": kind.api_version}

    # --- writing ------------------------------------------------------------------------------------------

    def create(self, kind: ResourceType, namespace: str, body: Json, options: Options | None = None) -> Json:
        """Store a new object."""
        options = options or Options()
        obj = self._inward(kind, body)
        given = obj.get("metadata") or {}
        if given.get("resourceVersion"):
            raise ApiError(500, None, "resourceVersion should not be set on objects to be created")
        kept = ("labels", "annotations", "finalizers", "ownerReferences", "managedFields", "generateName")
        name = given.get("name") or (f"{given['generateName']}{random_suffix()}" if given.get("generateName") else "")
        if faults := name_faults(kind.group, name):
            raise invalid(kind.group, kind.kind, name, faults)
        if kind.namespaced:
            self._check_namespace(kind, namespace, name)
        obj["metadata"] = {
            "name": name,
            **({"namespace": namespace} if kind.namespaced else {}),
            **{key: given[key] for key in kept if given.get(key)},
            "uid": str(uuid.uuid4()),
            "creationTimestamp": stamp(),
            **({"generation": 1} if kind.has_generation else {}),
        }
        if "status" in kind.subresources:
            obj.pop("status", None)
        obj = self._admitted(kind, obj, None, "", options)
        if self.store.get(kind.key, *self._place(obj)):
            raise already_exists(kind.group, kind.plural, name)
        return self.shown(kind, obj if options.dry_run else self.store.put(kind.key, obj))

    def update(
        self,
        kind: ResourceType,
        namespace: str,
        name: str,
        change: Callable[[Json], Json],
        options: Options | None = None,
        *,
        sub: str = "",
        applies: bool = False,
    ) -> Json:
        """Put a changed object in place of the stored one; `change` gets a copy of that to work on.

        Only the status changes if `sub` says so; `applies` if the books of server-side apply may change too.
        """
        options = options or Options()
        old = self.read(kind, namespace, name)
        wanted = self._inward(kind, change(copy.deepcopy(self.shown(kind, old))))
        self._check_identity(kind, old, wanted.get("metadata") or {})
        new = self._restrained(kind, old, wanted, sub, applies=applies)
        new = self._admitted(kind, new, old, sub, options)
        if kind.has_generation and _desired(new, kind) != _desired(old, kind):
            new["metadata"]["generation"] = old["metadata"]["generation"] + 1
        if new == old:
            return self.shown(kind, old)
        added = set(new["metadata"].get("finalizers", ())) - set(old["metadata"].get("finalizers", ()))
        if added and "deletionTimestamp" in old["metadata"]:
            why = (
                f"no new finalizers can be added if the object is being deleted, found new finalizers {sorted(added)}"
            )
            raise invalid(kind.group, kind.kind, name, [Cause.forbidden("metadata.finalizers", why)])
        return self.shown(kind, new if options.dry_run else self.write(kind.key, new))

    def write(self, key: Key, obj: Json) -> Json:
        """Store a new state as it is; an object that nothing holds any longer goes with it."""
        return self.store.remove(key, obj) if is_free(obj) else self.store.put(key, obj)

    # --- the steps of a write --------------------------------------------------------------------------------

    def _inward(self, kind: ResourceType, body: Json) -> Json:
        if body.get("kind", kind.kind) != kind.kind and kind.crd is None:
            raise bad_request(
                f"{body['kind']} in version {body.get('apiVersion')} cannot be handled as a {kind.kind}"
            )
        if body.get("kind", kind.kind) != kind.kind:
            cause = Cause.invalid("kind", compact(body["kind"]), f"must be {kind.kind}")
            raise invalid(kind.group, kind.kind, (body.get("metadata") or {}).get("name", ""), [cause])
        obj = event_inward(body) if kind.group == "events.k8s.io" else dict(body)
        stored_as = self.catalog.of_key(kind.key)
        api_version = stored_as.api_version if kind.crd is None else kind.api_version
        return {**obj, "apiVersion": api_version, "kind": kind.kind}

    @staticmethod
    def _place(obj: Json) -> tuple[str, str]:
        return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]

    def _check_namespace(self, kind: ResourceType, namespace: str, name: str) -> None:
        found = self.store.get(NAMESPACES, "", namespace)
        if found is None:
            raise not_found("", "namespaces", namespace)
        if "deletionTimestamp" in found["metadata"]:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {namespace} is being terminated",
                "field": "metadata.namespace",
            }
            about = details(kind.group, kind.plural, name, causes=[cause])
            raise ApiError(403, "Forbidden", f'{kind.plural} "{name}" is forbidden: {why}', about)

    def _check_identity(self, kind: ResourceType, old: Json, given: Json) -> None:
        name = old["metadata"]["name"]
        if given.get("name", name) != name:
            message = f"the name of the object ({given['name']}) does not match the name on the URL ({name})"
            raise bad_request(message)
        version = given.get("resourceVersion")
        if version is None and kind.crd is not None:
            cause = Cause.invalid("metadata.resourceVersion", "0", "must be specified for an update")
            raise invalid(kind.group, kind.plural, name, [cause])
        if version not in (None, "", old["metadata"]["resourceVersion"]):
            raise modified(kind.group, kind.plural, name)
        if given.get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
            cause = Cause.invalid("metadata.uid", compact(given["uid"]), "field is immutable")
            raise invalid(kind.group, kind.kind, name, [cause])

    @staticmethod
    def _restrained(kind: ResourceType, old: Json, wanted: Json, sub: str, *, applies: bool) -> Json:
        """Take from the wanted state what this request may change, and the rest from the old one."""
        books = {} if applies else {"managedFields": old["metadata"].get("managedFields")}
        owned = {key: old["metadata"].get(key) for key in (*_OWNED, "resourceVersion")}
        given = old["metadata"] if sub == "status" else wanted.get("metadata") or {}
        if sub == "status" and applies:
            books = {"managedFields": wanted["metadata"]["managedFields"]}
        metadata = {**given, "name": old["metadata"]["name"], **owned, **books}
        metadata = {key: value for key, value in metadata.items() if value not in (None, {}, [])}
        source, status = (old, wanted) if sub == "status" else (wanted, old)
        new = {**source, "metadata": metadata}
        if "status" in kind.subresources:
            new.pop("status", None)
            if status.get("status") is not None:
                new["status"] = status["status"]
        return new

    def _admitted(self, kind: ResourceType, obj: Json, old: Json | None, sub: str, options: Options) -> Json:
        """Give the object with its defaults, or raise a 422 with all its faults."""
        faults = metadata_faults(obj["metadata"])
        if kind.crd is not None:
            obj, more = self._custom(kind, obj, old, sub, options)
            faults += more
        else:
            obj = copy.deepcopy(obj) if old is None else obj
            strategy = STRATEGIES.get(kind.kind)
            faults += strategy(obj, old) if strategy and sub != "status" else []
        if faults:
            raise invalid(kind.group, kind.kind, obj["metadata"]["name"], faults)
        return obj

    @staticmethod
    def _custom(
        kind: ResourceType, obj: Json, old: Json | None, sub: str, options: Options
    ) -> tuple[Json, list[Cause]]:
        schema = kind.schema
        pruned, lost = prune(obj, schema)
        options.dropped += lost
        if lost and options.strict:
            named = ", ".join(f'unknown field "{path}"' for path in lost)
            message = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '
            raise bad_request(f"{message}strict decoding error: {named}")
        filled: Json = fill(pruned, schema)
        value, before, root = filled, old, ""
        if sub == "status":  # only this part is looked at, so that a spec of old rules never stops a status
            value, before, root = filled.get("status") or {}, (old or {}).get("status"), "status"
            schema = (schema.get("properties") or {}).get("status") or {}
        faults = violations(value, schema, root)
        blocked = any(fault.reason.endswith(_BLOCKING) for fault in faults)
        if not blocked:
            faults += broken_rules(value, before, schema, root)
        elif has_rules(schema):
            faults.append(_UNCHECKED)
        return filled, faults

    # --- CustomResourceDefinitions ----------------------------------------------------------------------------

    def _follow_crds(self, key: Key, change: Change) -> None:
        """Serve what a definition says from the moment that it is stored."""
        if key != CRDS:
            return
        crd = change.object
        spec = crd["spec"]
        if change.type == "DELETED":
            self.catalog.forget(crd)
            for queue in self.store.collection((spec["group"], spec["names"]["plural"])).queues:
                queue.put_nowait(None)
            return
        self.catalog.register(crd)
        if change.before is None or change.before["spec"] == spec:
            return
        stored = next(version for version in spec["versions"] if version["storage"])
        schema = (stored.get("schema") or {}).get("openAPIV3Schema") or {}
        objects = (spec["group"], spec["names"]["plural"])
        for obj in self.store.list(objects):
            self.store.swap(objects, fill(obj, schema))
