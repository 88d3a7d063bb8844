"""SQL of a revision's function that deletes campaigns: set-based, children first, and never by a cascade.

The rows of a campaign are named by what made them: keys that are spliced are computed again; all others are found
by the references that make them part of the campaign. Whatever else references those rows stops the deletion:
Postgres itself refuses where a foreign key has no action, `campaign_pool.refuse_cascade` where it has one, and more
rows than were cloned are refused too.
"""

from collections.abc import Iterator
from itertools import product

from campaignpool.blueprint.compile.plan import Alternative, Derived, KeyKind, Link, Origin, TablePlan
from campaignpool.blueprint.quote import ident, literal
from campaignpool.blueprint.sql import images
from campaignpool.blueprint.sql.functions import PREFIXES, Revision, keys_of, written
from campaignpool.blueprint.sql.joins import cast, of_type
from campaignpool.blueprint.sql.naming import lo, ref
from campaignpool.blueprint.sql.snapshot import downwards, exclusive
from campaignpool.blueprint.sql.values import spliced

CAMPAIGNS = "unnest($1, campaignpool_prefixes) AS c (campaignpool_id, campaignpool_hi)"
"""The campaigns to be found again, as `c`."""


def retire(revision: Revision) -> str:
    """Write `retire_r<id>(ids uuid[], root keys text[])`.

    It raises CP011 where it would delete or change rows that were not cloned; then nothing is deleted.
    """
    plan = revision.plan
    declared = [PREFIXES, "_campaigns bigint := cardinality($1);", "_gone bigint[];", "_rows bigint := 0;"]
    declared += ["_tables oid[];", "_places tid[];"]
    keys, body = found_again(revision)
    declared += keys
    for group in reversed(plan.order):
        filled = [plan.tables[item] for item in reversed(group) if _has_rows(revision, plan.tables[item])]
        if filled:
            body += [f"IF {' AND '.join(map(is_there, filled))} THEN", *_both(revision, filled)]
            if len(filled) > 1:
                body.append("ELSE")
                for table in filled:
                    body += [f"IF {is_there(table)} THEN", *_both(revision, [table]), "END IF;"]
            body.append("END IF;")
    if plan.images is not None:
        body += images.remove(plan.images)
    return written(revision, "retire", "uuid[], text[]", "void", declared, body)


def found_again(revision: Revision) -> tuple[list[str], list[str]]:
    """Return declarations and statements that find the keys that were drawn, for the children, from the root down."""
    declared: list[str] = []
    body: list[str] = []
    for table in downwards(revision.plan):
        for name in _kept(revision, table):
            base = table.facts.column[name].base
            declared.append(f"{keys_of(table, name)} {base}[];")
            result = " UNION ALL ".join(
                f"SELECT t.{ident(name)}::{base} FROM {source}" for source in sources(revision, table)
            )
            body.append(f"IF {is_there(table)} THEN {keys_of(table, name)} := ARRAY({result}); END IF;")
    return declared, body


def sources(revision: Revision, table: TablePlan) -> Iterator[str]:
    """Return what finds the cloned rows of a table as `t`, each for FROM; no row twice."""
    for source, condition in _located(revision, table):
        yield f"{table.facts.rows} t{_using(source, ', ')} WHERE {condition}"


def _both(revision: Revision, tables: list[TablePlan]) -> list[str]:
    return [*_guard(revision, tables), *_deletes(revision, tables)]


def is_there(table: TablePlan) -> str:
    """Return the condition that a table still has the columns by which its rows are found.

    The application may have dropped or renamed some since: what is gone is passed over, and Postgres itself refuses
    where rows that are left refer to the campaign.
    """
    pairs = [item.type_column for item in table.polymorphic if item.anchor]
    names = dict.fromkeys([*table.facts.primary_key, *table.anchors, *pairs])
    return (
        f"(SELECT count(*) = {len(names)} FROM pg_attribute a "
        f"WHERE a.attrelid = to_regclass({literal(table.facts.name)}) "
        f"AND a.attname IN ({', '.join(map(literal, names))}))"
    )


def _kept(revision: Revision, table: TablePlan) -> Iterator[str]:
    """Return the columns whose values must be found for the children, as nothing computes them again."""
    held = {
        name
        for other in revision.plan.tables
        for link in other.links
        if link.anchor
        for alternative in link.alternatives
        for name in alternative.target_columns
        if alternative.target == table.position
    }
    for column in table.facts.columns:
        if column.name in held and revision.surveys[table.position].rows:
            kind = revision.plan.origin(table.position, column.name).kind
            if kind is not KeyKind.SPLICED:
                yield column.name


