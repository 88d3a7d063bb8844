"""The ledger in the application's database: one function a query, values in and values out.

The SQL is in `sql/`; what a claim, a reservation and a batch do stands in `sql/migrations/`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from campaignpool.errors import ConfigurationError
from campaignpool.ledger import album_facts, sql
from campaignpool.ledger.album_facts import Images
from campaignpool.ledger.database import STATEMENT_SECONDS, Connection

if TYPE_CHECKING:  # the models take a tenth of a second to make, and a seeding Job does not need them
    from campaignpool.api.spec import CampaignPoolSpec

_LOCK = 0x63616D70706F6F6C
"""Advisory lock of the migrations: `camppool` in ASCII."""

MIGRATION_LOCK_SECONDS = 2
"""Longest wait of a migration for a lock: claims queue behind it, and are to take less than that."""

RECORD_DAYS = 30
"""How long the record of a claim is kept, and its key remembered; its numbers are kept by the hour after that."""

_PRUNED_AT_ONCE = 10_000

CHANNEL = "campaign_pool"
"""Channel on which the ledger says that a pool changed; the payload is the pool's name, `namespace/name`."""

ROWS_PER_SECOND = 1000
"""A server that inserts fewer rows than this is taken for one that hangs; a laptop's inserts fifty times as many."""

MANY_ROWS = 100_000
"""From so many rows on a batch takes seconds, and says how far it is."""

RUNS_SEEN = 50
"""How many of a pool's latest runs the operator looks at: enough to count consecutive failures."""


@dataclass(frozen=True)
class OwnerCounts:
    """How many campaigns an owner has in each state.

    Those that are `imaging` are whole, and wait for images that are required before they are ready.
    `stale` is a part of `ready`, and `held` one of `retiring`: other rows hang on these, so they are not deleted now.
    """

    ready: int = 0
    stale: int = 0
    seeding: int = 0
    retiring: int = 0
    held: int = 0
    failed: int = 0
    claimed: int = 0
    imaging: int = 0

    @property
    def whole(self) -> int:
        """Those that have all their rows and are nobody's yet."""
        return self.ready + self.imaging


@dataclass(frozen=True)
class Run:
    """One seeding Job as the ledger knows it.

    Attributes:
        job: Name of the Job.
        owner: Whose campaigns it makes; `''` is the master owner.
        number: Counts the Jobs of this owner.
        count: Campaigns it was asked for.
        generation: Generation of the resource that asked.
        attempts: Pods that began it.
        outcome: `Succeeded`, `Failed`, or None while it goes on.
        reason: CamelCase cause of a failure.
        campaigns: Made so far.
        rows: Inserted so far.
        statements: Of one batch, whatever its size.
        seconds: Spent cloning.
        reserved: Reserved and not made.
    """

    job: str
    owner: str
    number: int
    count: int
    generation: int
    attempts: int
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None
    reason: str | None
    message: str | None
    campaigns: int
    rows: int
    statements: int
    seconds: float
    reserved: int


@dataclass(frozen=True)
class Revision:
    """What new campaigns are made from.

    Attributes:
        plan_hash: Of blueprint, catalog, template and algorithm.
        fingerprint: Of the template's rows.
        template: Key of the template's row, as text.
        rows: That one campaign takes.
        statements: That one batch takes.
        claim_form: What its functions for claims take and do.
        claim_part: What of it is part of `campaign_pool.claim`, as `Compiled.claim_part` gives it.
    """

    id: int
    plan_hash: str
    fingerprint: str
    template: str
    rows: int
    statements: int
    claim_form: int
    claim_part: Mapping[str, object] | None = None


@dataclass(frozen=True)
class Ledger:
    """All that the ledger says of one pool, at one moment.

    Attributes:
        root_table: The table of the campaigns, as the catalog writes it; None before the pool is known.
        revision: What new campaigns are made from; None before the first was installed.
        owners: Counts by owner.
        runs: The latest runs, the latest first.
        numbers: The highest number of a run, by owner; `runs` may not reach back to it.
        prunable: Records of claims are older than they are kept, or queues of images are of no use any more.
        images: How the images of its campaigns stand.
    """

    root_table: str | None = None
    revision: Revision | None = None
    owners: Mapping[str, OwnerCounts] = field(default_factory=dict)
    runs: tuple[Run, ...] = ()
    numbers: Mapping[str, int] = field(default_factory=dict)
    prunable: bool = False
    images: Images = field(default_factory=Images)


