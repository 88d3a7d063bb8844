"""The generated CRD passes what the API server checks; broken in one place, it is refused in its words."""

import copy
from collections.abc import Callable
from typing import NamedTuple

import pytest

from campaignpool.api import crd
from campaignpool_local.definitions.declared import declared
from campaignpool_local.definitions.rules import CompileError, compile_rule
from campaignpool_local.definitions.validation import definition_faults
from campaignpool_local.values import Json

SCHEMA = "spec.validation.openAPIV3Schema"
SPEC = f"{SCHEMA}.properties[spec]"
HINT = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are"
    " declared)"
)


class Broken(NamedTuple):
    """One way to break the definition, and what the API server says about it."""

    change: Callable[[Json, Json], object]  # of the schema of the spec, and of the version
    said: str


def rule(text: str, **more: str) -> Json:
    return {"rule": text, "message": "no", **more}


def shown(text: str, **more: str) -> str:
    names = {"Rule": text, "Message": "no", "MessageExpression": "", "FieldPath": "", **more}
    parts = [f'"{name}":"{names[name]}"' for name in ("Rule", "Message", "MessageExpression")]
    return "{" + ",".join([*parts, '"Reason":null', '"FieldPath":""', '"OptionalOldSelf":null']) + "}"


def add_rule(text: str, *path: str, **more: str) -> Callable[[Json, Json], object]:
    def change(spec: Json, _: Json) -> None:
        for name in path:
            spec = spec["properties"][name] if name != "[]" else spec["items"]
        spec.setdefault("x-kubernetes-validations", []).append(rule(text, **more))

    return change


def pop(key: str, *path: str) -> Callable[[Json, Json], object]:
    def change(spec: Json, _: Json) -> None:
        for name in path:
            spec = spec["properties"][name] if name != "[]" else spec["items"]
        del spec[key]

    return change


def put(field: str, **values: object) -> Callable[[Json, Json], object]:
    return lambda spec, _: spec["properties"][field].update(values)


def make_atomic(spec: Json, version: Json) -> None:
    owners = spec["properties"]["owners"]
    owners["x-kubernetes-list-type"] = "atomic"
    del owners["x-kubernetes-list-map-keys"]
    add_rule("self.size == oldSelf.size", "owners", "[]")(spec, version)


