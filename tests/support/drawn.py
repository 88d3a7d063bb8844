"""Schemas that nobody wrote, with data: tables that hang on a root in every way that we say we can clone.

A schema is drawn as plain values: tables with columns and references, rows that point at rows. `ddl` and `inserts`
make it in Postgres, `blueprint` declares it. What a clone of it must be is said by `tests.support.walked`, from
these values alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from hypothesis import assume
from hypothesis import strategies as st

ODD = (
    "plain", "Order", "select", "with space", 'quo"te', "ünï→", "UPPER", "a.b", "per%cent", "apo'strophe",
    "back\\slash",
    "$name", "s", "c", "t", "m", "own", "x0_0", "k", "_rows", "new", "campaign", "ord", "n", "v", "r", "1st",
    "-- dash",
)  # fmt: skip
"""Names for tables and columns: reserved, quoted, and the aliases of our own SQL."""

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
}

UUID_KEYS = ("uuid", "uuid default", "uuid domain")
NUMBER_KEYS = ("bigserial", "serial", "smallint always", "bigint by default", "bigint sequence")
TEXT_KEYS = ("text default", "text set")
KEYS = (*UUID_KEYS, *NUMBER_KEYS, *TEXT_KEYS)


def q(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Quote a string."""
    return "'" + value.replace("'", "''") + "'"


@dataclass
class Column:
    """A column: its type, and what stands after it in CREATE TABLE."""

    name: str
    type: str
    rest: str = ""
    generated: bool = False


@dataclass
class Ref:
    """A reference: columns of its table, the table and columns they hold, and how it is declared."""

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
    """A row: whose it is, what it is called, its values as SQL, and the rows it points at, in order of the refs."""

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
    more: list[str] = field(default_factory=list)
    alternative: str | None = None
    rows: list[Row] = field(default_factory=list)

    @property
    def sql(self) -> str:
        """Its name, as SQL writes it."""
        return f"{q(self.schema)}.{q(self.name)}"

    @property
    def base(self) -> str:
        """The type of the key, without its ways."""
        return {"uuid domain": "uuid", "smallint always": "smallint", "serial": "integer"}.get(
            self.key, "uuid" if self.key in UUID_KEYS else "bigint" if self.key in NUMBER_KEYS else "text"
        )

    def of(self, campaign: str) -> list[Row]:
        """The rows of a campaign."""
        return [row for row in self.rows if row.campaign == campaign]


@dataclass
class Schema:
    """A schema: the root first."""

    name: str
    tables: list[Table]

    def __repr__(self) -> str:
        """What it takes to see what is wrong with it."""
        return "\n".join(["", *ddl(self), *inserts(self), *constraints(self), str(blueprint(self))])


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """Draw a schema with its rows."""
    return _Drawn(draw).schema()


