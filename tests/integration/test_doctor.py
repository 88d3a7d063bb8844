"""`campaignpool doctor`: a database in order has nothing to fix; what is wrong has a line that says how to."""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml
from yarl import URL

from campaignpool.cli import checks, main
from campaignpool.cli.checks import CHECKS
from campaignpool.ledger import pools, retiring, seeding
from campaignpool.ledger.database import Connection, connected
from tests.support import resources, small
from tests.support.bouncer import pooler
from tests.support.small import POOL, filled

pytestmark = pytest.mark.integration
Doctor: TypeAlias = Callable[..., Awaitable[tuple[int, dict[str, list[tuple[str, str]]]]]]


@pytest.fixture
def doctor(small_url: str, capfd: pytest.CaptureFixture[str]) -> Doctor:
    """Return a function that runs `campaignpool doctor` and returns its exit code and (status, message) by check."""

    async def run(*words: str, url: str = small_url) -> tuple[int, dict[str, list[tuple[str, str]]]]:
        code = await asyncio.to_thread(main.main, ["doctor", "--database-url", url, "-o", "json", *words])
        answer = json.loads(capfd.readouterr().out)
        assert answer["ok"] == (code == 0)
        lines: dict[str, list[tuple[str, str]]] = {}
        for item in answer["checks"]:
            lines.setdefault(item["check"], []).append((item["status"], item["message"]))
        return code, lines

    return run


def kubectl(tmp_path: Path, *uids: str) -> str:
    """Write what kubectl prints of CampaignPools with these uids, all named as the pool, and return the path."""
    items: list[dict[str, Any]] = [
        {"kind": "CampaignPool", "metadata": {"namespace": "game", "name": "small", "uid": uid}} for uid in uids
    ]
    path = tmp_path / "pools.yaml"
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items}))
    return str(path)


async def test_a_pool_in_order_has_nothing_to_fix(connection: Connection, doctor: Doctor) -> None:
    await filled(connection, 2)
    code, found = await doctor()
    assert code == 0
    assert found.keys() == CHECKS.keys()
    assert {status for lines in found.values() for status, _ in lines} <= {"ok", "note"}
    assert found["pooler"] == [("ok", "no pooler, or one in session mode")]
    assert found["orphans"] == [("ok", "every pool is reconciled")]


