"""SQL of a revision's functions: what clones campaigns from its snapshot; `claims` gives them away.

All of them are set-based: the number of statements depends on the tables, never on rows or campaigns.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from campaignpool.blueprint.compile.plan import Alternative, ClonePlan, ImagePlan, KeyKind, Link, TablePlan
from campaignpool.blueprint.quote import ident, literal
from campaignpool.blueprint.sql import images
from campaignpool.blueprint.sql.joins import cast, of_type
from campaignpool.blueprint.sql.naming import ORD, function, search_path, snapshot
from campaignpool.blueprint.sql.snapshot import Survey, frozen
from campaignpool.blueprint.sql.values import CAMPAIGNS, Values

_QUEUED = 2
"""Statements that queue images, beside the one that shares what is in no store."""

# How plpgsql reads a name that a column and a variable share.
_HEAD = "#variable_conflict use_column\n"
NEW = f"unnest($1, $2, campaignpool_prefixes) WITH ORDINALITY AS c {CAMPAIGNS}"
"""The campaigns of a batch, as `c`."""
PREFIXES = (
    "campaignpool_prefixes text[] := ARRAY(SELECT left(replace(u.id::text, '-', ''), 16) "
    "FROM unnest($1) WITH ORDINALITY AS u (id, n) ORDER BY u.n);"
)
"""Declares the first 64 bits of the ids of a batch, from the argument `ids`."""


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
        inserted = [group for group in self.plan.order if any(self.surveys[item].rows for item in group)]
        queued = _QUEUED if copied(self) else 0
        after_triggers = sum((table.trigger_rows == "Replace") + bool(table.restore) for table in self.plan.tables)
        return len(inserted) + len(list(_drawn(self))) + queued + after_triggers

    @property
    def rows(self) -> int:
        """Rows that one campaign takes."""
        return sum(survey.rows for survey in self.surveys)

    def frozen(self, table: TablePlan) -> str:
        """Return the frozen rows of a table, for FROM."""
        return frozen(self.plan, table, self.surveys[table.position], self.number)

    @cached_property
    def values(self) -> Values:
        """What a clone makes of the rows, in terms of the functions' variables."""

        def numbered(position: int, column: str, place: str) -> str:
            # The keys of one campaign stand together.
            rows = self.surveys[position].rows
            keys = keys_of(self.plan.tables[position], column)
            return f"{keys}[(c.campaignpool_n - 1) * {rows} + {place}]"

        return Values(
            self.plan, self.pool, self.surveys, numbered, lambda table: snapshot(self.number, table.position)
        )


def keys_of(table: TablePlan, column: str) -> str:
    """Return the variable that holds the values of a column, of all campaigns of a batch."""
    return f"campaignpool_keys_{table.position}_{table.number(column)}"


def clone(revision: Revision) -> str:
    """Write `clone_r<id>(ids uuid[], owners text[]) → keys of the new root rows`, in the order of the ids.

    It fails unless every table got exactly its rows: a trigger that swallows one is no clone.
    """
    declared, body = cloning(revision, checked=True)
    body.append(f"RETURN {root_keys(revision)};")
    return written(revision, "clone", "uuid[], text[]", "text[]", declared, body)


def root_keys(revision: Revision) -> str:
    """Return the keys of the new root rows, as an array of texts."""
    root = revision.plan.root
    name = root.facts.primary_key[0]
    if root.keys.get(name) is KeyKind.NUMBERED:
        return f"{keys_of(root, name)}::text[]"
    if name in root.keys and root.facts.column[name].key_form == "uuid":
        return "$1::text[]"
    return f"ARRAY(SELECT CAST({revision.values.campaign()} AS text) FROM {NEW} ORDER BY c.campaignpool_n)"


def cloning(revision: Revision, *, checked: bool) -> tuple[list[str], list[str]]:
    """Return declarations and statements that clone; with `checked` they raise where a table got other rows."""
    declared, body = drawn(revision)
    declared += ["_rows bigint;", "_made bigint[];"]
    images_plan = copied(revision)
    replaced = {table.position for table in revision.plan.tables if table.trigger_rows == "Replace"}
    for tables in groups(revision):
        for table in (item for item in tables if item.position in replaced):
            body += delete_hanging(revision, table)
            replaced.remove(table.position)
        if images_plan is not None and tables[0].position == images_plan.position:
            body += images.queue(revision, images_plan)
        elif checked:
            body += _insert_group(revision, tables)
        else:
            body.append(f"{insert(revision, tables)}{' INTO _made' if len(tables) > 1 else ''};")
    for position in sorted(replaced):
        body += delete_hanging(revision, revision.plan.tables[position])
    for table in revision.plan.tables:
        if table.restore and revision.surveys[table.position].rows:
            body.append(_restore(revision, table))
    return declared, body


