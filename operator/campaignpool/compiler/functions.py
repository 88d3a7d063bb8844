"""SQL of a revision's functions: what clones, claims and deletes campaigns from its snapshot.

All of them are set-based: the number of statements depends on the tables, never on rows or campaigns.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from campaignpool.clone import ClonePlan, KeyKind, TablePlan, substitute
from campaignpool.compiler.naming import LO, ORD, function, ident, literal, raw, ref, snapshot
from campaignpool.compiler.snapshot import Link, Survey, links

# How plpgsql reads a name that a column and a variable share.
_HEAD = "#variable_conflict use_column\n"
_PREFIXES = (
    "_hi text[] := ARRAY(SELECT left(replace(u.id::text, '-', ''), 16) "
    "FROM unnest($1) WITH ORDINALITY AS u (id, n) ORDER BY u.n);"
)
_CAMPAIGNS = (
    "unnest($1, $2, _hi) WITH ORDINALITY AS c (campaignpool_id, campaignpool_owner, campaignpool_hi, campaignpool_n)"
)


@dataclass(frozen=True)
class Revision:
    """What the functions of a revision are written from.

    Attributes:
        number: Of the revision; it is part of every name.
        pool: Name of the pool, `namespace/name`.
        plan: The clone plan.
        surveys: What the template holds, by position of the table.
    """

    number: int
    pool: str
    plan: ClonePlan
    surveys: tuple[Survey, ...]

    @property
    def statements(self) -> int:
        """Statements that one batch takes, those that draw keys from sequences included."""
        inserted = [group for group in self.plan.order if any(self.surveys[each].rows for each in group)]
        return len(inserted) + len(list(_numbered(self)))

    @property
    def rows(self) -> int:
        """Rows that one campaign takes."""
        return sum(survey.rows for survey in self.surveys)


def clone(revision: Revision) -> str:
    """Write `clone_r<id>(ids uuid[], owners text[]) → keys of the new root rows`, in the order of the ids.

    It fails unless every table got exactly its rows: a trigger that swallows one is no clone.
    """
    declared, body = drawn(revision)
    declared += ["_rows bigint;", "_made bigint[];"]
    for tables in groups(revision):
        body += _insert_group(revision, tables)
    root = revision.plan.root
    keys = "$1::text[]" if root.key is KeyKind.SPLICED else f"_keys_{root.position}::text[]"
    body.append(f"RETURN {keys};")
    return written(revision, "clone", "uuid[], text[]", "text[]", declared, body)


def drawn(revision: Revision) -> tuple[list[str], list[str]]:
    """Give what comes before the inserts: declarations of variables, and statements that draw keys."""
    declared, body = [_PREFIXES, "_campaigns bigint := cardinality($1);"], []
    for table in _numbered(revision):
        declared.append(f"_keys_{table.position} bigint[];")
        sequence = literal(table.key_column.sequence or "") if table.key_column else ""
        rows = revision.surveys[table.position].rows
        body.append(
            f"_keys_{table.position} := "
            f"ARRAY(SELECT nextval({sequence}) FROM generate_series(1, _campaigns * {rows}));"
        )
    return declared, body


def groups(revision: Revision) -> Iterator[list[TablePlan]]:
    """Give the tables that have rows, in the order of insertion; each group is inserted by one statement."""
    for group in revision.plan.order:
        if filled := [revision.plan.tables[each] for each in group if revision.surveys[each].rows]:
            yield filled


def insert(revision: Revision, tables: list[TablePlan], window: str | None = None) -> str:
    """Give the statement that inserts tables which refer to each other; foreign keys are checked at its end.

    Of several tables it gives an array with the number of rows of each. A window (ORDER BY, OFFSET, LIMIT) takes a
    part of the rows.
    """
    inserts = [_insert(revision, table, window) for table in tables]
    if len(tables) == 1:
        return inserts[0]
    parts = [f"i{n} AS ({each} RETURNING 1)" for n, each in enumerate(inserts)]
    counts = [f"(SELECT count(*) FROM i{n})" for n in range(len(inserts))]
    return f"WITH {', '.join(parts)} SELECT ARRAY[{', '.join(counts)}]"


def _insert_group(revision: Revision, tables: list[TablePlan]) -> Iterator[str]:
    """Give statements that insert tables which refer to each other, and see that each got exactly its rows."""
    if len(tables) == 1:
        yield f"{insert(revision, tables)};"
        yield "GET DIAGNOSTICS _rows = ROW_COUNT;"
        yield "_made := ARRAY[_rows];"
    else:
        yield f"{insert(revision, tables)} INTO _made;"
    for number, table in enumerate(tables, 1):
        wanted = f"_campaigns * {revision.surveys[table.position].rows}"
        message = literal(f"table {table.facts.name}: % rows inserted instead of %")
        hint = literal("A trigger or a rule of the table keeps rows from being inserted.")
        yield (
            f"IF _made[{number}] IS DISTINCT FROM {wanted} THEN RAISE EXCEPTION {message}, _made[{number}], {wanted} "
            f"USING ERRCODE = 'CP010', HINT = {hint}; END IF;"
        )
        said = literal(f"% rows of {table.facts.name}")
        yield f"IF current_setting('campaignpool.progress', true) = 'on' THEN RAISE NOTICE {said}, {wanted}; END IF;"


def _insert(revision: Revision, table: TablePlan, window: str | None = None) -> str:
    columns = _columns(revision, table)
    override = any(table.facts.column[name].identity == "a" for name in columns)
    targets = ", ".join(ident(name) for name in columns)
    order = f"ORDER BY s.{ORD} " if table.key in (KeyKind.SPLICED, KeyKind.NUMBERED) else ""
    rows = f"(SELECT * FROM {snapshot(revision.number, table.position)} s {window or f'{order}OFFSET 0'})"
    # A left join keeps its sides, where the planner would turn a cross join round: each row for all campaigns, then
    # the next row, is what the application's indexes take best (`bench/README.md`).
    return (
        f"INSERT INTO {table.facts.name} ({targets}){' OVERRIDING SYSTEM VALUE' if override else ''}\n"
        f"SELECT {', '.join(columns.values())}\nFROM {rows} s LEFT JOIN {_CAMPAIGNS} ON true"
    )


def _columns(revision: Revision, table: TablePlan) -> Mapping[str, str]:
    """Give the columns to insert and the expression of each, in the order of the table."""
    made: dict[str, str] = {name: f"s.{ident(name)}" for name in table.copied}
    if table.key_column and table.key is KeyKind.SPLICED:
        made[table.key_column.name] = "c.campaignpool_id" if table.position == 0 else _spliced(f"s.{LO}")
    elif table.key_column and table.key is KeyKind.NUMBERED:
        made[table.key_column.name] = _numbered_key(revision, table.position, f"s.{ORD}")
    by_column: dict[str, list[Link]] = {}
    for link in links(revision.plan, table):
        by_column.setdefault(link.column, []).append(link)
    for name, parts in by_column.items():
        made[name] = _reference(revision, table, parts)
    values = {
        "campaign": _campaign_key(revision),
        "name": f"({literal(revision.pool.rpartition('/')[2] + '-')} || c.campaignpool_hi)",
        "owner": "nullif(c.campaignpool_owner, '')",
    }
    for name, expression in table.sets.items():
        made[name] = f"CAST(({substitute(expression, values)}) AS {table.facts.column[name].type})"
    return {column.name: made[column.name] for column in table.facts.columns if column.name in made}


def _reference(revision: Revision, table: TablePlan, parts: list[Link]) -> str:
    """Give the key of the clone of a reference's target, or the reference itself where it leaves the template."""
    column = table.facts.column[parts[0].column]
    survey = revision.surveys[table.position]
    found = []
    for link in parts:
        to_root = [target for target, _ in link.types] == [0]
        if link.kind is KeyKind.NUMBERED:
            value = _numbered_key(revision, link.types[0][0], f"s.{ref(link.number)}")
        elif to_root and link.anchor and not link.type_column:
            value = "c.campaignpool_id"
        else:
            value = _spliced(f"s.{ref(link.number)}")
        kind = "uuid" if link.kind is KeyKind.SPLICED else "bigint"
        found.append(value if column.type == kind else f"CAST({value} AS {column.type})")
    found += [f"s.{raw(link.number)}" for link in parts if survey.outside[link.number]]
    return found[0] if len(found) == 1 else f"coalesce({', '.join(found)})"


