"""Pools: what their resources want, what the ledger holds of them, and how a pool ends."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from campaignpool.api.resource import seconds
from campaignpool.errors import TransientError
from campaignpool.ledger import claims, images, retiring, sql
from campaignpool.ledger.database import Connection
from campaignpool.ledger.images import ImageTotals
from campaignpool.ledger.seeding import RUNS_SEEN, Run
from campaignpool.ledger.templates import Refused

if TYPE_CHECKING:  # the models take a tenth of a second to make, and a seeding Job does not need them
    from campaignpool.api.spec import CampaignPoolSpec

CHANNEL = "campaign_pool"
"""Channel of the notifications that a pool changed; the payload is the pool's name, `namespace/name`."""


@dataclass(frozen=True)
class OwnerCounts:
    """How many campaigns an owner has in each state.

    `imaging` campaigns have all their rows, and wait for required images before they are ready. Parts of `ready` are
    `stale`, of another revision than the one in service or older than `maxAge`, and `unusable`, which no claim may
    give. Of the others, new ones are to replace the `outdated`; `oldest_ready_at` is of those that are not. `held` is
    a part of `retiring`: the database refused to delete these, so they are tried again later.
    """

    ready: int = 0
    stale: int = 0
    unusable: int = 0
    outdated: int = 0
    seeding: int = 0
    retiring: int = 0
    held: int = 0
    failed: int = 0
    claimed: int = 0
    imaging: int = 0
    oldest_ready_at: datetime | None = None

    @property
    def whole(self) -> int:
        """Unclaimed campaigns that have all their rows."""
        return self.ready + self.imaging

    @property
    def claimable(self) -> int:
        """Ready campaigns that a claim may give."""
        return self.ready - self.unusable


@dataclass(frozen=True)
class InstalledRevision:
    """What new campaigns are made from.

    Attributes:
        plan_hash: Of blueprint, catalog, template and algorithm.
        fingerprint: Of the template's rows.
        template: Key of the template's row, as text.
        rows: That one campaign takes.
        statements: That one batch takes.
        installed_at: When it was installed.
    """

    id: int
    plan_hash: str
    fingerprint: str
    template: str
    rows: int
    statements: int
    installed_at: datetime | None = None


@dataclass(frozen=True)
class Ledger:
    """All that the ledger says of one pool, from one snapshot.

    Attributes:
        root_table: The table of the campaigns, as the catalog writes it; None before the pool is known.
        revision: What new campaigns are made from; None before the first was installed.
        owners: Counts by owner.
        runs: The latest runs, the latest first.
        numbers: The highest number of a run, by owner; `runs` may not reach back to it.
        prunable: `prune` has something to delete or to count.
        images: The state of its campaigns' images.
        held: Why retiring campaigns cannot be deleted, and how many, by cause.
        refused: What could not be put into service since the revision that is.
        kept: Revisions whose tables and functions exist, by their ids.
        template_changes: Calls of `template_changed` that were not answered, by their ids.
    """

    root_table: str | None = None
    revision: InstalledRevision | None = None
    owners: Mapping[str, OwnerCounts] = field(default_factory=dict)
    runs: tuple[Run, ...] = ()
    numbers: Mapping[str, int] = field(default_factory=dict)
    prunable: bool = False
    images: ImageTotals = field(default_factory=ImageTotals)
    held: Mapping[str, int] = field(default_factory=dict)
    refused: Refused | None = None
    kept: tuple[int, ...] = ()
    template_changes: tuple[int, ...] = ()


def settings(spec: "CampaignPoolSpec") -> dict[str, object]:
    """Return what SQL needs of a spec; `campaign_pool.pool` has a generated column for each key."""
    claims = spec.claims
    return {
        "max_size": spec.max_size,
        "max_connections": spec.database.max_connections,
        "paused": spec.paused,
        "on_empty": claims.on_empty,
        "wait_seconds": float(claims.wait_seconds),
        "allow_stale": claims.allow_stale,
        "lifetime_seconds": seconds(claims.lifetime.default),
        "max_lifetime_seconds": seconds(claims.lifetime.maximum),
        "while_deleting": claims.while_deleting,
        "replaces_outdated": spec.rollout.strategy == "RollingUpdate",
        "max_age_seconds": seconds(spec.max_age) if spec.max_age is not None else None,
        "revision_history_limit": spec.rollout.revision_history_limit,
        "images_required": spec.images.required_for_ready and spec.images.copies,
        "max_concurrent": spec.max_concurrent,
        "time_zone": spec.sizing.time_zone,
        "availability": spec.sizing.share,
    }


def look_within(resync_seconds: float) -> timedelta:
    """Return the time without a loop after which nobody seems to reconcile a pool: ten resyncs, or ten minutes."""
    return timedelta(seconds=max(10 * resync_seconds, 600))


async def put_pool(
    connection: Connection, pool: str, uid: str, spec: "CampaignPoolSpec", resync_seconds: float = 30
) -> None:
    """Write what a resource says of its pool, only where it differs. The blueprint need not be compiled.

    Args:
        connection: To the pool's database.
        pool: `namespace/name` of the resource.
        uid: Of the resource. A new resource of the same name brings a deleted pool back; the old one does not.
        spec: The resource's spec.
        resync_seconds: The resource is read again after this long.

    Raises:
        TransientError: The resource is being deleted, or another one has its name by now: read it again.
    """
    targets = spec.targets()
    written = await connection.fetchval(
        _QUERY["put_pool"],
        *(pool, uid, json.dumps(settings(spec)), list(targets), list(targets.values()), look_within(resync_seconds)),
    )
    if not written:
        raise TransientError(
            f"the CampaignPool {pool} that was read was deleted: it is read again", reason="ResourceDeleted"
        )


