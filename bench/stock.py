"""A pool of campaigns to claim, filled with the product's functions, and the tables that the limit writes to.

A claim writes to the ledger, to the campaign's row in the root table and to a membership, and to none of the other
rows of a campaign. So the campaigns of this pool consist of their root row; creating 100,000 of them takes seconds.
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
"""The pool that clients refill while the limit is measured; they do not claim from it."""

REFILL_EVERY = 25
"""In refilled bursts, a client refills the pool after this many of its claims."""

CLAIMANTS = 1000
NOTIFICATIONS_PER_SECOND = 1 / DEBOUNCE_SECONDS
"""How often a busy operator observes the pool and requests the next notification."""
_BATCH = 5000
_UNLIMITED_SIZE = 10_000_000
_MAX_REFILL = 1000
_MAX_CLONED_SHARE = 0.05

_VARIABLES = """\
\\set i :i + 1
\\set user random(1, :users)
"""
CLAIMANT = "'00000000-0000-4000-8000-' || lpad(:user::text, 12, '0')"
"""A claimant in the script of a client."""

KEY = "md5(:run::text || ' ' || :client_id::text || ' ' || :i::text)::uuid::text"
"""A new key in the script of a client: random, like ids of requests, as their order affects the cost of the index."""

_CLAIM = f"SELECT campaign_id, source FROM campaign_pool.claim(:pool::text, {CLAIMANT}, {KEY});\n"

# Every client knows its next campaign in advance and shares it with no other client. It is the oldest one, as for a
# claim, because recently written rows would still be in the processor's caches.
_LIMIT = f"""\
\\set n :base + :i * :crowd + :client_id
SELECT campaign_id, source
FROM staging.claim((lpad(to_hex(:n::bigint), 16, '0') || :suffix::text)::uuid, {CLAIMANT}, {KEY});
"""

_REFILL = """\
\\if (:i + :client_id * :shift) % :every = 0
SELECT campaign_pool.reserve(:pool::text, :run::text || ' ' || :client_id::text || ' ' || :i::text, 1, :batch, 1);
SELECT campaign_pool.seed(:pool::text, :run::text || ' ' || :client_id::text || ' ' || :i::text, :batch);
\\endif
"""

_STAGING = """
CREATE SCHEMA staging;
-- A claim updates one row of the ledger, with all its indexes. The function returns the columns of `claim` and runs
-- with its owner's rights, as every solution has to.
CREATE TABLE staging.campaign (
    LIKE campaign_pool.campaign INCLUDING DEFAULTS INCLUDING STORAGE,
    claimed_at timestamptz, claimant text, claim_key text, source text CHECK (source IN ('owner', 'master', 'clone')),
    CHECK (state IN ('ready', 'claimed')), CHECK ((state = 'claimed') = (claimant IS NOT NULL)), PRIMARY KEY (id)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX ON staging.campaign (substr(uuid_send(id), 1, 8));
CREATE UNIQUE INDEX ON staging.campaign (pool_id, claim_key) WHERE claim_key IS NOT NULL;
CREATE INDEX ON staging.campaign (pool_id, owner, revision_id, slot) WHERE state = 'ready';
CREATE INDEX ON staging.campaign (pool_id, state) WHERE state <> 'claimed';
CREATE INDEX ON staging.campaign (pool_id, owner) WHERE state = 'claimed';
CREATE INDEX ON staging.campaign (pool_id, run);
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
WITH staged AS (
    INSERT INTO staging.campaign (id, pool_id, revision_id, owner, state, slot, run, root_key, ready_at)
    SELECT new.id, p.id, p.revision_id, '', 'ready', n, 'staged', new.id::text, clock_timestamp()
    FROM campaign_pool.pool p, generate_series($2::bigint, $3::bigint) n,
         LATERAL (SELECT (lpad(to_hex(n), 16, '0') || $4::text)::uuid AS id) new
    WHERE p.name = $1
    RETURNING id
)
INSERT INTO campaigns (
    id, user_id, name, description, is_master_template, active, seeded_at, image_url, created_at, updated_at)
SELECT staged.id, t.user_id, 'claims-' || left(replace(staged.id::text, '-', ''), 16), t.description, false, false,
       now(), t.image_url, now(), now()
FROM staged, campaigns t WHERE t.is_master_template
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

_MAX_SIZE = """
UPDATE campaign_pool.pool SET settings = settings || jsonb_build_object('max_size', $2::integer) WHERE name = $1
"""

_TABLES = "campaign_pool.campaign, staging.campaign, users, campaigns, campaign_memberships"


class Stock:
    """A pool with `size` ready campaigns, and as many rows in the table of the limit.

    Args:
        postgres: The server.
        url: The database.
        operator: A connection to it.
        size: The number of ready campaigns.
        vacuumed: Whether VACUUM runs before every burst, in place of autovacuum.
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
        self._used = 0
        self._suffix = ""

    async def prepare(self, say: Callable[[str], None]) -> None:
        """Create and fill the pools, the claimants and the limit's ledger; call it once per database."""
        for pool in (POOL, BESIDE):
            await server.put_pool(self._operator, pool, max_size=_UNLIMITED_SIZE, root_alone=True)
            await server.want(self._operator, _UNLIMITED_SIZE, pool)
        await self._operator.execute(_STAGING.replace("$claimants", str(CLAIMANTS)))
        self._suffix = str(await self._operator.fetchval(_SUFFIX, POOL))
        await self._stage(self.size)
        await self._fill(self.size, say)
        await self._operator.execute("VACUUM (ANALYZE)")
        await self._operator.execute("CHECKPOINT")

    async def claims(self, clients: int, claims: int, *, refilled: bool) -> Burst:
        """Fill the pool and claim from it with concurrent clients.

        Args:
            clients: The number of clients.
            claims: The number of claims of every client.
            refilled: Whether the clients refill the pool. It starts with as many campaigns above its size as the
                clients claim until they refill it.
        """
        most = self.size + clients * (REFILL_EVERY if refilled else claims)
        await self._fill(most)
        await self._operator.execute(_MAX_SIZE, POOL, most)
        before = await self._claimed()
        burst = await self._run(_CLAIM, clients, claims, refilled, pool=POOL, batch=_MAX_REFILL)
        await self._operator.execute(_MAX_SIZE, POOL, _UNLIMITED_SIZE)
        claimed, cloned = (now - earlier for now, earlier in zip(await self._claimed(), before, strict=True))
        if claimed != clients * claims or cloned > claimed * _MAX_CLONED_SHARE * refilled:
            raise CampaignPoolError(
                f"{clients} × {claims} claims returned {claimed} campaigns, {cloned} of them cloned"
            )
        return burst

    async def limit(self, clients: int, claims: int, *, refilled: bool) -> Burst:
        """Do the writes of as many claims; if `refilled`, the clients refill another pool."""
        await self._operator.execute(_EMPTY, BESIDE)
        base = self._used + 1 - clients
        await self._stage(clients * claims)
        self._used += clients * claims
        variables: dict[str, int | str] = {"base": base, "crowd": clients, "suffix": self._suffix}
        burst = await self._run(_LIMIT, clients, claims, refilled, pool=BESIDE, batch=REFILL_EVERY, **variables)
        if await self._operator.fetchval("SELECT count(*) FROM staging.campaign WHERE state = 'ready'") != self.size:
            raise CampaignPoolError("the limit did not update the expected rows")
        return burst

    async def script(self, text: str, clients: int, transactions: int) -> Burst:
        """Run another script than claims with concurrent clients."""
        return await self._run(text, clients, transactions, refilled=False)

    async def _run(self, text: str, clients: int, transactions: int, refilled: bool, **variables: int | str) -> Burst:
        if self._vacuumed:
            await self._operator.execute(f"VACUUM {_TABLES}")
        shift = max(1, REFILL_EVERY // clients)
        common: dict[str, int | str] = {"i": 0, "users": CLAIMANTS, "run": f"run-{next(self._runs)}"}
        text = _VARIABLES + text
        if refilled:
            text += _REFILL
            common |= {"every": REFILL_EVERY, "shift": shift}
        script = Script(text, common | variables, REFILL_EVERY if refilled else 0, shift)
        async with self._waiting_operator():
            return await pgbench.run(self._postgres, self.url, script, clients, transactions)

    async def _fill(self, size: int, say: Callable[[str], None] = lambda _: None) -> None:
        """Create campaigns until `size` are ready."""
        missing = size - int(await self._operator.fetchval(_READY, POOL))
        job = f"fill-{next(self._runs)}"
        left = await seeding.reserve(self._operator, POOL, job, 1, missing, 1) if missing > 0 else 0
        while left > 0:
            say(f"{size - left} of {size} campaigns")
            left -= await server.seed(self._operator, POOL, job, _BATCH)

    async def _stage(self, campaigns: int) -> None:
        await self._operator.execute(_STAGE, POOL, self._staged + 1, self._staged + campaigns, self._suffix)
        self._staged += campaigns

    async def _claimed(self) -> tuple[int, int]:
        row = await self._operator.fetchrow(
            "SELECT count(*), count(*) FILTER (WHERE source = 'clone') FROM campaign_pool.claimed"
        )
        return (row[0], row[1]) if row else (0, 0)

    @asynccontextmanager
    async def _waiting_operator(self) -> AsyncIterator[None]:
        """For the duration of a block, wait for notifications as a busy operator does."""
        stopped = asyncio.Event()

        async def wait() -> None:
            while not stopped.is_set():
                await pools.begin_waiting(self._operator, POOL)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopped.wait(), 1 / NOTIFICATIONS_PER_SECOND)

        async with connected(self.url, "bench") as listener:
            await listener.add_listener(pools.CHANNEL, lambda *_: None)
            await pools.begin_waiting(self._operator, POOL)
            waiting = asyncio.create_task(wait())
            try:
                yield
            finally:
                stopped.set()
                await waiting


@asynccontextmanager
async def stocked(
    base: server.Server, size: int, say: Callable[[str], None], *, name: str = "stock", vacuumed: bool = True
) -> AsyncIterator[Stock]:
    """Create a database with a full pool for the duration of a block; its name is `name` and the size."""
    name = f"{name}_{size}"
    url = await base.database(name)
    try:
        async with connected(url, "bench") as operator:
            stock = Stock(base.postgres, url, operator, size, vacuumed=vacuumed)
            await stock.prepare(say)
            yield stock
    finally:
        base.drop(name)
