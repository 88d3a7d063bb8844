"""What the API server refuses of a CampaignPool, and with which words; and what it fills in."""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import httpx
import pytest

from campaignpool.api.crd import crd
from campaignpool.api.resource import PLURAL
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool_local.emulator import Emulator

pytestmark = pytest.mark.integration
POOLS = f"/apis/campaignpool.dev/v1alpha1/namespaces/default/{PLURAL}"


@pytest.fixture(scope="module")
def client(emulator: Emulator) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=emulator.url, timeout=10) as client:
        definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        created = client.post(definitions, json=crd())
        assert created.status_code in (201, 409), created.text
        yield client


def pool(name: str, **spec: object) -> dict[str, Any]:
    given = {
        "database": {"secretRef": {"name": "db"}},
        "template": {"where": "is_master_template"},
        "blueprint": {"inline": {"root": {"table": "campaigns"}}},
        **spec,
    }
    return {
        "apiVersion": "campaignpool.dev/v1alpha1",
        "kind": "CampaignPool",
        "metadata": {"name": name},
        "spec": given,
    }


@pytest.mark.parametrize(
    "owner",
    ["auth0|5f7c8ec7c33c6c004bbafe82", "a+b@example.com", "gid://game/User/7", "Jörg Müller", "-x", "a" * 150],
)
def test_the_ids_of_identity_providers_are_accepted(client: httpx.Client, owner: str) -> None:
    name = f"owner-{sha256(owner.encode()).hexdigest()[:16]}"
    answer = client.post(POOLS, json=pool(name, owners=[{"id": owner, "size": 1}]))
    assert answer.status_code == 201, answer.text
    assert CampaignPoolSpec.model_validate(answer.json()["spec"]).owners[0].id == owner


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"size": 7, "maxSize": 5}, "size must not exceed maxSize"),
        ({"owners": [{"id": "a", "size": 1}, {"id": "a", "size": 2}]}, "owner ids must be unique"),
        ({"maxConcurrent": 9}, "maxConcurrent must not exceed database.maxConnections"),
        ({"template": {"where": "true", "key": "1"}}, "set exactly one of key and where"),
        ({"template": {}}, "set exactly one of key and where"),
        ({"blueprint": {}}, "set exactly one of inline and configMapRef"),
        ({"size": -1}, "spec.size in body should be greater than or equal to 0"),
        ({"images": {"strategy": "Steal"}}, 'supported values: "Share"'),
        ({"images": {"strategy": "CopyEach"}}, "secretRef is required unless strategy is Share"),
        ({"claims": {"lifetime": {"default": "2h", "maximum": "90m"}}}, "default must not exceed maximum"),
        ({"images": {"deadline": "2 hours"}}, "spec.images.deadline in body should match"),
        ({"images": {"folder": "campaigns"}}, "spec.images.folder in body should match"),
        ({"owners": [{"id": "a\nb", "size": 1}]}, "spec.owners[0].id"),
        ({"owners": [{"id": "a" * 151, "size": 1}]}, "spec.owners[0].id"),
    ],
)
def test_a_wrong_spec_is_refused_with_a_sentence(client: httpx.Client, spec: dict[str, Any], message: str) -> None:
    answer = client.post(POOLS, json=pool("wrong", **spec))
    assert answer.status_code == 422, answer.text
    assert message in answer.json()["message"]


def test_defaults_are_filled_in(client: httpx.Client) -> None:
    created = client.post(POOLS, json=pool("defaults")).raise_for_status().json()["spec"]
    assert created["size"] == 5
    assert created["maxSize"] == 100
    assert created["seeding"]["batchSize"] == 10
    assert created["images"] == {
        "strategy": "Share",
        "folder": "/campaigns",
        "concurrency": 4,
        "requestsPerSecond": 5,
        "burst": 20,
        "maxAttempts": 8,
        "deadline": "2h",
        "requiredForReady": False,
    }
    assert created["claims"] == {
        "onEmpty": "Clone",
        "waitSeconds": 5,
        "allowStale": True,
        "lifetime": {"default": "1h", "maximum": "24h"},
        "whileDeleting": "Refuse",
    }
    assert created["paused"] is False
    client.delete(f"{POOLS}/defaults").raise_for_status()


def test_the_root_table_is_immutable_and_the_rest_is_not(client: httpx.Client) -> None:
    client.post(POOLS, json=pool("rooted")).raise_for_status()
    other = {"spec": {"blueprint": {"inline": {"root": {"table": "worlds"}}}}}
    merge = {"Content-Type": "application/merge-patch+json"}
    refused = client.patch(f"{POOLS}/rooted", json=other, headers=merge)
    assert refused.status_code == 422
    assert "root table is immutable" in refused.json()["message"]
    client.patch(f"{POOLS}/rooted", json={"spec": {"size": 9}}, headers=merge).raise_for_status()
    client.delete(f"{POOLS}/rooted").raise_for_status()


def test_scaling_past_the_bound_is_refused(client: httpx.Client) -> None:
    client.post(POOLS, json=pool("scaled", maxSize=6)).raise_for_status()
    merge = {"Content-Type": "application/merge-patch+json"}
    scale = f"{POOLS}/scaled/scale"
    client.patch(scale, json={"spec": {"replicas": 6}}, headers=merge).raise_for_status()
    refused = client.patch(scale, json={"spec": {"replicas": 7}}, headers=merge)
    assert refused.status_code == 422
    assert client.get(scale).json()["spec"] == {"replicas": 6}
    client.delete(f"{POOLS}/scaled").raise_for_status()
