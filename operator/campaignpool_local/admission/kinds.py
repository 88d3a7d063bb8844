"""The built-in kinds: what each fills in, and what it refuses, in the words of the API server."""

import base64
from collections.abc import Callable, Iterator

from campaignpool_local.admission.events import event_faults
from campaignpool_local.admission.jobs import job_faults
from campaignpool_local.admission.names import config_key
from campaignpool_local.admission.pods import pod_faults, with_defaults
from campaignpool_local.definitions.validation import definition_faults
from campaignpool_local.faults import forbidden, invalid, required
from campaignpool_local.values import Cause, Json

CRD_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_IMMUTABLE = "field is immutable when `immutable` is set"
Strategy = Callable[[Json, Json | None], list[Cause]]


def _keys(obj: Json, old: Json | None) -> Iterator[Cause]:
    """Return the faults of the data of a Secret or a ConfigMap."""
    for part in ("data", "binaryData"):
        for key in obj.get(part) or {}:
            yield from (invalid(f"{part}[{key}]", key, why) for why in config_key(key))
        if (old or {}).get("immutable") and (old or {}).get(part) != obj.get(part):
            yield forbidden(part, _IMMUTABLE)
    if (old or {}).get("immutable") and not obj.get("immutable"):
        yield forbidden("immutable", _IMMUTABLE)


def _secret(obj: Json, old: Json | None) -> list[Cause]:
    given = {
        key: base64.b64encode(text.encode()).decode() for key, text in (obj.pop("stringData", None) or {}).items()
    }
    obj |= {"type": "Opaque", **obj}
    if data := {**(obj.get("data") or {}), **given}:
        obj["data"] = data
    faults = list(_keys(obj, old))
    if old is not None and obj["type"] != old["type"]:
        faults.append(invalid("type", obj["type"], "field is immutable"))
    return faults


def _namespace(obj: Json, old: Json | None) -> list[Cause]:
    metadata = obj["metadata"]
    metadata["labels"] = {**metadata.get("labels", {}), "kubernetes.io/metadata.name": metadata["name"]}
    if old is None:
        obj |= {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
    else:
        obj |= {"spec": old["spec"]}
    return []


def _pod(obj: Json, old: Json | None) -> list[Cause]:
    obj |= {"spec": with_defaults(obj.get("spec") or {}), "status": obj.get("status") or {"phase": "Pending"}}
    if old is None:
        return list(pod_faults(obj["spec"], "spec"))
    if _fixed(obj["spec"]) != _fixed(old["spec"]):
        why = (
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
            "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
            "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
        )
        return [forbidden("spec", why)]
    return []


def _fixed(spec: Json) -> Json:
    """Return what cannot change in a pod."""
    fixed = {key: item for key, item in spec.items() if key not in ("activeDeadlineSeconds", "tolerations")}
    return {**fixed, "containers": [{**item, "image": ""} for item in spec["containers"]]}


def _definition(obj: Json, old: Json | None) -> list[Cause]:
    metadata, spec = obj["metadata"], obj["spec"]
    if faults := definition_faults(obj):
        return faults
    kinds = {"singular": spec["names"]["kind"].lower(), "listKind": f"{spec['names']['kind']}List"}
    spec["names"] = {**kinds, **spec["names"]}
    spec.setdefault("conversion", {"strategy": "None"})
    if old is None:
        metadata["finalizers"] = metadata.get("finalizers") or [CRD_FINALIZER]
    since = metadata["creationTimestamp"]
    holds = {"status": "True", "lastTransitionTime": since, "reason": "", "message": ""}
    conditions = [{"type": item, **holds} for item in ("NamesAccepted", "Established")]
    stored = [version["name"] for version in spec["versions"] if version["storage"]]
    obj["status"] = {"conditions": conditions, "acceptedNames": spec["names"], "storedVersions": stored}
    return []


def _binding(obj: Json, old: Json | None) -> list[Cause]:
    if old is not None and obj.get("roleRef") != old.get("roleRef"):
        return [invalid("roleRef", obj.get("roleRef"), "cannot change roleRef")]
    faults = [] if (obj.get("roleRef") or {}).get("name") else [required("roleRef.name")]
    for number, subject in enumerate(obj.get("subjects") or ()):
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", "rbac.authorization.k8s.io")
        elif subject.get("kind") == "ServiceAccount" and not subject.get("namespace"):
            faults.append(required(f"subjects[{number}].namespace"))
        if not subject.get("name"):
            faults.append(required(f"subjects[{number}].name"))
    return faults


def _rules(obj: Json, _: Json | None) -> list[Cause]:
    faults = list[Cause]()
    for number, rule in enumerate(obj.get("rules") or ()):
        if not rule.get("verbs"):
            faults.append(required(f"rules[{number}].verbs", "verbs must contain at least one value"))
        if "nonResourceURLs" in rule:
            continue
        if not rule.get("apiGroups"):
            faults.append(required(f"rules[{number}].apiGroups", "resource rules must supply at least one api group"))
        if not rule.get("resources"):
            faults.append(required(f"rules[{number}].resources", "resource rules must supply at least one resource"))
    return faults


def _deployment(obj: Json, old: Json | None) -> list[Cause]:
    spec = obj["spec"] = {"replicas": 1, **(obj.get("spec") or {})}
    template = spec["template"] = dict(spec.get("template") or {})
    template["spec"] = with_defaults(template.get("spec") or {})
    wanted = (spec.get("selector") or {}).get("matchLabels") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    faults = list(pod_faults(template["spec"], "spec.template.spec"))
    if not wanted:
        faults.append(required("spec.selector"))
    elif not wanted.items() <= labels.items():
        faults.append(invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"))
    if old is not None and spec.get("selector") != old["spec"].get("selector"):
        faults.append(invalid("spec.selector", spec.get("selector"), "field is immutable"))
    if old is None:
        obj["status"] = {}
    return faults


def _lease(obj: Json, _: Json | None) -> list[Cause]:
    spec = obj.get("spec") or {}
    faults = list[Cause]()
    if spec.get("leaseDurationSeconds", 1) <= 0:
        faults.append(invalid("spec.leaseDurationSeconds", spec["leaseDurationSeconds"], "must be greater than 0"))
    if spec.get("leaseTransitions", 0) < 0:
        why = "must be greater than or equal to 0"
        faults.append(invalid("spec.leaseTransitions", spec["leaseTransitions"], why))
    return faults


STRATEGIES: dict[str, Strategy] = {
    "Job": job_faults,
    "Secret": _secret,
    "ConfigMap": lambda obj, old: list(_keys(obj, old)),
    "Namespace": _namespace,
    "Pod": _pod,
    "CustomResourceDefinition": _definition,
    "RoleBinding": _binding,
    "ClusterRoleBinding": _binding,
    "Role": _rules,
    "ClusterRole": _rules,
    "Deployment": _deployment,
    "ReplicaSet": _deployment,
    "Lease": _lease,
    "Event": event_faults,
}
