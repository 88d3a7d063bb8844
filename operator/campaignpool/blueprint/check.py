"""Check a blueprint against a live database: compile it, count, and rehearse a clone. Nothing is left behind.

Everything happens in one transaction that is rolled back, the ledger's schema included where the database has
none. What a rollback cannot undo: sequences that gave keys stand further on, as after any insert that failed,
and the rows that were made are dead rows until the next vacuum.
"""

import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from campaignpool.api.blueprint import Blueprint
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.blueprint import compilation, findings, fingerprint, install
from campaignpool.blueprint.compilation import Compiled
from campaignpool.blueprint.compile.plan import ClonePlan
from campaignpool.blueprint.fingerprint import Fingerprint
from campaignpool.blueprint.queries import queries_of
from campaignpool.blueprint.sql import claims, functions, rehearsal, retirement, snapshot
from campaignpool.blueprint.sql.functions import Revision
from campaignpool.blueprint.sql.naming import function
from campaignpool.blueprint.sql.snapshot import Survey
from campaignpool.blueprint.verify import REFUSALS, new_ids, refused, verify
from campaignpool.errors import BlueprintError, ConfigurationError, CredentialsError
from campaignpool.ledger import pools
from campaignpool.ledger.database import Connection
from campaignpool.ledger.event_triggers import obeyed
from campaignpool.ledger.migrate import is_current, migrate


@dataclass(frozen=True)
class Timing:
    """One statement of a rehearsal.

    Attributes:
        positions: The tables it filled.
        milliseconds: On the server, foreign keys included.
        checking: Of these, what foreign keys and triggers took.
    """

    positions: tuple[int, ...]
    milliseconds: float
    checking: float


