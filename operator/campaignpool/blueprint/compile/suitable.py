"""Which tables a clone can be made in: what the catalog says against one. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from campaignpool.api.blueprint import Table
from campaignpool.blueprint.catalog import Catalog, TableFacts
from campaignpool.blueprint.compile.plan import PolymorphicReference, Reference, TablePlan


def absent(catalog: Catalog, name: str) -> str:
    """Return the fault of a name that no table has."""
    if name in catalog.others:
        return f"{name} is {catalog.others[name]}, and rows are cloned in tables only: name the table that holds them"
    if name in catalog.elsewhere:
        return (
            f"table {name} is not in the search path of the role in the URL, or the role has no USAGE on its schema: "
            f"name it as {catalog.elsewhere[name]}, or grant USAGE on the schema"
        )
    return f"table {name} does not exist: correct its name, or qualify it with its schema"


def faults(facts: TableFacts) -> Iterator[str]:
    """Yield what stands in the way of cloning rows of a table."""
    name = facts.name
    if facts.unlogged:
        what = "" if facts.unlogged == (name,) else f": {', '.join(facts.unlogged)}"
        yield (
            f"table {name} is UNLOGGED{what}, so a crash of the server empties it, ready campaigns included: "
            f"ALTER TABLE {facts.unlogged[0]} SET LOGGED, or leave the table out"
        )
    if facts.partition_of:
        yield (
            f"table {name} is a partition of {facts.partition_of}, and rows are cloned by way of that: name "
            f"{facts.partition_of}, with a `where` that holds for the rows you want"
        )
    if facts.foreign_parts:
        yield (
            f"partitions of {name} are foreign tables ({', '.join(facts.foreign_parts)}): rows of another server "
            f"cannot be cloned in one transaction: leave {name} out"
        )
    if rules := [rule.name for rule in facts.rules if rule.insert]:
        yield (
            f"rules of {name} rewrite INSERT ({', '.join(rules)}), so a clone would not get the rows that are "
            f"inserted: write them as triggers, or leave {name} out"
        )
    yield from hidden(facts, ("SELECT", "INSERT", "DELETE"))


def undeclared(table: Table, facts: TableFacts, inside: Mapping[int, int]) -> Iterator[str]:
    """Yield a fault for every foreign key into the blueprint that names no single row, or only a partition has."""
    plain = [key for key in facts.foreign_keys if not key.period]
    settled = {*table.set_, *table.references, *(name for key in plain for name in key.columns)}
    settled |= {name for pair in table.polymorphic for name in (pair.id, pair.type)}
    for key in (key for key in facts.foreign_keys if key.period):
        if key.target in inside and not set(key.columns[:-1]) <= settled:
            names = ", ".join(key.columns[:-1])
            yield (
                f"foreign key {key.name} of {facts.name} refers to rows of {key.target_name} by a period, so {names} "
                f"names no single row: set {names}, or declare under `references` what it refers to"
            )
    for key in facts.part_keys:
        if key.target in inside and not set(key.columns) <= settled:
            names = ", ".join(key.columns)
            yield (
                f"foreign key {key.name} of a partition of {facts.name} says what {names} refers to, and the others "
                f"have none: declare it under `references` ({key.columns[0]}: {key.target_name}), or set {names}"
            )


def typed(table: Table) -> Iterator[str]:
    """Yield a fault for every polymorphic reference whose type would be set and its id remapped."""
    for pair in table.polymorphic:
        if pair.type in table.set_ and pair.id not in table.set_:
            yield (
                f"table {table.name}: {pair.type} says which table {pair.id} refers to: remove it from `set`, or set "
                f"{pair.id} too"
            )


def inherited(tables: Sequence[TableFacts]) -> Iterator[str]:
    """Yield the fault where a table has child tables that are no part of the blueprint: their rows would be lost."""
    names = {facts.oid: facts.name for facts in tables}
    for facts in tables:
        missing = [name for oid, name in facts.children.items() if int(oid) not in names]
        if any(name.startswith("_timescaledb_internal.") for name in missing):
            yield (
                f"table {facts.name} is a hypertable of TimescaleDB, whose rows are in {len(missing):,} chunks, and "
                f"rows are cloned in tables only: leave {facts.name} out"
            )
        elif missing:
            others = f" and {len(missing) - _NAMED:,} others" if len(missing) > _NAMED else ""
            yield (
                f"table {facts.name} has child tables by inheritance ({', '.join(missing[:_NAMED])}{others}), which "
                "are not part of the blueprint: add them, with their `references`, for foreign keys are not "
                f"inherited; or leave {facts.name} out"
            )


_NAMED = 5
"""How many child tables a message names."""


def anchored_to_itself(
    facts: TableFacts, place: int, anchors: Iterable[Reference | PolymorphicReference]
) -> Iterator[str]:
    """Yield the fault where a polymorphic anchor may point at rows of its own table: replies to comments, for one."""
    for pair in anchors:
        if not isinstance(pair, PolymorphicReference):
            continue
        if names := [name for name, target in pair.targets.items() if target == place]:
            yield (
                f"table {facts.name}: {pair.column} makes its rows part of a campaign, and may point at the table "
                f"itself (type {', '.join(names)}): name a reference to another table under `via`, or remove that "
                "type from `targets`, which leaves these rows out"
            )


def hidden(facts: TableFacts, operations: tuple[str, ...]) -> Iterator[str]:
    """Yield the fault where row level security keeps rows of a table from the role in the URL."""
    kept = [item for item in facts.hidden if item in operations]
    if kept:
        yield (
            f"row level security of {facts.name} applies to the role in the URL, and no policy lets it {_list(kept)} "
            f"every row: give the role BYPASSRLS, or CREATE POLICY campaignpool ON {facts.name} TO the role "
            "USING (true) WITH CHECK (true)"
        )


def shared_files(table: TablePlan) -> Iterator[str]:
    """Yield a fault for every large object that clones would share, and that a trigger deletes with a row."""
    for trigger in table.facts.triggers:
        if trigger.delete and ("lo_unlink" in trigger.source or "lo_manage" in trigger.definition):
            for name in table.copied:
                if table.facts.column[name].base == "oid":
                    yield (
                        f"column {name} of {table.facts.name} holds large objects, and trigger {trigger.name} "
                        "deletes them with a row: the template's would be deleted with the first campaign: "
                        f"set {name} to NULL, or leave {table.facts.name} out"
                    )


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
