"""Create the schema `campaign_pool`, or bring it up to date."""

import asyncpg

from campaignpool.errors import ConfigurationError
from campaignpool.ledger import sql
from campaignpool.ledger.database import Connection
from campaignpool.ledger.event_triggers import obeyed
from campaignpool.ledger.sql import Schema

MIGRATION_LOCK_SECONDS = 2
"""Longest wait of a migration for a lock: claims queue behind it, and are not to wait longer than that."""

_LACKS_ROLES = """
SELECT bool_or(CASE WHEN r.oid IS NULL THEN may.create_roles ELSE
               name <> 'campaign_pool_operator' AND NOT has_schema_privilege(r.oid, 'campaign_pool', 'USAGE') END)
FROM unnest(ARRAY['campaign_pool_app', 'campaign_pool_seeder', 'campaign_pool_operator']) AS name
LEFT JOIN pg_roles r ON r.rolname = name
CROSS JOIN (SELECT rolcreaterole OR rolsuper AS create_roles FROM pg_roles WHERE rolname = current_user) may
"""
_TAKEN = """
SELECT string_agg(name, ', ' ORDER BY name) FROM (
    SELECT relname FROM pg_class WHERE relnamespace = 'campaign_pool'::regnamespace
    UNION SELECT proname || '()' FROM pg_proc WHERE pronamespace = 'campaign_pool'::regnamespace
    ORDER BY 1 LIMIT 5) AS o (name)
WHERE to_regclass('campaign_pool.migration') IS NULL
"""
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('campaign_pool.migrate', 0))"


async def migrate(connection: Connection, schema: Schema | None = None) -> list[str]:
    """Bring the schema up to date in one transaction; return the names of the files that were applied.

    Versions of the tables are applied once. Functions, views and rights are applied when their text differs from what
    was applied last, but never once a newer release was here: an older operator works beside a newer one. One process
    at a time, by an advisory lock. Claims continue; the transaction gives up after `MIGRATION_LOCK_SECONDS`
    rather than let them wait behind it for a long transaction.

    Args:
        connection: To the database.
        schema: What to apply; by default that of this release.

    Raises:
        ConfigurationError: An applied version of the tables differs from this release's, the schema has objects of
            others, or an event trigger refuses what is created.
        asyncpg.LockNotAvailableError: A long transaction is in the way; try again.
    """
    wanted = schema or sql.schema()
    async with obeyed(connection), connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{MIGRATION_LOCK_SECONDS}s'")
        await connection.execute(_LOCK)
        # Functions may name what a later file creates.
        await connection.execute("SET LOCAL check_function_bodies = off")
        # IF NOT EXISTS requires the right to create the schema even where it exists.
        if not await connection.fetchval("SELECT to_regnamespace('campaign_pool') IS NOT NULL"):
            await connection.execute("CREATE SCHEMA campaign_pool")
        elif taken := await connection.fetchval(_TAKEN):
            raise ConfigurationError(
                f"the schema campaign_pool has objects that are not the ledger's ({taken}), and the ledger needs it "
                "for itself: rename that schema, or drop it if it is left over",
                reason="LedgerIncompatible",
            )
        applied = [*await _versions(connection, wanted), *await _definitions(connection, wanted)]
        # A dump holds no roles, so that after a restore into another server they are missing, or have no rights.
        if applied or await connection.fetchval(_LACKS_ROLES):
            await connection.execute(wanted.roles.text)
            applied = applied or [wanted.roles.name]
    return applied


async def _versions(connection: Connection, wanted: Schema) -> list[str]:
    """Apply the versions of the tables that are missing; return their names."""
    result: dict[int, str] = {}
    if await connection.fetchval("SELECT to_regclass('campaign_pool.migration') IS NOT NULL"):
        rows = await connection.fetch("SELECT version, checksum FROM campaign_pool.migration")
        result = {row["version"]: row["checksum"] for row in rows}
    applied = []
    for version, file in enumerate(wanted.versions, 1):
        if result.get(version, file.checksum) != file.checksum:
            raise ConfigurationError(
                f"version {version} of the schema campaign_pool differs from this release's: install the release "
                "that created the schema, or a later one",
                reason="LedgerIncompatible",
            )
        if version not in result:
            await connection.execute(file.text)
            insert = "INSERT INTO campaign_pool.migration (version, name, checksum) VALUES ($1, $2, $3)"
            await connection.execute(insert, version, file.name, file.checksum)
            applied.append(file.name)
    return applied


async def _definitions(connection: Connection, wanted: Schema) -> list[str]:
    """Apply the definitions that changed, unless a newer release was here; return their names."""
    result = {row["file"]: row for row in await connection.fetch("SELECT * FROM campaign_pool.definition")}
    if any(row["release"] > wanted.release for row in result.values()):
        return []
    applied = []
    for file in (*wanted.definitions, wanted.roles):
        if file.name in result and result[file.name]["checksum"] == file.checksum:
            continue
        if file is not wanted.roles:
            await connection.execute(file.text)
        await connection.execute(
            "INSERT INTO campaign_pool.definition VALUES ($1, $2, $3) ON CONFLICT (file) DO UPDATE "
            "SET checksum = excluded.checksum, release = excluded.release",
            *(file.name, file.checksum, wanted.release),
        )
        applied.append(file.name)
    # Files that did not change are this release's too: an older one must not replace them.
    await connection.execute("UPDATE campaign_pool.definition SET release = $1 WHERE release < $1", wanted.release)
    return applied


async def is_current(connection: Connection) -> bool:
    """Return whether the schema is there and of this release, or of a later one."""
    wanted = sql.schema()
    try:
        versions = await connection.fetchval("SELECT count(*) FROM campaign_pool.migration")
        rows = await connection.fetch("SELECT file, checksum, release FROM campaign_pool.definition")
    except asyncpg.UndefinedTableError:
        return False
    result = {row["file"]: row for row in rows}
    return versions >= len(wanted.versions) and all(
        file.name in result
        and (result[file.name]["checksum"] == file.checksum or result[file.name]["release"] > wanted.release)
        for file in wanted.definitions
    )