class _Drawn:
    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.number = 0
        self.shared = draw(st.booleans())  # whether uuids of a table share their last bits

    def some(self, chance: int) -> bool:
        """Say yes once in so many times; no is simpler."""
        return self.draw(st.integers(0, chance - 1)) == chance - 1

    def name(self, taken: list[str], usual: str) -> str:
        odd = self.draw(st.sampled_from(ODD)) if self.some(3) else usual
        name = odd if odd not in taken else f"{odd}{len(taken)}"
        taken.append(name)
        return name

    def schema(self) -> Schema:
        schema = self.draw(st.sampled_from(["game", "Game 1", 'g"x']))
        names: list[str] = []
        root = Table(schema, self.name(names, "campaigns"), self.draw(st.sampled_from([*UUID_KEYS, *NUMBER_KEYS])))
        tables = [root]
        self.keyed(root, [])
        for n in range(self.draw(st.integers(1, 5))):
            tables.append(self.table(schema, self.name(names, f"t{n}"), tables))
        for table in tables:
            for _ in range(self.draw(st.integers(0, 2))):
                self.reference(table, tables)
        for table in tables:
            self.plain(table, tables)
        for ref in root.refs:
            ref.foreign_key = True  # a blueprint can declare none for the root
        for table in tables:
            self.unique(table, tables)
        self.fill(tables)
        prune(tables)
        assume(root.of("T"))
        return Schema(schema, tables)

    def column(self, table: Table, usual: str, kind: str, rest: str = "") -> str:
        name = self.name([column.name for column in table.columns], usual)
        table.columns.append(Column(name, kind, rest))
        return name

    def keyed(self, table: Table, first: list[str]) -> None:
        """Give a table a key of its own, after columns that belong to the key too."""
        types = {
            "uuid": ("uuid", "NOT NULL"),
            "uuid default": ("uuid", "NOT NULL DEFAULT gen_random_uuid()"),
            "uuid domain": (f"{q(table.schema)}.key", "NOT NULL"),
            "bigserial": ("bigserial", ""),
            "serial": ("serial", ""),
            "smallint always": ("smallint", "GENERATED ALWAYS AS IDENTITY"),
            "bigint by default": ("bigint", "GENERATED BY DEFAULT AS IDENTITY"),
            "bigint sequence": ("bigint", f"NOT NULL DEFAULT nextval('{q(table.schema)}.numbers')"),
            "text default": ("text", "NOT NULL DEFAULT 'k' || gen_random_uuid()"),
            "text set": ("text", "NOT NULL"),
        }
        name = self.column(table, "id", *types[table.key])
        if table.key == "text set":
            table.sets[name] = f"{q(name)} || '/' || $campaign"
        table.primary = (*first, name)

    def table(self, schema: str, name: str, above: list[Table]) -> Table:
        """Draw a table that hangs on those above it."""
        table = Table(schema, name, self.draw(st.sampled_from(KEYS)))
        styles = ["root", "parent", "both", "pair", "one to one", "composite", "no key", "loose"]
        style = self.draw(st.sampled_from(styles))
        above = [each for each in above if each.primary]
        root, parent = above[0], self.draw(st.sampled_from(above))
        if style == "pair" and self.pair(table, above):
            self.keyed(table, [])
        elif style == "one to one" and len(parent.primary) == 1:
            table.key = parent.key
            ref = self.refer(table, parent, parent.primary, nullable=False)
            table.primary = ref.columns
            table.anchors = [0]
        elif style == "composite":
            ref = self.refer(table, root, root.primary, nullable=False)
            table.anchors = [0]
            if self.some(2):
                table.key = self.draw(st.sampled_from([*UUID_KEYS[:2], *NUMBER_KEYS]))
                self.keyed(table, list(ref.columns))
            else:
                table.key = "number"
                table.primary = (*ref.columns, self.column(table, "no", "integer", "NOT NULL"))
        elif style in ("both", "no key"):
            other = self.draw(st.sampled_from(above))
            for target in (parent, other):
                self.refer(table, target, target.primary, nullable=False)
            table.anchors = [0] if self.some(3) else [0, 1]
            table.key = "none"
            table.primary = tuple(dict.fromkeys(name for ref in table.refs for name in ref.columns))
            if style == "no key" or parent is other:
                table.primary = ()
        else:
            self.keyed(table, [])
            target = parent if style == "parent" else root
            self.refer(table, target, target.primary, nullable=style == "loose")
            table.anchors = [0]
        if table.key in KEYS and self.some(4):
            table.alternative = self.column(table, "public_id", "uuid", "NOT NULL DEFAULT gen_random_uuid() UNIQUE")
        return table

    def unique(self, table: Table, tables: list[Table]) -> None:
        """Set a unique column that nothing refers to: every clone would repeat it."""
        held = {ref.target_columns for each in tables for ref in each.refs if ref.target is table}
        if table.alternative and (table.alternative,) not in held:
            table.sets[table.alternative] = "gen_random_uuid()"

    def pair(self, table: Table, above: list[Table]) -> bool:
        able = [each for each in above if len(each.primary) == 1]
        chosen = [each for each in able if not self.some(2)] or able[:1]
        bases = {each.base for each in chosen}
        kind = "text"
        if bases == {"uuid"} and self.some(2):
            kind = "uuid"
        if bases <= {"bigint", "integer", "smallint"} and self.some(2):
            kind = "bigint"
        nullable = self.some(2)
        table.pair = Pair(
            self.column(table, "item_type", "text", "" if nullable else "NOT NULL"),
            self.column(table, "item_id", kind, "" if nullable else "NOT NULL"),
            {f"T'{n}": each for n, each in enumerate(chosen)},
            nullable,
        )
        table.anchors = [None]
        return True

    def refer(self, table: Table, target: Table, held: tuple[str, ...], *, nullable: bool, shared: str = "") -> Ref:
        """Add a reference with columns of its own, but for one that it may share."""
        types = {column.name: column.type for column in target.columns}
        usual = {"bigserial": "bigint", "serial": "integer"}
        columns = []
        for n, name in enumerate(held):
            kind = usual.get(types[name], types[name])
            kind = "bigint" if kind in ("integer", "smallint") and self.some(4) else kind
            rest = "" if nullable else "NOT NULL"
            columns.append(shared if n == 0 and shared else self.column(table, f"r{len(table.refs)}_{n}", kind, rest))
        deferred = self.draw(st.sampled_from(["", "", "DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED"]))
        action = self.draw(st.sampled_from(["", "", "ON DELETE CASCADE", "ON DELETE RESTRICT"]))
        ref = Ref(tuple(columns), target, held, nullable, not self.some(8), deferred, action)
        if len(held) > 1 or held != target.primary:
            ref.foreign_key = True
        table.refs.append(ref)
        return ref

    def reference(self, table: Table, tables: list[Table]) -> None:
        """Add a reference to any table, so also to itself or in a circle."""
        target = self.draw(st.sampled_from([each for each in tables if each.primary]))
        held = target.primary
        if target.alternative and self.some(2):
            held = (target.alternative,)
        nullable = not self.some(3)
        own = next((ref for ref in table.refs if ref.target is tables[0] and not ref.nullable), None)
        of_root = any(ref.target is tables[0] and ref.columns == held[:1] for ref in target.refs)
        shared = own.columns[0] if own and len(held) > 1 and of_root and self.some(2) else ""
        for name in held if target is table else ():
            if name in table.sets:
                return  # a reference to a key that is set needs no more than one test: not to itself
        self.refer(table, target, held, nullable=nullable, shared=shared)

    def plain(self, table: Table, tables: list[Table]) -> None:
        """Add what is no key and no reference."""
        table.columns.append(Column("token", "text", "NOT NULL"))
        roots = sum(ref.target is tables[0] for ref in table.refs)
        table.via = not (table.anchors == [0] and table.refs[0].target is tables[0] and roots == 1) or self.some(2)
        table.where = self.some(3) and bool(table.anchors)
        if table.where:
            table.columns.append(Column("keep it", "boolean", "NOT NULL"))
        for n in range(self.draw(st.integers(0, 2))):
            kind = self.draw(st.sampled_from(list(PLAIN)))
            self.column(table, f"p{n}", kind.format(schema=q(table.schema)))
        if self.some(4):
            table.columns.append(Column("made", "text", "GENERATED ALWAYS AS (upper(token)) STORED", generated=True))
        if self.some(4):
            table.columns.append(Column("label", "text", "UNIQUE"))
            table.sets["label"] = self.draw(st.sampled_from(["label || $campaign", "NULL", "$campaign || label"]))
        anchor = table.refs[table.anchors[0]].columns if table.anchors and table.anchors[0] is not None else ()
        if anchor and self.some(3):
            columns = ", ".join(q(name) for name in anchor)
            form = self.draw(
                st.sampled_from(
                    [
                        "({}, token)",
                        "({}, lower(token))",
                        "({}, token) NULLS NOT DISTINCT",
                        "(token, {}) WHERE token <> ''",
                    ]
                )
            )
            table.more.append(f"CREATE UNIQUE INDEX ON {table.sql} {form.format(columns)}")

    def fill(self, tables: list[Table]) -> None:
        """Draw the rows, then what they point at: each in its own campaign, now and then elsewhere."""
        for table in tables:
            counts = {"T": 1, "O": 1} if table is tables[0] else None
            loose = table.anchors == [0] and table.refs[0].nullable if table.anchors else False
            for campaign in ("T", "O", *(["G"] if loose else [])):
                count = counts[campaign] if counts else self.draw(st.integers(0, 3))
                for _ in range(count):
                    self.row(table, campaign)
        for table in tables:
            for row in table.rows:
                self.targets(table, row)

    def row(self, table: Table, campaign: str) -> None:
        """Add a row, if what it has to hang on is there."""
        hangs = [table.refs[n].target for n in table.anchors if n is not None]
        if campaign != "G" and any(not target.of(campaign) for target in hangs):
            return
        if table.pair and not any(target.of(campaign) for target in table.pair.targets.values()):
            return
        self.number += 1
        row = Row(campaign, f"{campaign}{self.number}", keep=not self.some(3) if table.where else True)
        held = {name for ref in table.refs for name in ref.columns}
        for column in table.columns:
            if column.name in set(table.primary) - held or column.name == table.alternative:
                row.values[column.name] = self.key_value(table, column)
        table.rows.append(row)

    def key_value(self, table: Table, column: Column) -> str:
        if column.name != table.alternative and table.key in (*NUMBER_KEYS, "number"):
            return str(self.number)
        if column.name != table.alternative and table.key in TEXT_KEYS:
            return text(f"key{self.number}")
        high, low = (self.number, 7) if self.shared else (1, self.number)
        return text(str(UUID(int=high << 64 | 8 << 60 | low)))

    def targets(self, table: Table, row: Row) -> None:
        """Let a row point at others."""
        for n, ref in enumerate(table.refs):
            row.targets.append(self.target(table, row, n, ref))
        if table.pair:
            able = [(name, each) for name, t in table.pair.targets.items() for each in t.of(row.campaign)]
            row.typed = self.draw(st.sampled_from(able))

    def target(self, table: Table, row: Row, n: int, ref: Ref) -> Row | None:
        own, every = ref.target.of(row.campaign), ref.target.rows
        if n in table.anchors:
            if row.campaign == "G":
                return None
            taken = [other.targets[n] for other in table.rows if len(other.targets) > n]
            free = own if table.primary != ref.columns else [each for each in own if each not in taken]
            if not free:
                return None
            return self.draw(st.sampled_from(free))
        sharing = len(set(ref.columns) & {name for other in table.refs[:n] for name in other.columns}) > 0
        if ref.nullable and self.some(3):
            return None
        choice = own if sharing or not self.some(3) else every
        return self.draw(st.sampled_from(choice)) if choice else None


