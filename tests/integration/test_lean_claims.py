"""How a claim takes what lies at its ticket without locking it first, and calls what revisions brought, of many."""

import asyncio

import asyncpg
import pytest

from campaignpool.blueprint import install
from campaignpool.ledger import seeding
from campaignpool.ledger.database import Connection
from tests.support import small
from tests.support.small import POOL, filled

pytestmark = pytest.mark.integration
CLAIM = "SELECT campaign_id FROM campaign_pool.claim($1, 'ann', $2)"
SLOTS = "SELECT array_agg(slot ORDER BY slot) FROM campaign_pool.campaign WHERE state = 'ready'"
LANGUAGE = """
SELECT l.lanname FROM pg_proc f JOIN pg_language l ON l.oid = f.prolang
WHERE f.oid = 'campaign_pool.known_on_claim(bigint, uuid, text, text, text)'::regprocedure
"""

ANOTHER = """
WITH revision AS (
    INSERT INTO campaign_pool.revision OVERRIDING SYSTEM VALUE
    SELECT made.* FROM (SELECT to_jsonb(r) || jsonb_build_object('id', $1::bigint) AS facts
                         FROM campaign_pool.revision r LIMIT 1) o,
         jsonb_populate_record(NULL::campaign_pool.revision, o.facts) made
)
INSERT INTO campaign_pool.pool (name, root_table, revision_id, max_size, on_empty, wait)
VALUES ($2, 'worlds', $1, 1, 'Fail', '0')
"""


async def claim(connection: Connection, key: str | None = None) -> str:
    return str(await asyncio.wait_for(connection.fetchval(CLAIM, POOL, key), 5))


@pytest.mark.parametrize("mode", ["FOR UPDATE", "FOR KEY SHARE"])
async def test_what_somebody_holds_at_the_ticket_is_passed_over_and_not_waited_for(
    connection: Connection, other: Connection, mode: str
) -> None:
    await filled(connection, 5)
    await claim(connection)  # the first ticket lies below the first slot
    holding = other.transaction()
    await holding.start()
    held = await other.fetchval(
        f"SELECT root_key FROM campaign_pool.campaign WHERE state = 'ready' ORDER BY slot LIMIT 1 {mode}"
    )
    first = await claim(connection)
    assert first != held
    await holding.rollback()
    assert len({first, *[await claim(connection) for _ in range(3)]}) == 4, "and it is not lost"
    assert await connection.fetchval(SLOTS) is None
    assert not await small.wrong(connection)


async def test_what_a_claim_took_that_was_rolled_back_is_given_to_another(
    connection: Connection, other: Connection
) -> None:
    await filled(connection, 3)
    undone = other.transaction()
    await undone.start()
    once = await claim(other)
    await undone.rollback()
    assert once in {await claim(connection) for _ in range(3)}
    assert not await small.wrong(connection)


async def test_the_ready_are_claimed_whoever_locked_and_let_go_of_them(connection: Connection) -> None:
    await filled(connection, 20)
    async with connection.transaction():
        await connection.execute("SELECT FROM campaign_pool.campaign FOR UPDATE")
    assert len({await claim(connection) for _ in range(20)}) == 20
    assert not await small.wrong(connection)


async def test_no_slot_is_given_twice_where_the_sequence_was_left_behind(connection: Connection) -> None:
    """A failover by logical replication brings the rows along, and not where the sequences were."""
    await filled(connection, 10)
    pool = await connection.fetchval("SELECT id FROM campaign_pool.pool")
    await connection.execute(
        f"ALTER SEQUENCE campaign_pool.slot_{pool} RESTART; ALTER SEQUENCE campaign_pool.head_{pool} RESTART"
    )
    await filled(connection, 5, "after")
    assert await connection.fetchval(SLOTS) == list(range(1, 16))
    assert len({await claim(connection) for _ in range(15)}) == 15
    assert not await small.wrong(connection)


@pytest.mark.parametrize(("pools", "language"), [(3, "sql"), (8, "sql"), (9, "plpgsql"), (40, "plpgsql")])
async def test_a_claim_calls_what_its_pools_revision_brought_of_few_or_many(
    connection: Connection, pools: int, language: str
) -> None:
    brought = await connection.fetchrow(
        "SELECT p.revision_id, pg_get_functiondef(('campaign_pool.on_claim_r' || p.revision_id)::regproc) AS text "
        "FROM campaign_pool.pool p"
    )
    assert brought
    first, text = brought["revision_id"], brought["text"]
    for number in range(1, pools):
        await connection.execute(ANOTHER, first + 7 * number, f"game/other-{number}")
        await connection.execute(text.replace(f"r{first}(", f"r{first + 7 * number}("))
    # The pool's own lies among them.
    await connection.execute(
        f"ALTER TABLE campaign_pool.revision ALTER id RESTART WITH {first + 7 * (pools // 2) + 3}"
    )
    await small.put(connection, small.spec(2))
    await connection.execute("SELECT campaign_pool.write_on_claim()")
    assert await connection.fetchval(LANGUAGE) == language
    text = await connection.fetchval("SELECT prosrc FROM pg_proc WHERE oid = 'campaign_pool.claim'::regproc")
    assert ("UPDATE public.worlds" in text) == (language == "sql")
    await filled(connection, 2)
    campaign = await claim(connection)
    assert await connection.fetchval("SELECT player FROM worlds WHERE id = $1::uuid", campaign) == "ann"
    assert not await small.wrong(connection)


