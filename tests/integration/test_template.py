"""The template compared with a revision: what differs, what is left out, and when it is read at all."""

from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from campaignpool.blueprint import changes, compilation
from campaignpool.blueprint.changes import Changes, TableChange
from campaignpool.ledger import pools, templates
from campaignpool.ledger.database import Connection
from campaignpool.ledger.seeding import Run
from campaignpool_operator.facts import Observed, TemplateFacts
from campaignpool_operator.observe.template import PAUSE_SECONDS, Templates
from tests.support import small
from tests.support.pools import NOW, pool, run
from tests.support.small import POOL, TEMPLATE

pytestmark = pytest.mark.integration
INTERVAL = 300


async def compiled(connection: Connection) -> compilation.Compiled:
    wanted = small.spec()
    assert wanted.blueprint.inline
    return await compilation.compile_blueprint(connection, wanted, wanted.blueprint.inline)


async def compared(connection: Connection) -> Changes:
    return await changes.compare(connection, await compiled(connection), 1)


async def test_tables_and_counts_of_what_differs(connection: Connection) -> None:
    before = await compared(connection)
    assert (before.tables, dict(before.left_out)) == ((), {})
    await connection.execute("DELETE FROM things WHERE name IN ('thing 1', 'thing 2')")
    await connection.execute("UPDATE things SET name = 'secret' WHERE name = 'thing 3'")
    await connection.execute("INSERT INTO things VALUES (gen_random_uuid(), $1, 'new')", TEMPLATE)
    after = await compared(connection)
    assert after.tables == (TableChange("public.things", before=3, now=2, added=1, removed=2, changed=1),)
    assert after.fingerprint != before.fingerprint
    assert "secret" not in repr(after)
    assert await connection.fetchval("SELECT count(*) FROM pg_class WHERE relname ~ '^campaignpool_'") == 0


NOTES = "CREATE TABLE {0} (id int PRIMARY KEY, thing uuid REFERENCES things); CREATE INDEX ON {0} (thing);"


async def test_tables_that_were_empty_when_the_blueprint_left_them_out(connection: Connection) -> None:
    await connection.execute(NOTES.format("known") + NOTES.format("empty"))
    note = "INSERT INTO {} SELECT row_number() OVER (), id FROM things WHERE world_id = '" + TEMPLATE + "'"
    await connection.execute(note.format("known"))
    await small.put(connection, small.spec(2))
    number = await connection.fetchval("SELECT max(id) FROM campaign_pool.revision")
    wanted = small.spec(2)
    assert wanted.blueprint.inline
    plan = await compilation.compile_blueprint(connection, wanted, wanted.blueprint.inline)
    assert (await changes.compare(connection, plan, number)).left_out == {}
    await connection.execute(note.format("empty"))
    # A table that was made since.
    await connection.execute(NOTES.format("later"))
    await connection.execute(note.format("later"))
    # Rows of campaigns are nobody's template.
    await connection.execute("INSERT INTO members VALUES ($1, 'ann')", TEMPLATE)
    assert (await changes.compare(connection, plan, number)).left_out == {"public.empty": 3, "public.later": 3}


async def test_writes_tell_whether_a_row_was_written(connection: Connection, other: Connection) -> None:
    async def seen() -> str | None:
        # Sessions report what they wrote when they are idle.
        await other.execute("SELECT pg_stat_force_next_flush()")
        await connection.execute("SELECT pg_stat_force_next_flush()")
        return (await compared(connection)).writes

    before = await seen()
    assert before is not None
    assert await seen() == before
    for statement in (
        "UPDATE things SET name = name",
        "INSERT INTO things VALUES (gen_random_uuid(), (SELECT id FROM worlds LIMIT 1), 'x')",
        "DELETE FROM things WHERE name = 'x'",
        "TRUNCATE members, things",
    ):
        await other.execute(statement)
        now = await seen()
        assert now != before, statement
        before = now


# What the application says.


async def test_the_application_asks_for_a_comparison(connection: Connection) -> None:
    asked = "SELECT campaign_pool.template_changed($1)"
    heard: list[object] = []
    await connection.add_listener("campaign_pool", lambda *arguments: heard.append(arguments[-1]))
    assert await connection.fetchval(asked, "game/nowhere") is False
    transaction = connection.transaction()
    await transaction.start()
    assert await connection.fetchval(asked, POOL) is True
    await transaction.rollback()
    assert (await pools.observe(connection, POOL)).template_changes == ()
    assert heard == []
    assert await connection.fetchval(asked, POOL) is True
    await small.until(lambda: connection.fetchval("SELECT $1::boolean", bool(heard)))
    assert heard == [POOL]
    (number,) = (await pools.observe(connection, POOL)).template_changes
    await connection.fetchval(asked, POOL)
    await templates.answer(connection, [number])
    assert len((await pools.observe(connection, POOL)).template_changes) == 1


async def test_it_asks_without_waiting_for_the_pool(connection: Connection, other: Connection) -> None:
    async with other.transaction():
        await other.execute("SELECT FROM campaign_pool.pool FOR UPDATE")
        await connection.execute("SET lock_timeout = '50ms'")
        assert await connection.fetchval("SELECT campaign_pool.template_changed($1)", POOL)


