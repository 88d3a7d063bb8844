"""Demand from the ledger: what counts, and the command that replays it."""

from datetime import UTC, datetime

import pytest

import chiwar
from campaignpool.cli import main
from campaignpool.cli.common import FAULT
from campaignpool.ledger import demand
from campaignpool.ledger.database import Connection
from campaignpool.ledger.demand import CLAIMANT_CLAIMS, Demand
from tests.support import ledgers, resources
from tests.support.commands import on

pytestmark = pytest.mark.integration
SIZING = {"availability": "99.5%", "timeZone": "Europe/Berlin"}
SCRIPT, *OTHERS = (str(user) for user in chiwar.NEW_USERS[:3])


def test_the_ledgers_claims_are_replayed(chiwar_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def work(connection: Connection) -> list[Demand]:
        await ledgers.installed(connection)
        await ledgers.filled(connection, "", 2)
        for number in range(CLAIMANT_CLAIMS + 2):
            await ledgers.claim(connection, SCRIPT, f"script-{number}")
        released = await ledgers.claim(connection, OTHERS[0], "released")
        await connection.execute("SELECT campaign_pool.release($1)", released["campaign_id"])
        for _ in range(2):
            await ledgers.claim(connection, OTHERS[1], "retried")
        await connection.execute(
            "INSERT INTO campaign_pool.trend (pool_id, hour, clone, unserved)"
            " SELECT id, date_trunc('hour', now()) - interval '50 days', 40, 2 FROM campaign_pool.pool"
        )
        return await demand.read(connection, ledgers.POOL)

    (_, seconds, old, misses), *recent = on(chiwar_url, work)
    assert (seconds, old, misses) == (3600, 42, 42)
    assert {seconds for _, seconds, _, _ in recent} == {10}
    # Five claims of the script, and the retried one; the released claim is no demand.
    assert sum(row.claims for row in recent) == CLAIMANT_CLAIMS + 1
    # Two were ready for the script.
    assert sum(row.misses for row in recent) == CLAIMANT_CLAIMS + 1 - 2
    assert abs(recent[-1][0] - datetime.now(UTC).timestamp()) < 60

    url = ("--database-url", chiwar_url)
    assert main.main(["size", "simulate", "--pool", ledgers.POOL, *url]) == 0
    shown = capsys.readouterr().out
    assert "6 claims of " in shown
    assert "a refill takes 30 s, 2 at once; onEmpty: Clone\nthe operator has measured no refill" in shown

    # The pool says how its demand is served.
    async def measure(connection: Connection) -> None:
        await resources.put(connection, ledgers.POOL, ledgers.spec(maxConcurrent=3, sizing=SIZING))
        for lead in (4.21, None):
            await demand.look(connection, ledgers.POOL, lead_seconds=lead)

    on(chiwar_url, measure)
    assert main.main(["size", "simulate", "--pool", ledgers.POOL, "--jobs", "4", *url]) == 0
    shown = capsys.readouterr().out
    assert "(Europe/Berlin)\na refill takes 4.21 s, 4 at once; onEmpty: Clone\n\n" in shown
    assert "99.5 %" in shown
    assert main.main(["size", "simulate", "--pool", "game/other", *url]) == FAULT
    assert "the ledger has no claims of a pool game/other" in capsys.readouterr().err
