"""A storm: concurrent claims during all other operations on their pool, and a check of consistency at the end.

Clients claim, repeat, roll back, release, lose their connection and retry. Seeders fill the pool and lose their
connections. The operator retires, removes, installs revisions, goes back to earlier ones, refuses some, lets
campaigns grow old, pauses, deletes the pool and creates it again.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg

from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.blueprint import compilation, install
from campaignpool.blueprint.canary import Canary
from campaignpool.errors import BlueprintError
from campaignpool.ledger import pools, retiring, seeding
from campaignpool.ledger.database import Connection
from tests.support import resources, small
from tests.support.small import POOL

CONNECTION_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    OSError,
)
"""The exceptions of a lost connection."""

RETRYABLE = {"CP001", "CP002", "CP005", "40001", "40P01"}
"""SQLSTATEs of claims from an empty, paused or deleted pool, and of serialization failures and deadlocks."""

PLAYERS = ("ann", "bob", "cid", "dan")
OWNERS = ("ann", "bob")
POLL_SECONDS = 0.002

_AGE = """
UPDATE campaign_pool.campaign SET ready_at = ready_at - interval '8 days' WHERE state = 'ready' AND random() < $1
"""


@dataclass(frozen=True)
class Profile:
    """The size of a storm.

    Attributes:
        connections: The number of claiming connections.
        claims: The number of distinct requests; some claim several campaigns, some are repeated.
        ready: The number of campaigns that seeders keep ready.
        seed: The seed of all random decisions.
    """

    connections: int
    claims: int
    ready: int
    seed: int = 1


@dataclass(frozen=True)
class Request:
    """A claim of a client, which repeats it after it lost its connection."""

    claimant: str
    key: str | None
    count: int
    isolation: str | None
    release: bool
    cut: bool
    roll_back: bool


@dataclass
class Storm:
    """A storm and its results."""

    url: str
    profile: Profile
    claimed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    claimed_without_key: set[str] = field(default_factory=set)
    released: set[str] = field(default_factory=set)
    removed: int = 0
    faults: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    over: bool = False

    def __post_init__(self) -> None:
        self._rng = random.Random(self.profile.seed)
        self._requests = self._generate_requests()
        self._pids: dict[int, int] = {}
        self._seeding: set[int] = set()
        self._may_seed = True

    async def run(self) -> None:
        """Run all participants until all requests are claimed."""
        others = [asyncio.create_task(work) for work in (self._operate(), self._kill(), self._seed(0), self._seed(1))]
        try:
            claimers = [asyncio.create_task(self._client(n)) for n in range(self.profile.connections)]
            await asyncio.gather(*claimers)
        finally:
            self.over = True
            await asyncio.gather(*others)

    def _generate_requests(self) -> Iterator[Request]:
        rng, number = random.Random(self.profile.seed + 1), 0
        keyed: list[Request] = []
        while number < self.profile.claims:
            if keyed and rng.random() < 0.1:
                yield rng.choice(keyed)  # repeated, possibly concurrently
                continue
            number += 1
            request = Request(
                claimant=rng.choice(PLAYERS),
                key=None if rng.random() < 0.1 else f"request {number}",
                count=rng.randint(2, 4) if rng.random() < 0.05 else 0,
                isolation=rng.choice([None] * 8 + ["repeatable_read", "serializable"]),
                release=rng.random() < 0.1,
                cut=rng.random() < 0.02,
                roll_back=rng.random() < 0.05,
            )
            if request.key:
                keyed = [*keyed[-100:], request]
            yield request

    async def _client(self, number: int) -> None:
        """Execute requests sequentially; repeat a request with the same key after a lost connection."""
        connection: Connection | None = None
        for request in self._requests:
            cut = request.cut
            while True:
                try:
                    if connection is None or connection.is_closed():
                        connection = await small.connect(self.url)
                        self._pids[number] = connection.get_server_pid()
                    if cut:
                        cut = False
                        await self._disconnect(connection, request)
                    await self._serve(connection, request)
                    break
                except CONNECTION_LOST:
                    self.counts["cut"] += 1
                    if connection is not None:
                        connection.terminate()
                    connection = None
                except asyncpg.PostgresError as error:
                    if error.sqlstate not in RETRYABLE:
                        self.faults.append(f"{type(error).__name__} {error.sqlstate}: {error}")
                        break
                    self.counts[str(error.sqlstate)] += 1
                    await asyncio.sleep(POLL_SECONDS)
        del self._pids[number]
        if connection is not None:
            await connection.close()

    async def _disconnect(self, connection: Connection, request: Request) -> None:
        """Claim, and disconnect before the response."""
        claiming = asyncio.create_task(self._claim(connection, request))
        for _ in range(self._rng.randint(0, 8)):
            await asyncio.sleep(0)
        connection._transport.abort()  # type: ignore[attr-defined] # as if the process were killed
        try:
            await claiming
        except (asyncio.CancelledError, asyncpg.PostgresError, *CONNECTION_LOST):
            self.counts["hung up"] += 1
        raise ConnectionError

    async def _serve(self, connection: Connection, request: Request) -> None:
        if request.roll_back:
            transaction = connection.transaction()
            await transaction.start()
            try:
                await self._claim(connection, request)
            finally:
                await transaction.rollback()
            self.counts["rolled back"] += 1
        if request.isolation:
            async with connection.transaction(isolation=request.isolation):  # type: ignore[arg-type] # one of the names
                campaigns = await self._claim(connection, request)
        else:
            campaigns = await self._claim(connection, request)
        self._record(request, campaigns)
        if request.release:
            await self._release(connection, campaigns)

    async def _claim(self, connection: Connection, request: Request) -> tuple[str, ...]:
        one = "SELECT campaign_id FROM campaign_pool.claim($1, $2, $3)"
        several = "SELECT campaign_id FROM campaign_pool.claim_many($1, $2, $4, $3)"
        arguments = (POOL, request.claimant, request.key)
        try:
            rows = await (
                connection.fetch(several, *arguments, request.count)
                if request.count
                else connection.fetch(one, *arguments)
            )
        except asyncpg.PostgresError as error:
            if error.sqlstate == "CP004" and request.release and request.key in self.claimed:
                return self.claimed[request.key]  # a repeated claim after its release
            raise
        return tuple(row["campaign_id"] for row in rows)

    def _record(self, request: Request, campaigns: tuple[str, ...]) -> None:
        if request.key is None:
            if twice := self.claimed_without_key & set(campaigns):
                self.faults.append(f"claimed twice: {twice}")
            self.claimed_without_key |= set(campaigns)
        elif self.claimed.setdefault(request.key, campaigns) != campaigns:
            self.faults.append(f"{request.key} gave {self.claimed[request.key]} and {campaigns}")

    async def _release(self, connection: Connection, campaigns: tuple[str, ...]) -> None:
        for campaign in campaigns:
            try:
                if self._rng.random() < 0.5:
                    await connection.execute("SELECT campaign_pool.extend($1, '2 hours')", campaign)
                await connection.execute("SELECT campaign_pool.release($1)", campaign)
                self.released.add(campaign)
            except asyncpg.PostgresError as error:
                if error.sqlstate not in ("CP006", *RETRYABLE):
                    raise
                self.counts["not released"] += 1

    async def _kill(self) -> None:
        """Terminate the backends of clients at random times."""
        async with self._connected() as connection:
            while not self.over:
                await asyncio.sleep(self._rng.uniform(POLL_SECONDS, 20 * POLL_SECONDS))
                if self._pids:
                    pid = self._rng.choice(list(self._pids.values()))
                    self.counts["killed"] += await connection.fetchval(
                        "SELECT coalesce((SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE pid = $1 AND datname = current_database()), false)::integer",
                        pid,
                    )

    async def _seed(self, number: int) -> None:
        """Keep the pool full, with one run after another; continue a run after a lost connection."""
        run = 0
        while not self.over:
            try:
                async with self._connected() as connection:
                    while not self.over:
                        if await self._full(connection) or not self._may_seed:
                            await asyncio.sleep(POLL_SECONDS)
                            continue
                        self._seeding.add(number)
                        job = f"job-{number}-{run}"
                        count = max(20, self.profile.ready // 5)
                        await seeding.reserve(connection, POOL, job, run + 1, count, 1)
                        while (await seeding.seed(connection, POOL, job, count // 2)).campaigns:
                            if self._rng.random() < 0.02:
                                await _lose(connection)
                        facts = (job, run + 1, count, 1)
                        await seeding.finish_run(connection, POOL, facts, "Succeeded")
                        self._seeding.discard(number)
                        run += 1
            except CONNECTION_LOST:
                self.counts["seeder cut"] += 1
            except asyncpg.PostgresError as error:
                if error.sqlstate != "CP001":  # the pool was closed
                    raise
                self.counts["seeder refused"] += 1
            finally:
                self._seeding.discard(number)

    async def _full(self, connection: Connection) -> bool:
        ready = "SELECT count(*) FROM campaign_pool.campaign WHERE state = 'ready'"
        return bool(await connection.fetchval(ready) >= self.profile.ready)

    async def _operate(self) -> None:
        version, wanted = 1, self._random_spec(1)
        often = ["retire"] * 4 + ["shrink"] * 2 + ["remove"] * 12
        operations = ["roll", "refuse", "go back", "age", "change", "delete", *often]
        first = ["retire", "remove"]  # a short storm may not draw them
        async with self._connected() as connection:
            await small.put(connection, wanted)
            while not self.over:
                await asyncio.sleep(self._rng.uniform(POLL_SECONDS, 10 * POLL_SECONDS))
                operation = first.pop(0) if first else self._rng.choice(operations)
                self.counts[operation] += 1
                if operation in ("roll", "change"):
                    version += operation == "roll"
                    wanted = self._random_spec(version)
                    await small.put(connection, wanted)
                elif operation == "delete":
                    await self._delete(connection)
                    await small.put(connection, wanted)
                    self._may_seed = True
                elif operation == "refuse":
                    await self._refuse(connection, version + 1)
                else:
                    await self._change_stock(connection, operation)
            # All requests are claimed: stop the seeders.
            self._may_seed = False
            await self._wait_for_seeders()

    async def _change_stock(self, connection: Connection, operation: str) -> None:
        if operation == "retire":
            await retiring.retire(connection, POOL, self._rng.randint(1, 5))
        elif operation == "shrink":
            await retiring.retire_surplus(connection, POOL, early=self._rng.random() < 0.5)
        elif operation == "age":
            await connection.execute(_AGE, self._rng.random())
        elif operation == "go back":
            await install.use(connection, self._rng.choice((await pools.observe(connection, POOL)).kept))
        else:
            self.removed += await retiring.remove(connection, POOL, 10)
            self.counts["dropped"] += await install.drop_unused(connection, POOL)

    async def _refuse(self, connection: Connection, version: int) -> None:
        """Freeze a revision whose canary fails."""
        before = (await pools.observe(connection, POOL)).revision
        source = small.spec(version)
        assert source.blueprint.inline
        compiled = await compilation.compile_blueprint(connection, source, source.blueprint.inline)
        try:
            await install.install(connection, POOL, compiled, canary=Canary(2, "SELECT $campaign"))
        except BlueprintError:
            if (await pools.observe(connection, POOL)).revision != before:
                self.faults.append("a revision is in service that did not pass its check")
        else:
            self.faults.append("a canary passed a check that fails")

    def _random_spec(self, version: int) -> CampaignPoolSpec:
        claims = {
            "onEmpty": self._rng.choice(["Clone", "Clone", "Fail", "Wait"]),
            "allowStale": self._rng.random() < 0.8,
            "whileDeleting": self._rng.choice(["Refuse", "Allow"]),
        }
        rollout = {
            "strategy": self._rng.choice(["RollingUpdate", "RollingUpdate", "OnReplenish"]),
            "revisionHistoryLimit": self._rng.randint(0, 3),
        }
        changes = {"claims": claims, "rollout": rollout, "maxAge": self._rng.choice([None, "168h"])}
        size = self._rng.randint(self.profile.ready, 2 * self.profile.ready)
        kept = [{"id": owner, "size": self.profile.ready // 5} for owner in OWNERS]
        paused = self._rng.random() < 0.2
        return small.spec(version, size=size, owners=kept, maxSize=1000, paused=paused, **changes)

    async def _delete(self, connection: Connection) -> None:
        """Delete the pool as the operator does: close it, wait for its Jobs, empty it, finish the deletion."""
        await resources.close(connection, POOL)
        self._may_seed = False
        await self._wait_for_seeders()
        await pools.cancel_runs(connection, POOL)
        while True:
            retired = await retiring.retire(connection, POOL, 10)
            removed = await retiring.remove(connection, POOL, 10)
            self.removed += removed
            if retired + removed == 0 and await pools.finish_deletion(connection, POOL):
                break
        self.counts["dropped"] += await install.drop_unused(connection, POOL)

    async def _wait_for_seeders(self) -> None:
        while self._seeding:  # noqa: ASYNC110 (seeders stop in too many places for an event)
            await asyncio.sleep(POLL_SECONDS)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        connection = await small.connect(self.url, lock_timeout="30s")
        try:
            yield connection
        finally:
            connection.terminate()


async def _lose(connection: Connection) -> None:
    """Close a connection and raise ConnectionError."""
    connection.terminate()
    raise ConnectionError


async def faults_after(storm: Storm, connection: Connection) -> list[str]:
    """Return the inconsistencies at the end of a storm."""
    faults = [*storm.faults, *await small.inconsistencies(connection)]
    records = await connection.fetch("SELECT campaign_id, key, source, released_at FROM campaign_pool.claimed")
    by_key = {row["key"]: row["campaign_id"] for row in records if row["key"]}
    expected: dict[str, str] = {}
    for key, campaigns in storm.claimed.items():
        # claim_many derives a key for each of its campaigns.
        expected |= (
            {f"{key}#{n}": campaign for n, campaign in enumerate(campaigns, 1)}
            if f"{key}#1" in by_key
            else {key: campaigns[0]}
        )
    if by_key != expected:
        faults.append(f"keys differ: {sorted(by_key.items() ^ expected.items())[:5]}")
    if len({row["campaign_id"] for row in records}) != len(records):
        faults.append("a campaign has two claims")
    without_key = {row["campaign_id"] for row in records if row["key"] is None}
    if lost := storm.claimed_without_key - without_key:
        faults.append(f"returned but not recorded: {sorted(lost)[:5]}")
    # A client does not know claims whose response it lost: at most one claim without a key per lost connection.
    if len(without_key - storm.claimed_without_key) > 4 * storm.counts["cut"]:
        faults.append(f"{len(without_key - storm.claimed_without_key)} claims without a key were never returned")
    released = {row["campaign_id"] for row in records if row["released_at"]}
    if lost := storm.released - released:
        faults.append(f"released but not recorded: {sorted(lost)[:5]}")
    states = dict(await connection.fetch("SELECT state, count(*) FROM campaign_pool.campaign GROUP BY state"))  # type: ignore[arg-type] # pairs
    created = await connection.fetchval("SELECT sum(campaigns) FROM campaign_pool.run") + sum(
        row["source"] == "clone" for row in records
    )
    live = len(records) - len(released)
    existing = live + states.get("ready", 0) + states.get("retiring", 0)
    if created != existing + storm.removed:
        faults.append(f"created {created}, existing {existing}, removed {storm.removed}")
    totals, _ = await pools.counts(connection, POOL)
    await connection.execute("SELECT campaign_pool.count_claims($1, '0')", POOL)
    counted, _ = await pools.counts(connection, POOL)
    facts = (len(records), states.get("ready", 0), states.get("retiring", 0))
    if any((item.claimed, item.ready, item.retiring) != facts for item in (totals, counted)):
        faults.append(f"counters {totals} and {counted} for {facts}")
    tables = ("worlds", "things", "members")
    rows = [await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables]
    if rows != [existing + 1, small.THINGS * (existing + 1), live]:
        faults.append(f"rows {rows} for {existing} campaigns, {live} of them claimed")
    storm.counts |= Counter(created=created, claimed=len(records), released=len(released), existing=existing)
    storm.counts |= Counter(f"source {row['source']}" for row in records)
    return faults
