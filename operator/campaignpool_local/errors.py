"""The errors of the API: each is a `Status` object with its HTTP code, as Kubernetes words them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from campaignpool_local.values import Json, Value


class Cause(NamedTuple):
    """One reason why an object is invalid: the field, a machine-readable reason and a sentence."""

    field: str
    reason: str
    message: str

    @classmethod
    def required(cls, field: str, why: str = "") -> Cause:
        """The field is missing."""
        return cls(field, "FieldValueRequired", "Required value" + (f": {why}" if why else ""))

    @classmethod
    def invalid(cls, field: str, value: str, why: str) -> Cause:
        """The field has a value (already written as JSON) that it must not have."""
        return cls(field, "FieldValueInvalid", f"Invalid value: {value}: {why}")

    @classmethod
    def forbidden(cls, field: str, why: str) -> Cause:
        """The field must not be set so."""
        return cls(field, "FieldValueForbidden", f"Forbidden: {why}")


class ApiError(Exception):
    """A request that is refused; `status` is the body of the answer."""

    def __init__(self, code: int, reason: str | None, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        self.code = code
        head = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
        self.status: Json = {
            **head,
            **({"reason": reason} if reason else {}),
            **({} if details is None else {"details": details}),
            "code": code,
        }


class PlainNotFound(Exception):  # noqa: N818 - it is what a server says in plain text, not a fault of ours
    """A path that no API serves; the answer is plain text rather than a Status."""


def details(group: str, kind: str, name: str = "", **more: Value) -> Json:
    """The `details` of a Status about an object."""
    return {**({"name": name} if name else {}), **({"group": group} if group else {}), "kind": kind, **more}


def qualified(group: str, kind: str) -> str:
    """How messages call a resource or kind: with its group, if it has any."""
    return f"{kind}.{group}" if group else kind


def not_found(group: str, plural: str, name: str) -> ApiError:
    """404: there is no object of this name."""
    return ApiError(404, "NotFound", f'{qualified(group, plural)} "{name}" not found', details(group, plural, name))


def already_exists(group: str, plural: str, name: str) -> ApiError:
    """409: the name is taken."""
    message = f'{qualified(group, plural)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, details(group, plural, name))


def conflict(group: str, kind: str, name: str, why: str) -> ApiError:
    """409: the object is not in the state that the request counts on."""
    message = f'Operation cannot be fulfilled on {qualified(group, kind)} "{name}": {why}'
    return ApiError(409, "Conflict", message, details(group, kind, name))


def modified(group: str, plural: str, name: str) -> ApiError:
    """409: the resourceVersion of the request is no longer the latest."""
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(group, plural, name, why)


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> ApiError:
    """422: the object violates its schema or its rules."""
    faults = [f"{cause.field}: {cause.message}" for cause in causes]
    said = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
    listed = [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]
    message = f'{qualified(group, kind)} "{name}" is invalid: {said}'
    return ApiError(422, "Invalid", message, details(group, kind, name, causes=listed))


def bad_request(message: str) -> ApiError:
    """400: the request cannot be understood."""
    return ApiError(400, "BadRequest", message)


def unknown_resource() -> ApiError:
    """404 for a resource that a built-in group does not have."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def wrong_method() -> ApiError:
    """405: the path exists, but not for this method."""
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message, {})


def rejected_patch() -> ApiError:
    """422 for a JSON patch whose test fails or whose path is missing."""
    message = "the server rejected our request due to an error in our request"
    return ApiError(422, "Invalid", message, {})


def unsupported_media(accepted: Sequence[str]) -> ApiError:
    """415: the body is of a media type that this request does not take."""
    message = "the body of the request was in an unknown format - accepted media types include: "
    return ApiError(415, "UnsupportedMediaType", message + ", ".join(accepted))


def forbidden(user: str, verb: str, group: str, plural: str, sub: str, name: str, namespace: str | None) -> ApiError:
    """403: the roles of the user do not allow this."""
    resource = f"{plural}/{sub}" if sub else plural
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    about = f'{qualified(group, plural)} "{name}"' if name else qualified(group, plural)
    message = (
        f'{about} is forbidden: User "{user}" cannot {verb} resource "{resource}" in API group "{group}" {where}'
    )
    return ApiError(403, "Forbidden", message, details(group, plural, name))
