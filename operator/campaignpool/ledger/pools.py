"""Pools: what their resources want, what the ledger holds of them, and how a pool ends."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from campaignpool.ledger import images as images_
from campaignpool.ledger import sql
from campaignpool.ledger.database import Connection
from campaignpool.ledger.images import ImageTotals
from campaignpool.ledger.seeding import RUNS_SEEN, Run

if TYPE_CHECKING:  # the models take a tenth of a second to make, and a seeding Job does not need them
    from campaignpool.api.spec import CampaignPoolSpec

RECORD_DAYS = 30
"""How long the record of a claim is kept, and its key remembered; its numbers are kept by the hour after that."""

_PRUNED_AT_ONCE = 10_000

CHANNEL = "campaign_pool"
"""Channel on which the ledger says that a pool changed; the payload is the pool's name, `namespace/name`."""


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
class InstalledRevision:
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
    revision: InstalledRevision | None = None
    owners: Mapping[str, OwnerCounts] = field(default_factory=dict)
    runs: tuple[Run, ...] = ()
    numbers: Mapping[str, int] = field(default_factory=dict)
    prunable: bool = False
    images: ImageTotals = field(default_factory=ImageTotals)


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


async def begin_waiting(connection: Connection, pool: str) -> bool:
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
        images = await images_.observe(connection, pool)
    names = ("plan_hash", "fingerprint", "template", "rows", "statements", "claim_form")
    revision = None
    if facts["revision_id"]:
        part = json.loads(facts["claim_part"] or "null")
        revision = InstalledRevision(facts["revision_id"], **{name: facts[name] for name in names}, claim_part=part)
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


async def clock(connection: Connection) -> datetime:
    """Return the time by the database's clock."""
    now: datetime = await connection.fetchval(_QUERY["clock"])
    return now


async def prune(connection: Connection, pool: str) -> None:
    """Forget failed campaigns after an hour, old runs, old queues of images, and claims after `RECORD_DAYS`."""
    await connection.execute(_QUERY["prune"], pool)
    await connection.execute(_QUERY["adopt_claimed"])
    await connection.execute(_QUERY["prune_claimed"], pool, RECORD_DAYS, _PRUNED_AT_ONCE)
    await images_.prune(connection, pool)


async def close_pool(connection: Connection, pool: str) -> None:
    """Stop claims from a pool that is being deleted, or all but those of what is ready: its claims.whileDeleting."""
    await connection.execute(_QUERY["close_pool"], pool)


async def finish_deletion(connection: Connection, pool: str) -> bool:
    """End a closed pool of which nothing unclaimed is left, but for the records. False: it is too early."""
    return bool(await connection.fetchval(_QUERY["bury"], pool))


async def cancel_runs(connection: Connection, pool: str) -> None:
    """End all runs of a closed pool and forget the campaigns that were never made.

    To be called when no Job of the pool is at work any more. Does nothing for a pool that is not in the ledger.
    """
    await connection.execute(_QUERY["abandon"], pool)


async def known(connection: Connection, pool: str) -> bool:
    """Say whether the ledger has a row for a pool, closed or not."""
    return await connection.fetchrow(_QUERY["get_pool"], pool) is not None


_QUERY = sql.queries()
