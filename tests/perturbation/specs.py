"""A sampler over the CRD's own schema: valid specs, and for each bound a spec that is one step outside of it."""

import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from campaignpool.api.crd import crd
from tests.support import small

Json = dict[str, Any]

SCHEMA: Json = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
USERS = ("a", "b", "master")

LEFT_OUT = ("images", "sizing", "database", "template", "blueprint", "size", "maxSize", "owners", "maxConcurrent")
"""Fields whose values have to fit each other or the database: `valid` chooses these itself, the schema the others."""

_SMALL = {"batchSize": 4, "backoffLimit": 2}


def base() -> Json:
    """Return a small spec that every rule admits."""
    return {
        "database": {"secretRef": {"name": "database"}},
        "template": {"where": "is_template", "checkInterval": "0s"},
        "blueprint": {"inline": small.blueprint()},
        "sizing": {"mode": "Off"},
        "size": 2,
        "maxSize": 8,
    }


def valid(chance: random.Random) -> Json:
    """Return a spec that the API takes and that a pool can reach."""
    max_size = chance.randint(0, 8)
    spec = base() | {
        "size": chance.randint(0, min(4, max_size)),
        "maxSize": max_size,
        "maxConcurrent": chance.randint(1, 4),
        "blueprint": {"inline": small.blueprint(chance.randint(1, 2))},
        "owners": [
            {"id": user, "size": chance.randint(0, 3)} for user in chance.sample(USERS, chance.randint(0, len(USERS)))
        ],
    }
    for name, node in SCHEMA["properties"].items():
        if name not in LEFT_OUT and chance.random() < 0.6:
            spec[name] = drawn(node, name, chance)
    lifetime = spec.get("claims", {}).get("lifetime")
    if lifetime:  # the default must not exceed the maximum
        lifetime.update(default="1m", maximum="2h")
    spec["seeding"] = {**spec.get("seeding", {}), "lingerSeconds": 0}  # at rest no Job is active
    spec["seeding"].pop("image", None)
    spec["paused"] = chance.random() < 0.1
    return spec


def drawn(node: Json, name: str, chance: random.Random) -> Any:
    """Return a value within the bounds of a schema."""
    if "enum" in node:
        return chance.choice(node["enum"])
    match node.get("type"):
        case "boolean":
            return chance.random() < 0.5
        case "integer":
            low, high = node.get("minimum", 0), node.get("maximum", 100)
            return chance.choice([low, min(high, low + 1), min(high, _SMALL.get(name, high))])
        case "object" if "properties" in node:
            required = node.get("required", ())
            return {
                key: drawn(item, key, chance)
                for key, item in node["properties"].items()
                if key in required or (key != "podTemplate" and key != "resources" and chance.random() < 0.5)
            }
        case "string" if "[0-9]{1,6}h" in node.get("pattern", ""):
            return chance.choice(["1m", "90s", "1h30m"])
        case "string" if "30)d" in node.get("pattern", ""):
            return chance.choice(["1h", "30d"])
        case other:
            raise AssertionError(f"the sampler knows no values of {name}, a {other}: add one")


BAD: dict[str, Json] = {
    "SecretNotFound": {"database": {"secretRef": {"name": "absent"}}},
    "SecretKeyMissing": {"database": {"secretRef": {"name": "database", "key": "absent"}}},
    "TemplateNotFound": {"template": {"where": "false", "checkInterval": "0s"}},
    "BlueprintInvalid": {"blueprint": {"inline": {**small.blueprint(), "tables": [{"name": "dragons"}]}}},
    "ConfigMapNotFound": {"blueprint": {"configMapRef": {"name": "absent"}}},
    "SpecInvalid": {"seeding": {"podTemplate": {"spec": {"containers": [None]}}}},
}
"""What only the operator can refuse, by the reason of its condition."""


@dataclass(frozen=True)
class Outside:
    """A spec that is one step outside of one bound.

    Attributes:
        path: Of the field, as the API server writes it.
        bound: The bound's name in the schema.
        spec: The whole spec.
    """

    path: str
    bound: str
    spec: Json


def outside() -> Iterator[Outside]:
    """Yield a spec for every bound of the schema."""
    yield from _outside(SCHEMA, (), "spec")