async def latest_runs(connection: Connection, pool: str, most: int) -> list[Run]:
    """Return the latest runs of a pool, the latest first."""
    return [Run(**row) for row in await connection.fetch(_QUERY["runs"], pool, most)]


async def begin_waiting(connection: Connection, pool: str) -> bool:
    """Ask for a notification of the next change; to be called before the ledger is read.

    Return False where a transaction is under way that changes the pool and may not notify: read again soon.
    """
    return bool(await connection.fetchval(_QUERY["begin_waiting"], pool))


async def observe(connection: Connection, pool: str) -> Ledger:
    """Return all that the ledger says of a pool."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        facts = await connection.fetchrow(_QUERY["get_pool"], pool)
        if facts is None or facts["deleted_at"] is not None:
            return Ledger()
        owners = await counts(connection, pool)
        runs = await connection.fetch(_QUERY["runs"], pool, RUNS_SEEN)
        numbers = await connection.fetch(_QUERY["numbers"], pool)
        prunable = bool(
            await connection.fetchval(_QUERY["prunable"], pool, claims.RECORD_DAYS, claims.COUNTED_SECONDS)
        )
        totals = await images.observe(connection, pool)
        held = await retiring.held(connection, pool) if any(item.retiring for item in owners.values()) else {}
    names = ("plan_hash", "fingerprint", "template", "rows", "statements", "installed_at")
    revision = None
    if facts["revision_id"]:
        revision = InstalledRevision(facts["revision_id"], **{name: facts[name] for name in names})
    return Ledger(
        root_table=facts["root_table"],
        revision=revision,
        owners=owners,
        runs=tuple(Run(**row) for row in runs),
        numbers={row["owner"]: row["number"] for row in numbers},
        prunable=prunable,
        images=totals,
        held=held,
        refused=Refused(**json.loads(facts["refused"])) if facts["refused"] else None,
        kept=tuple(facts["kept"]),
        template_changes=tuple(facts["template_changes"]),
    )


async def counts(connection: Connection, pool: str) -> dict[str, OwnerCounts]:
    """Return how many campaigns of a pool are in each state, by owner; also of a closed pool."""
    by_owner: dict[str, dict[str, Any]] = {}
    for row in await connection.fetch(_QUERY["owners"], pool):
        values = dict(row)
        by_owner[values.pop("owner")] = values
    for owner, claimed in (await claims.claimed(connection, pool)).items():
        by_owner.setdefault(owner, {})["claimed"] = claimed
    return {owner: OwnerCounts(**values) for owner, values in by_owner.items()}


async def clock(connection: Connection) -> datetime:
    """Return the time by the database's clock."""
    now: datetime = await connection.fetchval(_QUERY["clock"])
    return now


async def prune(connection: Connection, pool: str) -> None:
    """Count old claims, and delete what is kept for a while only.

    Failed campaigns are kept for an hour, runs for a week and the last hundred, records of claims and dropped
    revisions for `RECORD_DAYS`, trends by the hour for `HOURS_DAYS`.
    """
    await claims.prune(connection, pool)
    await connection.execute(_QUERY["prune"], pool, claims.RECORD_DAYS, claims.HOURS_DAYS)
    await images.prune(connection, pool)


async def close_pool(connection: Connection, pool: str, uid: str) -> bool:
    """Stop claims from a pool whose resource is being deleted, or all but those of ready campaigns.

    Return False where the ledger has no pool of this resource: there is nothing to delete.
    """
    return bool(await connection.fetchval(_QUERY["close_pool"], pool, uid))


async def finish_deletion(connection: Connection, pool: str) -> bool:
    """End a closed pool of which nothing unclaimed is left; its records stay. False: it is too early."""
    return bool(await connection.fetchval(_QUERY["finish_deletion"], pool))


async def cancel_runs(connection: Connection, pool: str) -> None:
    """End all runs of a closed pool and delete the campaigns that were never made.

    To be called when no Job of the pool is active. Does nothing for a pool that is not in the ledger.
    """
    await connection.execute(_QUERY["cancel_runs"], pool)


async def exists(connection: Connection, pool: str) -> bool:
    """Return whether the ledger has a row for a pool, closed or not."""
    return await connection.fetchrow(_QUERY["get_pool"], pool) is not None


async def is_installed(connection: Connection) -> bool:
    """Return whether the database has a ledger."""
    return bool(await connection.fetchval(_QUERY["is_installed"]))


@dataclass(frozen=True)
class Remains:
    """What the ledger still has of a pool that can be removed.

    Attributes:
        pool: `namespace/name`.
        uid: Of the resource.
        unclaimed: Campaigns that nobody claimed, reservations included.
        revisions: Revisions with tables and functions.
        claimed: Records of claims, which stay.
    """

    pool: str
    uid: str
    unclaimed: int
    revisions: int
    claimed: int


async def remains(connection: Connection) -> list[Remains]:
    """Return the pools of which unclaimed campaigns or revisions are left, deleted ones included, by name."""
    return [Remains(**row) for row in await connection.fetch(_QUERY["remains"])]


_QUERY = sql.queries("pools")
