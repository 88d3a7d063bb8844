"""Builders of what a catalog says, for tests of what is pure."""

from collections.abc import Iterable

from campaignpool.blueprint.catalog import Catalog, TableFacts


def table(
    oid: int,
    name: str,
    *columns: str,
    keys: Iterable[tuple[str, int]] = (),
    unique: Iterable[tuple[str, ...]] = (),
    predicate: str | None = None,
) -> TableFacts:
    """A table of the schema `public`.

    Args:
        oid: Its oid.
        name: Its name.
        columns: Each `name type`, with `!` behind the type where it is not null; the first is the primary key.
        keys: Foreign keys, as (column, oid of the target).
        unique: Columns of each unique index.
        predicate: Of all unique indexes.
    """
    split = [(*each.rstrip("!").split(" ", 1), each.endswith("!")) for each in columns]
    return TableFacts.model_validate(
        {
            "oid": oid,
            "name": f"public.{name}",
            "schema": "public",
            "relation": name,
            "kind": "r",
            "primary_key": (split[0][0],),
            "columns": [
                {
                    "name": column,
                    "type": kind,
                    "not_null": required or number == 0,
                    "has_default": number == 0,
                    "default": "nextval('keys')" if number == 0 and kind == "bigint" else None,
                    "identity": "",
                    "generated": "",
                    "sequence": f"public.{name}_id_seq" if number == 0 and kind == "bigint" else None,
                }
                for number, (column, kind, required) in enumerate(split)
            ],
            "foreign_keys": [
                {"name": f"{name}_{column}_fkey", "columns": (column,), "target": target, "target_columns": ("id",)}
                for column, target in keys
            ],
            "indexes": [
                {
                    "name": f"{name}_{'_'.join(each)}_key",
                    "unique": True,
                    "nulls_distinct": True,
                    "columns": each,
                    "predicate": predicate,
                    "definition": f"CREATE UNIQUE INDEX x ON public.{name} USING btree ({', '.join(each)})",
                }
                for each in unique
            ],
            "triggers": (),
        }
    )


def catalog(*tables: TableFacts) -> Catalog:
    """A catalog in which every table has its plain name."""
    return Catalog({each.relation: each for each in tables})
