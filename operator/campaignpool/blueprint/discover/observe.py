"""Read the facts from a live database: in one read-only transaction, so that nothing can be left behind."""

import difflib
from collections.abc import Iterable, Mapping, Sequence

from campaignpool.api.spec import Template
from campaignpool.blueprint import catalog, compilation
from campaignpool.blueprint.catalog import Catalog, Column, ForeignKey, TableFacts
from campaignpool.blueprint.compile.keys import INTEGERS
from campaignpool.blueprint.discover import names
from campaignpool.blueprint.discover.facts import Census, Facts, LooseIds, Pair, TypeName, Walk
from campaignpool.blueprint.discover.walk import walk
from campaignpool.blueprint.queries import queries_of
from campaignpool.blueprint.sql import census as queries
from campaignpool.blueprint.sql.census import Hang, Reached
from campaignpool.errors import ConfigurationError
from campaignpool.ledger.database import Connection

LARGE = 1_000_000
"""Tables that the statistics say are larger are not counted in full: the statistics are good enough."""

_TEXTUAL = frozenset({"json", "jsonb", "uuid[]", "text[]", "character varying[]"}) | names.TEXTS


async def observe(connection: Connection, root_name: str, template: Template) -> Facts:
    """Read everything that `decide` needs.

    Raises:
        ConfigurationError: There is no such root table, or it has no primary key of one column.
        TemplateError: The template is not there, or its condition holds for more than one row.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        listed = await connection.fetch(queries_of("discover")["tables"])
        shortest = {row["oid"]: row["name"] for row in listed}
        unreadable = frozenset(row["oid"] for row in listed if not row["readable"])
        root = await _root(connection, root_name, list(shortest.values()))
        result = await catalog.read(connection, shortest.values())
        tables = {facts.oid: facts for facts in result.tables.values()}
        open_ = {oid: facts for oid, facts in tables.items() if oid not in unreadable}
        key = await compilation.find_template(connection, root, template)
        pairs = [pair for facts in open_.values() for pair in await _pairs(connection, facts, open_)]
        implied = {oid: await _implied(connection, facts, open_, pairs) for oid, facts in open_.items()}
        tables |= {oid: _with_keys(facts, implied[oid], tables) for oid, facts in open_.items()}
        reached = walk(tables, root.oid, pairs)
        estimates = {row["oid"]: row["rows"] for row in listed}
        existing = _known(reached, unreadable)
        counted = {oid: await _census(connection, reached, oid, key, estimates.get(oid, -1)) for oid in existing}
        # The root first; its own key is known, so that its text can be searched for it.
        loose = [
            item
            for oid in existing
            if counted[oid].rows
            for item in await _loose(connection, reached, oid, key, open_, pairs)
        ]
        counts = await connection.fetchval(queries.like_the_template(root, key))
        readable = {oid: reached.reached[oid] for oid in existing}
        unanchored, beside = {}, {}
        for oid in existing:
            if missing := await _unanchored(connection, readable, oid, key):
                unanchored[oid] = missing
        for oid in set(reached.backward) - unreadable:
            beside[oid] = await _tied(connection, readable, tables[oid], key)
        usual = {oid: await _usual(connection, reached.reached[oid].facts) for oid in existing}
    flags = [column.name for column in root.columns if column.base == "boolean"]
    return Facts(
        catalog=result,
        names=shortest,
        unreadable=unreadable,
        root=root.oid,
        template=key,
        condition=template.where,
        walk=reached,
        pairs=tuple(pairs),
        census=counted,
        alike=dict(zip(flags, counts[1:], strict=False)),
        loose=tuple(loose),
        implied=implied,
        usual=usual,
        unanchored=unanchored,
        beside=beside,
    )


def _known(reached: Walk, unreadable: frozenset[int]) -> list[int]:
    """Return the tables whose rows of the template can be found: they, and what they belong to, may be read."""
    results: list[int] = []
    for oid, table in reached.reached.items():
        if oid not in unreadable and all(hang.target in results for hang in table.hangs):
            results.append(oid)
    return results


async def _root(connection: Connection, name: str, known: list[str]) -> TableFacts:
    result: Catalog = await catalog.read(connection, [name])
    root = result.tables.get(name)
    if root is None:
        near = difflib.get_close_matches(name, known, 3, 0.5)
        hint = f" ({', '.join(near)}?)" if near else ""
        raise ConfigurationError(f"table {name} does not exist{hint}: correct --root, or qualify it with its schema")
    if len(root.primary_key) != 1:
        raise ConfigurationError(
            f"table {root.name} has no primary key of one column: campaigns need one, uuid or integer"
        )
    return root


async def _pairs(connection: Connection, facts: TableFacts, tables: Mapping[int, TableFacts]) -> list[Pair]:
    results = []
    for type_column, id_column in names.pairs(facts):
        types = []
        labels = await _labels(connection, facts, type_column, tables.values())
        for row in await connection.fetch(queries.types(facts, type_column)):
            rows = await connection.fetch(queries.ids(facts, type_column, id_column), row["name"])
            ids = [item["id"] for item in rows]
            hits = await _keys_of(connection, ids, tables.values(), facts.column[id_column])
            types.append(TypeName(row["name"], len(ids), hits, labels.get(row["name"], "")))
        results.append(Pair(facts.oid, type_column, id_column, tuple(types)))
    return results


async def _labels(
    connection: Connection, facts: TableFacts, column: str, tables: Iterable[TableFacts]
) -> dict[str, str]:
    """Return what the numbers in a column stand for, where it refers to Django's content types."""
    name = names.content_type(facts, column)
    labelled = next((table for table in tables if table.name == name), None)
    if labelled is None or not {"app_label", "model"} <= set(labelled.column):
        return {}
    rows = await connection.fetch(queries.content_types(labelled))
    return {row["id"]: row["label"] for row in rows}


