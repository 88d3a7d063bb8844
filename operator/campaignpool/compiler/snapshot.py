"""SQL that freezes the template: which rows, in which order, with which references.

1. `members`: every row of the template, table by table along the anchors, with whether a filter keeps it.
2. `drops`: rows whose required reference points at a row that was left out go too; repeated until nothing changes.
3. `places`: for each row kept, its place and the 64 bits that end its key in every campaign.
4. `survey` and `freeze`: the rows with every reference resolved, counted and stored.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from campaignpool.catalog import Column
from campaignpool.clone import ClonePlan, KeyKind, TablePlan, anchor_targets
from campaignpool.compiler.naming import IN, LO, ORD, ident, literal, member, place, raw, ref, snapshot


@dataclass(frozen=True)
class Link:
    """One reference of a table, plain or polymorphic, as the snapshot sees it.

    Attributes:
        number: Names its columns in the snapshot.
        column: The column that holds the key.
        type_column: For a polymorphic one: the column that names the type.
        types: For each target, by position: the type names that mean it; empty for a plain one.
        kind: How the keys of the targets are made.
        anchor: Whether it makes rows part of the campaign.
        required: Whether the row is dropped when its target was left out.
    """

    number: int
    column: str
    type_column: str | None
    types: tuple[tuple[int, tuple[str, ...]], ...]
    kind: KeyKind
    anchor: bool
    required: bool


@dataclass(frozen=True)
class Survey:
    """What the template holds of one table.

    Attributes:
        rows: Rows that a clone copies.
        dropped: Rows that go because a required reference points at a row that was left out.
        nulled: By link number: references that become NULL because their target was left out.
        outside: By link number: references that leave the template and are copied as they are.
    """

    rows: int
    dropped: int
    nulled: tuple[int, ...]
    outside: tuple[int, ...]


def links(plan: ClonePlan, table: TablePlan) -> tuple[Link, ...]:
    """Give the references of a table. A polymorphic one is split by how the keys of its targets are made."""
    found: list[Link] = []
    for each in table.references:
        anchor = each.column in table.anchors
        kind = plan.tables[each.target].key
        required = each.required or anchor
        found.append(Link(len(found), each.column, None, ((each.target, ()),), kind, anchor, required))
    for pair in table.polymorphic:
        anchor = pair.column in table.anchors
        by_target: dict[int, list[str]] = {}
        for name, target in sorted(pair.targets.items()):
            by_target.setdefault(target, []).append(name)
        spliced = {t: names for t, names in by_target.items() if plan.tables[t].key is KeyKind.SPLICED}
        groups = [spliced] if spliced else []
        groups += [{t: names} for t, names in by_target.items() if t not in spliced]
        for group in groups:
            types = tuple((target, tuple(names)) for target, names in group.items())
            kind = plan.tables[next(iter(group))].key
            found.append(
                Link(len(found), pair.column, pair.type_column, types, kind, anchor, pair.required or anchor)
            )
    return tuple(found)


def members(plan: ClonePlan, template: str) -> Iterator[str]:
    """Give statements that collect the template's rows; the key of its root row is `template`."""
    done: set[int] = set()
    pending = list(plan.tables)
    while pending:
        table = next(each for each in pending if anchor_targets(each) <= done)
        pending.remove(table)
        done.add(table.position)
        kept = f"coalesce(({table.where}), false)" if table.where else "true"
        select = f"SELECT t.*, {kept} AS {IN}, false AS campaignpool_dropped FROM {table.facts.name} t"
        yield (
            f"CREATE TEMPORARY TABLE campaignpool_member_{table.position} ON COMMIT DROP AS "
            + " UNION ALL ".join(f"{select} WHERE {condition}" for condition in _conditions(plan, table, template))
        )
        if table.key_column:
            yield f"CREATE INDEX ON {member(table.position)} ({ident(table.key_column.name)})"
        yield f"ANALYZE {member(table.position)}"


def _conditions(plan: ClonePlan, table: TablePlan, template: str) -> list[str]:
    """Give conditions that are exclusive and together hold for the rows of the template."""
    if table.position == 0:
        key = _key(plan, 0)
        return [f"t.{ident(key.name)} = CAST({literal(template)} AS {key.type})"]
    anchors = [link for link in links(plan, table) if link.anchor]
    first = next((link for link in anchors if link.type_column), anchors[0])
    rest = {link.column for link in anchors} - {first.column}
    others = [
        "(" + " OR ".join(each for link in anchors if link.column == name for each in _holds(plan, table, link)) + ")"
        for name in sorted(rest)
    ]
    same = [each for link in anchors if link.column == first.column for each in _holds(plan, table, link)]
    return [" AND ".join([condition, *others]) for condition in same]


