"""Bring a blueprint into the database: compile it against the catalog, freeze the template, write the functions.

What is installed is a **revision**: snapshot tables and the functions `clone_r<id>`, `on_claim_r<id>` and
`retire_r<id>`. A revision never changes; another blueprint, catalog or template makes another one, and one that
nothing needs any more is dropped.
"""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

import asyncpg

from campaignpool import catalog, clone, fingerprint, sql
from campaignpool.api import CampaignPoolSpec, Template
from campaignpool.blueprint import Blueprint
from campaignpool.catalog import Index, TableFacts
from campaignpool.clone import ClonePlan, KeyKind, TablePlan
from campaignpool.compiler import functions, probe, snapshot
from campaignpool.compiler.naming import IN, ident, literal, member, rows
from campaignpool.compiler.snapshot import Survey
from campaignpool.database import Connection
from campaignpool.errors import BlueprintError, TemplateError
from campaignpool.fingerprint import Fingerprint

ALGORITHM = 1
"""Version of what a plan means; part of its hash. Raised only when the rows of a clone would differ."""


@dataclass(frozen=True)
class Compiled:
    """A blueprint compiled against the database as it is now.

    Attributes:
        plan: What becomes of which table.
        template: Key of the template's row, as text.
        plan_hash: Of blueprint, catalog, template and algorithm: another hash asks for another revision.
    """

    plan: ClonePlan
    template: str
    plan_hash: str

    @property
    def root_table(self) -> str:
        """The table of the campaigns, as the catalog writes it."""
        return self.plan.root.facts.name


async def compile_blueprint(connection: Connection, spec: CampaignPoolSpec, blueprint: Blueprint) -> Compiled:
    """Compile a blueprint against the database as it is now; nothing is written.

    Raises:
        BlueprintError: The catalog contradicts it, with one fault for everything that is wrong.
        TemplateError: The template is not there, or its condition holds for more than one row.
    """
    facts = await catalog.read(connection, clone.table_names(blueprint))
    plan = clone.compile_plan(blueprint, facts)
    faults = [fault for where, query in _probes(plan) if (fault := await _probe(connection, where, query))]
    if faults:
        raise BlueprintError(faults)
    template = await find_template(connection, plan.root.facts, spec.template)
    described = [ALGORITHM, blueprint.model_dump(mode="json"), catalog.described(facts), template]
    return Compiled(plan, template, sha256(json.dumps(described, sort_keys=True).encode()).hexdigest())


def _probes(plan: ClonePlan) -> Iterator[tuple[str, str]]:
    """Give, for every expression of a blueprint, where it stands and a query that holds it and reads no row."""
    for table in plan.tables:
        name = table.facts.name
        if table.where:
            yield f"table {name}, where", _probe_query(name, table.where, "boolean")
        for column, expression in table.sets.items():
            yield f"table {name}, set {column}", _probe_query(name, expression, table.facts.column[column].type)
    root = plan.root.facts
    for column, expression in plan.blueprint.on_claim.set_.items():
        yield f"onClaim, set {column}", _probe_query(root.name, expression, root.column[column].type)
    for name, types, values in functions.claim_inserts(plan):
        for column, expression in values.items():
            yield f"onClaim, table {name}, {column}", _probe_query(None, expression, types[column])


def _probe_query(table: str | None, expression: str, kind: str) -> str:
    nothing = dict.fromkeys(clone.VARIABLES, "NULL::text")
    value = f"SELECT CAST(({clone.substitute(expression, nothing)}) AS {kind})"
    return f"{value} FROM {table} t WHERE false" if table else value


