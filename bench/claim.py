"""What claims take, by one client and by many, from small and large pools, beside the same writes alone."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count
from statistics import median

from bench import churn, queues, stock
from bench import server as sample
from bench.churn import Wear
from bench.harness import Bench, Case, Goal, Number, Plot, Progress, Result, alternate
from bench.pgbench import WARMUPS, Burst, together
from bench.report import table
from bench.stock import Stock, stocked
from bench.strategies import session
from campaignpool.ledger import seeding
from chiwar.ids import NEW_USER_ID

SMALL, MIDDLE, LARGE = 100, 10_000, 100_000
ROUNDS = {SMALL: 3, MIDDLE: 11, LARGE: 3}
"""How many rounds, by how many campaigns are ready."""

EACH = {1: 1800, 8: 500, 32: 250, 64: 200}
"""Claims of each client in a burst, by how many clients there are."""

BOUNDS = {1: 0.85, 8: 0.8, 32: 0.75, 64: 0.75}
"""What part of the limit claims are to reach, by how many clients there are."""

CLONING_ROUNDS = 40
_CLONING_WARMUPS = 8

GOALS = (
    *(Goal(f"ratio_limit_c{clients}", bound, at_least=True) for clients, bound in BOUNDS.items()),
    Goal("ahead_of_queue_c32", 1, at_least=True),
    Goal("ahead_pinned_xmin", 3, at_least=True),
    Goal("p50_ms_c1", 0.6),
    Goal("growth_100k_over_100", 1.2),
    Goal("churn_over_fresh_p99", 1.3),
    Goal("pinned_xmin_over_fresh_p99", 3),
    Goal("on_demand_over_batch_1", 1.2),
)

_ABOUT = """\
`campaign_pool.claim` called by the server's own pgbench: every client has a connection and prepared statements,
claims again when it has its answer, each time in a transaction of its own that is committed to disk, for one of
{claimants:,} users and with a key; the operator waits for changes {notifications} times a second, so that claims
notify it as often. A claim touches none of the rows below the campaign's own, so the campaigns here are their root
rows alone, made by the seeder's functions.

The limit is the same writes without choosing: one function that is called as `claim` is and gives the same columns,
in which a row of a copy of the ledger (all its columns and indexes) is updated to `claimed` with claimant and key,
the campaign's row is updated and the membership inserted, all by a primary key that the client knows in advance and
that no other client has: the oldest of its rows, as claims take the oldest that are ready. It keeps no history apart,
looks up no key and tells nobody. Limit and claims take turns, in another order each round, in {rounds} rounds
({other_rounds} with {small} and {large:,} ready); before each burst what is dead is vacuumed.
× limit is the median of the ratios within a round, claims a second are clients ÷ mean latency, percentiles are
over all rounds. What counts began when each client had done {warmups} transactions, and ended before the first
had no more to do.

With {small} ready the pool would be empty at once. So each client fills it up again after every {every} claims, to
{small} and {every} more for each client, and beside the limit another pool as much. These transactions do not count,
but they take processors from those that do, on both sides.
The larger pools are filled between the bursts, so that never fewer are ready than the table says.
{policy} pgbench has its share of the same processors."""

_QUEUES = """\
What an application would use instead, in the same database, with {large:,} ready in every case. Both are functions
with the application's own two writes, called as `claim` is:

- by hand: the oldest row (`ORDER BY place LIMIT 1 FOR UPDATE SKIP LOCKED`) is updated with claimant, time and key.
  The key has a unique index and is looked up first, so that a client that lost the answer gets the same campaign when
  it asks again.
- procrastinate {release}: the job queue's fetch, then its finish. It has no key: a client that lost the answer gets a
  second campaign.

Neither knows owners or revisions, asks for a refill, or refuses a key that belongs to another claim; SQL by hand that
does less claims more often, until a transaction stays open. All take turns in {rounds} rounds; × is the median of the
ratios within a round, campaignpool's claims a second over theirs. `ahead_of_queue_c32` is × procrastinate,
`ahead_pinned_xmin` is to the better of both. With a transaction open: {crowd} clients, after {pinned:,} claims by
each that cannot be cleared away.

{table}"""

_WEAR = """\
A pool of {size:,}, refilled by its {clients} clients as above, on a server with autovacuum (set as Postgres comes,
but for what the ledger sets for its tables), after {claims:,} claims and refills, beside a fresh one in another
database, in turns of {rounds} rounds; and the same after {pinned:,}, with a transaction in REPEATABLE READ open in
its database the whole time, so that nothing dead may be cleared away there. × fresh is the median of the ratios
within a round.

