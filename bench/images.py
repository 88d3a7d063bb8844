"""What the images of a campaign cost and how surely they arrive, at a stand-in for ImageKit that is made to fail."""

import asyncio
import os
import random
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from bench import server as sample
from bench.harness import Bench, Goal, Number, Plot, Progress, Result
from bench.report import table
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.blueprint import compilation, install
from campaignpool.ledger import pools
from campaignpool.ledger.database import Connection, connected
from campaignpool_local.imagekit import UNLIMITED, Faults, ImageKit, Limits, Rate

IMAGES = 800
PER_SECOND, BURST = 5, 20
FAST = 40
"""Calls a second where the rate is not what is measured."""
KILLS = 20
OUTAGE_SECONDS = 30
JOB_SECONDS, LAG_SECONDS = 20.0, 2.0
FAILING = Faults(
    rate_429=0.04, rate_500=0.04, rate_reset=0.04, rate_lost=0.04, rate_truncated=0.04, retry_seconds=0.5
)
_FOLDER = "/campaigns"

GOALS = (
    Goal("api_calls_share", 0),
    Goal("api_calls_folder", 10),
    Goal("api_calls_each", IMAGES + 1),
    Goal("wall_over_rate_limit", 1.1),
    Goal("copied_share_under_faults", 0.999, at_least=True),
    Goal("duplicates", 0),
    Goal("dangling", 0),
)

_ABOUT = """\
One campaign of {images} images, copied by the whole process `python -m campaignpool_seeder.images` at the stand-in
for ImageKit of `campaignpool_local`, which is made after ImageKit's public documentation; nothing here was measured
at ImageKit itself. Every call is counted, also those that failed.

- Calls: of a campaign with nothing going wrong. For `CopyFolder` the store's job takes {job:.0f} s, and its lists are
  {lag:.0f} s behind.
- `wall_over_rate_limit`: `CopyEach` at ImageKit's limits, {rate} writes a second and {burst} at once, from the start
  of the process to its end, over the least that these allow for {images} writes ({least:.0f} s).
- Faults: `CopyEach` while {share:.0%} of all calls fail, in equal parts by a 429, a 5xx, a reset connection, an
  answer that is lost and one that breaks off, the last two after they took effect; and one outage of {outage} s in
  the middle. {fast} calls a second.
- Kills: `CopyEach`, {kills} times kill -9 at a random moment while it copies, and then a run to the end. {fast} calls
  a second, and a lease of 1 s instead of 2 minutes, for nobody wants to wait that long for each.
- `duplicates` are files and blobs beyond one an image, and attachments beyond the template's. `dangling` are
  attachments without their blob, and blobs without their file, or with another's id or size. Both are sums over
  faults and kills; `copied_share_under_faults` is the lesser of the two.
"""


@dataclass(frozen=True)
class _Found:
    """What a phase left: seconds, calls, and what is right and wrong."""

    seconds: float
    calls: int
    copied: int = 0
    again: int = 0
    duplicates: int = 0
    dangling: int = 0


async def run(progress: Progress) -> Result:
    """Measure everything."""
    progress.at("starting Postgres, loading the sample application")
    async with sample.running() as server:
        url = await server.database("images")
        async with connected(url, "bench") as connection:
            phases = _Phases(url, connection, progress)
            progress.at("Share")
            share = await phases.share()
            await _install(connection)
            progress.at("CopyFolder")
            folder = await phases.folder()
            progress.at(f"CopyEach at {PER_SECOND} writes a second: about {_least():.0f} s")
            each = await phases.each()
            progress.at("CopyEach with faults and an outage")
            faults = await phases.faults()
            progress.at(f"CopyEach killed {KILLS} times")
            kills = await phases.kills()
        versions = {"Postgres": server.version}
    figures: dict[str, Number] = {
        "api_calls_share": share.calls,
        "api_calls_folder": folder.calls,
        "api_calls_each": each.calls,
        "wall_over_rate_limit": each.seconds / _least(),
        "copied_share_under_faults": min(faults.copied, kills.copied) / IMAGES,
        "duplicates": faults.duplicates + kills.duplicates,
        "dangling": faults.dangling + kills.dangling,
        "seconds_folder": folder.seconds,
        "seconds_each": each.seconds,
        "seconds_faults": faults.seconds,
        "api_calls_faults": faults.calls,
        "api_calls_kills": kills.calls,
        "copied_again_faults": faults.again,
        "copied_again_kills": kills.again,
    }
    waits = {"CopyFolder": folder.seconds * 1000, "CopyEach": each.seconds * 1000}
    plot = Plot(f"How long {IMAGES} images take to arrive", {"at 5 writes a second": waits})
    rows = {"Share": share, "CopyFolder": folder, "CopyEach": each, "with faults": faults, "killed": kills}
    return Result(figures, versions, f"{_about()}\n{_table(rows)}", GOALS, plot)