def _guard(revision: Revision, tables: list[TablePlan]) -> Iterator[str]:
    """Return statements that refuse to delete rows on which others hang by a foreign key with an action."""
    names = ", ".join(literal(table.facts.name) for table in tables)
    rows = " UNION ALL ".join(
        f"SELECT * FROM (SELECT t.tableoid, t.ctid FROM {table.facts.rows} t{_using(source, ', ')} "
        f"WHERE {condition} FOR UPDATE OF t) l"
        for table in tables
        for source, condition in _located(revision, table)
    )
    yield f"IF campaign_pool.cascades(ARRAY[{names}]::regclass[]) THEN"
    # Locked before they are looked at: a transaction that would add a row to them waits, and then finds them gone.
    yield f"    SELECT array_agg(r.tableoid), array_agg(r.ctid) INTO _tables, _places FROM ({rows}) r;"
    yield f"    PERFORM campaign_pool.refuse_cascade(ARRAY[{names}]::regclass[], _tables, _places);"
    yield "END IF;"


def _deletes(revision: Revision, tables: list[TablePlan]) -> Iterator[str]:
    """Return the statement that deletes from tables that reference each other, and the check of the count."""
    parts: list[str] = []
    counts: list[str] = []
    for table in tables:
        own = []
        for source, condition in _located(revision, table):
            own.append(f"(SELECT count(*) FROM d{len(parts)})")
            using = _using(source, " USING ")
            parts.append(f"d{len(parts)} AS (DELETE FROM {table.facts.rows} t{using} WHERE {condition} RETURNING 1)")
        counts.append(" + ".join(own))
    if len(parts) == 1:
        yield f"{parts[0].removeprefix('d0 AS (').removesuffix(' RETURNING 1)')};"
        yield "GET DIAGNOSTICS _rows = ROW_COUNT;"
        yield "_gone := ARRAY[_rows];"
    else:
        yield f"WITH {', '.join(parts)} SELECT ARRAY[{', '.join(counts)}] INTO _gone;"
    for number, table in enumerate(tables, 1):
        if table.trigger_rows == "Keep":
            continue
        most = f"_campaigns * {revision.surveys[table.position].rows}"
        named = f"table {table.facts.name}".replace("%", "%%")
        message = literal(f"{named} has % rows that are part of the campaign and were not cloned")
        yield (
            f"IF _gone[{number}] > {most} THEN RAISE EXCEPTION {message}, _gone[{number}] - {most} "
            "USING ERRCODE = 'CP011'; END IF;"
        )
        left = " UNION ALL ".join(
            f"SELECT FROM {table.facts.rows} t{_using(source, ', ')} WHERE {condition}"
            for source, condition in _located(revision, table)
        )
        message = literal(f"{named} keeps rows that were deleted: a trigger or a rule of DELETE prevents it")
        yield (
            f"IF _gone[{number}] < {most} AND EXISTS ({left}) THEN RAISE EXCEPTION {message} "
            "USING ERRCODE = 'CP011'; END IF;"
        )


def _has_rows(revision: Revision, table: TablePlan) -> bool:
    return bool(revision.surveys[table.position].rows) or table.trigger_rows == "Keep"


def _using(source: str, word: str) -> str:
    return f"{word}{source}" if source else ""


def _located(revision: Revision, table: TablePlan) -> list[tuple[str, str]]:
    """Return what finds the rows that were cloned: each a source to join and a condition on `t`; no row twice.

    More than one where a polymorphic reference may point at several tables.
    """
    if table.position == 0:
        key = table.facts.column[table.facts.primary_key[0]]
        return [("", f"t.{ident(key.name)} = ANY ($2::{key.base}[])")]
    if table.trigger_rows == "Keep":
        return [("", _by_parents(revision, table))]
    own = f"{revision.frozen(table)} s, {CAMPAIGNS}"
    exact = _computed(revision, table)
    if exact:
        columns = revision.values.columns(table)
        return [(own, " AND ".join(f"t.{ident(name)} = {columns[name]}" for name in exact))]
    several = [list(_parts(revision, link)) for link in table.links if link.anchor]
    if table.either:
        one = [_by_anchors(revision, table, (part,)) for parts in several for part in parts]
        return [("", condition) for condition in exclusive(one)]
    return [("", _by_anchors(revision, table, chosen)) for chosen in product(*several)]


def _parts(revision: Revision, link: Link) -> Iterator[tuple[Link, tuple[Alternative, ...]]]:
    """Return the targets of a link that can be looked for together: those with spliced keys, and each other."""
    plan = revision.plan
    filled = [alternative for alternative in link.alternatives if revision.surveys[alternative.target].rows]
    kinds = [plan.origin(item.target, item.target_columns[0]).kind for item in filled]
    forms: dict[str, tuple[Alternative, ...]] = {}
    for item, kind in zip(filled, kinds, strict=True):
        if kind is KeyKind.SPLICED:
            origin = plan.origin(item.target, item.target_columns[0])
            form = plan.tables[origin.table].facts.column[origin.column].key_form
            forms[form] = (*forms.get(form, ()), item)
        else:
            yield link, (item,)
    yield from ((link, several) for several in forms.values())


