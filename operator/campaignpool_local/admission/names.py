"""Metadata: the rules for names, labels, annotations, finalizers and owners, in the words of the API server."""

import json
import re
from collections.abc import Iterator

from campaignpool_local.faults import duplicate, forbidden, invalid, required
from campaignpool_local.values import Cause, Json, Value

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_OLD_LABEL = "[a-z]([-a-z0-9]*[a-z0-9])?"
_NAME_PART, _VALUE = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_LONGEST = 63
_MAX_ANNOTATIONS = 256 * 1024


def _rule(said: str, pattern: str, *examples: str) -> str:
    shown = "  or ".join(f"'{example}'," for example in examples)
    return f"{said} (e.g. {shown} regex used for validation is '{pattern}')"


_LABEL_RULE = _rule(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end"
    " with an alphanumeric character",
    _LABEL,
    "my-name",
    "123-abc",
)
_SUBDOMAIN_RULE = _rule(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start"
    " and end with an alphanumeric character",
    _SUBDOMAIN,
    "example.com",
)
_OLD_LABEL_RULE = _rule(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character,"
    " and end with an alphanumeric character",
    _OLD_LABEL,
    "my-name",
    "abc-123",
)
_PART_RULE = _rule(
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric"
    " character",
    _NAME_PART,
    "MyName",
    "my.name",
    "123-abc",
)
_VALUE_RULE = _rule(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and"
    " end with an alphanumeric character",
    _VALUE,
    "MyValue",
    "my_value",
    "12345",
)
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_CONFIG_RULE = _rule(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    _CONFIG_KEY,
    "key.name",
    "KEY_NAME",
    "key-name",
)


def _too_long(most: int) -> str:
    return f"must be no more than {most} bytes"


def label_name(text: str) -> list[str]:
    """Return why a text is no label of the DNS, such as containers have as names."""
    return _checked(text, _LABEL, _LABEL_RULE, _LONGEST)


def subdomain(text: str) -> list[str]:
    """Return why a text is no subdomain of the DNS, such as most objects have as names."""
    return _checked(text, _SUBDOMAIN, _SUBDOMAIN_RULE, 253)


def config_key(text: str) -> list[str]:
    """Return why a text is no key in a Secret or a ConfigMap."""
    return _checked(text, _CONFIG_KEY, _CONFIG_RULE, 253)


def _checked(text: str, pattern: str, rule: str, most: int) -> list[str]:
    faults = [_too_long(most)] if len(text.encode()) > most else []
    return faults + ([] if re.fullmatch(pattern, text) else [rule])


def label_value(text: str) -> list[str]:
    """Return why a text is no value of a label."""
    faults = [_too_long(_LONGEST)] if len(text.encode()) > _LONGEST else []
    return faults + ([] if re.fullmatch(_VALUE, text) else [_VALUE_RULE])


def qualified_name(text: str) -> list[str]:
    """Return why a text is no key of a label: a name, perhaps behind a subdomain and a slash."""
    prefix, slash, name = text.rpartition("/")
    faults = list[str]()
    if slash and not prefix:
        faults.append("prefix part must be non-empty")
    elif slash:
        faults += [f"prefix part {why}" for why in subdomain(prefix)]
    if not name:
        faults.append("name part must be non-empty")
    elif len(name.encode()) > _LONGEST:
        faults.append(f"name part {_too_long(_LONGEST)}")
    return faults + ([] if re.fullmatch(_NAME_PART, name) else [_PART_RULE])


def path_segment(text: str) -> list[str]:
    """Return why a text cannot be a part of a path, which is all that RBAC asks of names."""
    faults = [f"may not be '{text}'"] if text in (".", "..") else []
    return faults + [f"may not contain '{item}'" for item in "/%" if item in text]


def _name_rule(kind: str, group: str) -> Value:
    if group == "rbac.authorization.k8s.io":
        return path_segment
    if kind == "Namespace":
        return label_name
    if kind == "Service":
        return lambda text: _checked(text, _OLD_LABEL, _OLD_LABEL_RULE, _LONGEST)
    return subdomain


def metadata_faults(metadata: Json, kind: str, group: str, old: Json | None) -> Iterator[Cause]:
    """Return the faults of the metadata of an object."""
    if not metadata.get("name"):
        yield required("metadata.name", "name or generateName is required")
    elif old is None:
        for why in _name_rule(kind, group)(metadata["name"]):
            yield invalid("metadata.name", metadata["name"], why)
    yield from label_faults(metadata.get("labels") or {}, "metadata.labels")
    yield from _annotations(metadata.get("annotations") or {})
    for finalizer in metadata.get("finalizers") or ():
        for why in qualified_name(finalizer):
            yield invalid("metadata.finalizers", finalizer, why)
    if old is not None and "deletionTimestamp" in old:
        before = old.get("finalizers") or []
        if late := [item for item in metadata.get("finalizers") or () if item not in before]:
            shown = f"[]string{{{', '.join(json.dumps(name) for name in late)}}}"
            why = "no new finalizers can be added if the object is being deleted, found new finalizers "
            yield forbidden("metadata.finalizers", why + shown)
    yield from _owners(metadata.get("ownerReferences") or [])


def label_faults(labels: dict[str, str], path: str) -> Iterator[Cause]:
    """Return the faults of labels, or of what is matched with labels."""
    for key, value in labels.items():
        for why in qualified_name(key):
            yield invalid(path, key, why)
        for why in label_value(value):
            yield invalid(path, value, why)


def _annotations(annotations: dict[str, str]) -> Iterator[Cause]:
    for key in annotations:
        for why in qualified_name(key.lower()):
            yield invalid("metadata.annotations", key, why)
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > _MAX_ANNOTATIONS:
        yield Cause(
            "metadata.annotations", "FieldValueTooLong", f"Too long: may not be more than {_MAX_ANNOTATIONS} bytes"
        )


def _owners(references: list[Json]) -> Iterator[Cause]:
    for reference in references:
        for field in ("apiVersion", "kind", "name", "uid"):
            if not reference.get(field):
                yield invalid(f"metadata.ownerReferences.{field}", reference.get(field) or "", "must not be empty")
    controllers = [reference for reference in references if reference.get("controller")]
    if len(controllers) > 1:
        first, second = (f"{controller.get('kind')}/{controller.get('name')}" for controller in controllers[:2])
        why = (
            f'Only one reference can have Controller set to true. Found "true" in references for {first} and {second}'
        )
        yield invalid("metadata.ownerReferences", references, why)


def duplicates(values: list[Value], path: str, key: str = "name") -> Iterator[Cause]:
    """Return the second of two items of a list that have the same key."""
    seen = set[Value]()
    for number, item in enumerate(values):
        if (name := item.get(key)) in seen:
            yield duplicate(f"{path}[{number}].{key}", name)
        seen.add(name)