BROKEN = {
    "default breaks its bound": Broken(
        put("size", default=1000000),
        f"{SPEC}.properties[size].default: Invalid value: 1000000:  in body should be less than or equal to 1000",
    ),
    "default of another type": Broken(
        put("size", default="5"),
        f'{SPEC}.properties[size].default: Invalid value: "string":  in body must be of type integer: "string"',
    ),
    "default has an unknown field": Broken(
        put("seeding", default={"sise": 1}),
        f'{SPEC}.properties[seeding].default: Invalid value: {{"sise":1}}: must not have unknown fields',
    ),
    "default breaks a rule as it is written": Broken(
        lambda spec, _: spec["properties"]["claims"]["properties"]["lifetime"].update(default={}),
        f'{SPEC}.properties[claims].properties[lifetime].default: Invalid value: "object": no such key: default'
        " evaluating rule: default must not exceed maximum",
    ),
    "rule over an unknown field": Broken(
        add_rule("self.sise > 1"),
        f"{SPEC}.x-kubernetes-validations[5].rule: Invalid value: {shown('self.sise > 1')}: compilation failed:"
        " ERROR: <input>:1:5: undefined field 'sise'\n | self.sise > 1\n | ....^",
    ),
    "rule that compares a number with a string": Broken(
        add_rule("self.size > '1'"),
        f"{SPEC}.x-kubernetes-validations[5].rule: Invalid value: {shown('self.size > ' + chr(39) + '1' + chr(39))}:"
        " compilation failed: ERROR: <input>:1:11: found no matching overload for '_>_' applied to '(int, string)'\n"
        " | self.size > '1'\n | ..........^",
    ),
    "rule that is no condition": Broken(
        add_rule("self.size + 1"),
        f"{SPEC}.x-kubernetes-validations[5].rule: Invalid value: {shown('self.size + 1')}:"
        " cel expression must evaluate to a bool",
    ),
    "rule that cannot be parsed": Broken(
        add_rule("self.size >"),
        f"{SPEC}.x-kubernetes-validations[5].rule: Invalid value: {shown('self.size >')}: compilation"
        " failed: ERROR: <input>:1:11: Syntax error: the expression cannot be parsed\n | self.size >\n | ..........^",
    ),
    "rule over a list without a bound": Broken(
        pop("maxItems", "owners"),
        f"{SPEC}.x-kubernetes-validations[1].rule: Forbidden: estimated rule cost exceeds budget by factor of"
        f" more than 100x {HINT}",
    ),
    "rule over strings without a bound": Broken(
        pop("maxLength", "owners", "[]", "id"),
        f"{SPEC}.x-kubernetes-validations[1].rule: Forbidden: estimated rule cost exceeds budget by factor of"
        f" more than 100x {HINT}",
    ),
    "rules that cost too much together": Broken(
        lambda spec, _: spec["x-kubernetes-validations"].extend(
            [rule("self.owners.all(o, self.owners.exists_one(p, p.id == o.id))")] * 60
        ),
        f"{SCHEMA}: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds"
        f" budget by factor of 2.6x {HINT}",
    ),
    "rule about the state before where there is none": Broken(
        make_atomic,
        f"{SPEC}.properties[owners].items.x-kubernetes-validations[0].rule: Invalid value: "
        '"self.size == oldSelf.size": oldSelf cannot be used on the uncorrelatable portion of the schema within '
        f"{SPEC}.properties[owners]",
    ),
    "message that is no text": Broken(
        add_rule("self.size > 0", messageExpression="self.size"),
        f"{SPEC}.x-kubernetes-validations[5].messageExpression: Invalid value:"
        f" {shown('self.size > 0', MessageExpression='self.size')}: messageExpression must evaluate to a string",
    ),
    "column with a broken path": Broken(
        lambda _, version: version["additionalPrinterColumns"][0].update(jsonPath="status.ready"),
        'spec.additionalPrinterColumns[0].JSONPath: Invalid value: "status.ready": must be a simple json path'
        " starting with .",
    ),
    "column of an unknown type": Broken(
        lambda _, version: version["additionalPrinterColumns"][0].update(type="int"),
        'spec.additionalPrinterColumns[0].type: Invalid value: "int": must be one of'
        " boolean,date,integer,number,string",
    ),
    "scale path outside of spec": Broken(
        lambda _, version: version["subresources"]["scale"].update(specReplicasPath=".status.ready"),
        'spec.subresources.scale.specReplicasPath: Invalid value: ".status.ready": should be a json path under .spec',
    ),
    "scale path outside of status": Broken(
        lambda _, version: version["subresources"]["scale"].update(statusReplicasPath=".spec.size"),
        'spec.subresources.scale.statusReplicasPath: Invalid value: ".spec.size": should be a json path under'
        " .status",
    ),
    "field without a type": Broken(
        pop("type", "size"),
        f"{SPEC}.properties[size].type: Required value: must not be empty for specified object fields",
    ),
    "list without items": Broken(
        pop("items", "owners"), f"{SPEC}.properties[owners].items: Required value: must be specified"
    ),
    "fields and values of a map": Broken(
        put("seeding", additionalProperties={"type": "string"}),
        f"{SPEC}.properties[seeding].additionalProperties: Forbidden: additionalProperties and properties are"
        " mutual exclusive",
    ),
    "type below anyOf": Broken(
        put("size", anyOf=[{"type": "integer"}]),
        f"{SPEC}.properties[size].anyOf[0].type: Forbidden: must be empty to be structural",
    ),
    "key of a list that may be absent": Broken(
        lambda spec, _: spec["properties"]["owners"]["items"].update(required=[]),
        f"{SPEC}.properties[owners].items.properties[id].default: Required value: this property is in"
        " x-kubernetes-list-map-keys, so it must have a default or be a required property",
    ),
    "pattern that RE2 does not know": Broken(
        lambda spec, _: spec["properties"]["blueprint"].update(pattern="(?=a)"),
        f'{SPEC}.properties[blueprint].pattern: Invalid value: "(?=a)": must be a valid regular'
        " expression, but isn't:",
    ),
}