def _spliced(suffix: str) -> str:
    return f"CAST(c.campaignpool_hi || {suffix} AS uuid)"


def _numbered_key(revision: Revision, position: int, place: str) -> str:
    """Give the key of a row by its place: the keys of one campaign stand together."""
    return f"_keys_{position}[(c.campaignpool_n - 1) * {revision.surveys[position].rows} + {place}]"


def _campaign_key(revision: Revision) -> str:
    if revision.plan.root.key is KeyKind.SPLICED:
        return "c.campaignpool_id"
    return f"_keys_{revision.plan.root.position}[c.campaignpool_n]"


def _numbered(revision: Revision) -> Iterator[TablePlan]:
    for table in revision.plan.tables:
        if table.key is KeyKind.NUMBERED and revision.surveys[table.position].rows:
            yield table


def on_claim(revision: Revision) -> str:
    """Write `on_claim_r<id>(id uuid, root key text, claimant text) → whether the campaign was there`."""
    root, rules = revision.plan.root, revision.plan.blueprint.on_claim
    key = root.facts.column[root.facts.primary_key[0]]
    values = {
        "campaign": f"CAST($2 AS {key.type})",
        "name": f"({literal(revision.pool.rpartition('/')[2] + '-')} || left(replace($1::text, '-', ''), 16))",
        "owner": "$3",
        "claimant": "$3",
    }
    row = f"t.{ident(key.name)} = CAST($2 AS {key.type})"
    if rules.set_:
        sets = [
            f"{ident(name)} = CAST(({substitute(expression, values)}) AS {root.facts.column[name].type})"
            for name, expression in rules.set_.items()
        ]
        body = [f"UPDATE {root.facts.name} AS t SET {', '.join(sets)} WHERE {row};"]
    else:
        body = [f"PERFORM 1 FROM {root.facts.name} AS t WHERE {row} FOR NO KEY UPDATE;"]
    body.append("IF NOT FOUND THEN RETURN false; END IF;")
    for name, types, given in claim_inserts(revision.plan):
        columns = ", ".join(ident(column) for column in given)
        cast = [f"CAST(({substitute(each, values)}) AS {types[column]})" for column, each in given.items()]
        body.append(f"INSERT INTO {name} ({columns}) VALUES ({', '.join(cast)});")
    body.append("RETURN true;")
    return written(revision, "on_claim", "uuid, text, text", "boolean", [], body)


