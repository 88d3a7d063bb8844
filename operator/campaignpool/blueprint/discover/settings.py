"""Which columns cannot be copied unchanged. Pure."""

import re
from collections.abc import Iterator, Set

from campaignpool.blueprint.catalog import DIGITS, UUID_TEXT, Column, Index, TableFacts
from campaignpool.blueprint.discover import names
from campaignpool.blueprint.discover.discovery import Note, Setting
from campaignpool.blueprint.discover.facts import Census, Facts, LooseIds

_SUFFIX = "|| '-' || $campaign"
_LONG = 100
"""A text of this length has room for its value and the key of a campaign."""


def of_root(facts: Facts, owner: str | None) -> list[Setting]:
    """Return what to set on the campaign itself."""
    root = facts.walk.reached[facts.root].facts
    results = [
        *_name(root),
        *_template_flags(facts, root),
        *_unseen(root),
        *_times(root),
        *_owner(root, owner),
    ]
    return _first(root, [*results, *_unique(root, set(root.primary_key) | _fresh(results)), *_secrets(root)])


def of_table(facts: Facts, table: TableFacts, inside: Set[int], out: Set[int]) -> list[Setting]:
    """Return what to set on the rows of a table below the root.

    Args:
        facts: What was read.
        table: The table.
        inside: Oids of the tables of the blueprint.
        out: Oids of the tables that belong to the root and are left out.
    """
    items = list(_pointers(facts, table, out))
    types = {pair.type_column for pair in facts.pairs if pair.table == table.oid}
    new = _new(facts, table, inside) | _fresh(items)
    return _first(table, [*items, *_unique(table, new, types), *_secrets(table)])


def notes(facts: Facts, table: TableFacts, inside: Set[int], out: Set[int], settled: Set[str]) -> list[Note]:
    """Return remarks on what is copied and leaves the campaign, and on ids that no constraint speaks of."""
    results = []
    for key in table.foreign_keys:
        if key.target not in inside and key.target not in out and not set(key.columns) & settled:
            target = facts.names.get(key.target, "another table")
            results.append(
                Note(f"{', '.join(key.columns)} is copied: it goes on to point at the same row of {target}")
            )
    implied = facts.implied.get(table.oid, {})
    own = [item for item in facts.loose if item.table == table.oid and item.column not in {*settled, *implied}]
    results += [_loose(facts, item, inside) for item in own]
    return results + list(_columns(table, settled | {item.column for item in own}))


def _columns(table: TableFacts, told: Set[str]) -> Iterator[Note]:
    """Return remarks on columns that draw new values in a clone, and on those that may hold keys inside."""
    for column in table.columns:
        if column.name in told or column.name in table.primary_key:
            continue
        if column.draws and any(index.unique and index.columns == (column.name,) for index in table.indexes):
            yield Note(f"{column.name} gets a new value from its default in every clone")
        elif column.draws:
            yield Note(
                f"{column.name} gets a new value from its default in every clone: to copy it, "
                f"set `{column.name}: {names.quoted(column.name)}`",
                look=True,
            )
        elif names.lists_ids(column):
            yield Note(
                f"{column.name} is copied: where it holds keys of the campaign's rows, say so under `set`", look=True
            )
        elif column.base in ("integer[]", "bigint[]", "smallint[]", "json", "jsonb") or column.base.endswith(
            ".ltree"
        ):
            where = f"{column.name}.path.to.key" if column.base.startswith("json") else column.name
            how = "under `set`" if column.base.endswith(".ltree") else f"by `references: {{{where}: TABLE}}`"
            yield Note(
                f"{column.name} is copied: where it holds keys of the campaign's rows, say so {how}", look=True
            )


