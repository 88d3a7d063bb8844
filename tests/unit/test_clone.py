"""What compiling refuses: each fault names table, column and remedy. And what it makes of references and keys."""

from collections.abc import Mapping
from typing import Any

import pytest

from campaignpool.api.blueprint import Blueprint
from campaignpool.blueprint.catalog import TableFacts
from campaignpool.blueprint.compile.compiler import compile_plan, table_names
from campaignpool.blueprint.compile.plan import ClonePlan, KeyKind
from campaignpool.errors import BlueprintError
from tests.support.schemas import catalog, table

CAMPAIGNS = table(1, "campaigns", "id uuid", "name text!", "leader_id uuid")
HEROES = table(2, "heroes", "id uuid", "campaign_id uuid!", "name text!", keys=[("campaign_id", 1)])
NOTES = table(3, "notes", "id bigint", "of_type text", "of_id uuid", "hero_id uuid", keys=[("hero_id", 2)])
ALL = (CAMPAIGNS, HEROES, NOTES)


def blueprint(*tables: str | dict[str, Any], root: Mapping[str, object] | None = None, **rest: object) -> Blueprint:
    named = [{"name": item} if isinstance(item, str) else item for item in tables]
    return Blueprint.model_validate({"root": {"table": "campaigns", **(root or {})}, "tables": named, **rest})


def compiled(*tables: str | dict[str, Any], facts: tuple[TableFacts, ...] = ALL) -> ClonePlan:
    return compile_plan(blueprint(*tables), catalog(*facts))


def changed(facts: TableFacts, column: str, **values: object) -> TableFacts:
    """The same table with another column."""
    columns = tuple(item.model_copy(update=values) if item.name == column else item for item in facts.columns)
    return facts.model_copy(update={"columns": columns})


def bare(facts: TableFacts) -> TableFacts:
    """The same table without a default for its key."""
    return changed(facts, facts.primary_key[0], has_default=False, default=None, sequence=None)


