"""Clones of what was frozen are refused, because the template or its types have changed since: it is frozen again."""

import time
from dataclasses import replace
from typing import cast

import asyncpg
import pytest

from campaignpool.api.reasons import Reason
from campaignpool.blueprint import compilation
from campaignpool.ledger import pools, seeding
from campaignpool.ledger.database import Connection
from campaignpool_operator.apply.apply import apply
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.facts import Observed
from campaignpool_operator.observe.template import Templates
from campaignpool_operator.plan import rollout
from tests.support import field, ledgers, stock
from tests.support.pools import NOW, pool

pytestmark = pytest.mark.integration

SCHEMA = f"""
{field.CAMPAIGNS}
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TYPE place AS (x integer, y integer);
CREATE TABLE users (id serial PRIMARY KEY, name text);
CREATE TABLE heroes (
    id serial PRIMARY KEY, campaign_id uuid NOT NULL REFERENCES campaigns, mood mood, place place, rank integer,
    author_id integer REFERENCES users ON UPDATE CASCADE ON DELETE SET NULL);
INSERT INTO users (name) VALUES ('editor'), ('other');
INSERT INTO heroes (campaign_id, mood, place, rank, author_id)
    SELECT id, 'sad', (1, 2)::place, n, 1 FROM campaigns, generate_series(1, 3) n;
"""
TEXT = field.ROOT + "tables: [{name: heroes}]"
CHANGES = {
    "a row outside that is deleted": ("DELETE FROM users WHERE id = 1", "author_id IS NULL"),
    "a row outside that has another key": ("UPDATE users SET id = 9 WHERE id = 1", "author_id = 9"),
    "a value of an enum that is renamed": ("ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'", "mood = 'blue'"),
    "an attribute that a type gains": ("ALTER TYPE place ADD ATTRIBUTE z integer", "(place).y = 2"),
    "an attribute that a type loses": ("ALTER TYPE place DROP ATTRIBUTE x", "(place).y = 2"),
    "a constraint that the template was changed for": (
        "UPDATE heroes SET rank = rank + 10; ALTER TABLE heroes ADD CHECK (rank > 10)",
        "rank > 10",
    ),
}


async def refrozen(connection: Connection) -> bool:
    """Do what the operator does after a run that the data refused; return whether a revision was frozen."""
    spec = field.spec(TEXT)
    assert spec.blueprint.inline
    compiled = await compilation.compile_blueprint(connection, spec, spec.blueprint.inline)
    ledger = await pools.observe(connection, ledgers.POOL)
    seen = Observed(pool(namespace="game", name="chiwar"), NOW, spec=spec, compiled=compiled, ledger=ledger)
    facts, _ = await Templates(time.monotonic).observe(connection, seen)
    action = rollout.decide(replace(seen, template=facts)).action
    nowhere = cast("Cluster", None)  # actions in the ledger use no cluster
    done = apply([action] if action else [], seen.pool, spec, nowhere, connection, "seeder")
    return [event.reason async for event in done] == [Reason.REVISION_INSTALLED]


@pytest.mark.parametrize("change", CHANGES)
async def test_a_template_that_has_changed_is_frozen_again(connection: Connection, change: str) -> None:
    statement, condition = CHANGES[change]
    await connection.execute(SCHEMA)
    (ready,) = await field.made(connection, TEXT, count=1)
    assert not await refrozen(connection)
    await connection.execute(statement)

    await stock.reserve(connection, ledgers.POOL, "refused", 1, number=2)
    with pytest.raises((asyncpg.IntegrityConstraintViolationError, asyncpg.DataError)):
        await seeding.seed(connection, ledgers.POOL, "refused", 1)
    assert (await ledgers.claim(connection, "me"))["campaign_id"] == ready  # the pool goes on serving
    assert await refrozen(connection)
    assert not await refrozen(connection)
    (key,) = await ledgers.filled(connection, "", 1, job="healed")
    query = f"SELECT count(*) FROM heroes WHERE campaign_id = $1 AND {condition}"
    assert await connection.fetchval(query, key) == 3


async def test_a_refusal_that_the_template_does_not_explain_freezes_nothing(connection: Connection) -> None:
    await connection.execute(SCHEMA)
    await field.put(connection, TEXT)
    await connection.execute("""
        CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$;
        CREATE TRIGGER no BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION no()
    """)
    assert not await refrozen(connection)
    assert await connection.fetchval("SELECT count(*) FROM campaign_pool.revision") == 1
