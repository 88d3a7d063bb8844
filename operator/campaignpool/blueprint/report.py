"""A checked blueprint as a person reads it: the tree of tables, rows each, and what becomes of every column. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from campaignpool.blueprint.catalog import TableFacts
from campaignpool.blueprint.check import Checked, Rehearsal
from campaignpool.blueprint.compile.plan import ClonePlan, KeyKind, TablePlan, anchor_targets
from campaignpool.blueprint.fingerprint import short
from campaignpool.blueprint.sql.snapshot import Survey

_KEYS = {
    KeyKind.SPLICED: "computed from the new campaign and the row",
    KeyKind.NUMBERED: "drawn from its sequence",
    KeyKind.DEFAULT: "left to its default",
}


@dataclass(frozen=True)
class Node:
    """A table in the tree, with what belongs to it."""

    table: TablePlan
    children: tuple["Node", ...]


def tree(plan: ClonePlan) -> Node:
    """Return the tables as a tree: each below the table by which it belongs to the root.

    A table that belongs to several by one polymorphic reference stands below the root.
    """
    parents: dict[int, int] = {}
    for table in plan.tables[1:]:
        plain = [reference.target for reference in table.references if reference.anchor]
        plain = [target for target in plain if target != table.position]
        targets = anchor_targets(table)
        parents[table.position] = plain[0] if plain else (min(targets) if len(targets) == 1 else 0)

    def node(position: int) -> Node:
        below = (child for child, parent in parents.items() if parent == position)
        return Node(plan.tables[position], tuple(node(child) for child in below))

    return node(0)


def render(checked: Checked, template: str) -> list[str]:
    """Return the report.

    Args:
        checked: What the check found.
        template: How the template was chosen, as the person wrote it.
    """
    plan = checked.plan
    rows = sum(survey.rows for survey in checked.surveys)
    lines = [
        f"template     {checked.compiled.template} of {plan.root.facts.name} ({template})",
        f"fingerprint  {short(checked.fingerprint.text)}",
        f"a clone      {_count(rows, 'row')} in {_count(len(plan.tables), 'table')}",
        "",
    ]
    lines += _node(plan, checked, tree(plan), "", "")
    lines += ["", *_claim(plan)]
    if checked.warnings:
        lines += [
            "",
            f"{_count(len(checked.warnings), 'warning')}:",
            *(f"  - {warning}" for warning in checked.warnings),
        ]
    if checked.rehearsal:
        lines += ["", *rehearsed(plan, checked.surveys, checked.rehearsal)]
    return lines


def _node(plan: ClonePlan, checked: Checked, node: Node, branch: str, margin: str) -> Iterator[str]:
    survey = checked.surveys[node.table.position]
    name = f"{branch}{_name(plan, node.table.facts)}"
    yield f"{name:<44} {survey.rows:>9,} {'row' if survey.rows == 1 else 'rows'}"
    rail = f"{margin}{'│' if node.children else ' '}"
    for heading, text in _details(plan, checked, node.table):
        yield f"{rail}     {heading:<9} {text}"
    for number, child in enumerate(node.children, 1):
        last = number == len(node.children)
        yield from _node(
            plan, checked, child, f"{margin}{'└── ' if last else '├── '}", f"{margin}{'    ' if last else '│   '}"
        )


def _details(plan: ClonePlan, checked: Checked, table: TablePlan) -> Iterator[tuple[str, str]]:
    survey = checked.surveys[table.position]
    if table.where:
        yield "where", table.where
    if table.key_column:
        yield "key", f"{table.key_column.name}: {_KEYS[table.key]}"
    if remapped := list(_remapped(plan, table)):
        yield "remapped", ", ".join(remapped)
    if table.sets:
        yield "set", ", ".join(f"{name} = {expression}" for name, expression in table.sets.items())
    if table.numbers:
        yield (
            "drawn",
            f"{', '.join(table.numbers)}: left to {'its default' if len(table.numbers) == 1 else 'defaults'}",
        )
    if outside := list(_outside(plan, table, checked.outside)):
        yield "outside", f"{', '.join(outside)}: copied unchanged"
    for column, count in _per_column(table, survey.nulled):
        yield "nulled", f"{_count(count, 'reference')} of {column} to rows left out"
    for column, count in _per_column(table, survey.outside):
        yield "outside", f"{_count(count, 'reference')} of {column} to rows of others: copied unchanged"
    if survey.dropped:
        yield "dropped", f"{_count(survey.dropped, 'row')} that cannot do without a row left out"
    yield "copied", f"{_count(len(table.copied), 'column')}"


def _remapped(plan: ClonePlan, table: TablePlan) -> Iterator[str]:
    for reference in table.references:
        yield f"{', '.join(reference.columns)} → {_name(plan, plan.tables[reference.target].facts)}"
    for pair in table.polymorphic:
        names = dict.fromkeys(_name(plan, plan.tables[target].facts) for target in pair.targets.values())
        yield f"{pair.type_column} + {pair.column} → {' | '.join(names)}"


def _outside(plan: ClonePlan, table: TablePlan, names: Mapping[int, str]) -> Iterator[str]:
    inside = {item.facts.oid for item in plan.tables}
    for key in table.facts.foreign_keys:
        if key.target not in inside and set(key.columns) <= set(table.copied):
            yield f"{', '.join(key.columns)} → {names.get(key.target, 'elsewhere')}"


def _per_column(table: TablePlan, counts: Iterable[int]) -> list[tuple[str, int]]:
    result: dict[str, int] = {}
    for link, count in zip(table.links, counts, strict=True):
        name = ", ".join(link.columns)
        result[name] = result.get(name, 0) + count
    return [(column, count) for column, count in result.items() if count]


def _claim(plan: ClonePlan) -> Iterator[str]:
    rules = plan.blueprint.on_claim
    yield "on a claim"
    if rules.set_:
        yield f"  set       {', '.join(f'{name} = {expression}' for name, expression in rules.set_.items())}"
    for insert, facts in zip(rules.insert, plan.claim_tables, strict=True):
        values = ", ".join(f"{name} = {expression}" for name, expression in insert.values.items())
        yield f"  insert    {_name(plan, facts)}: {values}"
    if not rules.set_ and not rules.insert:
        yield "  nothing in the campaign changes"


def rehearsed(plan: ClonePlan, surveys: tuple[Survey, ...], found: Rehearsal) -> Iterator[str]:
    """Return what a dry run took, statement by statement."""
    item = found.cloning / found.campaigns
    yield (
        f"dry run, rolled back: {_count(found.campaigns, 'campaign')} cloned in {found.cloning:,.1f} ms"
        f" ({item:,.1f} ms each), after {found.installing:,.1f} ms to freeze the template"
    )
    yield ""
    yield f"  {'statement by statement, measured once more':<44} {'rows':>9} {'ms':>9} {'of these, checks':>17}"
    for timing in found.timings:
        name = " + ".join(_name(plan, plan.tables[position].facts) for position in timing.positions)
        rows = found.campaigns * sum(surveys[position].rows for position in timing.positions)
        yield f"  {name:<44} {rows:>9,} {timing.milliseconds:>9,.1f} {timing.checking:>17,.1f}"


def _name(plan: ClonePlan, facts: TableFacts) -> str:
    """Return a table's name, without its schema where that is the root's."""
    return facts.relation if facts.schema_ == plan.root.facts.schema_ else facts.name


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
