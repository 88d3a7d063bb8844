"""Pools that break a bound or a rule of the CRD, one each, and what is said of them.

The bounds are those of the CRD, each with a value one step outside; the rules have their cases below, by message.
"""

import copy
import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from campaignpool.api import crd
from campaignpool_local.values import Json, Value

SPEC: Json = crd.crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
EXCLUSIVE = {"spec.template": ("key", "where"), "spec.blueprint": ("inline", "configMapRef")}
UNTRIED = (
    "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the"
    " existing errors to complete validation"
)
_SIZE = ("spec: Invalid value: size must not exceed maxSize",)
_SIZING = ("spec.sizing: Invalid value: minSize must not exceed maxSize",)
_SIZING_MAX = ("spec: Invalid value: sizing.maxSize must not exceed maxSize",)
_SIZE_IS_FOUND = "size is found by sizing while sizing.mode is Auto: to scale by hand or autoscaler, set it to Off"
_CONNECTIONS = ("spec: Invalid value: maxConcurrent must not exceed database.maxConnections",)
_OWNERS = ("spec: Invalid value: owner ids must be unique",)
_LIFETIME_TEXT = (
    "spec.claims.lifetime: Invalid value: \"object\": type conversion error from 'string' to "
    "'google.protobuf.Duration' evaluating rule: default must not exceed maximum"
)
_LIFETIME = (_LIFETIME_TEXT,)
ALSO = {
    "spec.size-maximum": _SIZE,
    "spec.size-minimum": (".spec.size: Invalid value: -1: should be a non-negative integer",),
    "spec.size-type": (
        ".spec.size: Invalid value: 0: .spec.size accessor error: text is of the type string, expected int64",
    ),
    "spec.owners[0]-type": ("spec.owners[0]: Invalid value: 1: must be an object for an array of list-type map",),
    "spec.maxSize-minimum": (*_SIZE, *_SIZING_MAX),
    "spec.sizing.maxSize-maximum": _SIZING_MAX,
    "spec.sizing.maxSize-minimum": _SIZING,
    "spec.sizing.minSize-maximum": _SIZING,
    "spec.sizing.schedules[0]-type": (
        "spec.sizing.schedules[0]: Invalid value: 1: must be an object for an array of list-type map",
    ),
    "spec.maxConcurrent-maximum": _CONNECTIONS,
    "spec.database.maxConnections-minimum": _CONNECTIONS,
    "spec.claims.lifetime.default-pattern": _LIFETIME,
    "spec.claims.lifetime.default-line feed at the end": _LIFETIME,
    "spec.claims.lifetime.maximum-pattern": _LIFETIME,
    "spec.claims.lifetime.maximum-line feed at the end": _LIFETIME,
    "spec.owners-x-kubernetes-list-map-keys": _OWNERS,
}
"""What else is wrong with the value of a bound: rules, its use as replicas of the Scale, its place in a list."""
TEXTS = ("postgres", "1h", "https://example.com", "/a", "42", "99.9%", "30%")  # one has the pattern of any text
MISFITS = ("no fit", "no\tfit")  # one of these has the pattern of no text


class Bound(NamedTuple):
    """A keyword of a schema, a value that breaks it, and what is said about that."""

    path: str
    keyword: str
    value: Value  # None to leave the field out
    said: str
    blocks: bool = False  # whether rules are not tried then

    def __str__(self) -> str:
        return f"{self.path}-{self.keyword}"

    @property
    def causes(self) -> list[str]:
        """All that is said of a pool that breaks it."""
        first = f"{self.path}{'[1]' if self.keyword.endswith('keys') else ''}: {self.said}"
        return [first, *ALSO.get(str(self), ()), *([UNTRIED] if self.blocks else ())]

    def spec(self) -> Json:
        """Return a valid spec but for this."""
        spec = valid(self.path)
        put(spec, self.path, copy.deepcopy(self.value))
        return spec


def sample(schema: Json, path: str = "spec", towards: str = "") -> Value:
    """Make a valid value with all of its fields; of two that exclude each other, the one on the way to a path."""
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return {"k": sample(schema["additionalProperties"], f"{path}.k", towards)}
        case "object":
            chosen = dict(schema.get("properties", {}))
            for first, second in [EXCLUSIVE[path]] if path in EXCLUSIVE else []:
                left_out = first if towards.startswith(f"{path}.{second}") else second
                del chosen[left_out]
            return {name: sample(item, f"{path}.{name}", towards) for name, item in chosen.items()}
        case "array":
            return [sample(schema["items"], f"{path}[0]", towards)]
        case "string":
            return next(text for text in TEXTS if fits(text, schema))
        case "integer" | "number":
            return schema.get("default", schema.get("minimum", 1))
        case "boolean":
            return False
        case _:
            return "1"


