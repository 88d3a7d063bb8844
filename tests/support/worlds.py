"""Random applications: schemas of one to five tables, with the rows of three campaigns.

Hypothesis draws the shape of a world, so that a failing world shrinks; a drawn seed determines its rows.
`tests.support.clones` computes the expected clone of the template from the world alone.
"""

import random
import uuid
from dataclasses import dataclass, field

from hypothesis import strategies as st

Row = dict[str, str | None]
"""A row: every value as the text that `SELECT column::text` returns."""

ODD = (
    "plain", "Order", "group", "with space",
    'quo"te', "ap'os", "üñï", "select", "back\\slash", "dollar$1", "per%cent",
    "c", "t", "s", "m", "own", "id", "n", "key", "_rows", "_hi", "place", "name", "user", "a.b", "campaigns", "$$",
)  # fmt: skip
EXTRAS = {
    "enum": ("{types}.mood", ["sad", "so so", 'very "glad"']),
    "enums": ("{types}.mood[]", ["{sad,\"so so\"}", "{}"]),
    "domain": ("{types}.\"Odd Domain\"", ["1", "2"]),
    "domains": ("{types}.\"Odd Domain\"[]", ["{1,2}", "{NULL}"]),
    "integers": ("integer[]", ["{1,NULL,3}", "{{1,2},{3,4}}"]),
    "json": ("jsonb", ['{"a": [1, null]}', "null", '"it\'s"']),
    "bytes": ("bytea", ["\\x00ff", "\\x"]),
    "numeric": ("numeric(12,3)", ["1.500", "-3.000", "NaN"]),
    "time": ("timestamptz", ["2020-01-01 00:00:00+00", "infinity"]),
    "text": ("character varying(20)", ["", "'; --", "ü\\n", "$campaign"]),
    "double": ("double precision", ["0.1", "-0", "NaN"]),
    "range": ("int4range", ["[1,5)", "empty"]),
    "character": ("character(3)", ["a", "abc"]),
    "bit": ("bit varying(8)", ["101", ""]),
}  # fmt: skip
CAMPAIGNS = 3
"""The number of campaigns in every world; the first is the template."""


