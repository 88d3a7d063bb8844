"""What somebody who may grant rights runs once: three roles, and what the operator's needs in a database.

The application's role and the seeder's get theirs on the ledger alone, from `campaign_pool.grant_access()`, for
whatever they do is done by functions that run as the operator's role. So that one role needs rights on the
application's tables: to read the template, insert clones, delete what nobody claimed, and do what `onClaim` says.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from campaignpool.api.blueprint import Blueprint
from campaignpool.blueprint import catalog
from campaignpool.blueprint.catalog import Column
from campaignpool.blueprint.compile import compiler
from campaignpool.blueprint.compile.expressions import variables_of
from campaignpool.blueprint.compile.plan import ClonePlan
from campaignpool.blueprint.queries import queries_of
from campaignpool.blueprint.quote import ident
from campaignpool.ledger.database import Connection

OPERATOR, SEEDER, APP = "campaign_pool_operator", "campaign_pool_seeder", "campaign_pool_app"

_ORDER = ("USAGE", "SELECT", "INSERT", "UPDATE", "DELETE")
_QUALIFIED = re.compile(r'(?:([^".]+)|"((?:[^"]|"")+)")\.')
"""The schema of a type, as SQL writes it."""

_SEQUENCE = re.compile(r"""nextval\('((?:[^']|'')+)'(?:::regclass)?\)""")


@dataclass(frozen=True)
class Referring:
    """A table with a foreign key that acts when a row of `target` is deleted.

    Attributes:
        target: Oid of the table it refers to.
        name: Its name, as SQL writes it.
        schema: The schema it is in.
    """

    target: int
    name: str
    schema: str


@dataclass(frozen=True)
class Right:
    """One right on one object.

    Attributes:
        privilege: Such as `SELECT`, or `UPDATE ("name")` on columns alone.
        on: Such as `SCHEMA "public"` or `TABLE public.campaigns`.
    """

    privilege: str
    on: str


def rights(plan: ClonePlan, referring: Iterable[Referring] = ()) -> list[Right]:
    """Return the least that the operator's role needs for a plan, objects together; triggers may need more.

    Args:
        plan: The clone plan.
        referring: Tables whose foreign keys to those of the plan act when a row is deleted.
    """
    acting = list(referring)
    return list(dict.fromkeys((*_schemas(plan, acting), *_tables(plan, acting), *_sequences(plan))))


def statements(plan: ClonePlan, referring: Iterable[Referring] = ()) -> list[str]:
    """Return what is to be run, statement by statement, each with its comment. Every one can be repeated."""
    return [_roles(), _schema(), *_granted(rights(plan, referring)), _logins(), _access(), *_notes(plan)]


async def of_database(connection: Connection, blueprint: Blueprint) -> list[str]:
    """Return what is to be run for a blueprint in a database; it is only read.

    Raises:
        BlueprintError: The catalog contradicts the blueprint.
    """
    facts = await catalog.read(connection, compiler.table_names(blueprint))
    plan = compiler.compile_plan(blueprint, facts)
    return statements(plan, await acting_keys(connection, plan))


async def acting_keys(connection: Connection, plan: ClonePlan) -> list[Referring]:
    """Return the tables whose foreign keys to those of a plan act when a row is deleted."""
    oids = [table.facts.oid for table in plan.tables]
    return [Referring(**row) for row in await connection.fetch(queries_of("grants")["referring"], oids)]


def _schemas(plan: ClonePlan, referring: list[Referring]) -> Iterator[Right]:
    facts = [*(table.facts for table in plan.tables), *plan.claim_tables]
    for name in dict.fromkeys([*(fact.schema_ for fact in facts), *(item.schema for item in referring)]):
        yield Right("USAGE", f"SCHEMA {ident(name)}")
    # Values are cast to the types of their columns, which may be in a schema of their own.
    for column in (column for table in plan.tables for column in table.facts.columns):
        qualified = _QUALIFIED.match(column.base)
        if qualified:
            yield Right("USAGE", f"SCHEMA {ident(qualified[1] or qualified[2].replace(chr(34) * 2, chr(34)))}")


