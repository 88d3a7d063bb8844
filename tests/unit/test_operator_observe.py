"""What the operator makes of bad input: each fault has its reason and says how to fix it, and none tells a secret."""

import base64
import time
from typing import Any

import pytest

from campaignpool.api.reasons import Reason
from campaignpool.errors import (
    CampaignPoolError,
    ClusterError,
    ConfigurationError,
    SecretError,
    SeedingError,
    UnreachableError,
)
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.cluster.transport import Secret
from campaignpool_operator.databases import Databases
from campaignpool_operator.facts import Fault, Pool
from campaignpool_operator.observe.images import images_fault
from campaignpool_operator.observe.observe import observe
from campaignpool_operator.observe.template import Templates
from campaignpool_operator.resource import parse_spec, read_blueprint, read_pool, read_url
from campaignpool_operator.session import Sessions, apply_spec
from tests.support.pools import BLUEPRINT, COPIES, pool, raw_spec, spec


class Fake(Cluster):
    """An API that has these Secrets and ConfigMaps and no Jobs."""

    def __init__(self, secrets: dict[str, Any] | None = None, config_maps: dict[str, Any] | None = None) -> None:
        self.secrets, self.config_maps = secrets or {}, config_maps or {}
        self._clock = None

    async def secret(self, namespace: str, name: str) -> Secret | None:
        value: dict[str, dict[str, bytes]] = {"game": self.secrets}.get(namespace, {})
        return Secret(value[name], "5") if name in value else None

    async def config_map(self, namespace: str, name: str) -> tuple[dict[str, str], str] | None:
        value: dict[str, dict[str, str]] = {"game": self.config_maps}.get(namespace, {})
        return (value[name], "7") if name in value else None

    async def jobs(self, *_: str) -> list[dict[str, Any]]:
        return []


REFERENCE = spec(blueprint={"configMapRef": {"name": "plan"}})


async def url_fault(secrets: dict[str, Any]) -> CampaignPoolError:
    with pytest.raises(CampaignPoolError) as caught:
        await read_url(Fake(secrets), pool(), spec())
    return caught.value


async def test_a_secret_that_is_missing() -> None:
    fault = await url_fault({})
    assert (fault.reason, fault.retry) == ("SecretNotFound", False)
    assert "no Secret database in namespace game: create it" in fault.message
    assert "key url" in fault.message


async def test_a_key_that_is_missing() -> None:
    fault = await url_fault({"database": {"password": b"s3cr3t"}})
    assert fault.reason == "SecretKeyMissing"
    assert "the Secret database has no key url" in fault.message
    assert "s3cr3t" not in fault.message


class Labelled(Cluster):
    """An API whose Secrets all carry these labels."""

    def __init__(self, labels: dict[str, str] | None) -> None:
        self._labels, self._clock, self.require_secret_label = labels, None, True

    async def _find(self, *_: object, **__: object) -> dict[str, Any]:
        url = base64.b64encode(b"postgresql://x/y").decode()
        return {"metadata": {"labels": self._labels, "resourceVersion": "5"}, "data": {"url": url, "privateKey": url}}


@pytest.mark.parametrize("labels", [None, {}, {"campaignpool.dev/database": "false"}, {"database": "true"}])
async def test_a_secret_without_the_label_that_is_required(labels: dict[str, str] | None) -> None:
    with pytest.raises(SecretError) as caught:
        await read_url(Labelled(labels), pool(), spec())
    assert (caught.value.reason, caught.value.retry) == ("SecretNotLabelled", False)
    assert "kubectl -n game label secret database campaignpool.dev/database=true" in caught.value.message
    fault = await images_fault(Labelled(labels), pool(), spec(images=COPIES))
    assert fault is not None
    assert fault.reason == "SecretNotLabelled"


async def test_a_secret_with_the_label_that_is_required() -> None:
    labelled = Labelled({"campaignpool.dev/database": "true"})
    assert await read_url(labelled, pool(), spec()) == "postgresql://x/y"
    assert await images_fault(labelled, pool(), spec(images=COPIES)) is None


async def test_a_value_that_is_no_text() -> None:
    assert (await url_fault({"database": {"url": b"\xff\xfe"}})).reason == "DatabaseUrlInvalid"


async def test_the_url_is_taken_without_the_newline_that_editors_add() -> None:
    url = await read_url(Fake({"database": {"url": b"postgresql://x/y\n"}}), pool(), spec())
    assert url == "postgresql://x/y"


async def test_blueprints_in_config_maps() -> None:
    text = "root: {table: campaigns}"
    read = await read_blueprint(Fake(None, {"plan": {"blueprint.yaml": text}}), pool(), REFERENCE)
    assert read.parse().root.table == "campaigns"
    assert read.version == "uid-1 1 7", "another text or another spec is another version"