def definition() -> Json:
    return copy.deepcopy(crd.crd())


def test_the_generated_definition_is_accepted() -> None:
    assert definition_faults(definition()) == []


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_definition_is_refused_in_the_words_of_the_api_server(name: str) -> None:
    broken = definition()
    version = broken["spec"]["versions"][0]
    BROKEN[name].change(version["schema"]["openAPIV3Schema"]["properties"]["spec"], version)
    results = [f"{fault.field}: {fault.message}" for fault in definition_faults(broken)]
    assert any(item.startswith(BROKEN[name].said) for item in results), results


VARIABLE = declared(
    {
        "type": "object",
        "properties": {
            "n": {"type": "integer"},
            "s": {"type": "string", "maxLength": 10},
            "l": {"type": "array", "maxItems": 5, "items": {"type": "string", "maxLength": 10}},
            "m": {"type": "object", "maxProperties": 3, "additionalProperties": {"type": "integer"}},
            "x-y": {"type": "boolean"},
        },
    }
)


@pytest.mark.parametrize(
    ("expression", "kind", "cost"),
    [
        ("self.n > 1", "bool", 3),
        ("self.s == 'abc'", "bool", 3),  # the shorter of the two is read
        ("has(self.n) && self.n == 1", "bool", 3),
        ("self.s.startsWith('ab')", "bool", 3),
        ("self.l.all(x, x == self.s)", "bool", 5 * (3 + 1 + 2 + 4) + 3),
        ("self.l.exists(x, x == 'a')", "bool", 5 * (4 + 1 + 1) + 3),
        ("self.m.all(k, self.m[k] > 1)", "bool", 3 * (3 + 5) + 3),
        ("size(self.l) == 2 ? self.n : 1", "int", 3 + 1 + 2),
        ("self.l.map(x, x + 'a').size() > 1", "bool", 5 * (12 + 1 + 5) + 2 + 1 + 10 + 2),
        ("self.x__dash__y", "bool", 2),
        ("duration('1h') < duration(self.s)", "bool", 1 + 3 + 1),
    ],
)
def test_type_and_cost_of_a_rule(expression: str, kind: str, cost: int) -> None:
    assert VARIABLE is not None
    compiled = compile_rule(expression, VARIABLE)
    assert (compiled.type.kind, compiled.cost) == (kind, cost)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("unknown.n > 1", "1:1: undeclared reference to 'unknown' (in container '')"),
        ("fetch(self.n)", "1:6: undeclared reference to 'fetch' (in container '')"),
        ("self.n.all(x, true)", "1:5: expression of type 'int' cannot be range of a comprehension"),
        ("self.s.matches(1)", "1:15: found no matching overload for 'matches' applied to 'string.(int)'"),
        ("self.l['a'] == 'a'", "1:7: found no matching overload for '_[_]' applied to '(list(string), string)'"),
        ("self.n && true", "1:5: expected type 'bool' but found 'int'"),
        ("self.n.x == 1", "1:7: type 'int' does not support field selection"),
        ("1 in self.s", "1:3: found no matching overload for '@in' applied to '(int, string)'"),
        ("!self.n", "1:1: found no matching overload for '!_' applied to '(int)'"),
        ("has(self)", "1:4: invalid argument to has() macro"),
    ],
)
def test_a_rule_that_does_not_compile_shows_the_place(expression: str, said: str) -> None:
    assert VARIABLE is not None
    with pytest.raises(CompileError) as raised:
        compile_rule(expression, VARIABLE)
    assert str(raised.value).startswith(f"ERROR: <input>:{said}")