def hanging(revision: Revision, table: TablePlan) -> str | None:
    """Return the condition on `t` that a row is part of one of the new campaigns; None where no row can be.

    It holds for rows of any origin. Only a function that clones can evaluate it, for it knows the keys it drew.
    """
    if table.position == 0:
        key = table.facts.column[table.facts.primary_key[0]]
        return f"t.{ident(key.name)} = ANY ({root_keys(revision)}::{key.base}[])"
    conditions = []
    for link in (link for link in table.links if link.anchor):
        results = [_hangs(revision, table, link, alternative) for alternative in link.alternatives]
        if any(results):
            conditions.append(f"({' OR '.join(result for result in results if result)})")
        elif not table.either:
            return None
    return f"({' OR '.join(conditions)})" if table.either and conditions else " AND ".join(conditions) or None


def _hangs(revision: Revision, table: TablePlan, link: Link, each: Alternative) -> str | None:
    target = revision.plan.tables[each.target]
    if not revision.surveys[each.target].rows:
        return None
    values = revision.values.columns(target)
    pairs = [
        (f"t.{ident(own)}", cast(target.facts.column[theirs], table.facts.column[own], values[theirs]))
        for own, theirs in zip(link.columns, each.target_columns, strict=True)
        if theirs in values
    ]
    own = ", ".join(column for column, _ in pairs)
    keys = ", ".join(value for _, value in pairs)
    typed = f"{of_type(link, each.types, 't')} AND " if link.type_column else ""
    return f"({typed}({own}) IN (SELECT {keys} FROM {revision.frozen(target)} s CROSS JOIN {NEW}))"


def delete_hanging(revision: Revision, table: TablePlan) -> Iterator[str]:
    """Return the statement that deletes rows of a table that triggers have added to the new campaigns."""
    condition = hanging(revision, table)
    if condition:
        yield f"DELETE FROM {table.facts.rows} t WHERE {condition};"


def _restore(revision: Revision, table: TablePlan) -> str:
    """Return the statement that writes columns again, which triggers have changed."""
    columns = revision.values.columns(table)
    names = [name for name in table.restore if name in columns]
    created = ", ".join(
        f"{columns[name]} AS {ident(name)}" for name in dict.fromkeys([*table.facts.primary_key, *names])
    )
    same = " AND ".join(f"t.{ident(name)} = n.{ident(name)}" for name in table.facts.primary_key)
    sets = ", ".join(f"{ident(name)} = n.{ident(name)}" for name in names)
    return (
        f"UPDATE {table.facts.rows} t SET {sets} "
        f"FROM (SELECT {created} FROM {revision.frozen(table)} s CROSS JOIN {NEW}) n WHERE {same};"
    )


def copied(revision: Revision) -> ImagePlan | None:
    """Return how images are copied; None where they are shared, or the template has none."""
    plan = revision.plan.images
    return plan if plan is not None and revision.surveys[plan.position].rows else None


def settle(revision: Revision) -> str | None:
    """Write `settle_r<id>(campaign uuid, root key text, files jsonb) → how many were new`; None without images."""
    plan = copied(revision)
    if plan is None:
        return None
    body = images.settle(revision, plan)
    return written(revision, "settle", "uuid, text, jsonb", "integer", ["_done text[];"], body)


def drawn(revision: Revision) -> tuple[list[str], list[str]]:
    """Return what comes before the inserts: declarations of variables, and statements that draw keys."""
    declared, body = [PREFIXES, "_campaigns bigint := cardinality($1);"], []
    for table, name in _drawn(revision):
        column = table.facts.column[name]
        declared.append(f"{keys_of(table, name)} {column.base}[];")
        body.append(
            f"{keys_of(table, name)} := ARRAY(SELECT CAST(({column.default}) AS {column.base}) "
            f"FROM generate_series(1, _campaigns * {revision.surveys[table.position].rows}));"
        )
    return declared, body


