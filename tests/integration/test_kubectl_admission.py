"""What `kubectl apply` answers to a pool that breaks a bound or a rule of the CRD, word for word."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.admission import RULES, SPEC, Bound, bounds, joined, pool, put, unknown, valid
from tests.support.kube import Kube
from tests.support.operators import cluster

pytestmark = [pytest.mark.integration, pytest.mark.kubectl]

KUBECTLS = sorted((Path(__file__).parents[2] / ".tools/kubectl").glob("*/kubectl"))
BOUNDS = list(bounds(SPEC))
UNKNOWN = list(unknown(SPEC))
INVALID = '(Invalid): error when creating "STDIN": CampaignPool.campaignpool.dev "{}" is invalid: {}'
STRICT = (
    '(BadRequest): error when creating "STDIN": CampaignPool in version "v1alpha1" cannot be handled'
    ' as a CampaignPool: strict decoding error: unknown field "{}"'
)
KEYWORDS = {bound.keyword: bound for bound in BOUNDS}


@pytest.fixture(scope="module")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    with cluster(tmp_path_factory.mktemp("kube")) as client:
        yield client


@pytest.fixture(scope="module")
def namespace(kube: Kube) -> Iterator[str]:
    name = kube.namespace(pods=False)
    yield name
    kube.delete(f"/api/v1/namespaces/{name}")


def apply(kubectl: Path, kube: Kube, namespace: str, *manifests: dict[str, Any], dry: bool = True) -> str:
    """Return what kubectl complains of, without the warnings."""
    command = [str(kubectl), "apply", "--namespace", namespace, "-f", "-", *(["--dry-run=server"] if dry else [])]
    environment = {"KUBECONFIG": str(kube.kubeconfig), "PATH": os.environ["PATH"], "HOME": str(kubectl.parent)}
    text = yaml.safe_dump_all(manifests)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode in (0, 1)
    return done.stderr


@pytest.fixture(scope="module", params=KUBECTLS, ids=lambda path: path.parent.name)
def answers(request: pytest.FixtureRequest, kube: Kube, namespace: str) -> set[str]:
    """Return what one kubectl says of all manifests at once, one line for each."""
    manifests = [pool(bound.spec(), f"bound-{number}") for number, bound in enumerate(BOUNDS)]
    for number, path in enumerate(UNKNOWN):
        spec = valid(path)
        put(spec, path, 1)
        manifests.append(pool(spec, f"unknown-{number}"))
    return set(apply(request.param, kube, namespace, *manifests).split("Error from server ")[1:])


def said(answers: set[str], line: str) -> bool:
    return f"{line}\n" in answers


@pytest.mark.parametrize("number", range(len(BOUNDS)), ids=map(str, BOUNDS))
def test_one_step_outside_of_a_bound(answers: set[str], number: int) -> None:
    wanted = INVALID.format(f"bound-{number}", joined(BOUNDS[number].causes))
    assert said(answers, wanted), [line for line in answers if f'"bound-{number}"' in line]


@pytest.mark.parametrize("path", UNKNOWN)
def test_a_field_that_does_not_exist(answers: set[str], path: str) -> None:
    assert said(answers, STRICT.format(path)), [line for line in answers if "unknown field" in line]


def alone(causes: list[str]) -> str:
    """Return how kubectl says what is wrong with one manifest."""
    listed = causes[0] if len(causes) == 1 else "".join(f"\n* {cause}" for cause in causes)
    return f'The CampaignPool "p" is invalid: {listed}\n'


@pytest.mark.parametrize("kubectl", KUBECTLS, ids=lambda path: path.parent.name)
@pytest.mark.parametrize("bound", KEYWORDS.values(), ids=KEYWORDS)
def test_a_bound_in_a_manifest_of_its_own(kubectl: Path, kube: Kube, namespace: str, bound: Bound) -> None:
    assert apply(kubectl, kube, namespace, pool(bound.spec())) == alone(bound.causes)


@pytest.mark.parametrize("kubectl", KUBECTLS, ids=lambda path: path.parent.name)
@pytest.mark.parametrize("message", RULES)
def test_a_rule_that_does_not_hold(kubectl: Path, kube: Kube, namespace: str, message: str) -> None:
    case, spec = RULES[message], valid()
    for path, value in case.put.items():
        put(spec, path, value)
    if case.then is not None:
        assert apply(kubectl, kube, namespace, pool(spec), dry=False) == ""
        for path, value in case.then.items():
            put(spec, path, value)
    assert apply(kubectl, kube, namespace, pool(spec), dry=False) == alone(case.causes)
    if case.then is not None:
        kube.delete(f"/apis/campaignpool.dev/v1alpha1/namespaces/{namespace}/campaignpools/p")