def _least() -> float:
    """Give the seconds that the rate imposes on so many writes."""
    return (IMAGES - BURST) / PER_SECOND


def _about() -> str:
    failing = sum(share for _, share in FAILING.shares)
    return _ABOUT.format(
        images=IMAGES,
        job=JOB_SECONDS,
        lag=LAG_SECONDS,
        rate=PER_SECOND,
        burst=BURST,
        least=_least(),
        share=failing,
        outage=OUTAGE_SECONDS,
        fast=FAST,
        kills=KILLS,
    )


def _table(rows: dict[str, _Found]) -> str:
    head = ("what", "API calls", "s", "copied", "made twice", "duplicates", "dangling")
    lines = [
        (name, each.calls, round(each.seconds, 1), each.copied, each.again, each.duplicates, each.dangling)
        for name, each in rows.items()
    ]
    return (
        f"{table(head, lines)}\n\n"
        "`made twice` counts copies that were made a second time over the first, because no list showed that yet: "
        "they cost a write, and leave an old version of the same file. Share makes its attachments with the rows."
    )


async def _install(connection: Connection) -> None:
    """Let the pool copy images, whose files are in a folder of the template."""
    spec = sample.manifest()
    blueprint = spec["blueprint"]["inline"] | {"images": {"path": "'/template/' || key"}}
    images = {"strategy": "CopyEach", "secretRef": {"name": "imagekit"}}
    changed = spec | {"blueprint": {"inline": blueprint}, "images": images, "maxSize": 1000}
    wanted = CampaignPoolSpec.model_validate(changed)
    if wanted.blueprint.inline is None:
        raise TypeError("the sample's blueprint is not inline")
    compiled = await compilation.compile_blueprint(connection, wanted, wanted.blueprint.inline)
    await pools.put_pool(connection, sample.POOL, "bench", wanted)
    await install.install(connection, sample.POOL, compiled)