SET_VARIABLES = "$campaign, $clone_of, $id, $name, $owner"
PAIR = {"type": "of_type", "id": "of_id", "targets": {"Hero": "heroes"}}
TEXT_KEYS = bare(table(4, "spells", "code text", "campaign_id uuid!", keys=[("campaign_id", 1)]))
NUMBERS = bare(table(4, "spells", "id bigint", "campaign_id uuid!", keys=[("campaign_id", 1)]))
LOOSE = table(4, "spells", "id uuid", "name text")
REFUSED: dict[str, tuple[Blueprint, tuple[TableFacts, ...], str]] = {
    "no root": (
        blueprint(root={"table": "campaign"}),
        ALL,
        "table campaign does not exist: correct its name, or qualify it with its schema",
    ),
    "no table": (
        blueprint("hero"),
        ALL,
        "table hero does not exist: correct its name, or qualify it with its schema",
    ),
    "twice": (blueprint("heroes", "heroes"), ALL, "table public.heroes is named twice: merge the two entries"),
    "set": (
        blueprint({"name": "heroes", "set": {"colour": "1"}}),
        ALL,
        "table public.heroes has no column colour: correct its name",
    ),
    "via of no column": (
        blueprint({"name": "heroes", "via": ["colour"]}),
        ALL,
        "table public.heroes has no column colour: correct its name",
    ),
    "via of no reference": (
        blueprint({"name": "heroes", "via": ["name"]}),
        ALL,
        "table public.heroes: `via` names name, which is no reference to another table of the blueprint",
    ),
    "generated": (
        blueprint({"name": "heroes", "set": {"name": "1"}}),
        (CAMPAIGNS, changed(HEROES, "name", generated="s")),
        "column name of public.heroes is generated: remove it from `set`",
    ),
    "variable": (
        blueprint({"name": "heroes", "set": {"name": "$nam"}}),
        ALL,
        f"table public.heroes, column name: there is no variable $nam here: use {SET_VARIABLES}",
    ),
    "claimant": (
        blueprint(root={"set": {"name": "$claimant"}}),
        ALL,
        f"table public.campaigns, column name: there is no variable $claimant here: use {SET_VARIABLES}",
    ),
    "reference to nothing": (
        blueprint("heroes", {"name": "notes", "references": {"of_id": "hero"}}),
        ALL,
        "table public.notes: `references` of of_id: table hero does not exist: correct its name",
    ),
    "reference out of the blueprint": (
        blueprint("heroes", {"name": "notes", "references": {"of_id": "spells"}}),
        (*ALL, LOOSE),
        (
            "table public.notes: `references` of of_id: table spells is not part of the blueprint: add it, or "
            "remove the "
            "reference"
        ),
    ),
    "pair out of the blueprint": (
        blueprint({"name": "notes", "polymorphic": [PAIR]}),
        ALL,
        (
            "table public.notes: target of of_type: table heroes is not part of the blueprint: add it, or remove the "
            "reference"
        ),
    ),
    "pair to a key of two columns": (
        blueprint("heroes", {"name": "notes", "polymorphic": [PAIR]}),
        (CAMPAIGNS, HEROES.model_copy(update={"primary_key": ("campaign_id", "name")}), NOTES),
        (
            "table public.notes: target of of_type: table heroes has no primary key of one column, so nothing "
            "can refer "
            "to it"
        ),
    ),
    "nothing hangs it on the root": (
        blueprint("spells"),
        (*ALL, LOOSE),
        (
            "table public.spells has no reference to another table of the blueprint: remove it, or declare one under "
            "`references` or `polymorphic`"
        ),
    ),
    "belongs to what belongs to it": (
        blueprint("a", "b"),
        (
            CAMPAIGNS,
            table(5, "a", "id uuid", "b_id uuid!", keys=[("b_id", 6)]),
            table(6, "b", "id uuid", "a_id uuid!", keys=[("a_id", 5)]),
        ),
        "table public.a does not belong to the root by b_id: name other columns under `via`",
    ),
    "key of text": (
        blueprint("spells"),
        (*ALL, TEXT_KEYS),
        (
            "key code of public.spells is of type text and has no default: set it to an expression that is new in "
            "every "
            "campaign, such as `code: code || '-' || $campaign`"
        ),
    ),
    "number without a sequence": (
        blueprint("spells"),
        (*ALL, NUMBERS),
        (
            "key id of public.spells has no default to draw new numbers from: ALTER TABLE public.spells ALTER COLUMN "
            '"id" SET DEFAULT nextval(...) of the sequence that the application uses, or ADD GENERATED BY DEFAULT AS '
            "IDENTITY"
        ),
    ),
    "root of text": (
        blueprint(),
        (bare(table(1, "campaigns", "code text")),),
        "key code of public.campaigns is of type text: the root table needs a uuid, or a key with a default",
    ),
    "root with a key of two columns": (
        blueprint(),
        (
            bare(table(1, "campaigns", "code text", "name text!")).model_copy(
                update={"primary_key": ("code", "name")}
            ),
        ),
        "root table public.campaigns needs a primary key of one column, uuid or with a default: it has (code, name)",
    ),
    "root whose key is set": (
        blueprint(root={"set": {"id": "id || $name"}}),
        ALL,
        (
            "the key of root table public.campaigns can be set from $id, $name and $owner alone: remove id from its "
            "expression"
        ),
    ),
    "keys in a circle": (
        blueprint({"name": "a", "via": ["campaign_id"]}, {"name": "b", "via": ["campaign_id"]}),
        (
            CAMPAIGNS,
            table(5, "a", "id uuid", "campaign_id uuid!", keys=[("id", 6), ("campaign_id", 1)]),
            table(6, "b", "id uuid", "campaign_id uuid!", keys=[("id", 5), ("campaign_id", 1)]),
        ),
        "id of public.b, id of public.a, id of public.b refer to each other in a circle: set one of them",
    ),
    "key out of the blueprint": (
        blueprint("spells"),
        (*ALL, table(4, "spells", "id uuid", "campaign_id uuid!", keys=[("campaign_id", 1), ("id", 99)])),
        "key id of public.spells refers to tables outside the blueprint: add one of them, or leave public.spells out",
    ),
    "key that is generated": (
        blueprint("heroes"),
        (CAMPAIGNS, changed(bare(HEROES), "id", generated="s")),
        (
            "key id of public.heroes is generated from columns that stay the same: set one of those, or leave "
            "public.heroes out"
        ),
    ),
    "polymorphic key": (
        blueprint("heroes", {"name": "notes", "polymorphic": [PAIR | {"id": "id"}]}, "pages"),
        (
            CAMPAIGNS,
            HEROES,
            table(3, "notes", "id uuid", "of_type text"),
            table(4, "pages", "id uuid", "note_id uuid!", keys=[("note_id", 3)]),
        ),
        "id of public.notes is polymorphic, and referred to: set it, or what refers to it",
    ),
    "claim sets no column": (
        blueprint(onClaim={"set": {"colour": "1"}}),
        ALL,
        "onClaim: table public.campaigns has no column colour: correct its name",
    ),
    "claim inserts nowhere": (
        blueprint(onClaim={"insert": [{"table": "members", "values": {"id": "1"}}]}),
        ALL,
        "table members does not exist: correct its name, or qualify it with its schema",
    ),
    "claim inserts too little": (
        blueprint(onClaim={"insert": [{"table": "heroes", "values": {"campaign_id": "$campaign"}}]}),
        ALL,
        "onClaim: column name of public.heroes may not be NULL and has no default: give it a value",
    ),
    "claim inserts no column": (
        blueprint(onClaim={"insert": [{"table": "notes", "values": {"colour": "1"}}]}),
        ALL,
        "onClaim: table public.notes has no column colour: correct its name",
    ),
    "claim has no variable": (
        blueprint(onClaim={"set": {"name": "$who"}}),
        ALL,
        "onClaim, column name: there is no variable $who here: use $campaign, $claimant, $name, $owner",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_blueprint_that_the_catalog_contradicts_is_refused_with_the_mend(case: str) -> None:
    wrong, facts, fault = REFUSED[case]
    with pytest.raises(BlueprintError) as refused:
        compile_plan(wrong, catalog(*facts))
    assert fault in refused.value.faults


def test_every_fault_is_named_at_once() -> None:
    wrong = blueprint({"name": "heroes", "set": {"colour": "$nam"}}, {"name": "notes", "via": ["of_type"]})
    with pytest.raises(BlueprintError) as refused:
        compile_plan(wrong, catalog(*ALL))
    assert len(refused.value.faults) == 3


def test_the_catalog_is_asked_for_every_table_that_is_named() -> None:
    insert = {"insert": [{"table": "members", "values": {"id": "1"}}]}
    pair = {"name": "notes", "references": {"x": "spells"}, "polymorphic": [PAIR]}
    assert set(table_names(blueprint(pair, onClaim=insert))) == {"campaigns", "notes", "spells", "heroes", "members"}


def test_a_table_hangs_on_the_root_before_anything_else() -> None:
    both = table(4, "spells", "id uuid", "a uuid!", "b uuid", keys=[("a", 2), ("b", 1)])
    assert compiled("heroes", "spells", facts=(*ALL, both)).tables[2].anchors == ("b",)


def test_without_the_root_a_table_hangs_on_all_that_it_requires() -> None:
    both = table(4, "spells", "id uuid", "a uuid!", "b uuid", "c uuid!", keys=[("a", 2), ("b", 2), ("c", 3)])
    notes = table(3, "notes", "id uuid", "campaign_id uuid!", keys=[("campaign_id", 1)])
    plan = compiled("heroes", "notes", "spells", facts=(CAMPAIGNS, HEROES, notes, both))
    assert plan.tables[3].anchors == ("a", "c")


def test_what_requires_nothing_hangs_on_its_polymorphic_reference_first() -> None:
    plan = compiled("heroes", {"name": "notes", "polymorphic": [PAIR]})
    assert plan.tables[2].anchors == ("of_id",)
    assert compiled("heroes", "notes").tables[2].anchors == ("hero_id",)


def test_keys_are_spliced_drawn_or_left_to_the_database() -> None:
    plan = compiled("heroes", "notes")
    assert [item.key for item in plan.tables] == [KeyKind.SPLICED, KeyKind.SPLICED, KeyKind.DEFAULT]
    pages = table(4, "pages", "id bigint", "note_id bigint!", keys=[("note_id", 3)])
    plan = compiled("heroes", "notes", "pages", facts=(*ALL, pages))
    assert [item.key for item in plan.tables[2:]] == [KeyKind.NUMBERED, KeyKind.DEFAULT]


def test_a_key_that_is_a_reference_comes_from_where_that_points() -> None:
    """Tables one to one, and what refers to the second of them."""
    sheets = table(4, "sheets", "id uuid", keys=[("id", 2)])
    lines = table(5, "lines", "id uuid", "sheet_id uuid!", keys=[("sheet_id", 4)])
    plan = compiled("heroes", "sheets", "lines", facts=(*ALL, sheets, lines))
    assert (plan.tables[2].key, plan.tables[2].anchors) == (KeyKind.NONE, ("id",))
    origin = plan.origin(3, "sheet_id")
    assert (origin.kind, origin.table, origin.column) == (KeyKind.SPLICED, 1, "id")


def test_what_is_copied_is_what_nothing_else_makes() -> None:
    plan = compiled({"name": "heroes", "set": {"name": "$name"}}, "notes")
    assert [item.copied for item in plan.tables] == [("name", "leader_id"), (), ("of_type", "of_id")]


def test_tables_that_refer_to_each_other_are_inserted_together() -> None:
    led = table(1, "campaigns", "id uuid", "leader_id uuid", keys=[("leader_id", 2)])
    assert compiled("heroes", "notes", facts=(led, HEROES, NOTES)).order == ((0, 1), (2,))
    assert compiled("heroes", "notes").order == ((0,), (1,), (2,))
