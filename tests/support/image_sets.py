"""Helpers: the sample application with images in the stand-in for ImageKit, and images Jobs in this process.

Time is simulated: when a Job waits, the clocks of the ledger, the stand-in and the Job advance at once.
"""

import asyncio
import copy
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

import chiwar
from campaignpool.ledger.database import Connection
from campaignpool_local.imagekit import UNLIMITED, ImageKit
from campaignpool_local.postgres import EmbeddedPostgres
from campaignpool_seeder.images import imagekit as adapter
from campaignpool_seeder.images.account import Account
from campaignpool_seeder.images.arguments import ImagesArgs
from campaignpool_seeder.images.worker import ImageWorker
from campaignpool_seeder.session import LedgerSession, StoppableSleep, require_connection_slot
from tests.support.imagekits import Clock
from tests.support.ledgers import MANIFEST, POOL, filled, installed
from tests.support.postgres import NewDatabase

FOLDER = "/campaigns"
PATH = "CASE WHEN service_name = 'imagekit' THEN '/template/' || replace(key, '!', '') END"
"""Two keys that differ in an exclamation mark have the same path."""
ODD = ("sub/deep-er/Karte-ÄÖ_東京.v2", "sub/no_extension", "twin.webp", "twin.webp!")
SHIFTED = """
UPDATE campaign_pool.image_set SET
    next_at = next_at - {0}, lease_until = lease_until - {0}, queued_at = queued_at - {0};
UPDATE campaign_pool.image SET next_at = next_at - {0} WHERE next_at IS NOT NULL;
UPDATE campaign_pool.account
SET counted_at = counted_at - {0}, blocked_until = blocked_until - {0}, open_until = open_until - {0};
"""


class SimulatedPause(StoppableSleep):
    """Advances the clocks instead of waiting."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self.stop = asyncio.Event()
        super().__init__(self.stop)
        self._connection, self._clock, self._lock = connection, clock, asyncio.Lock()

    def now(self) -> float:
        return self._clock.seconds

    async def __call__(self, seconds: float) -> None:
        await super().__call__(0)
        if seconds > 0:
            async with self._lock:
                self._clock.seconds += seconds
                await self._connection.execute(SHIFTED.format(f"interval '{seconds:.6f} s'"))


class InstrumentedStore(adapter.ImageKit):
    """ImageKit with hooks and injected errors; `before[n]` runs before the n-th call of `copy_file`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.before: dict[int, Callable[[], Awaitable[Any]]] = {}
        self.refuses: dict[str, Exception] = {}
        self.after_bulk: Callable[[], Any] | None = None
        self.copies: Counter[str] = Counter()

    async def copy_file(self, source: str, folder: str) -> None:
        self.copies[source] += 1
        if step := self.before.pop(self.copies.total(), None):
            await step()
        if source in self.refuses:
            raise self.refuses[source]
        await super().copy_file(source, folder)

    async def is_job_finished(self, job: str) -> bool:
        done = await super().is_job_finished(job)
        if done and self.after_bulk:
            self.after_bulk()
        return done


