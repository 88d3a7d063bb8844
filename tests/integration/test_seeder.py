"""The seeder as a Job runs it: a process with arguments, one environment variable and an exit code."""

import asyncio
import json
import os
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import suppress

import asyncpg
import pytest

import chiwar
from campaignpool.errors import TransientError
from campaignpool.ledger import pools, retiring
from campaignpool.ledger.database import Connection
from campaignpool.ledger.migrate import migrate
from campaignpool_seeder import arguments
from campaignpool_seeder.exits import EX_TEMPFAIL, exit_code
from campaignpool_seeder.run import run
from tests.support import stock
from tests.support.ledgers import POOL, claim, installed
from tests.support.processes import killed_after
from tests.support.profile import LONG

pytestmark = pytest.mark.integration
SEEDER = f"campaignpool-seeder {POOL}"


@pytest.fixture
async def connection(pool_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(pool_url)
    await installed(connection, size=20, owners=[])
    yield connection
    await connection.close()


async def start(url: str, *words: str, job: str = "job", count: int = 3) -> Process:
    command = [sys.executable, "-m", "campaignpool_seeder", "--pool", POOL, "--job", job, "--count", str(count)]
    environment = {**os.environ, "CAMPAIGNPOOL_DATABASE_URL": url}
    return await asyncio.create_subprocess_exec(*command, *words, env=environment, stdout=PIPE, stderr=PIPE)


async def finished(url: str, *words: str, job: str = "job", count: int = 3) -> tuple[int, str]:
    process = await start(url, *words, job=job, count=count)
    out, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, (out + errors).decode()


async def test_it_makes_what_it_is_asked_for(connection: Connection, pool_url: str) -> None:
    code, said = await finished(pool_url, "--batch-size", "2")
    assert code == 0, said
    assert "2 of 3 campaigns ready rows=3956 statements=10" in said
    assert "done campaigns=3" in said
    result = await pools.observe(connection, POOL)
    assert result.owners[""].ready == 3
    run = result.runs[0]
    assert (run.outcome, run.campaigns, run.rows, run.statements) == ("Succeeded", 3, 3 * 1978, 10)
    for row in await connection.fetch("SELECT root_key FROM campaign_pool.campaign"):
        assert await chiwar.check_clone(connection, row["root_key"]) == []


@pytest.mark.usefixtures("connection")
async def test_it_logs_json_on_demand(pool_url: str) -> None:
    _, said = await finished(pool_url, "--json-logs", count=1)
    lines = [json.loads(line) for line in said.splitlines()]
    assert [line["message"] for line in lines] == ["reserved", "1 of 1 campaigns ready", "done"]
    assert {line["level"] for line in lines} == {"info"}


async def test_doing_it_again_makes_nothing_more(connection: Connection, pool_url: str) -> None:
    await finished(pool_url)
    code, said = await finished(pool_url)
    assert (code, "done campaigns=0" in said) == (0, True)
    assert (await pools.observe(connection, POOL)).owners[""].ready == 3


@pytest.mark.long
async def test_killed_at_random_moments_it_leaves_no_half_campaign(connection: Connection, pool_url: str) -> None:
    """Kill -9 at moments spread over a run; the retry goes on and makes exactly what was asked for."""
    chance = random.Random(1)
    began = asyncio.get_running_loop().time()
    await (await start(pool_url, job="measured", count=4)).wait()
    length = asyncio.get_running_loop().time() - began
    await retiring.retire(connection, POOL, 4)
    for turn in range(20 if LONG else 8):
        process = await start(pool_url, "--batch-size", "1", job=f"job-{turn}", count=4)
        await killed_after(process, chance.uniform(0.3, 1.0) * length)
        assert await chiwar.half_campaigns(connection) == []
        code, said = await finished(pool_url, job=f"job-{turn}", count=4)
        assert code == 0, said
        result = await pools.observe(connection, POOL)
        assert (result.owners[""].ready, result.owners[""].seeding) == (4, 0)
        await retiring.retire(connection, POOL, 4)
        await retiring.remove(connection, POOL, 10)


async def test_asked_to_stop_it_finishes_the_batch_and_leaves_the_rest(connection: Connection, pool_url: str) -> None:
    process = await start(pool_url, "--batch-size", "1", count=20)
    assert process.stdout
    async for line in process.stdout:
        if b"1 of 20" in line:
            process.send_signal(signal.SIGTERM)
    assert await process.wait() == 75
    created = (await pools.observe(connection, POOL)).owners[""]
    assert 1 <= created.ready < 20
    assert created.ready + created.seeding == 20
    assert (await finished(pool_url, count=20))[0] == 0
    assert (await pools.observe(connection, POOL)).owners[""].ready == 20


@pytest.mark.parametrize("ends", ["the pod is stopped", "other pools wait for a Job"])
async def test_it_makes_what_is_lacking_again_while_it_lingers(
    connection: Connection, pool_url: str, ends: str
) -> None:
    await stock.want(connection, POOL, 2)
    process = await start(pool_url, "--linger-seconds", "60", count=2)
    assert process.stdout
    batches = 0
    async for line in process.stdout:
        if b" campaigns ready" not in line:
            continue
        batches += 1
        if batches == 1:
            await claim(connection, chiwar.NEW_USER_ID)
        elif batches == 2:
            await stock.want(connection, POOL, 1)
            await pools.wake_seeders(connection, POOL)
        elif ends == "the pod is stopped":
            process.send_signal(signal.SIGTERM)
        else:
            while process.returncode is None:
                await pools.release_seeders(connection, POOL)
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), 0.1)
    assert await process.wait() == 0, "it has nothing left to make"
    (run_,) = (await pools.observe(connection, POOL)).runs
    assert (run_.outcome, run_.attempts, run_.campaigns) == ("Succeeded", 1, 4)
    assert (await pools.observe(connection, POOL)).totals.ready == 3


