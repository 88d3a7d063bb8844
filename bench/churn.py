"""Claims from a pool that has been claimed from and refilled for long, and with a transaction left open meanwhile."""

from dataclasses import dataclass

from bench import server as sample
from bench.harness import Progress
from bench.pgbench import Burst, together
from bench.stock import Stock, stocked
from campaignpool.database import connected

SIZE = 1000
CLIENTS = 8
CHURN = 200_000
CHURN_PINNED = 50_000
SETTINGS = sample.SETTINGS | {"autovacuum": "on"}

_BURSTS = 4
_EACH = 600


@dataclass(frozen=True)
class Wear:
    """What claims took before and after a churn of so many claims."""

    claims: int
    fresh: Burst
    worn: Burst

    @property
    def p99(self) -> float:
        """How many times as high the 99th percentile is after."""
        return self.worn.at(0.99) / self.fresh.at(0.99)

    @property
    def p50(self) -> float:
        """How many times as high the median is after."""
        return self.worn.at(0.5) / self.fresh.at(0.5)


async def measure(progress: Progress) -> tuple[Wear, Wear]:
    """Churn on a server of its own with autovacuum; give what came of it, and of it with a pinned xmin."""
    async with sample.running(SETTINGS) as server:
        progress.at(f"{CHURN:,} claims and refills")
        async with stocked(server, SIZE, progress.say, vacuumed=False) as stock:
            plain = await _churned(stock, CHURN)
        progress.at(f"{CHURN_PINNED:,} claims and refills, a transaction open meanwhile")
        async with stocked(server, SIZE, progress.say, vacuumed=False) as stock:
            pinned = await _churned(stock, CHURN_PINNED, pinned=True)
    return plain, pinned


async def _churned(stock: Stock, claims: int, *, pinned: bool = False) -> Wear:
    await _bursts(stock)
    fresh = await _bursts(stock)
    async with connected(stock.url, "bench") as reader:
        await reader.execute("SET idle_in_transaction_session_timeout = 0")
        reading = reader.transaction(isolation="repeatable_read", readonly=True)
        if pinned:
            await reading.start()
            await reader.execute("SELECT count(*) FROM campaign_pool.campaign")
        await stock.claims(CLIENTS, claims // CLIENTS, refilled=True)
        worn = await _bursts(stock)
        if pinned:
            await reading.rollback()
    return Wear(claims, fresh, worn)


async def _bursts(stock: Stock) -> Burst:
    return together([await stock.claims(CLIENTS, _EACH, refilled=True) for _ in range(_BURSTS)])