def _tables(plan: ClonePlan, referring: list[Referring]) -> Iterator[Right]:
    locked = {item.target for item in referring}
    for table in plan.tables:
        on = f"TABLE {table.facts.name}"
        yield from (Right(item, on) for item in ("SELECT", "INSERT", "DELETE"))
        columns = list(plan.blueprint.on_claim.set_) if table is plan.root else []
        if not columns and (table is plan.root or table.facts.oid in locked):
            # To lock a row is a right that any column gives.
            columns = [(*table.facts.primary_key, table.facts.columns[0].name)[0]]
        if columns:
            yield Right(f"UPDATE ({', '.join(map(ident, columns))})", on)
    for insert, facts in zip(plan.blueprint.on_claim.insert, plan.claim_tables, strict=True):
        yield Right("INSERT", f"TABLE {facts.name}")
        if any("campaign" in variables_of(value) for value in insert.values.values()):
            # A claim that is taken back takes these rows along.
            yield from (Right(item, f"TABLE {facts.name}") for item in ("SELECT", "DELETE"))
    for item in referring:
        yield Right("SELECT", f"TABLE {item.name}")


def _sequences(plan: ClonePlan) -> Iterator[Right]:
    for table in plan.tables:
        for column in table.facts.columns:
            default = column.name not in table.copied and not column.identity
            if column.name in table.numbered or (column.draws and default):
                yield from _drawn_from(column)
    for insert, facts in zip(plan.blueprint.on_claim.insert, plan.claim_tables, strict=True):
        for column in facts.columns:
            if column.name not in insert.values and not column.identity:
                yield from _drawn_from(column)


def _drawn_from(column: Column) -> Iterator[Right]:
    for name in _SEQUENCE.findall(column.default or ""):
        yield Right("USAGE", f"SEQUENCE {name.replace(chr(39) * 2, chr(39))}")


def _granted(wanted: list[Right]) -> Iterator[str]:
    heading = "-- The operator reads the template, inserts clones, deletes what nobody claimed, and claims.\n"
    for on in dict.fromkeys(item.on for item in wanted):
        privileges = sorted((item.privilege for item in wanted if item.on == on), key=_rank)
        yield f"{heading}GRANT {', '.join(privileges)} ON {on} TO {OPERATOR};"
        heading = ""


def _rank(privilege: str) -> int:
    return _ORDER.index(privilege.partition(" ")[0])


def _roles() -> str:
    return f"""\
-- Run this once, as who may make roles and owns the tables. It can be repeated.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['{OPERATOR}', '{SEEDER}', '{APP}'] LOOP
        IF to_regrole(name) IS NULL THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        END IF;
    END LOOP;
END $$;"""


def _schema() -> str:
    return f"""\
-- The ledger's schema is the operator's, so it needs no right to make one. The template is collected in temporary
-- tables.
CREATE SCHEMA IF NOT EXISTS campaign_pool AUTHORIZATION {OPERATOR};
DO $$
BEGIN
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO {OPERATOR}', current_database());
END $$;"""


def _logins() -> str:
    return f"""\
-- Who logs in: put your roles here. What the operator makes belongs to the group, whichever role logs in.
--   GRANT {OPERATOR} TO the_operator; ALTER ROLE the_operator SET role = {OPERATOR};
--   GRANT {SEEDER} TO the_seeder;
--   GRANT {APP} TO the_application;"""


def _access() -> str:
    return """\
-- What the other two need is on the ledger alone. Where that is there already, it is granted now; else by the
-- operator, when it makes the ledger.
DO $$
BEGIN
    IF to_regprocedure('campaign_pool.grant_access()') IS NOT NULL THEN
        PERFORM campaign_pool.grant_access();
    END IF;
END $$;"""


def _notes(plan: ClonePlan) -> Iterator[str]:
    triggers = [
        f"--   {table.facts.name}: {', '.join(table.facts.on_insert)}"
        for table in plan.tables
        if table.facts.on_insert
    ]
    if triggers:
        yield "\n".join(["-- Triggers run with the operator's rights: grant what these need.", *triggers])
    if plan.path or any(table.facts.schema_ == "public" for table in plan.tables):
        yield """\
-- Who may create objects in the schemas of the tables could give the blueprint's expressions another meaning. Before
-- Postgres 15 everybody may, in public, until you run:
--   REVOKE CREATE ON SCHEMA public FROM PUBLIC;"""
