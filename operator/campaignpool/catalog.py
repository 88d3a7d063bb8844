"""What the database says of itself: the tables of a blueprint, their columns, keys, foreign keys and indexes.

Everything here is a frozen value, so that compiling is a pure function of a blueprint and a catalog, and a
change of the schema is seen as a change of the catalog.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import asyncpg
from pydantic import BaseModel, ConfigDict, Field

from campaignpool.sql import CATALOG


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True)


class Column(_Fact):
    """A column; `type` is without its modifier, so that a value that is too long is an error and never cut."""

    name: str
    type: str
    not_null: bool
    has_default: bool
    identity: str
    """`a` always, `d` by default, or empty."""
    generated: str
    """`s` stored, `v` virtual, or empty."""
    sequence: str | None
    """The sequence that gives its values, as SQL writes it."""


class ForeignKey(_Fact):
    """A foreign key; the target is given by the oid of its table."""

    name: str
    columns: tuple[str, ...]
    target: int
    target_columns: tuple[str, ...]


class Index(_Fact):
    """An index; a column is None where it is an expression."""

    name: str
    unique: bool
    nulls_distinct: bool
    columns: tuple[str | None, ...]
    predicate: str | None
    definition: str


class TableFacts(_Fact):
    """A table; `name` is qualified and quoted, ready for SQL."""

    oid: int
    name: str
    schema_: str = Field(alias="schema")
    relation: str
    kind: str
    primary_key: tuple[str, ...]
    columns: tuple[Column, ...]
    foreign_keys: tuple[ForeignKey, ...]
    indexes: tuple[Index, ...]
    triggers: tuple[str, ...]

    @cached_property
    def column(self) -> Mapping[str, Column]:
        """Columns by name."""
        return {column.name: column for column in self.columns}


@dataclass(frozen=True)
class Catalog:
    """The tables that a blueprint names, by the name it uses; a name that no table has is absent."""

    tables: Mapping[str, TableFacts] = field(default_factory=dict)


async def read(connection: "asyncpg.Connection[asyncpg.Record]", names: Iterable[str]) -> Catalog:
    """Ask the database about some tables.

    Args:
        connection: Its role's search path resolves the names.
        names: Names as a person writes them: `campaigns`, `game.campaigns`, `"Odd Name"`.
    """
    rows = await connection.fetch(CATALOG, sorted({name for name in names if _resolvable(name)}))
    found = {row["name"]: row["info"] for row in rows if row["info"] is not None}
    return Catalog({name: TableFacts.model_validate_json(info) for name, info in found.items()})


def _resolvable(name: str) -> bool:
    """Whether `to_regclass` takes the name; it raises on text that is no identifier at all."""
    identifier = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
    return re.fullmatch(rf"{identifier}(?:\.{identifier})?", name) is not None


def described(catalog: Catalog) -> dict[str, Any]:
    """Give a catalog as plain JSON values without oids: those differ after a dump and restore."""
    names = {facts.oid: facts.name for facts in catalog.tables.values()}
    tables = {name: facts.model_dump(mode="json") for name, facts in sorted(catalog.tables.items())}
    for table in tables.values():
        del table["oid"]
        for key in table["foreign_keys"]:
            key["target"] = names.get(key["target"], "elsewhere")
    return tables
