"""Builders of catalogs for unit tests."""

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
    """Return the facts of a table in the schema `public`.

    Args:
        oid: Its oid.
        name: Its name.
        columns: `name type`, with `!` after the type for NOT NULL; the first is the primary key.
        keys: Foreign keys as (column, oid of the target).
        unique: The columns of every unique index.
        predicate: The predicate of all unique indexes.
    """
    split = [(*column.rstrip("!").split(" ", 1), column.endswith("!")) for column in columns]
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
                    "name": f"{name}_{'_'.join(index)}_key",
                    "unique": True,
                    "nulls_distinct": True,
                    "columns": index,
                    "predicate": predicate,
                    "definition": f"CREATE UNIQUE INDEX x ON public.{name} USING btree ({', '.join(index)})",
                }
                for index in unique
            ],
            "triggers": (),
        }
    )


def catalog(*tables: TableFacts) -> Catalog:
    """Return a catalog that lists every table by its unqualified name."""
    return Catalog({table.relation: table for table in tables})
