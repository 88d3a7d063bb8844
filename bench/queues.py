"""Alternatives to a claim: SQL by hand that takes the oldest row, and a job queue from PyPI.

Both are functions that include the application's two writes and are called like `claim`. The one by hand stores who
got the campaign and when, and returns the same campaign to a client that repeats a call with its key; the job queue
would give it a second one.
"""

from dataclasses import dataclass
from importlib.metadata import version
from statistics import median

from procrastinate.schema import SchemaManager

from bench.harness import Number, Progress
from bench.pgbench import Burst, together
from bench.report import table
from bench.stock import CLAIMANT, KEY, Stock
from campaignpool.ledger.database import Connection, connected

CLIENTS = {1: 1800, 8: 500, 32: 250, 64: 200}
ROUNDS = 5
CROWD = 32
"""The number of clients while another transaction is open."""

PINNED = 20_000
"""Unmeasured claims of every contender before the measured ones, while the transaction is open."""

_WRITES = """\
    UPDATE public.campaigns SET user_id = the_claimant::uuid, active = true, updated_at = now() WHERE id = the_id;
    INSERT INTO public.campaign_memberships (user_id, campaign_id, created_at, updated_at)
    VALUES (the_claimant::uuid, the_id, now(), now());
    RETURN the_id;
"""

_BY_HAND = f"""
CREATE TABLE queue.campaign (
    id uuid PRIMARY KEY, place bigint GENERATED ALWAYS AS IDENTITY, claimant text, claimed_at timestamptz, key text
) WITH (fillfactor = 70);
CREATE INDEX ON queue.campaign (place) WHERE claimant IS NULL;
CREATE UNIQUE INDEX ON queue.campaign (key) WHERE key IS NOT NULL;
CREATE FUNCTION queue.claim_by_hand(the_claimant text, the_key text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    the_id uuid := (SELECT id FROM queue.campaign WHERE key = the_key);
BEGIN
    IF the_id IS NOT NULL THEN
        RETURN the_id;
    END IF;
    UPDATE queue.campaign SET claimant = the_claimant, claimed_at = clock_timestamp(), key = the_key WHERE id = (
        SELECT id FROM queue.campaign WHERE claimant IS NULL ORDER BY place LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id INTO STRICT the_id;
{_WRITES}END $$;
"""

_BY_QUEUE = f"""
CREATE FUNCTION queue.claim_by_procrastinate(the_claimant text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    job public.procrastinate_jobs := public.procrastinate_fetch_job_v2(NULL, NULL);
    the_id uuid := (job.args ->> 'campaign')::uuid;
BEGIN
    PERFORM public.procrastinate_finish_job_v1(job.id, 'succeeded', false);
{_WRITES}END $$;
"""

_STAGE = """
WITH new AS (
    SELECT (lpad(to_hex(x'100000000000'::bigint + n), 16, '0') || '8000000000000001')::uuid AS id
    FROM generate_series($1::bigint, $2::bigint) n
), rows AS (
    INSERT INTO campaigns (
        id, user_id, name, description, is_master_template, active, seeded_at, image_url, created_at, updated_at)
    SELECT new.id, t.user_id, 'queued-' || new.id, t.description, false, false, now(), t.image_url, now(), now()
    FROM new, campaigns t WHERE t.is_master_template
)
"""
_INTO = {
    "by hand": "INSERT INTO queue.campaign (id) SELECT id FROM new ORDER BY id",
    "procrastinate": (
        "INSERT INTO procrastinate_jobs (queue_name, task_name, args) "
        "SELECT 'campaigns', 'give', jsonb_build_object('campaign', id) FROM new ORDER BY id"
    ),
}
_CALLS = {
    "by hand": f"SELECT queue.claim_by_hand({CLAIMANT}, {KEY});\n",
    "procrastinate": f"SELECT queue.claim_by_procrastinate({CLAIMANT});\n",
}
_CAMPAIGNPOOL = "campaignpool"
_BY_HAND_NAME, _QUEUE_NAME = "by hand", "procrastinate"
_TABLES = "queue.campaign, procrastinate_jobs, procrastinate_events, campaigns, campaign_memberships"


