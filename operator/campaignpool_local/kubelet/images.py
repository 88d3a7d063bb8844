"""Images by their names: which the node has, which it can pull, and in which words it says that it cannot."""

import re
from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import NamedTuple

_TAG = r"[\w][\w.-]{0,127}"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:(?P<host>[A-Za-z0-9.-]+(?::\d+)?)/)?(?P<path>{_PART}(?:/{_PART})*)(?::(?P<tag>{_TAG}))?(?:@(?P<digest>\w+:\w+))?"
)
_RESERVED = ".invalid"  # the domain in which no host ever exists


class Trouble(NamedTuple):
    """Why a container has no image: the reason for which it waits, and the message."""

    reason: str
    message: str


def _parsed(image: str) -> tuple[str, str, str] | None:
    """Return host, path and tag of an image, None if that is no reference."""
    if (match := _REFERENCE.fullmatch(image)) is None:
        return None
    host, path = match["host"] or "", match["path"]
    if host and not ("." in host or ":" in host or host == "localhost"):
        host, path = "", f"{host}/{path}"
    if not host:
        host, path = "docker.io", path if "/" in path else f"library/{path}"
    return host, path, match["tag"] or match["digest"] or "latest"


class Images:
    """The images that the node knows, as patterns; without any, it knows all but those of hosts in `.invalid`."""

    def __init__(self, known: Collection[str] | None = None) -> None:
        self._known = known

    def _knows(self, image: str, host: str) -> bool:
        if self._known is None:
            return not host.partition(":")[0].endswith(_RESERVED)
        return any(fnmatchcase(image, pattern) for pattern in self._known)

    def trouble(self, image: str, policy: str) -> Trouble | None:
        """Return why a container cannot have this image, None if it can."""
        if (parsed := _parsed(image)) is None:
            path = image if "/" in image else f"library/{image}"
            why = f"repository name ({path}) must be lowercase" if image != image.lower() else ""
            rest = f"invalid reference format{f': {why}' if why else ''}"
            message = f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": {rest}'
            return Trouble("InvalidImageName", message)
        host, path, tag = parsed
        if self._knows(image, host):
            return None
        if policy == "Never":
            message = f'Container image "{image}" is not present with pull policy of Never'
            return Trouble("ErrImageNeverPull", message)
        reference = f"{host}/{path}:{tag}"
        cause = f"{reference}: not found"
        if host.partition(":")[0].endswith(_RESERVED):
            url = f"https://{host}/v2/{path}/manifests/{tag}"
            cause = f'failed to do request: Head "{url}": dial tcp: lookup {host} on 10.96.0.10:53: no such host'
        resolve = f'failed to resolve reference "{reference}": {cause}'
        return Trouble("ErrImagePull", f'failed to pull and unpack image "{reference}": {resolve}')
