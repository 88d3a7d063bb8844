"""Claim campaigns from an application, over asyncpg.

    campaigns = Client(pool, "game/chiwar")  # an asyncpg.Pool, a URL, or a function that connects
    claim = await campaigns.claim(user.id, key=request.id)
    print(claim.campaign_id, claim.source)

Whatever is asked is asked again when the connection is lost: a claim has a key, and the same key gives the same
campaign. Nothing is bound to a session of the database but listening, and that is optional, so a pooler in
transaction mode may stand between.

What is refused is a `ClaimError`; the classes are in `campaignpool.claim_errors`, and here too. Other errors of the
database are left as asyncpg raises them, such as a claimant that is no user.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias
from uuid import UUID, uuid4

import asyncpg

from campaignpool.client.errors import (
    InvalidArgument,
    PoolUnknown,
    Unreachable,
    typed,
)
from campaignpool.client.listener import (
    Connect,
    Connection,
    Database,
    Ear,
    opener,
    pauses,
)

RECHECK_SECONDS = 1.0
"""Who waits asks again after so long even if nothing was heard: a notification can be lost, by a pooler for one."""

BOUND_SECONDS = 60.0
"""For how long a pool's own bound of waiting is taken as known: asking for it costs more than a claim."""

Source: TypeAlias = Literal["owner", "master", "clone"]
ImagesState: TypeAlias = Literal["pending", "copying", "done", "partial"]
Claimant: TypeAlias = str | UUID | int


@dataclass(frozen=True)
class Claim:
    """A campaign that belongs to the claimant now.

    Attributes:
        campaign_id: Key of its row in the application's table, as text.
        source: `owner` or `master`: from whose pool; `clone`: made then and there, for the pool was empty.
        claimed_at: When it was claimed first; None from a database of an older release.
        images_state: Whether images of its own are there: `done`; `pending` or `copying`: the template's are shown
            until they are; `partial`: some of the template's are shown for good.
        key: Under which the same campaign is given again; the client's own if none was passed.
    """

    campaign_id: str
    source: Source
    claimed_at: datetime | None
    images_state: ImagesState
    key: str


@dataclass(frozen=True)
class Peek:
    """What a claim would get now; it promises nothing, for another claim may be quicker.

    Attributes:
        source: As in `Claim`; None: nothing.
        owner_ready: Ready campaigns that are kept for the claimant.
        master_ready: Ready campaigns that are for anybody.
    """

    source: Source | None
    owner_ready: int
    master_ready: int


@dataclass(frozen=True)
class Health:
    """How a pool stands.

    Attributes:
        healthy: A claim is served at once.
        state: `full`, `low`, `empty`, `closing` (being deleted) or `new` (not installed yet).
        desired: Campaigns wanted, over all owners.
        ready: Campaigns ready, over all owners.
        message: The same in a sentence.
    """

    pool: str
    healthy: bool
    state: Literal["full", "low", "empty", "closing", "new"]
    desired: int
    ready: int
    message: str