def minimal(schema: Json) -> Value:
    """Make a valid value with the fields alone that it needs."""
    if schema.get("type") == "object" and "properties" in schema:
        return {name: minimal(schema["properties"][name]) for name in schema.get("required", ())}
    return sample(schema)


def fits(text: str, schema: Json) -> bool:
    long_enough = schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", len(text))
    return long_enough and re.fullmatch(schema.get("pattern", ".*"), text) is not None


def bounds(schema: Json, path: str = "spec") -> Iterator[Bound]:
    """Return what is one step outside of every bound, here and below."""
    for name in schema.get("required", ()):
        yield Bound(f"{path}.{name}", "required", None, "Required value", blocks=True)
    yield from numbers(schema, path)
    yield from texts(schema, path)
    yield from lists(schema, path)
    if "enum" in schema:
        existing = ", ".join(json.dumps(item) for item in schema["enum"])
        yield Bound(path, "enum", "Other", f'Unsupported value: "Other": supported values: {existing}', blocks=True)
    kind = schema.get("type")
    if kind and path != "spec" and "enum" not in schema:
        given: Value = 1 if kind in ("string", "boolean", "array", "object") else "text"
        name = "integer" if given == 1 else "string"
        text = f'Invalid value: "{name}": {path} in body must be of type {kind}: "{name}"'
        yield Bound(path, "type", given, text, blocks=True)
    for name, item in schema.get("properties", {}).items():
        yield from bounds(item, f"{path}.{name}")
    if "items" in schema:
        yield from bounds(schema["items"], f"{path}[0]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from bounds(schema["additionalProperties"], f"{path}.k")


def numbers(schema: Json, path: str) -> Iterator[Bound]:
    for keyword, step, words in (("minimum", -1, "greater"), ("maximum", 1, "less")):
        if keyword in schema:
            value, limit = schema[keyword] + step, schema[keyword]
            text = f"Invalid value: {value}: {path} in body should be {words} than or equal to {limit}"
            yield Bound(path, keyword, value, text)


def texts(schema: Json, path: str) -> Iterator[Bound]:
    if "minLength" in schema and "pattern" not in schema:
        text, least = "x" * (schema["minLength"] - 1), schema["minLength"]
        outcome = f'Invalid value: "{text}": {path} in body should be at least {least} chars long'
        yield Bound(path, "minLength", text, outcome)
    if "maxLength" in schema and "pattern" not in schema:
        most = schema["maxLength"]
        yield Bound(path, "maxLength", "x" * (most + 1), f"Too long: may not be more than {most} bytes", blocks=True)
    if "pattern" in schema:
        misfit = next(text for text in MISFITS if not re.search(schema["pattern"], text))
        for name, text in (("pattern", misfit), ("line feed at the end", sample(schema) + "\n")):
            outcome = f"Invalid value: {json.dumps(text)}: {path} in body should match '{schema['pattern']}'"
            yield Bound(path, name, text, outcome)


def lists(schema: Json, path: str) -> Iterator[Bound]:
    """Return bounds of lists and maps."""
    item = sample(schema["items"]) if "items" in schema else None
    keys = schema.get("x-kubernetes-list-map-keys", ())
    if "maxItems" in schema:
        most = schema["maxItems"]
        bare = minimal(schema["items"])
        items = [{**bare, **{key: f"{key}{n}" for key in keys}} if keys else bare for n in range(most + 1)]
        yield Bound(path, "maxItems", items, f"Too many: {most + 1}: must have at most {most} items", blocks=True)
    if "minItems" in schema:
        least = schema["minItems"]
        yield Bound(path, "minItems", [], f"Invalid value: 0: {path} in body should have at least {least} items")
    if keys:
        existing = json.dumps({key: item[key] for key in keys}, separators=(",", ":"))
        yield Bound(path, "x-kubernetes-list-map-keys", [item, item], f"Duplicate value: {existing}")
    if "maxProperties" in schema:
        most, inner = schema["maxProperties"], sample(schema["additionalProperties"])
        entries = {f"k{n}": inner for n in range(most + 1)}
        text = f"Too many: {most + 1}: must have at most {most} items"
        yield Bound(path, "maxProperties", entries, text, blocks=True)
    if "minProperties" in schema:
        least = schema["minProperties"]
        text = f"Invalid value: 0: {path} in body should have at least {least} properties"
        yield Bound(path, "minProperties", {}, text)


def joined(causes: list[str]) -> str:
    """Return causes as the API server joins them in one message."""
    return causes[0] if len(causes) == 1 else f"[{', '.join(causes)}]"


def put(spec: Json, path: str, value: Value) -> None:
    """Set what is at a path below `spec`, or take it away."""
    *way, last = re.findall(r"[^.\[\]]+", path)[1:]
    at: Value = spec
    for step in way:
        at = at[int(step) if step.isdigit() else step]
    if value is None:
        del at[last]
    else:
        at[int(last) if last.isdigit() else last] = value


class Rule(NamedTuple):
    """A case of a rule: what is put into a valid spec, and perhaps what that is changed to; what is said."""

    put: Json
    causes: list[str]
    then: Json | None = None


RULES = {
    "size must not exceed maxSize": Rule(
        {"spec.size": 6, "spec.maxSize": 5}, ["spec: Invalid value: size must not exceed maxSize"]
    ),
    "owner ids must be unique": Rule(
        {"spec.owners": [{"id": "a", "size": 1}] * 2},
        ['spec.owners[1]: Duplicate value: {"id":"a"}', "spec: Invalid value: owner ids must be unique"],
    ),
    "minSize must not exceed maxSize": Rule(
        {"spec.sizing.minSize": 3, "spec.sizing.maxSize": 2},
        ["spec.sizing: Invalid value: minSize must not exceed maxSize"],
    ),
    "sizing.maxSize must not exceed maxSize": Rule(
        {"spec.sizing.maxSize": 101, "spec.maxSize": 100},
        ["spec: Invalid value: sizing.maxSize must not exceed maxSize"],
    ),
    _SIZE_IS_FOUND: Rule(
        {"spec.sizing.mode": "Auto"},
        [f"spec: Invalid value: {_SIZE_IS_FOUND}"],
        {"spec.size": 6},
    ),
    "maxConcurrent must not exceed database.maxConnections": Rule(
        {"spec.maxConcurrent": 2, "spec.database.maxConnections": 1},
        ["spec: Invalid value: maxConcurrent must not exceed database.maxConnections"],
    ),
    "set exactly one of key and where": Rule(
        {"spec.template": {}}, ["spec.template: Invalid value: set exactly one of key and where"]
    ),
    "set exactly one of inline and configMapRef": Rule(
        {"spec.blueprint": {}}, ["spec.blueprint: Invalid value: set exactly one of inline and configMapRef"]
    ),
    "the blueprint's root table is immutable: make a new pool for another table": Rule(
        {},
        ["spec.blueprint: Invalid value: the blueprint's root table is immutable: make a new pool for another table"],
        {"spec.blueprint.inline.root.table": "other"},
    ),
    "secretRef is required unless strategy is Share": Rule(
        {"spec.images": {"strategy": "CopyEach"}},
        ["spec.images: Invalid value: secretRef is required unless strategy is Share"],
    ),
    "default must not exceed maximum": Rule(
        {"spec.claims.lifetime": {"default": "2h", "maximum": "1h"}},
        ["spec.claims.lifetime: Invalid value: default must not exceed maximum"],
    ),
}


def unknown(schema: Json, path: str = "spec") -> Iterator[str]:
    """Return a path of an unknown field in each object that has none."""
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        yield f"{path}.unknown"
    for name, item in schema.get("properties", {}).items():
        yield from unknown(item, f"{path}.{name}")
    if "items" in schema:
        yield from unknown(schema["items"], f"{path}[0]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from unknown(schema["additionalProperties"], f"{path}.k")


def rules(schema: Json) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield rule["message"]
    for item in [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]:
        if isinstance(item, dict):
            yield from rules(item)


def pool(spec: Json, name: str = "p") -> Json:
    return {
        "apiVersion": "campaignpool.dev/v1alpha1",
        "kind": "CampaignPool",
        "metadata": {"name": name},
        "spec": spec,
    }


def valid(towards: str = "") -> Json:
    spec: Json = sample(SPEC, towards=towards)
    for path, value in {"spec.claims.lifetime": {"default": "1h", "maximum": "24h"}, "spec.maxConcurrent": 1}.items():
        put(spec, path, value)
    return spec
