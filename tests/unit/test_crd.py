"""The generated copies are up to date, and the schema is one that the API server takes."""

from pathlib import Path
from typing import Any

import pytest

from campaignpool.api import crd
from campaignpool.api.blueprint import Blueprint
from campaignpool.api.resource import MASTER
from campaignpool.api.spec import MAX_OWNERS, CampaignPoolSpec
from campaignpool_local.cel import broken_rules
from campaignpool_local.violations import violations

ROOT = Path(__file__).parents[2]
SCHEMA = crd.crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def nodes(node: dict[str, Any], path: str = "") -> list[tuple[str, dict[str, Any]]]:
    results = [(path, node)]
    for name, item in node.get("properties", {}).items():
        results += nodes(item, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            results += nodes(node[key], f"{path}[]")
    return results


@pytest.mark.parametrize("path", crd.generated())
def test_generated_files_are_up_to_date(path: Path) -> None:
    assert (ROOT / path).read_text() == crd.generated()[path], "run `make generate`"


def test_the_schema_is_structural() -> None:
    for path, node in nodes(SCHEMA):
        assert "type" in node or "x-kubernetes-int-or-string" in node, path
        assert not {"$ref", "anyOf", "title", "const"} & set(node), path
        assert not (node.get("properties") and node.get("additionalProperties")), path


def test_every_field_is_described() -> None:
    bare = [path for path, node in nodes(SCHEMA) if path.count(".") and not path.endswith("[]")]
    missing = [path for path, node in nodes(SCHEMA) if path in bare and "description" not in node]
    assert missing == [".metadata"]


def test_keys_of_map_lists_are_required() -> None:
    lists = [(path, node) for path, node in nodes(SCHEMA) if node.get("x-kubernetes-list-type") == "map"]
    assert {path for path, _ in lists} == {
        ".spec.owners",
        ".spec.sizing.schedules",
        ".status.owners",
        ".status.conditions",
    }
    for path, node in lists:
        assert set(node["x-kubernetes-list-map-keys"]) <= set(node["items"]["required"]), path


def test_defaults_hold_the_defaults_of_their_fields() -> None:
    """The API server evaluates rules on a default as written: a field left out of it does not exist there."""
    defaults = [(path, node) for path, node in nodes(SCHEMA) if isinstance(node.get("default"), dict)]
    assert {path for path, _ in defaults} >= {
        ".spec.seeding",
        ".spec.images",
        ".spec.claims",
        ".spec.claims.lifetime",
    }
    for path, node in defaults:
        for name, field in node["properties"].items():
            if "default" in field:
                assert node["default"].get(name) == field["default"], f"{path}.{name}"


def test_defaults_as_written_keep_their_schema_and_its_rules() -> None:
    for path, node in nodes(SCHEMA):
        if "default" in node:
            causes = [*violations(node["default"], node), *broken_rules(node["default"], None, node)]
            assert causes == [], path


def test_what_the_rules_quantify_over_is_bounded() -> None:
    """The API server estimates the cost of a rule from these bounds and refuses a rule without them."""
    owners = SCHEMA["properties"]["spec"]["properties"]["owners"]
    assert owners["maxItems"] == MAX_OWNERS
    longest = owners["items"]["properties"]["id"]["maxLength"]
    # Every owner is compared with every owner, byte by byte, at most 4 bytes a character: 10 million is the limit.
    assert MAX_OWNERS**2 * (longest * 4 * 0.1 + 10) < 5_000_000


def test_printer_columns_come_in_the_order_people_expect() -> None:
    columns = crd.crd()["spec"]["versions"][0]["additionalPrinterColumns"]
    narrow = [column["name"] for column in columns if not column.get("priority")]
    assert narrow == ["Ready", "Desired", "Seeding", "Claimed", "Status", "Age"]


def test_the_category_all_is_left_alone() -> None:
    names = crd.crd()["spec"]["names"]
    assert names["shortNames"] == ["cp"]
    assert names["categories"] == ["campaignpool"]


def test_models_take_what_the_schema_takes() -> None:
    spec = CampaignPoolSpec.model_validate(
        {
            "database": {"secretRef": {"name": "db"}},
            "template": {"where": "is_master_template"},
            "blueprint": {"inline": {"root": {"table": "campaigns"}}},
        }
    )
    assert spec.targets() == {MASTER: 5}
    assert isinstance(spec.blueprint.inline, Blueprint)
    assert spec.model_dump(by_alias=True, exclude_none=True)["database"] == {
        "secretRef": {"name": "db", "key": "url"},
        "maxConnections": 4,
    }


def test_no_source_root_is_a_package() -> None:
    """An importable `operator` breaks the standard library."""
    loose = [path for root in ("operator", "jobs", "jobs/seeder") for path in (ROOT / root).glob("*.py")]
    assert loose == []
