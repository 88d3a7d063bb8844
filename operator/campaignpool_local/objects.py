"""From a request to a stored object: identity, defaults, validation, generations; what sets single kinds apart."""

import base64
import json
import re
import secrets
import uuid
from copy import deepcopy

from campaignpool_local.cel import broken_rules, has_rules
from campaignpool_local.definitions.validation import definition_faults
from campaignpool_local.resources import NAMESPACES, RBAC, ResourceType, find
from campaignpool_local.schema import shaped
from campaignpool_local.store import Key, Store, name_of
from campaignpool_local.values import ApiError, Cause, Json, stamp
from campaignpool_local.violations import violations

CRD_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
CONTROLLER_UID, JOB_NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
_CLIENTS = ("labels", "annotations", "finalizers", "ownerReferences", "managedFields", "generateName")
"""The metadata that clients may write; the rest is the server's."""
_BLOCKING = ("Required", "NotSupported", "TypeInvalid", "TooLong", "TooMany")
"""Faults after which no rule is tried, as it might trip over them."""
_UNTRIED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete"
    " validation"
)
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SEGMENT = re.compile(r"[^/%]+")  # the names of roles and bindings may be any part of a path
_SUBDOMAIN_RULE = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'"
_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
_POD_DEFAULTS = {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30}
_JOB_DEFAULTS = {
    "parallelism": 1,
    "completions": 1,
    "backoffLimit": 6,
    "manualSelector": False,
    "completionMode": "NonIndexed",
    "suspend": False,
    "podReplacementPolicy": "TerminatingOrFailed",
}
_FIXED = ("template", "selector", "completions", "parallelism", "completionMode")
"""What cannot change in a Job; here it has one pod at a time, so that its parallelism is nothing to play with."""


def _job_faults(obj: Json, old: Json | None) -> list[Cause]:
    """Fill in a Job and give its faults."""
    uid, name = obj["metadata"]["uid"], obj["metadata"]["name"]
    obj["spec"] = spec = {**_JOB_DEFAULTS, **obj.get("spec", {})}
    template = spec.setdefault("template", {})
    pod, where = template.setdefault("spec", {}), "spec.template.spec"
    if old is not None:
        changed = [key for key in _FIXED if spec.get(key) != old["spec"].get(key)]
        why = "Invalid value: {}: field is immutable"
        return [Cause(f"spec.{key}", "FieldValueInvalid", why.format(json.dumps(spec.get(key)))) for key in changed]
    spec["selector"] = {"matchLabels": {CONTROLLER_UID: uid}}
    labels = template.setdefault("metadata", {}).setdefault("labels", {})
    labels.update({CONTROLLER_UID: uid, JOB_NAME: name, "controller-uid": uid, "job-name": name})
    obj["metadata"].setdefault("labels", dict(labels))
    obj["status"], faults = {}, []
    if pod.get("restartPolicy") not in ("OnFailure", "Never"):
        why = 'Required value: valid values: "OnFailure", "Never"'
        faults.append(Cause(f"{where}.restartPolicy", "FieldValueRequired", why))
    if not pod.get("containers"):
        faults.append(Cause(f"{where}.containers", "FieldValueRequired", "Required value"))
    elif len(pod["containers"]) > 1 or {spec["parallelism"], spec["completions"]} != {1}:
        why = "Unsupported value: this emulator runs Jobs of one pod with one container"
        faults.append(Cause(f"{where}.containers", "FieldValueNotSupported", why))
    return faults


def _strategy(kind: ResourceType, obj: Json, old: Json | None) -> list[Cause]:
    """Do to an object what its built-in kind wants, and give the faults."""
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    match kind.kind:
        case "Job":
            return _job_faults(obj, old)
        case "Secret":
            given = {key: base64.b64encode(text.encode()).decode() for key, text in obj.pop("stringData", {}).items()}
            obj |= {"type": "Opaque", **obj, "data": {**(obj.get("data") or {}), **given}}
        case "Namespace":
            metadata["labels"] = {**metadata.get("labels", {}), "kubernetes.io/metadata.name": metadata["name"]}
            obj |= {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}} if old is None else {}
        case "Pod":
            obj |= {"spec": {**_POD_DEFAULTS, **spec}, "status": obj.get("status") or {"phase": "Pending"}}
        case "CustomResourceDefinition":
            if faults := definition_faults(obj):
                return faults
            kinds = {"singular": spec["names"]["kind"].lower(), "listKind": f"{spec['names']['kind']}List"}
            spec["names"] = {**kinds, **spec["names"]}
            metadata["finalizers"] = metadata.get("finalizers") or [CRD_FINALIZER]
            since = metadata["creationTimestamp"]
            holds = {"status": "True", "lastTransitionTime": since, "reason": "", "message": ""}
            conditions = [{"type": each, **holds} for each in ("NamesAccepted", "Established")]
            stored = [version["name"] for version in spec["versions"] if version["storage"]]
            obj["status"] = {"conditions": conditions, "acceptedNames": spec["names"], "storedVersions": stored}
        case _:
            pass
    return []


