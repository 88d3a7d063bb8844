"""After a dump and restore into another server, the pool and its roles go on."""

import subprocess
from pathlib import Path

import asyncpg
import pytest

from campaignpool.ledger.database import Connection
from campaignpool.ledger.migrate import migrate
from campaignpool_local.postgres import EmbeddedPostgres
from tests.support import field, ledgers

pytestmark = pytest.mark.integration


async def test_roles_are_made_again_on_another_server(
    connection: Connection, database_url: str, postgres_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    await connection.execute(field.CAMPAIGNS)
    keys = await field.made(connection, field.ROOT)
    other = EmbeddedPostgres(tmp_path / "other")
    other.start()
    try:
        url = other.create_database("restored")
        dump = str(tmp_path / "dump.sql")
        run(postgres_server, "pg_dump", "--no-owner", f"--file={dump}", f"--dbname={database_url}")
        # The roles of the grants are not there: psql goes on after these errors.
        run(other, "psql", "--quiet", f"--file={dump}", f"--dbname={url}")
        restored: Connection = await asyncpg.connect(url)
        assert await migrate(restored) == ["roles"]
        assert await migrate(restored) == []
        await restored.execute("CREATE ROLE game_app; GRANT campaign_pool_app TO game_app; SET ROLE game_app")
        claim = await ledgers.claim(restored, "me")
        assert claim["campaign_id"] in keys
        await restored.execute("RESET ROLE")
        assert len(await ledgers.filled(restored, "", 1, job="after")) == 1
        # Roles that another database of the server made after the restore have no rights here.
        await restored.execute("DROP OWNED BY campaign_pool_app")
        assert await migrate(restored) == ["roles"]
        assert await restored.fetchval("SELECT has_schema_privilege('campaign_pool_app', 'campaign_pool', 'USAGE')")
        await restored.close()
    finally:
        other.stop()


def run(server: EmbeddedPostgres, program: str, *arguments: str) -> None:
    done = subprocess.run([server.binary(program), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
