"""Rehearse a clone of a revision and compare it with the plan; everything is rolled back.

A clone counts rows by its own statements. What triggers, rules, policies or defaults do beside them shows only in the
tables: rows that were added or changed, keys that did not come back, a constraint that refuses.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import asyncpg

from campaignpool.blueprint.catalog import TableFacts, Trigger
from campaignpool.blueprint.claiming import claimed
from campaignpool.blueprint.compile.plan import ClonePlan, TablePlan
from campaignpool.blueprint.queries import queries_of
from campaignpool.blueprint.sql import verification
from campaignpool.blueprint.sql.functions import Revision
from campaignpool.blueprint.sql.naming import function
from campaignpool.ledger.database import Connection
from campaignpool.ledger.seeding import raised_text, sequence_behind
from campaignpool.sqlstates import Refusal, described

_TIMES = ("date", "timestamp", "time ")


@dataclass(frozen=True)
class Verified:
    """What a rehearsal found.

    Attributes:
        faults: What makes every clone wrong.
        warnings: What is worth knowing.
        differing: Columns, by position of the table, in which every clone differs from the template.
    """

    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    differing: frozenset[tuple[int, str]] = frozenset()


async def new_ids(connection: Connection, suffix: bytes | None, count: int) -> list[object]:
    """Return ids of so many campaigns; `suffix` is that of the root's key, as the ledger has it."""
    return [row["id"] for row in await connection.fetch(queries_of("check")["ids"], suffix, count)]


