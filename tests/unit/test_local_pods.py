"""What a container is started with, what selectors and printed columns make of objects, bodies in protobuf."""

import base64

import pytest

from campaignpool_local.environment import SourceMissingError, command_of, expand, variables_of
from campaignpool_local.errors import ApiError
from campaignpool_local.protobuf import decode
from campaignpool_local.selectors import label_selector
from campaignpool_local.tables import human_duration, json_path
from campaignpool_local.values import Json

POD = {"metadata": {"name": "p", "namespace": "demo", "labels": {"app.io/x": "1"}}, "spec": {}}
SOURCES: dict[tuple[str, str], Json] = {
    ("secrets", "dsn"): {"data": {"url": base64.b64encode(b"postgres://x").decode()}},
    ("configmaps", "conf"): {"data": {"A": "1"}},
}


def lookup(plural: str, name: str) -> Json | None:
    return SOURCES.get((plural, name))


def reference(word: str, name: str, key: str, **more: object) -> Json:
    return {"env": [{"name": "X", "valueFrom": {word: {"name": name, "key": key, **more}}}]}


def test_variables_come_in_order_and_refer_to_those_before() -> None:
    container = {
        "envFrom": [{"configMapRef": {"name": "conf"}}, {"secretRef": {"name": "dsn"}, "prefix": "DB_"}],
        "env": [{"name": "B", "value": "$(A)$(C)"}, {"name": "C", "value": "$(B)"}, {"name": "E"}],
    }
    assert variables_of(POD, container, lookup) == {
        "A": "1",
        "DB_url": "postgres://x",
        "B": "1$(C)",
        "C": "1$(C)",
        "E": "",
    }


def test_fields_of_the_pod_are_read() -> None:
    source = {"fieldRef": {"fieldPath": "metadata.labels['app.io/x']"}}
    assert variables_of(POD, {"env": [{"name": "X", "valueFrom": source}]}, lookup) == {"X": "1"}


@pytest.mark.parametrize(
    ("container", "message"),
    [
        (reference("secretKeyRef", "none", "url"), 'secret "none" not found'),
        (reference("configMapKeyRef", "none", "url"), 'configmap "none" not found'),
        (reference("secretKeyRef", "dsn", "none"), "couldn't find key none in Secret demo/dsn"),
        ({"envFrom": [{"secretRef": {"name": "none"}}]}, 'secret "none" not found'),
    ],
    ids=str,
)
def test_what_is_missing_is_named(container: Json, message: str) -> None:
    with pytest.raises(SourceMissingError, match=message):
        variables_of(POD, container, lookup)


@pytest.mark.parametrize(("name", "key"), [("none", "url"), ("dsn", "none")])
def test_what_is_optional_may_be_missing(name: str, key: str) -> None:
    assert variables_of(POD, reference("secretKeyRef", name, key, optional=True), lookup) == {}


@pytest.mark.parametrize(
    ("text", "expanded"), [("$(A)", "1"), ("$$(A)", "$(A)"), ("$(NONE)", "$(NONE)"), ("$A", "$A"), ("$$$(A)", "$1")]
)
def test_references_are_expanded(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1"}) == expanded


def test_arguments_without_a_command_are_none() -> None:
    assert command_of({"args": ["x"]}, {}) == []
    assert command_of({"command": ["echo"], "args": ["$(A)"]}, {"A": "1"}) == ["echo", "1"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0s"),
        (119, "119s"),
        (120, "2m"),
        (150, "2m30s"),
        (3600, "60m"),
        (4 * 3600 + 60, "4h1m"),
        (9 * 3600, "9h"),
        (3 * 86400 + 3600, "3d1h"),
        (100 * 86400, "100d"),
        (800 * 86400, "2y70d"),
        (4000 * 86400, "10y"),
    ],
)
def test_durations_are_coarser_the_longer_they_are(seconds: int, text: str) -> None:
    assert human_duration(seconds) == text


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (".spec.size", 3),
        (".spec.none.deep", None),
        (".spec.list[1]", "b"),
        (".spec.list[-1]", "b"),
        (".spec.list[9]", None),
        (".spec.list[*]", "a"),
        (".metadata.annotations.example\\.com/x", "y"),
        (".metadata.annotations['example.com/x']", "y"),
        ('.status.conditions[?(@.type=="Ready")].status', "True"),
        ('.status.conditions[?(@.type=="Other")].status', None),
    ],
)
def test_json_paths_read_what_printer_columns_use(path: str, value: object) -> None:
    obj = {
        "metadata": {"annotations": {"example.com/x": "y"}},
        "spec": {"size": 3, "list": ["a", "b"]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    assert json_path(obj, path) == value


@pytest.mark.parametrize(("selector", "holds"), [("a in (1, 2),b", True), ("a notin (1)", False), ("!c", True)])
def test_label_selectors(selector: str, *, holds: bool) -> None:
    assert label_selector(selector)({"metadata": {"labels": {"a": "1", "b": ""}}}) is holds


def test_numbers_and_long_texts_are_read_from_protobuf() -> None:
    text = b"x" * 300
    entry = b"\x0a\x01k\x12\xac\x02" + text
    raw = b"\x0a\x03\x0a\x01n\x12" + bytes([0x80 | len(entry) & 0x7F, len(entry) >> 7]) + entry + b"\x20\x01"
    head = b"\x0a\x02v1\x12\x09ConfigMap"
    body = b"k8s\x00\x0a" + bytes([len(head)]) + head + b"\x12" + bytes([0x80 | len(raw) & 0x7F, len(raw) >> 7]) + raw
    assert decode(body) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "n"},
        "data": {"k": text.decode()},
        "immutable": True,
    }


@pytest.mark.parametrize("body", [b"", b"k8s\x00", b"k8s\x00\x0a\x07\x12\x05Other"])
def test_other_kinds_are_refused_in_protobuf(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        decode(body)
    assert caught.value.code == 415