async def _usual(connection: Connection, facts: TableFacts) -> dict[str, str]:
    """Return the most frequent value of each column that is required, has no default and refers to nothing."""
    bound = {*facts.primary_key, *(name for key in facts.foreign_keys for name in key.columns)}
    results: dict[str, str] = {}
    if not names.joins(facts):
        return results
    for column in facts.columns:
        needed = column.not_null and not column.has_default and not column.generated
        kind = column.base == "boolean" or column.base in INTEGERS or names.is_text(column.base) or column.own
        if needed and kind and column.name not in bound:
            value = await connection.fetchval(queries.most_frequent(facts, column.name))
            if value is not None:
                results[column.name] = value
    return results


async def _implied(
    connection: Connection, facts: TableFacts, tables: Mapping[int, TableFacts], pairs: Sequence[Pair]
) -> dict[str, int]:
    """Return columns that hold keys of a table by their name and by what they hold, without a foreign key."""
    bound = {name for key in facts.foreign_keys for name in key.columns}
    bound |= {name for pair in pairs if pair.table == facts.oid for name in (pair.id_column, pair.type_column)}
    result = {}
    for column in facts.columns:
        stem = names.key_stem(column.name)
        if stem is None or column.name in bound or column.generated:
            continue
        fitting = [
            table
            for table in tables.values()
            if len(table.primary_key) == 1
            and names.means(stem, table)
            and _fits(table.column[table.primary_key[0]].base, column.base)
        ]
        if len(fitting) != 1 or (fitting[0].oid == facts.oid and column.name in facts.primary_key):
            continue
        sample = await connection.fetch(queries.sampled(facts, column.name))
        ids = [row["id"] for row in sample]
        if column.base in INTEGERS or column.base == "uuid":
            hits = (await _keys_of(connection, ids, fitting, column)).get(fitting[0].oid, 0)
        else:
            hits = await connection.fetchval(queries.known(fitting[0]), ids)
        if ids and hits * 2 >= len(ids):
            result[column.name] = fitting[0].oid
    return result


def _with_keys(facts: TableFacts, implied: Mapping[str, int], tables: Mapping[int, TableFacts]) -> TableFacts:
    """Return a table as if its implied references were foreign keys."""
    results = [
        ForeignKey(name=column, columns=(column,), target=target, target_columns=tables[target].primary_key)
        for column, target in implied.items()
    ]
    return facts.model_copy(update={"foreign_keys": (*facts.foreign_keys, *results)}) if results else facts


