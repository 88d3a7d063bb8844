"""Blueprint and catalog → clone plan: which rows, in which order, and what becomes of every column. Pure.

Compiling refuses a blueprint that the catalog contradicts, with one fault for everything that is wrong, each
naming table, column and mend. The SQL of a plan is written by `campaignpool.compiler`.

How keys are made (measured: `docs/adr/0002-keys.md`):

- `SPLICED`, for uuid keys: the first 64 bits of the new campaign's id, then 64 bits that are the template row's
  own. Computed, so references to the row remap by the same expression, without a join.
- `NUMBERED`, for integer keys that other tables of the plan refer to: drawn from the column's sequence, all of a
  table's in one array; row n of campaign m takes its place in it, so references remap by position.
- `DEFAULT`, for keys with a default that nothing in the plan refers to: left to the database.
- `NONE`: the key consists of columns that are remapped or set anyway (join tables), or there is none.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from campaignpool import graph
from campaignpool.blueprint import Blueprint, Polymorphic, Table
from campaignpool.catalog import Catalog, Column, TableFacts
from campaignpool.errors import BlueprintError

INTEGERS = frozenset({"smallint", "integer", "bigint"})
VARIABLES = frozenset({"campaign", "name", "owner", "claimant"})
_TOKEN = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$(\w*)", re.DOTALL)


class KeyKind(StrEnum):
    """How the primary key of a cloned row is made."""

    SPLICED = "spliced"
    NUMBERED = "numbered"
    DEFAULT = "default"
    NONE = "none"


@dataclass(frozen=True)
class Reference:
    """A column that holds the key of a row of another table of the plan (or of its own).

    Attributes:
        column: The column.
        target: Position of the target table in `ClonePlan.tables`.
        required: Whether the column cannot be NULL.
    """

    column: str
    target: int
    required: bool


@dataclass(frozen=True)
class PolymorphicReference:
    """A column that holds the key of a row whose table stands in the column beside it.

    Attributes:
        type_column: Holds the name of the type.
        column: Holds the key.
        targets: From a type's name to the position of its table in `ClonePlan.tables`.
        required: Whether the key column cannot be NULL.
    """

    type_column: str
    column: str
    targets: Mapping[str, int]
    required: bool


@dataclass(frozen=True)
class TablePlan:
    """What becomes of one table.

    Attributes:
        position: Its place in `ClonePlan.tables`.
        facts: The table as the catalog has it.
        where: Condition of the rows that are copied.
        key: How the primary key is made.
        key_column: The primary key's column, for every kind but `NONE`.
        references: References into the plan, by foreign key or declared.
        polymorphic: Polymorphic references.
        anchors: The columns, among the references, that make a row part of a campaign; all of them must.
        sets: Columns that are set to an expression.
        copied: Columns that are copied as they are.
    """

    position: int
    facts: TableFacts
    where: str | None
    key: KeyKind
    key_column: Column | None
    references: tuple[Reference, ...]
    polymorphic: tuple[PolymorphicReference, ...]
    anchors: tuple[str, ...]
    sets: Mapping[str, str]
    copied: tuple[str, ...]

    @property
    def mentioned(self) -> tuple[str, ...]:
        """Columns that expressions of `sets` may read from the template's row, beside those copied."""
        words = set(re.findall(r"\w+", re.sub(r"\$\w+", " ", " ".join(self.sets.values()))))
        others = (column.name for column in self.facts.columns if column.name not in self.copied)
        return tuple(name for name in others if words & set(re.findall(r"\w+", name)))


@dataclass(frozen=True)
class ClonePlan:
    """A compiled blueprint.

    Attributes:
        tables: Every table, the root first.
        order: Positions in the order of insertion; tables that refer to each other in a circle stand together
            and are inserted by one statement.
        claim_tables: The table of each row that a claim inserts.
        blueprint: What it was compiled from.
    """

    tables: tuple[TablePlan, ...]
    order: tuple[tuple[int, ...], ...]
    claim_tables: tuple[TableFacts, ...]
    blueprint: Blueprint

    @property
    def root(self) -> TablePlan:
        """The table of the campaigns."""
        return self.tables[0]


