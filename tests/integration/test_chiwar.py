"""The sample application: its data is as documented, and its checks find what is wrong with a clone."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

import chiwar
from campaignpool_local.postgres import EmbeddedPostgres
from chiwar import ids, naive
from chiwar.load import Connection
from chiwar.rows import COLUMNS
from tests.support.postgres import NewDatabase

pytestmark = pytest.mark.integration


_DATA = Path(__file__).parents[1] / "data"


@dataclass(frozen=True)
class _Cloned:
    """A database with the sample application, and one clone in it that was made row by row."""

    url: str
    campaign: UUID


@pytest.fixture(scope="module")
def cloned(postgres_server: EmbeddedPostgres, chiwar_template: str) -> Iterator[_Cloned]:
    async def clone(url: str) -> UUID:
        connection = await asyncpg.connect(url)
        created = await naive.clone(connection, chiwar.RETURNING_USERS[0], "Second Campaign")
        await connection.close()
        return created.campaign_id

    url = postgres_server.create_database("chiwar_cloned", chiwar_template)
    yield _Cloned(url, asyncio.run(clone(url)))
    postgres_server.drop_database("chiwar_cloned")


@pytest.fixture
async def conn(cloned: _Cloned) -> AsyncIterator[Connection]:
    """A connection in a transaction that ends with the test, as if it had never been."""
    connection = await asyncpg.connect(cloned.url)
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


@pytest.fixture
def whole_clone(cloned: _Cloned) -> UUID:
    return cloned.campaign


async def _hashes(conn: Connection) -> dict[str, str]:
    return {
        table: await conn.fetchval(f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t")
        for table in COLUMNS
    }


async def test_the_template_has_what_the_documentation_says(conn: Connection) -> None:
    sql = (_DATA / "chiwar_prerequisites.sql").read_text()
    row = await conn.fetchrow(sql, chiwar.TEMPLATE_ID)
    assert row is not None
    assert dict(row) | {"chained": 0} == {
        "active": 643,
        "retired": 24,
        "dependent": 128,
        "on_retired": 8,
        "chained": 0,
        "astray": 0,
    }
    assert row["chained"] > 20
    assert await conn.fetchval("SELECT count(*) FROM campaigns WHERE is_master_template") == 1
    for table in ("fights", "invitations", "campaign_memberships"):
        assert await conn.fetchval(f"SELECT count(*) FROM {table} WHERE campaign_id = $1", chiwar.TEMPLATE_ID)


async def test_the_users_that_are_documented_exist(conn: Connection) -> None:
    results = [chiwar.TEMPLATE_OWNER_ID, *chiwar.RETURNING_USERS, *chiwar.NEW_USERS]
    assert await conn.fetchval("SELECT count(*) FROM users WHERE id = ANY ($1) AND gamemaster", results) == 8
    for number, user in enumerate(chiwar.RETURNING_USERS, start=1):
        owner = "SELECT user_id FROM campaigns WHERE id = $1"
        assert await conn.fetchval(owner, ids.other_campaign_id(number)) == user


async def test_the_counts_of_a_clone_are_those_of_a_clone(new_database: NewDatabase) -> None:
    connection = await asyncpg.connect(new_database())
    counts = await chiwar.load(connection)
    assert counts.clone == {
        "campaigns": 1,
        "schticks": 643,
        "weapons": 140,
        "factions": 12,
        "junctures": 7,
        "characters": 40,
        "character_schticks": 157,
        "carries": 40,
        "image_positions": 95,
        "active_storage_attachments": 843,
    }
    before = {table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in COLUMNS}
    assert before == counts.loaded
    await naive.clone(connection, chiwar.NEW_USER_ID, "Mine")
    after = {table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in COLUMNS}
    await connection.close()
    grown = {table: after[table] - before[table] for table in COLUMNS if after[table] != before[table]}
    assert grown == counts.clone


@pytest.mark.parametrize("scale", [0.0001, 0.05, 1.5])
async def test_any_scale_can_be_loaded_and_cloned(new_database: NewDatabase, scale: float) -> None:
    connection = await asyncpg.connect(new_database())
    await chiwar.load(connection, scale=scale, campaigns=1)
    created = await naive.clone(connection, chiwar.NEW_USER_ID, "Mine")
    faults = await chiwar.check_clone(connection, created.campaign_id)
    halves = await chiwar.half_campaigns(connection)
    await connection.close()
    assert faults == []
    assert halves == []


async def test_the_same_seed_gives_the_same_rows(new_database: NewDatabase) -> None:
    results = []
    for seed in (3, 3, 4):
        connection = await asyncpg.connect(new_database())
        await chiwar.load(connection, scale=0.1, campaigns=2, seed=seed)
        results.append(await _hashes(connection))
        await connection.close()
    first, second, other = results
    assert first == second
    assert [table for table in COLUMNS if first[table] == other[table]] == []


async def test_loading_twice_is_refused_and_changes_nothing(conn: Connection) -> None:
    before = await _hashes(conn)
    with pytest.raises(chiwar.AlreadyThereError, match="users, campaigns"):
        await chiwar.load(conn)
    assert await _hashes(conn) == before


async def test_a_clone_made_row_by_row_is_whole(conn: Connection, whole_clone: UUID) -> None:
    assert await chiwar.check_clone(conn, whole_clone) == []
    assert await chiwar.check_clone(conn, str(whole_clone)) == []
    assert await chiwar.half_campaigns(conn) == []


async def test_a_claimed_clone_is_whole(conn: Connection, whole_clone: UUID) -> None:
    await conn.execute("UPDATE campaigns SET user_id = $2 WHERE id = $1", whole_clone, chiwar.NEW_USER_ID)
    await conn.execute(
        "INSERT INTO campaign_memberships (user_id, campaign_id, created_at, updated_at)"
        " VALUES ($2, $1, now(), now())",
        whole_clone,
        chiwar.NEW_USER_ID,
    )
    assert await chiwar.check_clone(conn, whole_clone) == []


@pytest.mark.parametrize("campaign", [ids.other_campaign_id(1), chiwar.TEMPLATE_ID])
async def test_campaign_that_is_not_a_clone_has_faults(conn: Connection, campaign: UUID) -> None:
    assert await chiwar.check_clone(conn, campaign)


async def test_unknown_campaign_is_a_fault(conn: Connection) -> None:
    assert await chiwar.check_clone(conn, UUID(int=1)) == [f"campaigns: there is no campaign {UUID(int=1)}"]


def _planted() -> list[tuple[str, str, str]]:
    """Return the faults to plant: the name, the regular expression of the message, and the statement."""
    text = (_DATA / "chiwar_faults.sql").read_text()
    return re.findall(r"^-- fault: (.*)\n-- message: (.*)\n([^;]*);", text, re.MULTILINE)


@pytest.mark.parametrize(("expected", "sql"), [pytest.param(*rest, id=fault) for fault, *rest in _planted()])
async def test_planted_fault_is_reported(conn: Connection, whole_clone: UUID, expected: str, sql: str) -> None:
    campaigns = {"$1": whole_clone, "$2": chiwar.TEMPLATE_ID, "$3": ids.other_campaign_id(1)}
    for place, campaign in campaigns.items():
        sql = sql.replace(place, f"'{campaign}'::uuid")
    await conn.execute(sql)
    faults = await chiwar.check_clone(conn, whole_clone)
    assert [fault for fault in faults if re.match(expected, fault)], faults


async def test_incomplete_campaign_is_reported(conn: Connection, whole_clone: UUID) -> None:
    assert await chiwar.half_campaigns(conn) == []
    await conn.execute("DELETE FROM image_positions WHERE positionable_id = $1", whole_clone)
    lines = await chiwar.half_campaigns(conn)
    assert [re.sub(r"\d+ of", "n of", line) for line in lines] == [f"campaign {whole_clone}: n of 95: image position"]


async def test_empty_campaign_is_incomplete(conn: Connection) -> None:
    campaign = await conn.fetchval(
        "INSERT INTO campaigns (user_id, name, created_at, updated_at) VALUES ($1, 'Bare', now(), now())"
        " RETURNING id",
        chiwar.NEW_USER_ID,
    )
    [line] = await chiwar.half_campaigns(conn)
    assert line.startswith(f"campaign {campaign}: ")
    assert "0 of 643: Schtick" in line


async def test_images_of_deleted_record_are_reported(conn: Connection) -> None:
    await conn.execute(
        "UPDATE active_storage_attachments SET record_id = gen_random_uuid() WHERE record_id = $1",
        ids.other_campaign_id(1),
    )
    assert await chiwar.half_campaigns(conn) == ["active_storage_attachments: 1 rows refer to a deleted Campaign"]


async def test_clone_for_unknown_user_leaves_no_rows(conn: Connection) -> None:
    with pytest.raises(LookupError, match="users has no row"):
        await naive.clone(conn, UUID(int=1), "Nobody's")
    assert await chiwar.half_campaigns(conn) == []


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "chiwar", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_command_loads_once_and_then_refuses(postgres_server: EmbeddedPostgres, new_database: NewDatabase) -> None:
    url = new_database()
    first = _run("--database-url", url, "--scale", "0.05", "--campaigns", "1")
    assert (first.returncode, first.stderr) == (0, "")
    assert str(chiwar.TEMPLATE_ID) in first.stdout
    second = _run("--database-url", url)
    assert second.returncode == 1
    assert "already has these tables" in second.stderr
    assert "Traceback" not in second.stderr
    nowhere = _run("--database-url", postgres_server.url_of("nowhere"))
    assert nowhere.returncode == 1
    assert "nowhere" in nowhere.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--database-url", "postgresql://127.0.0.1:9/x", "--scale", "0"], "greater than 0"),
        (["--database-url", "postgresql://127.0.0.1:9/x", "--campaigns", "-1"], "0 or more"),
        ([], "no database: pass --database-url"),
    ],
)
def test_command_reports_wrong_arguments(arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    done = _run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_help_names_fixed_ids() -> None:
    done = _run("--help")
    assert done.returncode == 0
    assert str(chiwar.NEW_USER_ID) in done.stdout
    assert "%%" not in done.stdout
