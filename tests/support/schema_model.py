"""A schema as plain values: tables with columns and references, rows that refer to rows.

`schema_strategy` draws it, `schema_sql` writes it as SQL and as a blueprint, and `schema_oracle` computes the
expected clone from these values alone.
"""

from dataclasses import dataclass, field

ODD = (
    "plain", "Order", "select", "with space", 'quo"te', "ünï→", "UPPER", "a.b", "per%cent", "apo'strophe",
    "back\\slash",
    "$name", "s", "c", "t", "m", "own", "x0_0", "k", "_rows", "new", "campaign", "ord", "n", "v", "r", "1st",
    "-- dash",
)  # fmt: skip
"""Names for tables and columns: reserved words, names that need quotes, and the aliases in our SQL."""

PLAIN: dict[str, tuple[str, ...]] = {
    "text": ("'it''s'", "'back\\slash'", "''", "'%s $1 $name'"),
    "varchar(12)": ("'short'",),
    "numeric(10,2)": ("1.50", "-3"),
    "timestamptz": ("'2026-01-01T12:00:00.123456Z'",),
    "json": ("""'{"a": [1, null]}'""",),
    "jsonb": ("""'{"id": "x"}'""",),
    "bytea": ("'\\x00ff'::bytea",),
    "integer[]": ("'{1,2,NULL}'",),
    "{schema}.mood": ("'glad'", "'so so'"),
    "{schema}.percent": ("50",),
    "double precision": ("'NaN'", "0.1"),
    "boolean": ("true", "false"),
    "char(3)": ("'ab'", "'abc'"),
    "bit(4)": ("B'1010'",),
    "timestamp(0)": ("'2026-01-01 12:00:00'",),
    "{schema}.code": ("'abcd'",),
    "{schema}.mood[]": ("'{glad,so so,NULL}'", "'{}'"),
    "{schema}.percent[]": ("'{1,100}'",),
    "{schema}.place": ("'(1,2026-01-01)'",),
}

UUID_KEYS = ("uuid", "uuid default", "uuid domain", "uuid v7")
NUMBER_KEYS = ("bigserial", "serial", "smallint always", "bigint by default", "bigint sequence")
TEXT_KEYS = ("text default", "text set", "text plain", "ulid", "varchar(36)")
MADE = ("text plain", "ulid", "varchar(36)")
"""Text keys without a default, which are made from the campaign's id if their name says that they are keys."""
KEYS = (*UUID_KEYS, *NUMBER_KEYS, *TEXT_KEYS)


def q(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Quote a string."""
    return "'" + value.replace("'", "''") + "'"


@dataclass
class Column:
    """A column: its type, and the constraints that follow it in CREATE TABLE."""

    name: str
    type: str
    rest: str = ""
    generated: bool = False


@dataclass
class Ref:
    """A reference: its columns, the table and columns it refers to, and its declaration."""

    columns: tuple[str, ...]
    target: "Table"
    target_columns: tuple[str, ...]
    nullable: bool
    foreign_key: bool = True
    deferred: str = ""
    action: str = ""


@dataclass
class Pair:
    """A polymorphic reference."""

    type: str
    id: str
    targets: dict[str, "Table"]
    nullable: bool


@dataclass(eq=False)
class Row:
    """A row: its campaign, a unique token, its values as SQL, and the rows it refers to, in the order of the refs."""

    campaign: str
    token: str
    keep: bool = True
    values: dict[str, str] = field(default_factory=dict)
    targets: list["Row | None"] = field(default_factory=list)
    typed: "tuple[str, Row] | None" = None


@dataclass(eq=False)
class Table:
    """A table with its rows."""

    schema: str
    name: str
    key: str
    columns: list[Column] = field(default_factory=list)
    primary: tuple[str, ...] = ()
    refs: list[Ref] = field(default_factory=list)
    pair: Pair | None = None
    anchors: list[int | None] = field(default_factory=list)
    via: bool = True
    where: bool = False
    sets: dict[str, str] = field(default_factory=dict)
    indexes: list[str] = field(default_factory=list)
    alternative: str | None = None
    restore: list[str] = field(default_factory=list)
    triggers: list[str] = field(default_factory=list)
    filled: bool = False
    """Whether a trigger of the root inserts a row of it, which the blueprint replaces."""
    partitioned: bool = False
    inherits: bool = False
    rows: list[Row] = field(default_factory=list)

    @property
    def sql(self) -> str:
        """The qualified and quoted name."""
        return f"{q(self.schema)}.{q(self.name)}"

    @property
    def base(self) -> str:
        """The type of the key, without defaults and domains."""
        return {"uuid domain": "uuid", "smallint always": "smallint", "serial": "integer"}.get(
            self.key, "uuid" if self.key in UUID_KEYS else "bigint" if self.key in NUMBER_KEYS else "text"
        )

    def of(self, campaign: str) -> list[Row]:
        """Return the rows of a campaign."""
        return [row for row in self.rows if row.campaign == campaign]


@dataclass
class Schema:
    """A schema; its first table is the root."""

    name: str
    tables: list[Table]
    refused: tuple[str, str] | None = None
    """A statement after which the blueprint is refused, and the message."""


def prune(tables: list[Table]) -> None:
    """Remove rows whose required reference is absent or whose key is a duplicate, until none is left."""
    size = -1
    while size != sum(len(table.rows) for table in tables):
        size = sum(len(table.rows) for table in tables)
        remaining = {row for table in tables for row in table.rows}
        for table in tables:
            for row in table.rows:
                row.targets = [target if target in remaining else None for target in row.targets]
            table.rows = [row for row in table.rows if _is_complete(table, row, remaining)]
            keys: dict[object, Row] = {}
            for row in table.rows:
                keys.setdefault(tuple(value(table, row, name) for name in table.primary) or row, row)
            table.rows = list(keys.values())


def _is_complete(table: Table, row: Row, rows: set[Row]) -> bool:
    has_required = all(target or ref.nullable for target, ref in zip(row.targets, table.refs, strict=True))
    return has_required and (row.typed is None or row.typed[1] in rows)


def value(table: Table, row: Row, column: str) -> str:
    """Return the value of a key or a reference, as SQL."""
    if column in row.values:
        return row.values[column]
    for ref, target in zip(table.refs, row.targets, strict=True):
        if column in ref.columns and target is not None:
            return value(ref.target, target, ref.target_columns[ref.columns.index(column)])
    if table.pair and row.typed and column == table.pair.type:
        return text(row.typed[0])
    if table.pair and row.typed and column == table.pair.id:
        where = table.pair.targets[row.typed[0]]
        return f"({value(where, row.typed[1], where.primary[0])})::text::{_type(table, column)}"
    return "NULL"


def _type(table: Table, column: str) -> str:
    return next(candidate.type for candidate in table.columns if candidate.name == column)
