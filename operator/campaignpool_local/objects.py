"""From a request to a stored object: identity, versions, generations; what its kind says comes from admission."""

import secrets
import uuid
from collections.abc import Callable
from copy import deepcopy

from campaignpool_local.admission.events import GROUP, to_core, to_group
from campaignpool_local.admission.jobs import status_faults
from campaignpool_local.admission.kinds import STRATEGIES
from campaignpool_local.admission.names import metadata_faults
from campaignpool_local.cel import broken_rules, has_rules
from campaignpool_local.faults import invalid, required
from campaignpool_local.resources import JOBS, NAMESPACES, ResourceType, find
from campaignpool_local.schema import shaped
from campaignpool_local.store import Key, Store, name_of
from campaignpool_local.values import ApiError, Cause, Json, stamp
from campaignpool_local.violations import list_violations, scale_violations, violations

_CLIENTS = ("labels", "annotations", "finalizers", "ownerReferences", "managedFields", "generateName")
"""The metadata that clients may write; the rest is the server's."""
_BLOCKING = ("Required", "NotSupported", "TypeInvalid", "TooLong", "TooMany")
"""Faults after which no rule is tried, as it might trip over them."""
_UNTRIED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete"
    " validation"
)
_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # of generated names: without vowels, so that they never make a word


def shown(kind: ResourceType, obj: Json) -> Json:
    """Return a stored object as this version shows it: with the defaults that its schema has by now."""
    if kind.group == GROUP:
        return to_group(obj)
    return obj if kind.crd is None else {**shaped(obj, kind.schema), "apiVersion": kind.api_version}


def _admitted(kind: ResourceType, obj: Json, old: Json | None, *, status: bool = False) -> Json:
    """Return the object with its defaults, or raise a 422 with all its faults."""
    given, metadata = obj.get("kind") or kind.kind, obj["metadata"]
    obj = {**obj, "apiVersion": kind.api_version, "kind": kind.kind}
    faults = [] if given == kind.kind else [invalid("kind", given, f"must be {kind.kind}")]
    faults += metadata_faults(metadata, kind.kind, kind.group, old and old["metadata"])
    if kind.crd is not None:
        obj, more = _custom(kind, obj, old, status=status)
        faults += more
    elif not status and kind.kind in STRATEGIES:
        faults += STRATEGIES[kind.kind](obj, old)
    elif status and kind.key == JOBS:
        faults += status_faults(obj.get("status") or {})
    if faults:
        raise kind.invalid(metadata.get("name", ""), faults)
    return obj


def _custom(kind: ResourceType, obj: Json, old: Json | None, *, status: bool) -> tuple[Json, list[Cause]]:
    """Return a custom resource with its defaults, and its faults by its schema."""
    obj, schema = shaped(obj, kind.schema), kind.schema
    if status:  # only this part is looked at, so that a spec of old rules never stops a status
        schema = {"properties": {"status": (schema.get("properties") or {}).get("status") or {}}}
    faults = list(violations(obj, schema))
    if not status and (scale := ((kind.crd or {}).get("subresources") or {}).get("scale")):
        faults += scale_violations(obj, scale["specReplicasPath"])
    faults += list_violations(obj, schema)
    if not any(fault.reason.endswith(_BLOCKING) for fault in faults):
        faults += broken_rules(obj, old, schema)
    elif has_rules(schema):
        faults.append(Cause("<nil>", "FieldValueInvalid", f"Invalid value: null: {_UNTRIED}"))
    return obj, faults


