"""Ready campaigns whose rows the application deletes or moves are found, taken out of the pool and replaced."""

from dataclasses import replace
from typing import cast
from uuid import UUID

import pytest

from campaignpool.api.reasons import Reason
from campaignpool.api.status import CampaignPoolStatus, Condition
from campaignpool.blueprint import compilation
from campaignpool.blueprint.sql.audit import written_on_update
from campaignpool.ledger import auditing, pools
from campaignpool.ledger.database import Connection
from campaignpool_operator.apply.apply import apply
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.plan.actions import Quarantine, Remove
from campaignpool_operator.plan.plan import plan
from campaignpool_operator.status.conditions import degraded
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
    status, reason, message = degraded(seen, todo)
    assert (status, reason, cause in message) == ("True", Reason.CAMPAIGNS_CHANGED, True)

    assert (await pools.counts(connection, ledgers.POOL))[0].ready == 1
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


VALUES = f"""
{field.CAMPAIGNS}
CREATE TYPE place AS (x integer, at date);
CREATE TABLE heroes (
    id serial PRIMARY KEY, campaign_id uuid NOT NULL REFERENCES campaigns, name text, code char(4), place place,
    rank integer, made_at timestamptz, seen_at timestamptz);
CREATE TABLE weapons (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), hero_id integer NOT NULL REFERENCES heroes, name text);
CREATE FUNCTION made() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.made_at := now(); RETURN NEW; END $$;
CREATE TRIGGER made BEFORE INSERT ON heroes FOR EACH ROW EXECUTE FUNCTION made();
CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.seen_at = now(); RETURN NEW; END $$;
CREATE TRIGGER seen BEFORE UPDATE ON heroes FOR EACH ROW EXECUTE FUNCTION seen();
INSERT INTO heroes (campaign_id, name, code, place, rank)
    SELECT id, 'h' || n, n, (n, '2026-02-01')::place, n FROM campaigns, generate_series(1, 3) n;
INSERT INTO weapons (hero_id, name) SELECT id, 'w' || id FROM heroes;
"""
OTHER = "UPDATE heroes SET %s WHERE campaign_id = '$1'"
SWAPPED = """
UPDATE weapons SET name = CASE name WHEN 'w1' THEN 'w2' WHEN 'w2' THEN 'w1' ELSE name END
WHERE hero_id IN (SELECT id FROM heroes WHERE campaign_id = '$1')
"""
EDITS = {
    "a value": (
        OTHER % "name = name || ' the hidden' ",
        "column name of table public.heroes has other values in 3 of 3",
    ),
    "one row": (
        OTHER % "code = 'x'" + " AND name = 'h1'",
        "column code of table public.heroes has other values in 1 of 3",
    ),
    "NULL": (OTHER % "place = NULL", "column place of table public.heroes has other values in 3 of 3"),
    "rows that have each other's values": (SWAPPED, "column name of table public.weapons has other values in 2 of 3"),
    "the root": ("UPDATE campaigns SET name = 'hidden' WHERE id = '$1'", None),
    "a column that is set": (OTHER % "rank = 7", None),
    "a time that a trigger wrote": (OTHER % "made_at = now()", None),
    "a time that a trigger of UPDATE writes": (OTHER % "rank = rank", None),
}


async def audited(connection: Connection, text: str) -> dict[UUID, str]:
    """Audit as the operator does."""
    spec = field.spec(text)
    assert spec.blueprint.inline
    compiled = await compilation.compile_blueprint(connection, spec, spec.blueprint.inline)
    return await auditing.audit(connection, ledgers.POOL, compiled.plan_hash, written_on_update(compiled.plan))


@pytest.mark.parametrize("edit", EDITS)
async def test_values_that_the_application_changed_are_found(connection: Connection, edit: str) -> None:
    """The message names column, table and counts, and no value; what may change is no change."""
    statement, cause = EDITS[edit]
    await connection.execute(VALUES)
    text = """
        root: {table: campaigns, set: {is_master_template: "false", name: $name}}
        tables: [{name: heroes, set: {rank: rank}}, {name: weapons}]
    """
    keys = await field.made(connection, text, count=3)
    assert await audited(connection, text) == {}
    await connection.execute(statement.replace("$1", keys[1]))
    causes = list((await audited(connection, text)).values())
    assert causes == ([] if cause is None else [f"{cause} rows"])
    assert "hidden" not in str(causes)


async def test_values_are_not_compared_across_a_change_of_the_schema(connection: Connection) -> None:
    """A migration changes values and types as it likes; the next revision is made from what it left."""
    await connection.execute(VALUES)
    text = field.ROOT + "tables: [{name: heroes}, {name: weapons}]"
    await field.made(connection, text)
    await connection.execute(
        "ALTER TABLE heroes ALTER rank TYPE numeric(6, 2), ALTER name TYPE varchar(50) USING upper(name)"
    )
    assert await audited(connection, text) == {}
    await field.put(connection, text)
    (key,) = await ledgers.filled(connection, "", 1)
    await connection.execute(f"UPDATE heroes SET rank = 0 WHERE campaign_id = '{key}'")
    assert list((await audited(connection, text)).values()) == [
        "column rank of table public.heroes has other values in 3 of 3 rows"
    ]


def test_the_condition_lasts_until_an_audit_finds_nothing() -> None:
    seen = observed(changed={UUID(int=1): "its row in table public.campaigns was deleted"})
    status, reason, message = degraded(seen, plan(seen))
    assert (status, reason) == ("True", Reason.CAMPAIGNS_CHANGED)
    condition = Condition(
        type="Degraded", status=status, last_transition_time="", reason=reason.value, message=message
    )
    later = replace(seen, pool=pool(status=CampaignPoolStatus(conditions=[condition])), changed=None)
    assert degraded(later, plan(later)) == (status, reason, message)
    assert degraded(replace(later, changed={}), plan(later))[0] == "False"
