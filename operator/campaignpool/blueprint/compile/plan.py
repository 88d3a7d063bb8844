"""The clone plan: which rows, in which order, and what becomes of every column. `compiler` makes it.

How values are made (measured: `docs/adr/0002-keys.md`):

- `SPLICED`, for uuid keys: the first 64 bits of the new campaign's id, then 64 bits that are the template row's
  own. Computed, so references to the row remap by the same expression, without a join.
- `NUMBERED`, for other keys with a default that some table of the plan refers to: drawn from the default, all of
  a table's in one array; row n of campaign m takes its place in it, so references remap by position.
- `DEFAULT`, for keys with a default that nothing in the plan refers to: left to the database.
- `SET`: an expression of the blueprint; a reference to it evaluates the expression over the target's row.
- `COPIED`: the same in every campaign.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from campaignpool.api.blueprint import Blueprint
from campaignpool.blueprint.catalog import Column, TableFacts
from campaignpool.blueprint.compile.expressions import calls, mentioned


class KeyKind(StrEnum):
    """How the value of a column is made that others may refer to."""

    SPLICED = "spliced"
    NUMBERED = "numbered"
    DEFAULT = "default"
    SET = "set"
    COPIED = "copied"
    NONE = "none"


_RANK = {KeyKind.SPLICED: 0, KeyKind.NUMBERED: 1, KeyKind.DEFAULT: 2}


@dataclass(frozen=True)
class Origin:
    """Where the value of a column comes from, past all references: a column of a table of the plan."""

    kind: KeyKind
    table: int
    column: str


@dataclass(frozen=True)
class Reference:
    """Columns that hold a key of a row of another table of the plan (or of its own).

    Attributes:
        columns: The columns.
        target: Position of the target table in `ClonePlan.tables`.
        target_columns: What they hold, one for each of `columns`.
        nulls: The columns that become NULL where the target is left out; without any, the row is left out too.
        anchor: Whether it makes a row part of a campaign; all anchors of a table must.
    """

    columns: tuple[str, ...]
    target: int
    target_columns: tuple[str, ...]
    nulls: tuple[str, ...]
    anchor: bool = False

    @property
    def required(self) -> bool:
        """Whether a row cannot be without it."""
        return not self.nulls

    def held(self, column: str) -> str:
        """Return what one of the columns holds."""
        return self.target_columns[self.columns.index(column)]


@dataclass(frozen=True)
class PolymorphicReference:
    """A column that holds the key of a row whose table stands in the column beside it.

    Attributes:
        type_column: Holds the name of the type.
        column: Holds the key.
        targets: From a type's name to the position of its table in `ClonePlan.tables`.
        keys: From the position of a target to its primary key.
        required: Whether the key column cannot be NULL.
        anchor: Whether it makes a row part of a campaign.
    """

    type_column: str
    column: str
    targets: Mapping[str, int]
    keys: Mapping[int, str]
    required: bool
    anchor: bool = False


@dataclass(frozen=True)
class Alternative:
    """One table that a reference may point at: its position, what is held of it, and the type names that mean it."""

    target: int
    target_columns: tuple[str, ...]
    types: tuple[str, ...] = ()


@dataclass(frozen=True)
class Link:
    """One reference of a table, plain or polymorphic.

    Attributes:
        number: Its place among the table's links.
        columns: The columns that hold the key.
        type_column: For a polymorphic one: the column that names the type.
        alternatives: What it may point at: one table, or several for a polymorphic one.
        anchor: Whether it makes rows part of the campaign.
        nulls: Columns that become NULL where the target was left out; without any the row goes too.
    """

    number: int
    columns: tuple[str, ...]
    type_column: str | None
    alternatives: tuple[Alternative, ...]
    anchor: bool
    nulls: tuple[str, ...]

    @property
    def required(self) -> bool:
        """Whether the row goes when its target was left out."""
        return self.anchor or not self.nulls


@dataclass(frozen=True)
class TablePlan:
    """What becomes of one table.

    Attributes:
        position: Its place in `ClonePlan.tables`.
        facts: The table as the catalog has it.
        where: Condition of the rows that are copied.
        keys: Columns that get new values, and how: `SPLICED`, `NUMBERED` or `DEFAULT`.
        references: References into the plan, by foreign key or declared.
        polymorphic: Polymorphic references.
        sets: Columns that are set to an expression.
        copied: Columns that are copied unchanged.
        numbers: Columns beside the keys whose default draws a number or a random value; left to the default.
        trigger_rows: What becomes of rows that triggers add: `Refuse`, `Replace` or `Keep`.
        restore: Columns that are written again once all rows are inserted.
    """

    position: int
    facts: TableFacts
    where: str | None
    keys: Mapping[str, KeyKind]
    references: tuple[Reference, ...]
    polymorphic: tuple[PolymorphicReference, ...]
    sets: Mapping[str, str]
    copied: tuple[str, ...]
    numbers: tuple[str, ...] = ()
    trigger_rows: str = "Refuse"
    restore: tuple[str, ...] = ()

    @property
    def key_column(self) -> Column | None:
        """The column that gets a new value in every clone and names a row best; None where none is."""
        own = [name for name in self.facts.primary_key if name in self.keys] or list(self.keys)
        return self.facts.column[min(own, key=lambda name: _RANK[self.keys[name]])] if own else None

    @property
    def key(self) -> KeyKind:
        """How `key_column` is made."""
        return self.keys[self.key_column.name] if self.key_column else KeyKind.NONE

    @property
    def spliced(self) -> tuple[str, ...]:
        """The columns that are spliced."""
        return tuple(name for name, kind in self.keys.items() if kind is KeyKind.SPLICED)

    @property
    def numbered(self) -> tuple[str, ...]:
        """The columns that are drawn and taken by position."""
        return tuple(name for name, kind in self.keys.items() if kind is KeyKind.NUMBERED)

    @property
    def drawn(self) -> tuple[str, ...]:
        """The columns that are left to their defaults, in the order in which these are drawn."""
        return (*(name for name, kind in self.keys.items() if kind is KeyKind.DEFAULT), *self.numbers)

    @property
    def anchors(self) -> tuple[str, ...]:
        """The columns that make a row part of a campaign."""
        plain = [name for reference in self.references if reference.anchor for name in reference.columns]
        return tuple(dict.fromkeys([*plain, *(item.column for item in self.polymorphic if item.anchor)]))

    @cached_property
    def either(self) -> bool:
        """Whether one anchor is enough to make a row part of a campaign: there are several, and each may be NULL."""
        anchors = [link for link in self.links if link.anchor]
        column = self.facts.column
        return len(anchors) > 1 and not any(all(column[name].not_null for name in link.columns) for link in anchors)

    @cached_property
    def mentioned(self) -> tuple[str, ...]:
        """Columns that expressions of `sets` may read from the template's row, beside those copied."""
        others = [column.name for column in self.facts.columns if column.name not in self.copied]
        return mentioned(" ".join(self.sets.values()), others)

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """The references, plain and polymorphic, those of one column first."""
        results: list[Link] = []
        for reference in self.references:
            nulls = () if reference.anchor else reference.nulls
            only = (Alternative(reference.target, reference.target_columns),)
            results.append(Link(len(results), reference.columns, None, only, reference.anchor, nulls))
        for pair in self.polymorphic:
            names = {
                target: sorted(n for n, t in pair.targets.items() if t == target) for target in sorted(pair.keys)
            }
            several = tuple(Alternative(target, (pair.keys[target],), tuple(own)) for target, own in names.items())
            nulls = () if pair.anchor or pair.required else (pair.column,)
            results.append(Link(len(results), (pair.column,), pair.type_column, several, pair.anchor, nulls))
        return tuple(results)

    def number(self, column: str) -> int:
        """Return the place of a column in its table: part of the names of our own columns."""
        return next(n for n, item in enumerate(self.facts.columns) if item.name == column)