def groups(revision: Revision) -> Iterator[list[TablePlan]]:
    """Return the tables that have rows, in the order of insertion; each group is inserted by one statement."""
    for group in revision.plan.order:
        if filled := [revision.plan.tables[item] for item in group if revision.surveys[item].rows]:
            yield filled


def insert(revision: Revision, tables: list[TablePlan], window: str | None = None) -> str:
    """Return the statement that inserts tables which refer to each other; foreign keys are checked at its end.

    Of several tables it gives an array with the number of rows of each. A window (OFFSET, LIMIT) takes a part of
    the rows.
    """
    inserts = [_insert(revision, table, window) for table in tables]
    if len(tables) == 1:
        return inserts[0]
    parts = [f"i{n} AS ({item} RETURNING 1)" for n, item in enumerate(inserts)]
    counts = [f"(SELECT count(*) FROM i{n})" for n in range(len(inserts))]
    return f"WITH {', '.join(parts)} SELECT ARRAY[{', '.join(counts)}]"


def _insert_group(revision: Revision, tables: list[TablePlan]) -> Iterator[str]:
    """Return statements that insert tables which refer to each other, and see that each got exactly its rows."""
    if len(tables) == 1:
        yield f"{insert(revision, tables)};"
        yield "GET DIAGNOSTICS _rows = ROW_COUNT;"
        yield "_made := ARRAY[_rows];"
    else:
        yield f"{insert(revision, tables)} INTO _made;"
    for number, table in enumerate(tables, 1):
        wanted = f"_campaigns * {revision.surveys[table.position].rows}"
        named = f"table {table.facts.name}".replace("%", "%%")
        message = literal(f"{named}: % rows inserted instead of %")
        hint = literal("A trigger or a rule of the table keeps rows from being inserted.")
        yield (
            f"IF _made[{number}] IS DISTINCT FROM {wanted} THEN RAISE EXCEPTION {message}, _made[{number}], {wanted} "
            f"USING ERRCODE = 'CP010', HINT = {hint}; END IF;"
        )
        text = literal(f"% rows of {table.facts.name.replace('%', '%%')}")
        yield f"IF current_setting('campaignpool.progress', true) = 'on' THEN RAISE NOTICE {text}, {wanted}; END IF;"


def _insert(revision: Revision, table: TablePlan, window: str | None = None) -> str:
    columns = revision.values.columns(table)
    override = any(table.facts.column[name].identity == "a" for name in columns)
    targets = ", ".join(ident(name) for name in columns)
    rows = f"(SELECT * FROM {revision.frozen(table)} s ORDER BY s.{ORD} {window or 'OFFSET 0'})"
    # A left join keeps its sides, where the planner would turn a cross join round: each row for all campaigns, then
    # the next row, is what the application's indexes take best (`bench/README.md`).
    return (
        f"INSERT INTO {table.facts.name} ({targets}){' OVERRIDING SYSTEM VALUE' if override else ''}\n"
        f"SELECT {', '.join(columns.values())}\nFROM {rows} s LEFT JOIN {NEW} ON true"
    )


def _drawn(revision: Revision) -> Iterator[tuple[TablePlan, str]]:
    """Return the columns whose values are drawn before anything is inserted."""
    for table in revision.plan.tables:
        if revision.surveys[table.position].rows:
            for name in table.numbered:
                yield table, name


def written(
    revision: Revision,
    kind: str,
    arguments: str,
    returns: str,
    declared: list[str],
    body: list[str],
    *,
    settings: str = "",
) -> str:
    """Write a function whose names are all qualified; the tables' own schemas serve triggers that are not."""
    lines = [*(["DECLARE", *(f"    {line}" for line in declared)] if declared else []), "BEGIN"]
    text = _HEAD + "\n".join([*lines, *(f"    {line}" for line in body), "END"])
    name = function(kind, revision.number)
    return (
        f"CREATE FUNCTION {name}({arguments}) RETURNS {returns} LANGUAGE plpgsql "
        f"SET search_path = {search_path(revision.plan)}{f' SET {settings}' if settings else ''} AS {literal(text)}; "
        f"REVOKE ALL ON FUNCTION {name}({arguments}) FROM PUBLIC"
    )
