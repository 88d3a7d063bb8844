"""Patches that the conformance suite leaves open: directives, and what server-side apply takes away."""

import pytest

from campaignpool_local.errors import ApiError
from campaignpool_local.patches import apply, built_in_keys, merge, strategic
from campaignpool_local.values import Json


def applied(live: Json, spec: Json, manager: str = "one", *, force: bool = False) -> Json:
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}
    return apply(live, body, manager=manager, sub="", force=force, keys=built_in_keys, now="now")


def managers(obj: Json) -> list[str]:
    return [entry["manager"] for entry in obj["metadata"]["managedFields"]]


def test_a_merge_patch_of_what_is_no_object_replaces_it() -> None:
    assert merge({"a": [1]}, {"a": {"b": None, "c": 1}}) == {"a": {"c": 1}}
    assert merge("text", {"a": None}) == {}


def test_a_strategic_patch_obeys_its_directives() -> None:
    live = {"spec": {"a": 1}, "metadata": {"finalizers": ["x", "y"]}, "secrets": [{"name": "a", "k": 1}]}
    assert strategic(live, {"spec": {"$patch": "replace", "b": 2}})["spec"] == {"b": 2}
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x"], "$setElementOrder/finalizers": ["y"]}}
    assert strategic(live, patch)["metadata"] == {"finalizers": ["y"]}
    assert strategic(live, {"secrets": [{"$patch": "replace"}, {"name": "b"}]})["secrets"] == [{"name": "b"}]
    assert strategic(live, {"secrets": [{"name": "a", "k": 2}]})["secrets"] == [{"name": "a", "k": 2}]
    assert strategic(live, {"secrets": [{"name": "a", "$patch": "delete"}]})["secrets"] == []


def test_a_strategic_patch_replaces_other_lists() -> None:
    assert strategic({"args": ["a", "b"]}, {"args": ["c"]}) == {"args": ["c"]}


def test_apply_takes_away_what_its_manager_no_longer_names() -> None:
    first = applied({}, {"a": 1, "b": {"c": 1, "d": 2}})
    second = applied(first, {"b": {"c": 1}})
    assert second["spec"] == {"b": {"c": 1}}


def test_apply_takes_away_items_of_keyed_lists() -> None:
    first = applied({}, {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]})
    second = applied(first, {"containers": [{"name": "b", "image": "1"}]})
    assert second["spec"]["containers"] == [{"name": "b", "image": "1"}]


def test_apply_leaves_what_another_manager_applies_too() -> None:
    both = applied(applied({}, {"a": 1, "b": 1}), {"b": 1}, "two")
    assert applied(both, {"a": 1})["spec"] == {"a": 1, "b": 1}


def test_apply_leaves_what_nobody_applied() -> None:
    first = applied({"spec": {"own": 1}}, {"a": 1})
    assert applied(first, {})["spec"] == {"own": 1}


def test_every_conflict_is_named() -> None:
    first = applied({}, {"a": 1, "containers": [{"name": "m", "image": "1"}]})
    with pytest.raises(ApiError, match="Apply failed with 2 conflicts") as caught:
        applied(first, {"a": 2, "containers": [{"name": "m", "image": "2"}]}, "two")
    fields = [cause["field"] for cause in caught.value.status["details"]["causes"]]
    assert fields == [".spec.a", '.spec.containers[{"name":"m"}].image']


def test_force_takes_over_what_is_in_conflict_and_leaves_the_rest_to_its_manager() -> None:
    first = applied({}, {"a": 1, "b": 1})
    forced = applied(first, {"a": 2}, "two", force=True)
    assert forced["spec"] == {"a": 2, "b": 1}
    assert managers(forced) == ["one", "two"]
    assert forced["metadata"]["managedFields"][0]["fieldsV1"] == {"f:spec": {"f:b": {}}}


def test_the_time_moves_only_with_the_fields() -> None:
    first = applied({}, {"a": 1})
    body = {"apiVersion": "v1", "kind": "Pod", "spec": {"a": 1}}
    again = apply(first, body, manager="one", sub="", force=False, keys=built_in_keys, now="later")
    assert again == first
