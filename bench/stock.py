"""Campaigns to claim: a pool that is filled by the product's own functions, and beside it what the limit writes to.

A claim touches the ledger, the campaign's row in the root table and a membership, and none of the thousands of rows
below. So the campaigns of this pool are their root rows alone; a hundred thousand of them are made in seconds.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count

from bench import pgbench, server
from bench.pgbench import Burst, Script
from campaignpool.errors import CampaignPoolError
from campaignpool.ledger import pools, seeding
from campaignpool.ledger.database import Connection, connected
from campaignpool_local.postgres import EmbeddedPostgres
from campaignpool_operator.runtime.listener import DEBOUNCE_SECONDS

POOL = "bench/claims"
BESIDE = "bench/beside"
"""The pool that is refilled beside the limit, as the other one is beside claims; nobody claims from it."""

REFILL_EVERY = 25
"""Where a pool is refilled while it is claimed from: every so many claims of a client, the client does it."""

CLAIMANTS = 1000
BELLS_PER_SECOND = 1 / DEBOUNCE_SECONDS
"""The operator asks to be told as often as it looks, and it looks so often while it is told all the time."""
_BATCH = 5000
_PLENTY = 10_000_000
_REFILL_MOST = 1000
_CLONED_AT_MOST = 0.05

# Keys are as random as the ids of requests, for their place in an index costs time.
_DRAW = """\
\\set i :i + 1
\\set user random(1, :users)
"""
_CLAIMANT = "'00000000-0000-4000-8000-' || lpad(:user::text, 12, '0')"
_KEY = "md5(:run::text || ' ' || :client_id::text || ' ' || :i::text)::uuid::text"

_CLAIM = f"SELECT campaign_id, source FROM campaign_pool.claim(:pool::text, {_CLAIMANT}, {_KEY});\n"

# Which campaign is no question: it is known to the client in advance, and no other client has it. It is the one that
# lies there longest, as for a claim: what was written a moment ago is still in the processor's caches.
_LIMIT = f"""\
\\set n :base + :i * :crowd + :client_id
SELECT campaign_id, source
FROM staging.claim((lpad(to_hex(:n::bigint), 16, '0') || :suffix::text)::uuid, {_CLAIMANT}, {_KEY});
"""

_REFILL = """\
\\if (:i + :client_id * :shift) % :every = 0
SELECT campaign_pool.reserve(:pool::text, :run::text || ' ' || :client_id::text || ' ' || :i::text, '', 1, :batch, 1);
SELECT campaign_pool.seed(:pool::text, :run::text || ' ' || :client_id::text || ' ' || :i::text, :batch);
\\endif
"""

_STAGING = """
CREATE SCHEMA staging;
-- As the design has it, indexes included: of a claim the ledger changes one row, and keeps it. The function gives
-- what `claim` gives, by the rights of its owner, as any would have to.
CREATE TABLE staging.campaign (LIKE campaign_pool.campaign INCLUDING ALL) WITH (fillfactor = 70);
CREATE FUNCTION staging.claim(the_id uuid, the_claimant text, the_key text)
RETURNS TABLE (campaign_id text, source text, claimed_at timestamptz, images_state text)
LANGUAGE plpgsql SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    UPDATE staging.campaign SET
        state = 'claimed', claimed_at = clock_timestamp(), claimant = the_claimant, claim_key = the_key,
        source = 'master'
    WHERE id = the_id
    RETURNING root_key, 'master', clock_timestamp(), 'done' INTO campaign_id, source, claimed_at, images_state;
    UPDATE public.campaigns SET user_id = the_claimant::uuid, active = true, updated_at = now() WHERE id = the_id;
    INSERT INTO public.campaign_memberships (user_id, campaign_id, created_at, updated_at)
    VALUES (the_claimant::uuid, the_id, now(), now());
    RETURN NEXT;
END $$;
INSERT INTO users (id, email, name, jti, created_at, updated_at)
SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'claimant-' || n, 'Claimant ' || n,
       'claimant-' || n, now(), now()