async def test_it_does_not_linger_beyond_its_work_time_or_in_a_paused_pool(
    connection: Connection, pool_url: str
) -> None:
    await connection.execute("UPDATE campaign_pool.pool SET settings = settings || '{\"paused\": true}'")
    code, said = await finished(pool_url, "--linger-seconds", "600", "--work-seconds", "1")
    assert (code, "done campaigns=3" in said) == (0, True)


async def test_a_lost_connection_is_opened_again(connection: Connection, pool_url: str) -> None:
    process = await start(pool_url, "--batch-size", "1", count=15)
    assert process.stdout
    async for line in process.stdout:
        if b" of 15 " in line and b"1 of 15" in line:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1",
                SEEDER,
            )
    assert await process.wait() == 0
    assert (await pools.observe(connection, POOL)).owners[""].ready == 15
    assert await chiwar.half_campaigns(connection) == []


async def test_it_stays_within_its_share_of_connections(connection: Connection, pool_url: str) -> None:
    await connection.execute("SELECT set_config('application_name', $1, false)", SEEDER)
    words = ["--pool", POOL, "--job", "job", "--count", "3", "--max-connections", "1"]
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    with pytest.raises(TransientError, match=r"or lower spec.seeding.maxConcurrent") as refused:
        await run(arguments.parse(words, pool_url), asyncio.Event(), sleep)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert exit_code(refused.value) == EX_TEMPFAIL
    assert (await pools.observe(connection, POOL)).runs == ()


async def test_a_template_that_is_refused_ends_the_run_and_names_the_row(
    connection: Connection, pool_url: str
) -> None:
    """One row of 140 is found by halving; refused twice, it is clear that smaller units do not help."""
    row = await connection.fetchrow(
        "SELECT id::text, quote_literal(name) AS name FROM weapons WHERE campaign_id = $1 ORDER BY id LIMIT 1",
        chiwar.TEMPLATE_ID,
    )
    assert row
    await connection.execute(f"ALTER TABLE weapons ADD CONSTRAINT refuses CHECK (name <> {row['name']}) NOT VALID")
    before = await connection.fetchval("SELECT count(*) FROM campaigns")
    code, said = await finished(pool_url, count=5)
    assert code == 65
    assert f"table public.weapons, row {row['id']} of the template, constraint refuses" in said
    assert "Traceback" not in said
    assert await connection.fetchval("SELECT count(*) FROM campaigns") == before
    result = await pools.observe(connection, POOL)
    assert (result.runs[0].outcome, result.runs[0].reason) == ("Failed", "SeedingFailed")
    assert (result.owners[""].failed, result.owners[""].seeding) == (5, 0)


async def test_one_campaign_that_is_refused_takes_no_others_along(connection: Connection, pool_url: str) -> None:
    await stock.reserve(connection, POOL, "job", 7)
    ids = [row["id"] for row in await connection.fetch("SELECT id FROM campaign_pool.campaign ORDER BY id")]
    await connection.execute(f"ALTER TABLE campaigns ADD CONSTRAINT refuses CHECK (id <> '{ids[3]}') NOT VALID")
    code, said = await finished(pool_url, count=7)
    assert code == 65
    assert f"1 of 7 campaigns were refused: table public.campaigns, row {chiwar.TEMPLATE_ID} of the template" in said
    result = await pools.observe(connection, POOL)
    assert (result.owners[""].ready, result.owners[""].failed) == (6, 1)
    cause = await connection.fetchval("SELECT cause FROM campaign_pool.campaign WHERE id = $1", ids[3])
    assert "constraint refuses" in cause
    assert await chiwar.half_campaigns(connection) == []


