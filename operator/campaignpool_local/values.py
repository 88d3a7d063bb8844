"""What all rooms share: types, small conversions, and the errors of the API."""

import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

Value = Any  # anything that JSON can hold
Json = dict[str, Any]  # a JSON object
_STEP = re.compile(
    r"""\[\?\(@\.(?P<test>[\w.-]+)\s*==\s*["'](?P<equals>[^"']*)["']\)\]"""
    r"""|\[["'](?P<quoted>[^"']+)["']\]|\.?(?P<name>(?:[\w/-]|\\.)+)"""
)


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def stamp(time: datetime | None = None) -> str:
    """Write a time as Kubernetes does, to the second."""
    return f"{time or now():%Y-%m-%dT%H:%M:%SZ}"


def condition(status: Json, kind: str) -> Json | None:
    """Return a condition of a status, if it is true."""
    true = (statu for statu in status.get("conditions", ()) if (statu["type"], statu["status"]) == (kind, "True"))
    return next(true, None)


def json_path(value: Value, path: str) -> Value:
    """Read a JSONPath of the simple kind that definitions use; None if nothing is there."""
    for step in _STEP.finditer(path):
        if step["test"]:
            items = value if isinstance(value, list) else []
            value = next((item for item in items if str(json_path(item, step["test"])) == step["equals"]), None)
        else:
            name = step["quoted"] or step["name"].replace("\\", "")
            value = value.get(name) if isinstance(value, dict) else None
    return value


class Cause(NamedTuple):
    """One reason why an object is invalid: the field, a machine-readable reason and a sentence."""

    field: str
    reason: str
    message: str


class ApiError(Exception):
    """A request that is refused; `status` is the body of the answer, as Kubernetes words it."""

    def __init__(self, code: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        additional = {} if details is None else {"details": details}
        head = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        why = {"reason": reason} if reason else {}
        self.status: Json = {**head, "message": message, **why, **additional, "code": code}


class NoSuchPathError(Exception):
    """Nothing is served under a path: the answer is plain text, not a Status."""