async def test_what_is_installed_meanwhile_by_another_is_known_in_the_end(
    connection: Connection, other: Connection
) -> None:
    """An install may take long, and sees the revisions of other pools as they were when it began."""
    calls = "SELECT array_agg(m[1] ORDER BY m[1]) FROM pg_proc, regexp_matches(prosrc, 'on_claim_(r[0-9]+)', 'g') m"
    calls += " WHERE proname = 'known_on_claim'"
    assert await connection.fetchval(calls) == ["r1"]
    async with other.transaction(isolation="repeatable_read"):
        await other.fetchval("SELECT count(*) FROM campaign_pool.pool")
        await small.put(connection, small.spec(2))
        assert await install.drop_unused(connection, POOL) == 1
        await other.execute("SELECT campaign_pool.write_on_claim()")
    await small.put(connection, small.spec(3), "game/other")
    assert await connection.fetchval(calls) == ["r2", "r3"]


INDEXES = """
SELECT array_agg(relname::text ORDER BY relname) FROM pg_class WHERE relname IN ('claimed_campaign', 'claimed_at')
"""


async def test_records_have_an_index_by_campaign_only_where_its_key_is_another(connection: Connection) -> None:
    assert await connection.fetchval(INDEXES) is None
    await connection.execute(
        """
        CREATE TABLE rooms (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, is_template boolean);
        INSERT INTO rooms (name, is_template) VALUES ('the template', true)
        """
    )
    wanted = small.spec(blueprint={"inline": {"root": {"table": "rooms", "set": {"is_template": "false"}}}})
    await small.put(connection, wanted, "game/rooms")
    assert await connection.fetchval(INDEXES) == ["claimed_campaign"]
    room = await connection.fetchval("SELECT campaign_id FROM campaign_pool.claim('game/rooms', 'ann')")
    await connection.execute("SELECT campaign_pool.release($1)", room)
    assert await connection.fetchval("SELECT released_at FROM campaign_pool.claimed") is not None


NUMBERED = """
INSERT INTO campaign_pool.revision (pool_id, plan_hash, fingerprint, template, blueprint, tables, rows, statements)
SELECT id, '', '', '1', '{}', '[]', 1, 1 FROM campaign_pool.pool
"""


async def test_two_that_install_at_the_same_moment_make_that_index_once(
    connection: Connection, other: Connection, database_url: str
) -> None:
    third = await asyncpg.connect(database_url)
    async with other.transaction():
        await other.execute(NUMBERED)
        second = asyncio.create_task(connection.execute(NUMBERED))
        await small.until(lambda: third.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))
    await second
    assert await third.fetchval(INDEXES) == ["claimed_campaign"]
    await third.close()


async def test_records_are_found_by_time(connection: Connection) -> None:
    await filled(connection, 2)
    for _ in range(2):
        await claim(connection)
    await connection.execute(
        "UPDATE campaign_pool.claimed SET claimed_at = now() - interval '40 days' "
        "WHERE id = (SELECT min(id::text)::uuid FROM campaign_pool.claimed)"
    )
    async with connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        plan = "\n".join(
            row[0]
            for row in await connection.fetch(
                "EXPLAIN SELECT FROM campaign_pool.claimed WHERE pool_id = 1 AND claimed_at > now() - interval '1 h'"
            )
        )
    assert "claimed_time" in plan
    assert await connection.fetchval("SELECT claims_of_day FROM campaign_pool.pools") == 1
    assert await connection.fetchval("SELECT campaign_pool.prune_claimed($1, '30 days', 10)", POOL) == 1


async def test_a_run_counts_its_own_campaigns_whatever_others_left_behind(connection: Connection) -> None:
    """The index of states has an entry of all that was ever made, until no old transaction may see it."""
    assert await seeding.reserve(connection, POOL, "one", "", 1, 3, 1) == 3
    assert await seeding.reserve(connection, POOL, "two", "", 2, 4, 1) == 4
    assert (await seeding.seed(connection, POOL, "one", 2)).campaigns == 2
    assert await seeding.reserve(connection, POOL, "one", "", 1, 3, 1) == 1
    assert (await seeding.seed(connection, POOL, "one", 5)).campaigns == 1
    assert await seeding.reserve(connection, POOL, "one", "", 1, 3, 1) == 0
    with pytest.raises(asyncpg.PostgresError, match="no clone plan"):
        await connection.fetchval("SELECT campaign_pool.reserve('game/none', 'job', '', 1, 1, 1)")