@dataclass(frozen=True)
class Batch:
    """What one batch made: campaigns, rows, the statements it took and the seconds on the server."""

    campaigns: int
    rows: int
    statements: int
    seconds: float


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


async def put_pool(connection: Connection, pool: str, root_table: str, spec: "CampaignPoolSpec") -> None:
    """Write what the resource says of a pool, only where it differs."""
    claims, targets = spec.claims, spec.targets()
    await connection.execute(
        _QUERY["put_pool"],
        pool,
        root_table,
        spec.max_size,
        claims.on_empty,
        float(claims.wait_seconds),
        spec.paused,
        claims.allow_stale,
        claims.lifetime.default,
        claims.lifetime.maximum,
        claims.while_deleting,
        spec.images.required_for_ready and spec.images.copies,
    )
    await connection.execute(_QUERY["put_bell"], pool)
    # Here, and not by the first of the seeders, for the others would wait for its whole batch.
    await connection.execute(_QUERY["put_slots"], pool)
    await connection.execute(_QUERY["put_targets"], pool, list(targets), list(targets.values()))


async def fall_asleep(connection: Connection, pool: str) -> bool:
    """Ask to be told of the next change, and give whether that is certain. To be called before looking.

    False: a transaction is under way that changes the pool and will not tell, for it began while the operator was
    awake. Whoever looks now has to look again soon.
    """
    await connection.execute(_QUERY["fall_asleep"], pool)
    return bool(await connection.fetchval(_QUERY["quiet"], pool))


async def wake(connection: Connection, pool: str) -> None:
    """Spare claims from telling the operator what it was told and will look at. To be called when it was told.

    It changes nothing where the operator has asked anew meanwhile.
    """
    await connection.execute(_QUERY["wake"], pool)


