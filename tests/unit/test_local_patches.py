"""Patches that the conformance suite leaves open."""

import pytest

from campaignpool_local.patches import apply, merge, strategic
from campaignpool_local.values import Json, Value


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": 1}, {"a": None}, {}),
        ({"a": {"b": 1}}, {"a": {"b": None, "c": 2}}, {"a": {"c": 2}}),
        ({"a": [1]}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({}, {"a": {"b": None}}, {"a": {}}),
    ],
)
def test_merge_as_in_rfc_7396(target: Value, patch: Value, result: Value) -> None:
    assert merge(target, patch) == result


def test_strategic_deletes_from_a_list_by_key() -> None:
    target = {"containers": [{"name": "a"}, {"name": "b"}]}
    patch = {"$setElementOrder/containers": [], "containers": [{"name": "a", "$patch": "delete"}]}
    assert strategic(target, patch) == {"containers": [{"name": "b"}]}


def test_apply_notes_its_manager_and_its_time_moves_only_with_the_fields() -> None:
    body: Json = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"a": 1}}
    first = apply({"metadata": {"name": "p"}, "spec": {"own": 1}}, body, "one")
    assert first["spec"] == {"own": 1, "a": 1}
    entry = {**first["metadata"]["managedFields"][0], "time": "then"}
    noted = {**first, "metadata": {**first["metadata"], "managedFields": [entry]}}
    assert apply(noted, body, "one") == noted
    both = apply(noted, {**body, "spec": {"b": 1}}, "two")
    assert [each["manager"] for each in both["metadata"]["managedFields"]] == ["one", "two"]
