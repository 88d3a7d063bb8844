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
from campaignpool import ledger
from campaignpool.database import Connection, connected
from campaignpool.errors import CampaignPoolError
from campaignpool_local.postgres import EmbeddedPostgres

POOL = "bench/claims"
BESIDE = "bench/beside"
"""The pool that is refilled beside the limit, as the other one is beside claims; nobody claims from it."""

REFILL_EVERY = 25
"""Where a pool is refilled while it is claimed from: every so many claims of a client, the client does it."""

CLAIMANTS = 1000
BELLS_PER_SECOND = 10
_BATCH = 5000
_PLENTY = 10_000_000

# Keys are as random as the ids of requests, for their place in an index costs time.
_DRAW = """\
\\set i :i + 1
\\set user random(1, :users)
"""
_CLAIMANT = "'00000000-0000-4000-8000-' || lpad(:user::text, 12, '0')"
_KEY = "md5(:run::text || ' ' || :client_id::text || ' ' || :i::text)::uuid::text"

_CLAIM = f"SELECT campaign_id, source FROM campaign_pool.claim(:pool::text, {_CLAIMANT}, {_KEY});\n"

# Which campaign is no question: it is known to the client in advance, and no other client has it.
_LIMIT = f"""\
\\set n :base + :i * :crowd + :client_id
SELECT staging.claim((lpad(to_hex(:n::bigint), 16, '0') || :suffix::text)::uuid, {_CLAIMANT}, {_KEY});
"""

_REFILL = """\
\\if (:i + :client_id * :shift) % :every = 0
SELECT campaign_pool.reserve(:pool::text, :run::text || ' ' || :client_id::text || ' ' || :i::text, '', 1, :batch, 1);
SELECT campaign_pool.seed(:pool::text, :run::text || ' ' || :client_id::text || ' ' || :i::text, :batch);
\\endif
"""

_STAGING = """
CREATE SCHEMA staging;
-- As the design has it, indexes included: of a claim the ledger changes one row, and keeps it.
CREATE TABLE staging.campaign (LIKE campaign_pool.campaign INCLUDING ALL) WITH (fillfactor = 70);
CREATE FUNCTION staging.claim(the_id uuid, the_claimant text, the_key text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    UPDATE staging.campaign SET
        state = 'claimed', claimed_at = clock_timestamp(), claimant = the_claimant, claim_key = the_key, source = 'master'
    WHERE id = the_id;
    UPDATE campaigns SET user_id = the_claimant::uuid, active = true, updated_at = now() WHERE id = the_id;
    INSERT INTO campaign_memberships (user_id, campaign_id, created_at, updated_at)
    VALUES (the_claimant::uuid, the_id, now(), now());
    RETURN the_id::text;
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
INSERT INTO campaigns (id, user_id, name, is_master_template, active, seeded_at, created_at, updated_at)
SELECT made.id, t.user_id, 'claims-' || left(replace(made.id::text, '-', ''), 16), false, false, now(), now(), now()
FROM made, campaigns t WHERE t.is_master_template
"""

