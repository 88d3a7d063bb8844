"""Claims from many connections while everything else happens to their pool at once; at the end all has to add up.

Claimers claim, repeat, roll back, release, lose their connection and try again. Seeders fill the pool and are cut.
The operator retires, removes, rolls to new revisions, pauses, deletes the pool and brings it back.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg

from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.blueprint import install
from campaignpool.ledger import pools, retiring, seeding
from campaignpool.ledger.database import Connection
from tests.support import resources, small
from tests.support.small import POOL

CUT = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    OSError,
)
"""What a client sees whose connection was cut."""

LATER = {"CP001", "CP002", "CP005", "40001", "40P01"}
"""What a claim may fail with while a pool is empty, paused, deleted, or the caller's isolation is strict."""

PLAYERS = ("ann", "bob", "cid", "dan")
OWNERS = ("", "ann", "bob")
TURN = 0.002
"""Seconds between two looks at what is awaited. The order of events is the point here, and chance makes it."""


@dataclass(frozen=True)
class Profile:
    """How much is done.

    Attributes:
        connections: That claim.
        claims: Keys, or requests without one; some give several campaigns, some are made twice.
        ready: How many campaigns seeders keep ready.
        seed: Of everything that is left to chance.
    """

    connections: int
    claims: int
    ready: int
    seed: int = 1


@dataclass(frozen=True)
class Request:
    """What a client wants, and wants again after its connection was cut."""

    claimant: str
    key: str | None
    many: int
    isolation: str | None
    give_back: bool
    cut: bool
    roll_back: bool


