"""What the API server answers to a pool that breaks a bound or a rule of the CRD, word for word."""

from collections.abc import Iterator

import httpx
import pytest

from campaignpool.api import crd
from campaignpool_local.emulator import Emulator
from tests.support.admission import RULES, SPEC, Bound, bounds, joined, pool, put, rules, valid
from tests.support.kube import CRDS, POOLS


@pytest.fixture(scope="module")
def api(emulator: Emulator) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=emulator.url, timeout=60) as client:
        if client.get(f"{CRDS}/{crd.crd()['metadata']['name']}").status_code == httpx.codes.NOT_FOUND:
            client.post(CRDS, json=crd.crd()).raise_for_status()
        yield client


@pytest.fixture(scope="module")
def pools(api: httpx.Client) -> Iterator[str]:
    created = (
        api.post("/api/v1/namespaces", json={"metadata": {"generateName": "admission-"}}).raise_for_status().json()
    )
    yield POOLS.format(created["metadata"]["name"])
    api.delete(f"/api/v1/namespaces/{created['metadata']['name']}").raise_for_status()


def refusal(answer: httpx.Response) -> str:
    """Return what is said of an invalid pool, without its head."""
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY, answer.text
    head, _, said = answer.json()["message"].partition(" is invalid: ")
    assert head == 'CampaignPool.campaignpool.dev "p"'
    return str(said)


def test_the_sample_is_valid(api: httpx.Client, pools: str) -> None:
    answer = api.post(pools, params={"dryRun": "All"}, json=pool(valid()))
    assert answer.status_code == httpx.codes.CREATED, answer.text


@pytest.mark.parametrize("bound", list(bounds(SPEC)), ids=str)
def test_one_step_outside_of_a_bound(api: httpx.Client, pools: str, bound: Bound) -> None:
    answer = api.post(pools, params={"dryRun": "All"}, json=pool(bound.spec()))
    refusal(answer)
    assert [f"{item['field']}: {item['message']}" for item in answer.json()["details"]["causes"]] == bound.causes


def test_every_rule_of_the_crd_has_its_case() -> None:
    assert set(rules(SPEC)) == RULES.keys()


@pytest.mark.parametrize("message", RULES)
def test_a_rule_that_does_not_hold(api: httpx.Client, pools: str, message: str) -> None:
    case, spec = RULES[message], valid()
    for path, value in case.put.items():
        put(spec, path, value)
    if case.then is None:
        assert refusal(api.post(pools, params={"dryRun": "All"}, json=pool(spec))) == joined(case.causes)
        return
    stored = api.post(pools, json=pool(spec)).raise_for_status().json()
    for path, value in case.then.items():
        put(stored["spec"], path, value)
    answer = api.put(f"{pools}/p", json=stored)
    api.delete(f"{pools}/p").raise_for_status()
    assert refusal(answer) == joined(case.causes)
