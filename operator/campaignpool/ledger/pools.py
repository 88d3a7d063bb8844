"""Pools: what their resources want, what the ledger holds of them, and how a pool ends."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from campaignpool.api.resource import seconds, share
from campaignpool.errors import TransientError
from campaignpool.ledger import claims, images, retiring, sql
from campaignpool.ledger.database import Connection
from campaignpool.ledger.images import ImageTotals
from campaignpool.ledger.seeding import RUNS_SEEN, Run
from campaignpool.ledger.templates import Refused

if TYPE_CHECKING:  # the models take a tenth of a second to make, and a seeding Job does not need them
    from campaignpool.api.spec import CampaignPoolSpec, Returning

OWNERS_SEEN = 20
"""How many owners a loop looks at one by one; the status lists them."""

CHANNEL = "campaign_pool"
"""Channel of the notifications that a pool changed; the payload is the pool's name, `namespace/name`."""


@dataclass(frozen=True)
class OwnerCounts:
    """How many campaigns an owner has in each state, or all owners together.

    Attributes:
        owners: How many owners these are.
        returning: How many of them have a pool only because they claimed lately.
        desired: How many the spec asks for.
        share: How many of them fit into `maxSize`.
        stale: Those of `ready` that are of another revision than the one in service, or older than `maxAge`.
        usable: Those of `ready` that a claim may give.
        outdated: Those of `usable` that new ones are to replace.
        imaging: They have all their rows, and wait for required images before they are ready.
        held: Those of `retiring` that the database refused to delete, and that are tried again later.
        served: Those of `usable` that are desired.
        empty: How many owners want campaigns and have none that is usable.
        lack: How many are missing of the shares; outdated ones do not count as had, those that are being made do.
        spare: How many that may be given to other owners are beyond the shares.
        surplus: How many ready ones are to be retired: usable ones beyond the shares, and those that are not usable.
        early: How many outdated ones may be retired before those that replace them are made.
        oldest_ready_at: Since when the oldest has been ready.
        oldest_current_at: Since when the oldest has been ready that is not outdated.
        oldest_reserved_at: Since when the oldest has been reserved without being made.
    """

    ready: int = 0
    stale: int = 0
    seeding: int = 0
    retiring: int = 0
    held: int = 0
    failed: int = 0
    claimed: int = 0
    imaging: int = 0
    owners: int = 1
    returning: int = 0
    desired: int = 0
    share: int = 0
    usable: int = 0
    outdated: int = 0
    served: int = 0
    empty: int = 0
    lack: int = 0
    spare: int = 0
    surplus: int = 0
    early: int = 0
    oldest_ready_at: datetime | None = None
    oldest_current_at: datetime | None = None
    oldest_reserved_at: datetime | None = None

    @property
    def whole(self) -> int:
        """Unclaimed campaigns that have all their rows."""
        return self.ready + self.imaging


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
        uses_owner: A campaign of one owner is not as good for another.
    """

    id: int
    plan_hash: str
    fingerprint: str
    template: str
    rows: int
    statements: int
    installed_at: datetime | None = None
    uses_owner: bool = False


@dataclass(frozen=True)
class Ledger:
    """All that the ledger says of one pool, from one snapshot.

    Attributes:
        root_table: The table of the campaigns, as the catalog writes it; None before the pool is known.
        revision: What new campaigns are made from; None before the first was installed.
        totals: Counts over all owners.
        owners: Counts of the master owner and of the owners that lack most, by owner; at most `OWNERS_SEEN`.
        runs: The latest runs, the latest first.
        number: The highest number of a run; `runs` may not reach back to it.
        prunable: `prune` has something to delete or to count.
        images: The state of its campaigns' images.
        held: Why retiring campaigns cannot be deleted, and how many, by cause.
        refused: What could not be put into service since the revision that is.
        kept: Revisions whose tables and functions exist, by their ids.
        template_changes: Calls of `template_changed` that were not answered, by their ids.
    """

    root_table: str | None = None
    revision: InstalledRevision | None = None
    totals: OwnerCounts = OwnerCounts(owners=0)
    owners: Mapping[str, OwnerCounts] = field(default_factory=dict)
    runs: tuple[Run, ...] = ()
    number: int = 0
    prunable: bool = False
    images: ImageTotals = field(default_factory=ImageTotals)
    held: Mapping[str, int] = field(default_factory=dict)
    refused: Refused | None = None
    kept: tuple[int, ...] = ()
    template_changes: tuple[int, ...] = ()


def settings(spec: "CampaignPoolSpec") -> dict[str, object]:
    """Return what SQL needs of a spec; `campaign_pool.pool` has generated columns for it."""
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
        "min_ready": share(spec.rollout.min_ready),
        "returning": None if spec.returning is None else _returning(spec.returning),
    }


def _returning(returning: "Returning") -> dict[str, int]:
    return {
        "size": returning.size,
        "seconds": seconds(returning.active_within),
        "owners": returning.max_owners,
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
    targets, shares = spec.targets(), spec.shares()
    written = await connection.fetchval(
        _QUERY["put_pool"],
        *(pool, uid, json.dumps(settings(spec)), list(targets), list(targets.values())),
        *([shares[owner] for owner in targets], look_within(resync_seconds)),
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


async def observe(connection: Connection, pool: str, keep: int = 0) -> Ledger:
    """Return all that the ledger says of a pool, whose master pool keeps at least `keep` ready campaigns."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        facts = await connection.fetchrow(_QUERY["get_pool"], pool)
        if facts is None or facts["deleted_at"] is not None:
            return Ledger()
        totals, owners = await counts(connection, pool, keep)
        runs = await connection.fetch(_QUERY["runs"], pool, RUNS_SEEN)
        prunable = bool(
            await connection.fetchval(_QUERY["prunable"], pool, claims.RECORD_DAYS, claims.COUNTED_SECONDS)
        )
        of_images = await images.observe(connection, pool) if facts["has_images"] else ImageTotals()
        held = await retiring.held(connection, pool) if totals.retiring else {}
    names = ("plan_hash", "fingerprint", "template", "rows", "statements", "installed_at", "uses_owner")
    revision = None
    if facts["revision_id"]:
        revision = InstalledRevision(facts["revision_id"], **{name: facts[name] for name in names})
    return Ledger(
        root_table=facts["root_table"],
        revision=revision,
        totals=totals,
        owners=owners,
        runs=tuple(Run(**row) for row in runs),
        number=facts["number"] or 0,
        prunable=prunable,
        images=of_images,
        held=held,
        refused=Refused(**json.loads(facts["refused"])) if facts["refused"] else None,
        kept=tuple(facts["kept"]),
        template_changes=tuple(facts["template_changes"]),
    )