def _holds(plan: ClonePlan, table: TablePlan, link: Link) -> list[str]:
    """Give, for each target of a link, the condition that a row points at a row of the template there."""
    conditions = []
    for target, names in link.types:
        keys = f"SELECT {_cast_key(plan, table, link, target, 'm')} FROM {member(target)} m"
        condition = f"t.{ident(link.column)} IN ({keys})"
        conditions.append(f"{_of_type(link, names, 't')} AND {condition}" if link.type_column else condition)
    return conditions


def drops(plan: ClonePlan) -> list[str]:
    """Give statements that leave out rows whose required target was left out; to be repeated until none does."""
    found = []
    for table in plan.tables:
        for link in links(plan, table):
            if not link.required:
                continue
            for target, names in link.types:
                typed = f" AND {_of_type(link, names, 'm')}" if link.type_column else ""
                found.append(
                    f"UPDATE {member(table.position)} m SET {IN} = false, campaignpool_dropped = true "
                    f"FROM {member(target)} x WHERE m.{IN} AND NOT x.{IN} "
                    f"AND {_cast_key(plan, table, link, target, 'x')} = m.{ident(link.column)}{typed}"
                )
    return found


def places(plan: ClonePlan) -> Iterator[str]:
    """Give statements that number the rows that are kept, in the order of their keys.

    The suffix is the last 64 bits of the row's own key. Where two rows of the table share those (keys that are
    spliced themselves never do), it is the row's place, under the variant bits of a uuid.
    """
    for table in plan.tables:
        if table.key not in (KeyKind.SPLICED, KeyKind.NUMBERED):
            continue
        key = ident(_key(plan, table.position).name)
        suffix = f"right(replace({key}::text, '-', ''), 16)" if table.key is KeyKind.SPLICED else "NULL::text"
        source = f"{member(table.position)} WHERE {IN}"
        numbered = (
            f"SELECT {key}, {suffix} AS {LO}, row_number() OVER (ORDER BY {suffix}, {key}) AS {ORD} FROM {source}"
        )
        unique = f"SELECT count(*) = count(DISTINCT {suffix}) OR {table.position} = 0 AS own FROM {source}"
        chosen = f"CASE WHEN own THEN {LO} ELSE '8' || lpad(to_hex({ORD}), 15, '0') END AS {LO}"
        yield (
            f"CREATE TEMPORARY TABLE campaignpool_place_{table.position} ON COMMIT DROP AS "
            f"SELECT {key} AS key, {ORD}, {chosen} FROM ({numbered}) n, ({unique}) u"
        )
        yield f"CREATE INDEX ON {place(table.position)} (key)"
        yield f"ANALYZE {place(table.position)}"


def survey(plan: ClonePlan, table: TablePlan) -> str:
    """Give the query that counts: rows, dropped, then for each link what is nulled and what leaves the template."""
    columns = ["count(*)", f"(SELECT count(*) FROM {member(table.position)} WHERE campaignpool_dropped)"]
    for link in links(plan, table):
        columns.append(f"count(*) FILTER (WHERE {_resolved(link)} IS NULL AND {_known(link)})")
        columns.append(f"count(*) FILTER (WHERE {_leaves(plan, table, link)})")
    return f"SELECT ARRAY[{', '.join(columns)}] {source(plan, table)}"


def surveyed(counts: list[int]) -> Survey:
    """Read the answer of `survey`."""
    return Survey(counts[0], counts[1], tuple(counts[2::2]), tuple(counts[3::2]))


def freeze(plan: ClonePlan, table: TablePlan, found: Survey, revision: int) -> Iterator[str]:
    """Give statements that store the rows of a table as the snapshot of a revision."""
    placed = table.key in (KeyKind.SPLICED, KeyKind.NUMBERED)
    columns = [f"own.{ORD}"] if placed else []
    # The key in the template, for messages: a suffix tells it, a place or nothing does not.
    columns.append(f"own.{LO}" if table.key is KeyKind.SPLICED else f"{_template_key(table)} AS campaignpool_key")
    columns += [f"m.{ident(name)}" for name in (*table.copied, *table.mentioned)]
    order = [f"own.{ORD}"] if placed else []
    for link in links(plan, table):
        columns.append(f"{_resolved(link)} AS {ref(link.number)}")
        order.append(ref(link.number))
        if found.outside[link.number]:
            column = f"m.{ident(link.column)}"
            columns.append(f"CASE WHEN {_leaves(plan, table, link)} THEN {column} END AS {raw(link.number)}")
    name = snapshot(revision, table.position)
    yield (
        f"CREATE TABLE {name} AS SELECT {', '.join(columns)} {source(plan, table)}"
        + (f" ORDER BY {', '.join(order)}" if order else "")
    )
    yield f"ANALYZE {name}"


