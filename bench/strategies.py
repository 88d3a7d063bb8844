"""Strategies to create campaigns: campaignpool's, and the limit, which does only the writes that all have to do.

The strategies on asyncpg share one session, because the memory layout of a backend makes it up to a sixth faster or
slower for its lifetime, which would look like a difference between strategies.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from asyncpg.transaction import Transaction
from typing_extensions import override

import chiwar.naive
from bench.server import POOL, reserve
from campaignpool.ledger import seeding
from campaignpool.ledger.database import Connection, connected
from chiwar.ids import TEMPLATE_OWNER_ID


class Strategy(ABC):
    """A way to create campaigns.

    Attributes:
        name: The name in figures.
        label: The name in tables.
    """

    name: str
    label: str

    @abstractmethod
    async def open(self, connection: Connection) -> None:
        """Prepare what is needed once; the caller closes the connection."""

    @abstractmethod
    async def begin(self, campaigns: int) -> None:
        """Begin a transaction and do the work that is not timed."""

    @abstractmethod
    async def make(self, campaigns: int) -> None:
        """Create the campaigns; this is timed."""

    @abstractmethod
    async def end(self, *, keep: bool) -> None:
        """End the transaction: commit, or roll back."""

    @abstractmethod
    async def close(self) -> None:
        """Release the resources of `open`."""


@asynccontextmanager
async def session(url: str) -> AsyncIterator[Connection]:
    """Yield a connection with the search path of our functions, because changing it invalidates cached plans."""
    async with connected(url, "bench") as connection:
        await connection.execute("SET search_path = pg_catalog, public, pg_temp")
        yield connection


class OnAsyncpg(Strategy):
    """A strategy that uses the shared asyncpg session."""

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
        """Do nothing: the session belongs to the caller."""

    async def new_ids(self, campaigns: int) -> list[UUID]:
        """Return new ids, drawn as a reservation draws them."""
        rows = await self.connection.fetch(
            "SELECT campaign_pool.new_id(r.root_suffix) AS id FROM campaign_pool.pool p"
            " JOIN campaign_pool.revision r ON r.id = p.revision_id, generate_series(1, $2)"
            " WHERE p.name = $1 ORDER BY id",
            POOL,
            campaigns,
        )
        return [row["id"] for row in rows]

    async def function(self) -> str:
        """Return the name of the pool's clone function."""
        number = await self.connection.fetchval("SELECT revision_id FROM campaign_pool.pool WHERE name = $1", POOL)
        return f"campaign_pool.clone_r{number}"


class Seed(OnAsyncpg):
    """campaignpool as the seeder uses it: `seeding.seed` clones and publishes a batch that is already reserved."""

    name, label = "ours", "campaignpool: `seeding.seed`, a whole batch"

    @override
    async def begin(self, campaigns: int) -> None:
        await super().begin(campaigns)
        await reserve(self.connection, "measured", campaigns)

    @override
    async def make(self, campaigns: int) -> None:
        batch = await seeding.seed(self.connection, POOL, "measured", campaigns)
        if batch.campaigns != campaigns:
            raise RuntimeError(f"{batch.campaigns} campaigns were created instead of {campaigns}")


class CloneFunction(OnAsyncpg):
    """campaignpool without the ledger: only the generated function."""

    name, label = "clone_function", "campaignpool: the generated function alone"
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
    """The limit: `INSERT … SELECT` of the same rows, already remapped, from tables without indexes.

    A copy of the clone function fills the staging tables, so they contain the rows that it would insert, in its order
    and with new ids. The statements are in a function too: one round trip, and cached plans.
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
                body.append(await self._insert_with_drawn_key(name, columns))
            staged = source.replace(f"{function}(", "staging.fill(").replace(
                "INSERT INTO public.", "INSERT INTO staging."
            )
            await self.connection.execute(staged)
            await self.connection.execute(
                f"CREATE FUNCTION staging.insert() RETURNS void\n{head}AS $function$\nBEGIN\n"
                + "\n".join(body)
                + "\nEND $function$"
            )

    async def _insert_with_drawn_key(self, name: str, columns: str) -> str:
        """Return the INSERT of a table; keys from a sequence are drawn when the staging table is filled."""
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
        # Set hint bits and collect statistics before the timer starts.
        await self.connection.execute(f"VACUUM (ANALYZE) {', '.join(self._tables)}")
        await super().begin(campaigns)

    @override
    async def make(self, campaigns: int) -> None:
        await self.connection.fetchval("SELECT staging.insert()")


class OwnConnection(Strategy):
    """A strategy that opens its own connection to `url`, which the bench sets before `open`."""

    url: str


class RowByRow(OnAsyncpg):
    """The statements of an application's ORM, without the overhead of the ORM."""

    name, label = "row_by_row", "row by row with the queries of model validations, asyncpg"

    @override
    async def make(self, campaigns: int) -> None:
        for number in range(campaigns):
            await chiwar.naive.clone(self.connection, TEMPLATE_OWNER_ID, f"Row by Row {number}")
