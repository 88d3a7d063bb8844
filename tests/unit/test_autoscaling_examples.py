"""The autoscalers of the examples name a pool, a metric and sizes that exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from campaignpool.api.crd import crd
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool_operator.runtime.families import FAMILIES

EXAMPLES = Path(__file__).parents[2] / "examples"
POOL = yaml.safe_load((EXAMPLES / "chiwar" / "pool.yaml").read_text())
FILES = sorted((EXAMPLES / "autoscaling").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_autoscaler_scales_the_sample_pool(file: Path) -> None:
    manifest: dict[str, Any] = yaml.safe_load(file.read_text())
    spec = manifest["spec"]
    assert spec["scaleTargetRef"] == {
        "apiVersion": POOL["apiVersion"],
        "kind": POOL["kind"],
        "name": POOL["metadata"]["name"],
    }
    least, most = (spec.get(f"{bound}ReplicaCount", spec.get(f"{bound}Replicas")) for bound in ("min", "max"))
    pool = CampaignPoolSpec.model_validate(POOL["spec"])
    assert 0 < least < most <= pool.max_size - sum(owner.size for owner in pool.owners)


def test_the_metric_of_the_query_exists_with_its_labels() -> None:
    text = (EXAMPLES / "autoscaling" / "hpa.yaml").read_text()
    name = re.search(r"rate\((\w+)\[", text)
    assert name
    family = next(family for family in FAMILIES if family.name == name[1])
    assert {"namespace", "pool"} <= set(family.labels)


def test_an_autoscaler_finds_a_selector_in_the_scale_subresource() -> None:
    # A HorizontalPodAutoscaler refuses a resource without one, whatever its metric.
    assert crd()["spec"]["versions"][0]["subresources"]["scale"]["labelSelectorPath"]