@dataclass
class Storm:
    """One storm: what was done, and what came of it."""

    url: str
    profile: Profile
    given: dict[str, tuple[str, ...]] = field(default_factory=dict)
    loose: set[str] = field(default_factory=set)
    released: set[str] = field(default_factory=set)
    removed: int = 0
    faults: list[str] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    over: bool = False

    def __post_init__(self) -> None:
        self._chance = random.Random(self.profile.seed)
        self._requests = self._wanted()
        self._pids: dict[int, int] = {}
        self._seeding: set[int] = set()
        self._may_seed = True

    async def rage(self) -> None:
        """Let everything happen until all claims are made."""
        others = [asyncio.create_task(each) for each in (self._operate(), self._kill(), self._seed(0), self._seed(1))]
        try:
            claimers = [asyncio.create_task(self._client(n)) for n in range(self.profile.connections)]
            await asyncio.gather(*claimers)
        finally:
            self.over = True
            await asyncio.gather(*others)

    def _wanted(self) -> Iterator[Request]:
        chance, number = random.Random(self.profile.seed + 1), 0
        keyed: list[Request] = []
        while number < self.profile.claims:
            if keyed and chance.random() < 0.1:
                yield chance.choice(keyed)  # somebody asks again, perhaps while the first still waits for its answer
                continue
            number += 1
            request = Request(
                claimant=chance.choice(PLAYERS),
                key=None if chance.random() < 0.1 else f"request {number}",
                many=chance.randint(2, 4) if chance.random() < 0.05 else 0,
                isolation=chance.choice([None] * 8 + ["repeatable_read", "serializable"]),
                give_back=chance.random() < 0.1,
                cut=chance.random() < 0.02,
                roll_back=chance.random() < 0.05,
            )
            if request.key:
                keyed = [*keyed[-100:], request]
            yield request

    async def _client(self, number: int) -> None:
        """Make one request after the other; whatever is cut is tried again with the same key."""
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
                        await self._hang_up(connection, request)
                    await self._serve(connection, request)
                    break
                except CUT:
                    self.counted["cut"] += 1
                    if connection is not None:
                        connection.terminate()
                    connection = None
                except asyncpg.PostgresError as error:
                    if error.sqlstate not in LATER:
                        self.faults.append(f"{type(error).__name__} {error.sqlstate}: {error}")
                        break
                    self.counted[str(error.sqlstate)] += 1
                    await asyncio.sleep(TURN)
        del self._pids[number]
        if connection is not None:
            await connection.close()

    async def _hang_up(self, connection: Connection, request: Request) -> None:
        """Claim, and be gone before the answer comes."""
        claiming = asyncio.create_task(self._claim(connection, request))
        for _ in range(self._chance.randint(0, 8)):
            await asyncio.sleep(0)
        connection._transport.abort()  # type: ignore[attr-defined] # as when the process is killed
        try:
            await claiming
        except (asyncio.CancelledError, asyncpg.PostgresError, *CUT):
            self.counted["hung up"] += 1
        raise ConnectionError

    async def _serve(self, connection: Connection, request: Request) -> None:
        if request.roll_back:
            transaction = connection.transaction()
            await transaction.start()
            try:
                await self._claim(connection, request)
            finally:
                await transaction.rollback()
            self.counted["rolled back"] += 1
        if request.isolation:
            async with connection.transaction(isolation=request.isolation):  # type: ignore[arg-type] # one of the names
                got = await self._claim(connection, request)
        else:
            got = await self._claim(connection, request)
        self._keep(request, got)
        if request.give_back:
            await self._release(connection, got)

    async def _claim(self, connection: Connection, request: Request) -> tuple[str, ...]:
        one = "SELECT campaign_id FROM campaign_pool.claim($1, $2, $3)"
        several = "SELECT campaign_id FROM campaign_pool.claim_many($1, $2, $4, $3)"
        words = (POOL, request.claimant, request.key)
        try:
            rows = await (
                connection.fetch(several, *words, request.many) if request.many else connection.fetch(one, *words)
            )
        except asyncpg.PostgresError as error:
            if error.sqlstate == "CP004" and request.give_back and request.key in self.given:
                return self.given[request.key]  # asked again after it was given back
            raise
        return tuple(row["campaign_id"] for row in rows)

    def _keep(self, request: Request, got: tuple[str, ...]) -> None:
        if request.key is None:
            if twice := self.loose & set(got):
                self.faults.append(f"given twice: {twice}")
            self.loose |= set(got)
        elif self.given.setdefault(request.key, got) != got:
            self.faults.append(f"{request.key} gave {self.given[request.key]} and {got}")

    async def _release(self, connection: Connection, got: tuple[str, ...]) -> None:
        for campaign in got:
            try:
                if self._chance.random() < 0.5:
                    await connection.execute("SELECT campaign_pool.extend($1, '2 hours')", campaign)
                await connection.execute("SELECT campaign_pool.release($1)", campaign)
                self.released.add(campaign)
            except asyncpg.PostgresError as error:
                if error.sqlstate not in ("CP006", *LATER):
                    raise
                self.counted["not released"] += 1

    async def _kill(self) -> None:
        """Cut claimers off, wherever they are."""
        async with self._connected() as connection:
            while not self.over:
                await asyncio.sleep(self._chance.uniform(TURN, 20 * TURN))
                if self._pids:
                    pid = self._chance.choice(list(self._pids.values()))
                    self.counted["killed"] += await connection.fetchval(
                        "SELECT coalesce((SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE pid = $1 AND datname = current_database()), false)::integer",
                        pid,
                    )

    async def _seed(self, number: int) -> None:
        """Keep the pool full, run after run; where the connection is cut, go on with the same run."""
        run = 0
        while not self.over:
            try:
                async with self._connected() as connection:
                    while not self.over:
                        if await self._full(connection) or not self._may_seed:
                            await asyncio.sleep(TURN)
                            continue
                        self._seeding.add(number)
                        job = f"job-{number}-{run}"
                        owner = OWNERS[run % len(OWNERS)] if run % 2 else ""
                        count = max(20, self.profile.ready // 5)
                        await seeding.reserve(connection, POOL, job, owner, run + 1, count, 1)
                        while (await seeding.seed(connection, POOL, job, count // 2)).campaigns:
                            if self._chance.random() < 0.02:
                                await _lost(connection)
                        facts = (job, owner, run + 1, count, 1)
                        await seeding.finish_run(connection, POOL, facts, "Succeeded")
                        self._seeding.discard(number)
                        run += 1
            except CUT:
                self.counted["seeder cut"] += 1
            except asyncpg.PostgresError as error:
                if error.sqlstate != "CP001":  # the pool was closed meanwhile
                    raise
                self.counted["seeder refused"] += 1
            finally:
                self._seeding.discard(number)

    async def _full(self, connection: Connection) -> bool:
        ready = "SELECT count(*) FROM campaign_pool.campaign WHERE state = 'ready'"
        return bool(await connection.fetchval(ready) >= self.profile.ready)

    async def _operate(self) -> None:
        version, wanted = 1, small.spec(1, maxSize=1000)
        async with self._connected() as connection:
            while not self.over:
                await asyncio.sleep(self._chance.uniform(TURN, 10 * TURN))
                what = self._chance.choice(["retire"] * 6 + ["remove"] * 12 + ["roll", "change", "change", "delete"])
                self.counted[what] += 1
                if what == "retire":
                    owner = self._chance.choice([None, *OWNERS])
                    await retiring.retire(connection, POOL, owner, most=self._chance.randint(1, 5))
                elif what == "remove":
                    self.removed += await retiring.remove(connection, POOL, 10)
                    self.counted["dropped"] += await install.drop_unused(connection, POOL)
                elif what == "roll":
                    version += 1
                    wanted = self._drawn(version)
                    await small.put(connection, wanted)
                elif what == "change":
                    wanted = self._drawn(version)
                    await small.put(connection, wanted)
                else:
                    await self._delete(connection)
                    await small.put(connection, wanted)
                    self._may_seed = True
            # The end: nothing is wanted any more but that all adds up.
            self._may_seed = False
            await self._until_nobody_seeds()

    def _drawn(self, version: int) -> CampaignPoolSpec:
        claims = {
            "onEmpty": self._chance.choice(["Clone", "Clone", "Fail", "Wait"]),
            "allowStale": self._chance.random() < 0.8,
            "whileDeleting": self._chance.choice(["Refuse", "Allow"]),
        }
        return small.spec(version, maxSize=1000, paused=self._chance.random() < 0.2, claims=claims)

    async def _delete(self, connection: Connection) -> None:
        """Delete the pool as the operator does: close, wait for its Jobs, empty it, bury it."""
        await resources.close(connection, POOL)
        self._may_seed = False
        await self._until_nobody_seeds()
        await pools.cancel_runs(connection, POOL)
        while True:
            retired = await retiring.retire(connection, POOL, None, most=10)
            removed = await retiring.remove(connection, POOL, 10)
            self.removed += removed
            if retired + removed == 0 and await pools.finish_deletion(connection, POOL):
                break
        self.counted["dropped"] += await install.drop_unused(connection, POOL)

    async def _until_nobody_seeds(self) -> None:
        while self._seeding:  # noqa: ASYNC110 (an event would have to be set in all the places where a seeder is cut)
            await asyncio.sleep(TURN)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        connection = await small.connect(self.url, lock_timeout="30s")
        try:
            yield connection
        finally:
            connection.terminate()


async def _lost(connection: Connection) -> None:
    """Lose a connection."""
    connection.terminate()
    raise ConnectionError


async def reckoned(storm: Storm, connection: Connection) -> list[str]:
    """Give what does not add up at the end of a storm."""
    faults = [*storm.faults, *await small.wrong(connection)]
    records = await connection.fetch("SELECT campaign_id, key, source, released_at FROM campaign_pool.claimed")
    by_key = {row["key"]: row["campaign_id"] for row in records if row["key"]}
    expected: dict[str, str] = {}
    for key, campaigns in storm.given.items():
        # claim_many gives each of its campaigns a key of its own.
        expected |= (
            {f"{key}#{n}": campaign for n, campaign in enumerate(campaigns, 1)}
            if f"{key}#1" in by_key
            else {key: campaigns[0]}
        )
    if by_key != expected:
        faults.append(f"keys differ: {sorted(by_key.items() ^ expected.items())[:5]}")
    if len({row["campaign_id"] for row in records}) != len(records):
        faults.append("a campaign stands in two records")
    loose = {row["campaign_id"] for row in records if row["key"] is None}
    if lost := storm.loose - loose:
        faults.append(f"given and not recorded: {sorted(lost)[:5]}")
    # An answer that was cut off is not known to the client; each cut cost at most one claim without a key.
    if len(loose - storm.loose) > 4 * storm.counted["cut"]:
        faults.append(f"{len(loose - storm.loose)} claims without a key were never given")
    given_back = {row["campaign_id"] for row in records if row["released_at"]}
    if lost := storm.released - given_back:
        faults.append(f"released and not recorded: {sorted(lost)[:5]}")
    states = dict(await connection.fetch("SELECT state, count(*) FROM campaign_pool.campaign GROUP BY state"))  # type: ignore[arg-type] # pairs
    made = await connection.fetchval("SELECT sum(campaigns) FROM campaign_pool.run") + sum(
        row["source"] == "clone" for row in records
    )
    live = len(records) - len(given_back)
    there = live + states.get("ready", 0) + states.get("retiring", 0)
    if made != there + storm.removed:
        faults.append(f"made {made}, there {there}, removed {storm.removed}")
    tables = ("worlds", "things", "members")
    rows = [await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables]
    if rows != [there + 1, small.THINGS * (there + 1), live]:
        faults.append(f"rows {rows} for {there} campaigns, {live} of them claimed")
    storm.counted |= Counter(made=made, claimed=len(records), given_back=len(given_back), there=there)
    storm.counted |= Counter(f"source {row['source']}" for row in records)
    return faults
