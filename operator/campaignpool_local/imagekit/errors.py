"""Errors of the API: a status and a JSON body with `message`, `help` and sometimes other fields, as in ImageKit."""

from campaignpool_local.values import Json, Value


class RefusedError(Exception):
    """A refused call, which changes nothing; `body` is the response body."""

    def __init__(self, status: int, message: str, **fields: Value) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {
            "message": message,
            "help": "This is a stand-in for ImageKit: nobody supports it.",
            **fields,
        }


def missing_parameter(name: str) -> RefusedError:
    """Return a 400: a parameter is missing from the body or is not a string."""
    return RefusedError(400, f"Your request is missing the {name} parameter.", reason="MISSING_PARAMETER")


def no_such_file() -> RefusedError:
    """Return a 404: the id is well-formed but unknown (`get-file-details`, `delete-file`)."""
    return RefusedError(404, "The requested file does not exist.")
