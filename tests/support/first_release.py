"""A database as the first release left it, and that release's own queries, so that the two can be tried together."""

import json
import re
from pathlib import Path

from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.blueprint import compilation, install
from campaignpool.blueprint.quote import literal
from campaignpool.blueprint.sql import functions, probe, retirement, snapshot
from campaignpool.ledger import sql
from campaignpool.ledger.database import Connection

_FILE = Path(__file__).parent.parent / "data" / "queries_first_release.sql"
_PARTS = re.split(r"^-- name: (\w+)\n", _FILE.read_text(), flags=re.MULTILINE)[1:]
QUERY = {name: text.strip() for name, text in zip(_PARTS[::2], _PARTS[1::2], strict=True)}
"""The queries of the first release, by name."""

MIGRATIONS = 4
"""How many migrations it had."""

CLAIM = "SELECT campaign_id, source FROM campaign_pool.claim(pool => $1, claimant => $2, key => $3)"
"""What its clients send."""


async def migrate(connection: Connection) -> None:
    """Bring a database to where the first release had it."""
    await connection.execute("CREATE SCHEMA campaign_pool")
    await connection.execute(sql.MIGRATION_TABLE)
    await apply(connection, 0, MIGRATIONS)


async def apply(connection: Connection, after: int, until: int) -> None:
    """Apply some migrations and no more, as where an operator ended between two of them."""
    for each in sql.migrations()[after:until]:
        await connection.execute(each.sql)
        await connection.execute(
            "INSERT INTO campaign_pool.migration (version, name, checksum) VALUES ($1, $2, $3)",
            each.version,
            each.name,
            each.checksum,
        )


async def put(connection: Connection, pool: str, spec: CampaignPoolSpec) -> None:
    """Write a pool of the small application and install its revision, as the first release did."""
    assert spec.blueprint.inline
    compiled = await compilation.compile_blueprint(connection, spec, spec.blueprint.inline)
    root, plan = compiled.root_table, compiled.plan
    await connection.execute(QUERY["put_pool"], pool, root, spec.max_size, spec.claims.on_empty, 5.0)
    await connection.execute(QUERY["put_bell"], pool)
    async with connection.transaction(isolation="repeatable_read"):
        await connection.fetchrow(QUERY["lock_pool"], pool)
        surveys = await install.collect(connection, plan, compiled.template)
        number = int(await connection.fetchval(QUERY["next_revision"]))
        for table, survey in zip(plan.tables, surveys, strict=True):
            for statement in snapshot.freeze(plan, table, survey, number):
                await connection.execute(statement)
        revision = functions.Revision(number, pool, plan, surveys)
        for write in (functions.clone, retirement.retire, probe.probe, probe.key):
            await connection.execute(write(revision))
        await connection.execute(_on_claim(number))
        await connection.execute(
            QUERY["put_revision"],
            number,
            pool,
            f"as the first release has it, {compiled.plan_hash}",
            "fingerprint",
            compiled.template,
            None,
            plan.blueprint.model_dump_json(by_alias=True, exclude_defaults=True),
            json.dumps([]),
            revision.rows,
            revision.statements,
        )


async def seed(connection: Connection, pool: str, job: str, owner: str, number: int, count: int) -> None:
    """Make campaigns as a seeder of the first release did."""
    await connection.execute(QUERY["reserve"], pool, job, owner, number, count, 1)
    while (await connection.fetchval(QUERY["seed"], pool, job, 10)) > 0:
        pass
    await connection.execute(QUERY["finish_run"], pool, job, owner, number, count, 1, "Succeeded", None, None)


def _on_claim(number: int) -> str:
    """Write the function of a claim as it was: without a name, and with nothing that takes it back."""
    body = """
    BEGIN
        UPDATE public.worlds SET player = $3, name = 'claimed' WHERE id = $2::uuid;
        IF NOT FOUND THEN RETURN false; END IF;
        INSERT INTO public.members (world_id, player) VALUES ($2::uuid, $3);
        RETURN true;
    END"""
    name = f"campaign_pool.on_claim_r{number}(uuid, text, text)"
    return (
        f"CREATE FUNCTION {name} RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp "
        f"AS {literal(body)}; REVOKE ALL ON FUNCTION {name} FROM PUBLIC"
    )
