"""References inside of arrays and JSON documents: expressions that replace each key by that of its clone. Pure.

`members` names an array column, `layout.steps[*].id` a path in a JSON column: `.key` goes into an object, `[*]` into
each element of an array. Keys that are no rows of the template stay unchanged.
"""

import re
from collections.abc import Mapping

from campaignpool.api.blueprint import Table
from campaignpool.blueprint.catalog import TableFacts
from campaignpool.blueprint.quote import ident, literal

_STEP = re.compile(r"\.([^.\[]+)|\[\*\]")
_JSON = ("json", "jsonb")


def column(reference: str, facts: TableFacts) -> str:
    """Return the column of a reference, which may be the beginning of a path."""
    return reference if reference in facts.column else re.split(r"[.\[]", reference, maxsplit=1)[0]


def is_document(reference: str, facts: TableFacts) -> bool:
    """Return whether a reference leads into an array or a JSON document."""
    value = facts.column.get(column(reference, facts))
    return value is not None and (value.base in _JSON or value.base.endswith("[]"))


def remapped(table: Table, facts: TableFacts) -> Mapping[str, str]:
    """Return an expression for every column with references inside, which several paths may share."""
    sets: dict[str, str] = {}
    for reference, target in table.references.items():
        if is_document(reference, facts):
            name = column(reference, facts)
            value = sets.get(name, ident(name))
            base = facts.column[name].base
            if base in _JSON:
                steps = [match[1] or "" for match in _STEP.finditer(reference[len(name) :])]
                value = value if name in sets else f"CAST({value} AS jsonb)"
                sets[name] = _within(value, steps, target)
            else:
                sets[name] = _elements(value, base.removesuffix("[]"), target)
    return sets


def _elements(array: str, kind: str, target: str) -> str:
    key = f"coalesce(CAST($clone_of({target}, u.campaignpool_e) AS {kind}), u.campaignpool_e)"
    item = f"unnest({array}) WITH ORDINALITY AS u (campaignpool_e, campaignpool_n)"
    return f"coalesce((SELECT array_agg({key} ORDER BY u.campaignpool_n) FROM {item}), {array})"


def _within(value: str, steps: list[str], target: str) -> str:
    """Return a JSON value with the keys at the end of a path replaced; an empty step is each element of an array."""
    depth = len(steps)
    own = f"d{depth}.campaignpool_v"
    if not steps:
        clone = f"$clone_of({target}, {own} #>> '{{}}')"
        created = (
            f"coalesce(CASE jsonb_typeof({own}) WHEN 'string' THEN to_jsonb(CAST({clone} AS text)) "
            f"WHEN 'number' THEN to_jsonb({clone}) END, {own})"
        )
    elif step := steps[0]:
        inner = _within(f"({own} -> {literal(step)})", steps[1:], target)
        has = f"jsonb_typeof({own}) = 'object' AND jsonb_exists({own}, {literal(step)})"
        created = f"CASE WHEN {has} THEN jsonb_set({own}, ARRAY[{literal(step)}], {inner}) ELSE {own} END"
    else:
        element = f"a{depth}.campaignpool_e"
        inner = _within(element, steps[1:], target)
        item = f"jsonb_array_elements({own}) WITH ORDINALITY AS a{depth} (campaignpool_e, campaignpool_n)"
        items = f"(SELECT coalesce(jsonb_agg({inner} ORDER BY a{depth}.campaignpool_n), '[]') FROM {item})"
        created = f"CASE WHEN jsonb_typeof({own}) = 'array' THEN {items} ELSE {own} END"
    # The value is written once, whatever the path does with it.
    return f"(SELECT {created} FROM (SELECT {value} AS campaignpool_v) AS d{depth})"