def _computed(revision: Revision, table: TablePlan) -> tuple[str, ...]:
    """Return the columns of the primary key where all of it can be computed again; else none."""
    by_name = {item.column.name: item for item in revision.plan.derived[table.position]}
    key = table.facts.primary_key
    spliced_key = next((name for name in key if table.keys.get(name) is KeyKind.SPLICED), None)
    if spliced_key and len(key) == 1:
        return key
    for name in key:
        value = by_name.get(name)
        fine = name in table.copied or table.keys.get(name) is KeyKind.SPLICED
        if not fine and not (value and all(origin.kind is KeyKind.SPLICED for origin in value.origins)):
            return ()
    return key if spliced_key or any(by_name[name].origins for name in key if name in by_name) else ()


def _by_anchors(
    revision: Revision, table: TablePlan, chosen: tuple[tuple[Link, tuple[Alternative, ...]], ...]
) -> str:
    """Return the condition that a row belongs to rows that were cloned, by columns that an index serves."""
    by_name = {item.column.name: item for item in revision.plan.derived[table.position]}
    conditions: list[str] = []
    computed: dict[str, str] = {}
    for link, targets in chosen:
        if link.type_column:
            conditions.append(of_type(link, tuple(name for target in targets for name in target.types), "t"))
            if link.type_column in table.copied:
                computed[link.type_column] = f"s.{ident(link.type_column)}"
        for own, theirs in zip(link.columns, targets[0].target_columns, strict=True):
            origin = revision.plan.origin(targets[0].target, theirs)
            value = by_name.get(own)
            if value is None or origin.kind is KeyKind.COPIED:
                continue  # generated, or the same in every campaign: another column says which one it is
            if value.of_root:
                conditions.append(f"t.{ident(own)} = ANY ($2::{value.column.base}[])")
            elif origin.kind is KeyKind.SPLICED:
                computed[own] = _again(revision, value, origin)
            else:
                keys = keys_of(revision.plan.tables[targets[0].target], theirs)
                conditions.append(f"t.{ident(own)} = ANY ({keys}::{value.column.base}[])")
    if any(name in by_name for name in computed):
        computed |= {name: f"s.{ident(name)}" for name in _beside(table, set(computed))}
        own_columns = ", ".join(f"t.{ident(name)}" for name in computed)
        source = f"{revision.frozen(table)} s, {CAMPAIGNS}"
        conditions.append(f"({own_columns}) IN (SELECT {', '.join(computed.values())} FROM {source})")
    return " AND ".join(conditions)


def _by_parents(revision: Revision, table: TablePlan) -> str:
    """Return the condition that a row references cloned rows, for rows that the clone itself did not make."""
    conditions = []
    for link in (link for link in table.links if link.anchor):
        results = []
        for alternative in link.alternatives:
            (own,), (theirs,) = link.columns, alternative.target_columns
            target = revision.plan.tables[alternative.target]
            base = table.facts.column[own].base
            if alternative.target == 0:
                keys = f"$2::{base}[]"
            elif target.keys.get(theirs) is KeyKind.SPLICED:
                value = spliced(target.facts.column[theirs], f"s.{lo(target.number(theirs))}")
                keys = f"ARRAY(SELECT CAST({value} AS {base}) FROM {revision.frozen(target)} s, {CAMPAIGNS})"
            else:
                keys = f"{keys_of(target, theirs)}::{base}[]"
            typed = f"{of_type(link, alternative.types, 't')} AND " if link.type_column else ""
            results.append(f"{typed}t.{ident(own)} = ANY ({keys})")
        conditions.append(f"({' OR '.join(results)})")
    return f"({' OR '.join(conditions)})" if table.either else " AND ".join(conditions)


def _again(revision: Revision, each: Derived, origin: Origin) -> str:
    """Return the value of a reference that is spliced."""
    key = revision.plan.tables[origin.table].facts.column[origin.column]
    return cast(key, each.column, spliced(key, f"s.{ref(each.number, each.source(origin))}"))


def _beside(table: TablePlan, anchors: set[str]) -> list[str]:
    """Return required columns that are copied and stand before an anchor in an index that no anchor begins.

    They must be named too, or the index does not serve.
    """
    columns = [index.columns for index in table.facts.indexes if anchors & set(index.columns)]
    if any(column[0] in anchors for column in columns):
        return []
    before = {
        name for column in columns[:1] for name in column[: min(column.index(a) for a in anchors if a in column)]
    }
    return sorted(name for name in before if name in table.copied and table.facts.column[name].not_null)