class Client:
    """Claims from one pool.

    Args:
        database: An `asyncpg.Pool`; or a URL or a function that connects: each call then has a connection of its own.
        pool: `namespace/name` of the CampaignPool.
        listen: Where to listen while a claim waits: a URL, or a function that connects, that leads to Postgres itself
            or to a pooler in session mode. By default as `database` says; an `asyncpg.Pool` lends no connection to
            listen with, so without this a claim that waits looks again every `RECHECK_SECONDS`.
        patience: For how long a lost connection, a deadlock or a serialization failure is tried again.

    Every method takes `connection`: it is then done on that connection, as a part of its transaction if there is one,
    and never tried again: after an error of the database's own, run the transaction again with the same key. A
    `ClaimError` leaves the transaction as it was before the call.
    """

    def __init__(
        self,
        database: Database,
        pool: str,
        *,
        listen: str | Connect | None = None,
        patience: timedelta = timedelta(seconds=10),
    ) -> None:
        self.pool = pool
        self._open = opener(database)
        if listen is None and not isinstance(database, asyncpg.Pool):
            listen = database
        self._ear = Ear(pool, None if listen is None else opener(listen))
        self._patience = patience.total_seconds()
        self._bound: tuple[float, timedelta | None] = (0.0, None)

    async def claim(
        self,
        claimant: Claimant,
        *,
        key: str | None = None,
        name: str | None = None,
        wait: timedelta | None = None,
        connection: "Connection | None" = None,
    ) -> Claim:
        """Claim one campaign.

        Args:
            claimant: Key of the user who gets it.
            key: The same key gives the same campaign, for 30 days. Pass one that outlives this process, such as the
                id of the request, and a claim can be repeated after a crash; the one that is made otherwise outlives
                lost connections only.
            name: What the campaign is to be called; the blueprint's `onClaim` has to use `$name`.
            wait: Where the pool is empty and its `claims.onEmpty` is `Wait`: how long to wait for a campaign, at most
                the pool's own `waitSeconds` where this role may read the view `pools`. No connection is held
                meanwhile but the one that listens.
            connection: See the class. It cannot wait.

        Raises:
            PoolEmpty: None is ready, or none became ready in time.
            PoolUnknown, PoolPaused, ClaimantMissing, KeyConflict, InvalidArgument, SchemaOutdated, Unreachable: As
                their classes say.
        """
        key = str(uuid4()) if key is None else key
        wait = wait if wait and wait > timedelta() else None
        if wait and connection is not None:
            raise InvalidArgument(
                "a claim on a connection of the caller cannot wait",
                hint="Claim without wait there; or leave connection out, and the client waits without holding one.",
                key=key,
            )
        began = time.monotonic()
        statement, arguments = claim_statement(self.pool, str(claimant), key, name, wait)
        rows = await self._run(statement, *arguments, key=key, connection=connection)
        if not rows and wait:
            rows = await self._wait(began, str(claimant), key, name, wait)
        return _claim(rows[0], key)

    async def claim_many(
        self,
        claimant: Claimant,
        count: int,
        *,
        key: str | None = None,
        name: str | None = None,
        connection: "Connection | None" = None,
    ) -> list[Claim]:
        """Claim several campaigns at once, or none: an error gives all of them back.

        Args:
            claimant: Key of the user who gets them.
            count: 1 to 1000.
            key: The same key gives the same campaigns in the same order. The key of each is `<key>#<number>`.
            name: What each is to be called.
            connection: See the class.

        Raises:
            PoolEmpty: Fewer are ready.
            PoolUnknown, PoolPaused, ClaimantMissing, KeyConflict, InvalidArgument, SchemaOutdated, Unreachable: As
                their classes say.
        """
        key = str(uuid4()) if key is None else key
        rows = await self._run(
            "SELECT * FROM campaign_pool.claim_many(pool => $1, claimant => $2, n => $3, key => $4, name => $5)",
            *(self.pool, str(claimant), count, key, name),
            key=key,
            connection=connection,
        )
        return [_claim(row, f"{key}#{number}") for number, row in enumerate(rows, start=1)]

    async def release(self, campaign_id: str, *, connection: "Connection | None" = None) -> None:
        """Take a claim back: the campaign is deleted, and never given to anyone again. May be repeated.

        Raises:
            NotReleasable: It was not claimed from a pool, or its lifetime is over.
            SchemaOutdated, Unreachable: As their classes say.
        """
        await self._run(
            "SELECT campaign_pool.release(campaign_id => $1, pool => $2)",
            *(campaign_id, self.pool),
            connection=connection,
        )

    async def extend(
        self, campaign_id: str, lifetime: timedelta, *, connection: "Connection | None" = None
    ) -> datetime:
        """Set for how long after its claim a campaign may be released; gives until when.

        Raises:
            NotReleasable: It was not claimed from a pool, or its lifetime is over.
            InvalidArgument: Longer than the pool's `claims.lifetime.maximum`.
            SchemaOutdated, Unreachable: As their classes say.
        """
        rows = await self._run(
            "SELECT campaign_pool.extend(campaign_id => $1, lifetime => $2, pool => $3)",
            *(campaign_id, lifetime, self.pool),
            connection=connection,
        )
        until: datetime = rows[0][0]
        return until

    async def peek(self, claimant: Claimant, *, connection: "Connection | None" = None) -> Peek:
        """Give what a claim of this claimant would get now.

        Raises:
            PoolUnknown, SchemaOutdated, Unreachable: As their classes say.
        """
        rows = await self._run(
            "SELECT * FROM campaign_pool.peek(pool => $1, claimant => $2)",
            *(self.pool, str(claimant)),
            connection=connection,
        )
        return Peek(**rows[0])

    async def health(self, *, connection: "Connection | None" = None) -> Health:
        """Give how the pool stands, for a health check of the application.

        Raises:
            PoolUnknown, SchemaOutdated, Unreachable: As their classes say.
        """
        rows = await self._run(
            "SELECT * FROM campaign_pool.health() WHERE pool = $1", self.pool, connection=connection
        )
        if not rows:
            raise PoolUnknown(f'no pool named "{self.pool}"', hint="Name it namespace/name.")
        return Health(**rows[0])

    async def _wait(
        self, began: float, claimant: str, key: str, name: str | None, wait: timedelta
    ) -> list[asyncpg.Record]:
        """Ask whenever campaigns became ready, until the bound; then the database's own error is raised."""
        bound = await self._pools_bound()
        give_up = began + (wait if bound is None else min(wait, bound)).total_seconds()
        statement, arguments = claim_statement(self.pool, claimant, key, name, wait)
        async with self._ear.waiting() as woken:
            while (left := give_up - time.monotonic()) > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(RECHECK_SECONDS, left)):
                        await woken.wait()
                woken.clear()
                if rows := await self._run(statement, *arguments, key=key):
                    return rows
        statement, arguments = claim_statement(self.pool, claimant, key, name, None)
        return await self._run(statement, *arguments, key=key)

    async def _pools_bound(self) -> timedelta | None:
        """Give how long the pool lets claimants wait; None where this role may not see it."""
        until, bound = self._bound
        if time.monotonic() >= until:
            with suppress(asyncpg.InsufficientPrivilegeError):
                rows = await self._run("SELECT wait FROM campaign_pool.pools WHERE pool = $1", self.pool)
                bound = rows[0]["wait"] if rows else None
            self._bound = (time.monotonic() + BOUND_SECONDS, bound)
        return bound

    async def _run(
        self, statement: str, *arguments: object, key: str | None = None, connection: "Connection | None" = None
    ) -> list[asyncpg.Record]:
        """Run one statement, again and again while that can help; gives its rows."""
        try:
            if connection is not None:
                async with connection.transaction():
                    return await connection.fetch(statement, *arguments)
            return await self._persist(statement, *arguments, key=key)
        except asyncpg.PostgresError as error:
            if known := typed(error, key):
                raise known from error
            raise

    async def _persist(self, statement: str, *arguments: object, key: str | None) -> list[asyncpg.Record]:
        give_up = time.monotonic() + self._patience
        for pause in pauses():
            try:
                return await self._attempt(statement, *arguments)
            except _PASSING as error:
                if time.monotonic() + pause > give_up:
                    raise Unreachable(
                        f"the database was not reached, or was too busy, for {self._patience:g} s: "
                        f"{type(error).__name__}",
                        hint="Try again later, a claim with the same key.",
                        key=key,
                    ) from error
            await asyncio.sleep(pause)
        raise AssertionError("pauses never end")

    async def _attempt(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        async with self._open() as connection:
            try:
                return await connection.fetch(statement, *arguments)
            except asyncpg.InterfaceError as error:
                # Also what a caller did wrong is of this class, such as closing the pool.
                if connection.is_closed():
                    raise ConnectionResetError("the connection was lost") from error
                raise


def claim_statement(
    pool: str, claimant: str, key: str, name: str | None, wait: timedelta | None
) -> tuple[str, tuple[object, ...]]:
    """Give the statement of a claim and its arguments: the form that every release has, where it says enough."""
    if name is None and wait is None:
        return "SELECT * FROM campaign_pool.claim(pool => $1, claimant => $2, key => $3)", (pool, claimant, key)
    return (
        "SELECT * FROM campaign_pool.claim(pool => $1, claimant => $2, key => $3, name => $4, wait => $5)",
        (pool, claimant, key, name, wait or timedelta()),
    )


def _claim(row: asyncpg.Record, key: str) -> Claim:
    # The last two are not in the first form: then there were no images of one's own yet.
    return Claim(row["campaign_id"], row["source"], row.get("claimed_at"), row.get("images_state", "done"), key)


_PASSING = (
    OSError,  # a timeout among them
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InvalidCachedStatementError,  # the schema was upgraded since the connection was opened
)
