"""Bodies of built-in kinds, read as Go reads them: wrong types are refused, unknown fields are dropped and told.

Which fields a kind has comes from the models of the official Python client.
"""

import base64
import binascii
import re
from datetime import datetime
from functools import lru_cache
from typing import Any

from kubernetes.client import models

from campaignpool_local.resources import ResourceType
from campaignpool_local.schema import unknown_fields
from campaignpool_local.values import ApiError, Json, Value

_QUANTITY = re.compile(r"[+-]?[0-9.]+[eEinumkKMGTP]*[-+]?[0-9]*")
_QUANTITY_RULE = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_SUFFIX = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[numkMGTPE]|[KMGTPE]i|[eE][-+]?[0-9]+)?")
_QUANTITIES = {
    ("V1ResourceRequirements", "limits"),
    ("V1ResourceRequirements", "requests"),
    ("V1ResourceQuotaSpec", "hard"),
    ("V1EmptyDirVolumeSource", "sizeLimit"),
    ("V1ResourceFieldSelector", "divisor"),
}
_MICRO = ("renewTime", "acquireTime", "eventTime")
_LONG = (
    *("activeDeadlineSeconds", "terminationGracePeriodSeconds", "runAsUser", "runAsGroup", "fsGroup", "generation"),
    *("expirationSeconds", "tolerationSeconds", "deletionGracePeriodSeconds", "observedGeneration"),
)
_PYTHON = {"str": str, "bool": bool, "int": int, "float": int | float, "datetime": str, "bytes": str}
_EVENTS = {"": "CoreV1Event", "events.k8s.io": "EventsV1Event"}


class _DecodeError(Exception):
    """A value that Go cannot read into its field."""


def decoded(kind: ResourceType, body: Json) -> tuple[Json, list[str]]:
    """Return an object without what its kind does not have, and the paths of that; raise a 400 for wrong types."""
    _check_kind(kind, body)
    if kind.crd is not None:
        _metadata(kind, body)
        return body, list(unknown_fields(body, kind.schema))
    name = _EVENTS[kind.group] if kind.kind == "Event" else f"V1{kind.kind}"
    unknown = list[str]()
    try:
        result: Json = _read(body, name, "", unknown)
    except _DecodeError as error:
        raise _refused(kind, str(error)) from error
    return result, unknown


def strict(kind: ResourceType, unknown: list[str]) -> ApiError:
    """Return the error of a client that wants no unknown fields."""
    return _refused(kind, "strict decoding error: " + ", ".join(f'unknown field "{path}"' for path in unknown))


def _refused(kind: ResourceType, why: str) -> ApiError:
    message = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {why}'
    return ApiError(400, "BadRequest", message)


def _check_kind(kind: ResourceType, body: Value) -> None:
    if not isinstance(body, dict):
        raise ApiError(400, "BadRequest", f"couldn't get version/kind; json parse error: {_got(body)} is no object")
    given, version = body.get("kind"), body.get("apiVersion")
    if kind.crd is not None:
        for key, word in (("kind", "Kind"), ("apiVersion", "apiVersion")):
            if not body.get(key):
                message = f"Object '{word}' is missing in the body of the request"
                raise ApiError(400, "BadRequest", message)
        return
    if given not in (None, "", kind.kind) or version not in (None, "", kind.api_version):
        shown = f'{given or kind.kind} in version "{(version or kind.version).rpartition("/")[2]}"'
        raise ApiError(400, "BadRequest", f"{shown} cannot be handled as a {kind.kind}")


def _metadata(kind: ResourceType, body: Json) -> None:
    """Read the metadata of a custom resource, which are as typed as everybody's."""
    try:
        _read({"metadata": body.get("metadata")}, "V1ConfigMap", "", [])
    except _DecodeError as error:
        raise _refused(kind, str(error)) from error


@lru_cache(maxsize=256)
def _model(name: str) -> dict[str, str]:
    """Return the types of a model's fields by their names in JSON."""
    model: Any = getattr(models, name)
    return {model.attribute_map[field]: kind for field, kind in model.openapi_types.items()}


