"""`campaignpool purge`: what a pool left behind whose resource is gone, and nothing else, is removed."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

import chiwar
from campaignpool.cli import main
from campaignpool.cli.common import FAULT, USAGE
from campaignpool.ledger.database import Connection
from tests.support.ledgers import POOL, claim, filled

pytestmark = pytest.mark.integration
Purge = Callable[..., Awaitable[tuple[int, str, str]]]
LEFT = "SELECT count(*) FROM pg_class WHERE relnamespace = 'campaign_pool'::regnamespace AND relname ~ '^r[0-9]+_'"


@pytest.fixture
async def connection(pool_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(pool_url)
    await filled(connection, "", 3)
    yield connection
    await connection.close()


@pytest.fixture
def purge(pool_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Purge:
    """Return a function that runs `campaignpool purge …` in a thread, and returns exit code, stdout and stderr."""
    monkeypatch.setenv("CAMPAIGNPOOL_DATABASE_URL", pool_url)

    async def run(*words: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(main.main, ["purge", *words])
        return code, *capfd.readouterr()

    return run


async def test_a_dry_run_removes_nothing(connection: Connection, purge: Purge) -> None:
    code, text, _ = await purge("--pool", POOL, "--dry-run")
    assert (code, text) == (0, f"{POOL}: 3 unclaimed campaigns, 1 revisions, 0 claims\n")
    assert await connection.fetchval("SELECT count(*) FROM campaign_pool.campaign WHERE state = 'ready'") == 3


async def test_unclaimed_campaigns_and_revisions_go_and_claimed_ones_stay(
    connection: Connection, purge: Purge
) -> None:
    before = await connection.fetchval("SELECT count(*) FROM campaigns")
    given = await claim(connection, chiwar.NEW_USERS[0])
    code, text, errors = await purge("--pool", POOL)
    assert (code, errors) == (0, "")
    assert "2 campaigns and " in text
    assert await connection.fetchval("SELECT count(*) FROM campaigns") == before - 2
    assert await chiwar.check_clone(connection, given["campaign_id"]) == []
    assert await chiwar.half_campaigns(connection) == []
    assert await connection.fetchval("SELECT count(*) FROM campaign_pool.claimed") == 1
    assert await connection.fetchval("SELECT count(*) FROM campaign_pool.campaign") == 0
    code, text, _ = await purge("--pool", POOL)
    assert code == 0


async def test_only_pools_without_a_resource_are_orphans(
    connection: Connection, purge: Purge, tmp_path: Path
) -> None:
    uid = await connection.fetchval("SELECT uid FROM campaign_pool.pool WHERE name = $1", POOL)
    namespace, name = POOL.split("/")
    resources = tmp_path / "resources.json"

    def exists(uid: str) -> None:
        metadata = {"namespace": namespace, "name": name, "uid": uid}
        item = {"apiVersion": "campaignpool.dev/v1alpha1", "kind": "CampaignPool", "metadata": metadata}
        resources.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [item]}))

    exists(uid)
    code, text, _ = await purge("--orphaned", "--resources", str(resources))
    assert (code, text) == (0, "nothing is left of a deleted pool\n")
    exists("another resource of this name")
    code, text, _ = await purge("--orphaned", "--resources", str(resources))
    assert code == 0
    assert f"{POOL}: 3 unclaimed campaigns" in text
    assert await connection.fetchval("SELECT count(*) FROM campaign_pool.campaign") == 0
    assert await connection.fetchval(LEFT) == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--orphaned",), USAGE, "--orphaned and --resources belong together"),
        (("--pool", "game/none"), FAULT, "there is no pool game/none in this database"),
        (("--orphaned", "--resources", "/dev/null"), USAGE, "--resources holds no list of CampaignPools"),
    ],
)
@pytest.mark.usefixtures("connection")
async def test_wrong_usage_is_refused(purge: Purge, words: tuple[str, ...], code: int, message: str) -> None:
    ended, _, errors = await purge(*words)
    assert (ended, message in errors) == (code, True)
