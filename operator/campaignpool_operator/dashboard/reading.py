"""Read what admins see of pools, once for all who look: from the Kubernetes API, and read-only from the ledgers.

Nothing here depends on the loops, so every replica answers, also while no replica leads.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pydantic import ValidationError

from campaignpool.api.spec import SecretKeyRef
from campaignpool.cli.checks import Finding, examine
from campaignpool.errors import CampaignPoolError, ConfigurationError
from campaignpool.ledger import images, overview, pools, trends
from campaignpool.ledger.database import CONNECTION_FAULTS, Connection, close, connect, translated
from campaignpool.ledger.overview import Claim, DayHour
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.cluster.transport import Json
from campaignpool_operator.dashboard import outlooks, view, workloads
from campaignpool_operator.dashboard.board import Board, Shared
from campaignpool_operator.dashboard.hub import Hub
from campaignpool_operator.dashboard.mirror import Mirror
from campaignpool_operator.dashboard.models import Trends
from campaignpool_operator.dashboard.sizing_models import ImagesPoint, ImagesView, SizingView
from campaignpool_operator.dashboard.view import LedgerFacts
from campaignpool_operator.resource import read_secret

POOL_SECONDS = 1.0
LIST_SECONDS = 2.0
"""What is not in the resource, of one pool and of all, is read this often at most, and only while somebody looks."""

TRENDS_SECONDS = 10.0
CHECKS_SECONDS = 5.0
LOGS_SECONDS = 2.0
IMAGES_SECONDS = 2.0
SIZING_SECONDS = 600.0
"""For so long, all who look get what was read for the first of them."""

_URL_SECONDS = 30.0
_IDLE_SECONDS = 60.0
_RUNS_SHOWN = 20
_CLAIMS_SHOWN = 8
_AT_ONCE = 20
_STATEMENT_SECONDS = 5

NOT_READ = LedgerFacts(message="the database has not been read yet")

T = TypeVar("T")


@dataclass(frozen=True)
class Details:
    """What is known of a pool beside its resource."""

    ledger: LedgerFacts
    jobs: Sequence[Json]
    events: Sequence[Json]


@dataclass(frozen=True)
class PoolFacts:
    """Everything that was read of one pool; who asks may not see all of it."""

    resource: Json
    details: Details
    at: datetime


@dataclass
class _Database:
    url: str
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    connection: "Connection | None" = None
    used_at: float = 0.0


class Ledgers:
    """One read-only connection for each database, opened when somebody looks, and closed a minute after."""

    def __init__(self) -> None:
        self._databases: dict[str, _Database] = {}

    @asynccontextmanager
    async def connection(self, url: str) -> AsyncIterator[Connection]:
        """Lend the connection to a database. Raises CampaignPoolError."""
        database = self._databases.setdefault(url, _Database(url))
        async with database.lock:
            try:
                with translated():
                    yield await self._open(database)
            except (CampaignPoolError, *CONNECTION_FAULTS):
                await self._close(database)  # whatever was wrong with it, the next gets another
                raise
            finally:
                database.used_at = time.monotonic()
                asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._sweep, database)

    async def close(self) -> None:
        """Close all."""
        for database in list(self._databases.values()):
            await self._close(database)
        self._databases.clear()

    async def _open(self, database: _Database) -> Connection:
        if database.connection is None or database.connection.is_closed():
            database.connection = await connect(database.url, "campaignpool-dashboard")
            await database.connection.execute(
                "SELECT set_config('default_transaction_read_only', 'on', false), "
                f"set_config('statement_timeout', '{_STATEMENT_SECONDS}s', false)"
            )
        return database.connection

    async def _close(self, database: _Database) -> None:
        connection, database.connection = database.connection, None
        if connection is not None:
            await close(connection)

    def _sweep(self, database: _Database) -> None:
        unused = time.monotonic() - database.used_at >= _IDLE_SECONDS
        if unused and not database.lock.locked() and database.connection is not None:
            database.connection.terminate()
            database.connection = None


class Reader:
    """Reads pools.

    Args:
        cluster: The Kubernetes API.
        namespaces: Those that are served; none: the whole cluster.
        changed: Called with the name of a pool that looks different from before.
    """

    def __init__(self, cluster: Cluster, namespaces: Sequence[str], changed: Callable[[str], None]) -> None:
        self._cluster, self._told = cluster, changed
        self._ledgers, self._shared = Ledgers(), Shared()
        self._mirror = Mirror(cluster, namespaces, self._resource_changed)
        self._details: Board[Details | None] = Board(self._read_details, self._details_changed, POOL_SECONDS)
        self._days: Board[Mapping[str, LedgerFacts]] = Board(self._read_days, self._days_changed, LIST_SECONDS)
        self.version = 0
        """Grows whenever something changes that a list of pools shows."""

    def start(self) -> None:
        """Begin to follow the pools."""
        self._mirror.start()

    async def close(self) -> None:
        """Close the connections to databases."""
        await self._mirror.close()
        for part in (self._details, self._days, self._shared):
            part.close()
        await self._ledgers.close()

    def current(self) -> bool:
        """Return whether the pools are as the API server has them."""
        return self._mirror.current

    def touch(self, pool: str) -> None:
        """Take note that a pool was reconciled: its Jobs and its ledger may have changed."""
        self._details.touch(pool)
        self._days.touch("")

    async def resource(self, namespace: str, name: str) -> Json | None:
        """Return a CampaignPool, as the API server has it now. Raises ClusterError."""
        return await self._cluster.pool(namespace, name)

    async def change(self, namespace: str, name: str, patch: Mapping[str, Any]) -> Json | None:
        """Merge a patch into a CampaignPool; return it, or None where it is gone. Raises ClusterError."""
        return await self._cluster.patch_pool(namespace, name, patch)

    async def resources(self) -> list[Json]:
        """Return all CampaignPools. Raises ClusterError."""
        return await self._mirror.pools()

    async def days(self) -> Mapping[str, LedgerFacts]:
        """Return the claims of the day of all pools. Raises ClusterError."""
        return await self._days.fresh("")

    async def listed(self, namespace: str, name: str) -> tuple[Json, LedgerFacts] | None:
        """Return a pool and its claims of the day, as last read; None: there is none. Raises ClusterError."""
        resource = await self._mirror.pool(namespace, name)
        if resource is None:
            return None
        return resource, (await self._days.known("")).get(name_of(resource), NOT_READ)

    async def pool(self, namespace: str, name: str, *, wait: bool) -> PoolFacts | None:
        """Return everything of one pool; None: there is none. Raises ClusterError.

        Args:
            namespace: Its namespace.
            name: Its name.
            wait: What is not in the resource is read first, where something happened since it was read.
        """
        key = f"{namespace}/{name}"
        if await self._mirror.pool(namespace, name) is None:
            return None
        details = await (self._details.fresh(key) if wait else self._details.known(key))
        resource = await self._mirror.pool(namespace, name)
        return PoolFacts(resource, details, datetime.now(UTC)) if resource and details else None

    async def trends(self, namespace: str, name: str, hours: int) -> Trends | None:
        """Return the last hours of a pool; None: there is none. Raises CampaignPoolError."""

        async def read(connection: Connection) -> Trends:
            since = await pools.clock(connection) - timedelta(hours=hours)
            listed = await trends.read(connection, f"{namespace}/{name}", since)
            return Trends(pool=f"{namespace}/{name}", hours=[view.trend_view(hour) for hour in listed])

        key = ("trends", namespace, name, hours)
        return await self._shared.get(key, TRENDS_SECONDS, lambda: self._of(namespace, name, read))

    async def claims(self, namespace: str, name: str, most: int) -> list[Claim] | None:
        """Return the newest claims of a pool; None: there is none. Raises CampaignPoolError."""

        async def read(connection: Connection) -> list[Claim]:
            return await overview.newest(connection, f"{namespace}/{name}", most)

        return await self._of(namespace, name, read)

    async def checks(self, namespace: str, name: str) -> list[Finding] | None:
        """Check a pool's database; None: there is no such pool. Raises CampaignPoolError."""

        async def check() -> list[Finding] | None:
            resource = await self._mirror.pool(namespace, name)
            if resource is None:
                return None
            return await examine(await self._url(resource), pool=f"{namespace}/{name}", machine="the operator")

        return await self._shared.get(("checks", namespace, name), CHECKS_SECONDS, check)

    async def logs(self, namespace: str, name: str, lines: int) -> list[Json] | None:
        """Return the last lines that a pool's Jobs wrote; None: there is no such pool. Raises ClusterError."""

        async def read() -> list[Json] | None:
            resource = await self._mirror.pool(namespace, name)
            return None if resource is None else await workloads.read_logs(self._cluster, resource, lines)

        return await self._shared.get(("logs", namespace, name, lines), LOGS_SECONDS, read)

    async def sizing(self, namespace: str, name: str) -> SizingView | None:
        """Return the demand and what sizes would have done; None: there is no such pool. Raises CampaignPoolError."""

        async def compute() -> SizingView | None:
            resource = await self._mirror.pool(namespace, name)
            if resource is None:
                return None
            async with self._ledgers.connection(await self._url(resource)) as connection:
                ledger = await outlooks.read(connection, f"{namespace}/{name}")
            return await outlooks.compute(resource, ledger)

        return await self._shared.get(("sizing", namespace, name), SIZING_SECONDS, compute)

    async def images(self, namespace: str, name: str) -> ImagesView | None:
        """Return how many images waited, over time; None: there is no such pool. Raises CampaignPoolError."""

        async def read(connection: Connection) -> ImagesView:
            burn = await images.burn_down(connection, f"{namespace}/{name}")
            points = [ImagesPoint(at=view.time(at), waiting=waiting) for at, waiting in burn.points]
            return ImagesView(pool=f"{namespace}/{name}", points=points, copied_a_minute=burn.copied_a_minute)

        key = ("images", namespace, name)
        return await self._shared.get(key, IMAGES_SECONDS, lambda: self._of(namespace, name, read))

    def _resource_changed(self, pool: str) -> None:
        self.version += 1
        self._told(pool)
        self.touch(pool)

    def _details_changed(self, pool: str, _before: object, _now: object) -> None:
        self._told(pool)

    def _days_changed(self, _: str, before: Mapping[str, LedgerFacts], now: Mapping[str, LedgerFacts]) -> None:
        self.version += 1
        for pool, facts in now.items():
            if facts != before.get(pool):
                self._told(pool)

    async def _read_days(self, _: str) -> Mapping[str, LedgerFacts]:
        resources = await self._mirror.pools()
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def url(resource: Json) -> str | CampaignPoolError:
            async with at_once:
                try:
                    return await self._url(resource)
                except CampaignPoolError as error:
                    return error

        urls = await asyncio.gather(*map(url, resources))
        facts: dict[str, LedgerFacts] = {}
        by_url: dict[str, list[str]] = {}
        for resource, address in zip(resources, urls, strict=True):
            key = name_of(resource)
            if isinstance(address, CampaignPoolError):
                facts[key] = LedgerFacts(message=address.message)
            else:
                by_url.setdefault(address, []).append(key)
        for part in await asyncio.gather(*(self._days_of(address, keys) for address, keys in by_url.items())):
            facts |= part
        return facts

    async def _days_of(self, url: str, keys: Sequence[str]) -> dict[str, LedgerFacts]:
        try:
            async with self._ledgers.connection(url) as connection:
                days = await overview.days(connection, keys)
                paces = await overview.paces(connection, keys)
        except CampaignPoolError as error:
            return {key: LedgerFacts(message=error.message) for key in keys}
        by_pool: dict[str, list[DayHour]] = {key: [] for key in keys}
        for hour in days:
            by_pool[hour.pool].append(hour)
        return {key: LedgerFacts(day=by_pool[key], ten_minutes=paces.get(key)) for key in keys}

    async def _read_details(self, pool: str) -> Details | None:
        resource = await self._mirror.pool(*pool.split("/", 1))
        if resource is None:
            return None
        jobs, events, ledger = await asyncio.gather(
            workloads.read_jobs(self._cluster, resource, with_pods=True, with_events=True),
            workloads.read_events(self._cluster, resource),
            self._ledger(resource),
        )
        return Details(ledger, jobs, events)

    async def _ledger(self, resource: Json) -> LedgerFacts:
        key = name_of(resource)
        try:
            async with self._ledgers.connection(await self._url(resource)) as connection:
                return LedgerFacts(
                    claims=await overview.claims(connection, key),
                    ten_minutes=(await overview.paces(connection, [key])).get(key),
                    newest=await overview.newest(connection, key, _CLAIMS_SHOWN),
                    runs=await pools.latest_runs(connection, key, _RUNS_SHOWN),
                    day=await overview.days(connection, [key]),
                    recent=await overview.recent(connection, key),
                )
        except CampaignPoolError as error:
            return LedgerFacts(message=error.message)

    async def _of(self, namespace: str, name: str, read: Callable[[Connection], Awaitable[T]]) -> T | None:
        resource = await self._mirror.pool(namespace, name)
        if resource is None:
            return None
        async with self._ledgers.connection(await self._url(resource)) as connection:
            return await read(connection)

    async def _url(self, resource: Json) -> str:
        """Return the URL of a pool's database, from the Secret that it names. Raises CampaignPoolError."""
        # Not the whole spec: a blueprint takes milliseconds to be read, and there may be a hundred.
        given = ((resource.get("spec") or {}).get("database") or {}).get("secretRef") or {}
        try:
            reference = SecretKeyRef.model_validate(given)
        except ValidationError as error:
            raise ConfigurationError(
                "spec.database.secretRef is invalid: correct it", reason="SpecInvalid"
            ) from error
        namespace = resource["metadata"]["namespace"]
        key = ("url", namespace, reference.name, reference.key)
        return await self._shared.get(key, _URL_SECONDS, lambda: read_secret(self._cluster, namespace, reference))


def followed(cluster: Cluster, namespaces: Sequence[str]) -> tuple[Reader, Hub]:
    """Return what reads the pools of a cluster, begun, and what says which of them changed."""
    hub = Hub()
    reader = Reader(cluster, namespaces, hub.changed)
    hub.current = reader.current
    reader.start()
    return reader, hub


def name_of(resource: Json) -> str:
    """Return the name of a pool, as a claim takes it."""
    return f"{resource['metadata']['namespace']}/{resource['metadata']['name']}"
