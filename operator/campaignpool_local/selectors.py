"""Label and field selectors: text to predicate."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from campaignpool_local.errors import bad_request
from campaignpool_local.resources import ResourceType
from campaignpool_local.values import Json, Value

Predicate = Callable[[Json], bool]

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_./-]*[A-Za-z0-9])?"
_SET = re.compile(rf"\s*({_NAME})\s+(in|notin)\s*\(([^()]*)\)\s*")
_ORDER = re.compile(rf"\s*({_NAME})\s*([<>])\s*(\d+)\s*")
_EQUAL = re.compile(rf"\s*({_NAME})\s*(==|!=|=)\s*({_NAME}|)\s*")
_EXISTS = re.compile(rf"\s*(!?)\s*({_NAME})\s*")


def _split(text: str) -> list[str]:
    """Split at the commas that are not inside parentheses."""
    return re.split(r",(?![^(]*\))", text)


def _label_term(term: str) -> Callable[[Mapping[str, str]], bool]:
    if found := _SET.fullmatch(term):
        key, operator, listed = found.groups()
        values = {value.strip() for value in listed.split(",")}
        return lambda labels: (labels.get(key) in values) == (operator == "in")
    if found := _ORDER.fullmatch(term):
        key, operator, bound = found.groups()
        sign = 1 if operator == ">" else -1
        return lambda labels: labels.get(key, "").isdigit() and sign * (int(labels[key]) - int(bound)) > 0
    if found := _EQUAL.fullmatch(term):
        key, operator, value = found.groups()
        return lambda labels: (labels.get(key) == value) == (operator != "!=")
    if found := _EXISTS.fullmatch(term):
        absent, key = found.groups()
        return lambda labels: (key in labels) != bool(absent)
    raise bad_request(f"unable to parse requirement: {term!r}")


def label_selector(text: str) -> Predicate:
    """Compile a label selector; an empty one matches everything."""
    terms = [_label_term(term) for term in _split(text)] if text.strip() else []
    return lambda obj: all(term(obj["metadata"].get("labels") or {}) for term in terms)


def _field(obj: Json, path: str) -> str:
    """Read a field as field selectors see it: text, empty where it is missing."""
    if path == "status.successful":
        return str(obj.get("status", {}).get("succeeded", 0))
    if path in ("source", "source.component"):
        return str(obj.get("source", {}).get("component") or obj.get("reportingComponent") or "")
    value: Value = obj
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def field_selector(text: str, kind: ResourceType) -> Predicate:
    """Compile a field selector for objects of this type; an empty one matches everything."""
    terms: list[tuple[str, bool, str]] = []
    for term in filter(None, text.split(",")):
        found = re.fullmatch(r"\s*([\w.]+?)\s*(==|!=|=)(.*)", term)
        if not found:
            raise bad_request(f"invalid selector: {term!r}; can't understand {term!r}")
        path, operator, value = found.groups()
        if path not in ("metadata.name", "metadata.namespace", *kind.selectable):
            raise bad_request(f"field label not supported: {path}")
        terms.append((path, operator != "!=", value.strip()))
    return lambda obj: all((_field(obj, path) == value) == equal for path, equal, value in terms)


def selector(labels: str, fields: str, kind: ResourceType) -> Predicate:
    """Compile both selectors of a request."""
    by_label, by_field = label_selector(labels), field_selector(fields, kind)
    return lambda obj: by_label(obj) and by_field(obj)
