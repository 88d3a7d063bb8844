"""What a container is started with, what selectors and printed columns make of objects."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from campaignpool_local.pods import SourceMissingError, expand, variables_of
from campaignpool_local.store import Store
from campaignpool_local.tables import age
from campaignpool_local.values import Json, json_path
from campaignpool_local.watch import selector

METADATA = {"name": "p", "namespace": "demo", "labels": {"app.io/x": "1"}}
SOURCES: dict[str, Json] = {
    "secrets": {"name": "dsn", "data": {"url": base64.b64encode(b"postgres://x").decode()}},
    "configmaps": {"name": "conf", "data": {"A": "1"}},
}


def variables(container: Json) -> dict[str, str]:
    """The variables of a container in a namespace with a Secret and a ConfigMap."""
    store = Store()
    for plural, source in SOURCES.items():
        store.put(("", plural), {"metadata": {"name": source["name"], "namespace": "demo"}, "data": source["data"]})
    return variables_of({"metadata": METADATA, "spec": {"containers": [container]}}, store)


def reference(word: str, name: str, key: str, **more: object) -> Json:
    return {"env": [{"name": "X", "valueFrom": {word: {"name": name, "key": key, **more}}}]}


def test_variables_come_in_order_and_refer_to_those_before() -> None:
    container = {
        "envFrom": [{"configMapRef": {"name": "conf"}}, {"secretRef": {"name": "dsn"}, "prefix": "DB_"}],
        "env": [{"name": "B", "value": "$(A)$(C)"}, {"name": "C", "value": "$(B)"}, {"name": "E"}],
    }
    assert variables(container) == {
        "A": "1",
        "DB_url": "postgres://x",
        "B": "1$(C)",
        "C": "1$(C)",
        "E": "",
    }


def test_fields_of_the_pod_are_read() -> None:
    source = {"fieldRef": {"fieldPath": "metadata.labels['app.io/x']"}}
    assert variables({"env": [{"name": "X", "valueFrom": source}]}) == {"X": "1"}


@pytest.mark.parametrize(
    ("container", "message"),
    [
        (reference("secretKeyRef", "none", "url"), 'secret "none" not found'),
        (reference("configMapKeyRef", "none", "url"), 'configmap "none" not found'),
        (reference("secretKeyRef", "dsn", "none"), "couldn't find key none in secret dsn"),
        ({"envFrom": [{"secretRef": {"name": "none"}}]}, 'secret "none" not found'),
    ],
    ids=str,
)
def test_what_is_missing_is_named(container: Json, message: str) -> None:
    with pytest.raises(SourceMissingError, match=message):
        variables(container)


@pytest.mark.parametrize(("name", "key"), [("none", "url"), ("dsn", "none")])
def test_what_is_optional_may_be_missing(name: str, key: str) -> None:
    assert variables(reference("secretKeyRef", name, key, optional=True)) == {}


@pytest.mark.parametrize(
    ("text", "expanded"), [("$(A)", "1"), ("$$(A)", "$(A)"), ("$(NONE)", "$(NONE)"), ("$A", "$A"), ("$$$(A)", "$1")]
)
def test_references_are_expanded(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1"}) == expanded


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (".spec.size", 3),
        (".spec.none.deep", None),
        (".metadata.annotations.example\\.com/x", "y"),
        (".metadata.annotations['example.com/x']", "y"),
        ('.status.conditions[?(@.type=="Ready")].status', "True"),
        ('.status.conditions[?(@.type=="Other")].status', None),
    ],
)
def test_json_paths_read_what_printer_columns_use(path: str, value: object) -> None:
    obj = {
        "metadata": {"annotations": {"example.com/x": "y"}},
        "spec": {"size": 3},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    assert json_path(obj, path) == value


@pytest.mark.parametrize(("labels", "holds"), [("a in (1, 2),b", True), ("a notin (1)", False), ("!c", True)])
def test_label_selectors(labels: str, *, holds: bool) -> None:
    assert selector(labels, "")({"metadata": {"labels": {"a": "1", "b": ""}}}) is holds


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0s"), (119, "119s"), (150, "2m"), (4 * 3600, "4h"), (10**9, "31y")]
)
def test_ages_are_coarser_the_longer_they_are(seconds: int, text: str) -> None:
    start = datetime(2000, 1, 1, tzinfo=UTC)
    assert age(start.isoformat(), start + timedelta(seconds=seconds)) == text
