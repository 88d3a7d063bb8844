"""Claims from a pool after many claims and refills, compared with a fresh pool, with and without an old snapshot."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median

from bench import server as sample
from bench.harness import Progress
from bench.pgbench import Burst, together
from bench.stock import stocked
from campaignpool.ledger.database import connected

SIZE = 1000
CLIENTS = 8
ROUNDS = 7
CHURN = 200_000
CHURN_PINNED = 50_000
SETTINGS = sample.SETTINGS | {"autovacuum": "on"}

_CLAIMS_PER_CLIENT = 600
_WARMUPS = 2


@dataclass(frozen=True)
class Wear:
    """Bursts of claims from a fresh pool and from one with `claims` claims before, one per round."""

    claims: int
    fresh: Sequence[Burst]
    worn: Sequence[Burst]

    def ratio(self, share: float) -> float:
        """Return a percentile of the worn pool over the fresh pool's: the median of the ratios within each round."""
        pairs = zip(self.worn, self.fresh, strict=True)
        return median(worn.at(share) / fresh.at(share) for worn, fresh in pairs)

    def at(self, share: float) -> tuple[float, float]:
        """Return a percentile over all rounds, in milliseconds, of the fresh and of the worn pool."""
        return together(self.fresh).at(share), together(self.worn).at(share)


async def measure(progress: Progress) -> tuple[Wear, Wear]:
    """Return the wear without and with a pinned xmin, measured on a separate server with autovacuum."""
    async with sample.running(SETTINGS) as server:
        progress.at(f"{CHURN:,} claims and refills")
        plain = await _churned(server, CHURN, progress)
        progress.at(f"{CHURN_PINNED:,} claims and refills, with an open transaction")
        pinned = await _churned(server, CHURN_PINNED, progress, pinned=True)
    return plain, pinned


async def _churned(server: sample.Server, claims: int, progress: Progress, *, pinned: bool = False) -> Wear:
    async with AsyncExitStack() as stack:
        worn = await stack.enter_async_context(stocked(server, SIZE, progress.say, name="worn", vacuumed=False))
        if pinned:
            # It prevents vacuum from removing dead rows, in its own database only.
            reader = await stack.enter_async_context(connected(worn.url, "bench"))
            await reader.execute("SET idle_in_transaction_session_timeout = 0")
            await stack.enter_async_context(reader.transaction(isolation="repeatable_read", readonly=True))
            await reader.execute("SELECT count(*) FROM campaign_pool.campaign")
        await worn.claims(CLIENTS, claims // CLIENTS, refilled=True)
        fresh = await stack.enter_async_context(stocked(server, SIZE, progress.say, name="fresh", vacuumed=False))
        bursts: dict[str, list[Burst]] = {"fresh": [], "worn": []}
        for number in range(_WARMUPS + ROUNDS):
            progress.say(f"round {number + 1} of {_WARMUPS + ROUNDS}")
            turns = [("fresh", fresh), ("worn", worn)]
            for name, stock in turns if number % 2 else turns[::-1]:
                burst = await stock.claims(CLIENTS, _CLAIMS_PER_CLIENT, refilled=True)
                if number >= _WARMUPS:
                    bursts[name].append(burst)
    return Wear(claims, bursts["fresh"], bursts["worn"])
