"""What the database says of itself: the tables of a blueprint, their columns, keys, foreign keys and indexes.

Everything here is a frozen value, so that compiling is a pure function of a blueprint and a catalog, and a
change of the schema is seen as a change of the catalog.
"""

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from campaignpool.blueprint.queries import CATALOG, SIGNATURE
from campaignpool.blueprint.quote import ident
from campaignpool.ledger.database import Connection

TEXT_KEY = 24
"""Fewest characters of a key that is made from a campaign's id as text."""


UUID_TEXT, DIGITS = 36, 32
"""Characters of a uuid, with its dashes and without."""


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True)


class Column(_Fact):
    """A column. Values are cast to `base`, so that the INSERT itself refuses a value that is too long."""

    name: str
    type: str
    """As it is declared, with its modifier."""
    base: str = Field(default_factory=lambda known: known["type"])
    """`type` without its modifier, and what it is a domain over."""
    length: int | None = None
    """Longest value of a `char(n)` or `varchar(n)`."""
    domain: bool = False
    own: bool = False
    """Whether `base` or the collation is the application's or an extension's, which may alter or drop it."""
    not_null: bool
    has_default: bool
    default: str | None = None
    """Expression of the default, or of a generated column; `nextval(…)` of an identity."""
    identity: str
    """`a` always, `d` by default, or empty."""
    generated: str
    """`s` stored, `v` virtual, or empty."""
    sequence: str | None
    """The sequence that gives its values, as SQL writes it."""
    draws: bool = False
    """Whether the default draws a number from a sequence, or a random value."""

    @property
    def always(self) -> bool:
        """Whether no UPDATE may write it."""
        return bool(self.generated) or self.identity == "a"

    @property
    def example(self) -> str:
        """An expression that is new in every campaign, for messages."""
        if self.base in ("text", "character varying", "bpchar", "character"):
            short = f"left(md5({self.name} || $campaign), {self.length})"
            return short if self.length else f"{self.name} || '-' || $campaign"
        own = {"uuid": "gen_random_uuid()", "bytea": "uuid_send(gen_random_uuid())"}
        return own.get(self.base, "a value that is new in every campaign")

    @property
    def derived(self) -> str:
        """How a key that others refer to is set, for messages: the same each time, and new in every campaign."""
        text = f"{self.name}::text || $campaign"
        ways = {"uuid": f"md5({text})::uuid", "bytea": f"sha256(convert_to({text}, 'UTF8'))"}
        if self.base in ways or self.text_key:
            way = ways.get(self.base, f"{self.name} || '-' || $campaign")
            return f"make it from the row and $campaign, such as `{way}`"
        return "let the column have a default that draws it, and do not set it"

    @property
    def key_form(self) -> str:
        """How a spliced key is written: `uuid`, or as text: `dashes` of a uuid, `c` and digits, or digits alone."""
        if not self.text_key:
            return "uuid"
        if self.length == UUID_TEXT:
            return "dashes"
        return "c" if self.length is None or self.length > DIGITS else f"digits {self.length}"

    @property
    def text_key(self) -> bool:
        """Whether it can hold a key that is made from a campaign's id as text."""
        return self.base in ("text", "character varying", "bpchar") and (
            self.length is None or self.length >= TEXT_KEY
        )


class ForeignKey(_Fact):
    """A foreign key; the target is given by the oid of its table, and by name for messages."""

    name: str
    columns: tuple[str, ...]
    target: int
    target_columns: tuple[str, ...]
    target_name: str = "elsewhere"
    match_full: bool = False
    period: bool = False
    """Whether its last column is a period: it holds for a time, and names no single row."""


class Index(_Fact):
    """An index; a column is None where it is an expression. `keys` has the SQL of each."""

    name: str
    unique: bool
    nulls_distinct: bool
    columns: tuple[str | None, ...]
    keys: tuple[str, ...] = ()
    predicate: str | None
    definition: str

    def whole_row(self, table: "TableFacts") -> bool:
        """Whether an expression of it reads the row as a whole, which nothing but a row of the table is."""
        names = (f"{table.relation}.*", f"{ident(table.relation)}.*")
        return any(name in text for text in (*self.keys, self.predicate or "") for name in names)


class Trigger(_Fact):
    """A trigger that is enabled; `source` is the text of its function."""

    name: str
    definition: str = ""
    source: str = ""
    before: bool = False
    insert: bool = True
    update: bool = False
    delete: bool = False


