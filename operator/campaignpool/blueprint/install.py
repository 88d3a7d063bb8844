"""Bring a blueprint into the database: compile it against the catalog, freeze the template, write the functions.

What is installed is a **revision**: snapshot tables and the functions `clone_r<id>`, `on_claim_r<id>` and
`retire_r<id>`. A revision never changes; another blueprint, catalog or template makes another one, and one that
nothing needs any more is dropped.
"""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

import asyncpg

from campaignpool.api.blueprint import Blueprint
from campaignpool.api.spec import CampaignPoolSpec, Template
from campaignpool.blueprint import catalog, findings, fingerprint, probing
from campaignpool.blueprint.catalog import TableFacts
from campaignpool.blueprint.compile import compiler
from campaignpool.blueprint.compile.plan import ClonePlan, ImagePlan, KeyKind
from campaignpool.blueprint.fingerprint import Fingerprint
from campaignpool.blueprint.sql import claims, functions, images, probe, retirement, snapshot
from campaignpool.blueprint.sql.naming import ident, literal, lo, rows, search_path
from campaignpool.blueprint.sql.naming import snapshot as named
from campaignpool.blueprint.sql.snapshot import Survey
from campaignpool.errors import BlueprintError, TemplateError
from campaignpool.ledger import sql
from campaignpool.ledger.database import Connection

ALGORITHM = 1
"""Version of what a plan means; part of its hash. Raised only when the rows of a clone would differ."""


_FUNCTIONS = (functions.clone, claims.on_claim, claims.on_release)
CLAIM_FORM = claims.CLAIM_FORM
"""What claims need of a revision's functions. One of an older form is installed anew, under the same hash: so an
operator of the release before, at work beside this one, leaves it alone."""

_PATH = "SELECT set_config('search_path', $1, true)"


@dataclass(frozen=True)
class Compiled:
    """A blueprint compiled against the database as it is now.

    Attributes:
        plan: What becomes of which table.
        template: Key of the template's row, as text.
        plan_hash: Of blueprint, catalog, template and algorithm: another hash asks for another revision.
        alone: Whether what a claim writes makes nothing of the application's run.
    """

    plan: ClonePlan
    template: str
    plan_hash: str
    alone: bool = False

    @property
    def root_table(self) -> str:
        """The table of the campaigns, as the catalog writes it."""
        return self.plan.root.facts.name

    def claim_part(self, pool: str) -> Mapping[str, object] | None:
        """Give what becomes part of `campaign_pool.claim`; None where that calls the function of the revision.

        The planner is kept from reading tables through in a claim, for the ledger's sake, and what runs along with it
        is to be planned for as the application has it.
        """
        return claims.part(self.plan, pool) if self.alone else None

    def outdates(self, pool: str, held: Mapping[str, object] | None) -> bool:
        """Say whether what is part of the claim is to be another, and no newer release wrote it."""
        form = held["form"] if held else 0
        return held != self.claim_part(pool) and isinstance(form, int) and form <= claims.PART_FORM


async def compile_blueprint(connection: Connection, spec: CampaignPoolSpec, blueprint: Blueprint) -> Compiled:
    """Compile a blueprint against the database as it is now; nothing is written.

    Raises:
        BlueprintError: The catalog contradicts it, with one fault for everything that is wrong.
        TemplateError: The template is not there, or its condition holds for more than one row.
    """
    copies = spec.images.copies
    facts = await catalog.read(connection, compiler.table_names(blueprint, copies=copies))
    plan = compiler.compile_plan(blueprint, facts, copies=copies)
    path = search_path(plan)
    faults = [
        fault
        for where, query in probing.probes(plan)
        if (fault := await probing.fault(connection, path, where, query))
    ]
    if faults:
        raise BlueprintError(faults)
    template = await find_template(connection, plan.root.facts, spec.template)
    described = [ALGORITHM, _declared(blueprint), catalog.described(facts), plan.path, template]
    if plan.images is not None:
        described.append("copies images")
    plan_hash = sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    return Compiled(plan, template, plan_hash, await probing.runs_alone(connection, plan))


def _declared(blueprint: Blueprint) -> dict[str, object]:
    """Give a blueprint as the hash of a plan has it: what older releases did not know counts only where named."""
    declared = blueprint.model_dump(mode="json")
    return {name: value for name, value in declared.items() if name != "images" or value is not None}


async def find_template(connection: Connection, root: TableFacts, template: Template) -> str:
    """Give the key of the template's row, as text.

    Raises:
        TemplateError: It is not there, or the condition fails or holds for more than one row.
    """
    key = root.column[root.primary_key[0]]
    if template.key is not None:
        condition, named = f"{ident(key.name)} = CAST({literal(template.key)} AS {key.type})", "template.key"
    else:
        condition, named = f"({template.where})", "template.where"
    query = f"SELECT {ident(key.name)}::text FROM {root.name} t WHERE {condition} LIMIT 2"  # noqa: S608 (quoted above)
    try:
        matches = await connection.fetch(query)
    except (asyncpg.SyntaxOrAccessError, asyncpg.DataError) as error:
        if isinstance(error, asyncpg.InsufficientPrivilegeError):
            raise
        raise TemplateError(
            f"spec.{named} cannot be evaluated on {root.name}: {error.args[0]}: correct it",
            reason="TemplateConditionInvalid",
        ) from error
    if not matches:
        raise TemplateError(f"no row of {root.name} is the template: correct spec.{named}, or create the template")
    if len(matches) > 1:
        raise TemplateError(
            f"spec.{named} holds for more than one row of {root.name}: narrow it to the one template",
            reason="TemplateAmbiguous",
        )
    return str(matches[0][0])