class Registry:
    """What the server and the controllers write through; the objects that it is given become its own.

    Every `gate` sees a new object before it is stored, and raises an error if it must not be.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.gates: list[Callable[[ResourceType, Json], None]] = []
        for name in ("default", "kube-system"):
            self.create(find(store, NAMESPACES), "", {"metadata": {"name": name}})

    def read(self, kind: ResourceType, namespace: str, name: str) -> Json:
        """Return an object as this version shows it, or raise a 404."""
        if value := self.store.get(kind.key, namespace, name):
            return shown(kind, value)
        raise ApiError(404, "NotFound", f'{kind.qualified} "{name}" not found', kind.about(name))

    def create(self, kind: ResourceType, namespace: str, body: Json, *, dry: bool = False) -> Json:
        """Store a new object."""
        if kind.group == GROUP:
            if not body.get("eventTime"):
                raise kind.invalid(body["metadata"].get("name", ""), [required("eventTime")])
            return shown(kind, self.create(find(self.store, kind.key), namespace, to_core(body), dry=dry))
        given = body.get("metadata") or {}
        if given.get("resourceVersion"):
            raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
        if given.get("namespace") not in (None, "", namespace):
            message = "the namespace of the provided object does not match the namespace sent on the request"
            raise ApiError(400, "BadRequest", message)
        name, prefix = given.get("name", ""), given.get("generateName")
        if prefix and not name:
            name = prefix + "".join(secrets.choice(_ALPHABET) for _ in range(5))
        metadata = {key: given[key] for key in _CLIENTS if given.get(key)}
        metadata |= {"name": name, "uid": str(uuid.uuid4()), "creationTimestamp": stamp()}
        metadata |= {"generation": 1} if kind.has_generation else {}
        if kind.namespaced:
            metadata["namespace"] = namespace
            self._check_namespace(kind, name, namespace)
        if "status" in kind.subresources:
            body.pop("status", None)
        obj = _admitted(kind, {**body, "metadata": metadata}, None)
        if self.store.get(kind.key, *name_of(obj)):
            raise ApiError(409, "AlreadyExists", f'{kind.qualified} "{name}" already exists', kind.about(name))
        for gate in self.gates:
            gate(kind, obj)
        return obj if dry else self.store.put(kind.key, obj)

    def _check_namespace(self, kind: ResourceType, name: str, namespace: str) -> None:
        """Raise an error unless a namespace is there, and goes on to be."""
        result = self.read(find(self.store, NAMESPACES), "", namespace)
        if "deletionTimestamp" in result["metadata"]:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = {"reason": "NamespaceTerminating", "message": f"namespace {namespace} is being terminated"}
            details = {**kind.about(name), "causes": [{**cause, "field": "metadata.namespace"}]}
            raise ApiError(403, "Forbidden", f'{kind.qualified} "{name}" is forbidden: {why}', details)

    def update(self, kind: ResourceType, old: Json, wanted: Json, *, status: bool = False, dry: bool = False) -> Json:
        """Put a changed object in place of the stored one, its status alone or the rest."""
        if kind.group == GROUP:
            core = find(self.store, kind.key)
            return shown(kind, self.update(core, to_core(old), to_core(wanted), dry=dry))
        metadata, given = old["metadata"], wanted.get("metadata") or {}
        if given.get("name") not in (None, "", metadata["name"]):
            message = (
                f"the name of the object ({given['name']}) does not match the name on the URL ({metadata['name']})"
            )
            raise ApiError(400, "BadRequest", message)
        if given.get("uid") not in (None, "", metadata["uid"]):
            why = f"Precondition failed: UID in precondition: {given['uid']}, UID in object meta: {metadata['uid']}"
            raise kind.conflict(metadata["name"], why)
        if given.get("resourceVersion") not in (None, "", metadata["resourceVersion"]):
            raise kind.conflict(metadata["name"], _MODIFIED)
        if status:
            managers = given.get("managedFields", metadata.get("managedFields"))
            new = {**old, "status": wanted.get("status"), "metadata": {**metadata, "managedFields": managers}}
        else:
            theirs = {key: given[key] for key in _CLIENTS if given.get(key)}
            ours = {key: value for key, value in metadata.items() if key not in _CLIENTS}
            new = {**wanted, "metadata": {**theirs, **ours}}
            new |= {"status": old.get("status")} if "status" in kind.subresources else {}
        new = deepcopy({key: value for key, value in new.items() if value is not None})
        new = _admitted(kind, new, old, status=status)
        rest = {"metadata", "status"} if "status" in kind.subresources else {"metadata"}
        if kind.has_generation and any(new.get(key) != old.get(key) for key in {*new, *old} - rest):
            new["metadata"] = {**new["metadata"], "generation": metadata["generation"] + 1}
        return new if dry or new == old else self.write(kind.key, new)

    def write(self, key: Key, obj: Json) -> Json:
        """Store a new state unchanged; an object that nothing holds any longer goes with it."""
        return self.store.put(key, obj, remove=is_free(obj))


def is_free(obj: Json) -> bool:
    """Whether nothing holds an object any longer that is marked for deletion."""
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    going = "deletionTimestamp" in metadata and metadata["deletionGracePeriodSeconds"] == 0
    return going and not metadata.get("finalizers") and not spec.get("finalizers")