FROM generate_series(1, $claimants) n;
"""

_STAGE = """
WITH made AS (
    INSERT INTO staging.campaign (id, pool_id, revision_id, owner, state, slot, run, root_key, ready_at)
    SELECT each.id, p.id, p.revision_id, '', 'ready', n, 'staged', each.id::text, clock_timestamp()
    FROM campaign_pool.pool p, generate_series($2::bigint, $3::bigint) n,
         LATERAL (SELECT (lpad(to_hex(n), 16, '0') || $4::text)::uuid AS id) each
    WHERE p.name = $1
    RETURNING id
)
INSERT INTO campaigns (
    id, user_id, name, description, is_master_template, active, seeded_at, image_url, created_at, updated_at)
SELECT made.id, t.user_id, 'claims-' || left(replace(made.id::text, '-', ''), 16), t.description, false, false, now(),
       t.image_url, now(), now()
FROM made, campaigns t WHERE t.is_master_template
"""

_SUFFIX = """
SELECT encode(root_suffix, 'hex') FROM campaign_pool.revision r JOIN campaign_pool.pool p ON p.revision_id = r.id
WHERE p.name = $1
"""

_EMPTY = """
DELETE FROM campaign_pool.campaign c USING campaign_pool.pool p WHERE p.id = c.pool_id AND p.name = $1
"""

_READY = """
SELECT count(*) FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id
WHERE p.name = $1 AND c.state = 'ready'
"""

_TABLES = "campaign_pool.campaign, campaign_pool.bell, staging.campaign, users, campaigns, campaign_memberships"


class Stock:
    """A pool with `size` ready campaigns, and as many that the limit passes by.

    Args:
        postgres: The server.
        url: The database.
        operator: A connection of its own to it.
        size: How many are ready.
        vacuumed: Whether what is dead is cleared away before each burst, as autovacuum does where it is on.
    """

    def __init__(
        self, postgres: EmbeddedPostgres, url: str, operator: Connection, size: int, *, vacuumed: bool = True
    ) -> None:
        self.url = url
        self.size = size
        self._postgres = postgres
        self._operator = operator
        self._vacuumed = vacuumed
        self._runs = count(1)
        self._staged = 0
        self._passed = 0
        self._suffix = ""

    async def prepare(self, say: Callable[[str], None]) -> None:
        """Make the pools, the claimants and the limit's own ledger, and fill them; once a database."""
        for pool in (POOL, BESIDE):
            await server.put_pool(self._operator, pool, max_size=_PLENTY, root_alone=True)
        await self._operator.execute(_STAGING.replace("$claimants", str(CLAIMANTS)))
        self._suffix = str(await self._operator.fetchval(_SUFFIX, POOL))
        await self._stage(self.size)
        await self._fill(self.size, say)
        await self._operator.execute("VACUUM (ANALYZE)")
        await self._operator.execute("CHECKPOINT")

    async def claims(self, clients: int, each: int, *, refilled: bool) -> Burst:
        """Fill the pool, and claim from it by as many clients at once, each so many times.

        Args:
            clients: How many.
            each: How often each claims.
            refilled: Whether the clients fill it up again while they claim. It begins with as many more than its size
                as they claim together, until they fill it up.
        """
        most = self.size + clients * (REFILL_EVERY if refilled else each)
        await self._fill(most)
        await self._operator.execute("UPDATE campaign_pool.pool SET max_size = $2 WHERE name = $1", POOL, most)
        before = await self._claimed()
        burst = await self._run(_CLAIM, clients, each, refilled, pool=POOL, batch=_REFILL_MOST)
        await self._operator.execute("UPDATE campaign_pool.pool SET max_size = $2 WHERE name = $1", POOL, _PLENTY)
        claimed, cloned = (now - then for now, then in zip(await self._claimed(), before, strict=True))
        if claimed != clients * each or cloned > claimed * _CLONED_AT_MOST * refilled:
            raise CampaignPoolError(f"{clients} × {each} claims gave {claimed} campaigns, {cloned} of them cloned")
        return burst

    async def limit(self, clients: int, each: int, *, refilled: bool) -> Burst:
        """Do the same writes by as many clients at once, each so many times; `refilled`: another pool, meanwhile."""
        await self._operator.execute(_EMPTY, BESIDE)
        base = self._passed + 1 - clients
        await self._stage(clients * each)
        self._passed += clients * each
        own: dict[str, int | str] = {"base": base, "crowd": clients, "suffix": self._suffix}
        burst = await self._run(_LIMIT, clients, each, refilled, pool=BESIDE, batch=REFILL_EVERY, **own)
        if await self._operator.fetchval("SELECT count(*) FROM staging.campaign WHERE state = 'ready'") != self.size:
            raise CampaignPoolError("the limit did not write what it was to write")
        return burst

    async def _run(self, text: str, clients: int, each: int, refilled: bool, **variables: int | str) -> Burst:
        if self._vacuumed:
            await self._operator.execute(f"VACUUM {_TABLES}")
        shift = max(1, REFILL_EVERY // clients)
        more: dict[str, int | str] = {"i": 0, "users": CLAIMANTS, "run": f"run-{next(self._runs)}"}
        text = _DRAW + text
        if refilled:
            text += _REFILL
            more |= {"every": REFILL_EVERY, "shift": shift}
        script = Script(text, more | variables, REFILL_EVERY if refilled else 0, shift)
        async with self._bell():
            return await pgbench.run(self._postgres, self.url, script, clients, each)

    async def _fill(self, size: int, say: Callable[[str], None] = lambda _: None) -> None:
        """Make campaigns until so many are ready."""
        lacking = size - int(await self._operator.fetchval(_READY, POOL))
        job = f"fill-{next(self._runs)}"
        left = await seeding.reserve(self._operator, POOL, job, "", 1, lacking, 1) if lacking > 0 else 0
        while left > 0:
            say(f"{size - left} of {size} campaigns")
            left -= (await seeding.seed(self._operator, POOL, job, _BATCH)).campaigns

    async def _stage(self, campaigns: int) -> None:
        await self._operator.execute(_STAGE, POOL, self._staged + 1, self._staged + campaigns, self._suffix)
        self._staged += campaigns

    async def _claimed(self) -> tuple[int, int]:
        row = await self._operator.fetchrow(
            "SELECT count(*), count(*) FILTER (WHERE source = 'clone') FROM campaign_pool.claimed"
        )
        return (row[0], row[1]) if row else (0, 0)

    @asynccontextmanager
    async def _bell(self) -> AsyncIterator[None]:
        """For the length of a block, ask to be told of changes as often as the operator does, and wake when told."""
        over, told = asyncio.Event(), asyncio.Event()

        async def ask() -> None:
            while not over.is_set():
                await pools.begin_waiting(self._operator, POOL)
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), 1 / BELLS_PER_SECOND)

        async def listen() -> None:
            while await told.wait() and not over.is_set():
                told.clear()
                await pools.wake(listener, POOL)

        def tell(*_: object) -> None:
            told.set()

        async with connected(self.url, "bench") as listener:
            await listener.add_listener(pools.CHANNEL, tell)
            await pools.begin_waiting(self._operator, POOL)
            asking = asyncio.create_task(ask())
            listening = asyncio.create_task(listen())
            try:
                yield
            finally:
                over.set()
                told.set()
                await asyncio.gather(asking, listening)


@asynccontextmanager
async def stocked(
    base: server.Server, size: int, say: Callable[[str], None], *, name: str = "stock", vacuumed: bool = True
) -> AsyncIterator[Stock]:
    """Make a database with a full pool for the length of a block; with its size, `name` names it."""
    name = f"{name}_{size}"
    url = await base.database(name)
    try:
        async with connected(url, "bench") as operator:
            stock = Stock(base.postgres, url, operator, size, vacuumed=vacuumed)
            await stock.prepare(say)
            yield stock
    finally:
        base.drop(name)
