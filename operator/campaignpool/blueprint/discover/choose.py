"""Which tables are template and which are play. Pure."""

from collections.abc import Iterable, Mapping, Set

from campaignpool.blueprint.catalog import TableFacts
from campaignpool.blueprint.discover import names
from campaignpool.blueprint.discover.discovery import TableOut
from campaignpool.blueprint.discover.facts import Census, Facts
from campaignpool.blueprint.sql.census import Reached

FEW = 5
"""A table is play when the average of other campaigns is this many times what the template has."""

_UNKNOWN = Census(-1, -1, -1)

_ENOUGH = 5
"""Averages below this say nothing."""


def left_out(facts: Facts, people: Set[int]) -> dict[int, TableOut]:
    """Return the tables that belong to the root and are no template, with the reason of each.

    Args:
        facts: What was read.
        people: Oids of the tables of people, to whom campaigns belong.
    """
    result: dict[int, TableOut] = {}
    for oid, table in facts.walk.reached.items():
        if table.is_root:
            continue
        reason, look = _reason(facts, table, people, result) or (None, False)
        if reason:
            counted = facts.census.get(oid, _UNKNOWN)
            result[oid] = TableOut(facts.names[oid], counted.rows, counted.total, reason, look)
    return result


def people_of(facts: Facts, owner: int | None) -> Set[int]:
    """Return the oids of the tables of people: that of owners, and those that share its keys, as profiles do.

    Where no column of the root names an owner, a table that says who belongs to a campaign does.
    """
    tables = {table.oid: table for table in facts.catalog.tables.values()}
    result = {owner} if owner is not None else set()
    if owner is None:
        for oid in facts.walk.reached:
            joined = facts.walk.reached[oid].facts
            others = {key.target for key in joined.foreign_keys} - {facts.root, oid}
            if column_to(joined, {facts.root}) and len(others) == 1:
                result |= {other for other in others if other in tables and names.people(tables[other])}
    size = 0
    while size != len(result):
        size = len(result)
        for table in tables.values():
            for key in table.foreign_keys:
                if key.columns == table.primary_key and ({table.oid, key.target} & result):
                    result |= {table.oid, key.target}
    return result - set(facts.walk.reached)


def is_membership(facts: Facts, table: TableFacts, people: Set[int]) -> bool:
    """Whether a table says who belongs to a campaign: one row for each pair of a campaign and a person."""
    pair = {column_to(table, {facts.root}), column_to(table, people)}
    unique = [set(index.columns) for index in table.indexes if index.unique and not index.predicate]
    # Two required references under such a name say the same without an index.
    alone = len(table.foreign_keys) == len(pair) and names.membership(table)
    return None not in pair and (pair in [*unique, set(table.primary_key)] or alone)


def column_to(table: TableFacts, targets: Iterable[int]) -> str | None:
    """Return the required column by which a table refers to one of others, if there is one."""
    for key in table.foreign_keys:
        if key.target in targets and len(key.columns) == 1 and table.column[key.columns[0]].not_null:
            return key.columns[0]
    return None


def _reason(facts: Facts, table: Reached, people: Set[int], out: Mapping[int, TableOut]) -> tuple[str, bool] | None:
    """Return why a table is left out, and whether a person should look at that; None where it is template."""
    own = table.facts
    if own.oid in facts.unreadable:
        return "the role in the URL may not read it: grant SELECT on it, or leave it out", True
    parents = [
        key.target
        for key in own.foreign_keys
        if key.target in out and all(own.column[name].not_null for name in key.columns)
    ]
    targets = {hang.target for hang in table.hangs}
    if parents or targets <= set(out):
        return f"belongs to {out[(parents or sorted(targets))[0]].name}, which is left out", False
    counted = facts.census.get(own.oid, _UNKNOWN)
    if counted is _UNKNOWN:
        return "belongs to a table that the role in the URL may not read", True
    if is_membership(facts, own, people):
        return "who belongs to a campaign: the claim makes this row, see onClaim", False
    if counted.rows == 0:
        everywhere = f"others have {names.counted(counted.total, 'row')}" if counted.total else "it is empty"
        return f"the template has no row in it: {everywhere}", False
    personal = column_to(own, people)
    if personal:
        return f"each row belongs to somebody ({personal} is required): play, not template", False
    others = facts.campaigns - 1
    average = (counted.total - counted.rows) / others if others else 0
    if not table.hangs[0].type_column and average >= max(_ENOUGH, FEW * counted.rows):
        return f"play: other campaigns have {average:,.0f} rows on average, the template {counted.rows:,}", False
    if happenings := names.happenings(own):
        return f"play: its rows happen at a time ({', '.join(happenings)})", True
    if names.records(own):
        return "play: by its name it records what happened", True
    return None
