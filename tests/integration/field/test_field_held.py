"""Campaigns that the application keeps from being deleted take no room, and the status names the table."""

import pytest

from campaignpool.api.reasons import Reason
from campaignpool.ledger import pools, retiring
from campaignpool.ledger.database import Connection
from campaignpool_operator.plan.actions import CreateJob
from campaignpool_operator.plan.plan import plan
from campaignpool_operator.status import conditions
from tests.support import field, ledgers, resources, stock
from tests.support.pools import observed

pytestmark = pytest.mark.integration

HEROES = f"""
{field.CAMPAIGNS}
CREATE TABLE heroes (id serial PRIMARY KEY, campaign_id uuid NOT NULL REFERENCES campaigns, name text);
CREATE INDEX ON heroes (campaign_id);
INSERT INTO heroes (campaign_id, name) SELECT id, 'h' || n FROM campaigns, generate_series(1, 3) n;
CREATE TABLE fights (id serial PRIMARY KEY, campaign_id uuid NOT NULL REFERENCES campaigns);
"""
BLUEPRINT = field.ROOT + "tables: [{name: heroes}]"


async def test_what_cannot_be_deleted_takes_no_room_and_is_named(connection: Connection) -> None:
    await connection.execute(HEROES)
    await field.made(connection, BLUEPRINT, count=2)
    spec = field.spec(BLUEPRINT).model_copy(update={"max_size": 2, "size": 2, "owners": []})
    await resources.put(connection, ledgers.POOL, spec)
    await connection.execute("INSERT INTO fights (campaign_id) SELECT id FROM campaigns WHERE NOT is_master_template")
    await retiring.retire(connection, ledgers.POOL)
    assert await retiring.remove(connection, ledgers.POOL, 10) == 0

    ledger = await pools.observe(connection, ledgers.POOL)
    assert sum(ledger.held.values()) == 2
    seen = observed(spec=spec, ledger=ledger, jobs=())
    assert [item.count for item in plan(seen).actions if isinstance(item, CreateJob)] == [2]
    status, reason, message = conditions.degraded(seen, plan(seen))
    assert (status, reason) == ("True", Reason.CAMPAIGNS_HELD)
    assert '"fights"' in message
    assert "2 campaigns" in message

    assert await stock.reserve(connection, ledgers.POOL, "again", 3, number=2) == 2
    # Not without a bound: what is held beyond maxSize counts.
    spec = spec.model_copy(update={"max_size": 1})
    await resources.put(connection, ledgers.POOL, spec)
    await connection.execute("DELETE FROM campaign_pool.campaign WHERE state = 'seeding'")
    assert await stock.reserve(connection, ledgers.POOL, "more", 1, number=3) == 0
