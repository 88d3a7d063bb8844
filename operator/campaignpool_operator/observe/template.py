"""Compare the template with the revision in service: once an interval, when somebody asks, or after a refusal."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from campaignpool.api.reasons import Reason
from campaignpool.api.resource import seconds
from campaignpool.blueprint import changes
from campaignpool.blueprint.compilation import Compiled
from campaignpool.errors import CampaignPoolError
from campaignpool.ledger.database import Connection, translated
from campaignpool.ledger.seeding import Run
from campaignpool_operator.facts import Observed, TemplateFacts

_log = logging.getLogger(__name__)


PAUSE_SECONDS = 30.0
"""Pause after a comparison that failed: one of a large template takes seconds."""


@dataclass(frozen=True)
class _Known:
    """The last comparison that succeeded.

    Attributes:
        due_at: The seconds of the clock before which no other is made by itself.
        refused: The last run before it that the data refused.
        failed: Another comparison failed after it.
    """

    facts: TemplateFacts | None
    due_at: float
    refused: str | None = None
    failed: bool = False


class Templates:
    """Remembers the last comparison of each pool: without it the next loop only reads the template once more.

    Args:
        clock: Returns the seconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[str, _Known] = {}

    def forget(self, key: str) -> None:
        """Forget a pool that is gone."""
        self._known.pop(key, None)

    async def observe(self, connection: Connection, observed: Observed) -> tuple[TemplateFacts | None, float | None]:
        """Return the last comparison that holds, after a new one where one is due, and the seconds until the next.

        A failure is only logged. Without seconds, there is no next one until somebody asks for it.
        """
        spec, compiled, ledger, pool = observed.spec, observed.compiled, observed.ledger, observed.pool
        if spec is None or compiled is None or ledger is None or ledger.revision is None:
            return None, None
        last = _about(self._known.get(pool.key), compiled, ledger.revision.id)
        refused = _refused(ledger.runs)
        asked = bool(ledger.template_changes) or pool.refresh not in ("", pool.status.refreshed)
        asked = asked or (last is not None and refused not in (None, last.refused))
        interval = seconds(spec.template.check_interval) or math.inf
        began = self._clock()
        if last is None or began >= last.due_at or (asked and not last.failed):
            facts = last.facts if last is not None else None
            try:
                with translated():
                    if asked or facts is None or not await _unwritten(connection, facts):
                        compared = await changes.compare(connection, compiled, ledger.revision.id)
                        answers = (ledger.template_changes, pool.refresh)
                        facts = TemplateFacts(compiled.plan_hash, ledger.revision.id, compared, *answers)
                last = _Known(facts, began + interval, refused)
            except CampaignPoolError as error:
                extra = {"pool": pool.key, "reason": error.reason, "cause": error.message}
                _log.warning("the template could not be compared", extra=extra)
                before = last.refused if last is not None else None
                last = _Known(facts, began + PAUSE_SECONDS, before, failed=True)
            self._known[pool.key] = last
        wait = max(0.0, last.due_at - self._clock())
        return last.facts, wait if math.isfinite(wait) else None


def _refused(runs: Sequence[Run]) -> str | None:
    """Return the last run that the data refused: the template, or rows that it refers to, may have changed."""
    return next((run.job for run in runs if run.outcome == "Failed" and run.reason == Reason.SEEDING_FAILED), None)


def _about(known: _Known | None, compiled: Compiled, revision: int) -> _Known | None:
    """Return a comparison where it is one of this plan with this revision, or failed a moment ago."""
    if known is None or known.facts is None:
        return known
    same = (known.facts.plan_hash, known.facts.revision) == (compiled.plan_hash, revision)
    return known if same else None


async def _unwritten(connection: Connection, facts: TemplateFacts) -> bool:
    """Return whether no row was written since a comparison."""
    before = facts.changes.writes
    return before is not None and await changes.writes(connection, facts.changes.watched) == before
