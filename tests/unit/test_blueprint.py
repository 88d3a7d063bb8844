"""Blueprints as people write them: what is wrong is named, all of it, with its place."""

import pytest

from campaignpool.api.blueprint import parse
from campaignpool.errors import BlueprintError


def faults(text: str) -> list[str]:
    with pytest.raises(BlueprintError) as refused:
        parse(text, "ConfigMap chiwar")
    return refused.value.faults


def test_a_blueprint_is_read() -> None:
    read = parse("{root: {table: campaigns, set: {name: $name}}, tables: [{name: weapons, where: active}]}", "here")
    assert read.root.set_ == {"name": "$name"}
    assert read.tables[0].where == "active"
    assert read.on_claim.insert == []


def test_broken_yaml_names_the_line() -> None:
    assert faults("root: {table: campaigns\ntables: [") == ["ConfigMap chiwar is not YAML in line 2: fix its syntax"]


def test_every_wrong_field_is_named() -> None:
    text = faults("{root: {tabel: campaigns}, tables: [{name: weapons, wehre: active}]}")
    assert any("root.table: Field required" in fault for fault in text)
    assert any("root.tabel: Extra inputs are not permitted" in fault for fault in text)
    assert any("tables.0.wehre: Extra inputs are not permitted" in fault for fault in text)


@pytest.mark.parametrize("text", ["", "just text", "[1, 2]"])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    assert faults(text)[0].startswith("ConfigMap chiwar: ")
