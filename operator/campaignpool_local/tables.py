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

    def of(self, obj: Json) -> Value:
        """Give the cell of an object."""
        value = json_path(obj, self.cell) if isinstance(self.cell, str) else self.cell(obj)
        return age(value) if self.type == "date" else value


_NAME = Column("Name", ".metadata.name", format="name")
_AGE = Column("Age", ".metadata.creationTimestamp", "date")


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
    who = (event.get("source") or {}).get("component") or event.get("reportingComponent")
    return ", ".join(filter(None, (who, event.get("reportingInstance"))))


def _size(obj: Json) -> int:
    return len(obj.get("data") or {})


_COLUMNS: dict[str, tuple[Column, ...]] = {
    "namespaces": (_NAME, Column("Status", ".status.phase"), _AGE),
    "configmaps": (_NAME, Column("Data", _size, "integer"), _AGE),
    "secrets": (_NAME, Column("Type", ".type"), Column("Data", _size, "integer"), _AGE),
    "pods": (
        _NAME,
        Column("Ready", lambda pod: f"{int(pod['status']['phase'] == 'Running')}/1"),
        Column("Status", _pod_state),
        Column("Restarts", lambda _: "0"),
        _AGE,
    ),
    "events": (
        Column("Last Seen", ".metadata.creationTimestamp", "date"),
        Column("Type", ".type"),
        Column("Reason", ".reason"),
        Column("Object", lambda event: "{kind}/{name}".format(**event["involvedObject"]).lower()),
        Column("Subobject", lambda event: event["involvedObject"].get("fieldPath", ""), priority=1),
        Column("Source", _event_source, priority=1),
        Column("Message", ".message"),
    ),
    "jobs": (
        _NAME,
        Column("Status", _job_state),
        Column("Completions", lambda job: f"{job['status'].get('succeeded', 0)}/1"),
        Column("Duration", _job_duration),
        _AGE,
    ),
    "leases": (_NAME, Column("Holder", ".spec.holderIdentity"), _AGE),
    "customresourcedefinitions": (_NAME, Column("Created At", ".metadata.creationTimestamp")),
}


def _declared(column: Json) -> Column:
    """The column that a CustomResourceDefinition declares."""
    path, given = column["jsonPath"], {key: column[key] for key in column if key != "jsonPath"}
    said = f"Custom resource definition column (in JSONPath format): {path}"
    return Column(**{"description": said, **given, "cell": path})


def partial(obj: Json) -> Json:
    """An object without its content."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def table(kind: ResourceType, objects: list[Json], metadata: Json, include: str, *, headed: bool = True) -> Json:
    """Give a Table of objects; without its head it describes no columns."""
    declared = (kind.crd or {}).get("additionalPrinterColumns")
    columns = (_NAME, *map(_declared, declared)) if declared else _COLUMNS.get(kind.plural, (_NAME, _AGE))
    told = ("name", "type", "format", "description", "priority")
    head = [{key: getattr(each, key) for key in told} for each in columns] if headed else None
    carried: dict[str, Callable[[Json], Json | None]] = {"Object": lambda obj: obj, "None": lambda _: None}
    carry = carried.get(include, partial)
    rows = [{"cells": [each.of(obj) for each in columns], "object": carry(obj)} for obj in objects]
    top = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
    return {**top, "columnDefinitions": head, "rows": rows}
