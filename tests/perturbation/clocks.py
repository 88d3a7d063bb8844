"""Virtual time for a whole schedule: waiting costs nothing, and the three clocks can be set apart.

All timers of the event loop follow one monotonic clock. When nothing happens, the driver moves it to the next timer.
The operator and the emulated API read their clocks from here. Postgres has a real clock: instead of moving it on, the
ledger's times are moved back by as much, and every time that is read from or sent to the database is shifted.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest import mock

import asyncpg

import campaignpool_local.values
import campaignpool_operator.cluster.client
import campaignpool_operator.observe.observe

CLOCKS = ("operator", "api", "database")
_MONOTONIC = time.monotonic
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_ENDLESS = 2**62

_COLUMNS = """
SELECT string_agg(format('UPDATE campaign_pool.%I SET %s', table_name, assignments), '; ') FROM (
    SELECT c.table_name, string_agg(format('%1$I = %1$I - $interval', c.column_name), ', ') AS assignments
    FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
    WHERE c.table_schema = 'campaign_pool' AND c.data_type = 'timestamp with time zone'
      AND t.table_type = 'BASE TABLE' AND c.is_generated = 'NEVER'
    GROUP BY c.table_name) s
"""


class Clocks:
    """How far virtual time is ahead of the real one, and by how much each clock is off."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.off = dict.fromkeys(CLOCKS, 0.0)
        self._database: asyncpg.Connection[asyncpg.Record] | None = None
        self._ageing = ""
        self._due = 0.0
        self._lock = asyncio.Lock()

    async def begin(self, database: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Age the ledger through this connection from now on."""
        self._ageing = await database.fetchval(_COLUMNS)
        await database.execute("SET session_replication_role = replica; SET lock_timeout = '200ms'")
        self._database = database

    def monotonic(self) -> float:
        return _MONOTONIC() + self.passed

    def now(self, clock: str) -> datetime:
        return datetime.now(UTC) + self.shift(clock)

    def shift(self, clock: str) -> timedelta:
        """Return by how much a clock is ahead of the real one."""
        return timedelta(seconds=self.passed + self.off[clock])

    async def advance(self, seconds: float) -> None:
        """Let time pass, for all clocks."""
        self.passed += seconds
        await self._age(seconds)

    async def set_off(self, clock: str, seconds: float) -> None:
        """Set one clock ahead by so many seconds, beside what it is off already; what was written stays."""
        self.off[clock] += seconds
        if clock == "database":
            await self._age(seconds)

    async def _age(self, seconds: float) -> None:
        async with self._lock:
            self._due += seconds
            if self._database is None or abs(self._due) < 0.1:
                return
            try:
                await self._database.execute(self._ageing.replace("$interval", f"interval '{self._due:f} seconds'"))
            except asyncpg.LockNotAvailableError:
                return  # an operator sleeps inside a transaction: its time comes later
            self._due = 0.0

    async def translate(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Shift all times that pass through a connection, as if the database had its virtual clock."""

        def decode(value: tuple[int]) -> datetime:
            if abs(value[0]) > _ENDLESS:
                return datetime.max.replace(tzinfo=UTC) if value[0] > 0 else datetime.min.replace(tzinfo=UTC)
            return _EPOCH + timedelta(microseconds=value[0]) + self.shift("database")

        def encode(value: datetime) -> tuple[int]:
            return ((value - self.shift("database") - _EPOCH) // timedelta(microseconds=1),)

        await connection.set_type_codec(
            "timestamptz", schema="pg_catalog", encoder=encode, decoder=decode, format="tuple"
        )

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Put these clocks in the place of the real ones, for a block."""

        def of(clock: str) -> Any:
            return SimpleNamespace(now=lambda _=UTC: self.now(clock), fromisoformat=datetime.fromisoformat)

        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(time, "monotonic", self.monotonic))
            for module, clock in (
                (campaignpool_local.values, "api"),
                (campaignpool_operator.observe.observe, "operator"),
                (campaignpool_operator.cluster.client, "operator"),
            ):
                stack.enter_context(mock.patch.object(module, "datetime", of(clock)))
            yield
