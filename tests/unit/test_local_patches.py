"""Patches that the conformance suite leaves open."""

import pytest

from campaignpool_local.patches import merge, strategic
from campaignpool_local.values import Value


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