@pytest.mark.parametrize(
    ("config_maps", "reason", "says"),
    [
        ({}, "ConfigMapNotFound", "there is no ConfigMap plan in namespace game"),
        ({"plan": {}}, "ConfigMapKeyMissing", "the ConfigMap plan has no key blueprint.yaml"),
        (
            {"plan": {"blueprint.yaml": "root: ["}},
            "BlueprintInvalid",
            "ConfigMap plan, key blueprint.yaml is not YAML",
        ),
        ({"plan": {"blueprint.yaml": "tables: []"}}, "BlueprintInvalid", "root: Field required"),
    ],
)
async def test_blueprints_that_cannot_be_read(config_maps: dict[str, Any], reason: str, says: str) -> None:
    with pytest.raises(CampaignPoolError) as caught:
        (await read_blueprint(Fake(None, config_maps), pool(), REFERENCE)).parse()
    assert caught.value.reason == reason
    assert says in caught.value.message


def test_a_spec_that_the_models_refuse_names_the_field_and_not_its_value() -> None:
    raw = raw_spec(size=-1, database={"secretRef": {"name": "x"}, "url": "postgresql://u:s3cr3t@h/d"})
    with pytest.raises(ConfigurationError) as caught:
        parse_spec(pool(raw_spec=raw))
    assert caught.value.reason == "SpecInvalid"
    assert "spec.size: " in caught.value.message
    assert "spec.database.url: " in caught.value.message
    assert "s3cr3t" not in caught.value.message


def test_a_nul_character_names_its_field() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_spec(pool(raw_spec=raw_spec(owners=[{"id": "a", "name": "A\0", "size": 1}])))
    assert caught.value.message.startswith("spec.owners[0].name: holds a NUL character")


def test_fields_of_a_later_release_are_ignored() -> None:
    condition = {"type": "Ready", "status": "True", "reason": "Filled", "message": "", "severity": "low"}
    condition["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    meta = {"namespace": "game", "name": "chiwar", "uid": "u", "resourceVersion": "5"}
    meta["creationTimestamp"] = "2026-01-01T00:00:00Z"
    status = {"ready": 3, "phase": "New", "conditions": [condition]}
    read = read_pool({"metadata": meta, "spec": raw_spec(), "status": status})
    assert read.status.ready == 3
    assert [item.reason for item in read.status.conditions] == ["Filled"]


def test_a_status_of_another_version_counts_as_none() -> None:
    meta = {
        "namespace": "game",
        "name": "chiwar",
        "uid": "u",
        "resourceVersion": "5",
        "generation": 2,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    read = read_pool({"metadata": meta, "spec": raw_spec(), "status": {"phase": "Old"}})
    assert read.key == "game/chiwar"
    assert read.raw_status == {"phase": "Old"}
    assert read.status.conditions == []


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (UnreachableError("no connection"), Fault(Reason("DatabaseUnreachable"), "no connection", True)),
        (ClusterError("refused", reason="Forbidden"), Fault(Reason("Forbidden"), "refused", True)),
        (
            SeedingError("no such table"),
            Fault(Reason("DatabaseRefused"), "the database refused a statement of the operator: no such table", True),
        ),
    ],
)
def test_errors_become_faults(error: CampaignPoolError, wanted: Fault) -> None:
    assert Fault.of(error) == wanted


async def look(fake: Fake, the_pool: Pool) -> Fault | None:
    def listen(key: str, url: str) -> None:
        raise AssertionError(key, url)

    sessions = Sessions(fake, Databases(), listen, 30)
    session = await apply_spec(await sessions.prepare(the_pool), 30)
    assert session.connection is None
    observed = await observe(session, fake, "seeder:1", Templates(time.monotonic))
    assert observed.ledger is None
    return observed.fault


async def test_what_stands_in_the_way_becomes_a_part_of_what_was_observed() -> None:
    fault = await look(Fake(), pool(raw_spec={"blueprint": BLUEPRINT}))
    assert fault is not None
    assert fault.reason == "SpecInvalid"
    fault = await look(Fake({"database": {"url": b"mysql://u:s3cr3t@h/d"}}), pool())
    assert fault is not None
    assert fault.reason == "DatabaseUrlInvalid"
    assert "s3cr3t" not in fault.message
    fault = await look(Fake({"database": {"url": b"postgresql://u:s3cr3t@127.0.0.1:1/d"}}), pool())
    assert fault is not None
    assert (fault.reason, fault.retry) == ("DatabaseUnreachable", True)
    assert "s3cr3t" not in fault.message