@dataclass(frozen=True)
class Derived:
    """A column that holds references, and what its values come from."""

    plan: "ClonePlan" = field(repr=False)
    table: TablePlan = field(repr=False)
    column: Column

    @property
    def number(self) -> int:
        """Its place in the table."""
        return self.table.number(self.column.name)

    @cached_property
    def entries(self) -> tuple[tuple[Link, int, Origin], ...]:
        """Each reference that it is part of: the link, the alternative, and where the value comes from."""
        name = self.column.name
        return tuple(
            (link, n, self.plan.origin(item.target, item.target_columns[link.columns.index(name)]))
            for link in self.table.links
            if name in link.columns
            for n, item in enumerate(link.alternatives)
        )

    @cached_property
    def origins(self) -> tuple[Origin, ...]:
        """Where its values come from, without those that are copied; one for each form of spliced keys."""
        result = dict.fromkeys(origin for _, _, origin in self.entries if origin.kind is not KeyKind.COPIED)
        spliced = {self._form(origin): origin for origin in reversed(result) if origin.kind is KeyKind.SPLICED}
        return (*spliced.values(), *(origin for origin in result if origin.kind is not KeyKind.SPLICED))

    def _form(self, origin: Origin) -> str:
        return self.plan.tables[origin.table].facts.column[origin.column].key_form

    def source(self, origin: Origin) -> int:
        """Return the number of a source: those that are spliced in one form are one source."""
        if origin.kind is not KeyKind.SPLICED:
            return self.origins.index(origin)
        forms = [self._form(item) for item in self.origins if item.kind is KeyKind.SPLICED]
        return forms.index(self._form(origin))

    @property
    def of_root(self) -> bool:
        """Whether it can hold nothing but the campaign's own id."""
        key = self.plan.root.key_column
        own = Origin(KeyKind.SPLICED, 0, key.name if key else "")
        return all(origin == own for _, _, origin in self.entries)

    def needs(self, origin: Origin) -> tuple[str, ...]:
        """Return the columns of the target's row that the expression of a source may read."""
        target = self.plan.tables[origin.table]
        return mentioned(target.sets[origin.column], [column.name for column in target.facts.columns])