async def test_the_text_has_a_line_for_each_finding(
    connection: Connection, small_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    await filled(connection, 1)
    assert await asyncio.to_thread(main.main, ["doctor", "--database-url", small_url]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line[:4].strip() in ("ok", "note") for line in lines] == [True] * len(lines)
    assert list(dict.fromkeys(line[6:].split()[0] for line in lines)) == list(CHECKS)


async def test_without_a_connection_it_says_why_and_nothing_else(doctor: Doctor, small_url: str) -> None:
    code, found = await doctor(url=small_url.replace("campaignpool:", "campaignpool:no", 1))
    assert code == 1
    ((status, message),) = found.pop("connection")
    assert (status, found) == ("fix", {})
    assert "--database-url" in message


async def test_a_database_without_a_ledger_is_a_note(doctor: Doctor, database_url: str) -> None:
    code, found = await doctor(url=database_url)
    assert code == 0
    assert found["ledger"][0][0] == "note"
    assert "the operator creates it" in found["ledger"][0][1]


async def test_a_database_in_which_no_function_can_be_written_is_to_be_fixed(
    doctor: Doctor, database_url: str
) -> None:
    role = f"poor_{secrets.token_hex(4)}"
    async with connected(database_url, "test") as admin:
        await admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'poor'")
        try:
            await admin.execute("REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC")
            code, found = await doctor(url=str(URL(database_url).with_user(role).with_password("poor")))
            assert (code, found["extensions"][0][0]) == (1, "fix")
            assert f"GRANT USAGE ON LANGUAGE plpgsql TO {role}" in found["extensions"][0][1]
            await admin.execute("DROP EXTENSION plpgsql")
            assert "CREATE EXTENSION plpgsql" in (await doctor(url=database_url))[1]["extensions"][0][1]
        finally:
            await admin.execute(f"DROP ROLE {role}")


async def test_a_ledger_of_another_release_is_told_apart(connection: Connection, doctor: Doctor) -> None:
    await connection.execute("UPDATE campaign_pool.definition SET checksum = 'old' WHERE file = 'views'")
    code, found = await doctor()
    assert code == 1
    assert "older release" in found["ledger"][0][1]
    await connection.execute("UPDATE campaign_pool.definition SET release = release + 1")
    assert (await doctor())[1]["ledger"][0][0] == "note"
    await connection.execute("UPDATE campaign_pool.migration SET checksum = 'other'")
    assert "differs from this release's" in (await doctor())[1]["ledger"][0][1]


async def test_a_pooler_in_transaction_mode_is_found(small_url: str, connection: Connection, doctor: Doctor) -> None:
    await filled(connection, 1)
    for mode, status in (("session", "ok"), ("transaction", "fix")):
        with pooler(small_url, mode) as url:
            _, found = await doctor(url=url)
            assert found["pooler"][0][0] == status, mode


async def test_a_pool_that_nobody_reconciles_is_orphaned(connection: Connection, doctor: Doctor) -> None:
    await filled(connection, 2)
    health = "SELECT orphaned, message FROM campaign_pool.health()"
    assert tuple(await connection.fetchrow(health) or ()) == (False, "2 of 5 campaigns are ready")
    await connection.execute("UPDATE campaign_pool.pool SET look_by = now() - interval '1 second'")
    orphaned, message = await connection.fetchrow(health) or ()
    assert orphaned
    assert "campaignpool purge --orphaned" in message
    code, found = await doctor()
    assert code == 1
    ((status, told),) = found["orphans"]
    assert status == "fix"
    assert "campaignpool purge --orphaned --resources -" in told
    assert "2 unclaimed campaigns and 1 revisions are left" in told


async def test_with_kubectls_output_orphans_are_compared_exactly(
    connection: Connection, doctor: Doctor, tmp_path: Path
) -> None:
    uid = await resources.uid(connection, POOL) or ""
    await connection.execute("UPDATE campaign_pool.pool SET look_by = now() - interval '1 day'")
    assert (await doctor("--resources", kubectl(tmp_path, uid)))[0] == 0
    code, found = await doctor("--resources", kubectl(tmp_path, "another resource of this name"))
    assert code == 1
    assert "its CampaignPool is gone" in found["orphans"][0][1]


async def test_a_loop_puts_off_the_time_by_which_a_pool_is_looked_at(connection: Connection) -> None:
    left = "SELECT look_by - now() FROM campaign_pool.pool"
    uid = await resources.uid(connection, POOL) or ""
    await pools.put_pool(connection, POOL, uid, small.spec(), 3600)
    await pools.put_pool(connection, POOL, uid, small.spec(), 30)
    first = await connection.fetchval(left)
    assert timedelta(minutes=9) < first <= timedelta(minutes=10)
    before = await connection.fetchval("SELECT xmin::text FROM campaign_pool.pool")
    await pools.put_pool(connection, POOL, uid, small.spec(), 30)
    assert await connection.fetchval("SELECT xmin::text FROM campaign_pool.pool") == before, "not in every loop"
    await pools.put_pool(connection, POOL, uid, small.spec(), 3600)
    assert await connection.fetchval(left) > timedelta(hours=9)
    await pools.put_pool(connection, POOL, uid, small.spec(), 30)
    assert await connection.fetchval(left) <= timedelta(minutes=10)


async def test_a_pool_that_failed_ten_times_is_halted(connection: Connection, doctor: Doctor) -> None:
    for number in range(1, seeding.HALT + 1):
        run = (f"job-{number}", number, 1, 1)
        await seeding.finish_run(connection, POOL, run, "Failed", "OOMKilled", "its limit of 8Mi")
        code, found = await doctor() if number >= seeding.HALT - 1 else (0, {"halted": [("ok", "")]})
        assert (found["halted"][0][0] == "fix") == (number == seeding.HALT), number
    assert code == 1
    assert "10 runs in a row failed (OOMKilled: its limit of 8Mi)" in found["halted"][0][1]
    assert "campaignpool.dev/retry" in found["halted"][0][1]
    await seeding.finish_run(connection, POOL, ("job-11", 11, 1, 1), "Succeeded")
    assert (await doctor())[1]["halted"][0][0] == "ok"


async def test_held_campaigns_are_listed_with_their_cause(connection: Connection, doctor: Doctor) -> None:
    await filled(connection, 1)
    await connection.execute("CREATE TABLE invitations AS SELECT id AS world_id FROM worlds WHERE NOT is_template")
    await connection.execute("ALTER TABLE invitations ADD FOREIGN KEY (world_id) REFERENCES worlds")
    assert await retiring.retire(connection, POOL) == 1
    assert await retiring.remove(connection, POOL, 10) == 0
    code, found = await doctor()
    assert code == 1
    ((_, message),) = found["held"]
    assert message.startswith(f"{POOL}: 1 campaigns cannot be deleted (")
    assert "invitations" in message


async def test_a_server_without_room_is_told(connection: Connection, doctor: Doctor) -> None:
    database = {"secretRef": {"name": "none"}, "maxConnections": 60}
    await resources.put(connection, POOL, small.spec(database=database))
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 20')
    code, found = await doctor()
    assert code == 1
    assert "connections are free, and seeders may use 60" in found["connections"][-1][1]


async def test_rights_that_were_taken_away_are_told(connection: Connection, doctor: Doctor) -> None:
    await connection.execute(
        "REVOKE EXECUTE ON FUNCTION campaign_pool.seed(text, text, integer) FROM campaign_pool_seeder"
    )
    code, found = await doctor()
    assert code == 1
    (wrong,) = [message for status, message in found["roles"] if status == "fix"]
    assert wrong == "the role campaign_pool_seeder lacks its rights: run what `campaignpool blueprint grants` prints"


async def test_a_role_that_may_read_nothing_gets_lines_instead_of_an_exception(
    connection: Connection, small_url: str, doctor: Doctor
) -> None:
    role = f"nobody_{await connection.fetchval('SELECT current_database()')}"
    await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
    try:
        where = small_url.rpartition("@")[2]
        code, found = await doctor(url=f"postgresql://{role}:x@{where}")
        assert code == 1
        assert found["orphans"][0][1].startswith("cannot be checked: ")
        assert found["version"][0][0] == "ok"
    finally:
        await connection.execute(f"DROP ROLE {role}")


async def test_clocks_that_differ_are_told(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(datetime):
        @classmethod
        def now(cls, tz: Any = UTC) -> datetime:
            return datetime.now(tz) - timedelta(minutes=2)

    monkeypatch.setattr(checks, "datetime", Late)
    code, found = await doctor()
    assert code == 1
    assert "differ by 120 s: check NTP" in found["clock"][0][1]
