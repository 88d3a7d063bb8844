"""SQL that freezes the template: which rows, in which order, with which references.

1. `members`: every row of the template, table by table along the anchors, with whether a filter keeps it.
2. `drops`: rows whose required reference points at a row that was left out go too; repeated until nothing changes.
3. `places`: for each row kept, its place and the suffix of its key in every campaign.
4. `survey` and `freeze`: the rows with every reference resolved, counted and stored.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from campaignpool.blueprint.catalog import Column
from campaignpool.blueprint.compile.keys import INTEGERS
from campaignpool.blueprint.compile.plan import Alternative, ClonePlan, KeyKind, Link, TablePlan, anchor_targets
from campaignpool.blueprint.quote import ident, literal
from campaignpool.blueprint.sql.joins import Joins, cast, of_type
from campaignpool.blueprint.sql.naming import DROPPED, IN, KEY, ORD, ROW, lo, member, of, place, raw, ref, snapshot


@dataclass(frozen=True)
class Survey:
    """What the template holds of one table.

    Attributes:
        rows: Rows that a clone copies.
        dropped: Rows that go because a required reference points at a row that was left out.
        nulled: By link number: references that become NULL because their target was left out.
        outside: By link number: references that leave the template and are copied unchanged.
        raw: By column that holds references: values that are kept unchanged.
        empty: The same: values that nothing is made for.
        conflicts: The same: rows where two references want different values.
    """

    rows: int
    dropped: int
    nulled: tuple[int, ...]
    outside: tuple[int, ...]
    raw: tuple[int, ...] = ()
    empty: tuple[int, ...] = ()
    conflicts: tuple[int, ...] = ()


def downwards(plan: ClonePlan) -> Iterator[TablePlan]:
    """Return the tables so that each comes after those that make its rows part of a campaign."""
    done: set[int] = set()
    pending = list(plan.tables)
    while pending:
        table = next(item for item in pending if anchor_targets(item) <= done)
        pending.remove(table)
        done.add(table.position)
        yield table


def members(plan: ClonePlan, template: str) -> Iterator[str]:
    """Return statements that collect the template's rows; the key of its root row is `template`."""
    for table in downwards(plan):
        kept = f"coalesce(({table.where}), false)" if table.where else "true"
        select = f"SELECT t.*, {kept} AS {IN}, false AS {DROPPED} FROM {table.facts.rows} t"
        result = " UNION ALL ".join(f"{select} WHERE {condition}" for condition in _conditions(plan, table, template))
        yield (
            f"CREATE TEMPORARY TABLE campaignpool_member_{table.position} ON COMMIT DROP AS "
            f"SELECT *, row_number() OVER () AS {ROW} FROM ({result}) r"
        )
        yield f"ANALYZE {member(table.position)}"


def temporary(plan: ClonePlan) -> list[str]:
    """Return the temporary tables that `members` and `places` make."""
    return [name(table.position) for table in plan.tables for name in (member, place)]


def _conditions(plan: ClonePlan, table: TablePlan, template: str) -> list[str]:
    """Return conditions that are exclusive and together hold for the rows of the template."""
    if table.position == 0:
        key = table.facts.column[table.facts.primary_key[0]]
        return [f"t.{ident(key.name)} = CAST({literal(template)} AS {key.base})"]
    anchors = sorted((link for link in table.links if link.anchor), key=lambda link: link.type_column is None)
    parts = [[_holds(plan, table, link, alternative) for alternative in link.alternatives] for link in anchors]
    if table.either:
        return exclusive([condition for part in parts for condition in part])
    first, *rest = parts
    others = [f"({' OR '.join(item)})" for item in rest]
    return [" AND ".join([condition, *others]) for condition in first]


def exclusive(conditions: list[str]) -> list[str]:
    """Return conditions of which at most one holds for a row: each holds where none before it does."""
    return [
        " AND ".join([condition, *(f"({before}) IS NOT TRUE" for before in conditions[:n])])
        for n, condition in enumerate(conditions)
    ]


def _holds(plan: ClonePlan, table: TablePlan, link: Link, each: Alternative) -> str:
    """Return the condition that a row points at a row of the template in a target."""
    keys = ", ".join(_held(plan, table, link, each, "m"))
    own = ", ".join(f"t.{ident(name)}" for name in link.columns)
    condition = f"({own}) IN (SELECT {keys} FROM {member(each.target)} m)"
    return f"{of_type(link, each.types, 't')} AND {condition}" if link.type_column else condition


def partly(plan: ClonePlan, table: TablePlan) -> str | None:
    """Return the query that counts rows which point at the template by some of their anchors, and not by all."""
    anchors = [link for link in table.links if link.anchor]
    if len(anchors) < 2 or table.either:
        return None
    results = [_refers(plan, table, link) for link in anchors]
    return (
        f"SELECT count(*) FROM {table.facts.rows} t "
        f"WHERE ({' OR '.join(results)}) AND ({' AND '.join(results)}) IS NOT TRUE"
    )