async def test_a_row_without_a_suffix_of_its_own_is_named_by_its_key(connection: Connection, pool_url: str) -> None:
    row = await connection.fetchrow(
        "SELECT a.id, a.blob_id FROM active_storage_attachments a JOIN weapons w ON w.id = a.record_id"
        " WHERE w.campaign_id = $1 ORDER BY a.id DESC LIMIT 1",
        chiwar.TEMPLATE_ID,
    )
    assert row
    table = "active_storage_attachments"
    await connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT no CHECK (blob_id <> {row['blob_id']}) NOT VALID")
    code, said = await finished(pool_url, count=1)
    assert code == 65
    assert f"table public.{table}, row {row['id']} of the template, constraint no" in said


async def test_a_refusal_at_the_commit_ends_the_run_and_names_the_function(
    connection: Connection, pool_url: str
) -> None:
    """A deferred constraint trigger lets every statement pass and refuses the commit."""
    await connection.execute("""
        CREATE FUNCTION has_member() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'a campaign needs a member' USING ERRCODE = '23514';
        END $$;
        CREATE CONSTRAINT TRIGGER has_member AFTER INSERT ON campaigns DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION has_member()""")
    code, said = await finished(pool_url, count=4)
    assert code == 65
    assert "a campaign needs a member" in said
    assert said.count("WARNING") <= 4
    run = (await pools.observe(connection, POOL)).runs[0]
    assert run.message is not None
    assert "a campaign needs a member: raised by function has_member()" in run.message


async def test_no_value_of_a_row_is_in_the_cause(connection: Connection, pool_url: str) -> None:
    await connection.execute("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'the weapon "%" is refused', NEW.name;
        END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON weapons FOR EACH ROW EXECUTE FUNCTION refuse()""")
    names = [row["name"] for row in await connection.fetch("SELECT DISTINCT name FROM weapons")]
    code, said = await finished(pool_url, count=1)
    assert code == 65
    message = (await pools.observe(connection, POOL)).runs[0].message
    assert message is not None
    assert 'the weapon "%" is refused: raised by function refuse() at line 3' in message
    assert [name for name in names if f'"{name}"' in said] == []


async def test_a_shortage_is_retried_and_quarantines_nothing(connection: Connection, pool_url: str) -> None:
    await connection.execute("""
        CREATE FUNCTION shortage() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
        END $$;
        CREATE TRIGGER shortage BEFORE INSERT ON weapons FOR EACH ROW EXECUTE FUNCTION shortage()""")
    words = ["--pool", POOL, "--job", "job", "--count", "3"]

    async def sleep(_: float) -> None:
        pass

    with pytest.raises(TransientError, match=r"short of a resource: .*shortage\(\)") as refused:
        await run(arguments.parse(words, pool_url), asyncio.Event(), sleep)
    assert (refused.value.reason, exit_code(refused.value)) == ("DatabaseOutOfResources", EX_TEMPFAIL)
    await connection.execute("DROP TRIGGER shortage ON weapons")
    assert (await finished(pool_url))[0] == 0
    counts = (await pools.observe(connection, POOL)).owners[""]
    assert (counts.ready, counts.failed) == (3, 0)


async def test_without_a_fallback_the_run_ends_at_once(connection: Connection, pool_url: str) -> None:
    await connection.execute("ALTER TABLE weapons ADD CONSTRAINT refuses CHECK (damage < 0) NOT VALID")
    code, said = await finished(pool_url, "--fallback", "None", count=5)
    assert code == 65
    assert "quarantined" not in said
    assert (await pools.observe(connection, POOL)).owners[""].failed == 5


@pytest.mark.parametrize(
    ("change", "words", "code"),
    [
        (("campaignpool:", "nobody:"), "refuses the user or the password", 78),
        (("postgresql://", "mysql://"), "not a URL of Postgres", 78),
        (("/test_", "/none_"), "no database of this name", 78),
    ],
    ids=["user", "scheme", "database"],
)
@pytest.mark.usefixtures("connection")
async def test_what_a_person_has_to_mend_is_said_once(
    pool_url: str, change: tuple[str, str], words: str, code: int
) -> None:
    ended, said = await finished(pool_url.replace(*change))
    assert (ended, words in said) == (code, True), said
    secret = pool_url.partition("@")[0].rpartition(":")[2]
    assert secret not in said
    assert "Traceback" not in said


async def test_a_pool_without_a_plan_is_named(chiwar_url: str) -> None:
    connection = await asyncpg.connect(chiwar_url)
    await migrate(connection)
    await connection.close()
    code, said = await finished(chiwar_url)
    assert code == 78
    assert 'pool "game/chiwar" has no clone plan' in said
