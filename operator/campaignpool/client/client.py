"""Claim campaigns from an application, over asyncpg.

    campaigns = Client(pool, "game/chiwar")  # an asyncpg.Pool, a URL, or a function that connects
    claim = await campaigns.claim(user.id, key=request.id)
    print(claim.campaign_id, claim.source)

Every call is repeated after a transient error: a claim has a key, and the same key returns the same campaign. Only
listening needs a session of its own, and it is optional, so a pooler in transaction mode may be in between.

Refusals raise a `ClaimError`; its classes are in `campaignpool.client.errors`, and importable from here. All other
errors of the database are raised unchanged by asyncpg, such as a claimant that is not a user.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias
from uuid import UUID, uuid4

import asyncpg

from campaignpool.client.connections import Connect, Connection, Database, opener, pauses
from campaignpool.client.errors import (
    InvalidArgument,
    PoolUnknown,
    Unreachable,
    typed,
)
from campaignpool.client.listener import ReadyListener
from campaignpool.sqlstates import is_transient

RECHECK_SECONDS = 1.0
"""A waiting claim polls this often: a notification can be lost, for example by a pooler."""

BOUND_SECONDS = 60.0
"""How long `waitSeconds` of a pool is cached: reading it costs more than a claim."""

_CLAIM = "SELECT * FROM campaign_pool.claim(pool => $1, claimant => $2, key => $3, name => $4, wait => $5)"

Source: TypeAlias = Literal["owner", "master", "clone"]
ImagesState: TypeAlias = Literal["pending", "copying", "done", "partial"]
Claimant: TypeAlias = str | UUID | int


@dataclass(frozen=True)
class Claim:
    """A campaign that belongs to the claimant.

    Attributes:
        campaign_id: Key of its row in the application's table, as text.
        source: `owner` or `master`: the pool it came from; `clone`: made on demand, because the pool was empty.
        claimed_at: When it was claimed first.
        images_state: Whether images of its own are there: `done`; `pending` or `copying`: the template's are shown
            until they are; `partial`: some of the template's are shown for good.
        key: The same key returns the same campaign again; the client's own if none was passed.
    """

    campaign_id: str
    source: Source
    claimed_at: datetime
    images_state: ImagesState
    key: str


@dataclass(frozen=True)
class Peek:
    """What a claim would get now; another claim may be quicker.

    Attributes:
        source: As in `Claim`; None: nothing.
        owner_ready: Ready campaigns of the claimant's own pool.
        master_ready: Ready campaigns of the master pool.
    """

    source: Source | None
    owner_ready: int
    master_ready: int


@dataclass(frozen=True)
class Health:
    """The state of a pool.

    Attributes:
        healthy: A claim is served at once.
        state: `full`, `low`, `empty`, `closing` (being deleted) or `new` (not installed yet).
        desired: Campaigns wanted, over all owners.
        ready: Campaigns ready, over all owners.
        message: The same in a sentence.
        orphaned: No operator has reconciled the pool for ten resyncs, and for ten minutes at least: it does not run,
            or the CampaignPool is gone.
    """

    pool: str
    healthy: bool
    state: Literal["full", "low", "empty", "closing", "new"]
    desired: int
    ready: int
    message: str
    orphaned: bool


class Client:
    """Claims from one pool.

    Args:
        database: An `asyncpg.Pool`; or a URL or a function that connects: each call then has a connection of its own.
        pool: `namespace/name` of the CampaignPool.
        listen: Where to listen while a claim waits: a URL or a function that connects to Postgres itself, or to a
            pooler in session mode. By default the `database`; an `asyncpg.Pool` has no connection for this, so
            without `listen` a waiting claim only polls, every `RECHECK_SECONDS`.
        patience: For how long a transient error (see docs/errors.md) is retried.
        timeout: How long one attempt may take, waiting for a connection included. A call ends after `patience` and
            `timeout` at the latest, also where the server does not answer at all.

    Every method takes `connection`: it then runs on that connection, as a part of its transaction if there is one,
    without retries or a time-out: after any other error of the database, run the transaction again with the same key.
    A `ClaimError` leaves the transaction unchanged.
    """

    def __init__(
        self,
        database: Database,
        pool: str,
        *,
        listen: str | Connect | None = None,
        patience: timedelta = timedelta(seconds=10),
        timeout: timedelta = timedelta(seconds=30),
    ) -> None:
        self.pool = pool
        self._open = opener(database)
        if listen is None and not isinstance(database, asyncpg.Pool):
            listen = database
        self._listener = ReadyListener(pool, None if listen is None else opener(listen))
        self._patience = patience.total_seconds()
        self._timeout = timeout.total_seconds()
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
                id of the request, and a claim can be repeated after a crash; a generated key only survives lost
                connections.
            name: The campaign's name; the blueprint's `onClaim` has to use `$name`.
            wait: How long to wait for a campaign where the pool is empty and its `claims.onEmpty` is `Wait`; at most
                the pool's `waitSeconds` where this role may read the view `pools`. Only the listener keeps a
                connection while the claim waits.
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
        arguments = (self.pool, str(claimant), key, name)
        rows = await self._run(_CLAIM, *arguments, wait or timedelta(), key=key, connection=connection)
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
        """Set how long after its claim a campaign may be released; return until when.

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
        """Return what a claim of this claimant would get now.

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
        """Return the state of the pool, for a health check of the application.

        Raises:
            PoolUnknown, SchemaOutdated, Unreachable: As their classes say.
        """
        rows = await self._run("SELECT * FROM campaign_pool.health(of_pool => $1)", self.pool, connection=connection)
        if not rows:
            raise PoolUnknown(f'no pool named "{self.pool}"', hint="Name it namespace/name.")
        return Health(**rows[0])

    async def _wait(
        self, began: float, claimant: str, key: str, name: str | None, wait: timedelta
    ) -> list[asyncpg.Record]:
        """Claim whenever campaigns became ready, until the bound; then raise the database's own error."""
        bound = await self._pools_bound()
        give_up = began + (wait if bound is None else min(wait, bound)).total_seconds()
        arguments = (self.pool, claimant, key, name)
        async with self._listener.waiting() as ready:
            while (left := give_up - time.monotonic()) > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(RECHECK_SECONDS, left)):
                        await ready.wait()
                ready.clear()
                if rows := await self._run(_CLAIM, *arguments, wait, key=key):
                    return rows
        return await self._run(_CLAIM, *arguments, timedelta(), key=key)

    async def _pools_bound(self) -> timedelta | None:
        """Return how long the pool lets claimants wait; None where this role may not read it."""
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
        """Run one statement, with retries while they can help, and return its rows."""
        try:
            if connection is not None:
                async with connection.transaction():
                    return await connection.fetch(statement, *arguments)
            return await self._persist(statement, *arguments, key=key)
        except asyncpg.PostgresError as error:
            if existing := typed(error, key):
                raise existing from error
            raise

    async def _persist(self, statement: str, *arguments: object, key: str | None) -> list[asyncpg.Record]:
        give_up = time.monotonic() + self._patience
        for pause in pauses():
            try:
                return await self._attempt(statement, *arguments)
            except (OSError, asyncpg.PostgresError) as error:  # OSError includes TimeoutError
                if isinstance(error, asyncpg.PostgresError) and not is_transient(error):
                    raise
                if time.monotonic() + pause > give_up:
                    raise Unreachable(
                        f"the database was unreachable or too busy for {self._patience:g} s: {type(error).__name__}",
                        hint="Try again later; repeat a claim with the same key.",
                        key=key,
                    ) from error
            await asyncio.sleep(pause)
        raise AssertionError("pauses never end")

    async def _attempt(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        deadline = time.monotonic() + self._timeout
        async with self._open(self._timeout) as connection:
            try:
                return await connection.fetch(statement, *arguments, timeout=max(0.001, deadline - time.monotonic()))
            except TimeoutError:
                # The server may be gone: a connection that is returned would wait for its answer.
                connection.terminate()
                raise
            except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                # A caller's own mistakes are of this class too, such as a pool that is closed.
                if connection.is_closed():
                    raise ConnectionResetError("the connection was lost") from error
                raise


def _claim(row: asyncpg.Record, key: str) -> Claim:
    return Claim(row["campaign_id"], row["source"], row["claimed_at"], row["images_state"], key)