@dataclass(frozen=True)
class Compared:
    """The bursts of every contender by round: by number of clients, and with an open transaction."""

    free: dict[int, dict[str, list[Burst]]]
    pinned: dict[str, list[Burst]]

    def figures(self) -> dict[str, Number]:
        """Return claims per second, and campaignpool's rate over that of the others."""
        figures: dict[str, Number] = {"ahead_pinned_xmin": _ahead(self.pinned, _BY_HAND_NAME, _QUEUE_NAME)}
        for clients, bursts in self.free.items():
            figures[f"ahead_of_queue_c{clients}"] = _ahead(bursts, _QUEUE_NAME)
            figures[f"ahead_of_hand_c{clients}"] = _ahead(bursts, _BY_HAND_NAME)
            figures |= _per_second(bursts, f"c{clients}")
        return figures | _per_second(self.pinned, "pinned")

    def table(self) -> str:
        """Return the figures as a Markdown table."""
        names = (_CAMPAIGNPOOL, *_INTO)
        head = (
            "clients",
            "transaction open",
            *(f"{name}, claims/s" for name in names),
            "× by hand",
            "× procrastinate",
        )
        rows = [(clients, "no", bursts) for clients, bursts in self.free.items()] + [(CROWD, "yes", self.pinned)]
        return table(
            head,
            [
                (
                    clients,
                    held,
                    *(together(bursts[name]).per_second for name in names),
                    _ahead(bursts, _BY_HAND_NAME),
                    _ahead(bursts, _QUEUE_NAME),
                )
                for clients, held, bursts in rows
            ],
        )


def release() -> str:
    """Return the version of the job queue."""
    return version("procrastinate")


async def compare(stock: Stock, progress: Progress) -> Compared:
    """Measure campaignpool and the queues alternately in the database of a large pool."""
    async with connected(stock.url, "bench") as connection:
        await connection.execute(f"CREATE SCHEMA queue; {_BY_HAND}")
        await connection.execute(SchemaManager.get_schema())
        await connection.execute(_BY_QUEUE)
        queues = _Queues(connection, stock)
        free = {}
        for clients, claims in CLIENTS.items():
            progress.say(f"queues, {clients} clients")
            free[clients] = await queues.rounds(clients, claims)
        async with connected(stock.url, "bench") as reader:
            # It prevents vacuum from removing dead rows, in its own database only.
            await reader.execute("SET idle_in_transaction_session_timeout = 0")
            async with reader.transaction(isolation="repeatable_read", readonly=True):
                await reader.execute("SELECT count(*) FROM queue.campaign")
                progress.say("queues, with an open transaction")
                for name in (_CAMPAIGNPOOL, *_INTO):
                    await queues.burst(name, CROWD, PINNED // CROWD)
                pinned = await queues.rounds(CROWD, 100, warm=False)
    return Compared(free, pinned)


class _Queues:
    """Fills the queues and claims from them."""

    def __init__(self, connection: Connection, stock: Stock) -> None:
        self._connection, self._stock = connection, stock
        self._created = 0
        self._remaining = dict.fromkeys(_INTO, 0)

    async def rounds(self, clients: int, claims: int, *, warm: bool = True) -> dict[str, list[Burst]]:
        names = [_CAMPAIGNPOOL, *_INTO]
        bursts: dict[str, list[Burst]] = {name: [] for name in names}
        for number in range(ROUNDS + warm):
            for place in range(len(names)):
                name = names[(place + number) % len(names)]
                burst = await self.burst(name, clients, claims)
                if number >= warm:
                    bursts[name].append(burst)
        return bursts

    async def burst(self, name: str, clients: int, claims: int) -> Burst:
        if name == _CAMPAIGNPOOL:
            return await self._stock.claims(clients, claims, refilled=False)
        missing = self._stock.size + clients * claims - self._remaining[name]
        await self._connection.execute(f"{_STAGE} {_INTO[name]}", self._created + 1, self._created + missing)
        self._created += missing
        self._remaining[name] += missing - clients * claims
        await self._connection.execute(f"VACUUM {_TABLES}")
        return await self._stock.script(_CALLS[name], clients, claims)


def _ahead(bursts: dict[str, list[Burst]], *others: str) -> float:
    """Return campaignpool's claims per second over the fastest other: the median of the ratios within a round."""
    rounds = zip(bursts[_CAMPAIGNPOOL], *(bursts[name] for name in others), strict=True)
    return median(ours.per_second / max(other.per_second for other in rest) for ours, *rest in rounds)


def _per_second(bursts: dict[str, list[Burst]], case: str) -> dict[str, Number]:
    return {
        f"{name.replace(' ', '_')}_per_second_{case}": together(rounds).per_second for name, rounds in bursts.items()
    }
