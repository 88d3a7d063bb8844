"""Ways to make campaigns: ours, and the limit, which is what any of them must at least do.

Those that go through asyncpg share one session: one backend may be a sixth faster than its neighbour for all its
life, by where its memory happens to lie, and that must not be taken for a difference between ways.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from asyncpg.transaction import Transaction
from typing_extensions import override

import chiwar.naive
from bench.server import POOL
from campaignpool.ledger import seeding
from campaignpool.ledger.database import Connection, connected
from chiwar.ids import TEMPLATE_OWNER_ID


class Strategy(ABC):
    """A way to make campaigns.

    Attributes:
        name: Names it in figures.
        label: Names it in tables.
    """

    name: str
    label: str

    @abstractmethod
    async def open(self, connection: Connection) -> None:
        """Make what is needed once; the connection stays the caller's."""

    @abstractmethod
    async def begin(self, campaigns: int) -> None:
        """Begin a transaction, and do what is not timed."""

    @abstractmethod
    async def make(self, campaigns: int) -> None:
        """Make the campaigns: what is timed."""

    @abstractmethod
    async def end(self, *, keep: bool) -> None:
        """End the transaction: commit, or roll back."""

    @abstractmethod
    async def close(self) -> None:
        """Close what `open` opened."""


@asynccontextmanager
async def session(url: str) -> AsyncIterator[Connection]:
    """Connect, with the search path of our functions: another one at every call would spoil the plans kept."""
    async with connected(url, "bench") as connection:
        await connection.execute("SET search_path = pg_catalog, public, pg_temp")
        yield connection


class OnAsyncpg(Strategy):
    """A way that goes through asyncpg."""

    connection: Connection
    _transaction: Transaction

    @override
    async def open(self, connection: Connection) -> None:
        self.connection = connection

    @override
    async def begin(self, campaigns: int) -> None:
        self._transaction = self.connection.transaction()
        await self._transaction.start()

    @override
    async def end(self, *, keep: bool) -> None:
        await (self._transaction.commit() if keep else self._transaction.rollback())

    @override
    async def close(self) -> None:
        """Nothing of its own is open."""

    async def new_ids(self, campaigns: int) -> list[UUID]:
        """Draw ids as a reservation does."""
        rows = await self.connection.fetch(
            "SELECT campaign_pool.new_id(r.root_suffix) AS id FROM campaign_pool.pool p"
            " JOIN campaign_pool.revision r ON r.id = p.revision_id, generate_series(1, $2)"
            " WHERE p.name = $1 ORDER BY id",
            POOL,
            campaigns,
        )
        return [row["id"] for row in rows]

    async def function(self) -> str:
        """Give the name of the pool's clone function."""
        number = await self.connection.fetchval("SELECT revision_id FROM campaign_pool.pool WHERE name = $1", POOL)
        return f"campaign_pool.clone_r{number}"


class Seed(OnAsyncpg):
    """Ours as the seeder does it: `seeding.seed`, which clones and publishes a batch; reserved before."""

    name, label = "ours", "ours: `seeding.seed`, a whole batch"

    @override
    async def begin(self, campaigns: int) -> None:
        await super().begin(campaigns)
        await seeding.reserve(self.connection, POOL, "measured", "", 1, campaigns, 1)

    @override
    async def make(self, campaigns: int) -> None:
        batch = await seeding.seed(self.connection, POOL, "measured", campaigns)
        if batch.campaigns != campaigns:
            raise RuntimeError(f"{batch.campaigns} campaigns made instead of {campaigns}")


class CloneFunction(OnAsyncpg):
    """Ours without the ledger: the generated function alone."""

    name, label = "clone_function", "ours: the generated function alone"
    _call: str
    _ids: list[UUID]

    @override
    async def open(self, connection: Connection) -> None:
        await super().open(connection)
        self._call = f"SELECT {await self.function()}($1, $2)"

    @override
    async def begin(self, campaigns: int) -> None:
        self._ids = await self.new_ids(campaigns)
        await super().begin(campaigns)

    @override
    async def make(self, campaigns: int) -> None:
        await self.connection.fetchval(self._call, self._ids, [""] * campaigns)


class Limit(OnAsyncpg):
    """The limit: `INSERT … SELECT` of the same rows, remapped already, from tables without indexes.

    The staging tables have the targets' columns and are filled by our own function, turned to them, so they
    hold what it would insert, in its order, with ids as new as its own. The statements stand in a function
    too: one round trip, plans kept.
    """

    name, label = "limit", "limit: `INSERT … SELECT` of rows remapped in advance"
    _tables: list[str]

    @override
    async def open(self, connection: Connection) -> None:
        await super().open(connection)
        function = await self.function()
        source = str(await self.connection.fetchval("SELECT pg_get_functiondef($1::text::regproc)", function))
        inserts = re.findall(r"INSERT INTO public\.(\w+) \(([^)]*)\)", source)
        head = source[: source.index("AS $function$")].split("RETURNS", 1)[1].split("\n", 1)[1]
        self._tables = [f"staging.{name}" for name, _ in inserts]
        body: list[str] = []
        async with self.connection.transaction():
            await self.connection.execute("DROP SCHEMA IF EXISTS staging CASCADE; CREATE SCHEMA staging")
            for name, columns in inserts:
                await self.connection.execute(f"CREATE UNLOGGED TABLE staging.{name} (LIKE public.{name})")
                body.append(await self._key_drawn_early(name, columns))
            staged = source.replace(f"{function}(", "staging.fill(").replace(
                "INSERT INTO public.", "INSERT INTO staging."
            )
            await self.connection.execute(staged)
            await self.connection.execute(
                f"CREATE FUNCTION staging.insert() RETURNS void\n{head}AS $function$\nBEGIN\n"
                + "\n".join(body)
                + "\nEND $function$"
            )

    async def _key_drawn_early(self, name: str, columns: str) -> str:
        """Give the insert of a table; a key that the target would draw is drawn when the staging table is filled."""
        sequence = await self.connection.fetchval("SELECT pg_get_serial_sequence($1, 'id')", f"public.{name}")
        names = columns
        if sequence:
            names = f"id, {columns}"
            await self.connection.execute(f"ALTER TABLE staging.{name} ALTER id SET DEFAULT nextval('{sequence}')")
        return f"INSERT INTO public.{name} ({names}) SELECT {names} FROM staging.{name};"

    @override
    async def begin(self, campaigns: int) -> None:
        ids = await self.new_ids(campaigns)
        await self.connection.execute(f"TRUNCATE {', '.join(self._tables)}")
        await self.connection.fetchval("SELECT staging.fill($1, $2)", ids, [""] * campaigns)
        # Hint bits are set and statistics are there before the clock runs.
        await self.connection.execute(f"VACUUM (ANALYZE) {', '.join(self._tables)}")
        await super().begin(campaigns)

    @override
    async def make(self, campaigns: int) -> None:
        await self.connection.fetchval("SELECT staging.insert()")


class OnItsOwn(Strategy):
    """A way that connects by itself, to `url`, which is set before it is opened."""

    url: str


class RowByRow(OnAsyncpg):
    """What an application does through its ORM, without the ORM's own cost."""

    name, label = "row_by_row", "row by row with the checks of models, asyncpg"

    @override
    async def make(self, campaigns: int) -> None:
        for number in range(campaigns):
            await chiwar.naive.clone(self.connection, TEMPLATE_OWNER_ID, f"Row by Row {number}")