async def _probe(connection: Connection, where: str, query: str) -> str | None:
    try:
        await connection.prepare(query)
    except asyncpg.PostgresSyntaxError as error:
        return f"{where}: {error.args[0]}: correct the expression"
    except asyncpg.PostgresError as error:
        return f"{where}: {error.args[0]}: correct the expression, or the type it gives"
    return None


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

    Gives False where the pool has that revision already (another operator was quicker).

    Raises:
        BlueprintError: Clones would violate a unique index, each named with the columns that could be set.
    """
    plan = compiled.plan
    async with connection.transaction(isolation="repeatable_read"):
        held = await connection.fetchrow(sql.queries()["lock_pool"], pool)
        if held is None or held["plan_hash"] == compiled.plan_hash:
            return False
        surveys = await collect(connection, plan, compiled.template)
        faults = [fault async for fault in collisions(connection, plan)]
        if faults:
            raise BlueprintError(faults)
        number = int(await connection.fetchval(sql.queries()["next_revision"]))
        for table, survey in zip(plan.tables, surveys, strict=True):
            for statement in snapshot.freeze(plan, table, survey, number):
                await connection.execute(statement)
        revision = functions.Revision(number, pool, plan, surveys)
        for write in (functions.clone, functions.on_claim, functions.retire, probe.probe, probe.key):
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
        )
    return True


async def collect(connection: Connection, plan: ClonePlan, template: str) -> tuple[Survey, ...]:
    """Collect the template's rows in temporary tables of the transaction, and count what becomes of them."""
    for statement in snapshot.members(plan, template):
        await connection.execute(statement)
    drops = snapshot.drops(plan)
    # Each pass drops at least one row or is the last.
    while sum([_affected(await connection.execute(statement)) for statement in drops]):
        pass
    for statement in snapshot.places(plan):
        await connection.execute(statement)
    counts = [await connection.fetchval(snapshot.survey(plan, table)) for table in plan.tables]
    return tuple(snapshot.surveyed(each) for each in counts)


async def collisions(connection: Connection, plan: ClonePlan) -> AsyncIterator[str]:
    """Give a fault for every unique index that each clone would violate: it covers nothing that is new in a clone."""
    for table in plan.tables:
        for index in table.facts.indexes:
            query = _collision_query(table, index)
            if query and await connection.fetchval(query):
                columns = ", ".join(column or "an expression" for column in index.columns)
                yield (
                    f"unique index {index.name} of {table.facts.name} ({columns}) would hold the same values for "
                    f"every campaign: set one of its columns, such as `{index.columns[0] or 'COLUMN'}: 'NULL'`"
                )


def _collision_query(table: TablePlan, index: Index) -> str | None:
    """Give a query for whether the template has rows that an index would refuse to hold twice."""
    new = {each.column for each in table.references} | {each.column for each in table.polymorphic} | set(table.sets)
    new |= {table.key_column.name} if table.key_column else set()
    words = index.definition.replace('"', " ").replace("(", " ").replace(")", " ").replace(",", " ").split()
    if not index.unique or new & set(index.columns) or any(name in words for name in new if None in index.columns):
        return None
    if index.predicate and any(name in index.predicate for name in table.sets):
        return None
    given = [f"{ident(column)} IS NOT NULL" for column in index.columns if column and index.nulls_distinct]
    # Names come from the catalog; the predicate is Postgres' own text of it.
    conditions = [IN, *given, *([f"({index.predicate})"] if index.predicate else [])]
    return f"SELECT EXISTS (SELECT FROM {member(table.position)} WHERE {' AND '.join(conditions)})"  # noqa: S608


async def _root_suffix(connection: Connection, revision: functions.Revision) -> bytes | None:
    if revision.plan.root.key is not KeyKind.SPLICED:
        return None
    query = f"SELECT campaignpool_lo FROM campaign_pool.r{revision.number}_0"  # noqa: S608 (a number)
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
    """Drop the tables and functions of revisions that nothing needs any more; give how many revisions."""
    unused = [row["id"] for row in await connection.fetch(sql.queries()["unused_revisions"], pool)]
    for number in unused:
        async with connection.transaction():
            await connection.execute(sql.queries()["drop_revision"], number)
    return len(unused)


def _affected(tag: str) -> int:
    return int(tag.rpartition(" ")[2])
