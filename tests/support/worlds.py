"""Whole applications made up at random: schemas nobody wrote, with rows of several campaigns in them.

The shape of a world is drawn by hypothesis, so that it shrinks; its rows follow from a drawn number. What a clone of
its template must hold is computed in `tests.support.clones`, from the world alone.
"""

import random
import uuid
from dataclasses import dataclass, field

from hypothesis import strategies as st

Row = dict[str, str | None]
"""A row: every value as text, as `SELECT column::text` gives it."""

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
"""Campaigns in every world; the first is the template."""


def quoted(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class Ref:
    """A column that holds a key of a table of the world."""

    column: str
    target: int
    required: bool
    declared: bool = True
    """Whether the database knows of it, or the blueprint must say so."""
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
        via: Whether the blueprint must say so.
        filtered: Whether rows where `kept` is false are left out.
        unique: Kinds of unique indexes.
        partitioned: Whether its rows are kept in two partitions.
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
        """Whether other tables can refer to it."""
        return self.key not in ("join", "beside", "none")

    @property
    def own_key(self) -> bool:
        """Whether the key is a column of its own."""
        return self.single and self.key != "shared"

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The columns of the primary key."""
        first = [each.column for each in self.refs[:2]]
        kinds = {"join": first, "beside": [*first[:1], "number"], "shared": first[:1], "none": []}
        return tuple(kinds.get(self.key, [self.key_column]))

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that rows are given."""
        names = [self.key_column] if self.own_key else []
        names += [each.column for each in self.refs]
        names += [self.pair.type_column, self.pair.column] if self.pair else []
        return (*names, "token", "number", "kept", "slug", "live", *(f"x {each}" for each in self.extras))


@dataclass(frozen=True)
class World:
    """Tables, the root first, and the rows of each; the template is the first row of the root."""

    types_schema: str
    tables: tuple[Shape, ...]
    seed: int
    clones: int
    rows: list[list[Row]] = field(default_factory=list, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Make the rows."""
        self.rows.extend(_Filler(self).rows())

    @property
    def schemas(self) -> tuple[str, ...]:
        """Every schema there is."""
        return tuple(dict.fromkeys([self.types_schema, *(shape.schema for shape in self.tables)]))

    def key_type(self, position: int) -> str:
        """Give the type of a table's key."""
        shape = self.tables[position]
        if shape.key == "shared":
            return self.key_type(shape.refs[0].target)
        kinds = {"uuid": "uuid", "random": "uuid", "small": "integer", "serial": "integer"}
        return kinds.get(shape.key, "bigint")

    def key(self, position: int, row: Row) -> str:
        """Give the key of a row of a table that others can refer to."""
        value = row[self.tables[position].primary_key[0]]
        assert value is not None
        return value


class _Filler:
    def __init__(self, world: World) -> None:
        self.world = world
        self.random = random.Random(world.seed)
        self.made: list[list[list[Row]]] = [[] for _ in world.tables]  # by table, by campaign
        self.next = 0

    def rows(self) -> list[list[Row]]:
        """Keys first, then what refers to them."""
        chance = self.random
        for position, shape in enumerate(self.world.tables):
            for campaign in range(CAMPAIGNS):
                count = 1 if position == 0 else chance.randint(1, 4 if campaign == 0 else 2)
                self.made[position].append([self.row(position, shape) for _ in range(count)])
        for position, shape in enumerate(self.world.tables):
            for campaign, rows in enumerate(self.made[position]):
                kept: list[Row] = []
                for row in rows:
                    self.refer(shape, campaign, row)
                    if self.fits(position, row, kept):
                        kept.append(row)
                rows[:] = kept
        self.settle()
        return [[row for rows in campaigns for row in rows] for campaigns in self.made]

    def row(self, position: int, shape: Shape) -> Row:
        chance = self.random
        self.next += 1
        row: Row = {}
        if shape.own_key:
            is_uuid = self.world.key_type(position) == "uuid"
            row[shape.key_column] = self.uuid() if is_uuid else str(self.next * 3)
        row["token"] = f"{position}-{self.next}"
        row["number"] = str(self.next)
        row["kept"] = "false" if position and shape.filtered and chance.random() < 0.35 else "true"
        row["slug"] = f"slug {self.next}" if chance.random() < 0.7 else None
        row["live"] = chance.choice(["true", "false"])
        for each in shape.extras:
            row[f"x {each}"] = chance.choice([None, *EXTRAS[each][1]])
        return row

    def uuid(self) -> str:
        """Make a key; some end alike, as those of another generator may."""
        high, low = self.random.getrandbits(64), self.random.getrandbits(64)
        return str(uuid.UUID(int=high << 64 | (low if self.random.random() < self.world.seed % 4 / 3 else low % 2)))

    def refer(self, shape: Shape, campaign: int, row: Row) -> None:
        chance = self.random
        for ref in shape.refs:
            # A key made of nothing but what leaves the template would be the same in every clone: that is refused.
            stays = ref.column in shape.primary_key or chance.random() < (
                0.95 if ref.column in shape.anchors else 0.75
            )
            row[ref.column] = self.key_of(ref.target, campaign if stays else chance.randrange(CAMPAIGNS))
            if not ref.required and chance.random() < 0.2:
                row[ref.column] = None
        if pair := shape.pair:
            kind, target = chance.choice(pair.targets)
            row[pair.type_column] = kind
            stays = chance.random() < 0.9
            row[pair.column] = self.key_of(target, campaign if stays else chance.randrange(CAMPAIGNS))
            if chance.random() < 0.1:
                row[pair.type_column] = "Another"
            elif not pair.required and chance.random() < 0.1:
                row[pair.column] = None

    def key_of(self, target: int, campaign: int) -> str | None:
        rows = self.made[target][campaign]
        return self.random.choice(rows).get(self.world.tables[target].primary_key[0]) if rows else None

    def fits(self, position: int, row: Row, kept: list[Row]) -> bool:
        """Whether a row can stand beside the others of its table."""
        shape = self.world.tables[position]
        others = [each for rows in self.made[position] for each in rows if each is not row] if position else []
        others = [each for each in others if all(name in each for name in shape.columns)]
        key = [row.get(name) for name in shape.primary_key]
        if shape.primary_key and (None in key or key in [[each[n] for n in shape.primary_key] for each in others]):
            return False
        if "partial" in shape.unique and row["live"] == "true":
            anchor = shape.anchors[0]
            return row[anchor] not in [each[anchor] for each in others if each["live"] == "true"]
        return len(kept) < 9

    def settle(self) -> None:
        """Take out rows whose required reference, or any, points at nothing, until none does."""
        changed = True
        while changed:
            changed = False
            for position, shape in enumerate(self.world.tables):
                keys = {
                    ref.target: {self.world.key(ref.target, row) for rows in self.made[ref.target] for row in rows}
                    for ref in shape.refs
                }
                for campaign, rows in enumerate(self.made[position]):
                    for row in rows:
                        for ref in shape.refs:
                            if row[ref.column] is not None and row[ref.column] not in keys[ref.target]:
                                row[ref.column] = None
                    good = [row for row in rows if all(row[r.column] is not None for r in shape.refs if r.required)]
                    if position == 0:
                        assert len(good) == len(rows)
                    if shape.pair and shape.pair.required:
                        good = [row for row in good if row[shape.pair.column] is not None]
                    changed |= len(good) != len(rows)
                    self.made[position][campaign] = good


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
        shapes.append(_Drawer(draw, tuple(shapes), name, kinds).shape(draw(st.sampled_from(schemas))))
    types = draw(st.sampled_from([schemas[0], "types", "Odd Types"]))
    return World(types, tuple(shapes), draw(st.integers(0, 2**16)), draw(st.integers(1, 3)))


_ROOT_KEYS = ("uuid", "random", "always", "default", "serial", "small")
_KEYS = (*_ROOT_KEYS, "uuid", "join", "beside", "shared", "none")
_INDEXES = ("covered", "set", "predicate", "partial")


class _Drawer:
    """Draws one table."""

    def __init__(self, draw: st.DrawFn, before: tuple[Shape, ...], name: str, kinds: list[str]) -> None:
        self.draw, self.before, self.name, self.kinds = draw, before, name, kinds
        self.position = position = len(before)
        self.kind = kinds[position]
        self.key_column = draw(st.sampled_from(["id", "Key", 'odd "key"']))
        taken = {self.key_column, name, "token", "number", "kept", "slug", "live"}
        self.names = iter([each for each in draw(st.permutations(ODD)) if each not in taken])
        self.targets = [n for n, kind in enumerate(kinds) if kind not in ("join", "beside", "none")]
        self.earlier = [each for each in self.targets if each < position]
        self.refs: list[Ref] = []
        self.pair: Pair | None = None

    def shape(self, schema: str) -> Shape:
        """First what makes rows part of a campaign, then what else there may be."""
        anchors = self.anchors() if self.position else ()
        for _ in range(self.draw(st.integers(0, 2))):
            self.refer(self.draw(st.sampled_from(self.targets)), required=self.draw(st.integers(0, 3)) == 0)
        if self.position and self.pair is None and self.draw(st.integers(0, 5)) == 0:
            self.pair = self.polymorphic()
        unclear = anchors != self.anchors_by_default() or [each.target for each in self.refs].count(0) > 1
        via = self.position > 0 and (unclear or self.draw(st.booleans()))
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

    def refer(self, target: int, *, required: bool) -> None:
        """Add a reference; those of the root are never required, and always foreign keys."""
        declared = self.position == 0 or self.draw(st.integers(0, 4)) > 0
        deferred = declared and self.draw(st.booleans())
        self.refs.append(Ref(next(self.names), target, required and self.position > 0, declared, deferred))

    def anchors(self) -> tuple[str, ...]:
        """Add the references that make a row part of a campaign."""
        styles = ["root", "parent", "parents"]
        styles += [] if self.kind in ("join", "beside", "shared") else ["pair", "nullable", "nullable root"]
        style = self.draw(st.sampled_from(styles))
        if style == "pair":
            self.pair = self.polymorphic()
            return (self.pair.column,)
        count = 2 if style == "parents" or self.kind == "join" else 1
        for n in range(count):
            target = 0 if "root" in style and n == 0 else self.draw(st.sampled_from(self.earlier))
            self.refer(target, required="nullable" not in style)
        return self.anchors_by_default()

    def anchors_by_default(self) -> tuple[str, ...]:
        """The reference to the root, else every required one, else the polymorphic one, else the others."""
        others = [each for each in self.refs if each.target != self.position]
        roots = [each.column for each in others if each.target == 0]
        required = [each.column for each in others if each.required]
        pairs = [self.pair.column] if self.pair else []
        chosen = roots or required or pairs or [each.column for each in others]
        return tuple(chosen[:1] if roots else chosen)

    def polymorphic(self) -> Pair:
        """A polymorphic reference to up to three tables before this one; two types may mean one table."""
        chosen = self.draw(st.lists(st.sampled_from(self.earlier), min_size=1, max_size=4))
        uuids = {self.is_uuid(each) for each in chosen}
        kind = "text" if len(uuids) > 1 or self.draw(st.booleans()) else "uuid" if uuids == {True} else "bigint"
        targets = tuple(zip(("Campaign", "It's", "Ünit\\", "Other Name"), chosen, strict=False))
        return Pair(next(self.names), next(self.names), kind, targets, self.draw(st.booleans()))

    def is_uuid(self, position: int) -> bool:
        """Whether the key of a table before this one is a uuid."""
        shape = self.before[position]
        return self.is_uuid(shape.refs[0].target) if shape.key == "shared" else shape.key in ("uuid", "random")