def claim_inserts(plan: ClonePlan) -> Iterator[tuple[str, Mapping[str, str], Mapping[str, str]]]:
    """Give the rows that a claim inserts: table, type of each column, expression of each column."""
    for row, facts in zip(plan.blueprint.on_claim.insert, plan.claim_tables, strict=True):
        yield facts.name, {name: facts.column[name].type for name in row.values}, row.values


def retire(revision: Revision) -> str:
    """Write `retire_r<id>(ids uuid[], root keys text[])`: delete campaigns, children first, never by a cascade."""
    plan = revision.plan
    declared = [_PREFIXES, "_gone bigint;"]
    body: list[str] = []
    # Keys that sequences gave are found again on the way down, so that their children can be found on the way up.
    for group in plan.order:
        for table in (plan.tables[each] for each in group):
            if table.key is KeyKind.NUMBERED and table.key_column:
                declared.append(f"_keys_{table.position} bigint[];")
                key = ident(table.key_column.name)
                found = "$2::bigint[]" if table.position == 0 else _found_keys(revision, table, key)
                body.append(f"_keys_{table.position} := {found};")
    for group in reversed(plan.order):
        deletes = [_delete(revision, plan.tables[each]) for each in reversed(group)]
        if len(deletes) == 1:
            body.append(f"{deletes[0]};")
        else:
            parts = [f"d{n} AS ({delete} RETURNING 1)" for n, delete in enumerate(deletes)]
            body.append(f"WITH {', '.join(parts)} SELECT count(*) INTO _gone FROM d0;")
    return written(revision, "retire", "uuid[], text[]", "void", declared, body)


