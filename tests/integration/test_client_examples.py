"""The example clients, each run as it stands where its runtime is there, as the role that applications are given."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import chiwar
from campaignpool.ledger.database import Connection
from campaignpool_local.postgres import EmbeddedPostgres
from tests.support.commands import execute, on
from tests.support.ledgers import POOL, filled, installed
from tests.support.profile import LONG

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]  # the first run of some fetches a driver

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples/clients"
NODE = ROOT / ".local/clients"
CLAIMANT = str(chiwar.NEW_USER_ID)
NOTHING_READY = 75


def psql() -> list[str]:
    return [str(EXAMPLES / "psql/claim.sh")]


def python(program: str) -> list[str]:
    return [sys.executable, "-W", "error", str(EXAMPLES / "python" / program)]


def node(folder: str, program: str) -> list[str]:
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed: apt-get install nodejs npm")
    # A copy, so that the packages it needs are not fetched into the sources.
    copy = NODE / folder
    shutil.copytree(EXAMPLES / folder, copy, dirs_exist_ok=True)
    if not (copy / "node_modules").is_dir():
        if folder == "prisma" and not LONG:
            pytest.skip("fetching Prisma takes minutes: make soak does it")
        fetched = subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund"], cwd=copy, capture_output=True, text=True, check=False
        )
        if fetched.returncode != 0:
            shutil.rmtree(copy)
            pytest.skip(f"npm could not install what {folder} needs: {fetched.stderr.strip()[-300:]}")
    return ["node", str(copy / program)]


def ruby(program: str, library: str) -> list[str]:
    results = ["ruby", "-e", f'require "pg"; require "{library}"']
    if shutil.which("ruby") is None or subprocess.run(results, capture_output=True, check=False).returncode != 0:
        pytest.skip(f"Ruby with pg and {library} is not installed: apt-get install ruby ruby-pg ruby-activerecord")
    return ["ruby", str(EXAMPLES / "ruby" / program)]


def php(program: str, module: str, library: str = "") -> list[str]:
    loaded = f"extension_loaded('{module}') && (!'{library}' || stream_resolve_include_path('{library}'))"
    needs = f"exit({loaded} ? 0 : 1);"
    if shutil.which("php") is None or subprocess.run(["php", "-r", needs], check=False).returncode != 0:
        pytest.skip("PHP is not installed: apt-get install php-cli php-pgsql php-illuminate-database")
    return ["php", str(EXAMPLES / "php" / program)]


def elixir() -> list[str]:
    if shutil.which("elixir") is None:
        pytest.skip("Elixir is not installed: apt-get install elixir")
    program = EXAMPLES / "elixir/claim.exs"
    needs = next(line for line in program.read_text().splitlines() if line.startswith("Mix.install"))
    fetched = subprocess.run(["elixir", "-e", needs], capture_output=True, text=True, check=False)
    if fetched.returncode != 0:
        pytest.skip(f"Ecto could not be fetched from hex.pm: {fetched.stderr.strip()[-300:]}")
    return ["elixir", str(program)]


WAYS: dict[str, Callable[[], list[str]]] = {
    "psql": psql,
    **{
        item: partial(python, f"claim_{item}.py") for item in ("client", "asyncpg", "psycopg", "sqlalchemy", "django")
    },
    "node": partial(node, "node", "claim.js"),
    "prisma": partial(node, "prisma", "claim_prisma.js"),
    "ruby": partial(ruby, "claim_pg.rb", "pg"),
    "activerecord": partial(ruby, "claim_activerecord.rb", "active_record"),
    "php": partial(php, "claim_pdo.php", "pdo_pgsql"),
    "laravel": partial(php, "claim_laravel.php", "pdo_pgsql", "Illuminate/Database/autoload.php"),
    "elixir": elixir,
}


@pytest.fixture
def application_url(chiwar_url: str) -> Iterator[str]:
    """The URL of a pool with one ready campaign that makes none on demand, as an application's own role."""

    async def one_ready(connection: Connection) -> None:
        await installed(connection, claims={"onEmpty": "Fail"})
        await filled(connection, "", 1)

    on(chiwar_url, one_ready)
    execute(chiwar_url, "CREATE ROLE example_app LOGIN PASSWORD 'example' IN ROLE campaign_pool_app")
    scheme, _, rest = chiwar_url.partition("//")
    yield f"{scheme}//example_app:example@{rest.partition('@')[2]}"
    execute(chiwar_url, "DROP OWNED BY example_app; DROP ROLE example_app")


