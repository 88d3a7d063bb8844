"""SQL that makes the values of two clones without inserting them, to see whether they can stand side by side."""

from collections.abc import Iterator

from campaignpool.blueprint.catalog import Index
from campaignpool.blueprint.compile.expressions import mentioned
from campaignpool.blueprint.compile.plan import ClonePlan, KeyKind, TablePlan
from campaignpool.blueprint.quote import ident
from campaignpool.blueprint.sql import snapshot
from campaignpool.blueprint.sql.snapshot import Survey
from campaignpool.blueprint.sql.values import CAMPAIGNS, Values

_TWO = (
    f"(VALUES ('00000000-0000-7000-8000-000000000001'::uuid, '', '0000000000007000', 0), "
    f"('00000000-0000-7001-8000-000000000001'::uuid, '', '0000000000007001', 1)) AS c {CAMPAIGNS}"
)


def collision(plan: ClonePlan, table: TablePlan, index: Index) -> str | None:
    """Return a query for whether two clones would meet in a unique index; None where that is plainly not so."""
    if not index.unique or index.whole_row(table.facts) or _fresh(plan, table, index):
        return None
    generated = [column for column in table.facts.columns if column.generated]
    if any(mentioned(" ".join(index.keys), [name]) for name in table.drawn):
        return None
    additional = "".join(f", ({column.default}) AS {ident(column.name)}" for column in generated)
    created = f"SELECT s.*{additional} FROM ({_clones(plan, table)}) s"
    keys = [f"({key}) AS k{n}" for n, key in enumerate(index.keys)]
    names = [f"k{n}" for n in range(len(keys))]
    given = " AND ".join(f"{name} IS NOT NULL" for name in names) if index.nulls_distinct else "true"
    where = f" WHERE {index.predicate}" if index.predicate else ""
    return (
        f"SELECT EXISTS (SELECT FROM (SELECT {', '.join(keys)} FROM ({created}) v{where}) k "
        f"WHERE {given} GROUP BY {', '.join(names)} HAVING count(*) > 1)"
    )


def unstable(plan: ClonePlan, table: TablePlan) -> Iterator[tuple[str, str]]:
    """Return the set columns that others refer to, each with a query for whether it is another value each time."""
    held = {
        name
        for other in plan.tables
        for link in other.links
        for alternative in link.alternatives
        if alternative.target == table.position
        for name in alternative.target_columns
    }
    values = _values(plan)
    for name in (name for name in table.sets if name in held):
        value = values.columns(table)[name]
        rows = f"({snapshot.select(plan, table, _all(plan, table))} OFFSET 0) s CROSS JOIN {_TWO}"
        yield name, f"SELECT EXISTS (SELECT FROM {rows} WHERE {value} IS DISTINCT FROM {value})"


def _fresh(plan: ClonePlan, table: TablePlan, index: Index) -> bool:
    """Return whether a column of an index is new in every clone, and nothing else in it changes."""
    names = [name for name in index.columns if name]
    if len(names) < len(index.columns) or not index.nulls_distinct or set(names) & set(table.sets):
        return False
    if any(table.keys.get(name) in (KeyKind.SPLICED, KeyKind.NUMBERED, KeyKind.DEFAULT) for name in names):
        return True
    root = {item.column.name for item in plan.derived[table.position] if item.of_root and item.column.not_null}
    return bool(root & set(names) & set(table.anchors))


def _clones(plan: ClonePlan, table: TablePlan) -> str:
    """Return the rows of two clones."""
    columns = _values(plan).columns(table)
    created = ", ".join(f"{value} AS {ident(name)}" for name, value in columns.items())
    rows = snapshot.select(plan, table, _all(plan, table))
    return f"SELECT {created or 'true'} FROM ({rows} OFFSET 0) s CROSS JOIN {_TWO}"


def _values(plan: ClonePlan) -> Values:
    def numbered(position: int, column: str, place: str) -> str:
        # Numbers that no row of the template has, and no two rows of the clones.
        base = plan.tables[position].facts.column[column].base
        return f"CAST(-1 - ({place} * 2 + c.campaignpool_n) AS {base})"

    def lookup(table: TablePlan) -> str:
        return f"({snapshot.select(plan, table, _all(plan, table))})"

    return Values(plan, "/", tuple(_all(plan, table) for table in plan.tables), numbered, lookup)


def _all(plan: ClonePlan, table: TablePlan) -> Survey:
    """Return a survey that rules nothing out."""
    ones = (1,) * len(plan.derived[table.position])
    by_link = (1,) * len(table.links)
    return Survey(1, 0, by_link, by_link, ones, ones, ones)