class _Phases:
    """The phases: each has a campaign and a stand-in of its own."""

    def __init__(self, url: str, connection: Connection, progress: Progress) -> None:
        self._url, self._connection, self._progress = url, connection, progress
        self._chance = random.Random(1)  # noqa: S311 - repeats itself
        self._campaigns = 0

    async def share(self) -> _Found:
        await self._campaign()
        async with ImageKit() as imagekit:
            began = time.perf_counter()
            await self._finished(imagekit)
            return _Found(time.perf_counter() - began, imagekit.calls.total())

    async def folder(self) -> _Found:
        faults = Faults(job_seconds=JOB_SECONDS, listing_lag_seconds=LAG_SECONDS)
        async with self._template(Limits(), faults) as imagekit:
            began = time.perf_counter()
            await self._finished(imagekit, strategy="CopyFolder")
            return await self._found(imagekit, began)

    async def each(self) -> _Found:
        async with self._template(Limits(writes=Rate(PER_SECOND, BURST)), Faults()) as imagekit:
            began = time.perf_counter()
            await self._finished(imagekit)
            return await self._found(imagekit, began)

    async def faults(self) -> _Found:
        async with self._template(UNLIMITED, FAILING) as imagekit:

            async def fail() -> None:
                while len(imagekit.files) < IMAGES * 1.5:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.1)
                imagekit.faults = replace(FAILING, outage_until=imagekit.now() + OUTAGE_SECONDS)

            outage = asyncio.create_task(fail())
            began = time.perf_counter()
            await self._until_done(imagekit)
            await outage
            return await self._found(imagekit, began)

    async def kills(self) -> _Found:
        async with self._template(UNLIMITED, Faults()) as imagekit:
            began = time.perf_counter()
            kills = 0
            while kills < KILLS:
                self._progress.say(f"{kills} of {KILLS}, {len(imagekit.files) - IMAGES} files")
                process = await self._start(imagekit, "--lease", "1s", rate=FAST)
                if process.stdout is None:
                    raise RuntimeError("the process has no output")
                async for line in process.stdout:
                    if b"copying" in line:
                        break
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), self._chance.uniform(0.0, 1.4))
                    raise RuntimeError("it was done before it was killed often enough")
                process.kill()
                await process.communicate()
                kills += 1
            await self._until_done(imagekit, "--lease", "1s")
            return await self._found(imagekit, began)

    @asynccontextmanager
    async def _template(self, limits: Limits, faults: Faults) -> AsyncIterator[ImageKit]:
        """Make a campaign with its images to be copied, and a stand-in that has them."""
        await self._campaign()
        surplus = (
            "DELETE FROM campaign_pool.image WHERE (campaign, original) IN (SELECT i.campaign, i.original "
            "FROM campaign_pool.image i JOIN campaign_pool.image_set a USING (campaign) WHERE a.state = 'pending' "
            f"ORDER BY i.original OFFSET {IMAGES})"
        )
        await self._connection.execute(surplus)
        await self._connection.execute(
            f"UPDATE campaign_pool.image_set SET images = {IMAGES} WHERE state = 'pending'"
        )
        sources = await self._connection.fetch(
            "SELECT source FROM campaign_pool.image JOIN campaign_pool.image_set a USING (campaign) "
            "WHERE a.state = 'pending'"
        )
        async with ImageKit(limits=limits, faults=faults) as imagekit:
            for row in sources:
                folder, _, name = row["source"].rpartition("/")
                imagekit.files.put(folder, name, name.encode())
            if len(imagekit.files) != IMAGES:
                raise RuntimeError(f"the template has {len(imagekit.files)} images, and not {IMAGES}")
            yield imagekit

    async def _campaign(self) -> None:
        self._campaigns += 1
        await sample.fill(self._connection, f"images-{self._campaigns}", 1, self._progress.say)

    async def _start(
        self, imagekit: ImageKit, *words: str, strategy: str = "CopyEach", rate: int = PER_SECOND
    ) -> Process:
        facts = {
            "--pool": sample.POOL,
            "--strategy": strategy,
            "--folder": _FOLDER,
            "--endpoint": imagekit.url,
            "--requests-per-second": str(rate),
            "--burst": str(BURST),
        }
        command = [
            sys.executable,
            "-m",
            "campaignpool_seeder.images",
            *(word for pair in facts.items() for word in pair),
        ]
        secrets = {"CAMPAIGNPOOL_DATABASE_URL": self._url, "CAMPAIGNPOOL_IMAGES_KEY": imagekit.private_key}
        return await asyncio.create_subprocess_exec(
            *command, *words, env={**os.environ, **secrets}, stdout=PIPE, stderr=DEVNULL
        )

    async def _finished(
        self, imagekit: ImageKit, *words: str, strategy: str = "CopyEach", rate: int = PER_SECOND
    ) -> None:
        """Run a Job to its end. Raises RuntimeError when it fails."""
        process = await self._start(imagekit, *words, strategy=strategy, rate=rate)
        said, _ = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"the images Job ended with {process.returncode}: {said.decode()[-1000:]}")

    async def _until_done(self, imagekit: ImageKit, *words: str) -> None:
        """Run Jobs until no album is left to work on, as the operator does."""
        open_ = "SELECT count(*) FROM campaign_pool.image_set WHERE state IN ('pending', 'copying')"
        while await self._connection.fetchval(open_):
            await self._finished(imagekit, *words, rate=FAST)
            copied = await self._connection.fetchval(
                "SELECT copied FROM campaign_pool.image_set ORDER BY queued_at DESC"
            )
            self._progress.say(f"{copied} of {IMAGES} copied")

    async def _found(self, imagekit: ImageKit, began: float) -> _Found:
        seconds = time.perf_counter() - began
        album = await self._connection.fetchrow(
            "SELECT campaign, folder FROM campaign_pool.image_set ORDER BY queued_at DESC LIMIT 1"
        )
        if album is None or not album["folder"]:
            raise RuntimeError("no album was worked on")
        files = {file.full_path: file for file in imagekit.files if file.full_path.startswith(f"{album['folder']}/")}
        copied = int(
            await self._connection.fetchval(
                "SELECT count(*) FROM campaign_pool.image WHERE campaign = $1 AND state = 'copied'", album["campaign"]
            )
        )
        blobs = await self._connection.fetch(
            "SELECT key, byte_size, metadata FROM active_storage_blobs WHERE key LIKE $1", f"{album['folder'][1:]}/%"
        )
        attached = await self._connection.fetchrow(_ATTACHED, album["campaign"])
        if attached is None:
            raise RuntimeError("a count gave no row")
        bare = sum(
            (file := files.get(f"/{row['key']}")) is None
            or file.id not in row["metadata"]
            or len(file.content) != row["byte_size"]
            for row in blobs
        )
        return _Found(
            seconds,
            imagekit.calls.total(),
            copied,
            sum(file.versions - 1 for file in files.values()),
            (len(files) - copied) + (len(blobs) - copied) + max(0, attached["written"] - attached["wanted"]),
            bare + attached["bare"],
        )


_ATTACHED = """
WITH wanted AS (
    SELECT e.attachment ->> 'record_type' AS record_type, e.attachment ->> 'record_id' AS record_id
    FROM campaign_pool.image i CROSS JOIN LATERAL jsonb_array_elements(i.attachments) AS e (attachment)
    WHERE i.campaign = $1 AND i.state = 'copied'
)
SELECT (SELECT count(*) FROM wanted)::int AS wanted, count(a.*)::int AS written,
       (count(a.*) FILTER (WHERE b.id IS NULL))::int AS bare
FROM wanted w
JOIN active_storage_attachments a ON a.record_type = w.record_type AND a.record_id::text = w.record_id
LEFT JOIN active_storage_blobs b ON b.id = a.blob_id
"""


BENCH = Bench("Images", "what copying images costs, and what faults and kills leave", run)
