"""Bodies in protobuf, as kubectl from 1.33 on sends the built-in kinds that its `create` commands make."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from campaignpool_local.errors import unsupported_media
from campaignpool_local.values import Json, Value

MEDIA = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"

Shape = dict[int, tuple[str, Value]]
"""Field number → name and type: text, bytes, number, yes/no, map of text or bytes, or the shape of a message."""

_META: Shape = {
    1: ("name", "text"),
    2: ("generateName", "text"),
    3: ("namespace", "text"),
    11: ("labels", "text map"),
    12: ("annotations", "text map"),
}
_RESOURCE = ("namespace", "verb", "group", "version", "resource", "subresource", "name")
_ACCESS: Shape = {
    1: ("resourceAttributes", {number: (name, "text") for number, name in enumerate(_RESOURCE, 1)}),
    2: ("nonResourceAttributes", {1: ("path", "text"), 2: ("verb", "text")}),
}
_KINDS: dict[str, Shape] = {
    "Namespace": {},
    "ServiceAccount": {},
    "ConfigMap": {2: ("data", "text map"), 3: ("binaryData", "bytes map"), 4: ("immutable", "yes/no")},
    "Secret": {
        2: ("data", "bytes map"),
        3: ("type", "text"),
        4: ("stringData", "text map"),
        5: ("immutable", "yes/no"),
    },
    "TokenRequest": {2: ("spec", {4: ("expirationSeconds", "number")})},
    "SelfSubjectReview": {},
    "SelfSubjectAccessReview": {2: ("spec", _ACCESS)},
    "SelfSubjectRulesReview": {2: ("spec", {1: ("namespace", "text")})},
}


def _number(data: bytes, place: int) -> tuple[int, int]:
    """Read a number of any length: give it and the place behind it."""
    value = shift = 0
    while True:
        value |= (data[place] & 0x7F) << shift
        shift, place = shift + 7, place + 1
        if data[place - 1] < 0x80:  # the bit that says that there is more
            return value, place


def _fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """Give number and raw value of each field of a message."""
    place = 0
    while place < len(data):
        tag, place = _number(data, place)
        value, place = _number(data, place)
        if tag & 7 == 2:  # what was read is the length of what follows
            yield tag >> 3, data[place : place + value]
            place += value
        else:
            yield tag >> 3, value


def _message(data: bytes, shape: Shape) -> Json:
    found: Json = {}
    for number, raw in _fields(data):
        name, kind = shape.get(number, ("", ""))
        if isinstance(kind, dict):
            found[name] = _message(raw, kind)
        elif kind in ("text map", "bytes map"):
            entry = dict(_fields(raw))
            found.setdefault(name, {})[entry[1].decode()] = _scalar(entry.get(2, b""), kind)
        elif name and raw != b"":
            found[name] = _scalar(raw, kind)
    return found


def _scalar(raw: Value, kind: str) -> Value:
    if kind.startswith("bytes"):
        return base64.b64encode(raw).decode()
    return raw.decode() if kind.startswith("text") else bool(raw) if kind == "yes/no" else raw


def decode(data: bytes) -> Json:
    """Give the object in a body, or raise a 415 for a kind that is not understood so."""
    envelope = dict(_fields(data[len(_MAGIC) :])) if data.startswith(_MAGIC) else {}
    head = _message(envelope.get(1, b""), {1: ("apiVersion", "text"), 2: ("kind", "text")})
    shape = _KINDS.get(head.get("kind", ""))
    if shape is None:
        raise unsupported_media(("application/json", "application/yaml"))
    return {**head, **_message(envelope.get(2, b""), {1: ("metadata", _META), **shape})}