async def _keys_of(
    connection: Connection, ids: Sequence[str], tables: Iterable[TableFacts], column: Column | None
) -> dict[int, int]:
    """Return, by oid, how many of some ids are keys of which tables; only tables whose keys are of their kind."""
    if column is not None and (column.base in INTEGERS or column.base == "uuid"):
        given = {"integer" if column.base in INTEGERS else "uuid": list(ids)}
    else:
        numbers = bool(ids) and all(item.isdecimal() and len(item) < 19 for item in ids)
        uuids = [item for item in ids if names.is_uuid(item)]
        given = {"integer": list(ids) if numbers else [], "uuid": uuids, "text": list(ids)}
    hits: dict[int, int] = {}
    for kind, some in given.items():
        fitting = [
            facts
            for facts in tables
            if len(facts.primary_key) == 1 and _fits(facts.column[facts.primary_key[0]].base, kind)
        ]
        if some and fitting:
            rows = await connection.fetch(queries.key_of(fitting), some)
            hits |= {fitting[row["place"]].oid: row["hits"] for row in rows if row["hits"]}
    return hits


def _fits(key: str, kind: str) -> bool:
    if kind == "text":
        return names.is_text(key)
    return key in INTEGERS if kind in INTEGERS else key == kind


async def _census(connection: Connection, reached: Walk, oid: int, template: str, estimate: int) -> Census:
    table = reached.reached[oid]
    facts = table.facts
    where = " AND ".join(names.filters(facts, root=table.is_root)) or None
    flags = [column.name for column in facts.columns if column.base == "boolean"]
    sums = [0] * (2 + len(flags) + len(facts.columns))
    for condition in queries.branches(reached.reached, oid, template):
        counts = await connection.fetchval(queries.census(facts, condition, where))
        sums = [was + additional for was, additional in zip(sums, counts, strict=True)]
    total = estimate if estimate > LARGE else await connection.fetchval(queries.total(facts))
    true = dict(zip(flags, sums[2:], strict=False))
    filled = dict(zip([column.name for column in facts.columns], sums[2 + len(flags) :], strict=True))
    return Census(total, sums[0], sums[1], true, filled)


async def _unanchored(
    connection: Connection, reached: Mapping[int, Reached], oid: int, template: str
) -> tuple[tuple[str, ...], int] | None:
    """Return how many rows a NULL keeps out of the campaign, and the columns that tie them to it all the same."""
    asked = queries.unanchored(reached, oid, template)
    rows = await connection.fetchval(asked[1]) if asked else 0
    return (tuple(asked[0]), rows) if asked and rows else None


async def _tied(connection: Connection, reached: Mapping[int, Reached], table: TableFacts, template: str) -> int:
    """Return how many rows of a table that is no part of the campaign refer to the template."""
    hangs = [
        Hang(key.columns, key.target, key.target_columns, required=False)
        for key in table.foreign_keys
        if key.target in reached
    ]
    return await connection.fetchval(queries.tied(reached, table, hangs, template)) if hangs else 0


async def _loose(
    connection: Connection,
    reached: Walk,
    oid: int,
    template: str,
    tables: Mapping[int, TableFacts],
    pairs: Sequence[Pair],
) -> list[LooseIds]:
    table: Reached = reached.reached[oid]
    facts = table.facts
    bound = {*facts.primary_key, *(name for key in facts.foreign_keys for name in key.columns)}
    bound |= {pair.id_column for pair in pairs if pair.table == oid}
    conditions = queries.branches(reached.reached, oid, template)
    texts = any(_fits(item.column[item.primary_key[0]].base, "text") for item in tables.values() if item.primary_key)
    results = []
    for column in facts.columns:
        numbered = column.base in INTEGERS and column.name.endswith("_id")
        textual = column.base in _TEXTUAL or names.is_text(column.base)
        if column.name in bound or not (numbered or column.base == "uuid" or textual):
            continue
        query = queries.values(facts, column.name, conditions, inside=not numbered, texts=texts and textual)
        ids = [row["id"] for row in await connection.fetch(query)]
        hits = await _keys_of(connection, ids, tables.values(), column if numbered else None)
        # Text that holds ids of nothing we know is no concern of anybody's.
        if ids and (hits or numbered or column.base == "uuid"):
            results.append(LooseIds(oid, column.name, len(ids), hits, numbered or column.base == "uuid"))
    return results