def quoted(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class Ref:
    """A column that refers to a key of another table."""

    column: str
    target: int
    required: bool
    declared: bool = True
    """Whether a foreign key declares the reference; if not, the blueprint does."""
    deferred: bool = False


@dataclass(frozen=True)
class Pair:
    """A polymorphic reference."""

    type_column: str
    column: str
    type: str
    targets: tuple[tuple[str, int], ...]
    required: bool


@dataclass(frozen=True)
class Shape:
    """A table.

    Attributes:
        key: `uuid`, `random` (uuid with a default), `always` and `default` (identities), `serial`, `small` (an
            integer identity), `join` (the first two references), `beside` (the first reference and a number),
            `shared` (the first reference), or `none`.
        anchors: The columns by which rows belong to a campaign.
        via: Whether the blueprint names the anchors.
        filtered: Whether the blueprint excludes rows whose `kept` is false.
        unique: Kinds of unique indexes.
        partitioned: Whether the table has two partitions.
    """

    schema: str
    name: str
    key: str
    key_column: str
    refs: tuple[Ref, ...] = ()
    pair: Pair | None = None
    anchors: tuple[str, ...] = ()
    via: bool = False
    filtered: bool = False
    extras: tuple[str, ...] = ()
    unique: frozenset[str] = frozenset()
    generated: bool = False
    partitioned: bool = False

    @property
    def single(self) -> bool:
        """Whether the key is one column, so that other tables can refer to it."""
        return self.key not in ("join", "beside", "none")

    @property
    def own_key(self) -> bool:
        """Whether the key is a separate column rather than a reference."""
        return self.single and self.key != "shared"

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The names of the primary key's columns."""
        first = [ref.column for ref in self.refs[:2]]
        kinds = {"join": first, "beside": [*first[:1], "number"], "shared": first[:1], "none": []}
        return tuple(kinds.get(self.key, [self.key_column]))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that rows have values for."""
        names = [self.key_column] if self.own_key else []
        names += [ref.column for ref in self.refs]
        names += [self.pair.type_column, self.pair.column] if self.pair else []
        return (*names, "token", "number", "kept", "slug", "live", *(f"x {extra}" for extra in self.extras))


@dataclass(frozen=True)
class World:
    """Tables, the root first, and the rows of every table; the first row of the root is the template."""

    types_schema: str
    tables: tuple[Shape, ...]
    seed: int
    clones: int
    rows: list[list[Row]] = field(default_factory=list, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Fill the tables."""
        self.rows.extend(_Filler(self).rows())

    @property
    def schemas(self) -> tuple[str, ...]:
        """The names of all schemas of the world."""
        return tuple(dict.fromkeys([self.types_schema, *(shape.schema for shape in self.tables)]))

    def key_type(self, position: int) -> str:
        """Return the SQL type of a table's key."""
        shape = self.tables[position]
        if shape.key == "shared":
            return self.key_type(shape.refs[0].target)
        kinds = {"uuid": "uuid", "random": "uuid", "small": "integer", "serial": "integer"}
        return kinds.get(shape.key, "bigint")

    def key(self, position: int, row: Row) -> str:
        """Return the key of a row; the table must be `single`."""
        value = row[self.tables[position].primary_key[0]]
        assert value is not None
        return value


class _Filler:
    def __init__(self, world: World) -> None:
        self.world = world
        self.random = random.Random(world.seed)
        self.rows_by_campaign: list[list[list[Row]]] = [[] for _ in world.tables]  # of each table
        self.last_number = 0

    def rows(self) -> list[list[Row]]:
        """Return the rows of every table: draw all keys first, then the references to them."""
        rng = self.random
        for position, shape in enumerate(self.world.tables):
            for campaign in range(CAMPAIGNS):
                count = 1 if position == 0 else rng.randint(1, 4 if campaign == 0 else 2)
                self.rows_by_campaign[position].append([self.row(position, shape) for _ in range(count)])
        for position, shape in enumerate(self.world.tables):
            for campaign, rows in enumerate(self.rows_by_campaign[position]):
                kept: list[Row] = []
                for row in rows:
                    self.set_references(shape, campaign, row)
                    if self.fits(position, row, kept):
                        kept.append(row)
                rows[:] = kept
        self.remove_dangling()
        return [[row for rows in campaigns for row in rows] for campaigns in self.rows_by_campaign]

    def row(self, position: int, shape: Shape) -> Row:
        rng = self.random
        self.last_number += 1
        row: Row = {}
        if shape.own_key:
            is_uuid = self.world.key_type(position) == "uuid"
            row[shape.key_column] = self.uuid() if is_uuid else str(self.last_number * 3)
        row["token"] = f"{position}-{self.last_number}"
        row["number"] = str(self.last_number)
        row["kept"] = "false" if position and shape.filtered and rng.random() < 0.35 else "true"
        row["slug"] = f"slug {self.last_number}" if rng.random() < 0.7 else None
        row["live"] = rng.choice(["true", "false"])
        for extra in shape.extras:
            row[f"x {extra}"] = rng.choice([None, *EXTRAS[extra][1]])
        return row

    def uuid(self) -> str:
        """Return a uuid; some share their low bits, as those of sequential generators do."""
        high, low = self.random.getrandbits(64), self.random.getrandbits(64)
        return str(uuid.UUID(int=high << 64 | (low if self.random.random() < self.world.seed % 4 / 3 else low % 2)))

    def set_references(self, shape: Shape, campaign: int, row: Row) -> None:
        rng = self.random
        for ref in shape.refs:
            # A key of references that all leave the template would be equal in every clone, which is refused.
            stays_inside = ref.column in shape.primary_key or rng.random() < (
                0.95 if ref.column in shape.anchors else 0.75
            )
            row[ref.column] = self.key_of(ref.target, campaign if stays_inside else rng.randrange(CAMPAIGNS))
            if not ref.required and rng.random() < 0.2:
                row[ref.column] = None
        if pair := shape.pair:
            kind, target = rng.choice(pair.targets)
            row[pair.type_column] = kind
            stays_inside = rng.random() < 0.9
            row[pair.column] = self.key_of(target, campaign if stays_inside else rng.randrange(CAMPAIGNS))
            if rng.random() < 0.1:
                row[pair.type_column] = "Another"
            elif not pair.required and rng.random() < 0.1:
                row[pair.column] = None

    def key_of(self, target: int, campaign: int) -> str | None:
        rows = self.rows_by_campaign[target][campaign]
        return self.random.choice(rows).get(self.world.tables[target].primary_key[0]) if rows else None

    def fits(self, position: int, row: Row, kept: list[Row]) -> bool:
        """Return whether a row violates no unique index of its table."""
        shape = self.world.tables[position]
        others = (
            [other for rows in self.rows_by_campaign[position] for other in rows if other is not row]
            if position
            else []
        )
        others = [other for other in others if all(name in other for name in shape.columns)]
        key = [row.get(name) for name in shape.primary_key]
        if shape.primary_key and (None in key or key in [[other[n] for n in shape.primary_key] for other in others]):
            return False
        if "partial" in shape.unique and row["live"] == "true":
            anchor = shape.anchors[0]
            return row[anchor] not in [other[anchor] for other in others if other["live"] == "true"]
        return len(kept) < 9

    def remove_dangling(self) -> None:
        """Clear optional references to absent rows, and remove rows whose required reference is absent."""
        changed = True
        while changed:
            changed = False
            for position, shape in enumerate(self.world.tables):
                keys = {
                    ref.target: {
                        self.world.key(ref.target, row) for rows in self.rows_by_campaign[ref.target] for row in rows
                    }
                    for ref in shape.refs
                }
                for campaign, rows in enumerate(self.rows_by_campaign[position]):
                    for row in rows:
                        for ref in shape.refs:
                            if row[ref.column] is not None and row[ref.column] not in keys[ref.target]:
                                row[ref.column] = None
                    complete = [
                        row for row in rows if all(row[r.column] is not None for r in shape.refs if r.required)
                    ]
                    if position == 0:
                        assert len(complete) == len(rows)
                    if shape.pair and shape.pair.required:
                        complete = [row for row in complete if row[shape.pair.column] is not None]
                    changed |= len(complete) != len(rows)
                    self.rows_by_campaign[position][campaign] = complete


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw a world."""
    count = draw(st.integers(1, 5))
    names = draw(st.lists(st.sampled_from(ODD), min_size=count, max_size=count, unique=True))
    kinds = [draw(st.sampled_from(_ROOT_KEYS)), *(draw(st.sampled_from(_KEYS)) for _ in range(count - 1))]
    schemas = draw(
        st.lists(st.sampled_from(["game", "Odd Schema", 'quo"te', "per%cent", "$1"]), min_size=1, max_size=2)
    )
    shapes: list[Shape] = []
    for name in names:
        shapes.append(_TableDrawer(draw, tuple(shapes), name, kinds).shape(draw(st.sampled_from(schemas))))
    types = draw(st.sampled_from([schemas[0], "types", "Odd Types"]))
    return World(types, tuple(shapes), draw(st.integers(0, 2**16)), draw(st.integers(1, 3)))


_ROOT_KEYS = ("uuid", "random", "always", "default", "serial", "small")
_KEYS = (*_ROOT_KEYS, "uuid", "join", "beside", "shared", "none")
_INDEXES = ("covered", "set", "predicate", "partial")


class _TableDrawer:
    """Draws one table, which refers to the tables before it."""

    def __init__(self, draw: st.DrawFn, before: tuple[Shape, ...], name: str, kinds: list[str]) -> None:
        self.draw, self.before, self.name, self.kinds = draw, before, name, kinds
        self.position = position = len(before)
        self.kind = kinds[position]
        self.key_column = draw(st.sampled_from(["id", "Key", 'odd "key"']))
        taken = {self.key_column, name, "token", "number", "kept", "slug", "live"}
        self.names = iter([name for name in draw(st.permutations(ODD)) if name not in taken])
        self.targets = [n for n, kind in enumerate(kinds) if kind not in ("join", "beside", "none")]
        self.earlier = [target for target in self.targets if target < position]
        self.refs: list[Ref] = []
        self.pair: Pair | None = None

    def shape(self, schema: str) -> Shape:
        """Return the drawn table: its anchors first, then further references, indexes and columns."""
        anchors = self.anchors() if self.position else ()
        for _ in range(self.draw(st.integers(0, 2))):
            self.add_reference(self.draw(st.sampled_from(self.targets)), required=self.draw(st.integers(0, 3)) == 0)
        if self.position and self.pair is None and self.draw(st.integers(0, 5)) == 0:
            self.pair = self.polymorphic()
        is_ambiguous = anchors != self.anchors_by_default() or [ref.target for ref in self.refs].count(0) > 1
        via = self.position > 0 and (is_ambiguous or self.draw(st.booleans()))
        unique = self.draw(st.sets(st.sampled_from(_INDEXES), max_size=2))
        if not anchors or self.kind == "shared" or (self.pair and anchors == (self.pair.column,)):
            unique -= {"covered", "partial"}
        extras = self.draw(st.lists(st.sampled_from(sorted(EXTRAS)), max_size=3, unique=True))
        partitioned = self.kind == "none" and unique <= {"covered"} and self.draw(st.booleans())
        return Shape(
            schema,
            self.name,
            self.kind,
            self.key_column,
            tuple(self.refs),
            self.pair,
            anchors,
            via,
            filtered=self.draw(st.booleans()),
            extras=tuple(extras),
            unique=frozenset(unique),
            generated=self.draw(st.booleans()),
            partitioned=partitioned,
        )

    def add_reference(self, target: int, *, required: bool) -> None:
        """Add a reference; references of the root are optional foreign keys."""
        declared = self.position == 0 or self.draw(st.integers(0, 4)) > 0
        deferred = declared and self.draw(st.booleans())
        self.refs.append(Ref(next(self.names), target, required and self.position > 0, declared, deferred))

    def anchors(self) -> tuple[str, ...]:
        """Add the references that make a row part of a campaign and return their columns."""
        styles = ["root", "parent", "parents"]
        styles += [] if self.kind in ("join", "beside", "shared") else ["pair", "nullable", "nullable root"]
        style = self.draw(st.sampled_from(styles))
        if style == "pair":
            self.pair = self.polymorphic()
            return (self.pair.column,)
        count = 2 if style == "parents" or self.kind == "join" else 1
        for n in range(count):
            target = 0 if "root" in style and n == 0 else self.draw(st.sampled_from(self.earlier))
            self.add_reference(target, required="nullable" not in style)
        return self.anchors_by_default()

    def anchors_by_default(self) -> tuple[str, ...]:
        """Return the reference to the root, else all required ones, else the polymorphic one, else the others."""
        others = [ref for ref in self.refs if ref.target != self.position]
        roots = [ref.column for ref in others if ref.target == 0]
        required = [ref.column for ref in others if ref.required]
        pairs = [self.pair.column] if self.pair else []
        chosen = roots or required or pairs or [ref.column for ref in others]
        return tuple(chosen[:1] if roots else chosen)

    def polymorphic(self) -> Pair:
        """Return a polymorphic reference to up to four earlier tables; two types may name the same table."""
        chosen = self.draw(st.lists(st.sampled_from(self.earlier), min_size=1, max_size=4))
        uuids = {self.is_uuid(target) for target in chosen}
        kind = "text" if len(uuids) > 1 or self.draw(st.booleans()) else "uuid" if uuids == {True} else "bigint"
        targets = tuple(zip(("Campaign", "It's", "Ünit\\", "Other Name"), chosen, strict=False))
        return Pair(next(self.names), next(self.names), kind, targets, self.draw(st.booleans()))

    def is_uuid(self, position: int) -> bool:
        """Return whether the key of an earlier table is a uuid."""
        shape = self.before[position]
        return self.is_uuid(shape.refs[0].target) if shape.key == "shared" else shape.key in ("uuid", "random")
