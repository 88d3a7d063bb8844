"""What `kubectl get` shows: printer columns, and objects as rows of a Table."""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from campaignpool_local.resources import ResourceType
from campaignpool_local.values import Json, Value, condition, json_path, now

_UNITS = ((120, 1, "s"), (3 * 3600, 60, "m"), (2 * 86400, 3600, "h"), (2 * 365 * 86400, 86400, "d"))
"""Up to how many seconds a duration is written in which unit."""


def age(text: str | None, until: datetime | None = None) -> str | None:
    """How long ago a time was: the coarser the longer."""
    if not text:
        return None
    seconds = max(0, int(((until or now()) - datetime.fromisoformat(text)).total_seconds()))
    units = (f"{seconds // size}{unit}" for limit, size, unit in _UNITS if seconds < limit)
    return next(units, f"{seconds // (365 * 86400)}y")


class Column(NamedTuple):
    """One column: how it is called, and what an object has in it, as a JSONPath or a function."""

    name: str
    cell: str | Callable[[Json], Value]
    type: str = "string"
    priority: int = 0
    format: str = ""
    description: str = ""


def _job_state(job: Json) -> str:
    states = ("Complete", "Failed", "Suspended", "SuccessCriteriaMet", "FailureTarget")
    return next((state for state in states if condition(job["status"], state)), "Running")


def _job_duration(job: Json) -> str | None:
    end = job["status"].get("completionTime") or (condition(job["status"], "Failed") or {}).get("lastTransitionTime")
    return age(job["status"].get("startTime"), datetime.fromisoformat(end) if end else None)


def _pod_state(pod: Json) -> str:
    """Why the container of a pod waits or ended, else its phase."""
    states = (state for each in pod["status"].get("containerStatuses") or () for state in each["state"].values())
    known = next((state["reason"] for state in states if "reason" in state), str(pod["status"]["phase"]))
    return "Terminating" if "deletionTimestamp" in pod["metadata"] else known


def _event_source(event: Json) -> str:
    return ", ".join(filter(None, (json_path(event, ".source.component"), event.get("reportingInstance"))))


_NAME = Column("Name", ".metadata.name", format="name")
_AGE = Column("Age", ".metadata.creationTimestamp", "date")
_DATA = Column("Data", lambda obj: len(obj.get("data") or {}), "integer")
_READY = Column("Ready", lambda pod: f"{int(pod['status']['phase'] == 'Running')}/1")
_COMPLETIONS = Column("Completions", lambda job: f"{job['status'].get('succeeded', 0)}/1")
_ABOUT = Column("Object", lambda event: "{kind}/{name}".format(**event["involvedObject"]).lower())
_PART = Column("Subobject", lambda event: event["involvedObject"].get("fieldPath", ""), priority=1)
_JOBS = (_NAME, Column("Status", _job_state), _COMPLETIONS, Column("Duration", _job_duration), _AGE)
_PODS = (_NAME, _READY, Column("Status", _pod_state), Column("Restarts", lambda _: "0"), _AGE)
_SEEN = (_AGE._replace(name="Last Seen"), Column("Type", ".type"), Column("Reason", ".reason"))
_COLUMNS: dict[str, tuple[Column, ...]] = {
    "namespaces": (_NAME, Column("Status", ".status.phase"), _AGE),
    "configmaps": (_NAME, _DATA, _AGE),
    "secrets": (_NAME, Column("Type", ".type"), _DATA, _AGE),
    "pods": _PODS,
    "events": (*_SEEN, _ABOUT, _PART, Column("Source", _event_source, priority=1), Column("Message", ".message")),
    "jobs": _JOBS,
    "leases": (_NAME, Column("Holder", ".spec.holderIdentity"), _AGE),
    "customresourcedefinitions": (_NAME, Column("Created At", ".metadata.creationTimestamp")),
}


def _declared(column: Json) -> Column:
    """The column that a CustomResourceDefinition declares."""
    given, path = dict(column), column["jsonPath"]
    said = f"Custom resource definition column (in JSONPath format): {given.pop('jsonPath')}"
    return Column(**{"cell": path, "description": said, **given})


def _cell(column: Column, obj: Json) -> Value:
    value = json_path(obj, column.cell) if isinstance(column.cell, str) else column.cell(obj)
    return age(value) if column.type == "date" else value


def table(kind: ResourceType, objects: list[Json], metadata: Json, include: str, *, headed: bool = True) -> Json:
    """Give a Table of objects; without its head it describes no columns."""
    declared = (kind.crd or {}).get("additionalPrinterColumns")
    columns = (_NAME, *map(_declared, declared)) if declared else _COLUMNS.get(kind.plural, (_NAME, _AGE))
    head = [{key: value for key, value in each._asdict().items() if key != "cell"} for each in columns]
    rows = []
    for obj in objects:
        partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
        carried = {"Object": obj, "None": None}.get(include, partial)
        rows.append({"cells": [_cell(each, obj) for each in columns], "object": carried})
    top = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
    return {**top, "columnDefinitions": head if headed else None, "rows": rows}
