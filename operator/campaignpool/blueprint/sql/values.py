"""What each column of a cloned row is: expressions over a row `s` of the snapshot and a campaign `c`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from campaignpool.blueprint.compile.expressions import substitute
from campaignpool.blueprint.compile.plan import ClonePlan, Derived, KeyKind, Origin, TablePlan
from campaignpool.blueprint.quote import ident, literal
from campaignpool.blueprint.sql.naming import ORD, lo, of, raw, ref
from campaignpool.blueprint.sql.snapshot import Survey

CAMPAIGNS = "(campaignpool_id, campaignpool_owner, campaignpool_hi, campaignpool_n)"
"""Columns of `c`: id of the campaign, its owner, the first 64 bits of the id, its place in the batch."""

Numbered = Callable[[int, str, str], str]
"""Gives the value of a drawn column: position of its table, its name, place of the row."""


@dataclass(frozen=True)
class Values:
    """What a clone makes of the rows of a plan.

    Attributes:
        plan: The clone plan.
        pool: Name of the pool, `namespace/name`.
        surveys: What the template holds, by position of the table.
        numbered: Gives the value of a drawn column.
    """

    plan: ClonePlan
    pool: str
    surveys: tuple[Survey, ...]
    numbered: Numbered

    def columns(self, table: TablePlan) -> Mapping[str, str]:
        """Give the columns to insert and the expression of each, in the order of the table."""
        made: dict[str, str] = {name: f"s.{ident(name)}" for name in table.copied}
        made |= {name: self.key(table, name) for name, kind in table.keys.items() if kind is not KeyKind.DEFAULT}
        made |= {each.column.name: self.reference(table, each) for each in self.plan.derived[table.position]}
        made |= {name: self._set(table, name, expression) for name, expression in table.sets.items()}
        return {column.name: made[column.name] for column in table.facts.columns if column.name in made}

    def key(self, table: TablePlan, name: str) -> str:
        """Give the value of a column that is made anew, unless that is left to the database."""
        column = table.facts.column[name]
        if table.keys[name] is KeyKind.NUMBERED:
            return self.numbered(table.position, name, f"s.{ORD}")
        own = table.position == 0 and table.key_column == column
        return _cast("c.campaignpool_id" if own else spliced(f"s.{lo(table.number(name))}"), "uuid", column.base)

    def reference(self, table: TablePlan, each: Derived) -> str:
        """Give the key of the clone of a reference's target, or the reference itself where it leaves the template."""
        survey = self.surveys[table.position]
        place = self.plan.derived[table.position].index(each)
        if each.of_root and not survey.raw[place] and not survey.empty[place]:
            return _cast("c.campaignpool_id", "uuid", each.column.base)
        found = list(self.sources(each))
        if survey.raw[place]:
            found.append(f"s.{raw(each.number)}")
        if not found:
            return f"CAST(NULL AS {each.column.base})"
        return found[0] if len(found) == 1 else f"coalesce({', '.join(found)})"

    def sources(self, each: Derived) -> Iterator[str]:
        """Give, for each source of a column that holds references, its value: NULL where the source has none."""
        # A table without rows has no keys: nothing refers to it.
        for origin in (origin for origin in each.origins if self.surveys[origin.table].rows):
            token = f"s.{ref(each.number, each.source(origin))}"
            if origin.kind is KeyKind.SPLICED:
                yield _cast(spliced(token), "uuid", each.column.base)
            elif origin.kind is KeyKind.NUMBERED:
                base = self.plan.tables[origin.table].facts.column[origin.column].base
                yield _cast(self.numbered(origin.table, origin.column, token), base, each.column.base)
            else:
                yield f"CASE WHEN {token} THEN {self._read(each, origin)} END"

    def _read(self, each: Derived, origin: Origin) -> str:
        """Give what the expression of a set column makes of the target's row."""
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
            "campaign": self.campaign(),
            "name": f"({literal(self.pool.rpartition('/')[2] + '-')} || c.campaignpool_hi)",
            "owner": "nullif(c.campaignpool_owner, '')",
        }
        return f"CAST(({substitute(expression, values)}) AS {table.facts.column[name].base})"

    def campaign(self) -> str:
        """Give the key of the campaign's own row."""
        root = self.plan.root
        name = root.facts.primary_key[0]
        return "c.campaignpool_id" if root.keys[name] is KeyKind.SPLICED else self.numbered(0, name, "1")


def spliced(suffix: str) -> str:
    """Give a uuid: the first bits of the campaign's id, and a suffix."""
    return f"CAST(c.campaignpool_hi || {suffix} AS uuid)"


def _cast(value: str, given: str, wanted: str) -> str:
    return value if given == wanted else f"CAST({value} AS {wanted})"