def effective(plan: ClonePlan, table: TablePlan, column: str) -> str:
    """Give what a clone makes of a column, still in terms of the template: NULL where the target was left out.

    To be evaluated over `source`.
    """
    own = [link for link in links(plan, table) if link.column == column]
    if not own:
        return f"m.{ident(column)}"
    left_out = " OR ".join(_known(link) for link in own)
    nowhere = " AND ".join(f"{_resolved(link)} IS NULL" for link in own)
    return f"CASE WHEN ({left_out}) AND {nowhere} THEN NULL ELSE m.{ident(column)} END"


def source(plan: ClonePlan, table: TablePlan) -> str:
    """Give FROM and WHERE: the rows kept, each with the place of its own and those of its targets."""
    joins = [f"FROM {member(table.position)} m"]
    if table.key in (KeyKind.SPLICED, KeyKind.NUMBERED):
        joins.append(f"JOIN {place(table.position)} own ON own.key = m.{ident(_key(plan, table.position).name)}")
    for link in links(plan, table):
        for target, names in link.types:
            typed = f"{_of_type(link, names, 'm')} AND " if link.type_column else ""
            column = f"m.{ident(link.column)}"
            for alias, relation, key in (
                (_alias("p", link, target), place(target), "key"),
                (_alias("x", link, target), member(target), ident(_key(plan, target).name)),
            ):
                value = _cast(plan, table, link, target, f"{alias}.{key}")
                joins.append(f"LEFT JOIN {relation} {alias} ON {typed}{value} = {column}")
    return f"{' '.join(joins)} WHERE m.{IN}"


def _alias(letter: str, link: Link, target: int) -> str:
    return f"{letter}{link.number}_{target}"


def _resolved(link: Link) -> str:
    """Give what stands for the target in the snapshot: its suffix, or its place."""
    column = LO if link.kind is KeyKind.SPLICED else ORD
    found = [f"{_alias('p', link, target)}.{column}" for target, _ in link.types]
    return found[0] if len(found) == 1 else f"coalesce({', '.join(found)})"


def _known(link: Link) -> str:
    """Give the condition that the target is a row of the template, kept or left out."""
    return "(" + " OR ".join(f"{_alias('x', link, target)}.{IN} IS NOT NULL" for target, _ in link.types) + ")"


def _leaves(plan: ClonePlan, table: TablePlan, link: Link) -> str:
    """Give the condition that a column points outside the template; of several links of a column the first says so.

    A row whose type belongs to another link of the column is no stranger: it is that link's to resolve or to NULL.
    """
    own = [each for each in links(plan, table) if each.column == link.column]
    if own[0].number != link.number:
        return "false"
    strange = [f"{_resolved(each)} IS NULL AND NOT {_known(each)}" for each in own]
    return " AND ".join([f"m.{ident(link.column)} IS NOT NULL", *strange])


def _of_type(link: Link, names: tuple[str, ...], alias: str) -> str:
    return f"{alias}.{ident(link.type_column or '')} IN ({', '.join(literal(name) for name in names)})"


def _cast_key(plan: ClonePlan, table: TablePlan, link: Link, target: int, alias: str) -> str:
    return _cast(plan, table, link, target, f"{alias}.{ident(_key(plan, target).name)}")


def _cast(plan: ClonePlan, table: TablePlan, link: Link, target: int, value: str) -> str:
    """Cast a target's key to the type of the column that holds it, so that the column's index serves."""
    wanted, given = table.facts.column[link.column].type, _key(plan, target).type
    return value if wanted == given else f"CAST({value} AS {wanted})"


def _key(plan: ClonePlan, position: int) -> Column:
    return plan.tables[position].facts.column[plan.tables[position].facts.primary_key[0]]


def _template_key(table: TablePlan) -> str:
    parts = [f"m.{ident(name)}::text" for name in table.facts.primary_key]
    return f"concat_ws(', ', {', '.join(parts)})" if parts else "NULL::text"