@dataclass(frozen=True)
class ImagePlan:
    """How images are copied, after the rows.

    Attributes:
        position: Place of the attachments' table in `ClonePlan.tables`.
        blob: Its column that holds the key of a blob.
        slot: Its columns that say where an image is shown.
        blobs: The table of the blobs.
        key: Its primary key.
        path: Expression over a blob: the path of its file, or NULL where the blob is shared.
        sets: Columns of a new blob that are set, by expressions.
    """

    position: int
    blob: str
    slot: tuple[str, ...]
    blobs: TableFacts
    key: Column
    path: str
    sets: Mapping[str, str]


@dataclass(frozen=True)
class ClonePlan:
    """A compiled blueprint.

    Attributes:
        tables: Every table, the root first.
        order: Positions in the order of insertion; tables that refer to each other in a circle stand together
            and are inserted by one statement.
        claim_tables: The table of each row that a claim inserts.
        blueprint: What it was compiled from.
        path: The schemas of the role's search path.
        images: How images are copied; None where they are shared.
        names: Positions of the tables that `$clone_of` names, by the name.
    """

    tables: tuple[TablePlan, ...]
    order: tuple[tuple[int, ...], ...]
    claim_tables: tuple[TableFacts, ...]
    blueprint: Blueprint
    path: tuple[str, ...] = ()
    images: ImagePlan | None = None
    names: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def looked_up(self) -> frozenset[int]:
        """Positions of the tables whose clones expressions look up by the template's key."""
        expressions = (item for table in self.tables for item in table.sets.values())
        return frozenset(self.names[name] for expression in expressions for name in calls(expression))

    @property
    def root(self) -> TablePlan:
        """The table of the campaigns."""
        return self.tables[0]

    @cached_property
    def derived(self) -> tuple[tuple[Derived, ...], ...]:
        """By position of the table: its columns that hold references and are neither set nor generated."""
        return tuple(tuple(self._derived(table)) for table in self.tables)

    def _derived(self, table: TablePlan) -> Iterator[Derived]:
        for name in dict.fromkeys(name for link in table.links for name in link.columns):
            column = table.facts.column[name]
            if name not in table.sets and not column.generated:
                yield Derived(self, table, column)

    def origin(self, position: int, column: str) -> Origin:
        """Return where the value of a column comes from, past all references.

        The compiler has seen to it that references do not lead in a circle.
        """
        table = self.tables[position]
        if column in table.sets:
            return Origin(KeyKind.SET, position, column)
        if column in table.keys:
            return Origin(table.keys[column], position, column)
        result = step(table, column)
        return self.origin(result.target, result.held(column)) if result else Origin(KeyKind.COPIED, position, column)


def step(table: TablePlan, column: str) -> Reference | None:
    """Return the reference that says what a column holds: the first one, as those of one column stand first."""
    for reference in table.references:
        if column in reference.columns and (reference.target, reference.held(column)) != (table.position, column):
            return reference
    return None


def anchor_targets(table: TablePlan) -> set[int]:
    """Return the places of the tables by which a table belongs to the root, itself excluded."""
    names = {reference.target for reference in table.references if reference.anchor}
    for item in table.polymorphic:
        if item.anchor:
            names |= set(item.targets.values())
    return names - {table.position}
