"""Compile a blueprint against the database of now: catalog, plan, expressions, template. Only reads."""

import json
from dataclasses import dataclass
from hashlib import sha256

import asyncpg

from campaignpool import sqlstates
from campaignpool.api.blueprint import Blueprint
from campaignpool.api.spec import CampaignPoolSpec, Template
from campaignpool.blueprint import catalog, probing
from campaignpool.blueprint.catalog import TableFacts
from campaignpool.blueprint.compile import compiler
from campaignpool.blueprint.compile.expressions import malformed
from campaignpool.blueprint.compile.plan import ClonePlan
from campaignpool.blueprint.queries import queries_of
from campaignpool.blueprint.quote import ident, literal
from campaignpool.blueprint.sql.naming import search_path
from campaignpool.errors import BlueprintError, TemplateError
from campaignpool.ledger.database import Connection

ALGORITHM = 1
"""Version of what a plan means; part of its hash. Raised only when the rows of a clone would differ."""


@dataclass(frozen=True)
class Compiled:
    """A blueprint compiled against the database of now.

    Attributes:
        plan: What becomes of which table.
        template: Key of the template's row, as text.
        plan_hash: Of blueprint, catalog, template and algorithm: another hash asks for another revision.
        condition: What chooses the template; None where its key does.
    """

    plan: ClonePlan
    template: str
    plan_hash: str
    condition: str | None = None

    @property
    def root_table(self) -> str:
        """The table of the campaigns, as the catalog writes it."""
        return self.plan.root.facts.name


async def compile_blueprint(connection: Connection, spec: CampaignPoolSpec, blueprint: Blueprint) -> Compiled:
    """Compile a blueprint against the database of now; nothing is written.

    Raises:
        BlueprintError: The catalog contradicts it, with one fault for everything that is wrong.
        TemplateError: The template is not there, or its condition holds for more than one row.
    """
    copies = spec.images.copies
    facts = await catalog.read(connection, compiler.table_names(blueprint, copies=copies))
    plan = compiler.compile_plan(blueprint, facts, copies=copies)
    path = search_path(plan)
    if faults := await probing.faults(connection, plan, path):
        raise BlueprintError(faults)
    template = await find_template(connection, plan.root.facts, spec.template)
    described = [ALGORITHM, _declared(blueprint), catalog.described(facts), plan.path, template]
    if plan.images is not None:
        described.append("copies images")
    plan_hash = sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    return Compiled(plan, template, plan_hash, spec.template.where)


def _declared(blueprint: Blueprint) -> dict[str, object]:
    """Return a blueprint as the hash of a plan has it: what older releases did not know counts only where named."""
    declared = blueprint.model_dump(mode="json")
    return {name: value for name, value in declared.items() if name != "images" or value is not None}


async def find_template(connection: Connection, root: TableFacts, template: Template) -> str:
    """Return the key of the template's row, as text.

    Raises:
        TemplateError: It is not there, or the condition fails or holds for more than one row.
    """
    key = root.column[root.primary_key[0]]
    if template.key is not None:
        condition, named = f"{ident(key.name)} = CAST({literal(template.key)} AS {key.base})", "template.key"
    else:
        condition, named = f"({template.where})", "template.where"
        if wrong := malformed(template.where or ""):
            raise TemplateError(
                f"spec.template.where: {wrong}: write one SQL condition", reason="TemplateConditionInvalid"
            )
    query = f"SELECT {ident(key.name)}::text FROM {root.rows} t WHERE {condition} LIMIT 2"  # noqa: S608 (quoted above)
    try:
        matches = await connection.fetch(query)
    except (asyncpg.SyntaxOrAccessError, asyncpg.DataError) as error:
        if isinstance(error, asyncpg.InsufficientPrivilegeError):
            raise
        raise TemplateError(
            f"spec.{named} cannot be evaluated on {root.name}: {sqlstates.described(error)}: correct it",
            reason="TemplateConditionInvalid",
        ) from error
    if not matches:
        raise TemplateError(f"no row of {root.name} is the template: correct spec.{named}, or create the template")
    if len(matches) > 1 and await connection.fetchval(queries_of("template")["has_ledger"]):
        # Campaigns of pools are no templates, even where an older blueprint left them alike.
        own = queries_of("template")["campaigns"]
        key_text = f"{ident(key.name)}::text"
        matches = await connection.fetch(
            f"SELECT {key_text} FROM {root.rows} t WHERE {condition} AND {key_text} NOT IN ({own}) LIMIT 2"  # noqa: S608 (quoted names)
        )
    if len(matches) != 1:
        raise TemplateError(
            f"spec.{named} holds for more than one row of {root.name}: narrow it to the one template",
            reason="TemplateAmbiguous",
        )
    return str(matches[0][0])
