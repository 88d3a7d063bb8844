"""Events: one kind with two faces, that of the core group and that of events.k8s.io, and what both insist on."""

from datetime import UTC, datetime

from campaignpool_local.faults import invalid, required
from campaignpool_local.values import Cause, Json, Value

GROUP = "events.k8s.io"
_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "reportingComponent": "reportingController",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
}
"""The fields that the group calls otherwise, by their names in core."""
_CORE = {group: core for core, group in _NAMES.items()}
_NULL = dict.fromkeys(("firstTimestamp", "lastTimestamp", "eventTime"))
_EMPTY = {"reportingComponent": "", "reportingInstance": "", "source": {}}
_LONGEST = 1024


def to_core(obj: Json) -> Json:
    """Return an Event of the group as the core group has it, which is how it is stored."""
    return {_CORE.get(key, key): value for key, value in obj.items()} | {"apiVersion": "v1"}


def to_group(obj: Json) -> Json:
    """Return a stored Event as the group has it."""
    return {_NAMES.get(key, key): value for key, value in obj.items()} | {"apiVersion": f"{GROUP}/v1"}


def _time(value: Value, form: str) -> Value:
    if not isinstance(value, str):
        return value
    return datetime.fromisoformat(value).astimezone(UTC).strftime(form)


def event_faults(obj: Json, old: Json | None) -> list[Cause]:
    """Fill in an Event in its core form, and return its faults; the older kind without a time is hardly checked."""
    for key, default in {**_NULL, **_EMPTY}.items():
        obj.setdefault(key, default)
    obj["eventTime"] = _time(obj["eventTime"], "%Y-%m-%dT%H:%M:%S.%fZ")
    for key in ("firstTimestamp", "lastTimestamp"):
        obj[key] = _time(obj[key], "%Y-%m-%dT%H:%M:%SZ")
    about, namespace = obj.get("involvedObject") or {}, obj["metadata"]["namespace"]
    faults = list[Cause]()
    if about.get("namespace", "") != namespace and (about.get("namespace") or namespace != "default"):
        where = "involvedObject.namespace"
        faults.append(invalid(where, about.get("namespace", ""), "does not match event.namespace"))
    if obj["eventTime"] is None or old is not None:
        return faults
    names = {"reportingComponent": "reportingController"}
    for key in ("reportingComponent", "reportingInstance", "action", "reason"):
        if not obj.get(key):
            faults.append(required(names.get(key, key)))
    if len(obj.get("message", "").encode()) > _LONGEST:
        faults.append(invalid("message", "", f"can have at most {_LONGEST} characters"))
    return faults
