"""Create the schema `campaign_pool`, or bring it up to date."""

from campaignpool.errors import ConfigurationError
from campaignpool.ledger import sql
from campaignpool.ledger.database import Connection

_LOCK = 0x63616D70706F6F6C
"""Advisory lock of the migrations: `camppool` in ASCII."""

MIGRATION_LOCK_SECONDS = 2
"""Longest wait of a migration for a lock: claims queue behind it, and are to take less than that."""


async def migrate(connection: Connection) -> list[str]:
    """Bring the schema `campaign_pool` up to date and give the names of the migrations that were applied.

    One process at a time, by an advisory lock, and each migration in a transaction of its own, for one may count on
    everybody seeing what another did. A database that is ahead of this code is left alone: migrations only add, so
    an older operator goes on working. Claims go on meanwhile: those that meet a lock of a migration wait for it, and
    the migration itself gives up after `MIGRATION_LOCK_SECONDS`, so that nobody waits behind it for a transaction
    that takes long.

    Raises:
        ConfigurationError: An applied migration is not the one of this code.
        asyncpg.LockNotAvailableError: A long transaction is in the way; try again, and it goes on where it ended.
    """
    applied: list[str] = []
    while (name := await _migrate_once(connection)) is not None:
        applied.append(name)
    if applied:
        await connection.execute(_QUERY["adopt_claimed"])
    return applied


async def _migrate_once(connection: Connection) -> str | None:
    """Apply the next migration and give its name; None where there is none."""
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{MIGRATION_LOCK_SECONDS}s'")
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        # IF NOT EXISTS asks for the right to make it even where it is there.
        if not await connection.fetchval("SELECT to_regnamespace('campaign_pool') IS NOT NULL"):
            await connection.execute("CREATE SCHEMA campaign_pool")
        if not await connection.fetchval("SELECT to_regclass('campaign_pool.migration') IS NOT NULL"):
            await connection.execute(sql.MIGRATION_TABLE)
        known = {row["version"]: row for row in await connection.fetch("SELECT * FROM campaign_pool.migration")}
        for migration in sql.migrations():
            if migration.version in known and known[migration.version]["checksum"] != migration.checksum:
                raise ConfigurationError(
                    f"migration {migration.version} of the schema campaign_pool is not the one of this release: "
                    "install the release that the database was migrated with, or a later one",
                    reason="LedgerIncompatible",
                )
        following = next((each for each in sql.migrations() if each.version not in known), None)
        if following is None:
            return None
        await connection.execute(following.sql)
        await connection.execute(
            "INSERT INTO campaign_pool.migration (version, name, checksum) VALUES ($1, $2, $3)",
            following.version,
            following.name,
            following.checksum,
        )
    return following.name


_QUERY = sql.queries()
