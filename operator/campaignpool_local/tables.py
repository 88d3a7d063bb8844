"""What `kubectl get` shows: printer columns, and objects as rows of a Table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

from campaignpool_local.kinds import event_inward
from campaignpool_local.resources import ResourceType
from campaignpool_local.values import Json, Value, condition, moment, now

_STEP = re.compile(
    r"""\.?\[\?\(@\.(?P<test>[\w.-]+)\s*==\s*["'](?P<equals>[^"']*)["']\)\]"""
    r"""|\.?\[(?P<index>-?\d+|\*)\]|\.?\[["'](?P<quoted>[^"']+)["']\]|\.(?P<name>(?:[\w/-]|\\.)+)"""
)


def json_path(value: Value, path: str) -> Value:
    """Read a JSONPath of the simple kind that printer columns use; None if nothing is there."""
    found = [value]
    for step in _STEP.finditer(path):
        if test := step["test"]:
            found = [
                item
                for each in found
                if isinstance(each, list)
                for item in each
                if str(json_path(item, f".{test}")) == step["equals"]
            ]
        elif index := step["index"]:
            chosen = slice(None) if index == "*" else slice(int(index), int(index) + 1 or None)
            found = [item for each in found if isinstance(each, list) for item in each[chosen]]
        else:
            name = step["quoted"] or step["name"].replace("\\", "")
            found = [each[name] for each in found if isinstance(each, dict) and name in each]
    return found[0] if found else None


def human_duration(seconds: float) -> str:
    """Write a duration as kubectl does: the coarser the longer."""
    total = max(0, int(seconds))
    minutes, hours, days = total // 60, total // 3600, total // 86400
    years = days // 365
    for limit, text in (
        (120, f"{total}s"),
        (600, f"{minutes}m" + (f"{total % 60}s" if total % 60 else "")),
        (3 * 3600, f"{minutes}m"),
        (8 * 3600, f"{hours}h" + (f"{minutes % 60}m" if minutes % 60 else "")),
        (48 * 3600, f"{hours}h"),
        (8 * 86400, f"{days}d" + (f"{hours % 24}h" if hours % 24 else "")),
        (2 * 365 * 86400, f"{days}d"),
        (8 * 365 * 86400, f"{years}y" + (f"{days % 365}d" if days % 365 else "")),
    ):
        if total < limit:
            return text
    return f"{years}y"


def age(text: str | None, until: datetime | None = None) -> str | None:
    """How long ago a time was."""
    if not text:
        return None
    return human_duration(((until or now()) - moment(text)).total_seconds())


class Column(NamedTuple):
    """One column: how it is called and what an object has in it."""

    name: str
    cell: Callable[[Json], Value]
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""


NAME = Column(
    "Name", lambda obj: obj["metadata"]["name"], format="name", description="Name must be unique within a namespace."
)
AGE = Column("Age", lambda obj: age(obj["metadata"]["creationTimestamp"]))


def _path(path: str) -> Callable[[Json], Value]:
    return lambda obj: json_path(obj, path)


def job_state(job: Json) -> str:
    """The state of a Job in one word."""
    for kind in ("Complete", "Failed", "Suspended", "SuccessCriteriaMet", "FailureTarget"):
        if condition(job, kind):
            return kind
    return "Terminating" if "deletionTimestamp" in job["metadata"] else "Running"


def _job_duration(job: Json) -> str:
    status = job.get("status") or {}
    end = status.get("completionTime") or (condition(job, "Failed") or {}).get("lastTransitionTime")
    return age(status.get("startTime"), moment(end) if end else None) or ""


def _job_completions(job: Json) -> str:
    wanted = job["spec"].get("completions")
    parallel = job["spec"]["parallelism"]
    of = wanted if wanted is not None else f"1 of {parallel}" if parallel > 1 else 1
    return f"{job.get('status', {}).get('succeeded', 0)}/{of}"


def _of_containers(field: str) -> Callable[[Json], str]:
    return lambda job: ",".join(each.get(field, "") for each in job["spec"]["template"]["spec"]["containers"])


def _job_selector(job: Json) -> str:
    return ",".join(f"{key}={value}" for key, value in job["spec"]["selector"]["matchLabels"].items())


def pod_state(pod: Json) -> str:
    """The state of a pod in one word: why its first container waits or ended, else its phase."""
    if "deletionTimestamp" in pod["metadata"]:
        return "Terminating"
    for status in pod["status"].get("containerStatuses") or ():
        for state in ("waiting", "terminated"):
            if reason := (status["state"].get(state) or {}).get("reason"):
                return str(reason)
    return str(pod["status"]["phase"])


def _pod_ready(pod: Json) -> str:
    ready = sum(bool(each["ready"]) for each in pod["status"].get("containerStatuses") or ())
    return f"{ready}/{len(pod['spec']['containers'])}"


def _pod_restarts(pod: Json) -> str:
    return str(sum(each["restartCount"] for each in pod["status"].get("containerStatuses") or ()))


def _event_source(event: Json) -> str:
    source = event.get("source") or {}
    who = source.get("component") or event.get("reportingComponent")
    return ", ".join(filter(None, (who, source.get("host") or event.get("reportingInstance"))))


def _event_last(event: Json) -> str | None:
    return age(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"])


_COLUMNS: dict[str, tuple[Column, ...]] = {
    "namespaces": (NAME, Column("Status", _path(".status.phase")), AGE),
    "configmaps": (NAME, Column("Data", lambda obj: len(obj.get("data") or {}), "integer"), AGE),
    "secrets": (
        NAME,
        Column("Type", _path(".type")),
        Column("Data", lambda obj: len(obj.get("data") or {}), "integer"),
        AGE,
    ),
    "pods": (
        NAME,
        Column("Ready", _pod_ready),
        Column("Status", pod_state),
        Column("Restarts", _pod_restarts),
        AGE,
        Column("Node", _path(".spec.nodeName"), priority=1),
    ),
    "events": (
        Column("Last Seen", _event_last),
        Column("Type", _path(".type")),
        Column("Reason", _path(".reason")),
        Column(
            "Object", lambda obj: f"{obj['involvedObject']['kind'].lower()}/{obj['involvedObject'].get('name', '')}"
        ),
        Column("Subobject", lambda obj: obj["involvedObject"].get("fieldPath", ""), priority=1),
        Column("Source", _event_source, priority=1),
        Column("Message", lambda obj: (obj.get("message") or "").strip()),
        Column("First Seen", lambda obj: age(obj.get("firstTimestamp") or obj.get("eventTime")), priority=1),
        Column("Count", lambda obj: obj.get("count") or 1, "integer", priority=1),
        NAME._replace(priority=1),
    ),
    "jobs": (
        NAME,
        Column("Status", job_state),
        Column("Completions", _job_completions),
        Column("Duration", _job_duration),
        AGE,
        Column("Containers", _of_containers("name"), priority=1),
        Column("Images", _of_containers("image"), priority=1),
        Column("Selector", _job_selector, priority=1),
    ),
    "leases": (NAME, Column("Holder", _path(".spec.holderIdentity")), AGE),
    "customresourcedefinitions": (NAME, Column("Created At", _path(".metadata.creationTimestamp"), "date")),
}


def _declared(column: Json) -> Column:
    """The column that a CustomResourceDefinition declares."""
    path, kind = column["jsonPath"], column["type"]
    readers: dict[str, Callable[[Value], Value]] = {
        "date": age,
        "integer": lambda value: int(value) if isinstance(value, int | float) else None,
        "number": lambda value: value if isinstance(value, int | float) else None,
        "boolean": lambda value: value if isinstance(value, bool) else None,
        "string": lambda value: None if value is None else value if isinstance(value, str) else str(value),
    }
    description = column.get("description") or f"Custom resource definition column (in JSONPath format): {path}"
    return Column(
        column["name"],
        lambda obj: readers[kind](json_path(obj, path)),
        kind,
        column.get("format", ""),
        column.get("priority", 0),
        description,
    )


def columns_of(kind: ResourceType) -> tuple[Column, ...]:
    """The columns of a type."""
    if kind.crd is None:
        return _COLUMNS.get(kind.plural, (NAME, AGE))
    declared = kind.crd.get("additionalPrinterColumns")
    return (NAME, *map(_declared, declared)) if declared else (NAME, AGE._replace(type="date"))


def partial(obj: Json) -> Json:
    """An object without its content."""
    head = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    return {**head, "metadata": obj["metadata"]}


def table(
    kind: ResourceType, objects: Iterable[Json], metadata: Json, include: str = "Metadata", *, headed: bool = True
) -> Json:
    """Give a Table of objects; without its head it describes no columns."""
    columns = columns_of(kind)
    head = [
        {
            "name": each.name,
            "type": each.type,
            "format": each.format,
            "description": each.description,
            "priority": each.priority,
        }
        for each in columns
    ]
    carried: dict[str, Callable[[Json], Json | None]] = {"Object": lambda obj: obj, "None": lambda _: None}
    carry = carried.get(include, partial)
    plain = event_inward if kind.group == "events.k8s.io" else (lambda obj: obj)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": head if headed else None,
        "rows": [{"cells": [each.cell(plain(obj)) for each in columns], "object": carry(obj)} for obj in objects],
    }
