"""Install a compiled blueprint: freeze the template, write the functions.

What is installed is a **revision**: snapshot tables and the functions `clone_r<id>`, `on_claim_r<id>` and
`retire_r<id>`. A revision never changes; another blueprint, catalog or template makes another one. The latest are
kept, so that a person can go back to them; others that nothing needs any more are dropped.
"""

import json
from collections.abc import Mapping

from campaignpool.blueprint import findings, fingerprint, left_out
from campaignpool.blueprint.canary import Canary, check
from campaignpool.blueprint.compilation import Compiled
from campaignpool.blueprint.compile.plan import ClonePlan, ImagePlan, KeyKind
from campaignpool.blueprint.fingerprint import Fingerprint
from campaignpool.blueprint.queries import queries_of
from campaignpool.blueprint.sql import audit, claims, functions, images, probe, retirement, snapshot
from campaignpool.blueprint.sql.naming import lo, rows, search_path
from campaignpool.blueprint.sql.naming import snapshot as named
from campaignpool.blueprint.sql.snapshot import Survey
from campaignpool.errors import BlueprintError
from campaignpool.ledger import sql
from campaignpool.ledger.database import Connection
from campaignpool.ledger.event_triggers import obeyed

_QUERY = sql.queries("revisions")
_FUNCTIONS = (functions.clone, claims.on_claim, claims.on_release)
_PATH = "SELECT set_config('search_path', $1, true)"


async def install(
    connection: Connection,
    pool: str,
    compiled: Compiled,
    *,
    replaces: int | None = None,
    canary: Canary | None = None,
) -> int | None:
    """Freeze the template as a revision and put it into service, in one transaction; return its number.

    Return None where nothing was to be done: another operator was quicker.

    Args:
        connection: To the pool's database.
        pool: `namespace/name` of the resource.
        compiled: The blueprint against the current database.
        replaces: The revision that is replaced if it is in service; one of another plan is always replaced.
        canary: What is checked before the revision goes into service.

    Raises:
        BlueprintError: Clones would violate a unique index, each named with the columns that could be set.
        ConfigurationError: An event trigger of the database refuses what is created.
    """
    number = None
    async with obeyed(connection), connection.transaction(isolation="repeatable_read"):
        held = await connection.fetchrow(_QUERY["lock_pool"], pool)
        if held is not None and (held["plan_hash"] != compiled.plan_hash or held["revision_id"] == replaces):
            number = await _install(connection, pool, compiled, canary or Canary())
    if number is not None:
        # Apart: that transaction sees the revisions of other pools as they were when it began.
        await connection.execute(_QUERY["write_apply_on_claim"])
    return number


async def use(connection: Connection, revision: int) -> bool:
    """Put a revision into service that is kept; return whether it is."""
    kept = bool(await connection.fetchval(_QUERY["use_revision"], revision))
    await connection.execute(_QUERY["write_apply_on_claim"])
    return kept


async def _install(connection: Connection, pool: str, compiled: Compiled, canary: Canary) -> int:
    plan = compiled.plan
    surveys = await collect(connection, plan, compiled.template)
    faults = [fault async for fault in findings.contradictions(connection, plan, surveys)]
    faults += [fault async for fault in findings.collisions(connection, plan)]
    if faults:
        raise BlueprintError(faults)
    number = int(await connection.fetchval(_QUERY["next_revision"]))
    async with fingerprint.canonical(connection):
        for table, survey in zip(plan.tables, surveys, strict=True):
            for statement in snapshot.freeze(plan, table, survey, number):
                await connection.execute(statement)
    revision = functions.Revision(number, pool, plan, surveys)
    if plan.images is not None:
        await _freeze_blobs(connection, plan.images, revision)
    for write in (*_FUNCTIONS, retirement.retire, audit.missing, audit.lacking, probe.probe, probe.key):
        await connection.execute(write(revision))
    suffix = await _root_suffix(connection, revision)
    verified = await check(connection, revision, suffix, compiled.condition, canary)
    if verified.faults:
        raise BlueprintError(list(verified.faults))
    await connection.execute(audit.changed(revision, verified.differing))
    result = await fingerprint.take(connection, plan, rows(number))
    referring = await left_out.candidates(connection, plan)
    await connection.execute(queries_of("install")["let_owner_read"])
    await connection.execute(
        _QUERY["put_revision"],
        number,
        pool,
        compiled.plan_hash,
        result.text,
        compiled.template,
        plan.root.facts.column[plan.root.facts.primary_key[0]].base,
        suffix,
        plan.blueprint.model_dump_json(by_alias=True, exclude_defaults=True),
        json.dumps(_described(revision, result)),
        revision.rows,
        revision.statements,
        sorted(await left_out.counted(connection, referring)),
        claims.claimant_type(plan),
    )
    await connection.execute(_QUERY["use_revision"], number)
    return number