def prune(tables: list[Table]) -> None:
    """Remove rows that lack what they need, or repeat a key made of references, until all is well."""
    size = -1
    while size != sum(len(table.rows) for table in tables):
        size = sum(len(table.rows) for table in tables)
        every = {row for table in tables for row in table.rows}
        for table in tables:
            for row in table.rows:
                row.targets = [target if target in every else None for target in row.targets]
            table.rows = [row for row in table.rows if _whole(table, row, every)]
            keys: dict[object, Row] = {}
            for row in table.rows:
                keys.setdefault(tuple(value(table, row, name) for name in table.primary) or row, row)
            table.rows = list(keys.values())


def _whole(table: Table, row: Row, every: set[Row]) -> bool:
    given = all(target or ref.nullable for target, ref in zip(row.targets, table.refs, strict=True))
    return given and (row.typed is None or row.typed[1] in every)


def value(table: Table, row: Row, column: str) -> str:
    """Give the value of a key or a reference, as SQL."""
    if column in row.values:
        return row.values[column]
    for ref, target in zip(table.refs, row.targets, strict=True):
        if column in ref.columns and target is not None:
            return value(ref.target, target, ref.target_columns[ref.columns.index(column)])
    if table.pair and row.typed and column == table.pair.type:
        return text(row.typed[0])
    if table.pair and row.typed and column == table.pair.id:
        target = table.pair.targets[row.typed[0]]
        return f"({value(target, row.typed[1], target.primary[0])})::text::{_type(table, column)}"
    return "NULL"