# When it is read.


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Watch:
    """Looks at the template as the operator's loops do, and counts how often it was read."""

    def __init__(self, connection: Connection, patch: pytest.MonkeyPatch) -> None:
        self.connection, self.clock, self.reads = connection, Clock(), 0
        self.templates = Templates(self.clock)
        self.fails: Exception | None = None
        self.next_in: float | None = None
        compare = changes.compare

        async def counted(*arguments: Any) -> Changes:
            self.reads += 1
            if self.fails is not None:
                raise self.fails
            return await compare(*arguments)

        patch.setattr(changes, "compare", counted)

    async def look(self, refresh: str = "", runs: tuple[Run, ...] = (), **spec: object) -> TemplateFacts | None:
        await self.connection.execute("SELECT pg_stat_force_next_flush()")
        seen = Observed(
            pool(refresh=refresh),
            NOW,
            spec=small.spec(**spec),
            compiled=await compiled(self.connection),
            ledger=replace(await pools.observe(self.connection, POOL), runs=runs),
        )
        facts, self.next_in = await self.templates.observe(self.connection, seen)
        return facts


@pytest.fixture
async def watch(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(connection, monkeypatch)


async def test_it_is_read_once_an_interval_and_only_after_a_write(watch: Watch) -> None:
    first = await watch.look()
    assert first is not None
    assert (watch.reads, watch.next_in) == (1, INTERVAL)
    watch.clock.now += INTERVAL - 1
    assert await watch.look() == first
    assert watch.next_in == 1
    watch.clock.now += 1
    assert await watch.look() == first
    assert (watch.reads, watch.next_in) == (1, INTERVAL), "no table was written"
    await watch.connection.execute("UPDATE things SET name = 'other' WHERE name = 'thing 1'")
    assert await watch.look() == first
    watch.clock.now += INTERVAL
    fourth = await watch.look()
    assert watch.reads == 2
    assert fourth is not None
    assert [item.table for item in fourth.changes.tables] == ["public.things"]


async def test_it_is_read_at_once_when_somebody_asks(watch: Watch) -> None:
    await watch.look()
    facts = await watch.look(refresh="now")
    assert watch.reads == 2
    assert facts is not None
    assert facts.refresh == "now"
    await watch.connection.fetchval("SELECT campaign_pool.template_changed($1)", POOL)
    facts = await watch.look()
    assert watch.reads == 3
    assert facts is not None
    assert len(facts.answers) == 1


async def test_it_is_read_once_after_a_run_that_the_data_refused(watch: Watch) -> None:
    await watch.look()
    refused, succeeded = run(1, "Failed"), run(2, "Succeeded")
    for runs, reads in (
        ((refused,), 2),
        ((refused,), 2),
        ((succeeded, refused), 2),
        ((run(3, "Failed"), refused), 3),
    ):
        await watch.look(runs=runs)
        assert watch.reads == reads
    await watch.look(runs=(run(4, "Failed", reason="SeedingInterrupted"),))
    assert watch.reads == 3


async def test_an_interval_of_zero_leaves_it_to_those_who_ask(watch: Watch) -> None:
    template = {"where": "is_template", "checkInterval": "0s"}
    await watch.look(template=template)
    assert (watch.reads, watch.next_in) == (1, None)
    watch.clock.now += 1e6
    await watch.connection.execute("UPDATE things SET name = 'other'")
    await watch.look(template=template)
    assert watch.reads == 1
    await watch.look(template=template, refresh="now")
    assert watch.reads == 2


async def test_a_failure_is_tried_again_after_a_pause_and_hides_nothing(watch: Watch) -> None:
    first = await watch.look()
    watch.fails = asyncpg.QueryCanceledError("canceling statement due to statement timeout")
    facts = await watch.look(refresh="now")
    assert facts is not None
    assert first is not None
    assert (facts.changes, facts.refresh) == (first.changes, "")
    await watch.look(refresh="now")
    assert watch.reads == 2
    watch.clock.now += PAUSE_SECONDS
    watch.fails = None
    facts = await watch.look(refresh="now")
    assert watch.reads == 3
    assert facts is not None
    assert facts.refresh == "now"


async def test_another_revision_is_compared_at_once(watch: Watch) -> None:
    await watch.look()
    await small.put(watch.connection, small.spec(2))
    await small.put(watch.connection, small.spec(1))
    facts = await watch.look()
    assert watch.reads == 2
    assert facts is not None
    assert facts.revision == 3


async def test_a_first_comparison_that_failed_is_made_up_for_without_an_event(watch: Watch) -> None:
    """Also with an interval of zero: else nobody knows how the template stands to a new revision."""
    template = {"where": "is_template", "checkInterval": "0s"}
    watch.fails = asyncpg.SerializationError("could not serialize access")
    assert await watch.look(template=template) is None
    assert watch.next_in == PAUSE_SECONDS
    watch.clock.now += PAUSE_SECONDS
    watch.fails = None
    assert await watch.look(template=template) is not None
    assert watch.next_in is None