async def install(connection: Connection, pool: str, compiled: Compiled) -> bool:
    """Install a revision and make it the one that new campaigns are made from, in one transaction.

    Gives False where the pool has that revision already (another operator was quicker); then what of it is part of
    the claim is brought up to date.

    Raises:
        BlueprintError: Clones would violate a unique index, each named with the columns that could be set.
    """
    async with connection.transaction(isolation="repeatable_read"):
        held = await connection.fetchrow(sql.queries()["lock_pool"], pool)
        if held is None:
            return False
        made: bool = held["plan_hash"] != compiled.plan_hash or held["claim_form"] < CLAIM_FORM
        if made:
            await _install(connection, pool, compiled)
    # Apart, for that transaction saw the revisions of other pools as they were when it began. And together: where the
    # writing fails, the ledger is not to say that it was done.
    part = compiled.claim_part(pool)
    async with connection.transaction():
        await connection.execute(
            sql.queries()["put_claim_part"], pool, part and json.dumps(part, ensure_ascii=False), compiled.plan_hash
        )
        await connection.execute(sql.queries()["write_on_claim"])
    return made


async def _install(connection: Connection, pool: str, compiled: Compiled) -> None:
    plan = compiled.plan
    surveys = await collect(connection, plan, compiled.template)
    faults = [fault async for fault in findings.contradictions(connection, plan, surveys)]
    faults += [fault async for fault in collisions(connection, plan)]
    if faults:
        raise BlueprintError(faults)
    number = int(await connection.fetchval(sql.queries()["next_revision"]))
    for table, survey in zip(plan.tables, surveys, strict=True):
        for statement in snapshot.freeze(plan, table, survey, number):
            await connection.execute(statement)
    revision = functions.Revision(number, pool, plan, surveys)
    if plan.images is not None:
        await _freeze_blobs(connection, plan.images, revision)
    for write in (*_FUNCTIONS, retirement.retire, probe.probe, probe.key):
        await connection.execute(write(revision))
    found = await fingerprint.take(connection, plan, rows(number))
    await connection.execute(
        sql.queries()["put_revision"],
        number,
        pool,
        compiled.plan_hash,
        found.text,
        compiled.template,
        await _root_suffix(connection, revision),
        plan.blueprint.model_dump_json(by_alias=True, exclude_defaults=True),
        json.dumps(_described(revision, found)),
        revision.rows,
        revision.statements,
        claims.CLAIM_FORM,
    )
    await connection.execute(sql.queries()["write_on_claim"])


async def _freeze_blobs(connection: Connection, plan: ImagePlan, revision: functions.Revision) -> None:
    for statement in images.freeze(plan, revision.number):
        await connection.execute(statement)
    if settle := functions.settle(revision):
        await connection.execute(settle)


async def collect(connection: Connection, plan: ClonePlan, template: str) -> tuple[Survey, ...]:
    """Collect the template's rows in temporary tables of the transaction, and count what becomes of them."""
    before = await connection.fetchval("SELECT current_setting('search_path')")
    await connection.execute(_PATH, search_path(plan))
    for statement in snapshot.members(plan, template):
        await connection.execute(statement)
    await connection.execute(_PATH, before)
    drops = snapshot.drops(plan)
    # Each pass drops at least one row or is the last.
    while sum([_affected(await connection.execute(statement)) for statement in drops]):
        pass
    for statement in snapshot.places(plan):
        await connection.execute(statement)
    counts = [await connection.fetchval(snapshot.survey(plan, table)) for table in plan.tables]
    return tuple(snapshot.surveyed(table, each) for table, each in zip(plan.tables, counts, strict=True))


async def collisions(connection: Connection, plan: ClonePlan) -> AsyncIterator[str]:
    """Give a fault for every unique index that each clone would violate, over the rows of `collect`."""
    async for fault in findings.collisions(connection, plan):
        yield fault


async def warnings(connection: Connection, compiled: Compiled) -> list[str]:
    """Give what is no fault and worth knowing: rows left out, triggers that fire, indexes that are missing."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        # Whoever asks may have collected already; the rollback brings it back.
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
    """Give what the ledger keeps of a plan for people: each table with its rows and what was left out."""
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
    for row in await connection.fetch(sql.queries()["unused_revisions"], pool):
        await connection.execute(sql.queries()["drop_revision"], row["id"])
        dropped += await connection.fetchval(sql.queries()["is_dropped"], row["id"])
    return dropped


def _affected(tag: str) -> int:
    return int(tag.rpartition(" ")[2])
