"""Field managers, and server-side apply: who owns what, what goes with its owner, and who is in the way."""

import re

import pytest

from campaignpool_local.ownership import Manager, applied, tracked
from campaignpool_local.resources import ResourceType
from campaignpool_local.values import ApiError, Json

KIND = ResourceType("", "services", "Service")
ONE, TWO, EDITOR = Manager("one", "Apply"), Manager("two", "Apply"), Manager("editor")


def body(**spec: object) -> Json:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec}


def apply(live: Json | None, manager: Manager, *, force: bool = False, **spec: object) -> Json:
    return applied(KIND, live, body(**spec), manager, force=force)


def owned(obj: Json) -> dict[str, Json]:
    return {item["manager"]: item["fieldsV1"] for item in obj["metadata"]["managedFields"]}


def test_what_is_no_longer_applied_goes_if_nobody_else_owns_it() -> None:
    first = apply(None, ONE, a=1, b=2)
    assert owned(first) == {"one": {"f:spec": {"f:a": {}, "f:b": {}}}}
    shared = apply(first, TWO, b=2)
    assert apply(shared, ONE, a=1)["spec"] == {"a": 1, "b": 2}
    assert apply(first, ONE, a=1)["spec"] == {"a": 1}


def test_a_field_of_somebody_else_is_a_conflict_unless_it_is_forced() -> None:
    first = apply(None, ONE, a=1)
    with pytest.raises(ApiError, match=re.escape('Apply failed with 1 conflict: conflict with "one": .spec.a')):
        apply(first, TWO, a=2)
    taken = apply(first, TWO, force=True, a=2)
    assert (taken["spec"], owned(taken)) == ({"a": 2}, {"two": {"f:spec": {"f:a": {}}}})


def test_items_of_lists_are_owned_by_their_keys() -> None:
    first = apply(None, ONE, ports=[{"port": 1, "name": "x"}])
    both = apply(first, TWO, ports=[{"port": 2}])
    assert both["spec"]["ports"] == [{"port": 1, "name": "x"}, {"port": 2}]
    item = {".": {}, "f:name": {}, "f:port": {}}
    assert owned(both)["one"] == {"f:spec": {"f:ports": {'k:{"port":1}': item}}}
    assert apply(both, ONE, other=1)["spec"]["ports"] == [{"port": 2}]


def test_an_editor_takes_over_what_it_changes() -> None:
    first = apply(None, ONE, a=1, b=2)
    edited = {**first, "spec": {"a": 3, "b": 2}}
    edited["metadata"] = {**first["metadata"], "managedFields": tracked(KIND, first, edited, EDITOR)}
    assert owned(edited) == {"one": {"f:spec": {"f:b": {}}}, "editor": {"f:spec": {"f:a": {}}}}
    with pytest.raises(ApiError, match=re.escape('conflict with "editor" using v1: .spec.a')):
        apply(edited, ONE, a=1, b=2)


def test_the_same_again_changes_nothing() -> None:
    first = apply(None, ONE, a=1)
    entry = {**first["metadata"]["managedFields"][0], "time": "then"}
    noted = {**first, "metadata": {**first["metadata"], "managedFields": [entry]}}
    assert apply(noted, ONE, a=1) == noted


def test_a_manager_that_owns_no_field_applies_again() -> None:
    bare: Json = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}}
    first = applied(KIND, None, bare, ONE, force=False)
    assert owned(first) == {"one": {}}
    assert applied(KIND, first, bare, ONE, force=False) == first
    assert owned(apply(first, ONE, a=1)) == {"one": {"f:spec": {"f:a": {}}}}