def _type(table: Table, column: str) -> str:
    return next(each.type for each in table.columns if each.name == column)


def ddl(schema: Schema) -> Iterator[str]:
    """Give statements that make the tables, without foreign keys."""
    own = q(schema.name)
    yield f"CREATE SCHEMA {own}"
    yield f"CREATE DOMAIN {own}.key AS uuid"
    yield f"CREATE DOMAIN {own}.percent AS integer CHECK (VALUE BETWEEN 0 AND 100)"
    yield f"CREATE TYPE {own}.mood AS ENUM ('glad', 'so so')"
    yield f"CREATE SEQUENCE {own}.numbers"
    for table in schema.tables:
        columns = [f"{q(column.name)} {column.type} {column.rest}" for column in table.columns]
        if table.primary:
            columns.append(f"PRIMARY KEY ({_list(table.primary)})")
        yield f"CREATE TABLE {table.sql} ({', '.join(columns)})"


def inserts(schema: Schema) -> Iterator[str]:
    """Give statements that fill the tables, and let the sequences go on after them."""
    for table in schema.tables:
        columns = [column for column in table.columns if not column.generated]
        for number, row in enumerate(table.rows):
            values = ", ".join(_cell(schema, table, row, column, number) for column in columns)
            names = _list(tuple(column.name for column in columns))
            yield f"INSERT INTO {table.sql} ({names}) OVERRIDING SYSTEM VALUE VALUES ({values})"
        if table.key in ("bigserial", "serial", "smallint always", "bigint by default"):
            name = next((c.name for c in table.columns if c.name in table.primary and _counted(c)), None)
            if name:
                yield f"SELECT setval(pg_get_serial_sequence({text(table.sql)}, {text(name)}), 1000)"
    yield f"SELECT setval({text(f'{q(schema.name)}.numbers')}, 1000)"


