"""What a container is started with, what selectors and printed columns make of objects."""

import asyncio
import base64
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from campaignpool_local.environment import SourceMissingError, expand, variables_of
from campaignpool_local.kubelet.images import Images
from campaignpool_local.kubelet.runner import PodRunner
from campaignpool_local.objects import Registry
from campaignpool_local.resources import PODS, find
from campaignpool_local.store import Change, Store
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
    return variables_of({"metadata": METADATA, "spec": {}}, container, store)


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
        (reference("secretKeyRef", "dsn", "none"), "couldn't find key none in Secret demo/dsn"),
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


@pytest.mark.parametrize("gone", [False, True], ids=["that runs", "that is gone"])
async def test_nothing_is_left_of_a_pod_when_all_is_closed(tmp_path: Path, *, gone: bool) -> None:
    """Neither a process nor a zombie, whose end an event loop would look for that is closed by then."""
    registry = Registry(Store())
    runner, running = PodRunner(registry, Images()), asyncio.Event()

    def notice(change: Change) -> None:
        if (change.object.get("status") or {}).get("phase") == "Running":
            running.set()

    registry.store.listeners.append(notice)
    container = {"name": "c", "image": "i", "command": ["sh", "-c", f"echo $$$$ > {tmp_path}/pid; exec sleep 60"]}
    body: Json = {"metadata": {"name": "p"}, "spec": {"restartPolicy": "Never", "containers": [container]}}
    pod = registry.create(find(registry.store, PODS), "default", body)
    await asyncio.wait_for(running.wait(), 5)
    async with asyncio.timeout(5):
        while not (written := tmp_path / "pid").exists() or not written.read_text():  # noqa: ASYNC110 (a file)
            await asyncio.sleep(0.001)
    if gone:
        registry.store.put(PODS, pod, remove=True)
    await runner.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(written.read_text()), 0)