@dataclass
class World:
    """A database with the pool, a stand-in with the template's files, and Jobs that process both."""

    url: str
    connection: Connection
    imagekit: ImageKit
    clock: Clock
    pause: SimulatedPause
    template: int = 0
    stores: list[InstrumentedStore] = field(default_factory=list)

    def store(self, key: str | None = None, **options: Any) -> InstrumentedStore:
        self.stores.append(InstrumentedStore(key or self.imagekit.private_key, self.imagekit.url, **options))
        return self.stores[-1]

    def request(self, **changes: Any) -> ImagesArgs:
        facts: dict[str, Any] = {
            "url": self.url,
            "key": self.imagekit.private_key,
            "pool": POOL,
            "strategy": "CopyEach",
            "folder": FOLDER,
            "endpoint": self.imagekit.url,
            "concurrency": 4,
            "requests_per_second": 1000,
            "burst": 1000,
            "max_attempts": 8,
            "deadline": timedelta(hours=2),
            "max_connections": 20,
            "lease": timedelta(minutes=2),
            "json_logs": False,
        }
        return ImagesArgs(**{**facts, **changes})

    async def job(
        self,
        store: InstrumentedStore | None = None,
        pause: StoppableSleep | None = None,
        **changes: Any,
    ) -> Counter[str]:
        """Run a Job and return its counts."""
        request, store = self.request(**changes), store or self.store()

        async def admit(connection: Connection) -> None:
            await require_connection_slot(connection, f"images of {request.pool}", request.max_connections)

        async def at_once(_: float) -> None:
            pass

        pause = pause or self.pause
        async with LedgerSession(request.url, admit, at_once) as session:
            rng = random.Random(1)
            account = Account(session, store.account, request.requests_per_second, request.burst, pause.now, rng=rng)
            return await ImageWorker(request, session, store, account, pause).run()

    async def later(self, seconds: float) -> None:
        """Advance the clocks between two Jobs."""
        await self.pause(seconds)

    async def image_sets(self) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await self.connection.fetch(
            "SELECT * FROM campaign_pool.image_set ORDER BY queued_at, campaign"
        )
        return rows

    async def image_set(self) -> asyncpg.Record:
        (row,) = await self.image_sets()
        return row

    def copies(self) -> list[str]:
        """Return the sorted paths of all copied files."""
        return sorted(file.full_path for file in self.imagekit.files if file.full_path.startswith(f"{FOLDER}/"))

    async def faults(self, *, but: int = 0) -> list[str]:
        """Return the inconsistencies between copied files, blobs and the ledger.

        Args:
            but: The number of images that may be missing.
        """
        faults = []
        rows = await self.connection.fetch(
            "SELECT b.key, b.byte_size, b.metadata FROM active_storage_blobs b "
            f"WHERE b.key LIKE '{FOLDER[1:]}/%' AND b.service_name = 'imagekit'"
        )
        if sorted(f"/{row['key']}" for row in rows) != self.copies():
            faults.append(f"{len(rows)} blobs, {len(self.copies())} files")
        for row in rows:
            file = self.imagekit.files.at(row["key"])
            if file is None or file.id not in row["metadata"] or len(file.content) != row["byte_size"]:
                faults.append(f"{row['key']} differs from its blob")
        counted = await self.connection.fetch(
            "SELECT a.campaign, a.images, count(i.*) AS copied FROM campaign_pool.image_set a "
            "LEFT JOIN campaign_pool.image i ON i.campaign = a.campaign AND i.state = 'copied' GROUP BY 1, 2"
        )
        faults += [f"{dict(row)}" for row in counted if row["images"] - row["copied"] > but]
        files = sum(file.full_path.startswith("/template/") for file in self.imagekit.files)
        if files != self.template:
            faults.append(f"{files} files of the template instead of {self.template}")
        return faults


def blueprint() -> dict[str, Any]:
    """Return the sample's blueprint with images whose files are in a folder of the store."""
    source: dict[str, Any] = copy.deepcopy(MANIFEST["spec"]["blueprint"])
    source["inline"]["images"] = {"path": PATH}
    return source


async def prepare(connection: Connection, **images: object) -> None:
    """Load the sample at a small scale with irregular images, and install the pool."""
    await chiwar.load(connection, scale=0.04)
    blobs = await connection.fetch(
        "SELECT blob_id FROM active_storage_attachments WHERE record_type = 'Schtick' ORDER BY id"
    )
    ids = [row["blob_id"] for row in blobs]
    for key, blob in zip(ODD, ids, strict=False):
        await connection.execute("UPDATE active_storage_blobs SET key = $1 WHERE id = $2", key, blob)
    await connection.execute("UPDATE active_storage_blobs SET service_name = 'local' WHERE id = $1", ids[4])
    await connection.execute(
        "UPDATE active_storage_attachments SET blob_id = $1 WHERE blob_id = ANY ($2)", ids[0], ids[5:8]
    )
    await installed(
        connection, blueprint=blueprint(), images={"strategy": "CopyEach", "secretRef": {"name": "k"}, **images}
    )


async def put_template(connection: Connection, imagekit: ImageKit) -> int:
    """Upload a file for every blob of the template to the stand-in and return their number."""
    rows = await connection.fetch("SELECT DISTINCT source FROM campaign_pool.image")
    for row in rows:
        folder, _, name = row["source"].rpartition("/")
        imagekit.files.put(folder, name, f"the picture {name}".encode())
    return len(rows)


@pytest.fixture(scope="session")
def images_template(postgres_server: EmbeddedPostgres) -> str:
    """Return the name of a template database: the small sample with a pool that copies images."""

    async def load(url: str) -> None:
        connection = await asyncpg.connect(url)
        await prepare(connection)
        await connection.close()

    asyncio.run(load(postgres_server.create_database("images_template")))
    return "images_template"


@pytest.fixture
async def world(new_database: NewDatabase, images_template: str, clock: Clock) -> AsyncIterator[World]:
    """Yield a world with one campaign whose images are pending, and a stand-in that shares the Job's clock."""
    url = new_database(images_template)
    connection, clock_connection = await asyncpg.connect(url), await asyncpg.connect(url)
    async with ImageKit(limits=UNLIMITED, clock=clock) as imagekit:
        world = World(url, connection, imagekit, clock, SimulatedPause(clock_connection, clock))
        await filled(connection, "", 1)
        world.template = await put_template(connection, imagekit)
        yield world
        for store in world.stores:
            await store.__aexit__()
    await clock_connection.close()
    await connection.close()
