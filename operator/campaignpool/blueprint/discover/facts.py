"""What discovery knows: facts, as they were read from a database. Frozen values, without an opinion."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from campaignpool.blueprint.catalog import Catalog
from campaignpool.blueprint.sql.census import Reached


@dataclass(frozen=True)
class TypeName:
    """A name in the type column of a polymorphic pair.

    Attributes:
        name: The name, as the column holds it.
        looked_up: How many ids that stand beside it were looked up.
        hits: How many of them are keys of which table, by oid.
        label: What the name stands for, where another table says it: `app.model` of Django's content types.
    """

    name: str
    looked_up: int
    hits: Mapping[int, int]
    label: str = ""


@dataclass(frozen=True)
class Pair:
    """Two columns that look like a polymorphic reference, and what their data says."""

    table: int
    type_column: str
    id_column: str
    types: tuple[TypeName, ...]


@dataclass(frozen=True)
class Walk:
    """What belongs to the root.

    Attributes:
        reached: By oid, parents first.
        backward: Tables tied to the campaign by nullable columns only, that reached tables refer to: oid and the
            columns. People have a current campaign; that does not make them a part of it.
    """

    reached: Mapping[int, Reached]
    backward: Mapping[int, tuple[str, ...]]


@dataclass(frozen=True)
class Census:
    """What a table holds.

    Attributes:
        total: Rows in all; an estimate where the table is large.
        rows: Rows of the template.
        kept: Of these, the rows that the filters of `names.filters` keep.
        true: By boolean column: rows of the template in which it is true.
        filled: By column: rows of the template in which it is not NULL.
    """

    total: int
    rows: int
    kept: int
    true: Mapping[str, int] = field(default_factory=dict)
    filled: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LooseIds:
    """A column without a constraint that holds what looks like ids.

    Attributes:
        table: Oid of its table.
        column: The column.
        found: How many different ids were looked up.
        hits: How many of them are keys of which table, by oid.
        whole: Whether each value is an id; else ids stand somewhere in the value.
    """

    table: int
    column: str
    found: int
    hits: Mapping[int, int]
    whole: bool


@dataclass(frozen=True)
class Facts:
    """All that was read.

    Attributes:
        catalog: Every table of people's making, by its shortest name.
        names: The shortest name of each table, by oid.
        unreadable: Tables that the role may not read; nothing is known of what they hold.
        root: Oid of the root table.
        template: Key of the template's row.
        condition: SQL condition that chose it; None where it was chosen by key.
        walk: What belongs to the root.
        pairs: What looks like polymorphic references, of all tables.
        census: What the tables that were reached hold, by oid.
        alike: By boolean column of the root: other campaigns that hold the template's value.
        loose: Columns with ids that no constraint speaks of.
        implied: By oid of the table: columns that hold keys of another without a foreign key, and that table's oid.
        usual: By oid of the table: the most frequent value of columns that are required and have no default, of
            tables that may say who belongs to a campaign.
        unanchored: By oid of the table: columns that tie rows to the campaign which a NULL keeps out of it, and how
            many rows these are.
        beside: By oid of a table of `walk.backward`: how many of its rows refer to the template.
    """

    catalog: Catalog
    names: Mapping[int, str]
    unreadable: frozenset[int]
    root: int
    template: str
    condition: str | None
    walk: Walk
    pairs: tuple[Pair, ...]
    census: Mapping[int, Census]
    alike: Mapping[str, int]
    loose: tuple[LooseIds, ...]
    implied: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    usual: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    unanchored: Mapping[int, tuple[tuple[str, ...], int]] = field(default_factory=dict)
    beside: Mapping[int, int] = field(default_factory=dict)

    @property
    def campaigns(self) -> int:
        """How many campaigns there are, the template included."""
        return max(self.census[self.root].total, 1)
