"""Which keys get a new value in a clone, and how; where the value of a reference comes from; what may become NULL."""

import pytest

from campaignpool.api.blueprint import Blueprint
from campaignpool.blueprint.catalog import Catalog, Column, ForeignKey, TableFacts
from campaignpool.blueprint.compile import compiler
from campaignpool.blueprint.compile.plan import ClonePlan, KeyKind
from campaignpool.errors import BlueprintError

DEFAULTS = {"~": "number || '!'", "#": "nextval('keys')", "=": "f()"}


def column(text: str) -> Column:
    """A column from `name type`, then `!` for not null, `=` for a default, `#` for a sequence, `~` for generated."""
    name, kind = text.rstrip("!=#~").split(" ", 1)
    marks = text[len(text.rstrip("!=#~")) :]
    return Column(
        name=name,
        type=kind,
        not_null="!" in marks,
        has_default="=" in marks or "#" in marks,
        default=next((value for mark, value in DEFAULTS.items() if mark in marks), None),
        identity="",
        generated="s" if "~" in marks else "",
        sequence="keys" if "#" in marks else None,
    )


def catalog(**tables: tuple[list[str], list[str], list[tuple[str, str, str]]]) -> Catalog:
    """A catalog: for each table its columns, its primary key, its foreign keys as (columns, table, columns)."""
    oids = {name: number for number, name in enumerate([*tables, "elsewhere"], 1)}
    facts = {
        name: TableFacts(
            oid=oids[name],
            name=f"public.{name}",
            schema="public",
            relation=name,
            kind="r",
            primary_key=tuple(key),
            columns=tuple(map(column, columns)),
            foreign_keys=tuple(
                ForeignKey(
                    name=f"{name}_{own.replace(' ', '_')}_fkey",
                    columns=tuple(own.split()),
                    target=oids[target],
                    target_columns=tuple(theirs.split()),
                )
                for own, target, theirs in references
            ),
            indexes=(),
            triggers=(),
        )
        for name, (columns, key, references) in tables.items()
    }
    return Catalog(facts)


WORLDS = (["id uuid!", "name text"], ["id"], [])
TO_WORLD = [("world_id", "worlds", "id")]
HEROES = (["id uuid!", "world_id uuid!", "friend_id uuid"], ["id"], [*TO_WORLD, ("friend_id", "heroes", "id")])


def plan(found: Catalog, *tables: str) -> ClonePlan:
    """Compile a blueprint whose root is `worlds`."""
    declared = {"root": {"table": "worlds"}, "tables": [{"name": table} for table in tables]}
    return compiler.compile_plan(Blueprint.model_validate(declared), found)


@pytest.mark.parametrize(
    ("columns", "key", "keys"),
    [
        (["id uuid!", "world_id uuid!"], ["id"], {"id": KeyKind.SPLICED}),
        (["id bigint!#", "world_id uuid!"], ["id"], {"id": KeyKind.DEFAULT}),
        (["id text!=", "world_id uuid!"], ["id"], {"id": KeyKind.DEFAULT}),
        (["world_id uuid!", "no integer!"], ["world_id", "no"], {}),
        (["world_id uuid!", "id bigint!#"], ["world_id", "id"], {"id": KeyKind.DEFAULT}),
        (["world_id uuid!", "id uuid!="], ["world_id", "id"], {"id": KeyKind.SPLICED}),
        (["world_id uuid!", "kind_id uuid!"], ["world_id", "kind_id"], {}),
        (["world_id uuid!", "tenant integer!", "id uuid!"], ["tenant", "id"], {"id": KeyKind.SPLICED}),
        (["world_id uuid!"], ["world_id"], {}),
        (["world_id uuid!", "number integer"], [], {}),
    ],
)
def test_a_key_is_made_anew_where_it_must_be(columns: list[str], key: list[str], keys: dict[str, KeyKind]) -> None:
    result = catalog(worlds=WORLDS, things=(columns, key, TO_WORLD))
    assert plan(result, "things").tables[1].keys == keys


def test_a_key_that_others_refer_to_is_drawn() -> None:
    pets = (["id bigint!#", "hero_id bigint!"], ["id"], [("hero_id", "heroes", "id")])
    for kind in ("id bigint!#", "id text!="):
        heroes = ([kind, "world_id uuid!"], ["id"], TO_WORLD)
        created = plan(catalog(worlds=WORLDS, heroes=heroes, pets=pets), "heroes", "pets")
        assert created.tables[1].keys == {"id": KeyKind.NUMBERED}
        assert created.tables[2].references[0].target == 1


def test_where_a_key_comes_from_is_followed_through_references() -> None:
    result = catalog(
        worlds=WORLDS,
        heroes=HEROES,
        bodies=(["id uuid!"], ["id"], [("id", "heroes", "id")]),
        wounds=(["body_id uuid!", "no integer!"], ["body_id", "no"], [("body_id", "bodies", "id")]),
    )
    created = plan(result, "heroes", "bodies", "wounds")
    origin = created.origin(3, "body_id")
    assert (origin.kind, origin.table, origin.column) == (KeyKind.SPLICED, 1, "id")
    assert created.origin(3, "no").kind is KeyKind.COPIED
    assert created.tables[3].anchors == ("body_id",)


def test_what_becomes_null_is_what_no_other_reference_needs() -> None:
    places = (["world_id uuid!", "no integer!"], ["world_id", "no"], TO_WORLD)
    heroes = (
        ["id uuid!", "world_id uuid", "no integer"],
        ["id"],
        [("world_id no", "places", "world_id no"), *TO_WORLD],
    )
    created = plan(catalog(worlds=WORLDS, places=places, heroes=heroes), "places", "heroes")
    assert [(reference.columns, reference.nulls) for reference in created.tables[2].references] == [
        (("world_id",), ("world_id",)),
        (("world_id", "no"), ("no",)),
    ]


@pytest.mark.parametrize(
    ("number", "message"),
    [("number integer", "has no default to draw new numbers from"), ("number text", "set it to an expression")],
)
def test_a_column_that_others_refer_to_must_be_new_in_every_clone(number: str, message: str) -> None:
    heroes = (["id bigint!#", "world_id uuid!", number], ["id"], TO_WORLD)
    pets = (["id bigint!#", number], ["id"], [("number", "heroes", "number")])
    with pytest.raises(BlueprintError, match=f"number of public.heroes, referred to, .*{message}"):
        plan(catalog(worlds=WORLDS, heroes=heroes, pets=pets), "heroes", "pets")
    pets = (["id bigint!#", number, "world uuid!"], ["id"], [("world number", "heroes", "world_id number")])
    created = plan(catalog(worlds=WORLDS, heroes=heroes, pets=pets), "heroes", "pets")
    assert created.origin(2, "number").kind is KeyKind.COPIED
    assert created.origin(2, "world").table == 0