@dataclass(frozen=True)
class Rehearsal:
    """What a dry run took.

    Attributes:
        campaigns: How many were cloned.
        installing: Milliseconds to freeze the template and write the functions.
        cloning: Milliseconds to clone all of them, in one call as the seeder makes it.
        timings: The same once more, statement by statement.
        plans: With `explain`: the plan of each statement, a line a row.
        warnings: What the clone showed beside the plan, and why it could not be deleted again.
    """

    campaigns: int
    installing: float
    cloning: float
    timings: tuple[Timing, ...]
    plans: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes:
        compiled: The compiled blueprint.
        surveys: What the template holds, by position of the table.
        fingerprint: Of the template of now.
        outside: Names of the tables that references leave the plan for, by oid.
        warnings: What is no fault and worth knowing.
        rehearsal: What the dry run took, where there was one.
    """

    compiled: Compiled
    surveys: tuple[Survey, ...]
    fingerprint: Fingerprint
    outside: Mapping[int, str]
    warnings: tuple[str, ...]
    rehearsal: Rehearsal | None

    @property
    def plan(self) -> ClonePlan:
        """The clone plan."""
        return self.compiled.plan


async def check(
    connection: Connection,
    spec: CampaignPoolSpec,
    blueprint: Blueprint,
    *,
    campaigns: int,
    explain: bool,
    name: str | None = None,
) -> Checked:
    """Check a blueprint.

    Args:
        connection: To the database.
        spec: Of the pool.
        blueprint: The blueprint.
        campaigns: How many are cloned and rolled back; 0 for no dry run.
        explain: Whether to keep the plan of each statement.
        name: Of the CampaignPool, which `$name` begins with.

    Raises:
        BlueprintError: The catalog contradicts it, or each clone would violate a unique index.
        TemplateError: The template is not there, or its condition holds for more than one row.
        SeedingError: The data refused the clone.
        ConfigurationError: The dry run is not possible here.
    """
    # Not inside the transaction: the first expression that fails would end it, and hide the faults of the others.
    compiled = await compilation.compile_blueprint(connection, spec, blueprint)
    plan = compiled.plan
    async with rolled_back(connection):
        async with obeyed(connection), rolled_back(connection):
            surveys = await install.collect(connection, plan, compiled.template)
            if faults := [fault async for fault in findings.collisions(connection, plan)]:
                raise BlueprintError(faults)
            print_ = await fingerprint.take(connection, plan, "pg_temp.campaignpool_rows", temporary=True)
            warnings = await install.warnings(connection, compiled)
        oids = sorted({key.target for table in plan.tables for key in table.facts.foreign_keys})
        names = {row["oid"]: row["name"] for row in await connection.fetch(queries_of("check")["names"], oids)}
        pool = f"check-{secrets.token_hex(8)}/{name or _NAME}"
        done = await _rehearse(connection, pool, spec, compiled, surveys, campaigns, explain) if campaigns else None
    warnings += _owners_alike(spec, blueprint)
    return Checked(compiled, surveys, print_, names, (*warnings, *(done.warnings if done else ())), done)


def _owners_alike(spec: CampaignPoolSpec, blueprint: Blueprint) -> list[str]:
    """Return a warning where owners have pools of their own, and nothing of a campaign differs by owner."""
    if not (spec.owners or spec.returning) or "$owner" in blueprint.model_dump_json(exclude={"on_claim"}):
        return []
    return [_OWNERS_ALIKE]


def statements(checked: Checked) -> list[tuple[str, str]]:
    """Return what is run for a pool: a heading and SQL each. Revision 0 stands for the number it will get."""
    plan = checked.plan
    revision = Revision(0, "namespace/name", plan, checked.surveys)
    collected = [*snapshot.members(plan, checked.compiled.template), *snapshot.drops(plan), *snapshot.places(plan)]
    frozen = [
        statement
        for table, survey in zip(plan.tables, checked.surveys, strict=True)
        for statement in snapshot.freeze(plan, table, survey, 0)
    ]
    return [
        ("Collect the template's rows (once a revision)", ";\n".join(collected)),
        ("Freeze them (once a revision)", ";\n".join(frozen)),
        ("Clone (every batch calls this)", functions.clone(revision)),
        ("What a claim does to the campaign", claims.on_claim(revision)),
        ("Delete campaigns that nobody claimed", retirement.retire(revision)),
    ]


@asynccontextmanager
async def rolled_back(connection: Connection) -> AsyncIterator[None]:
    """Run a block in a transaction, or below one in a savepoint, that is rolled back whatever happens."""
    outer = connection.is_in_transaction()
    transaction = connection.transaction(isolation=None if outer else "repeatable_read")
    await transaction.start()
    try:
        yield
    finally:
        if not connection.is_closed():
            await transaction.rollback()


_OWNERS_ALIKE = (
    "owners have pools of their own, and the blueprint uses $owner nowhere: a campaign of one owner is as good for "
    "another, and one shared pool keeps fewer idle"
)

_NAME = "pool"
"""Stands for the name of a CampaignPool that is not known yet."""


async def _rehearse(
    connection: Connection,
    pool: str,
    spec: CampaignPoolSpec,
    compiled: Compiled,
    surveys: tuple[Survey, ...],
    campaigns: int,
    explain: bool,
) -> Rehearsal:
    await _ledger(connection)
    began = time.perf_counter()
    await pools.put_pool(connection, pool, pool, spec)
    await install.install(connection, pool, compiled)
    installed = time.perf_counter()
    queries = queries_of("check")
    row = await connection.fetchrow(queries["installed"], pool)
    number, suffix = (row["id"], row["root_suffix"]) if row else (0, None)

    async def clone(query: str) -> list[tuple[list[int], str]]:
        """Clone in a savepoint that is rolled back, so that one clone is not in the way of the next."""
        async with rolled_back(connection):
            ids = await new_ids(connection, suffix, campaigns)
            rows = [(row[0], row[1]) for row in await connection.fetch(query, ids, [""] * campaigns)]
            # Constraints that wait for the commit would otherwise never be heard.
            await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            return rows

    revision = Revision(number, pool, compiled.plan, surveys)
    verified = await verify(connection, revision, suffix, compiled.condition, retire=True)
    plans = {}
    try:
        await clone(f"SELECT NULL, {function('clone', number)}($1, $2)")
        cloned = time.perf_counter()
        for text in (False, True) if explain else (False,):
            await connection.execute(rehearsal.measured(revision, text=text))
            name = function(rehearsal.kind(text=text), number)
            plans[text] = await clone(f"SELECT positions, plan FROM {name}($1, $2)")  # noqa: S608 (a name of ours)
    except REFUSALS as error:
        if isinstance(error, asyncpg.InsufficientPrivilegeError):
            raise
        # Of several campaigns at once, or beside the one that was made before.
        ids = await new_ids(connection, suffix, campaigns)
        raise BlueprintError([await refused(connection, revision, ids, error)]) from error
    return Rehearsal(
        campaigns,
        (installed - began) * 1000,
        (cloned - installed) * 1000,
        tuple(_timing(positions, plan) for positions, plan in plans[False]),
        tuple(line for _, line in plans.get(True, [])),
        verified.warnings,
    )


def _timing(positions: list[int], plan: str) -> Timing:
    (found,) = json.loads(plan)
    checking = sum(trigger.get("Time", 0.0) for trigger in found.get("Triggers", ()))
    return Timing(tuple(positions), found["Execution Time"], checking)


async def _ledger(connection: Connection) -> None:
    """Make the ledger inside the transaction where there is none; never migrate one that is in use.

    A migration takes locks that would hold up claims until the rollback.
    """
    if not await connection.fetchval(queries_of("check")["has_ledger"]):
        try:
            await migrate(connection)
        except asyncpg.InsufficientPrivilegeError as error:
            if not str(error.args[0]).startswith("permission denied for database"):
                raise
            raise CredentialsError(
                f"a dry run makes the schema campaign_pool in its transaction, but {error.args[0]}: grant the role "
                "CREATE on the database, or check with --no-dry-run",
                reason="DatabasePermissionDenied",
            ) from error
        return
    if not await is_current(connection):
        raise ConfigurationError(
            "the schema campaign_pool is of an earlier release: let the operator of this release start first, "
            "or check with --no-dry-run",
            reason="LedgerIncompatible",
        )