@pytest.mark.parametrize("way", WAYS)
def test_the_example_claims(
    way: str, postgres_server: EmbeddedPostgres, application_url: str, chiwar_url: str
) -> None:
    command = WAYS[way]()

    def claim(key: str) -> "subprocess.CompletedProcess[str]":
        environment = {
            **os.environ,
            "PATH": f"{postgres_server.binary('psql').parent}:{os.environ['PATH']}",
            "DATABASE_URL": application_url,
            "POOL": POOL,
            "CLAIMANT": CLAIMANT,
            "KEY": key,
        }
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    async def owner(connection: Connection, campaign: str) -> str:
        return str(await connection.fetchval("SELECT user_id FROM campaigns WHERE id = $1", campaign))

    first = claim("request-1")
    assert first.returncode == 0, first.stderr
    campaign, source = first.stdout.split()
    assert source == "master"
    assert on(chiwar_url, partial(owner, campaign=campaign)) == CLAIMANT

    again = claim("request-1")
    assert (again.returncode, again.stdout) == (0, first.stdout), again.stderr

    empty = claim("request-2")
    assert (empty.returncode, empty.stdout) == (NOTHING_READY, ""), empty.stderr
    assert "no campaign" in empty.stderr


def test_every_example_is_run() -> None:
    programs = {path.name for path in EXAMPLES.rglob("claim*") if path.suffix not in (".sql", ".pyc")}
    assert len(programs) == len(WAYS)
    listed = (EXAMPLES / "README.md").read_text()
    assert all(f"/{program})" in listed for program in programs)


PAGE = (ROOT / "docs/how-to/claim-a-campaign.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


async def test_the_function_of_the_page_claims(application_url: str) -> None:
    defined: dict[str, Any] = {}
    exec(*blocks("python"), defined)  # noqa: S102 (our own page)
    campaign = await defined["give_a_campaign"](application_url, CLAIMANT, "request-1")
    assert campaign
    assert await defined["give_a_campaign"](application_url, CLAIMANT, "request-1") == campaign
    assert await defined["give_a_campaign"](application_url, CLAIMANT, "request-2") is None


def test_the_statements_of_the_page_hold(chiwar_url: str) -> None:
    """One after the other, with values for what stands in angle brackets."""
    values = {"user id": CLAIMANT, "request id": "request-1", "batch id": "batch-1"}

    async def run(connection: Connection) -> None:
        await installed(connection, claims={"onEmpty": "Wait"})
        await filled(connection, "", 3)
        # Roles are the server's: what is made and granted here goes with the transaction.
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("CREATE ROLE game_app; DROP OWNED BY campaign_pool_app")
        for block in blocks("sql"):
            for part in block.replace("CREATE ROLE campaign_pool_app NOLOGIN;", "").split(";")[:-1]:
                rows = await connection.fetch(re.sub(r"<(.*?)>", lambda found: values[found[1]], part))
                if "claim(" in part:
                    values["campaign id"] = rows[0]["campaign_id"]
        assert await connection.fetchval("SELECT pg_has_role('game_app', 'campaign_pool_app', 'member')")
        states = await connection.fetch("SELECT state, count(*) FROM campaign_pool.campaign GROUP BY state")
        assert {row["state"]: row["count"] for row in states} == {"retiring": 1}
        await transaction.rollback()

    on(chiwar_url, run)