def table_names(blueprint: Blueprint) -> list[str]:
    """Give every table that a blueprint names, as it names them; what the catalog must be asked for."""
    declared = [blueprint.root.table, *(table.name for table in blueprint.tables)]
    referred = [name for table in blueprint.tables for name in table.references.values()]
    typed = [name for table in blueprint.tables for each in table.polymorphic for name in each.targets.values()]
    return [*declared, *referred, *typed, *(insert.table for insert in blueprint.on_claim.insert)]


def substitute(expression: str, values: Mapping[str, str]) -> str:
    """Replace `$variables` of an expression by SQL; text in quotes is left alone.

    Raises:
        KeyError: With the name of a variable that `values` lacks.
    """

    def replaced(match: re.Match[str]) -> str:
        return match[0] if match[1] is None else values[match[1]]

    return _TOKEN.sub(replaced, expression)


def variables_of(expression: str) -> set[str]:
    """Give the names of the variables of an expression."""
    return {match[1] for match in _TOKEN.finditer(expression) if match[1] is not None}


def compile_plan(blueprint: Blueprint, catalog: Catalog) -> ClonePlan:
    """Compile a blueprint against a catalog.

    Raises:
        BlueprintError: With every fault that was found.
    """
    return _Compiler(blueprint, catalog).plan()