def unanchored(plan: ClonePlan, table: TablePlan) -> str | None:
    """Return the query that counts rows whose anchors are NULL, and that refer to the template by something else."""
    anchors = [link for link in table.links if link.anchor]
    others = [link for link in table.links if not link.anchor]
    able = [name for link in anchors for name in link.columns if not table.facts.column[name].not_null]
    if not able or not others:
        return None
    word = " AND " if table.either else " OR "
    return (
        f"SELECT count(*) FROM {table.facts.rows} t WHERE ({word.join(f't.{ident(name)} IS NULL' for name in able)}) "
        f"AND ({' OR '.join(_refers(plan, table, link) for link in others)})"
    )


def _refers(plan: ClonePlan, table: TablePlan, link: Link) -> str:
    return f"({' OR '.join(_holds(plan, table, link, alternative) for alternative in link.alternatives)})"


def drops(plan: ClonePlan) -> list[str]:
    """Return statements that leave out rows whose required target was left out; to be repeated until none does."""
    results = []
    for table in plan.tables:
        for link in (link for link in table.links if link.required):
            for alternative in link.alternatives:
                held = _held(plan, table, link, alternative, "x")
                same = [f"{theirs} = m.{ident(own)}" for theirs, own in zip(held, link.columns, strict=True)]
                typed = [of_type(link, alternative.types, "m")] if link.type_column else []
                results.append(
                    f"UPDATE {member(table.position)} m SET {IN} = false, {DROPPED} = true "
                    f"FROM {member(alternative.target)} x "
                    f"WHERE m.{IN} AND NOT x.{IN} AND {' AND '.join([*same, *typed])}"
                )
    return results


def _held(plan: ClonePlan, table: TablePlan, link: Link, each: Alternative, alias: str) -> list[str]:
    """Return the key of a target as the columns of a link hold it."""
    facts = plan.tables[each.target].facts
    return [
        cast(facts.column[theirs], table.facts.column[own], f"{alias}.{ident(theirs)}")
        for own, theirs in zip(link.columns, each.target_columns, strict=True)
    ]


def places(plan: ClonePlan) -> Iterator[str]:
    """Return statements that number the rows that are kept, and make the suffixes of their keys.

    Rows are inserted in the order of their numbers, so that keys and numbers that the database draws ascend as those
    of the template do. Suffixes ascend as the template's keys do: a rank, then a hash, so that tables share no key.
    """
    for table in plan.tables:
        drawn = [
            *table.numbered,
            *(name for name, kind in table.keys.items() if kind is KeyKind.DEFAULT),
            *table.drawn,
        ]
        order = [_sorted(table, name) for name in dict.fromkeys([*drawn, *table.facts.primary_key])]
        suffixes = [_suffix(table, name) for name in table.spliced]
        columns = [ROW, f"row_number() OVER (ORDER BY {', '.join([*order, ROW])}) AS {ORD}", *suffixes]
        yield (
            f"CREATE TEMPORARY TABLE campaignpool_place_{table.position} ON COMMIT DROP AS "
            f"SELECT {', '.join(columns)} FROM {member(table.position)} WHERE {IN}"
        )
        yield f"ANALYZE {place(table.position)}"


def _sorted(table: TablePlan, name: str) -> str:
    """Return what rows are sorted by: some types, such as `json` and `point`, have no order."""
    numbers = name in table.numbers and table.facts.column[name].base not in (*INTEGERS, "numeric", "uuid")
    return f"CAST({ident(name)} AS text)" if numbers else ident(name)


def _suffix(table: TablePlan, name: str) -> str:
    rank = f"lpad(to_hex(row_number() OVER (ORDER BY {ident(name)}, {ROW})), 7, '0')"
    return f"'8' || {rank} || left(md5('{table.position} ' || {ident(name)}::text), 8) AS {lo(table.number(name))}"


def survey(plan: ClonePlan, table: TablePlan) -> str:
    """Return the query that counts what `Survey` holds."""
    joins = Joins(plan, table)
    columns = ["count(*)", f"(SELECT count(*) FROM {member(table.position)} WHERE {DROPPED})"]
    for link in joins.links:
        columns.append(_count(joins.left_out(link)))
        columns.append(_count(joins.outside(link)))
    for item in joins.derived:
        tokens = [f"{joins.token(item, origin)} IS NULL" for origin in item.origins]
        columns.append(_count(f"{joins.raw(item)} IS NOT NULL"))
        columns.append(_count(" AND ".join(tokens) or "true"))
        columns.append(_count(joins.conflict(item) or "false"))
    return f"SELECT ARRAY[{', '.join(columns)}] {joins.sql} WHERE m.{IN}"


