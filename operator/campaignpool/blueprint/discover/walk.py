"""What belongs to the root, by foreign keys and polymorphic references. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from campaignpool.blueprint.catalog import TableFacts
from campaignpool.blueprint.discover import names
from campaignpool.blueprint.discover.facts import Pair, TypeName, Walk
from campaignpool.blueprint.sql.census import Hang, Reached


def walk(tables: Mapping[int, TableFacts], root: int, pairs: Sequence[Pair]) -> Walk:
    """Follow references backwards from the root, to every table that can have rows of a campaign.

    A table belongs to the root by its reference to it; else by all required references to tables that belong to it;
    else by polymorphic references; else by any of the nullable ones. This is how a blueprint reads, too.
    """
    inside = _closure(tables, root, pairs)
    reached: dict[int, Reached] = {root: Reached(tables[root])}
    pending = sorted(inside - {root}, key=lambda oid: tables[oid].name)
    while pending:
        ready = [oid for oid in pending if _needed(tables[oid], inside, root, pairs, tables) <= set(reached)]
        # Tables that need each other: take the first that belongs to anything at all.
        chosen = ready or [oid for oid in pending if _hangs(tables[oid], reached, root, pairs)][:1]
        added = {oid: hangs for oid in chosen if (hangs := _hangs(tables[oid], reached, root, pairs))}
        if not added:
            break
        for oid, hangs in added.items():
            loose = not any(hang.required or hang.type_column for hang in hangs)
            reached[oid] = Reached(tables[oid], tuple(hangs), loose and hangs[0].target != root)
        pending = [oid for oid in pending if oid not in reached]
    backward = {
        oid: tuple(name for hang in _references(facts, reached) for name in hang.columns)
        for oid, facts in tables.items()
        if oid not in reached and _references(facts, reached)
    }
    return Walk(reached, backward)


def _closure(tables: Mapping[int, TableFacts], root: int, pairs: Sequence[Pair]) -> set[int]:
    inside = {root}
    size = 0
    while size != len(inside):
        size = len(inside)
        for oid, facts in tables.items():
            required = any(hang.required for hang in _references(facts, inside))
            if required or any(_typed(facts, inside, pairs, tables)):
                inside.add(oid)
        if size == len(inside):
            # By a nullable reference alone: not what the campaign itself refers to, such as people.
            referred = {key.target for oid in inside for key in tables[oid].foreign_keys}
            inside |= {oid for oid, facts in tables.items() if _references(facts, inside) and oid not in referred}
    return inside


def _needed(
    facts: TableFacts, inside: set[int], root: int, pairs: Sequence[Pair], tables: Mapping[int, TableFacts]
) -> set[int]:
    """Return the tables whose rows must be known before those of a table."""
    result = _references(facts, inside)
    if any(hang.target == root for hang in result):
        return {root}
    required = {hang.target for hang in result if hang.required}
    typed = {hang.target for hang in _typed(facts, inside, pairs, tables)}
    return required or typed or {hang.target for hang in result}


def _hangs(facts: TableFacts, reached: Mapping[int, Reached], root: int, pairs: Sequence[Pair]) -> list[Hang]:
    result = sorted(_references(facts, reached), key=lambda hang: not hang.required)
    to_root = [hang for hang in result if hang.target == root]
    required = [hang for hang in result if hang.required]
    existing = {oid: item.facts for oid, item in reached.items()}
    return to_root[:1] or required or list(_typed(facts, reached, pairs, existing)) or result


def _references(facts: TableFacts, targets: Mapping[int, object] | set[int]) -> list[Hang]:
    return [
        Hang(key.columns, key.target, key.target_columns, all(facts.column[name].not_null for name in key.columns))
        for key in facts.foreign_keys
        if key.target in targets and key.target != facts.oid
    ]


def _typed(
    facts: TableFacts,
    targets: Mapping[int, object] | set[int],
    pairs: Sequence[Pair],
    tables: Mapping[int, TableFacts],
) -> Iterator[Hang]:
    for pair in pairs:
        if pair.table != facts.oid:
            continue
        for type_ in pair.types:
            target = meant(type_, tables)
            if target in targets and target != facts.oid:
                column = facts.column[pair.id_column]
                key = tables[target].primary_key
                yield Hang((column.name,), target, key, column.not_null, pair.type_column, type_.name, column.type)


def meant(each: TypeName, tables: Mapping[int, TableFacts]) -> int:
    """Return the oid of the table whose keys the ids of a type are; 0 where the data does not say.

    Half of the ids may be of rows that are gone. Where several tables fit equally well, as integer keys do, the
    type's name decides between them, and only between them.
    """
    most = max(each.hits.values(), default=0)
    if not each.looked_up or most * 2 < each.looked_up:
        return 0
    best = [oid for oid, hits in each.hits.items() if hits * 10 >= most * 9]
    named = [oid for oid in best if oid in tables and names.means(each.label or each.name, tables[oid])]
    if len(best) == 1 and not (each.label and named):
        return best[0]
    return named[0] if len(named) == 1 else 0
