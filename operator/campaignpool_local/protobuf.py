"""Bodies in protobuf, in which Go clients send built-in kinds: read with the field numbers of Kubernetes' own files.

Only what kubectl and Helm send this way is known; all answers are JSON, which these clients accept as well.
"""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from campaignpool_local.values import ApiError, Json, Value

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class _Field(NamedTuple):
    """A field: its name in JSON, and its type; a star marks a list, `map:` a map from strings."""

    name: str
    type: str = "string"


def _fields(text: str) -> dict[int, _Field]:
    """Read `1 name, 2 data map:bytes`."""
    parts = (part.split() for part in text.split(","))
    return {int(number): _Field(name, *(kind or ["string"])) for number, name, *kind in parts}


_MESSAGES = {
    name: _fields(text)
    for name, text in {
        "TypeMeta": "1 apiVersion, 2 kind",
        "Unknown": "1 typeMeta TypeMeta, 2 raw raw, 3 contentEncoding, 4 contentType",
        "ObjectMeta": (
            "1 name, 2 generateName, 3 namespace, 5 uid, 6 resourceVersion, 7 generation int"
            ", 8 creationTimestamp Time"
            ", 11 labels map:string, 12 annotations map:string, 13 ownerReferences *OwnerReference"
            ", 14 finalizers *string"
        ),
        "OwnerReference": "1 kind, 3 name, 4 uid, 5 apiVersion, 6 controller bool, 7 blockOwnerDeletion bool",
        "Preconditions": "1 uid, 2 resourceVersion",
        "DeleteOptions": (
            "1 gracePeriodSeconds int, 2 preconditions Preconditions, 4 propagationPolicy, 5 dryRun *string"
        ),
        "Namespace": "1 metadata ObjectMeta, 2 spec NamespaceSpec",
        "NamespaceSpec": "1 finalizers *string",
        "Secret": "1 metadata ObjectMeta, 2 data map:bytes, 3 type, 4 stringData map:string, 5 immutable bool",
        "ConfigMap": "1 metadata ObjectMeta, 2 data map:string, 3 binaryData map:bytes, 4 immutable bool",
        "Reference": "1 name",
        "ServiceAccount": "1 metadata ObjectMeta, 3 imagePullSecrets *Reference, 4 automountServiceAccountToken bool",
        "Quantity": "1 string",
        "ResourceQuota": "1 metadata ObjectMeta, 2 spec ResourceQuotaSpec",
        "ResourceQuotaSpec": "1 hard map:Quantity",
        "Lease": "1 metadata ObjectMeta, 2 spec LeaseSpec",
        "LeaseSpec": (
            "1 holderIdentity, 2 leaseDurationSeconds int, 3 acquireTime MicroTime, 4 renewTime MicroTime,"
            " 5 leaseTransitions int"
        ),
        "ResourceAttributes": "1 namespace, 2 verb, 3 group, 4 version, 5 resource, 6 subresource, 7 name",
        "NonResourceAttributes": "1 path, 2 verb",
        "SelfSubjectAccessReview": "1 metadata ObjectMeta, 2 spec AccessReviewSpec",
        "SubjectAccessReview": "1 metadata ObjectMeta, 2 spec AccessReviewSpec",
        "LocalSubjectAccessReview": "1 metadata ObjectMeta, 2 spec AccessReviewSpec",
        "AccessReviewSpec": (
            "1 resourceAttributes ResourceAttributes, 2 nonResourceAttributes NonResourceAttributes, 3 user,"
            " 4 groups *string, 6 uid"
        ),
        "SelfSubjectRulesReview": "1 metadata ObjectMeta, 2 spec RulesReviewSpec",
        "RulesReviewSpec": "1 namespace",
        "SelfSubjectReview": "1 metadata ObjectMeta",
        "TokenRequest": "1 metadata ObjectMeta, 2 spec TokenRequestSpec",
        "TokenRequestSpec": "1 audiences *string, 4 expirationSeconds int",
        "TokenReview": "1 metadata ObjectMeta, 2 spec TokenReviewSpec",
        "TokenReviewSpec": "1 token, 2 audiences *string",
        "PolicyRule": (
            "1 verbs *string, 2 apiGroups *string, 3 resources *string, 4 resourceNames *string,"
            " 5 nonResourceURLs *string"
        ),
        "Role": "1 metadata ObjectMeta, 2 rules *PolicyRule",
        "ClusterRole": "1 metadata ObjectMeta, 2 rules *PolicyRule",
        "Subject": "1 kind, 2 apiGroup, 3 name, 4 namespace",
        "RoleRef": "1 apiGroup, 2 kind, 3 name",
        "RoleBinding": "1 metadata ObjectMeta, 2 subjects *Subject, 3 roleRef RoleRef",
        "ClusterRoleBinding": "1 metadata ObjectMeta, 2 subjects *Subject, 3 roleRef RoleRef",
    }.items()
}


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (raw[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if raw[at - 1] < 0x80:
            return value, at


def _parts(raw: bytes) -> Iterator[tuple[int, Value]]:
    """Return the fields of a message by their numbers: numbers, or bytes."""
    at = 0
    while at < len(raw):
        key, at = _varint(raw, at)
        match key & 7:
            case 0:
                value, at = _varint(raw, at)
                yield key >> 3, value
            case 2:
                length, at = _varint(raw, at)
                yield key >> 3, raw[at : at + length]
                at += length
            case form:
                at += 8 if form == _FIXED64 else 4


def _decoded(value: Value, kind: str) -> Value:
    match kind:
        case "raw":
            return value
        case "string":
            return value.decode()
        case "bytes":
            return base64.b64encode(value).decode()
        case "bool":
            return bool(value)
        case "int":
            return value - 2**64 if value >= 2**63 else value
        case "Time" | "MicroTime":
            parts = dict(_parts(value))
            time = datetime.fromtimestamp(parts.get(1, 0), UTC)
            return f"{time:%Y-%m-%dT%H:%M:%S}" + (f".{parts.get(2, 0) // 1000:06}Z" if kind == "MicroTime" else "Z")
        case "Quantity":
            return _message(value, kind).get("string", "0")
        case _:
            return _message(value, kind)


def _message(raw: bytes, kind: str) -> Json:
    """Read a message into JSON; what is empty is left out, as it is in JSON from Go."""
    found, fields = dict[str, Value](), _MESSAGES[kind]
    for number, value in _parts(raw):
        if (field := fields.get(number)) is None:
            continue
        if field.type.startswith("*"):
            found.setdefault(field.name, []).append(_decoded(value, field.type[1:]))
        elif field.type.startswith("map:"):
            entry = dict(_parts(value))
            inner = _decoded(entry.get(2, b""), field.type[4:])
            found.setdefault(field.name, {})[entry.get(1, b"").decode()] = inner
        elif (decoded := _decoded(value, field.type)) not in ("", {}):
            found[field.name] = decoded
    return found


def decode(body: bytes) -> Json:
    """Return the object in a body; raise a 415 if it is of a kind whose fields are not known here."""
    if not body.startswith(_MAGIC):
        raise ApiError(
            400, "BadRequest", "provided data does not appear to be a protobuf message, expected prefix k8s"
        )
    envelope = _message(body[len(_MAGIC) :], "Unknown")
    kind = envelope.get("typeMeta", {}).get("kind", "")
    if kind not in _MESSAGES:
        message = (
            f"the body of the request was in an unknown format: this emulator takes {kind} as JSON, not as protobuf"
        )
        raise ApiError(415, "UnsupportedMediaType", message)
    return {**envelope["typeMeta"], **_message(envelope.get("raw", b""), kind)}