def _count(condition: str) -> str:
    return f"count(*) FILTER (WHERE {condition})"


def surveyed(table: TablePlan, counts: list[int]) -> Survey:
    """Read the answer of `survey`."""
    end = 2 + 2 * len(table.links)
    by_link, by_column = counts[2:end], counts[end:]
    return Survey(
        counts[0],
        counts[1],
        tuple(by_link[::2]),
        tuple(by_link[1::2]),
        tuple(by_column[::3]),
        tuple(by_column[1::3]),
        tuple(by_column[2::3]),
    )


def freeze(plan: ClonePlan, table: TablePlan, found: Survey, revision: int) -> Iterator[str]:
    """Return statements that store the rows of a table as the snapshot of a revision."""
    name = snapshot(revision, table.position)
    columns = ", ".join(f"{column.stored} AS {column.name}" for column in _columns(plan, table, found))
    yield f"CREATE TABLE {name} AS SELECT {columns} {source(plan, table)} ORDER BY {ORD}"
    if table.position in plan.looked_up:
        yield f"CREATE INDEX ON {name} ({KEY})"
    yield f"ANALYZE {name}"


def select(plan: ClonePlan, table: TablePlan, found: Survey) -> str:
    """Return the query for what a snapshot holds of a table, without storing it."""
    columns = ", ".join(f"{column.value} AS {column.name}" for column in _columns(plan, table, found))
    return f"SELECT {columns} {source(plan, table)}"


def frozen(plan: ClonePlan, table: TablePlan, found: Survey, revision: int) -> str:
    """Return a table of a revision's rows, for FROM, in which every column has the type that expressions expect."""
    columns = [column for column in _columns(plan, table, found) if column.name != KEY]
    name = snapshot(revision, table.position)
    if not any(column.restored for column in columns):
        return name
    typed = [f"CAST(f.{c.name} AS {c.restored}) AS {c.name}" if c.restored else f"f.{c.name}" for c in columns]
    return f"(SELECT {', '.join(typed)} FROM {name} f)"


@dataclass(frozen=True)
class _Column:
    """A column of a snapshot: its name, its value over `source`, and the type of a column that it is taken from."""

    name: str
    value: str
    of: Column | None = None

    @property
    def stored(self) -> str:
        """The value as it is stored: no column of ours has a type or collation that may be altered or dropped."""
        if self.of is None:
            return self.value
        if self.of.own:
            return f'CAST({self.value} AS text) COLLATE pg_catalog."default"'
        return f"CAST({self.value} AS {self.of.base})" if self.of.domain else self.value

    @property
    def restored(self) -> str | None:
        """The type to cast back to; None where the column is stored unchanged."""
        return self.of.base if self.of is not None and self.of.own else None


def _columns(plan: ClonePlan, table: TablePlan, found: Survey) -> Iterator[_Column]:
    """Return the columns of a table's snapshot."""
    joins, facts = Joins(plan, table), table.facts
    for name in (ORD, *(lo(table.number(item)) for item in table.spliced)):
        yield _Column(name, f"own.{name}")
    key = [f"m.{ident(name)}::text" for name in facts.primary_key]
    # The key in the template, for messages and for references that no column declares.
    yield _Column(KEY, f"concat_ws(', ', {', '.join(key)})" if key else "NULL::text")
    for name in (*table.copied, *table.mentioned):
        yield _Column(ident(name), f"m.{ident(name)}", facts.column[name])
    for n, item in enumerate(joins.derived):
        for origin in item.origins:
            yield _Column(ref(item.number, item.source(origin)), joins.token(item, origin))
            if origin.kind is KeyKind.SET:
                target = plan.tables[origin.table].facts
                for k, (name, value) in enumerate(zip(item.needs(origin), joins.read(item, origin), strict=True)):
                    yield _Column(of(item.number, item.source(origin), k), value, target.column[name])
        if found.raw[n]:
            yield _Column(raw(item.number), joins.raw(item), item.column)


def effective(plan: ClonePlan, table: TablePlan, column: str) -> str:
    """Return what a clone makes of a column, still in terms of the template: NULL where the target was left out.

    To be evaluated over `source`.
    """
    nulled = Joins(plan, table).nulled(column)
    return f"CASE WHEN {nulled} THEN NULL ELSE m.{ident(column)} END" if nulled else f"m.{ident(column)}"


def source(plan: ClonePlan, table: TablePlan) -> str:
    """Return FROM and WHERE: the rows kept, as `m`, with what their references point at."""
    return f"{Joins(plan, table).sql} WHERE m.{IN}"