class Rule(_Fact):
    """A rewrite rule; `insert` is whether it is one of INSERT."""

    name: str
    insert: bool


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
    triggers: tuple[Trigger, ...] = ()
    rules: tuple[Rule, ...] = ()
    children: Mapping[str, str] = Field(default_factory=dict)
    """Tables that inherit from it and are no partitions: their names by oid."""
    unlogged: tuple[str, ...] = ()
    """Of the table and its partitions, those that a crash of the server empties."""
    foreign_parts: tuple[str, ...] = ()
    """Partitions that are foreign tables."""
    partition_of: str | None = None
    """The partitioned table, where it is a partition itself."""
    part_keys: tuple[ForeignKey, ...] = ()
    """Foreign keys that single partitions have."""
    exclusions: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Indexes of exclusion constraints, with their columns."""
    row_security: bool = False
    """Whether row level security applies to the role."""
    hidden: tuple[str, ...] = ()
    """Operations that row level security may keep from the role: SELECT, INSERT, DELETE."""

    @property
    def rows(self) -> str:
        """The table's own rows, for FROM: those of tables that inherit from it are these tables' own."""
        return f"ONLY {self.name}" if self.children else self.name

    @property
    def told_by_rows(self) -> bool:
        """Whether only rows themselves show that two campaigns cannot stand side by side."""
        return bool(self.exclusions) or any(index.whole_row(self) for index in self.indexes)

    @property
    def on_insert(self) -> tuple[str, ...]:
        """Names of the triggers that fire when a row is inserted."""
        return tuple(trigger.name for trigger in self.triggers if trigger.insert)

    @cached_property
    def column(self) -> Mapping[str, Column]:
        """Columns by name."""
        return {column.name: column for column in self.columns}


@dataclass(frozen=True)
class Catalog:
    """What a blueprint asks of a database.

    Attributes:
        tables: The tables, by the name the blueprint uses; a name that no table has is absent.
        path: The schemas in which the role finds what is not qualified, in order.
        others: What has one of the names and is no table, such as `a view`.
        elsewhere: Tables of the same name, qualified, where the role's search path has none.
    """

    tables: Mapping[str, TableFacts] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    others: Mapping[str, str] = field(default_factory=dict)
    elsewhere: Mapping[str, str] = field(default_factory=dict)


async def read(connection: Connection, names: Iterable[str]) -> Catalog:
    """Ask the database about some tables.

    Args:
        connection: Its role's search path resolves the names.
        names: Names as a person writes them: `campaigns`, `game.campaigns`, `"Odd Name"`.
    """
    names = list(names)
    oids = await connection.fetch(
        "SELECT name, t.oid, t.relkind::text AS kind FROM unnest($1::text[]) AS n (name) "
        "JOIN pg_class t ON t.oid = to_regclass(name)",
        sorted({name for name in names if _resolvable(name)}),
    )
    path = [name for name in await connection.fetchval("SELECT current_schemas(false)::text[]") if name[:3] != "pg_"]
    async with search_path(connection, "pg_catalog"):
        rows = await connection.fetch(CATALOG, [row["oid"] for row in oids if row["kind"] in _TABLES])
    result = {row["oid"]: TableFacts.model_validate_json(row["info"]) for row in rows}
    tables = {row["name"]: result[row["oid"]] for row in oids if row["oid"] in result}
    others = {row["name"]: _KINDS.get(row["kind"], "no table") for row in oids if row["kind"] not in _TABLES}
    missing = [name for name in set(names) - tables.keys() - others.keys() if _resolvable(name)]
    namesakes = await connection.fetch(_ELSEWHERE, missing) if missing else []
    return Catalog(tables, tuple(path), others, {row["name"]: row["tables"] for row in namesakes})


_ELSEWHERE = """
SELECT name, string_agg(format('%I.%I', n.nspname, c.relname), ', ' ORDER BY n.nspname) AS tables
FROM unnest($1::text[]) AS name JOIN pg_class c ON c.relname = (parse_ident(name))[cardinality(parse_ident(name))]
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND cardinality(parse_ident(name)) = 1
GROUP BY name
"""


_TABLES = ("r", "p")
_KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table", "S": "a sequence"}


async def catalog_signature(connection: Connection, tables: Iterable[str]) -> str:
    """Return a hash of everything in the catalog that a clone of these tables depends on, in one statement.

    It covers columns, types, defaults, constraints, triggers with their functions, policies, rules and inheritance,
    and the role's search path. Indexes, comments, rights and REINDEX leave it unchanged.

    Args:
        connection: Its role's search path resolves the names.
        tables: Names as a blueprint writes them; a name that no table has is part of the hash too.
    """
    names = sorted({name for name in tables if _resolvable(name)})
    return str(await connection.fetchval(SIGNATURE, names))


@asynccontextmanager
async def search_path(connection: Connection, path: str) -> AsyncIterator[None]:
    """Resolve names by another search path for the length of a block that only reads."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("SELECT set_config('search_path', $1, true)", path)
        yield
    finally:
        # Also where an outer transaction goes on: a setting outlives a release of its savepoint.
        await transaction.rollback()


def _resolvable(name: str) -> bool:
    """Whether `to_regclass` takes the name; it raises on text that is no identifier at all."""
    identifier = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
    return re.fullmatch(rf"{identifier}(?:\.{identifier})?", name) is not None


def described(catalog: Catalog) -> dict[str, Any]:
    """Return a catalog as plain JSON values: without oids, which differ after a restore, and without indexes.

    No clone depends on those, so that neither a dump and restore nor a new index makes a revision.
    """
    names = {facts.oid: facts.name for facts in catalog.tables.values()}
    tables = {name: facts.model_dump(mode="json") for name, facts in sorted(catalog.tables.items())}
    for table in tables.values():
        # Nor on what only decides whether there is a plan at all.
        for name in ("oid", "indexes", "partition_of", "part_keys", "exclusions"):
            del table[name]
        table["children"] = sorted(table["children"].values())
        # A trigger of DELETE or UPDATE changes no clone.
        table["triggers"] = [item for item in table["triggers"] if item["insert"]]
        for key in table["foreign_keys"]:
            key["target"] = names.get(key["target"], "elsewhere")
            del key["target_name"], key["period"]
    return tables