@dataclass
class _Compiler:
    blueprint: Blueprint
    catalog: Catalog
    faults: list[str] = field(default_factory=list)
    positions: dict[int, int] = field(default_factory=dict)  # from the oid of a table to its place

    def plan(self) -> ClonePlan:
        root = Table(name=self.blueprint.root.table, set_=self.blueprint.root.set_)
        declared = [root, *self.blueprint.tables]
        facts = [self._facts(table.name) for table in declared]
        self._refuse()
        known = [each for each in facts if each is not None]
        for place, each in enumerate(known):
            if self.positions.setdefault(each.oid, place) != place:
                self.faults.append(f"table {each.name} is named twice: merge the two entries")
        self._refuse()

        referred = self._referred(declared, known)
        tables = tuple(
            self._table(place, table, each, referred)
            for place, (table, each) in enumerate(zip(declared, known, strict=True))
        )
        self._on_claim()
        self._reachable(tables)
        self._refuse()
        edges = {
            table.position: {each.target for each in table.references}
            | {target for each in table.polymorphic for target in each.targets.values()}
            for table in tables
        }
        claimed = tuple(self.catalog.tables[insert.table] for insert in self.blueprint.on_claim.insert)
        return ClonePlan(tables, graph.in_order(edges), claimed, self.blueprint)

    def _refuse(self) -> None:
        if self.faults:
            raise BlueprintError(self.faults)

    def _facts(self, name: str) -> TableFacts | None:
        facts = self.catalog.tables.get(name)
        if facts is None:
            self.faults.append(f"table {name} does not exist: correct its name, or qualify it with its schema")
        return facts

    def _referred(self, declared: list[Table], facts: list[TableFacts]) -> set[int]:
        """Give the places of the tables whose keys some table of the plan holds."""
        found: set[int] = set()
        for table, each in zip(declared, facts, strict=True):
            found |= {self.positions[key.target] for key in each.foreign_keys if key.target in self.positions}
            names = [*table.references.values(), *(name for p in table.polymorphic for name in p.targets.values())]
            resolved = [self.catalog.tables[name].oid for name in names if name in self.catalog.tables]
            found |= {self.positions[oid] for oid in resolved if oid in self.positions}
        return found

    def _table(self, place: int, table: Table, facts: TableFacts, referred: set[int]) -> TablePlan:
        self._columns_exist(table, facts)
        references = tuple(self._references(table, facts))
        polymorphic = tuple(self._polymorphic(table, facts))
        sets = dict(table.set_)
        self._variables(f"table {facts.name}", sets, VARIABLES - {"claimant"})
        remapped = {each.column for each in references} | {each.column for each in polymorphic}
        key = self._key(place, facts, remapped | set(sets), place in referred)
        key_column = facts.column[facts.primary_key[0]] if key is not KeyKind.NONE else None
        made = remapped | set(sets) | ({key_column.name} if key_column else set())
        copied = tuple(c.name for c in facts.columns if not c.generated and c.name not in made)
        anchors = self._anchors(place, table, facts, references, polymorphic)
        return TablePlan(place, facts, table.where, key, key_column, references, polymorphic, anchors, sets, copied)

    def _columns_exist(self, table: Table, facts: TableFacts) -> None:
        pairs = [name for each in table.polymorphic for name in (each.type, each.id)]
        for name in [*table.set_, *table.references, *pairs, *(table.via or ())]:
            if name not in facts.column:
                self.faults.append(f"table {facts.name} has no column {name}: correct its name")
            elif name in table.set_ and facts.column[name].generated:
                self.faults.append(f"column {name} of {facts.name} is generated: remove it from `set`")

    def _references(self, table: Table, facts: TableFacts) -> Iterator[Reference]:
        seen: set[str] = set(table.set_)
        for key in facts.foreign_keys:
            if key.target not in self.positions or set(key.columns) & seen:
                continue
            target = self._by_place(self.positions[key.target])
            if len(key.columns) > 1 or key.target_columns != target.primary_key:
                self.faults.append(
                    f"foreign key {key.name} of {facts.name} does not refer to a primary key of one column: "
                    "such references are not supported, set its columns or leave the table out"
                )
                continue
            seen.add(key.columns[0])
            required = facts.column[key.columns[0]].not_null
            yield Reference(key.columns[0], self.positions[key.target], required)
        for name, target_name in table.references.items():
            position = self._position(f"table {facts.name}: `references` of {name}", target_name)
            if name in facts.column and name not in seen and position is not None:
                yield Reference(name, position, facts.column[name].not_null)

    def _polymorphic(self, table: Table, facts: TableFacts) -> Iterator[PolymorphicReference]:
        for pair in table.polymorphic:
            if pair.id in facts.column and pair.type in facts.column and pair.id not in table.set_:
                targets = self._targets(pair, facts)
                yield PolymorphicReference(pair.type, pair.id, targets, facts.column[pair.id].not_null)

    def _targets(self, pair: Polymorphic, facts: TableFacts) -> dict[str, int]:
        where = f"table {facts.name}: target of {pair.type}"
        found = {kind: self._position(where, name) for kind, name in pair.targets.items()}
        return {kind: position for kind, position in found.items() if position is not None}

    def _position(self, where: str, name: str) -> int | None:
        facts = self.catalog.tables.get(name)
        position = self.positions.get(facts.oid) if facts else None
        if facts is None:
            self.faults.append(f"{where}: table {name} does not exist: correct its name")
        elif position is None:
            self.faults.append(f"{where}: table {name} is not part of the blueprint: add it, or remove the reference")
        elif len(facts.primary_key) != 1:
            self.faults.append(f"{where}: table {name} has no primary key of one column, so nothing can refer to it")
        return position

    def _by_place(self, place: int) -> TableFacts:
        oid = next(oid for oid, each in self.positions.items() if each == place)
        return next(facts for facts in self.catalog.tables.values() if facts.oid == oid)

    def _key(self, place: int, facts: TableFacts, made: set[str], referred: bool) -> KeyKind:
        if len(facts.primary_key) != 1:
            if place == 0:
                self.faults.append(f"root table {facts.name} needs a primary key of one column, uuid or integer")
            return KeyKind.NONE
        column = facts.column[facts.primary_key[0]]
        if column.name in made:
            if referred:
                self.faults.append(
                    f"column {column.name} of {facts.name} is both the key that other tables refer to and a "
                    "reference or a set column: not supported, leave the table out"
                )
            return KeyKind.NONE
        if column.type == "uuid":
            return KeyKind.SPLICED
        if not referred and place != 0 and column.has_default:
            return KeyKind.DEFAULT
        if column.type in INTEGERS and column.sequence:
            return KeyKind.NUMBERED
        self.faults.append(
            f"key {column.name} of {facts.name} is of type {column.type} and has no sequence: "
            f"set it to an expression that is new in every campaign, such as `{column.name} || $campaign`"
        )
        return KeyKind.NONE

    def _anchors(
        self,
        place: int,
        table: Table,
        facts: TableFacts,
        references: tuple[Reference, ...],
        polymorphic: tuple[PolymorphicReference, ...],
    ) -> tuple[str, ...]:
        if place == 0:
            return ()
        named = {each.column for each in references} | {each.column for each in polymorphic}
        if table.via:
            wrong = [name for name in table.via if name not in named]
            self.faults += [f"table {facts.name}: `via` names {name}, which is no reference" for name in wrong]
            return tuple(table.via)
        others = [each for each in references if each.target != place]
        to_root = [each.column for each in others if each.target == 0]
        required = [each.column for each in others if each.required]
        pairs = [each.column for each in polymorphic]
        chosen = to_root[:1] or required or pairs[:1] or [each.column for each in others][:1]
        if not chosen:
            self.faults.append(
                f"table {facts.name} has no reference to another table of the blueprint: remove it, or declare one "
                "under `references` or `polymorphic`"
            )
        return tuple(chosen)

    def _reachable(self, tables: tuple[TablePlan, ...]) -> None:
        """Every table must hang on the root by its anchors."""
        reached, size = {0}, 0
        while size != len(reached):
            size = len(reached)
            reached |= {table.position for table in tables if table.anchors and anchor_targets(table) <= reached}
        for table in tables:
            if table.position not in reached and table.anchors:
                self.faults.append(
                    f"table {table.facts.name} does not hang on the root by {', '.join(table.anchors)}: "
                    "name other columns under `via`"
                )

    def _variables(self, where: str, expressions: Mapping[str, str], allowed: frozenset[str]) -> None:
        for column, expression in expressions.items():
            unknown = variables_of(expression) - allowed
            choices = ", ".join(f"${name}" for name in sorted(allowed))
            self.faults += [
                f"{where}, column {column}: there is no variable ${name} here: use {choices}" for name in unknown
            ]

    def _on_claim(self) -> None:
        root = self.catalog.tables[self.blueprint.root.table]
        on_claim = self.blueprint.on_claim
        self._variables("onClaim", on_claim.set_, VARIABLES)
        for name in on_claim.set_:
            if name not in root.column:
                self.faults.append(f"onClaim: table {root.name} has no column {name}: correct its name")
        for insert in on_claim.insert:
            facts = self._facts(insert.table)
            if facts is None:
                continue
            self._variables(f"onClaim, table {facts.name}", insert.values, VARIABLES)
            for name in insert.values:
                if name not in facts.column:
                    self.faults.append(f"onClaim: table {facts.name} has no column {name}: correct its name")
            for column in facts.columns:
                needed = column.not_null and not column.has_default and not column.generated
                if needed and column.name not in insert.values:
                    self.faults.append(
                        f"onClaim: column {column.name} of {facts.name} may not be NULL and has no default: "
                        "give it a value"
                    )


def anchor_targets(table: TablePlan) -> set[int]:
    """Give the places of the tables by which a table hangs on the root, itself excluded."""
    found = {each.target for each in table.references if each.column in table.anchors}
    for each in table.polymorphic:
        if each.column in table.anchors:
            found |= set(each.targets.values())
    return found - {table.position}
