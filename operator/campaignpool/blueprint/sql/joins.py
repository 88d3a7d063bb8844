"""How the references of a table are resolved against the template's rows: joins, and what each column comes to.

Everything here is said over `m`, the rows of `naming.member` of the table. For each reference the target's row is
joined from the target's own rows, and from there on along the references that its key is made of, if any. Of a
joined row the snapshot keeps what is its own in every clone: a suffix, or a place.
"""

from collections.abc import Iterable, Iterator

from campaignpool.blueprint.catalog import Column
from campaignpool.blueprint.compile.plan import ClonePlan, Derived, KeyKind, Link, Origin, TablePlan, step
from campaignpool.blueprint.quote import ident, literal
from campaignpool.blueprint.sql.naming import IN, ORD, ROW, lo, member, place


class Joins:
    """The joins that resolve the references of a table, and expressions over them."""

    def __init__(self, plan: ClonePlan, table: TablePlan) -> None:
        self.plan, self.table = plan, table
        self.links = table.links
        self.derived = plan.derived[table.position]
        self._joins: dict[str, str] = {}
        self._ends: dict[tuple[str, int, int], str] = {}  # alias of the row that a value comes from
        for link in self.links:
            for n in range(len(link.alternatives)):
                self._joins[_alias(link, n)] = self._target(link, n)
        self._found = {
            (item.column.name, link.number, n): self._walk(link, n, item.column.name)
            for item in self.derived
            for link, n, _ in item.entries
        }

    @property
    def sql(self) -> str:
        """FROM and the joins: `m` and its place, `own`."""
        position = self.table.position
        own = f"JOIN {place(position)} own ON own.{ROW} = m.{ROW}"
        return f"FROM {member(position)} m {own}{''.join(self._joins.values())}"

    def left_out(self, link: Link) -> str:
        """Return whether the target is a row of the template that is left out."""
        return _any(f"{_alias(link, n)}.{IN} IS FALSE" for n in range(len(link.alternatives)))

    def resolved(self, link: Link) -> str:
        """Return whether the target is a row that is copied."""
        return _any(f"{_alias(link, n)}.{IN} IS TRUE" for n in range(len(link.alternatives)))

    def outside(self, link: Link) -> str:
        """Return whether there is a target, and it is no row of the template."""
        given = " AND ".join(f"m.{ident(name)} IS NOT NULL" for name in link.columns)
        return f"({given} AND NOT {self.resolved(link)} AND NOT {self.left_out(link)})"

    def nulled(self, column: str) -> str | None:
        """Return whether a column becomes NULL because a target was left out; None where it never does."""
        results = [self.left_out(link) for link in self.links if column in link.nulls]
        return _any(results) if results else None

    def token(self, each: Derived, origin: Origin) -> str:
        """Return what the snapshot keeps for a source of a column: a suffix, a place, or whether it has a target."""
        same = [
            self._found[each.column.name, link.number, n]
            for link, n, other in each.entries
            if each.source(other) == each.source(origin) and other.kind is not KeyKind.COPIED
        ]
        value = same[0] if len(same) == 1 else f"coalesce({', '.join(same)})"
        nulled = self.nulled(each.column.name) if len({link.number for link, _, _ in each.entries}) > 1 else None
        return f"CASE WHEN {nulled} THEN NULL ELSE {value} END" if nulled else value

    def raw(self, each: Derived) -> str:
        """Return the value that is kept because nothing is made for it: the reference leaves the template."""
        results = [f"{self.token(each, origin)} IS NOT NULL" for origin in each.origins]
        nulled = self.nulled(each.column.name)
        gone = [*results, *([nulled] if nulled else [])]
        own = f"m.{ident(each.column.name)}"
        return f"CASE WHEN {' OR '.join(gone)} THEN NULL ELSE {own} END" if gone else own

    def read(self, each: Derived, origin: Origin) -> Iterator[str]:
        """Return the values of the target's row that the expression of a source needs."""
        ends = [self._ends[each.column.name, link.number, n] for link, n, other in each.entries if other == origin]
        for name in each.needs(origin):
            values = [f"{end}.{ident(name)}" for end in ends]
            yield values[0] if len(values) == 1 else f"coalesce({', '.join(values)})"

    def conflict(self, each: Derived) -> str | None:
        """Return whether two references want different values of a column; None where they never can."""
        results = []
        for n, (link, one, origin) in enumerate(each.entries):
            for other, two, second in each.entries[n + 1 :]:
                if other.number == link.number or (origin.kind is second.kind is KeyKind.COPIED):
                    continue
                both = f"{_alias(link, one)}.{IN} IS TRUE AND {_alias(other, two)}.{IN} IS TRUE"
                name = each.column.name
                values = [self._found[name, link.number, one], self._found[name, other.number, two]]
                alike = each.source(origin) == each.source(second) if origin.kind is second.kind else False
                if alike and origin.kind is KeyKind.SET:
                    continue
                results.append(f"({both}{f' AND {values[0]} IS DISTINCT FROM {values[1]}' if alike else ''})")
        return _any(results) if results else None

    def _target(self, link: Link, n: int) -> str:
        item = link.alternatives[n]
        alias, facts = _alias(link, n), self.plan.tables[item.target].facts
        typed = f"{of_type(link, item.types, 'm')} AND " if link.type_column else ""
        pairs = [
            f"{cast(facts.column[theirs], self.table.facts.column[own], f'{alias}.{ident(theirs)}')} = m.{ident(own)}"
            for own, theirs in zip(link.columns, item.target_columns, strict=True)
        ]
        return f" LEFT JOIN {member(item.target)} {alias} ON {typed}{' AND '.join(pairs)}"

    def _walk(self, link: Link, n: int, column: str) -> str:
        """Follow a column of a link to where its value comes from, joining what is on the way; give what is kept."""
        each, alias = link.alternatives[n], _alias(link, n)
        position, name = each.target, each.target_columns[link.columns.index(column)]
        while (result := self._next(position, name)) is not None:
            position, name, alias, join = self._stepped(result, name, position, alias)
            self._joins[alias] = join
        self._ends[column, link.number, n] = alias
        kind = self.plan.origin(position, name).kind
        if kind is KeyKind.SET:
            return f"nullif({alias}.{IN}, false)"
        if kind not in (KeyKind.SPLICED, KeyKind.NUMBERED):
            return "NULL"
        self._joins[f"{alias}p"] = f" LEFT JOIN {place(position)} {alias}p ON {alias}p.{ROW} = {alias}.{ROW}"
        table = self.plan.tables[position]
        return f"{alias}p.{lo(table.number(name)) if kind is KeyKind.SPLICED else ORD}"

    def _next(self, position: int, name: str) -> tuple[int, tuple[str, ...], tuple[str, ...]] | None:
        table = self.plan.tables[position]
        result = None if name in table.sets or name in table.keys else step(table, name)
        return (result.target, result.columns, result.target_columns) if result else None

    def _stepped(
        self, found: tuple[int, tuple[str, ...], tuple[str, ...]], name: str, position: int, alias: str
    ) -> tuple[int, str, str, str]:
        target, columns, held = found
        after = f"{alias}_{self.plan.tables[position].number(name)}"
        pairs = [f"{after}.{ident(b)} = {alias}.{ident(a)}" for a, b in zip(columns, held, strict=True)]
        # A row that is left out has no key in a clone, whatever its key is made of.
        join = f" LEFT JOIN {member(target)} {after} ON {alias}.{IN} AND {' AND '.join(pairs)}"
        return target, held[columns.index(name)], after, join


def of_type(link: Link, names: tuple[str, ...], alias: str) -> str:
    """Return whether a row's polymorphic reference is of some types."""
    return f"{alias}.{ident(link.type_column or '')} IN ({', '.join(literal(name) for name in names)})"


def cast(given: Column, wanted: Column, value: str) -> str:
    """Cast a target's key to the type of the column that holds it, so that the column's index serves."""
    return value if wanted.base == given.base else f"CAST({value} AS {wanted.base})"


def _alias(link: Link, n: int) -> str:
    return f"x{link.number}_{n}"


def _any(conditions: Iterable[str]) -> str:
    return f"({' OR '.join(conditions)})"
