"""Schemas and CEL rules of custom resources, as far as the conformance suite leaves them open."""

import pytest

from campaignpool_local.rules import broken_rules, compile_fault, has_rules
from campaignpool_local.schema import fill, list_keys, prune, schema_faults, violations
from campaignpool_local.values import Json, Value

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
        "ratio": {"type": "number"},
        "names": {"type": "array", "items": STRING},
        "owners": {"type": "array", "items": OWNER},
        "labels": {"type": "object", "additionalProperties": STRING},
        "namespace": STRING,
        "since": {"type": "string", "format": "date-time"},
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
        ("self.owners.map(o, o.share).sum() <= self.size", {"size": 3, "owners": [{"share": 1}, {"share": 2}]}, True),
        ("self.owners.map(o, o.share).sum() == 0", {"owners": []}, True),
        ("self.owners.filter(o, o.share > 1).size() == 1", {"owners": [{"share": 1}, {"share": 2}]}, True),
        ("size(self.names) == 2", {"names": ["a", "b"]}, True),
        ("self.names.isSorted()", {"names": ["b", "a"]}, False),
        ("'a' in self.labels", {"labels": {"a": "1"}}, True),
        ("self.labels.all(k, k.startsWith('app.'))", {"labels": {"app.x": "1"}}, True),
        ("self.ratio < 1.5", {"ratio": 1}, True),
        ("self.__namespace__ == 'demo'", {"namespace": "demo"}, True),
        ("self.since > timestamp('2025-01-01T00:00:00Z')", {"since": "2026-01-01T00:00:00Z"}, True),
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
    found = faults(schema, {"size": 1, "owners": [{"share": 1}, {"share": 0}], "limits": {"a": 9}})
    assert [field for field, _ in found] == ["spec", "spec.size", "spec.owners[1]", "spec.limits.a"]


def test_a_transition_rule_follows_the_items_of_a_keyed_list() -> None:
    items = ruled(OWNER, "self.share >= oldSelf.share")
    keyed = {
        "type": "array",
        "items": items,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    }
    old = [{"name": "a", "share": 5}, {"name": "b", "share": 1}]
    new = [{"name": "b", "share": 2}, {"name": "new", "share": 0}, {"name": "a", "share": 4}]
    assert [field for field, _ in faults(keyed, new, old)] == ["spec[2]"]
    assert faults({**keyed, "x-kubernetes-list-map-keys": []}, new, old) == []


def test_a_message_can_be_an_expression() -> None:
    rule = {"rule": "self.size < 3", "messageExpression": "'not ' + string(self.size)", "message": "too big"}
    assert faults(ruled(OBJECT, rule), {"size": 7}) == [("spec", "Invalid value: not 7")]
    rule["messageExpression"] = "'not ' + self.absent"
    assert faults(ruled(OBJECT, rule), {"size": 7}) == [("spec", "Invalid value: too big")]


def test_a_rule_that_cannot_be_evaluated_is_broken() -> None:
    [(field, message)] = faults(ruled(OBJECT, "self.size > 1"), {})
    assert field == "spec"
    assert "size" in message


def test_a_rule_must_compile() -> None:
    assert compile_fault("self.size > 1") == ""
    assert compile_fault("self.size >").startswith("compilation failed")


def test_rules_are_found_wherever_they_are() -> None:
    deep = {"type": "array", "items": ruled(OWNER, "self.share > 0")}
    assert has_rules({"type": "object", "properties": {"owners": deep}})
    assert not has_rules(OBJECT)


def test_defaults_reach_into_lists_and_maps() -> None:
    item = {"type": "object", "properties": {"share": {**INTEGER, "default": 1}}}
    schema = {
        "type": "object",
        "properties": {
            "owners": {"type": "array", "items": item},
            "by": {"type": "object", "additionalProperties": item},
        },
    }
    assert fill({"owners": [{}], "by": {"a": {}}}, schema) == {"owners": [{"share": 1}], "by": {"a": {"share": 1}}}


def test_pruning_tells_what_it_dropped() -> None:
    schema = {"type": "object", "properties": {"spec": OBJECT}}
    value = {"apiVersion": "v1", "spec": {"size": 1, "bogus": 1, "owners": [{"x": 1}]}, "extra": 1}
    assert prune(value, schema) == (
        {"apiVersion": "v1", "spec": {"size": 1, "owners": [{}]}},
        ["spec.bogus", "spec.owners[0].x", "extra"],
    )


def test_a_schema_itself_is_checked() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {}, "b": {**STRING, "pattern": "("}, "c": {**INTEGER, "default": "x"}},
    }
    assert [cause.field for cause in schema_faults(schema, "s")] == [
        "s.properties[a].type",
        "s.properties[b].pattern",
        "s.properties[c].default",
    ]


@pytest.mark.parametrize(
    ("schema", "value", "said"),
    [
        ({**STRING, "minLength": 1}, "", "should be at least 1 chars long"),
        ({"type": "array", "minItems": 1}, [], "should have at least 1 items"),
        ({**INTEGER, "minimum": 0, "exclusiveMinimum": True}, 0, "should be greater than 0"),
        ({**STRING, "format": "duration"}, "soon", "must be of type duration"),
        ({**INTEGER}, True, "must be of type integer"),
    ],
    ids=str,
)
def test_faults_are_told_in_the_words_of_a_real_server(schema: Json, value: Value, said: str) -> None:
    [cause] = violations({"x": value}, {"type": "object", "properties": {"x": schema}})
    assert f"x in body {said}" in cause.message


def test_lists_say_how_they_are_merged() -> None:
    keyed = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    items = {"type": "object", "properties": {"tags": {"type": "array", "x-kubernetes-list-type": "set"}}}
    schema = {"type": "object", "properties": {"owners": {**keyed, "items": items}, "names": {"type": "array"}}}
    assert list_keys(schema, ("owners",)) == ("name",)
    assert list_keys(schema, ("owners", "tags")) == ()
    assert list_keys(schema, ("names",)) is None