async def observe(connection: Connection, pool: str) -> Ledger:
    """Give all that the ledger says of a pool."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        facts = await connection.fetchrow(_QUERY["get_pool"], pool)
        if facts is None or facts["deleted_at"] is not None:
            return Ledger()
        owners = await counts(connection, pool)
        runs = await connection.fetch(_QUERY["runs"], pool, RUNS_SEEN)
        numbers = await connection.fetch(_QUERY["numbers"], pool)
        prunable = bool(await connection.fetchval(_QUERY["prunable"], pool, RECORD_DAYS))
        images = await album_facts.observe(connection, pool)
    names = ("plan_hash", "fingerprint", "template", "rows", "statements", "claim_form")
    revision = None
    if facts["revision_id"]:
        part = json.loads(facts["claim_part"] or "null")
        revision = Revision(facts["revision_id"], **{name: facts[name] for name in names}, claim_part=part)
    return Ledger(
        root_table=facts["root_table"],
        revision=revision,
        owners=owners,
        runs=tuple(Run(**row) for row in runs),
        numbers={row["owner"]: row["number"] for row in numbers},
        prunable=prunable,
        images=images,
    )


async def counts(connection: Connection, pool: str) -> dict[str, OwnerCounts]:
    """Give how many campaigns of a pool are in each state, by owner; also of a pool that is closed."""
    found: dict[str, dict[str, int]] = {}
    for query in ("owners", "claimed"):
        for row in await connection.fetch(_QUERY[query], pool):
            values = dict(row)
            found.setdefault(values.pop("owner"), {}).update(values)
    return {owner: OwnerCounts(**values) for owner, values in found.items()}


async def reserve(
    connection: Connection, pool: str, job: str, owner: str, number: int, count: int, generation: int
) -> int:
    """Begin a run or go on with it; give how many campaigns are left to make."""
    return int(await connection.fetchval(_QUERY["reserve"], pool, job, owner, number, count, generation))


async def seed(connection: Connection, pool: str, job: str, batch: int) -> Batch:
    """Make and publish up to `batch` campaigns of a run, in one transaction. A batch of 0: nothing is left."""
    row = await connection.fetchrow(_QUERY["seed"], pool, job, batch)
    return Batch(**row) if row else Batch(0, 0, 0, 0.0)


async def rows_of_campaign(connection: Connection, pool: str) -> int:
    """Give how many rows a campaign of the pool has; 0 before the first revision."""
    return int(await connection.fetchval(_QUERY["rows_of_campaign"], pool) or 0)


async def prepare_for_rows(connection: Connection, rows: int) -> None:
    """Let statements of this session take as long as so many rows may, and say how far they are when it is many.

    What they say comes as notices, `12000 rows of public.weapons`, after each table.
    """
    seconds = max(STATEMENT_SECONDS, rows // ROWS_PER_SECOND)
    await connection.execute(_QUERY["prepare_for_rows"], f"{seconds}s", "on" if rows >= MANY_ROWS else "off")


async def diagnose(connection: Connection, pool: str, job: str) -> str | None:
    """Say why the next campaign of a run cannot be made: table, row of the template, constraint; None when it can."""
    found: str | None = await connection.fetchval(_QUERY["diagnose"], pool, job)
    return found


async def quarantine(connection: Connection, pool: str, job: str, cause: str) -> None:
    """Set aside the campaign that `seed` would make next, with the cause."""
    await connection.execute(_QUERY["quarantine"], pool, job, cause)


async def finish_run(
    connection: Connection,
    pool: str,
    run: tuple[str, str, int, int, int],
    outcome: str,
    reason: str | None = None,
    message: str | None = None,
) -> None:
    """End a run, given as (job, owner, number, count, generation); what it did not make is set aside as failed.

    Works also for a run that never began: a Job whose pod could not start counts as a failure too.
    """
    await connection.execute(_QUERY["finish_run"], pool, *run, outcome, reason, message)


async def prune(connection: Connection, pool: str) -> None:
    """Forget failed campaigns after an hour, old runs, old queues of images, and claims after `RECORD_DAYS`."""
    await connection.execute(_QUERY["prune"], pool)
    await connection.execute(_QUERY["adopt_claimed"])
    await connection.execute(_QUERY["prune_claimed"], pool, RECORD_DAYS, _PRUNED_AT_ONCE)
    await album_facts.prune(connection, pool)


async def retire(connection: Connection, pool: str, owner: str | None, count: int | None) -> int:
    """Take up to `count` ready campaigns of an owner out of the pool, older revisions first; give how many.

    None: of every owner, or all of them. What a claim is about to take is passed over.
    """
    return int(await connection.fetchval(_QUERY["retire"], pool, owner, count))


async def remove(connection: Connection, pool: str, batch: int) -> int:
    """Delete up to `batch` retiring campaigns with all their rows, in one transaction; give how many."""
    return int(await connection.fetchval(_QUERY["remove"], pool, batch))


async def held(connection: Connection, pool: str) -> dict[str, int]:
    """Give why retiring campaigns could not be deleted, and how many each cause holds."""
    return {row["cause"]: row["campaigns"] for row in await connection.fetch(_QUERY["held"], pool)}


async def close_pool(connection: Connection, pool: str) -> None:
    """Stop claims from a pool that is being deleted, or all but those of what is ready: its claims.whileDeleting."""
    await connection.execute(_QUERY["close_pool"], pool)


async def bury(connection: Connection, pool: str) -> bool:
    """End a closed pool of which nothing unclaimed is left, but for the records. False: it is too early."""
    return bool(await connection.fetchval(_QUERY["bury"], pool))


async def abandon(connection: Connection, pool: str) -> None:
    """End all runs of a closed pool and forget the campaigns that were never made.

    To be called when no Job of the pool is at work any more. Does nothing for a pool that is not in the ledger.
    """
    await connection.execute(_QUERY["abandon"], pool)


async def known(connection: Connection, pool: str) -> bool:
    """Say whether the ledger has a row for a pool, closed or not."""
    return await connection.fetchrow(_QUERY["get_pool"], pool) is not None


async def admit(connection: Connection, pool: str, most: int) -> bool:
    """Let this session seed for a pool: not past `most` connections of its seeders, nor past half of the server's.

    From then on it is named `campaignpool-seeder <pool>` in `pg_stat_activity`.
    """
    return bool(await connection.fetchval(_QUERY["admit"], pool, most))


_QUERY = sql.queries()
