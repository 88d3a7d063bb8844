"""The refusals of the API: a status and a JSON body with `message` and `help`, some with more, as ImageKit's are."""

from campaignpool_local.values import Json, Value


class RefusedError(Exception):
    """A call that changes nothing; `body` is the answer's."""

    def __init__(self, status: int, message: str, **more: Value) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {"message": message, "help": "This is a stand-in for ImageKit: nobody supports it.", **more}


def missing_parameter(name: str) -> RefusedError:
    """400: a body lacks a parameter, or it is no text."""
    return RefusedError(400, f"Your request is missing the {name} parameter.", reason="MISSING_PARAMETER")


def no_such_file() -> RefusedError:
    """404: the id is well-formed, and of no file (`get-file-details`, `delete-file`)."""
    return RefusedError(404, "The requested file does not exist.")