def _loose(facts: Facts, each: LooseIds, inside: Set[int]) -> Note:
    column, count, hits = each.column, each.found, each.hits
    if not hits:
        return Note(f"{column} is copied: {names.counted(count, 'id')} looked up, keys of no table here")
    best = sorted(hits, key=lambda oid: (-hits[oid], facts.names[oid]))[:3]
    tables = ", ".join(f"{facts.names[oid]} ({hits[oid]:,} of {count:,})" for oid in best)
    if not each.whole:
        own = [facts.names[oid] for oid in best if oid in inside or oid == facts.root]
        how = _inside(facts, each, own[0]) if own else ""
        return Note(f"{column} holds ids inside its text, of {tables}: they are copied unchanged{how}", look=True)
    remedy = ""
    if len(best) == 1 and best[0] in inside:
        remedy = f"; if that is meant, add `references: {{{column}: {facts.names[best[0]]}}}`"
    return Note(f"{column} has no foreign key, and its ids are keys of {tables}: copied unchanged{remedy}", look=True)


def _inside(facts: Facts, each: LooseIds, target: str) -> str:
    """Return how a blueprint says that a value holds keys of a table."""
    base = facts.walk.reached[each.table].facts.column[each.column].base
    how = "set it by `$campaign` or `$clone_of`"
    if base.endswith("[]"):
        how = f"add `references: {{{each.column}: {target}}}`"
    elif base.startswith("json"):
        how = f"name the path: `references: {{{each.column}.path.to.key: {target}}}`"
    return f"; if they should be the clone's own, {how}"


def _name(root: TableFacts) -> Iterator[Setting]:
    for name in ("name", "title"):
        if name in root.column and names.is_text(root.column[name].base):
            yield Setting(name, "$name", "a name that no other campaign has, until somebody gives it one")
            return


def _template_flags(facts: Facts, root: TableFacts) -> Iterator[Setting]:
    """Return what makes the template the template: a clone must not have it."""
    counted = facts.census[facts.root]
    mentioned = set(re.findall(r"\w+", facts.condition or "")) & set(root.column)
    for name, alike in facts.alike.items():
        opposite = "false" if counted.true.get(name) else "true"
        if name in mentioned:
            yield Setting(name, opposite, "the template's condition names it: a clone is no template")
        elif alike == 0 and facts.campaigns > 1 and opposite == "false" and names.snake(name) not in names.VISIBLE:
            yield Setting(name, opposite, "true for the template alone", look=True)
    for name in sorted(mentioned - set(facts.alike)):
        if name not in root.primary_key:
            yield Setting(
                name,
                None,
                "the template's condition names it: with the same value a clone is a template too",
                look=True,
            )


def _unseen(root: TableFacts) -> Iterator[Setting]:
    for column in root.columns:
        if names.snake(column.name) in names.VISIBLE and column.base == "boolean":
            yield Setting(column.name, "false", "out of sight until somebody claims it")


def _times(root: TableFacts) -> Iterator[Setting]:
    for column in root.columns:
        if column.base not in names.TIMES:
            continue
        name = names.snake(column.name)
        if name in names.STAMPS:
            yield Setting(column.name, "now()", "when the clone was made")
        elif re.match(r"(seeded|cloned|initialized|provisioned|generated)_(at|on)$", name):
            yield Setting(column.name, "now()", "it says when a campaign was filled, and this one is")


def _owner(root: TableFacts, owner: str | None) -> Iterator[Setting]:
    if owner and not root.column[owner].not_null:
        yield Setting(owner, "NULL", "nobody's until somebody claims it")


def _pointers(facts: Facts, table: TableFacts, out: Set[int]) -> Iterator[Setting]:
    """Return references to what is left out: a clone that kept them would point at the template's own play."""
    for key in table.foreign_keys:
        if key.target in out and not table.column[key.columns[0]].not_null:
            yield Setting(
                key.columns[0], "NULL", f"else it points at the template's row of {facts.names[key.target]}"
            )


def root_pointers(facts: Facts, out: Set[int]) -> list[Setting]:
    """Return the references of the root to what is left out."""
    return list(_pointers(facts, facts.walk.reached[facts.root].facts, out))


