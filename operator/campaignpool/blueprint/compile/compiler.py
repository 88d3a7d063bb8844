"""Blueprint and catalog → clone plan: which rows, in which order, and what becomes of every column. Pure.

A blueprint that the catalog contradicts is refused, with one fault for everything that is wrong, each naming the
table, the column and how to fix it. `plan` describes a plan, `keys` decides which keys get new values, and the
package `sql` writes the SQL of a plan.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from campaignpool.api.blueprint import Blueprint, ImageTables, Polymorphic, Table
from campaignpool.blueprint.catalog import Catalog, Column, ForeignKey, TableFacts
from campaignpool.blueprint.compile import anchors, documents, graph, suitable
from campaignpool.blueprint.compile.expressions import SET_VARIABLES, VARIABLES, calls, mentioned, variables_of
from campaignpool.blueprint.compile.images import image_plan
from campaignpool.blueprint.compile.keys import Uses, keys, leaving
from campaignpool.blueprint.compile.plan import (
    ClonePlan,
    KeyKind,
    PolymorphicReference,
    Reference,
    TablePlan,
    step,
)
from campaignpool.blueprint.quote import ident
from campaignpool.errors import BlueprintError


def table_names(blueprint: Blueprint, *, copies: bool = False) -> list[str]:
    """Return every table that a blueprint names, as it names them; what the catalog must be asked for.

    With `copies`, those where images belong are among them.
    """
    declared = [blueprint.root.table, *(table.name for table in blueprint.tables)]
    sets = [blueprint.root.set_, *(table.set_ for table in blueprint.tables)]
    called = [name for item in sets for expression in item.values() for name in _called(expression)]
    references = [blueprint.root.references, *(table.references for table in blueprint.tables)]
    referred = [name for item in references for name in item.values()] + called
    typed = [name for table in blueprint.tables for item in table.polymorphic for name in item.targets.values()]
    where = blueprint.images or ImageTables()
    images = [where.attachments, where.blobs] if copies else []
    return [*declared, *referred, *typed, *(insert.table for insert in blueprint.on_claim.insert), *images]


def _called(expression: str) -> list[str]:
    try:
        return list(calls(expression))
    except ValueError:  # the compiler says so, with the place
        return []


def compile_plan(blueprint: Blueprint, catalog: Catalog, *, copies: bool = False) -> ClonePlan:
    """Compile a blueprint against a catalog.

    Args:
        blueprint: The declaration; with `copies` it says where images belong.
        catalog: What the database says of itself.
        copies: Images are copied after the rows, not shared.

    Raises:
        BlueprintError: With every fault that was found.
    """
    plan = _Compiler(blueprint, catalog).plan()
    return replace(plan, images=image_plan(plan, blueprint, catalog)) if copies else plan


@dataclass
class _Compiler:
    blueprint: Blueprint
    catalog: Catalog
    faults: list[str] = field(default_factory=list)
    positions: dict[int, int] = field(default_factory=dict)  # from the oid of a table to its place
    names: dict[str, int] = field(default_factory=dict)  # of the tables that `$clone_of` names

    @property
    def called(self) -> set[int]:
        return set(self.names.values())

    def plan(self) -> ClonePlan:
        root = Table(name=self.blueprint.root.table, **self.blueprint.root.model_dump(exclude={"table"}))
        declared = [root, *self.blueprint.tables]
        facts = [self._facts(table.name) for table in declared]
        self._refuse()
        results = [fact for fact in facts if fact is not None]
        for place, item in enumerate(results):
            if self.positions.setdefault(item.oid, place) != place:
                self.faults.append(f"table {item.name} is named twice: merge the two entries")
        self._refuse()
        self.faults += suitable.inherited(results)
        claimed = tuple(self._claimed())
        partly = [self._table(place, both) for place, both in enumerate(zip(declared, results, strict=True))]
        self._refuse()
        partly, faults = anchors.reachable(partly)
        self.faults += faults
        self._refuse()
        self._circles(partly)
        self._refuse()
        tables = tuple(self._keyed(table, partly) for table in partly)
        self._generated(tables)
        self.faults += [fault for table in tables for fault in suitable.shared_files(table)]
        self._refuse()
        edges = {
            table.position: {reference.target for reference in table.references}
            | {target for item in table.polymorphic for target in item.targets.values()}
            for table in tables
        }
        return ClonePlan(tables, graph.in_order(edges), claimed, self.blueprint, self.catalog.path, names=self.names)

    def _refuse(self) -> None:
        if self.faults:
            raise BlueprintError(self.faults)

    def _facts(self, name: str) -> TableFacts | None:
        facts = self.catalog.tables.get(name)
        if facts is None:
            self.faults.append(suitable.absent(self.catalog, name))
        return facts

    def _table(self, place: int, both: tuple[Table, TableFacts]) -> TablePlan:
        """Return the plan of a table, as far as it can be without the others: no keys, nothing copied."""
        table, facts = both
        self.faults += [
            *suitable.faults(facts),
            *suitable.typed(table),
            *suitable.undeclared(table, facts, self.positions),
        ]
        self._columns_exist(table, facts)
        sets = {**table.set_, **documents.remapped(table, facts)}
        self._variables(f"table {facts.name}", sets, SET_VARIABLES)
        self._calls(f"table {facts.name}", sets)
        references, polymorphic = list(self._references(table, facts)), list(self._polymorphic(table, facts))
        anchored, faults = anchors.chosen(place, table, facts, references, polymorphic)
        self.faults += faults
        self.faults += suitable.anchored_to_itself(facts, place, anchored)
        return TablePlan(
            place,
            facts,
            "false" if table.trigger_rows == "Keep" else table.where,
            {},
            tuple(replace(reference, anchor=reference in anchored) for reference in references),
            tuple(replace(item, anchor=item in anchored) for item in polymorphic),
            sets,
            (),
            trigger_rows=table.trigger_rows,
            restore=tuple(table.restore),
        )

    def _columns_exist(self, table: Table, facts: TableFacts) -> None:
        pairs = [name for item in table.polymorphic for name in (item.type, item.id)]
        plain = [documents.column(name, facts) for name in table.references]
        for name in [*table.set_, *plain, *pairs, *(table.via or ()), *table.restore]:
            if name not in facts.column:
                self.faults.append(f"table {facts.name} has no column {name}: correct its name")
            elif facts.column[name].generated and name in table.set_:
                self.faults.append(f"column {name} of {facts.name} is generated: remove it from `set`")
            elif facts.column[name].always and name in table.restore:
                self.faults.append(f"column {name} of {facts.name} is GENERATED ALWAYS: remove it from `restore`")

    def _references(self, table: Table, facts: TableFacts) -> Iterator[Reference]:
        """Return the references of a table, those of one column first: they hold whenever there is a value."""
        inside = [key for key in facts.foreign_keys if key.target in self.positions and not key.period]
        kept = [key for key in inside if not set(key.columns) & set(table.set_)]
        seen: set[tuple[tuple[str, ...], int, tuple[str, ...]]] = set()
        for key in sorted(kept, key=lambda key: (len(key.columns), key.name)):
            what = (key.columns, self.positions[key.target], key.target_columns)
            if what not in seen:
                seen.add(what)
                yield Reference(*what, _nulls(facts, key, kept))
        declared = {columns[0] for columns, _, _ in seen if len(columns) == 1} | set(table.set_)
        for name, target_name in table.references.items():
            if documents.is_document(name, facts):
                continue
            target = self._target(f"table {facts.name}: `references` of {name}", target_name)
            if name in facts.column and name not in declared and target is not None:
                nulls = () if facts.column[name].not_null else (name,)
                yield Reference((name,), target[0], (target[1],), nulls)

    def _polymorphic(self, table: Table, facts: TableFacts) -> Iterator[PolymorphicReference]:
        for pair in table.polymorphic:
            if pair.id in facts.column and pair.type in facts.column and pair.id not in table.set_:
                result = self._targets(pair, facts)
                targets = {kind: position for kind, (position, _) in result.items()}
                required = facts.column[pair.id].not_null
                yield PolymorphicReference(pair.type, pair.id, targets, dict(result.values()), required)

    def _targets(self, pair: Polymorphic, facts: TableFacts) -> dict[str, tuple[int, str]]:
        where = f"table {facts.name}: target of {pair.type}"
        result = {kind: self._target(where, name) for kind, name in pair.targets.items()}
        return {kind: target for kind, target in result.items() if target is not None}

    def _target(self, where: str, name: str) -> tuple[int, str] | None:
        """Return the place of a table that is referred to by its primary key, and that key."""
        facts = self.catalog.tables.get(name)
        position = self.positions.get(facts.oid) if facts else None
        if facts is None:
            self.faults.append(f"{where}: table {name} does not exist: correct its name")
        elif position is None:
            self.faults.append(f"{where}: table {name} is not part of the blueprint: add it, or remove the reference")
        elif len(facts.primary_key) != 1:
            self.faults.append(f"{where}: table {name} has no primary key of one column, so nothing can refer to it")
        else:
            return position, facts.primary_key[0]
        return None

    def _circles(self, tables: list[TablePlan]) -> None:
        """No column may hold, by way of references, what it holds itself: nothing would say which value it has."""
        for table in tables:
            pairs = {item.column for item in table.polymorphic}
            for item in (
                reference for other in tables for reference in other.references if reference.target == table.position
            ):
                for name in item.target_columns:
                    path = [(table.position, name)]
                    while (result := step(tables[path[-1][0]], path[-1][1])) and path[-1] not in path[:-1]:
                        path.append((result.target, result.held(path[-1][1])))
                    named = [f"{column} of {tables[place].facts.name}" for place, column in path]
                    if path[-1] in path[:-1]:
                        self.faults.append(f"{', '.join(named)} refer to each other in a circle: set one of them")
                    elif name in pairs and name not in table.sets:
                        self.faults.append(
                            f"{named[0]} is polymorphic, and referred to: set it, or what refers to it"
                        )
        self.faults = list(dict.fromkeys(self.faults))

    def _keyed(self, table: TablePlan, tables: list[TablePlan]) -> TablePlan:
        """Complete the plan of a table: its keys, and what is copied."""
        facts = table.facts
        referred = {
            reference.target_columns
            for other in tables
            for reference in other.references
            if reference.target == table.position
        } | {
            (item.keys[table.position],)
            for other in tables
            for item in other.polymorphic
            if table.position in item.keys
        }
        if table.restore:
            referred |= {facts.primary_key}  # to find the rows again
        remapped = {name for reference in table.references for name in reference.columns}
        remapped |= {item.column for item in table.polymorphic}
        if table.position in self.called:
            referred.add(facts.primary_key)
        new = remapped | set(table.sets)
        uses = Uses(new, referred, set(leaving(facts, self.positions.keys())), table.position == 0)
        made, faults = keys(facts, uses)
        self.faults += faults
        if table.position in self.called and facts.primary_key and facts.primary_key[0] not in made:
            self.faults.append(
                f"$clone_of({facts.relation}, ...): the key of {facts.name} is set or a reference: "
                "write its expression instead"
            )
        if table.position == 0 and not faults and not self._has_own_key(table, made):
            self.faults.append(
                f"root table {facts.name} needs a primary key of one column, uuid or with a default, that is neither "
                "set nor a reference"
            )
        wide = any(item.anchor and len(item.columns) > 1 for item in table.references)
        if table.trigger_rows == "Keep" and wide:
            self.faults.append(f"table {facts.name}: `triggerRows: Keep` needs references of one column to anchor it")
        if table.restore and not facts.primary_key:
            self.faults.append(f"table {facts.name}: `restore` needs a primary key to find the rows by")
        free = [c for c in facts.columns if not c.generated and c.name not in new | made.keys()]
        drawn = [c for c in free if c.draws and c.name not in uses.leaving]
        # A default knows nothing of the template's row: a value that is NULL there stays NULL.
        given = {c.name: _unless_null(c) for c in drawn if not c.not_null}
        copied = tuple(c.name for c in free if c not in drawn)
        numbers = tuple(c.name for c in drawn if c.not_null)
        return replace(table, keys=made, copied=copied, sets={**table.sets, **given}, numbers=numbers)

    def _has_own_key(self, root: TablePlan, made: Mapping[str, KeyKind]) -> bool:
        """Return whether the root's key is new in every clone, or is set from nothing but variables."""
        if len(root.facts.primary_key) != 1:
            return False
        name = root.facts.primary_key[0]
        expression = root.sets.get(name)
        if expression is None:
            return name in made
        columns = mentioned(expression, [column.name for column in root.facts.columns])
        if columns or "campaign" in variables_of(expression):
            self.faults.append(
                f"the key of root table {root.facts.name} can be set from $id, $name and $owner alone: "
                f"remove {', '.join(columns) or '$campaign'} from its expression"
            )
        return True

    def _calls(self, where: str, expressions: Mapping[str, str]) -> None:
        for column, expression in expressions.items():
            try:
                for name in calls(expression):
                    target = self._target(f"{where}, column {column}: $clone_of", name)
                    if target is not None:
                        self.names[name] = target[0]
            except ValueError as error:
                self.faults.append(f"{where}, column {column}: {error}")

    def _generated(self, tables: tuple[TablePlan, ...]) -> None:
        """What a generated column holds can be referred to only while it is the same in every campaign."""
        for table in tables:
            for reference in table.references:
                target = tables[reference.target]
                results = [column.name for column in target.facts.columns if column.name not in target.copied]
                changed = [name for name in results if not target.facts.column[name].generated]
                for own, theirs in zip(reference.columns, reference.target_columns, strict=True):
                    source = target.facts.column[theirs]
                    fixed = table.facts.column[own].generated or not source.generated
                    if not fixed and mentioned(source.default or "", changed):
                        self.faults.append(
                            f"column {own} of {table.facts.name} refers to {theirs} of {target.facts.name}, which is "
                            f"generated from columns that change: set {own}, or leave {table.facts.name} out"
                        )

    def _variables(self, where: str, expressions: Mapping[str, str], allowed: frozenset[str]) -> None:
        for column, expression in expressions.items():
            unknown = variables_of(expression) - allowed
            choices = ", ".join(f"${name}" for name in sorted(allowed))
            self.faults += [
                f"{where}, column {column}: there is no variable ${name} here: use {choices}" for name in unknown
            ]

    def _claim_writes(self, facts: TableFacts, name: str, where: str) -> None:
        if name not in facts.column:
            self.faults.append(f"onClaim: table {facts.name} has no column {name}: correct its name")
        elif facts.column[name].always:
            self.faults.append(
                f"onClaim: column {name} of {facts.name} is GENERATED ALWAYS: remove it from `{where}`"
            )
        elif where == "set" and name in facts.primary_key:
            self.faults.append(f"onClaim: column {name} of {facts.name} is the campaign's key: remove it from `set`")

    def _claimed(self) -> Iterator[TableFacts]:
        """Return the table of each row that a claim inserts."""
        root = self.catalog.tables[self.blueprint.root.table]
        on_claim = self.blueprint.on_claim
        self._variables("onClaim", on_claim.set_, VARIABLES)
        for name in on_claim.set_:
            self._claim_writes(root, name, "set")
        for insert in on_claim.insert:
            facts = self._facts(insert.table)
            if facts is None:
                continue
            yield facts
            self.faults += suitable.hidden(facts, ("INSERT",))
            self._variables(f"onClaim, table {facts.name}", insert.values, VARIABLES)
            for name in insert.values:
                self._claim_writes(facts, name, "values")
            for column in facts.columns:
                needed = column.not_null and not column.has_default and not column.generated
                if needed and column.name not in insert.values:
                    self.faults.append(
                        f"onClaim: column {column.name} of {facts.name} may not be NULL and has no default: "
                        "give it a value"
                    )


def _unless_null(column: Column) -> str:
    return f"CASE WHEN {ident(column.name)} IS NOT NULL THEN {column.default} END"


def _nulls(facts: TableFacts, key: ForeignKey, keys: list[ForeignKey]) -> tuple[str, ...]:
    """Return the columns of a foreign key that become NULL where the target is left out.

    Of several columns one that is NULL is enough, so those that other references share stay, where others can go.
    """
    able = tuple(n for n in key.columns if not facts.column[n].not_null and not facts.column[n].generated)
    if key.match_full:
        return able if len(able) == len(key.columns) else ()
    shared = {name for other in keys if other.columns != key.columns for name in other.columns}
    return tuple(name for name in able if name not in shared) or able
