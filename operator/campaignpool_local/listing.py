"""Lists: which fields can be selected, pages that share the state of the first, and forms without content."""

import re
import secrets
from collections import OrderedDict

from campaignpool_local.admission.events import GROUP
from campaignpool_local.resources import ResourceType
from campaignpool_local.values import ApiError, Json

_ALWAYS = ("metadata.name", "metadata.namespace")
_SELECTABLE = {
    "pods": ("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "status.phase"),
    "secrets": ("type",),
    "namespaces": ("status.phase",),
    "jobs": ("status.successful",),
    "nodes": ("spec.unschedulable",),
    "events": (
        *(f"involvedObject.{item}" for item in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion")),
        *("involvedObject.fieldPath", "reason", "reportingComponent", "source", "type"),
    ),
}
_KEPT_PAGES = 64
_TOKEN = re.compile(r"[\w-]{22}")


def check_fields(kind: ResourceType, selector: str) -> None:
    """Raise a 400 for a selector of fields that cannot be selected."""
    for term in filter(None, selector.split(",")):
        field, operator, _ = term.partition("=")
        field = field.rstrip("!")
        if not operator:
            raise ApiError(400, "BadRequest", f"invalid selector: '{term}'; can't understand '{term}'")
        value = _SELECTABLE.get(kind.plural, ())
        if kind.group == GROUP:
            value = tuple(item.replace("involvedObject", "regarding") for item in value)
        if kind.crd is not None:
            value = tuple(item["jsonPath"].lstrip(".") for item in kind.crd.get("selectableFields") or ())
        if field not in (*_ALWAYS, *value):
            raise ApiError(400, "BadRequest", f"field label not supported: {field}")


class Pages:
    """Remembers what is left of lists that are read page by page."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, tuple[str, list[Json]]] = OrderedDict()

    def first(self, objects: list[Json], version: str, limit: int) -> tuple[list[Json], Json]:
        """Return the first page and the metadata of the list."""
        return self._cut(objects, version, limit)

    def next(self, token: str, limit: int) -> tuple[list[Json], Json]:
        """Return the page that a token stands for; raise a 410 if it is forgotten."""
        if not _TOKEN.fullmatch(token):
            raise ApiError(400, "BadRequest", f"continue key is not valid: {token}")
        if token not in self._left:
            message = "The provided continue parameter is too old to display a consistent list result."
            raise ApiError(410, "Expired", message)
        version, objects = self._left[token]
        return self._cut(objects, version, limit)

    def _cut(self, objects: list[Json], version: str, limit: int) -> tuple[list[Json], Json]:
        page, left = (objects[:limit], objects[limit:]) if limit else (objects, [])
        metadata: Json = {"resourceVersion": version}
        if left:
            token = secrets.token_urlsafe(16)
            self._left[token] = (version, left)
            while len(self._left) > _KEPT_PAGES:
                self._left.popitem(last=False)
            metadata |= {"continue": token, "remainingItemCount": len(left)}
        return page, metadata


def only_metadata(objects: list[Json], metadata: Json, *, many: bool) -> Json:
    """Return objects without their content."""
    head = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    parts = [{**head, "metadata": item["metadata"]} for item in objects]
    listed = {**head, "kind": "PartialObjectMetadataList", "metadata": metadata, "items": parts}
    return listed if many else parts[0]


def form_of(accept: str) -> str:
    """Return in which form a client wants objects: Table, PartialObjectMetadata, or unchanged; raise a 406."""
    for part in accept.replace(" ", "").split(","):
        kind = next((item[3:] for item in part.split(";") if item.startswith("as=")), "")
        if not kind or kind.startswith("APIGroup"):
            return ""
        if "v=v1" in part.split(";"):
            return "Table" if kind == "Table" else "PartialObjectMetadata"
    message = "only the following media types are accepted: application/json, application/yaml"
    raise ApiError(406, "NotAcceptable", message)