async def _freeze_blobs(connection: Connection, plan: ImagePlan, revision: functions.Revision) -> None:
    for statement in images.freeze(plan, revision.number):
        await connection.execute(statement)
    if settle := functions.settle(revision):
        await connection.execute(settle)


async def collect(connection: Connection, plan: ClonePlan, template: str) -> tuple[Survey, ...]:
    """Collect the template's rows in temporary tables of the transaction, and count what becomes of them."""
    before = await connection.fetchval("SELECT current_setting('search_path')")
    await connection.execute(_PATH, search_path(plan))
    # Postgres itself refuses to leave out rows, where no policy is known to show all of them.
    if not any(table.facts.row_security for table in plan.tables):
        await connection.execute("SET LOCAL row_security = off")
    for statement in snapshot.members(plan, template):
        await connection.execute(statement)
    await connection.execute("SET LOCAL row_security = on")
    await connection.execute(_PATH, before)
    drops = snapshot.drops(plan)
    # Each pass drops at least one row or is the last.
    while sum([_affected(await connection.execute(statement)) for statement in drops]):
        pass
    for statement in snapshot.places(plan):
        await connection.execute(statement)
    counts = [await connection.fetchval(snapshot.survey(plan, table)) for table in plan.tables]
    return tuple(snapshot.surveyed(table, item) for table, item in zip(plan.tables, counts, strict=True))


async def warnings(connection: Connection, compiled: Compiled) -> list[str]:
    """Return what is no fault and worth knowing: rows left out, triggers that fire, indexes that are missing."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        # The caller may have collected already; the rollback restores it.
        await connection.execute(f"DROP TABLE IF EXISTS {', '.join(snapshot.temporary(compiled.plan))}")
        surveys = await collect(connection, compiled.plan, compiled.template)
        return [warning async for warning in findings.warnings(connection, compiled.plan, surveys)]
    finally:
        await transaction.rollback()


async def _root_suffix(connection: Connection, revision: functions.Revision) -> bytes | None:
    if revision.plan.root.key is not KeyKind.SPLICED:
        return None
    root = revision.plan.root
    suffix = lo(root.number(root.facts.primary_key[0]))
    query = f"SELECT {suffix} FROM {named(revision.number, 0)}"  # noqa: S608 (names of ours)
    return bytes.fromhex(await connection.fetchval(query))


def _described(revision: functions.Revision, found: Fingerprint) -> list[Mapping[str, object]]:
    """Return what the ledger keeps of a plan for people: each table with its rows and what was left out."""
    return [
        {
            "table": table.facts.name,
            "rows": survey.rows,
            "dropped": survey.dropped,
            "nulled": sum(survey.nulled),
            "outside": sum(survey.outside),
            "hash": seen.hash,
            "columns": seen.columns,
        }
        for table, survey, seen in zip(revision.plan.tables, revision.surveys, found.tables, strict=True)
    ]


async def drop_unused(connection: Connection, pool: str) -> int:
    """Drop the tables and functions of revisions that nothing needs any more; give how many revisions.

    One that a claim may still be using is left for the next time.
    """
    dropped = 0
    for row in await connection.fetch(_QUERY["unused_revisions"], pool):
        async with obeyed(connection):
            dropped += bool(await connection.fetchval(_QUERY["drop_revision"], row["id"]))
    return dropped


def _affected(tag: str) -> int:
    return int(tag.rpartition(" ")[2])
