"""Jobs: defaults, labels, validation, and what cannot change, in the words of the API server."""

from collections.abc import Iterator
from copy import deepcopy

from campaignpool_local.admission.names import label_faults
from campaignpool_local.admission.pods import pod_faults, with_defaults
from campaignpool_local.faults import invalid, required, unsupported
from campaignpool_local.values import Cause, Json, condition

CONTROLLER_UID, JOB_NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
_DEFAULTS = {
    "parallelism": 1,
    "completions": 1,
    "backoffLimit": 6,
    "manualSelector": False,
    "completionMode": "NonIndexed",
    "suspend": False,
    "podReplacementPolicy": "TerminatingOrFailed",
}
_NUMBERS = ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished")
_FIXED = ("completions", "selector", "template", "completionMode", "podFailurePolicy")
_POD = "spec.template.spec"
_POLICIES = ("OnFailure", "Never")
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")


def job_faults(obj: Json, old: Json | None) -> list[Cause]:
    """Fill in a Job and return its faults."""
    given = (((obj.get("spec") or {}).get("template") or {}).get("spec") or {}).get("restartPolicy")
    spec = obj["spec"] = {**_DEFAULTS, **(obj.get("spec") or {})}
    template = spec["template"] = deepcopy(spec.get("template") or {})
    template["spec"] = with_defaults(template.get("spec") or {})
    if old is None:
        _label(obj, template)
    faults = [] if old is None else list(_changes(spec, old["spec"]))
    faults += _numbers(spec)
    pod = template["spec"]
    for fault in pod_faults(pod, _POD):
        if fault.field != f"{_POD}.restartPolicy":
            faults.append(fault)
    if given in (None, "", "Always"):
        existing = ", ".join(f'"{policy}"' for policy in _POLICIES)
        faults.append(required(f"{_POD}.restartPolicy", f"valid values: {existing}"))
    elif given not in _POLICIES:
        faults.append(unsupported(f"{_POD}.restartPolicy", given, _POLICIES))
    labels = template.get("metadata", {}).get("labels") or {}
    faults += label_faults(labels, "spec.template.labels")
    faults += _policy(spec.get("podFailurePolicy") or {}, pod)
    if old is None and not faults:
        faults += _beyond_this_emulator(spec)
    return faults


def _label(obj: Json, template: Json) -> None:
    """Return a new Job its selector, and its pods the labels of that."""
    uid, name = obj["metadata"]["uid"], obj["metadata"]["name"]
    obj["spec"]["selector"] = {"matchLabels": {CONTROLLER_UID: uid}}
    labels = template.setdefault("metadata", {}).setdefault("labels", {})
    labels.update({CONTROLLER_UID: uid, JOB_NAME: name, "controller-uid": uid, "job-name": name})
    obj["metadata"].setdefault("labels", dict(labels))
    obj["status"] = {}


def _changes(spec: Json, old: Json) -> Iterator[Cause]:
    """Return what changed of what cannot; while a Job is suspended, a scheduler may still change where it runs."""
    for key in _FIXED:
        new, before = spec.get(key), old.get(key)
        if key == "template" and old.get("suspend"):
            new, before = (_without_placement(item or {}) for item in (new, before))
        if new != before:
            yield invalid(f"spec.{key}", spec.get(key), "field is immutable")


def _without_placement(template: Json) -> Json:
    pod = {
        key: item for key, item in (template.get("spec") or {}).items() if key not in ("nodeSelector", "tolerations")
    }
    return {"spec": pod}


def _numbers(spec: Json) -> Iterator[Cause]:
    for key in _NUMBERS:
        if spec.get(key, 0) < 0:
            yield invalid(f"spec.{key}", spec[key], "must be greater than or equal to 0")


def _policy(policy: Json, pod: Json) -> Iterator[Cause]:
    path, names = "spec.podFailurePolicy", {item.get("name") for item in pod.get("containers") or ()}
    if policy and pod["restartPolicy"] != "Never":
        why = 'only "Never" is supported when podFailurePolicy is specified'
        yield invalid(f"{_POD}.restartPolicy", pod["restartPolicy"], why)
    for number, rule in enumerate(policy.get("rules") or ()):
        where = f"{path}.rules[{number}]"
        if rule.get("action") not in _ACTIONS:
            missing = required(f"{where}.action", f"valid values: {list(_ACTIONS)}")
            yield unsupported(f"{where}.action", rule["action"], _ACTIONS) if rule.get("action") else missing
        if codes := rule.get("onExitCodes"):
            if codes.get("operator") not in ("In", "NotIn"):
                yield unsupported(f"{where}.onExitCodes.operator", codes.get("operator", ""), ("In", "NotIn"))
            if not codes.get("values"):
                yield invalid(f"{where}.onExitCodes.values", [], "at least one value is required")
            if codes.get("containerName") and codes["containerName"] not in names:
                why = "must be one of the container or initContainer names in the pod template"
                yield invalid(f"{where}.onExitCodes.containerName", codes["containerName"], why)


def _beyond_this_emulator(spec: Json) -> Iterator[Cause]:
    if spec["parallelism"] not in (0, 1) or spec["completions"] != 1:
        why = "Unsupported value: this emulator runs Jobs of one pod"
        yield Cause("spec.completions", "FieldValueNotSupported", why)


def status_faults(status: Json) -> Iterator[Cause]:
    """Return the faults of the status of a Job that somebody writes."""
    complete, finished = condition(status, "Complete"), condition(status, "Complete") or condition(status, "Failed")
    if complete and not condition(status, "SuccessCriteriaMet"):
        why = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
        yield Cause("status.conditions", "FieldValueInvalid", f"Invalid value: {why}")
    if complete and not status.get("completionTime"):
        yield required("status.completionTime", "completionTime is required for Complete jobs")
    if finished and not status.get("startTime"):
        yield required("status.startTime", "startTime is required for finished job")