async def counts(connection: Connection, pool: str, keep: int = 0) -> tuple[OwnerCounts, dict[str, OwnerCounts]]:
    """Return how many campaigns of a pool are in each state, also of a closed pool: over all owners, and by owner.

    The second has `OWNERS_SEEN` owners: the master owner, and those that lack most. The master pool keeps at least
    `keep` ready campaigns.
    """
    rows: dict[str | None, dict[str, Any]] = {}
    for row in await connection.fetch(_QUERY["stock"], pool, keep, OWNERS_SEEN):
        values = dict(row)
        rows[values.pop("owner")] = values
    rows.setdefault(None, {"owners": 0})
    names = [owner for owner in rows if owner is not None]
    claimed = await claims.claimed(connection, pool, names)
    counted = {owner: OwnerCounts(**values, claimed=claimed.get(owner, 0)) for owner, values in rows.items()}
    return counted[None], {owner: counted[owner] for owner in names}


async def wake_seeders(connection: Connection, pool: str) -> None:
    """Notify the seeders that wait that the pool lacks campaigns."""
    await connection.execute(_QUERY["wake_seeders"], pool)


async def release_seeders(connection: Connection, pool: str) -> None:
    """Notify the seeders that wait that they may end."""
    await connection.execute(_QUERY["release_seeders"], pool)


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
