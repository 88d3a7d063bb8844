"""What discovery proposes: a blueprint with a reason for everything in it, and for everything left out."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Setting:
    """A column that is proposed to be set.

    Attributes:
        column: The column.
        expression: SQL; None where only a person can say what.
        reason: Why.
        look: Whether it needs a person's decision.
    """

    column: str
    expression: str | None
    reason: str
    look: bool = False


@dataclass(frozen=True)
class Note:
    """A remark beside a table."""

    text: str
    look: bool = False


@dataclass(frozen=True)
class Reference:
    """A polymorphic reference: the columns, and the table that each type's name means."""

    type_column: str
    id_column: str
    targets: Mapping[str, str]


@dataclass(frozen=True)
class TableIn:
    """A table of the blueprint.

    Attributes:
        name: As the blueprint names it.
        comment: How many rows the template has, of how many in all.
        where: Condition of the rows that are copied.
        why_where: Why.
        settings: Columns to set.
        polymorphic: Polymorphic references.
        notes: Remarks.
        references: Columns that hold keys of another table of the blueprint without a foreign key.
    """

    name: str
    comment: str
    where: str | None = None
    why_where: str = ""
    settings: tuple[Setting, ...] = ()
    polymorphic: tuple[Reference, ...] = ()
    notes: tuple[Note, ...] = ()
    references: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TableOut:
    """A table that belongs to a campaign and is left out."""

    name: str
    rows: int
    total: int
    reason: str
    look: bool = False


@dataclass(frozen=True)
class ClaimRow:
    """A row that a claim is proposed to insert."""

    table: str
    values: Mapping[str, str]
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Discovery:
    """A proposed blueprint.

    Attributes:
        template: The template's key, and how it was chosen.
        root: The root table.
        tables: The tables below it, parents first.
        left_out: Tables left out.
        claim: Columns of the root that a claim sets.
        claim_rows: Rows that a claim inserts.
        claim_notes: Remarks on the claim.
        faults: What compiling still finds wrong with it.
    """

    template: str
    root: TableIn
    tables: tuple[TableIn, ...]
    left_out: tuple[TableOut, ...]
    claim: tuple[Setting, ...] = ()
    claim_rows: tuple[ClaimRow, ...] = ()
    claim_notes: tuple[Note, ...] = ()
    faults: tuple[str, ...] = field(default=())
