"""What each column of a cloned row is: expressions over a row `s` of the snapshot and a campaign `c`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from campaignpool.blueprint.catalog import Column
from campaignpool.blueprint.compile.expressions import expand, substitute
from campaignpool.blueprint.compile.plan import ClonePlan, Derived, KeyKind, Origin, TablePlan
from campaignpool.blueprint.quote import ident, literal
from campaignpool.blueprint.sql.naming import KEY, ORD, lo, of, raw, ref
from campaignpool.blueprint.sql.snapshot import Survey

CAMPAIGNS = "(campaignpool_id, campaignpool_owner, campaignpool_hi, campaignpool_n)"
"""Columns of `c`: id of the campaign, its owner, the first 64 bits of the id, its place in the batch."""

Numbered = Callable[[int, str, str], str]
"""Return the value of a drawn column: position of its table, its name, place of the row."""


@dataclass(frozen=True)
class Values:
    """What a clone makes of the rows of a plan.

    Attributes:
        plan: The clone plan.
        pool: Name of the pool, `namespace/name`.
        surveys: What the template holds, by position of the table.
        numbered: Gives the value of a drawn column.
        lookup: Gives the frozen rows of a table, for FROM, with their keys in the template.
    """

    plan: ClonePlan
    pool: str
    surveys: tuple[Survey, ...]
    numbered: Numbered
    lookup: Callable[[TablePlan], str]

    def columns(self, table: TablePlan) -> Mapping[str, str]:
        """Return the columns to insert and the expression of each, in the order of the table."""
        result: dict[str, str] = {name: f"s.{ident(name)}" for name in table.copied}
        result |= {name: self.key(table, name) for name, kind in table.keys.items() if kind is not KeyKind.DEFAULT}
        result |= {item.column.name: self.reference(table, item) for item in self.plan.derived[table.position]}
        result |= {name: self._set(table, name, expression) for name, expression in table.sets.items()}
        return {column.name: result[column.name] for column in table.facts.columns if column.name in result}

    def key(self, table: TablePlan, name: str) -> str:
        """Return the value of a column that gets a new value, unless that is left to the database."""
        column = table.facts.column[name]
        if table.keys[name] is KeyKind.NUMBERED:
            return self.numbered(table.position, name, f"s.{ORD}")
        if table.position == 0 and table.key_column == column:
            return self.campaign()
        return spliced(column, f"s.{lo(table.number(name))}")

    def reference(self, table: TablePlan, each: Derived) -> str:
        """Return the key of the target's clone, or the reference itself where it leaves the template."""
        survey = self.surveys[table.position]
        place = self.plan.derived[table.position].index(each)
        if each.of_root and not survey.raw[place] and not survey.empty[place]:
            root = self.plan.root.facts
            return _cast(self.campaign(), root.column[root.primary_key[0]].base, each.column.base)
        items = list(self.sources(each))
        if survey.raw[place]:
            items.append(f"s.{raw(each.number)}")
        if not items:
            return f"CAST(NULL AS {each.column.base})"
        return items[0] if len(items) == 1 else f"coalesce({', '.join(items)})"

    def sources(self, each: Derived) -> Iterator[str]:
        """Return, for each source of a column that holds references, its value: NULL where the source has none."""
        # A table without rows has no keys: nothing refers to it.
        for origin in (origin for origin in each.origins if self.surveys[origin.table].rows):
            token = f"s.{ref(each.number, each.source(origin))}"
            if origin.kind is KeyKind.SPLICED:
                key = self.plan.tables[origin.table].facts.column[origin.column]
                yield _cast(spliced(key, token), key.base, each.column.base)
            elif origin.kind is KeyKind.NUMBERED:
                base = self.plan.tables[origin.table].facts.column[origin.column].base
                yield _cast(self.numbered(origin.table, origin.column, token), base, each.column.base)
            else:
                yield f"CASE WHEN {token} THEN {self._read(each, origin)} END"

    def _read(self, each: Derived, origin: Origin) -> str:
        """Return what the expression of a set column makes of the target's row."""
        target = self.plan.tables[origin.table]
        read = [
            f"s.{of(each.number, each.source(origin), k)} AS {ident(name)}"
            for k, name in enumerate(each.needs(origin))
        ]
        value = self._set(target, origin.column, target.sets[origin.column])
        kind = each.column.base
        return f"CAST((SELECT {value} FROM (SELECT {', '.join(read) or 'true'}) t) AS {kind})"

    def _set(self, table: TablePlan, name: str, expression: str) -> str:
        values = {
            "name": f"({literal(self.pool.rpartition('/')[2] + '-')} || c.campaignpool_hi)",
            "owner": "nullif(c.campaignpool_owner, '')",
            "id": "CAST(c.campaignpool_id AS text)",
        }
        if table.position or name not in table.facts.primary_key:
            values["campaign"] = self.campaign()
        value = substitute(expand(expression, self._clone_of), values)
        return f"CAST(({value}) AS {table.facts.column[name].base})"

    def campaign(self) -> str:
        """Return the key of the campaign's own row."""
        root = self.plan.root
        name = root.facts.primary_key[0]
        if name in root.sets:
            return self._set(root, name, root.sets[name])
        if root.keys[name] is KeyKind.NUMBERED:
            return self.numbered(0, name, "1")
        column = root.facts.column[name]
        if column.key_form == "uuid":
            return _cast("c.campaignpool_id", "uuid", column.base)
        return spliced(column, "right(replace(CAST(c.campaignpool_id AS text), '-', ''), 16)")

    def _clone_of(self, name: str, key: str) -> str:
        """Return the key of the clone of a row of the template; NULL where the key is no row that is copied."""
        table = self.plan.tables[self.plan.names[name]]
        column = table.facts.column[table.facts.primary_key[0]]
        if not self.surveys[table.position].rows:
            return f"CAST(NULL AS {column.base})"
        kind = table.keys[column.name]
        token = lo(table.number(column.name)) if kind is KeyKind.SPLICED else ORD
        result = f"(SELECT x.{token} FROM {self.lookup(table)} x WHERE x.{KEY} = CAST(({key}) AS text))"
        if kind is KeyKind.SPLICED:
            return spliced(column, result)
        return self.numbered(table.position, column.name, result)


def spliced(column: Column, suffix: str) -> str:
    """Return a key: the first 64 bits of the campaign's id, then a suffix, in the form that the column takes."""
    digits = f"c.campaignpool_hi || {suffix}"
    if column.key_form == "uuid":
        return _cast(f"CAST({digits} AS uuid)", "uuid", column.base)
    if column.key_form == "dashes":
        return _cast(f"CAST(CAST({digits} AS uuid) AS text)", "text", column.base)
    text = f"('c' || {digits})" if column.key_form == "c" else f"left({digits}, {column.length})"
    return _cast(text, "text", column.base)


def _cast(value: str, given: str, wanted: str) -> str:
    return value if given == wanted else f"CAST({value} AS {wanted})"