def shown(kind: ResourceType, obj: Json) -> Json:
    """Give a stored object as this version shows it: with the defaults that its schema has by now."""
    return obj if kind.crd is None else {**shaped(obj, kind.schema), "apiVersion": kind.api_version}


def _admitted(kind: ResourceType, obj: Json, old: Json | None, *, status: bool = False) -> Json:
    """Give the object with its defaults, or raise a 422 with all its faults."""
    obj = {**obj, "apiVersion": kind.api_version, "kind": kind.kind}
    if kind.crd is None:
        faults = [] if status else _strategy(kind, obj, old)
    else:
        obj, schema = shaped(obj, kind.schema), kind.schema
        if status:  # only this part is looked at, so that a spec of old rules never stops a status
            schema = {"properties": {"status": (schema.get("properties") or {}).get("status") or {}}}
        faults = list(violations(obj, schema))
        if not any(fault.reason.endswith(_BLOCKING) for fault in faults):
            faults += broken_rules(obj, old, schema)
        elif has_rules(schema):
            faults.append(Cause("<nil>", "FieldValueInvalid", f"Invalid value: null: {_UNTRIED}"))
    if faults:
        raise kind.invalid(obj["metadata"]["name"], faults)
    return obj


class Registry:
    """What the server and the controllers write through; the objects that it is given become its own."""

    def __init__(self, store: Store) -> None:
        self.store = store
        for name in ("default", "kube-system"):
            self.create(find(store, NAMESPACES), "", {"metadata": {"name": name}})

    def read(self, kind: ResourceType, namespace: str, name: str) -> Json:
        """Give an object as this version shows it, or raise a 404."""
        if found := self.store.get(kind.key, namespace, name):
            return shown(kind, found)
        raise ApiError(404, "NotFound", f'{kind.qualified} "{name}" not found', kind.about(name))

    def create(self, kind: ResourceType, namespace: str, body: Json, *, dry: bool = False) -> Json:
        """Store a new object."""
        given = body.get("metadata") or {}
        name, prefix = given.get("name", ""), given.get("generateName")
        if prefix and not name:  # no vowels, so that it never makes a word
            name = prefix + "".join(secrets.choice("bcdfghjklmnpqrstvwxz2456789") for _ in range(5))
        if not (_SUBDOMAIN.fullmatch(name) or (kind.group == RBAC and _SEGMENT.fullmatch(name))):
            why = f"Invalid value: {json.dumps(name)}: {_SUBDOMAIN_RULE}"
            missing = Cause("metadata.name", "FieldValueRequired", "Required value: name or generateName is required")
            raise kind.invalid(name, [Cause("metadata.name", "FieldValueInvalid", why) if name else missing])
        metadata = {key: given[key] for key in _CLIENTS if given.get(key)}
        metadata |= {"name": name, "uid": str(uuid.uuid4()), "creationTimestamp": stamp()}
        metadata |= {"generation": 1} if kind.has_generation else {}
        if kind.namespaced:
            metadata["namespace"] = self.read(find(self.store, NAMESPACES), "", namespace)["metadata"]["name"]
        if "status" in kind.subresources:
            body.pop("status", None)
        obj = _admitted(kind, {**body, "metadata": metadata}, None)
        if self.store.get(kind.key, *name_of(obj)):
            raise ApiError(409, "AlreadyExists", f'{kind.qualified} "{name}" already exists', kind.about(name))
        return obj if dry else self.store.put(kind.key, obj)

    def update(self, kind: ResourceType, old: Json, wanted: Json, *, status: bool = False, dry: bool = False) -> Json:
        """Put a changed object in place of the stored one, its status alone or the rest."""
        metadata, given = old["metadata"], wanted.get("metadata") or {}
        if given.get("resourceVersion") not in (None, "", metadata["resourceVersion"]):
            raise kind.conflict(metadata["name"], _MODIFIED)
        if status:
            new = {**old, "status": wanted.get("status")}
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
        """Store a new state as it is; an object that nothing holds any longer goes with it."""
        return self.store.put(key, obj, remove=is_free(obj))


def is_free(obj: Json) -> bool:
    """Whether nothing holds an object any longer that is marked for deletion."""
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    going = "deletionTimestamp" in metadata and metadata["deletionGracePeriodSeconds"] == 0
    return going and not metadata.get("finalizers") and not spec.get("finalizers")