{table}"""

_GROWTH = """\
`growth_100k_over_100` compares the medians of one client at {large:,} ready and at {small}, both refilled, in
neighbouring bursts. `on_demand_over_batch_1` is a claim from an empty pool of the whole sample application
({rows:,} rows, `onEmpty: Clone`) over `seeding.seed` of one reserved campaign, both committed, in one session, in
turns of {rounds}: {claim} ms and {seed} ms."""


@dataclass(frozen=True)
class Cell:
    """The bursts of one size of pool and one number of clients, a round after the other."""

    ours: Sequence[Burst]
    limit: Sequence[Burst]

    @property
    def ratio(self) -> float:
        """What part of the limit claims reach."""
        pairs = zip(self.ours, self.limit, strict=True)
        return median(ours.per_second / limit.per_second for ours, limit in pairs)


async def run(progress: Progress) -> Result:
    """Measure everything."""
    progress.at("starting Postgres, loading the sample application")
    async with sample.running() as server:
        async with AsyncExitStack() as databases:
            progress.at("filling the pools")
            stocks = [await databases.enter_async_context(stocked(server, size, progress.say)) for size in ROUNDS]
            progress.at("claims and the limit in turns")
            cells, growth = await _rounds(stocks, progress)
            progress.at("queues beside claims")
            compared = await queues.compare(stocks[-1], progress)
        progress.at("claims from an empty pool, and batches of one")
        claim, seed, on_demand = await _on_demand(server, progress)
        rows, version = server.rows, server.version
    plain, pinned = await churn.measure(progress)
    figures = _figures(cells, growth, plain, pinned) | compared.figures() | {"on_demand_over_batch_1": on_demand}
    text = [
        _ABOUT.format(
            claimants=stock.CLAIMANTS,
            notifications=f"{stock.NOTIFICATIONS_PER_SECOND:g}",
            rounds=ROUNDS[MIDDLE],
            other_rounds=ROUNDS[SMALL],
            large=LARGE,
            warmups=WARMUPS,
            small=SMALL,
            every=stock.REFILL_EVERY,
            policy=sample.POLICY,
        ),
        _table(cells),
        _QUEUES.format(
            large=LARGE,
            release=queues.release(),
            rounds=queues.ROUNDS,
            pinned=queues.PINNED,
            crowd=queues.CROWD,
            table=compared.table(),
        ),
        _WEAR.format(
            size=churn.SIZE,
            clients=churn.CLIENTS,
            rounds=churn.ROUNDS,
            claims=plain.claims,
            pinned=pinned.claims,
            table=_wear_table(plain, pinned),
        ),
        _GROWTH.format(
            large=LARGE, small=SMALL, rows=rows, rounds=CLONING_ROUNDS, claim=f"{claim:.1f}", seed=f"{seed:.1f}"
        ),
    ]
    return Result(figures, {"Postgres": version}, "\n\n".join(text), GOALS, _plot(cells))


async def _rounds(
    stocks: Sequence[Stock], progress: Progress
) -> tuple[Mapping[tuple[int, int], Cell], list[tuple[Burst, Burst]]]:
    """Return the cells by size and clients, and what one client measured in the large and the small pool."""
    ours: dict[tuple[int, int], list[Burst]] = defaultdict(list)
    limit: dict[tuple[int, int], list[Burst]] = defaultdict(list)
    growth: list[tuple[Burst, Burst]] = []
    for item in stocks:  # the first writes after a checkpoint bear whole pages
        await item.limit(8, EACH[8], refilled=item.size == SMALL)
        await item.claims(8, EACH[8], refilled=item.size == SMALL)
    for number in range(max(ROUNDS.values())):
        progress.say(f"round {number + 1}")
        for pool in (item for item in stocks if number < ROUNDS[item.size]):
            for clients, each_claims in EACH.items():
                refilled = pool.size == SMALL
                turns = [(ours, pool.claims), (limit, pool.limit)]
                for kept, burst in turns if number % 2 else turns[::-1]:
                    kept[pool.size, clients].append(await burst(clients, each_claims, refilled=refilled))
        small, *_, large = stocks
        if number < ROUNDS[LARGE]:
            turn = [await pool.claims(1, EACH[1], refilled=True) for pool in (large, small)]
            growth.append((turn[0], turn[1]))
    return {place: Cell(ours[place], limit[place]) for place in ours}, growth


async def _on_demand(server: sample.Server, progress: Progress) -> tuple[float, float, float]:
    """Return the milliseconds of a claim that clones, those of a batch of one, and their ratio."""
    url = await server.database("on_demand")
    async with session(url) as connection:
        numbers, jobs, reserved = count(), count(), count()
        statement = await connection.prepare(
            "SELECT source FROM campaign_pool.claim(pool => $1, claimant => $2, key => $3)"
        )

        async def nothing() -> None:
            pass

        async def claim() -> None:
            await statement.fetchrow(sample.POOL, str(NEW_USER_ID), f"claim-{next(numbers)}")

        async def reserve() -> None:
            await sample.reserve(connection, f"job-{next(jobs)}", 1)

        async def seed() -> None:
            await seeding.seed(connection, sample.POOL, f"job-{next(reserved)}", 1)

        cases = [Case("claim", 1, nothing, claim, nothing), Case("seed", 1, reserve, seed, claim)]
        runs = await alternate(cases, rounds=CLONING_ROUNDS, warmups=_CLONING_WARMUPS, say=progress.say)
        cloned = await connection.fetchval("SELECT count(*) FROM campaign_pool.claimed WHERE source = 'clone'")
        if cloned != CLONING_ROUNDS + _CLONING_WARMUPS:
            raise RuntimeError(f"{cloned} claims found the pool empty")
    return runs.milliseconds("claim"), runs.milliseconds("seed"), runs.ratio("claim", "seed")


def _figures(
    cells: Mapping[tuple[int, int], Cell], growth: Sequence[tuple[Burst, Burst]], plain: Wear, pinned: Wear
) -> dict[str, Number]:
    alone = together(cells[MIDDLE, 1].ours)
    figures: dict[str, Number] = {f"ratio_limit_c{clients}": cells[MIDDLE, clients].ratio for clients in EACH}
    figures |= {
        "p50_ms_c1": alone.at(0.5),
        "p99_ms_c1": alone.at(0.99),
        "growth_100k_over_100": median(large.at(0.5) / small.at(0.5) for large, small in growth),
        "churn_over_fresh_p99": plain.ratio(0.99),
        "pinned_xmin_over_fresh_p99": pinned.ratio(0.99),
        "churn_over_fresh_p50": plain.ratio(0.5),
        "pinned_xmin_over_fresh_p50": pinned.ratio(0.5),
        "churn_claims": plain.claims,
        "pinned_xmin_claims": pinned.claims,
    }
    for (size, clients), cell in cells.items():
        ours, limit = together(cell.ours), together(cell.limit)
        figures |= {
            f"ratio_limit_c{clients}_at_{size}": cell.ratio,
            f"claims_per_second_c{clients}_at_{size}": ours.per_second,
            f"limit_per_second_c{clients}_at_{size}": limit.per_second,
            f"p50_ms_c{clients}_at_{size}": ours.at(0.5),
            f"p99_ms_c{clients}_at_{size}": ours.at(0.99),
            f"limit_p50_ms_c{clients}_at_{size}": limit.at(0.5),
            f"limit_p99_ms_c{clients}_at_{size}": limit.at(0.99),
        }
    return figures


def _table(cells: Mapping[tuple[int, int], Cell]) -> str:
    latency = ("p50, ms", "p99, ms", "limit p50, ms", "limit p99, ms")
    rows = []
    for (size, clients), cell in cells.items():
        ours, limit = together(cell.ours), together(cell.limit)
        latencies = (ours.at(0.5), ours.at(0.99), limit.at(0.5), limit.at(0.99))
        rows.append((size, clients, ours.per_second, limit.per_second, cell.ratio, *latencies))
    return table(("ready", "clients", "claims/s", "limit/s", "× limit", *latency), rows)


def _wear_table(plain: Wear, pinned: Wear) -> str:
    head = ("claims before", "transaction open", "fresh p50, ms", "worn", "fresh p99, ms", "worn", "× fresh p99")
    rows = [
        (wear.claims, held, *wear.at(0.5), *wear.at(0.99), wear.ratio(0.99))
        for wear, held in ((plain, "no"), (pinned, "yes"))
    ]
    return table(head, rows)


def _plot(cells: Mapping[tuple[int, int], Cell]) -> Plot:
    bars: dict[str, dict[str, float]] = {"median": {}, "p99": {}}
    for clients in EACH:
        cell = cells[MIDDLE, clients]
        crowd = "1 client" if clients == 1 else f"{clients} clients"
        for label, bursts in ((f"{crowd}: the limit", cell.limit), (f"{crowd}: a claim", cell.ours)):
            burst = together(bursts)
            bars["median"][label] = burst.at(0.5)
            bars["p99"][label] = burst.at(0.99)
    return Plot(f"A claim, {MIDDLE:,} campaigns ready", bars)


BENCH = Bench("Claims", "claims by many clients, beside the same writes without choosing", run)