_SUFFIX = """
SELECT encode(root_suffix, 'hex') FROM campaign_pool.revision r JOIN campaign_pool.pool p ON p.revision_id = r.id
WHERE p.name = $1
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
        refilled: Whether clients refill the pool while they claim, and count on that; else it is only filled between
            bursts.
    """

    def __init__(
        self, postgres: EmbeddedPostgres, url: str, operator: Connection, size: int, *, refilled: bool
    ) -> None:
        self.size = size
        self._postgres = postgres
        self._url = url
        self._operator = operator
        self._refilled = refilled
        self._runs = count(1)
        self._staged = 0
        self._suffix = ""

    async def prepare(self, say: Callable[[str], None]) -> None:
        """Make the pools, the claimants and the limit's own ledger, and fill them; once a database."""
        await server.put_pool(
            self._operator, POOL, max_size=self.size if self._refilled else _PLENTY, root_alone=True
        )
        await server.put_pool(self._operator, BESIDE, max_size=_PLENTY, root_alone=True)
        await self._operator.execute(_STAGING.replace("$claimants", str(CLAIMANTS)))
        self._suffix = str(await self._operator.fetchval(_SUFFIX, POOL))
        await self._stage(self.size)
        await self.fill(self.size, say)
        await self._operator.execute("VACUUM (ANALYZE)")
        await self._operator.execute("CHECKPOINT")

    async def fill(self, size: int, say: Callable[[str], None] = lambda _: None) -> None:
        """Make campaigns until so many are ready."""
        job = f"fill-{next(self._runs)}"
        lacking = size - int(await self._operator.fetchval(_READY, POOL))
        left = await ledger.reserve(self._operator, POOL, job, "", 1, lacking, 1) if lacking > 0 else 0
        while left > 0:
            say(f"{size - left} of {size} campaigns")
            left -= (await ledger.seed(self._operator, POOL, job, _BATCH)).campaigns

    async def settle(self) -> None:
        """Clear away what is dead, as autovacuum does where it is on."""
        await self._operator.execute(f"VACUUM {_TABLES}")

    async def claims(self, clients: int, each: int) -> Burst:
        """Fill the pool, and claim from it by as many clients at once, each so many times."""
        await self.fill(self.size + (0 if self._refilled else clients * each))
        await self.settle()
        before = await self._claimed()
        burst = await self._run(_CLAIM, clients, each, pool=POOL, batch=self.size)
        claimed, cloned = await self._claimed()
        if claimed - before[0] != clients * each or (cloned != before[1] and not self._refilled):
            raise CampaignPoolError(f"{clients} × {each} claims gave {claimed - before[0]}, {cloned - before[1]} cloned")
        return burst

    async def limit(self, clients: int, each: int) -> Burst:
        """Do the same writes by as many clients at once, each so many times."""
        await self._operator.execute(
            "DELETE FROM campaign_pool.campaign c USING campaign_pool.pool p WHERE p.id = c.pool_id AND p.name = $1", BESIDE
        )
        base = self._staged + 1 - clients
        await self._stage(clients * each)
        await self.settle()
        burst = await self._run(
            _LIMIT, clients, each, pool=BESIDE, batch=REFILL_EVERY, base=base, suffix=self._suffix, crowd=clients
        )
        if await self._operator.fetchval("SELECT count(*) FROM staging.campaign WHERE state = 'ready'") != self.size:
            raise CampaignPoolError("the limit did not write what it was to write")
        return burst

    async def cloned(self) -> int:
        """Give how many claims found the pool empty and made their campaign themselves."""
        return (await self._claimed())[1]

    async def _run(self, text: str, clients: int, each: int, **variables: int | str) -> Burst:
        shift = REFILL_EVERY // clients or 1
        more = {"i": 0, "users": CLAIMANTS, "run": f"run-{next(self._runs)}", "every": REFILL_EVERY, "shift": shift}
        script = Script(
            _DRAW + text + (_REFILL if self._refilled else ""),
            more | variables,
            REFILL_EVERY if self._refilled else 0,
            shift,
        )
        async with self._bell():
            return await pgbench.run(self._postgres, self._url, script, clients, each)

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
        """Ask to be told of changes over and over for the length of a block, as the operator does."""

        over = asyncio.Event()

        async def ask() -> None:
            while not over.is_set():
                await ledger.fall_asleep(self._operator, POOL)
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), 1 / BELLS_PER_SECOND)

        await ledger.fall_asleep(self._operator, POOL)
        asking = asyncio.create_task(ask())
        try:
            yield
        finally:
            over.set()
            await asking


@asynccontextmanager
async def stocked(
    base: server.Server, name: str, size: int, say: Callable[[str], None], *, refilled: bool = False
) -> AsyncIterator[Stock]:
    """Make a database with a full pool for the length of a block."""
    url = await base.database(name)
    try:
        async with connected(url, "bench") as operator:
            stock = Stock(base.postgres, url, operator, size, refilled=refilled)
            await stock.prepare(say)
            yield stock
    finally:
        base.drop(name)