def _counted(column: Column) -> bool:
    return "serial" in column.type or "IDENTITY" in column.rest


def _cell(schema: Schema, table: Table, row: Row, column: Column, number: int) -> str:
    if column.name == "token":
        return text(row.token)
    if column.name == "keep it":
        return str(row.keep).lower()
    if column.name == "label":
        return text(f"label {row.token}")
    for kind, values in PLAIN.items():
        if column.type == kind.format(schema=q(schema.name)) and column.name not in used(table):
            return [*values, "NULL"][number % (len(values) + 1)]
    return value(table, row, column.name)


def used(table: Table) -> set[str]:
    """Give the columns that are keys or references."""
    found = {*table.primary, *(name for ref in table.refs for name in ref.columns)}
    found |= {table.alternative} if table.alternative else set()
    return found | ({table.pair.id, table.pair.type} if table.pair else set())


def constraints(schema: Schema) -> Iterator[str]:
    """Give statements that add foreign keys and indexes."""
    for table in schema.tables:
        for ref in table.refs:
            if ref.foreign_key:
                yield (
                    f"ALTER TABLE {table.sql} ADD FOREIGN KEY ({_list(ref.columns)}) "
                    f"REFERENCES {ref.target.sql} ({_list(ref.target_columns)}) {ref.action} {ref.deferred}"
                )
        yield from table.more


def blueprint(schema: Schema) -> dict[str, Any]:
    """Give the blueprint that declares the schema."""
    return {
        "root": {"table": schema.tables[0].sql, "set": schema.tables[0].sets},
        "tables": [_declared(table) for table in reversed(schema.tables[1:])],
    }


def _declared(table: Table) -> dict[str, Any]:
    found: dict[str, Any] = {"name": table.sql, "set": table.sets}
    if table.where:
        found["where"] = '"keep it"'
    plain = {ref.columns[0]: ref.target.sql for ref in table.refs if not ref.foreign_key}
    if plain:
        found["references"] = plain
    if table.pair:
        targets = {name: each.sql for name, each in table.pair.targets.items()}
        found["polymorphic"] = [{"type": table.pair.type, "id": table.pair.id, "targets": targets}]
    if table.via and table.refs:
        columns = [name for n in table.anchors if n is not None for name in table.refs[n].columns]
        found["via"] = list(dict.fromkeys(columns)) or [table.pair.id] if table.pair else list(dict.fromkeys(columns))
    return found


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(q(name) for name in names)
