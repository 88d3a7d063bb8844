"""Ready campaigns whose rows the application deletes or moves are found, taken out of the pool and replaced."""

from typing import cast

import pytest

from campaignpool.api.reasons import Reason
from campaignpool.ledger import auditing, pools
from campaignpool.ledger.database import Connection
from campaignpool_operator.apply.apply import apply
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.plan.actions import Quarantine, Remove
from campaignpool_operator.plan.plan import plan
from tests.support import field, ledgers
from tests.support.pools import observed, pool

pytestmark = pytest.mark.integration

SCHEMA = f"""
{field.CAMPAIGNS}
CREATE TABLE heroes (
    id serial PRIMARY KEY, campaign_id uuid NOT NULL REFERENCES campaigns ON DELETE CASCADE, name text);
CREATE INDEX ON heroes (campaign_id);
CREATE TABLE weapons (id serial PRIMARY KEY, hero_id integer NOT NULL REFERENCES heroes ON DELETE CASCADE);
INSERT INTO heroes (campaign_id, name) SELECT id, 'h' || n FROM campaigns, generate_series(1, 3) n;
INSERT INTO weapons (hero_id) SELECT id FROM heroes;
"""
BLUEPRINT = field.ROOT + "tables: [{name: heroes}, {name: weapons}]"
CHANGES = {
    "deleted": ("DELETE FROM campaigns WHERE id = $1", "its row in table public.campaigns was deleted"),
    "emptied": ("DELETE FROM heroes WHERE campaign_id = $1", "table public.heroes has 0 of its 3 rows"),
    "grandchildren": (
        "DELETE FROM weapons WHERE hero_id = (SELECT min(id) FROM heroes WHERE campaign_id = $1)",
        "table public.weapons has 2 of its 3 rows",
    ),
    "moved": (
        "UPDATE heroes SET campaign_id = (SELECT id FROM campaigns WHERE is_master_template) WHERE campaign_id = $1",
        "table public.heroes has 0 of its 3 rows",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_ready_campaign_that_the_application_changed_is_replaced(connection: Connection, change: str) -> None:
    statement, cause = CHANGES[change]
    await connection.execute(SCHEMA)
    key, other = await field.made(connection, BLUEPRINT)
    assert await auditing.audit(connection, ledgers.POOL) == {}
    await connection.execute(statement.replace("$1", f"'{key}'"))

    changed = await auditing.audit(connection, ledgers.POOL)
    assert [cause in text for text in changed.values()] == [True]
    seen = observed(ledger=await pools.observe(connection, ledgers.POOL), changed=changed)
    todo = plan(seen)
    assert todo.next_check == 0
    (quarantine,) = (action for action in todo.actions if isinstance(action, Quarantine))
    nowhere = cast("Cluster", None)  # actions in the ledger use no cluster
    spec = field.spec(BLUEPRINT)
    done = apply((quarantine, Remove()), pool(), spec, nowhere, connection, "seeder")
    (event,) = [event async for event in done]
    assert event.reason is Reason.CAMPAIGNS_CHANGED
    assert cause in event.message

    assert (await pools.counts(connection, ledgers.POOL))[""].ready == 1
    left = await connection.fetch("SELECT root_key FROM campaign_pool.campaign")
    assert [row["root_key"] for row in left] == [other]
    assert await connection.fetchval("SELECT count(*) FROM campaigns WHERE id::text = $1", key) == 0
    assert await auditing.audit(connection, ledgers.POOL) == {}


async def test_a_campaign_that_was_claimed_meanwhile_is_left_alone(connection: Connection) -> None:
    await connection.execute(SCHEMA)
    (key,) = await field.made(connection, BLUEPRINT, count=1)
    await connection.execute(f"DELETE FROM heroes WHERE campaign_id = '{key}'")
    changed = await auditing.audit(connection, ledgers.POOL)
    assert len(changed) == 1
    await ledgers.claim(connection, 1)
    assert await auditing.quarantine(connection, changed) == 0