def _found_keys(revision: Revision, table: TablePlan, key: str) -> str:
    source, condition = _located(revision, table)
    using = f" , {source}" if source else ""
    return f"ARRAY(SELECT t.{key} FROM {table.facts.name} t{using} WHERE {condition})"


def _delete(revision: Revision, table: TablePlan) -> str:
    if table.key is KeyKind.NUMBERED and table.key_column:
        return (
            f"DELETE FROM {table.facts.name} t WHERE t.{ident(table.key_column.name)} = ANY (_keys_{table.position})"
        )
    source, condition = _located(revision, table)
    using = f" USING {source}" if source else ""
    return f"DELETE FROM {table.facts.name} t{using} WHERE {condition}"


def _located(revision: Revision, table: TablePlan) -> tuple[str, str]:
    """Give what finds the rows that were cloned: a source to join and a condition on `t` that an index serves."""
    campaigns = "unnest($1, _hi) AS c (campaignpool_id, campaignpool_hi)"
    own = f"{snapshot(revision.number, table.position)} s, {campaigns}"
    if table.position == 0:
        key = table.facts.column[table.facts.primary_key[0]]
        return "", f"t.{ident(key.name)} = ANY ($2::{key.type}[])"
    if table.key is KeyKind.SPLICED and table.key_column:
        return own, f"t.{ident(table.key_column.name)} = {_spliced(f's.{LO}')}"
    anchors = [link for link in links(revision.plan, table) if link.anchor]
    numbered = next((link for link in anchors if link.kind is KeyKind.NUMBERED), None)
    if numbered:
        typed = f"t.{ident(numbered.type_column)} IN ({_names(numbered)}) AND " if numbered.type_column else ""
        return "", f"{typed}t.{ident(numbered.column)} = ANY (_keys_{numbered.types[0][0]})"
    conditions = []
    for link in anchors:
        column = table.facts.column[link.column]
        cast = "" if column.type == "uuid" else f"::{column.type}"
        conditions.append(f"t.{ident(link.column)} = {_spliced(f's.{ref(link.number)}')}{cast}")
    # Columns that stand before the key in an index must be named too, or the index does not serve.
    beside = _beside(table, {link.column for link in anchors})
    conditions += [f"t.{ident(name)} = s.{ident(name)}" for name in beside]
    return own, " AND ".join(conditions)


def _beside(table: TablePlan, anchors: set[str]) -> list[str]:
    """Give required columns that are copied and share an index with an anchor."""
    shared = {
        name
        for index in table.facts.indexes
        if anchors & set(index.columns)
        for name in index.columns
        if name in table.copied and table.facts.column[name].not_null
    }
    return sorted(shared)


def _names(link: Link) -> str:
    return ", ".join(literal(name) for _, names in link.types for name in names)


def written(revision: Revision, kind: str, arguments: str, returns: str, declared: list[str], body: list[str]) -> str:
    """Write a function whose names are all qualified; the tables' own schemas serve triggers that are not."""
    schemas = dict.fromkeys(ident(table.facts.schema_) for table in revision.plan.tables)
    lines = [*(["DECLARE", *(f"    {line}" for line in declared)] if declared else []), "BEGIN"]
    text = _HEAD + "\n".join([*lines, *(f"    {line}" for line in body), "END"])
    name = function(kind, revision.number)
    return (
        f"CREATE FUNCTION {name}({arguments}) RETURNS {returns} LANGUAGE plpgsql "
        f"SET search_path = pg_catalog, {', '.join(schemas)}, pg_temp AS {literal(text)}; "
        f"REVOKE ALL ON FUNCTION {name}({arguments}) FROM PUBLIC"
    )