def _outside(node: Json, steps: tuple[Any, ...], path: str) -> Iterator[Outside]:
    for bound, value in _beyond(node):
        yield Outside(path, bound, _with(steps, value))
    for name in node.get("required", ()):
        yield Outside(f"{path}.{name}", "required", _without((*steps, name)))
    for name, item in node.get("properties", {}).items():
        yield from _outside(item, (*steps, name), f"{path}.{name}")
    if isinstance(node.get("items"), dict):
        yield from _outside(node["items"], (*steps, 0), f"{path}[0]")


def _beyond(node: Json) -> Iterator[tuple[str, Any]]:
    """Yield values that are one step outside of each bound of one schema."""
    if "minimum" in node:
        yield "minimum", node["minimum"] - 1
    if "maximum" in node:
        yield "maximum", node["maximum"] + 1
    if node.get("minLength"):
        yield "minLength", "a" * (node["minLength"] - 1)
    if "maxLength" in node:
        yield "maxLength", "a" * (node["maxLength"] + 1)
    if "pattern" in node:
        yield "pattern", "\n"
    if "enum" in node:
        yield "enum", "Neither"
    if node.get("minItems"):
        yield "minItems", []
    if node.get("type") == "boolean":
        yield "type", "yes"
    if node.get("type") == "integer":
        yield "type", "1"


def _with(steps: tuple[Any, ...], value: Any) -> Json:
    """Return a valid spec with one value; what is missing on the way is made of what is required there."""
    spec = copy.deepcopy(base())
    place: Any = spec
    node = SCHEMA
    for step, following in zip(steps, (*steps[1:], None), strict=True):
        node = node["items"] if isinstance(step, int) else node["properties"][step]
        if following is None:
            if isinstance(step, int):
                place[:] = [value]
            else:
                place[step] = value
            break
        if isinstance(step, int):
            if not place:
                place.append(_required(node))
        else:
            place.setdefault(step, [] if isinstance(following, int) else _required(node))
        place = place[step]
    return spec


def _without(steps: tuple[Any, ...]) -> Json:
    """Return a spec that lacks a required field."""
    spec = _with(steps[:-1], _required(_node(steps[:-1]))) if len(steps) > 1 else copy.deepcopy(base())
    place: Any = spec
    for step in steps[:-1]:
        place = place[step]
    place.pop(steps[-1], None)
    return spec


def _node(steps: tuple[Any, ...]) -> Json:
    node = SCHEMA
    for step in steps:
        node = node["items"] if isinstance(step, int) else node["properties"][step]
    return node


def _required(node: Json) -> Any:
    """Return the least value of a schema."""
    if "enum" in node:
        return node["enum"][0]
    match node.get("type"):
        case "object":
            return {name: _required(node["properties"][name]) for name in node.get("required", ())}
        case "array":
            return [_required(node["items"])] if node.get("minItems") else []
        case "integer":
            return node.get("minimum", 0)
        case "boolean":
            return False
        case _:
            return "90s" if "[0-9]{1,6}h" in node.get("pattern", "") else "a" * max(1, node.get("minLength", 1))


RULES: dict[str, tuple[str, Json]] = {
    "size above maxSize": ("size must not exceed maxSize", {"size": 9}),
    "an owner twice": ("owners", {"owners": [{"id": "a", "size": 1}, {"id": "a", "size": 2}]}),
    "more Jobs than connections": ("maxConcurrent must not exceed", {"maxConcurrent": 5}),
    "key and where": ("set exactly one of key and where", {"template": {"key": "1", "where": "true"}}),
    "neither key nor where": ("set exactly one of key and where", {"template": {}}),
    "no blueprint": ("set exactly one of inline and configMapRef", {"blueprint": {}}),
    "images without a key": ("secretRef is required", {"images": {"strategy": "CopyEach"}}),
    "a lifetime above the maximum": (
        "default must not exceed maximum",
        {"claims": {"lifetime": {"default": "2h", "maximum": "1h"}}},
    ),
    "sizing above maxSize": ("sizing.maxSize must not exceed", {"sizing": {"mode": "Off", "maxSize": 9}}),
    "minSize above sizing.maxSize": ("minSize must not exceed", {"sizing": {"minSize": 5, "maxSize": 4}}),
}
"""For each CEL rule a spec that breaks it, and what the API says."""
