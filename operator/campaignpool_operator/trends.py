"""Record for trends what no other record says: how low the stock was, and which claims got no campaign."""

import logging
import time
from dataclasses import dataclass

from campaignpool.api.resource import MASTER
from campaignpool.errors import CampaignPoolError
from campaignpool.ledger import demand, trends
from campaignpool.ledger.database import translated
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
        period = int(observed.database_now.timestamp() // STOCK_SECONDS)
        ready = ledger.owners.get(MASTER, OwnerCounts()).usable
        try:
            with translated():
                if period != recorded.period or ready < recorded.lowest:
                    await trends.record_stock(connection, key, ready)
                    recorded.period, recorded.lowest = period, ready
                now = time.monotonic()
                if spec.sizing.mode == "Off" and (
                    recorded.misses_at is None or now - recorded.misses_at >= MISSES_SECONDS
                ):
                    await demand.look(connection, key)
                    recorded.misses_at = now
        except CampaignPoolError as error:
            _log.info("could not record trends", extra={"pool": key, "cause": error.message})