async def verify(
    connection: Connection,
    revision: Revision,
    suffix: bytes | None,
    condition: str | None,
    *,
    campaigns: int = 1,
    retire: bool = False,
) -> Verified:
    """Clone campaigns of an installed revision in a savepoint and compare them with the plan.

    Args:
        connection: In a transaction.
        revision: The revision, whose functions exist.
        suffix: Of the root's key, as the ledger has it.
        condition: What chooses the template; a clone must not match it too.
        campaigns: How many are cloned, at least; two where only rows show that two cannot stand side by side.
        retire: Delete the clones again, and warn where that is refused.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        if any(table.facts.told_by_rows for table in revision.plan.tables):
            campaigns = max(campaigns, 2)
        ids, owners = await new_ids(connection, suffix, campaigns), [""] * campaigns
        await connection.execute(verification.rehearse(revision, condition))
        query = f"SELECT * FROM {function('rehearse', revision.number)}($1, $2)"  # noqa: S608 (a name of ours)
        rehearsal = connection.transaction()
        await rehearsal.start()
        try:
            *rows, made = await connection.fetch(query, ids, owners)
            refusal, doubt = (None, None) if rows else await claimed(connection, revision, ids[0], made["named"])
        except asyncpg.InsufficientPrivilegeError:
            raise
        except REFUSALS as error:
            await rehearsal.rollback()
            return Verified((await refused(connection, revision, ids[:1], error),))
        await rehearsal.rollback()
        plan = revision.plan
        told = [(_is_time(plan, row), _difference(plan, row)) for row in rows]
        faults = (*(text for time, text in told if not time), *([refusal] if refusal else []))
        warnings = [*(text for time, text in told if time), *([doubt] if doubt else [])]
        if retire and not faults:
            warnings += await _retired(connection, revision, ids, owners)
        differing = frozenset((row["place"], row["named"]) for row in rows if row["kind"] == "value")
        return Verified(faults, tuple(warnings), differing)
    finally:
        if not connection.is_closed():
            await transaction.rollback()


REFUSALS = (
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.DataError,
    asyncpg.RaiseError,
    asyncpg.PLPGSQLError,
    asyncpg.TriggeredDataChangeViolationError,
    asyncpg.SyntaxOrAccessError,
    asyncpg.FeatureNotSupportedError,
    asyncpg.ObjectNotInPrerequisiteStateError,
)
"""What Postgres raises where the data, a trigger or the schema refuses a clone."""


def _is_time(plan: ClonePlan, row: asyncpg.Record) -> bool:
    """Return whether a difference is only that a trigger wrote when a row was inserted."""
    if row["kind"] != "value":
        return False
    base: str = plan.tables[row["place"]].facts.column[row["named"]].base
    return base.startswith(_TIMES)


def _difference(plan: ClonePlan, row: asyncpg.Record) -> str:
    """Return a difference as a sentence that names table, column, triggers and the way out."""
    table = plan.tables[row["place"]]
    name, column, seen, planned = table.facts.name, row["named"], row["seen"], row["planned"]
    if row["kind"] == "template":
        return (
            "spec.template.where holds for a clone too, so the template would be ambiguous: set a column of "
            f"{name} under `root` so that it does not, or choose the template by its key"
        )
    if row["kind"] == "rows":
        added = list(_writers(plan, table)) if seen > planned else list(_own(table, before=True))
        if table.position == 0:
            return (
                f"the key of {name} is not the one that the clone gave its campaign{_by(added)}: let "
                "the key stay where it is given, or leave the blueprint's root to another table"
            )
        rows = f"a clone has {seen:,} rows of {name} instead of {planned:,}{_by(added)}"
        if seen > planned:
            return (
                f"{rows}: declare `triggerRows: Replace` for {table.facts.relation} to put the template's rows in "
                "their place, or `triggerRows: Keep` to copy none"
            )
        return f"{rows}: leave the table out, or let its rows be inserted"
    if row["kind"] == "order":
        return f"rows of {name} hold each other's values in a clone: {seen:,} of {planned:,}{_by(_own(table))}"
    if column in table.keys or column in table.anchors:
        return (
            f"column {column} of {name} is not what the clone gave it in {seen:,} of {planned:,} rows"
            f"{_by(_own(table))}: let the trigger keep a value that is given"
        )
    return (
        f"column {column} of {name} is not what the template has in {seen:,} of {planned:,} rows of a clone"
        f"{_by([*_own(table), *_writers(plan, table)])}: name it under `restore` of {table.facts.relation} to write "
        "it again after all rows, or set it"
    )


def _by(triggers: Iterator[str] | Sequence[str]) -> str:
    """Return who may have made a difference, as the end of a clause."""
    names = list(dict.fromkeys(triggers))
    return f", made by {', '.join(names)}" if names else ", made by a rule, a default or a trigger of another table"


def _named(facts: TableFacts, trigger: Trigger) -> str:
    return f"trigger {trigger.name} of {facts.name}"


def _own(table: TablePlan, *, before: bool = False) -> Iterator[str]:
    """Yield the triggers of a table that fire when a row is inserted."""
    for trigger in table.facts.triggers:
        if trigger.insert and (trigger.before or not before):
            yield _named(table.facts, trigger)


def _writers(plan: ClonePlan, table: TablePlan) -> Iterator[str]:
    """Yield the triggers whose function names a table, or else all that fire when a row is inserted."""
    fired = [(item.facts, trigger) for item in plan.tables for trigger in item.facts.triggers if trigger.insert]
    word = re.compile(rf"\b{re.escape(table.facts.relation)}\b", re.IGNORECASE)
    writing = [(facts, trigger) for facts, trigger in fired if word.search(trigger.source)]
    yield from (_named(facts, trigger) for facts, trigger in writing or fired)


async def refused(connection: Connection, revision: Revision, ids: list[object], error: asyncpg.PostgresError) -> str:
    """Return why Postgres refuses a clone: table, row of the template, constraint, triggers, and what helps."""
    plan = revision.plan
    place = next((t for t in plan.tables if (t.facts.schema_, t.facts.relation) == _place(error)), None)
    named, row = place is not None, None
    for table in [place] if place else [plan.tables[item] for group in plan.order for item in group]:
        # Where Postgres names no table, as of a value that is too long, the first that is refused is the one.
        if row := await _row(connection, revision, ids, table, error):
            place = table
            break
    where = f" for the template's row {row}" if row else ""
    where += f" of {place.facts.name}" if row and place and not named else ""
    fired = [
        _named(t.facts, trigger)
        for t in ([place] if place else plan.tables)
        for trigger in t.facts.triggers
        if trigger.insert
    ]
    by = f" (fired: {', '.join(fired)})" if fired else ""
    raised = await raised_text(connection, getattr(error, "context", None))
    remedy = await _remedy(connection, revision, place, error)
    return f"a clone of the template is refused{where}: {described(error, raised)}{by}: {remedy}"


async def _remedy(
    connection: Connection, revision: Revision, table: TablePlan | None, error: asyncpg.PostgresError
) -> str:
    """Return what a person can do about a refusal."""
    constraint = getattr(error, "constraint_name", None)
    if isinstance(error, asyncpg.UniqueViolationError) and table is not None and constraint:
        statement = await sequence_behind(connection, table.facts.name, constraint)
        if statement:
            return f"the sequence draws numbers that rows have: {statement}"
    if isinstance(error, asyncpg.SequenceGeneratorLimitExceededError):
        return "let the column and its sequence be of type bigint: ALTER TABLE ... ALTER COLUMN ... TYPE bigint"
    if isinstance(error, asyncpg.ExclusionViolationError) and table is not None:
        columns = ", ".join(sorted({name for item in table.facts.exclusions.values() for name in item}))
        return (
            f"every campaign would hold what the constraint lets one have: set one of {columns}, or leave the table "
            "out"
        )
    if isinstance(error, asyncpg.CheckViolationError) and table is not None:
        counts = revision.surveys[table.position].nulled
        links = zip(table.links, counts, strict=True)
        gone = [", ".join(link.nulls) for link, rows in links if rows and link.nulls]
        if gone:
            return (
                f"{', '.join(gone)} becomes NULL where what it refers to is left out: let the filter keep those "
                "rows, or set the column"
            )
    if isinstance(error, asyncpg.UndefinedObjectError) and Refusal.of(error).function:
        return (
            "give the role in the URL the setting with ALTER ROLE ... SET, or let the function read it with "
            "current_setting(name, true)"
        )
    sets = f" ({', '.join(table.sets)})" if table is not None and table.sets else ""
    return f"correct the row, or what the blueprint sets{sets}" if sets else "correct the row, or set the column"


def _place(error: asyncpg.PostgresError) -> tuple[str | None, str | None]:
    return getattr(error, "schema_name", None), getattr(error, "table_name", None)


async def _row(
    connection: Connection, revision: Revision, ids: list[object], table: TablePlan, error: asyncpg.PostgresError
) -> str | None:
    """Return the key of a template row that is refused in the same way, found by halves."""
    number, position = revision.number, table.position
    probe = f"SELECT {function('probe', number)}($1, $2, $3, $4, $5)"

    async def refuses(first: int, count: int) -> bool:
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(probe, ids, [""], position, first, count)
        except asyncpg.PostgresError as other:
            return _kind(other) == _kind(error)
        else:
            return False
        finally:
            await transaction.rollback()

    first, count = 0, revision.surveys[position].rows
    if not count or not await refuses(first, count):
        return None
    while count > 1:
        half = count // 2
        if await refuses(first, half):
            count = half
        elif await refuses(first + half, count - half):
            first, count = first + half, count - half
        else:
            return None
    key: str | None = await connection.fetchval(
        f"SELECT {function('key', number)}($1, $2)",
        position,
        first,
    )
    return key


def _kind(error: asyncpg.PostgresError) -> tuple[object, object, object]:
    names = ("constraint_name", "column_name")
    return (error.sqlstate, *(getattr(error, name, None) for name in names))  # type: ignore[return-value]


async def _retired(connection: Connection, revision: Revision, ids: list[object], owners: list[str]) -> list[str]:
    """Delete clones again; return a warning where that is refused."""
    number = revision.number
    keys = await connection.fetchval(f"SELECT {function('clone', number)}($1, $2)", ids, owners)
    try:
        async with connection.transaction():
            await connection.execute(f"SELECT {function('retire', number)}($1, $2)", ids, keys)
            await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except asyncpg.PostgresError as error:
        fired = [
            _named(t.facts, trigger) for t in revision.plan.tables for trigger in t.facts.triggers if trigger.delete
        ]
        by = f" (fired: {', '.join(fired)})" if fired else ""
        raised = await raised_text(connection, getattr(error, "context", None))
        return [f"a campaign that nobody claimed cannot be deleted: {described(error, raised)}{by}"]
    return []