def _fresh(found: list[Setting]) -> set[str]:
    """Return the columns whose proposed value is another one in every clone, or NULL."""
    values = [(item.column, item.expression or "") for item in found]
    return {column for column, value in values if value == "NULL" or "$" in value or "random" in value}


def _new(facts: Facts, table: TableFacts, inside: Set[int]) -> set[str]:
    """Return the columns that are new in every clone: keys and references into the campaign."""
    new = set(table.primary_key)
    new |= {name for key in table.foreign_keys if key.target in inside for name in key.columns}
    return new | {pair.id_column for pair in facts.pairs if pair.table == table.oid}


def _unique(table: TableFacts, new: Set[str], fixed: Set[str] = frozenset()) -> Iterator[Setting]:
    """Yield a new value for each unique index that would refuse a clone; columns in `fixed` keep theirs."""
    new = {*new, *(column.name for column in table.columns if column.generated and new & _words(column.default))}
    for index in table.indexes:
        if not index.unique or new & set(index.columns) or _mentions(index, new):
            continue
        columns = [table.column[name] for name in index.columns if name and name not in fixed]
        columns = [column for column in columns if not column.generated]
        if any(column.draws for column in columns):
            continue
        free = next((column for column in columns if not column.not_null), None)
        text = next((column for column in columns if names.is_text(column.base)), None)
        uuid = next((column for column in columns if column.base == "uuid"), None)
        reason = f"unique in the whole table ({index.name})"
        if free:
            yield Setting(free.name, "NULL", reason)
        elif text and names.secret(text):
            yield Setting(text.name, _random(text), reason)
        elif text:
            yield Setting(text.name, _suffixed(text), reason)
        elif uuid:
            yield Setting(uuid.name, "gen_random_uuid()", reason)
        else:
            name = index.columns[0] or "an expression"
            yield Setting(name, None, f"{reason}: say what value is new in every campaign", look=True)


def _random(column: Column) -> str:
    """Return an expression for a random value that a column has room for."""
    if column.length is None or column.length >= UUID_TEXT:
        return "gen_random_uuid()"
    return f"left(md5(CAST(gen_random_uuid() AS text)), {column.length})"


def _suffixed(column: Column) -> str:
    """Return an expression for the text of a column with an end of its own in each campaign, if there is room."""
    name = names.quoted(column.name)
    if column.length is None or column.length > _LONG:
        return f"{name} {_SUFFIX}"
    beginning = column.length - DIGITS - 1
    digits = f"md5({name} || $campaign)"
    return f"left({name}, {beginning}) || '-' || {digits}" if beginning > 0 else f"left({digits}, {column.length})"


def _mentions(index: Index, new: Set[str]) -> bool:
    return None in index.columns and bool(new & _words(index.definition.partition("USING")[2]))


def _words(expression: str | None) -> set[str]:
    return set(re.findall(r"\w+", expression or ""))


def _secrets(table: TableFacts) -> Iterator[Setting]:
    for column in table.columns:
        if names.secret(column) and not column.draws:
            value = _random(column) if column.not_null else "NULL"
            yield Setting(column.name, value, "by its name a secret: no two campaigns may share it", look=True)


def _first(table: TableFacts, found: list[Setting]) -> list[Setting]:
    """Keep the first proposal for each column that can be set."""
    chosen: dict[str, Setting] = {}
    for item in (item for item in found if not (column := table.column.get(item.column)) or not column.generated):
        chosen.setdefault(item.column, item)
    return list(chosen.values())


def filtered(table: TableFacts, counted: Census) -> tuple[str | None, str]:
    """Return the condition of the rows to copy, and why."""
    conditions = names.filters(table, root=False)
    if not conditions:
        return None, ""
    where = " AND ".join(conditions)
    if not counted.kept:
        return None, f"`where: {where}` would leave out all of them"
    dropped = counted.rows - counted.kept
    return where, f"leaves out {names.counted(dropped, 'row')}" if dropped else "holds for all of them now"
