"""Anchors: the references that make a row part of a campaign. Pure."""

from collections.abc import Sequence, Set
from dataclasses import replace

from campaignpool.api.blueprint import Table
from campaignpool.blueprint.catalog import TableFacts
from campaignpool.blueprint.compile.plan import PolymorphicReference, Reference, TablePlan, anchor_targets


def chosen(
    place: int,
    table: Table,
    facts: TableFacts,
    references: Sequence[Reference],
    polymorphic: Sequence[PolymorphicReference],
) -> tuple[list[Reference | PolymorphicReference], list[str]]:
    """Return the anchors of a table, and what is wrong with them.

    Args:
        place: Its position in the plan; the root has none.
        table: What the blueprint says of it.
        facts: What the database says of it.
        references: Its references to tables of the plan, those of one column first.
        polymorphic: Its polymorphic references.
    """
    if place == 0:
        return [], []
    others = [reference for reference in references if reference.target != place]
    if table.via:
        named = [other for other in others if set(other.columns) <= set(table.via)]
        pairs = [item for item in polymorphic if item.column in table.via]
        given = {name for item in named for name in item.columns} | {pair.column for pair in pairs}
        return [*named, *pairs], [
            f"table {facts.name}: `via` names {name}, which is no reference to another table of the blueprint"
            for name in table.via
            if name in facts.column and name not in given
        ]
    to_root = sorted((other for other in others if other.target == 0), key=lambda each: not each.required)
    required = [other for other in others if other.required]
    if plain := to_root[:1] or required:
        return [*plain], []
    if polymorphic or others:
        return [*(polymorphic[:1] or others)], []
    fault = (
        f"table {facts.name} has no reference to another table of the blueprint: remove it, or declare one "
        "under `references` or `polymorphic`"
    )
    return [], [fault]


def reachable(tables: Sequence[TablePlan]) -> tuple[list[TablePlan], list[str]]:
    """Return tables that belong to the root by their anchors, and a fault for each that does not.

    Where one of several anchors is enough, those that lead in a circle are none.
    """
    result = {0: tables[0]}
    while pending := [table for table in tables if table.position not in result and table.anchors]:
        ready = [table for table in pending if anchor_targets(table) <= result.keys()]
        if not ready:
            able = (table for table in pending if table.either and anchor_targets(table) & result.keys())
            ready = [_anchored_by(table, result.keys()) for table in [*able][:1]]
        if not ready:
            return list(tables), [
                f"table {table.facts.name} does not belong to the root by {', '.join(table.anchors)}: "
                "name other columns under `via`"
                for table in pending
            ]
        result |= {table.position: table for table in ready}
    return [result.get(table.position, table) for table in tables], []


def _anchored_by(table: TablePlan, reached: Set[int]) -> TablePlan:
    """Return a table with only those of its anchors that lead to some tables."""
    return replace(
        table,
        references=tuple(replace(item, anchor=item.anchor and item.target in reached) for item in table.references),
        polymorphic=tuple(
            replace(item, anchor=item.anchor and set(item.targets.values()) <= reached) for item in table.polymorphic
        ),
    )
