"""Whether what a claim does in the application's tables can be part of `campaign_pool.claim` itself.

A function of its own, `on_claim_r<id>`, sets the planner back to what the application has, for triggers and functions
of the application that run along. The claim must not do that, for its own tables must never be read through. So its
statements are written into the claim only where nothing of the application's runs along with them.
"""

from dataclasses import dataclass

from campaignpool import catalog, probing, sql
from campaignpool.compiler import functions
from campaignpool.compiler.naming import search_path
from campaignpool.database import Connection

_VIEW = "pg_temp.campaignpool_claim"


@dataclass(frozen=True)
class Inlined:
    """What of a revision becomes part of `campaign_pool.claim`.

    Attributes:
        body: Its statements, in terms of the variables of `claim`.
        path: The search_path that they are written for.
        names: Whether they take the name that a claim may give.
    """

    body: str
    path: str
    names: bool


async def inlined(connection: Connection, revision: functions.Revision) -> Inlined | None:
    """Write what becomes part of the claim; None where the claim has to call the revision's function.

    To be called in a transaction; nothing is written.
    """
    plan = revision.plan
    path = search_path(plan)
    oids = [plan.root.facts.oid, *(facts.oid for facts in plan.claim_tables)]
    if not await connection.fetchval(sql.queries()["nothing_runs_along"], oids):
        return None
    if queries := [query for _, query in probing.claim_probes(plan)]:
        columns = ", ".join(f"({query}) AS c{number}" for number, query in enumerate(queries))
        async with catalog.search_path(connection, path):
            await connection.execute(f"CREATE VIEW {_VIEW} AS SELECT {columns}")
            alone = await connection.fetchval(sql.queries()["view_stands_alone"], _VIEW, plan.root.facts.oid)
        if not alone:
            return None
    return Inlined(functions.claim_body(revision), path, functions.takes_name(revision))
