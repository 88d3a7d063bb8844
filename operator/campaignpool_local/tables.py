"""What `kubectl get` shows: printer columns, and objects as rows of a Table."""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from campaignpool_local.resources import ResourceType
from campaignpool_local.values import Json, Value, condition, json_path, now

_JOB_STATES = ("Complete", "Failed", "Suspended", "SuccessCriteriaMet", "FailureTarget")
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
        """What an object has in this column; of a date, how long ago it was."""
        value = json_path(obj, self.cell) if isinstance(self.cell, str) else self.cell(obj)
        return age(value) if self.type == "date" else value


def _job_duration(job: Json) -> str | None:
    end = job["status"].get("completionTime") or (condition(job["status"], "Failed") or {}).get("lastTransitionTime")
    return age(job["status"].get("startTime"), datetime.fromisoformat(end) if end else None)


def _state(obj: Json) -> str:
    """What a Job has come to, why the container of a pod waits or ended, else the phase."""
    status = obj["status"]
    if obj["kind"] == "Job":
        return next((state for state in _JOB_STATES if condition(status, state)), "Running")
    states = (state for statu in status.get("containerStatuses") or () for state in statu["state"].values())
    existing = next((state["reason"] for state in states if "reason" in state), str(status["phase"]))
    return "Terminating" if "deletionTimestamp" in obj["metadata"] else existing


def _containers(job: Json, key: str) -> str:
    return ",".join(item.get(key, "") for item in job["spec"]["template"]["spec"]["containers"])


def _selected(job: Json) -> Json:
    labels: Json = (job["spec"].get("selector") or {}).get("matchLabels") or {}
    return labels


_REPORTERS = (".source.component", ".reportingInstance")
_NAME = Column("Name", ".metadata.name", format="name")
_AGE = Column("Age", ".metadata.creationTimestamp", "date")
_DATA = Column("Data", lambda obj: len(obj.get("data") or {}), "integer")
_READY = Column("Ready", lambda pod: f"{int(pod['status']['phase'] == 'Running')}/1")
_COMPLETIONS = Column("Completions", lambda job: f"{job['status'].get('succeeded', 0)}/1")
_ABOUT = Column("Object", lambda event: "{kind}/{name}".format(**event["involvedObject"]).lower())
_PART = Column("Subobject", lambda event: event["involvedObject"].get("fieldPath", ""), priority=1)
_BY = Column("Source", lambda event: ", ".join(filter(None, (json_path(event, by) for by in _REPORTERS))), priority=1)
_STATE = Column("Status", _state)
_SEEN = (_AGE._replace(name="Last Seen"), Column("Type", ".type"), Column("Reason", ".reason"))
_WIDE = (
    Column("Containers", lambda job: _containers(job, "name"), priority=1),
    Column("Images", lambda job: _containers(job, "image"), priority=1),
    Column("Selector", lambda job: ",".join(f"{key}={value}" for key, value in _selected(job).items()), priority=1),
)
_COLUMNS: dict[str, tuple[Column, ...]] = {
    "namespaces": (_NAME, _STATE, _AGE),
    "configmaps": (_NAME, _DATA, _AGE),
    "secrets": (_NAME, Column("Type", ".type"), _DATA, _AGE),
    "pods": (_NAME, _READY, _STATE, Column("Restarts", lambda _: "0"), _AGE),
    "events": (*_SEEN, _ABOUT, _PART, _BY, Column("Message", ".message")),
    "jobs": (_NAME, _STATE, _COMPLETIONS, Column("Duration", _job_duration), _AGE, *_WIDE),
    "leases": (_NAME, Column("Holder", ".spec.holderIdentity"), _AGE),
    "customresourcedefinitions": (_NAME, Column("Created At", ".metadata.creationTimestamp")),
}


def table(kind: ResourceType, objects: list[Json], metadata: Json, include: str, *, headed: bool = True) -> Json:
    """Return a Table of objects; without its head it describes no columns."""
    declared = (kind.crd or {}).get("additionalPrinterColumns")
    columns = [_NAME] if declared else list(_COLUMNS.get(kind.plural, (_NAME, _AGE)))
    for item in map(dict, declared or ()):
        text = f"Custom resource definition column (in JSONPath format): {item['jsonPath']}"
        columns.append(Column(cell=item.pop("jsonPath"), **{"description": text, **item}))
    head = [{key: value for key, value in column._asdict().items() if key != "cell"} for column in columns if headed]
    rows, part = [], {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    for obj in objects:
        carried = {"Object": obj, "None": None}.get(include, {**part, "metadata": obj["metadata"]})
        rows.append({"cells": [column.of(obj) for column in columns], "object": carried})
    return {**part, "kind": "Table", "metadata": metadata, "columnDefinitions": head or None, "rows": rows}
