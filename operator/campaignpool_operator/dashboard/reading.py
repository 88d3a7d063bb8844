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
from campaignpool.ledger import overview, pools, trends
from campaignpool.ledger.database import CONNECTION_FAULTS, Connection, close, connect, translated
from campaignpool.ledger.overview import Claim
from campaignpool.ledger.trends import Hour
from campaignpool_operator.cluster.client import Cluster, Json
from campaignpool_operator.dashboard import workloads
from campaignpool_operator.dashboard.view import LedgerFacts
from campaignpool_operator.resource import read_secret

POOL_SECONDS = 1.0
LIST_SECONDS = 2.0
TRENDS_SECONDS = 10.0
CHECKS_SECONDS = 5.0
"""For so long, all who look get what was read for the first of them."""

_URL_SECONDS = 30.0
_IDLE_SECONDS = 60.0
_RUNS_SHOWN = 20
_CLAIMS_SHOWN = 8
_AT_ONCE = 20
_STATEMENT_SECONDS = 5

T = TypeVar("T")


@dataclass(frozen=True)
class PoolFacts:
    """Everything that was read of one pool; who asks may not see all of it."""

    resource: Json
    ledger: LedgerFacts
    jobs: Sequence[Json]
    events: Sequence[Json]
    at: datetime


class Shared:
    """Answers that are computed once for all who ask at the same time, and kept for some seconds."""

    def __init__(self) -> None:
        self._answers: dict[object, tuple[float, asyncio.Task[Any]]] = {}

    async def get(self, key: object, seconds: float, compute: Callable[[], Awaitable[T]]) -> T:
        """Return the answer for a key; raise what computing it raises."""
        now = time.monotonic()
        cached = self._answers.get(key)
        if cached is None or cached[0] <= now:
            for old in [old for old, (until, task) in self._answers.items() if until <= now and task.done()]:
                del self._answers[old]
            task = asyncio.ensure_future(compute())
            task.add_done_callback(_seen)
            cached = self._answers[key] = (now + seconds, task)
        # A viewer who goes away does not end it for the others.
        result: T = await asyncio.shield(cached[1])
        return result

    def keys(self, *beginning: str) -> list[object]:
        """Return the keys that begin with these words."""
        return [key for key in self._answers if isinstance(key, tuple) and key[: len(beginning)] == beginning]

    def drop(self, *keys: object) -> None:
        """Compute these again the next time."""
        for key in keys:
            self._answers.pop(key, None)

    def close(self) -> None:
        """End what is being computed."""
        for _, task in self._answers.values():
            task.cancel()
        self._answers.clear()


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
    """

    def __init__(self, cluster: Cluster, namespaces: Sequence[str]) -> None:
        self._cluster, self._namespaces = cluster, namespaces
        self._ledgers, self._shared = Ledgers(), Shared()

    async def close(self) -> None:
        """Close the connections to databases."""
        self._shared.close()
        await self._ledgers.close()

    def forget(self, pool: str) -> None:
        """Read a pool again the next time: it has changed."""
        namespace, _, name = pool.partition("/")
        of_pool = [key for part in ("claims", "trends") for key in self._shared.keys(part, namespace, name)]
        self._shared.drop("resources", "pools", ("pool", namespace, name), *of_pool)

    async def resource(self, namespace: str, name: str) -> Json | None:
        """Return a CampaignPool, current. Raises ClusterError."""
        return await self._cluster.pool(namespace, name)

    async def change(self, namespace: str, name: str, patch: Mapping[str, Any]) -> Json | None:
        """Merge a patch into a CampaignPool; return it, or None where it is gone. Raises ClusterError."""
        return await self._cluster.patch_pool(namespace, name, patch)

    async def resources(self) -> list[Json]:
        """Return all CampaignPools. Raises ClusterError."""
        return await self._shared.get("resources", LIST_SECONDS, self._resources)

    async def pools(self) -> list[tuple[Json, LedgerFacts]]:
        """Return all pools, each with its claims of the day. Raises ClusterError."""
        return await self._shared.get("pools", LIST_SECONDS, self._pools)

    async def pool(self, namespace: str, name: str) -> PoolFacts | None:
        """Return everything of one pool; None: there is none. Raises ClusterError."""
        return await self._shared.get(("pool", namespace, name), POOL_SECONDS, lambda: self._pool(namespace, name))

    async def trends(self, namespace: str, name: str, hours: int) -> list[Hour] | None:
        """Return the last hours of a pool; None: there is none. Raises CampaignPoolError."""

        async def read(connection: Connection) -> list[Hour]:
            since = await pools.clock(connection) - timedelta(hours=hours)
            return await trends.read(connection, f"{namespace}/{name}", since)

        key = ("trends", namespace, name, hours)
        return await self._shared.get(key, TRENDS_SECONDS, lambda: self._of(namespace, name, read))

    async def claims(self, namespace: str, name: str, most: int) -> list[Claim] | None:
        """Return the newest claims of a pool; None: there is none. Raises CampaignPoolError."""

        async def read(connection: Connection) -> list[Claim]:
            return await overview.newest(connection, f"{namespace}/{name}", most)

        key = ("claims", namespace, name, most)
        return await self._shared.get(key, POOL_SECONDS, lambda: self._of(namespace, name, read))

    async def checks(self, namespace: str, name: str) -> list[Finding] | None:
        """Check a pool's database; None: there is no such pool. Raises CampaignPoolError."""

        async def check() -> list[Finding] | None:
            resource = await self._cluster.pool(namespace, name)
            if resource is None:
                return None
            return await examine(await self._url(resource), pool=f"{namespace}/{name}", machine="the operator")

        return await self._shared.get(("checks", namespace, name), CHECKS_SECONDS, check)

    async def _resources(self) -> list[Json]:
        listed = [await self._cluster.pools(namespace) for namespace in self._namespaces or (None,)]
        return [resource for resources in listed for resource in resources]

    async def _pools(self) -> list[tuple[Json, LedgerFacts]]:
        resources = await self.resources()
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
            key = _key(resource)
            if isinstance(address, CampaignPoolError):
                facts[key] = LedgerFacts(message=address.message)
            else:
                by_url.setdefault(address, []).append(key)
        for part in await asyncio.gather(*(self._days(address, keys) for address, keys in by_url.items())):
            facts |= part
        return [(resource, facts[_key(resource)]) for resource in resources]

    async def _days(self, url: str, keys: Sequence[str]) -> dict[str, LedgerFacts]:
        try:
            async with self._ledgers.connection(url) as connection:
                days = await overview.days(connection, keys)
                paces = await overview.paces(connection, keys)
        except CampaignPoolError as error:
            return {key: LedgerFacts(message=error.message) for key in keys}
        return {
            key: LedgerFacts(day=[hour for hour in days if hour.pool == key], ten_minutes=paces.get(key))
            for key in keys
        }

    async def _pool(self, namespace: str, name: str) -> PoolFacts | None:
        resource = await self._cluster.pool(namespace, name)
        if resource is None:
            return None
        jobs, events, ledger = await asyncio.gather(
            workloads.read_jobs(self._cluster, resource, with_pods=True, with_events=True),
            workloads.read_events(self._cluster, resource),
            self._ledger(resource),
        )
        return PoolFacts(resource, ledger, jobs, events, datetime.now(UTC))

    async def _ledger(self, resource: Json) -> LedgerFacts:
        key = _key(resource)
        try:
            async with self._ledgers.connection(await self._url(resource)) as connection:
                return LedgerFacts(
                    claims=await overview.claims(connection, key),
                    ten_minutes=(await overview.paces(connection, [key])).get(key),
                    newest=await overview.newest(connection, key, _CLAIMS_SHOWN),
                    runs=await pools.latest_runs(connection, key, _RUNS_SHOWN),
                    day=await overview.days(connection, [key]),
                )
        except CampaignPoolError as error:
            return LedgerFacts(message=error.message)

    async def _of(self, namespace: str, name: str, read: Callable[[Connection], Awaitable[T]]) -> T | None:
        resource = await self._cluster.pool(namespace, name)
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


def _seen(task: asyncio.Task[Any]) -> None:
    """Take note of a failure that nobody waits for any more."""
    if not task.cancelled():
        task.exception()


def _key(resource: Json) -> str:
    return f"{resource['metadata']['namespace']}/{resource['metadata']['name']}"