def _got(value: Value) -> str:
    match value:
        case bool():
            return "bool"
        case float():
            return f"number {value}"
        case int():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _go_type(kind: str, field: str) -> str:
    if kind.startswith("List["):
        return f"[]{_go_type(kind[5:-1], field)}"
    if kind.startswith("Dict["):
        return f"map[string]{_go_type(kind[10:-1].strip(), field)}"
    names = {"str": "string", "bytes": "[]uint8", "bool": "bool", "float": "float64", "datetime": "string"}
    if kind == "int":
        return "int64" if field in _LONG else "int32"
    return names.get(kind, f"v1.{_struct(kind)}")


def _struct(model: str) -> str:
    """Return the name of a model's struct in Go."""
    return re.sub(r"^(Core|Events|Discovery|Rbac|Authentication|Storage)?V1(?=[A-Z])", "", model)


def _read(value: Value, model: str, path: str, unknown: list[str]) -> Json:
    """Read an object of a model; null is as good as nothing."""
    found, fields = dict[str, Value](), _model(model)
    for key, item in value.items():
        at = f"{path}.{key}".strip(".")
        if key not in fields:
            unknown.append(at)
        elif item is not None:
            if (model, key) in _QUANTITIES:
                found[key] = _quantities(item)
            else:
                found[key] = _field(item, fields[key], (model, at), unknown)
    return found


def _field(value: Value, kind: str, where: tuple[str, str], unknown: list[str]) -> Value:
    model, path = where
    field = re.sub(r"\[\d+\]$", "", path.rpartition(".")[2])

    def wrong() -> _DecodeError:
        shown = re.sub(r"\[\d+\]", "", path)
        place = f"Go struct field {_struct(model)}.{shown} of type {_go_type(kind, field)}"
        return _DecodeError(f"json: cannot unmarshal {_got(value)} into {place}")

    if kind == "object" or kind.startswith("object"):
        return value
    if kind.startswith("List["):
        if not isinstance(value, list):
            raise wrong()
        return [_item(item, kind[5:-1], (model, f"{path}[{n}]"), unknown) for n, item in enumerate(value)]
    if kind.startswith("Dict["):
        if not isinstance(value, dict):
            raise wrong()
        inner = kind[5:-1].partition(",")[2].strip()
        return {key: _item(item, inner, (model, f"{path}.{key}"), unknown) for key, item in value.items()}
    wanted = {"str": str, "bool": bool, "int": int, "float": int | float, "datetime": str, "bytes": str}.get(
        kind, dict
    )
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind != "bool"):
        raise wrong()
    if kind == "bytes":
        return _base64(str(value))
    if kind == "datetime":
        return _time(str(value), micro=field in _MICRO)
    return _read(value, kind, path, unknown) if wanted is dict else value


def _item(value: Value, kind: str, where: tuple[str, str], unknown: list[str]) -> Value:
    """Read an item of a list or a map, where null is the empty value."""
    if value is None:
        return {} if kind not in ("str", "int", "bool", "bytes") else "" if kind in ("str", "bytes") else 0
    return _field(value, kind, where, unknown)


def _base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error as error:
        place = next((n for n, char in enumerate(text) if not re.match(r"[A-Za-z0-9+/=]", char)), len(text))
        raise _DecodeError(f"illegal base64 data at input byte {place}") from error
    return text


def _time(text: str, *, micro: bool) -> str:
    form = "2006-01-02T15:04:05.000000Z07:00" if micro else "2006-01-02T15:04:05Z07:00"
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise _DecodeError(f'parsing time "{text}" as "{form}": cannot parse "{text}" as "2006"') from error
    if micro and not re.search(r"\.\d{6}(Z|[-+])", text):
        rest = re.sub(r"^[^Z+.]*", "", text)
        raise _DecodeError(f'parsing time "{text}" as "{form}": cannot parse "{rest}" as ".000000"')
    if time.tzinfo is None:
        raise _DecodeError(f'parsing time "{text}" as "{form}": cannot parse "" as "Z07:00"')
    return text


def _quantities(value: Value) -> Value:
    if isinstance(value, dict):
        return {key: _quantity(item) for key, item in value.items()}
    return _quantity(value)


def _quantity(value: Value) -> str:
    """Read a quantity, which may be a number."""
    text = str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    if not _QUANTITY.fullmatch(text):
        raise _DecodeError(_QUANTITY_RULE)
    if not _SUFFIX.fullmatch(text):
        raise _DecodeError("unable to parse quantity's suffix")
    return text
