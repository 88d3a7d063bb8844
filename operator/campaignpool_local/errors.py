"""The errors of the API: each is a `Status` object with its HTTP code, as Kubernetes words them."""

from typing import NamedTuple

from campaignpool_local.values import Json


class Cause(NamedTuple):
    """One reason why an object is invalid: the field, a machine-readable reason and a sentence."""

    field: str
    reason: str
    message: str


class ApiError(Exception):
    """A request that is refused; `status` is the body of the answer."""

    def __init__(self, code: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        more = {} if details is None else {"details": details}
        head = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        self.status: Json = {**head, "message": message, "reason": reason, **more, "code": code}


def unknown_resource() -> ApiError:
    """404: nothing is served there."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})
