"""Record for trends what no other record says: how low the stock was, and which claims got no campaign."""

import logging
import time
from dataclasses import dataclass
from datetime import datetime

from campaignpool.api.resource import MASTER
from campaignpool.errors import CampaignPoolError
from campaignpool.ledger import demand, trends
from campaignpool.ledger.database import Connection, translated
from campaignpool.ledger.pools import OwnerCounts
from campaignpool_operator.facts import Observed
from campaignpool_operator.session import Session

STOCK_SECONDS = 600
"""The lowest stock is recorded for so long a time each."""

MISSES_SECONDS = 60.0
"""How often claims without a campaign are counted where sizing, which counts them too, is off."""

_log = logging.getLogger(__name__)


@dataclass
class _Recorded:
    period: int = 0
    lowest: int = 0
    ready: int = 0
    misses_at: float | None = None


class Trends:
    """Writes only where a number is lower than the one before it, so that an idle pool costs six writes an hour."""

    def __init__(self) -> None:
        self._recorded: dict[str, _Recorded] = {}

    def forget(self, key: str) -> None:
        """Forget a pool that is gone."""
        self._recorded.pop(key, None)

    async def record(self, session: Session, observed: Observed) -> None:
        """Record the stock that a loop saw. A failure is only logged: the next loop sees it again."""
        spec, ledger, connection = observed.spec, observed.ledger, session.connection
        if spec is None or ledger is None or connection is None or observed.database_now is None:
            return
        key = observed.pool.key
        recorded = self._recorded.setdefault(key, _Recorded())
        recorded.ready = ledger.owners.get(MASTER, OwnerCounts()).usable
        try:
            with translated():
                await self._record_stock(connection, key, observed.database_now)
                now = time.monotonic()
                if spec.sizing.mode == "Off" and (
                    recorded.misses_at is None or now - recorded.misses_at >= MISSES_SECONDS
                ):
                    await demand.look(connection, key)
                    recorded.misses_at = now
        except CampaignPoolError as error:
            _log.info("could not record trends", extra={"pool": key, "cause": error.message})

    async def keep(self, connection: Connection, key: str, at: datetime) -> None:
        """Record the stock of a pool at rest, which is the same as in its last loop. Raises what the driver does."""
        if key in self._recorded:
            await self._record_stock(connection, key, at)

    async def _record_stock(self, connection: Connection, key: str, at: datetime) -> None:
        recorded, period = self._recorded[key], int(at.timestamp() // STOCK_SECONDS)
        if period != recorded.period or recorded.ready < recorded.lowest:
            await trends.record_stock(connection, key, recorded.ready)
            recorded.period, recorded.lowest = period, recorded.ready
