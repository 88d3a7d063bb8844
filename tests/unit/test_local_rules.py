"""Schemas and CEL rules of custom resources, as far as the conformance suite leaves them open."""

import pytest

from campaignpool_local.cel import broken_rules
from campaignpool_local.schema import shaped
from campaignpool_local.values import Json, Value
from campaignpool_local.violations import violations

INTEGER = {"type": "integer"}
STRING = {"type": "string"}
OWNER = {"type": "object", "properties": {"name": STRING, "share": INTEGER}}


def ruled(schema: Json, *rules: Json | str) -> Json:
    listed = [{"rule": rule, "message": "broken"} if isinstance(rule, str) else rule for rule in rules]
    return {**schema, "x-kubernetes-validations": listed}


def faults(schema: Json, value: Value, old: Value = None) -> list[tuple[str, str]]:
    return [(cause.field, cause.message) for cause in broken_rules(value, old, schema, "spec")]


OBJECT = {
    "type": "object",
    "properties": {
        "size": INTEGER,
        "names": {"type": "array", "items": STRING},
        "owners": {"type": "array", "items": OWNER},
        "labels": {"type": "object", "additionalProperties": STRING},
    },
}


@pytest.mark.parametrize(
    ("rule", "value", "holds"),
    [
        ("has(self.size)", {"size": 1}, True),
        ("has(self.size)", {}, False),
        ("self.owners.all(o, o.share > 0)", {"owners": [{"share": 1}, {"share": 0}]}, False),
        ("self.owners.exists(o, o.share > 0)", {"owners": [{"share": 1}, {"share": 0}]}, True),
        ("self.names.exists_one(n, n == 'a')", {"names": ["a", "b", "a"]}, False),
        ("self.owners.filter(o, o.share > 1).size() == 1", {"owners": [{"share": 1}, {"share": 2}]}, True),
        ("size(self.names) == 2", {"names": ["a", "b"]}, True),
        ("'a' in self.labels", {"labels": {"a": "1"}}, True),
        ("self.labels.all(k, k.startsWith('app.'))", {"labels": {"app.x": "1"}}, True),
        ("self.owners.all(o, self.owners.exists_one(p, p.name == o.name))", {"owners": [{"name": "a"}] * 2}, False),
    ],
)
def test_a_rule_holds_or_not(rule: str, value: Json, *, holds: bool) -> None:
    assert faults(ruled(OBJECT, rule), value) == ([] if holds else [("spec", "Invalid value: broken")])


def test_rules_are_tried_at_every_level() -> None:
    owner = ruled(OWNER, "self.share > 0")
    schema = ruled(
        {
            "type": "object",
            "properties": {
                "size": ruled(INTEGER, "self > 1"),
                "owners": {"type": "array", "items": owner},
                "limits": {"type": "object", "additionalProperties": ruled(INTEGER, "self < 9")},
            },
        },
        "self.size < 0",
    )
    result = faults(schema, {"size": 1, "owners": [{"share": 1}, {"share": 0}], "limits": {"a": 9}})
    assert [field for field, _ in result] == ["spec", "spec.size", "spec.owners[1]", "spec.limits.a"]


def test_a_rule_that_cannot_be_evaluated_is_broken() -> None:
    [(field, message)] = faults(ruled(OBJECT, "self.size > 1"), {})
    assert field == "spec"
    assert "size" in message


def test_defaults_reach_into_lists_and_maps() -> None:
    item = {"type": "object", "properties": {"share": {**INTEGER, "default": 1}}}
    schema = {
        "type": "object",
        "properties": {
            "owners": {"type": "array", "items": item},
            "by": {"type": "object", "additionalProperties": item},
        },
    }
    assert shaped({"owners": [{}], "by": {"a": {}}}, schema) == {"owners": [{"share": 1}], "by": {"a": {"share": 1}}}


@pytest.mark.parametrize(
    ("schema", "value", "said"),
    [
        ({**STRING, "minLength": 1}, "", "should be at least 1 chars long"),
        ({**STRING, "format": "date-time"}, "soon", "must be of type date-time"),
        ({**INTEGER}, True, "must be of type integer"),
    ],
    ids=str,
)
def test_faults_are_told_in_the_words_of_a_real_server(schema: Json, value: Value, said: str) -> None:
    [cause] = violations({"x": value}, {"type": "object", "properties": {"x": schema}})
    assert f"x in body {said}" in cause.message
