"""A large template is cloned in bounded memory, without a time-out, and says how far it is.

The default is a hundred thousand rows; CAMPAIGNPOOL_LARGE_ROWS=1000000 takes the million.
"""

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE

import asyncpg
import pytest

from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.blueprint import compilation, install
from campaignpool.ledger import retiring
from campaignpool.ledger.migrate import migrate
from tests.support import resources

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
ROWS = int(os.environ.get("CAMPAIGNPOOL_LARGE_ROWS", "100000"))
POOL = "large/worlds"
SCHEMA = """
CREATE TABLE worlds (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), is_template boolean NOT NULL, name text NOT NULL);
CREATE TABLE places (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    world_id uuid NOT NULL REFERENCES worlds,
    near_id uuid REFERENCES places,
    name text NOT NULL,
    UNIQUE (world_id, name)
);
CREATE INDEX ON places (near_id);
INSERT INTO worlds (is_template, name) VALUES (true, 'template'), (false, 'other');
"""
FILL = """
INSERT INTO places (world_id, name)
SELECT w.id, 'place ' || n FROM worlds w, generate_series(1, $1) n WHERE is_template
"""
SPEC = {
    "database": {"secretRef": {"name": "unused"}},
    "template": {"where": "is_template"},
    "blueprint": {
        "inline": {"root": {"table": "worlds", "set": {"is_template": "false"}}, "tables": [{"name": "places"}]}
    },
}
_RUNS_AND_WEIGHS = """
import resource, runpy, sys
try:
    runpy.run_module("campaignpool_seeder", run_name="__main__", alter_sys=True)
finally:
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


async def seeded(url: str, job: str, count: int) -> str:
    """Run the seeder as a process; gives what it said, with its peak memory in kilobytes."""
    words = ["--pool", POOL, "--job", job, "--count", str(count)]
    environment = {**os.environ, "CAMPAIGNPOOL_DATABASE_URL": url}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _RUNS_AND_WEIGHS, *words, env=environment, stdout=PIPE, stderr=PIPE
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, (out + errors).decode()
    return out.decode()


async def test_a_large_template_is_cloned(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(SCHEMA)
    await connection.execute(FILL, ROWS)
    spec = CampaignPoolSpec.model_validate(SPEC)
    assert spec.blueprint.inline
    await migrate(connection)
    compiled = await compilation.compile_blueprint(connection, spec, spec.blueprint.inline)
    await resources.put(connection, POOL, spec)
    await install.install(connection, POOL, compiled)

    text = await seeded(database_url, "large", 2)
    print(text)  # the figures of the million are looked at with -s
    assert "done campaigns=2" in text
    assert f"{ROWS * min(2, 500_000 // (ROWS + 1) or 1)} rows of public.places" in text, text
    copies = await connection.fetch("SELECT count(*) AS n FROM places GROUP BY world_id ORDER BY world_id")
    assert [row["n"] for row in copies] == [ROWS] * 3
    peak = int(re.findall(r"peak (\d+)", text)[0])

    # A small template takes as much memory: what the seeder holds does not depend on rows.
    await retiring.retire(connection, POOL, 2)
    await retiring.remove(connection, POOL, 2)
    await connection.execute("DELETE FROM places WHERE name <> 'place 1'")
    again = await compilation.compile_blueprint(connection, spec, spec.blueprint.inline)
    await connection.execute("UPDATE campaign_pool.pool SET revision_id = NULL")
    await install.install(connection, POOL, again)
    small = int(re.findall(r"peak (\d+)", await seeded(database_url, "small", 1))[0])
    await connection.close()
    assert peak < 1.2 * small
