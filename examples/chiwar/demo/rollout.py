"""A change of the template rolls through the pool while claims go on."""

import asyncio
import time

import asyncpg

from campaignpool.api.resource import PLURAL
from chiwar.demo.output import Output
from chiwar.demo.stage import NAMESPACE, Stage

CLAIM_SECONDS = 0.3
"""Time between two claims."""

_CHANGE = """
UPDATE weapons SET name = name || ' II' WHERE campaign_id = (SELECT id FROM campaigns WHERE is_master_template)
"""
_OLD = """
SELECT count(*) FROM campaign_pool.campaign c JOIN weapons w ON w.campaign_id::text = c.root_key
WHERE c.state = 'ready' AND w.name NOT LIKE '% II'
"""
_CLAIM = "SELECT source FROM campaign_pool.claim($1, $2)"


async def run(
    output: Output, running: Stage, connection: "asyncpg.Connection[asyncpg.Record]", name: str, user: str
) -> None:
    """Change the template of a pool and claim as a user until all ready campaigns are of the new revision."""
    output.step("The template changes, and the application tells the pool: a new revision rolls through it")
    pool = f"{NAMESPACE}/{name}"
    before = (await running.kube.get(f"{PLURAL}/{name}"))["status"]["rollout"]["revision"]
    await connection.execute(_CHANGE)
    await connection.fetchval("SELECT campaign_pool.template_changed($1)", pool)
    began, shown, claims, slowest = time.monotonic(), "", 0, 0.0
    while True:
        claimed_at = time.perf_counter()
        await connection.fetchval(_CLAIM, pool, user)
        claims, slowest = claims + 1, max(slowest, time.perf_counter() - claimed_at)
        rollout = (await running.kube.get(f"{PLURAL}/{name}"))["status"]["rollout"]
        line = f"revision {rollout['revision']}: {rollout['updated']} updated, {rollout['stale']} stale"
        if line != shown:
            output.say(f"          {line}, {rollout['phase']}")
        shown = line
        if rollout["revision"] > before and rollout["phase"] == "Complete":
            break
        await asyncio.sleep(CLAIM_SECONDS)
    seconds = time.monotonic() - began
    old = await connection.fetchval(_OLD)
    output.check(f"all ready campaigns have the new content after {seconds:.1f} s", holds=old == 0, seen=old)
    output.check(f"{claims} claims went on meanwhile", holds=slowest < 1, seen=slowest)
