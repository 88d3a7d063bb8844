"""What sets single kinds apart when they are written: defaults, checks, and fields that cannot change.

Each function gets an object of its own to work on, and gives the faults that it finds.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from datetime import UTC

from campaignpool_local.errors import Cause, bad_request
from campaignpool_local.rules import rule_faults
from campaignpool_local.schema import schema_faults
from campaignpool_local.values import Json, compact, moment, stamp

CRD_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
JOB_LABELS = ("batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name", "controller-uid", "job-name")
_LONGEST_MESSAGE = 1024
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")

Strategy = Callable[[Json, Json | None], list[Cause]]
"""(the new state, the old one or None for a new object) → faults."""


def _namespace(obj: Json, old: Json | None) -> list[Cause]:
    obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"]["name"]
    obj["spec"] = {"finalizers": ["kubernetes"]}
    obj.setdefault("status", {"phase": "Active"} if old is None else old["status"])
    return []


def _configmap(obj: Json, _: Json | None) -> list[Cause]:
    _check_texts(obj.get("data"), "ConfigMap.data")
    return []


def _secret(obj: Json, _: Json | None) -> list[Cause]:
    for key, text in (obj.pop("stringData", None) or {}).items():
        obj.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()
    obj.setdefault("type", "Opaque")
    try:
        for text in (obj.get("data") or {}).values():
            base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise bad_request(f"illegal base64 data in Secret.data: {error}") from error
    return []


def _event(obj: Json, _: Json | None) -> list[Cause]:
    for key in ("firstTimestamp", "lastTimestamp", "eventTime"):
        if text := obj.setdefault(key, None):
            time = moment(text).astimezone(UTC)
            obj[key] = f"{time:%Y-%m-%dT%H:%M:%S.%fZ}" if key == "eventTime" else stamp(time)
    for key, empty in (("source", {}), ("reportingComponent", ""), ("reportingInstance", "")):
        obj.setdefault(key, empty)
    faults, about = [], obj.get("involvedObject", {}).get("namespace", "")
    if about != obj["metadata"]["namespace"] and (about or obj["metadata"]["namespace"] != "default"):
        faults.append(Cause.invalid("involvedObject.namespace", compact(about), "does not match event.namespace"))
    if obj["eventTime"]:  # the older kind of event, without this time, is hardly checked
        needed = ("reason", "action", "reportingComponent", "reportingInstance")
        faults += [Cause.required(key) for key in needed if not obj.get(key)]
        if len(obj.get("message") or "") > _LONGEST_MESSAGE:
            why = f"can have at most {_LONGEST_MESSAGE} characters"
            faults.append(Cause.invalid("message", '""', why))
    return faults


def _fill_pod(spec: Json) -> None:
    """Fill in what a pod, or the template of one, leaves out."""
    defaults = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
    }
    for key, value in defaults.items():
        spec.setdefault(key, value)
    for container in spec.get("containers") or ():
        container.setdefault("resources", {})
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        container.setdefault("imagePullPolicy", "IfNotPresent")


def _pod(obj: Json, old: Json | None) -> list[Cause]:
    _fill_pod(obj.setdefault("spec", {}))
    if old is None:
        obj["status"] = {"phase": "Pending", "qosClass": "BestEffort"}
    return [] if obj["spec"].get("containers") else [Cause.required("spec.containers")]


def _job_faults(spec: Json) -> list[Cause]:
    faults = []
    pod = spec["template"].get("spec") or {}
    if pod.get("restartPolicy") not in ("OnFailure", "Never"):
        why = 'valid values: "OnFailure", "Never"'
        faults.append(Cause.required("spec.template.spec.restartPolicy", why))
    elif "podFailurePolicy" in spec and pod["restartPolicy"] != "Never":
        why = 'only "Never" is supported when podFailurePolicy is specified'
        faults.append(Cause.invalid("spec.template.spec.restartPolicy", json.dumps(pod["restartPolicy"]), why))
    if not pod.get("containers"):
        faults.append(Cause.required("spec.template.spec.containers"))
    if spec["completionMode"] != "NonIndexed":
        message = f'Unsupported value: "{spec["completionMode"]}": this emulator runs "NonIndexed" Jobs only'
        faults.append(Cause("spec.completionMode", "FieldValueNotSupported", message))
    numbers = ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished")
    negative = [key for key in numbers if (spec.get(key) or 0) < 0]
    why = "must be greater than or equal to 0"
    return [*faults, *(Cause.invalid(f"spec.{key}", str(spec[key]), why) for key in negative)]


def _job(obj: Json, old: Json | None) -> list[Cause]:
    spec, uid, name = obj.setdefault("spec", {}), obj["metadata"]["uid"], obj["metadata"]["name"]
    if "parallelism" not in spec:
        spec.setdefault("completions", 1)
    defaults = {
        "parallelism": 1,
        "backoffLimit": 6,
        "manualSelector": False,
        "completionMode": "NonIndexed",
        "suspend": False,
        "podReplacementPolicy": "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed",
    }
    for key, value in defaults.items():
        spec.setdefault(key, value)
    template = spec.setdefault("template", {})
    chosen = (template.get("spec") or {}).get("restartPolicy")
    _fill_pod(template.setdefault("spec", {}))
    if chosen is None:
        del template["spec"]["restartPolicy"]  # of a Job it must be chosen
    if old is None:
        own = dict(zip(JOB_LABELS, (uid, name) * 2, strict=True))
        spec["selector"] = {"matchLabels": {JOB_LABELS[0]: uid}}
        labels = template.setdefault("metadata", {}).setdefault("labels", {})
        labels.update(own)
        obj["metadata"].setdefault("labels", dict(labels))
        obj["status"] = {}
        return [*label_faults(labels, "spec.template.labels"), *_job_faults(spec)]
    return [
        Cause.invalid(f"spec.{key}", json.dumps(spec.get(key)), "field is immutable")
        for key in ("template", "selector", "completions", "completionMode")
        if spec.get(key) != old["spec"].get(key)
    ]


def _crd(obj: Json, old: Json | None) -> list[Cause]:
    spec = obj["spec"]
    names, faults = spec["names"], []
    names.setdefault("singular", names["kind"].lower())
    names.setdefault("listKind", f"{names['kind']}List")
    spec.setdefault("conversion", {"strategy": "None"})
    if obj["metadata"]["name"] != f"{names['plural']}.{spec['group']}":
        value = json.dumps(obj["metadata"]["name"])
        faults.append(Cause.invalid("metadata.name", value, 'must be spec.names.plural+"."+spec.group'))
    for number, version in enumerate(spec["versions"]):
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            field = f"spec.versions[{number}].schema.openAPIV3Schema"
            faults.append(Cause.required(field, "schemas are required"))
            continue
        path = "spec.validation.openAPIV3Schema" if len(spec["versions"]) == 1 else f"spec.versions[{number}]"
        faults += [*schema_faults(schema, path), *rule_faults(schema, path)]
    stored = [version["name"] for version in spec["versions"] if version["storage"]]
    if old is None:
        obj["metadata"].setdefault("finalizers", []).append(CRD_FINALIZER)
    conditions = [
        {
            "type": kind,
            "status": "True",
            "lastTransitionTime": obj["metadata"]["creationTimestamp"],
            "reason": reason,
            "message": message,
        }
        for kind, reason, message in (
            ("NamesAccepted", "NoConflicts", "no conflicts found"),
            ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        )
    ]
    obj["status"] = {"conditions": conditions, "acceptedNames": names, "storedVersions": stored}
    return faults


STRATEGIES: dict[str, Strategy] = {
    "Namespace": _namespace,
    "ConfigMap": _configmap,
    "Secret": _secret,
    "Event": _event,
    "Pod": _pod,
    "Job": _job,
    "CustomResourceDefinition": _crd,
}
"""Of the built-in kinds that have one."""

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    f"'{_SUBDOMAIN.pattern}')"
)


def name_faults(group: str, name: str) -> list[Cause]:
    """Give what is wrong with a name."""
    if not name:
        return [Cause.required("metadata.name", "name or generateName is required")]
    if group == "rbac.authorization.k8s.io" or (_SUBDOMAIN.fullmatch(name) and len(name) <= 253):
        return []
    return [Cause.invalid("metadata.name", json.dumps(name), _SUBDOMAIN_RULE)]


def _check_texts(values: Json | None, where: str) -> None:
    """Raise a 400 for a value that is no text, and so cannot even be read."""
    for value in (values or {}).values():
        if not isinstance(value, str):
            kind = "number" if isinstance(value, int | float) else type(value).__name__
            raise bad_request(f"cannot unmarshal {kind} into Go struct field {where} of type string")


def label_faults(labels: Json | None, field: str) -> list[Cause]:
    """Give the labels that selectors could not speak of."""
    return [
        Cause.invalid(field, compact(text), f"a valid label must match '{_LABEL.pattern}'")
        for key, value in (labels or {}).items()
        for text in (key.rpartition("/")[2], value)
        if not _LABEL.fullmatch(text)
    ]


def metadata_faults(metadata: Json) -> list[Cause]:
    """Give what is wrong with the metadata that clients write."""
    for key in ("labels", "annotations"):
        _check_texts(metadata.get(key), f"ObjectMeta.metadata.{key}")
    owners = metadata.get("ownerReferences") or ()
    faults = label_faults(metadata.get("labels"), "metadata.labels")
    faults += [
        Cause.invalid(f"metadata.ownerReferences.{key}", '""', "must not be empty")
        for key in ("apiVersion", "kind", "name", "uid")
        if not all(owner.get(key) for owner in owners)
    ]
    if sum(bool(owner.get("controller")) for owner in owners) > 1:
        why = "Only one reference can have Controller set to true"
        faults.append(Cause.invalid("metadata.ownerReferences", compact(list(owners)), why))
    return faults


# --- events, which two groups show in words of their own --------------------------------------------------------

_EVENT_WORDS = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}


def event_outward(obj: Json) -> Json:
    """A core event in the words of events.k8s.io."""
    return {_EVENT_WORDS.get(key, key): value for key, value in obj.items()}


def event_inward(obj: Json) -> Json:
    """An event of events.k8s.io in the words of the core group."""
    words = {new: old for old, new in _EVENT_WORDS.items()}
    return {words.get(key, key): value for key, value in obj.items()}
