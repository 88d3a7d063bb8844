"""The cost of copying a campaign's images, and the results under faults, with the stand-in for ImageKit."""

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
"""Calls per second in phases that do not measure the rate."""
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
The process `python -m campaignpool_seeder.images` copies one campaign of {images} images with the stand-in for
ImageKit of `campaignpool_local`, which follows ImageKit's public documentation; ImageKit itself was not measured. All
calls are counted, including failed ones.

- Calls: without faults. For `CopyFolder` the store's job takes {job:.0f} s, and its lists lag {lag:.0f} s behind.
- `wall_over_rate_limit`: `CopyEach` at ImageKit's limits of {rate} writes per second and {burst} in a burst, from the
  start of the process to its exit, divided by the minimum time that these allow for {images} writes ({least:.0f} s).
- Faults: `CopyEach` while {share:.0%} of all calls fail, in equal parts with a 429, a 5xx, a reset connection, a lost
  response and a truncated response (the last two after they take effect), and with an outage of {outage} s in the
  middle. {fast} calls per second.
- Kills: `CopyEach` with {kills} times kill -9 at a random time while it copies, and then a run to its end. {fast}
  calls per second, and a lease of 1 s instead of 2 minutes to shorten the run.
- `duplicates` are files and blobs in excess of one per image, and attachments in excess of the template's. `dangling`
  are attachments without a blob, and blobs without a file or with another id or size. Both are sums over faults and
  kills; `copied_share_under_faults` is the smaller share of the two.
"""


@dataclass(frozen=True)
class _Outcome:
    """The result of a phase: seconds, calls, and the numbers of correct and wrong images."""

    seconds: float
    calls: int
    copied: int = 0
    copied_twice: int = 0
    duplicates: int = 0
    dangling: int = 0


async def run(progress: Progress) -> Result:
    """Measure all phases and return the result."""
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
            progress.at(f"CopyEach at {PER_SECOND} writes a second: about {_minimum_seconds():.0f} s")
            copy_each = await phases.copy_each()
            progress.at("CopyEach with faults and an outage")
            faults = await phases.faults()
            progress.at(f"CopyEach killed {KILLS} times")
            kills = await phases.kills()
        versions = {"Postgres": server.version}
    figures: dict[str, Number] = {
        "api_calls_share": share.calls,
        "api_calls_folder": folder.calls,
        "api_calls_each": copy_each.calls,
        "wall_over_rate_limit": copy_each.seconds / _minimum_seconds(),
        "copied_share_under_faults": min(faults.copied, kills.copied) / IMAGES,
        "duplicates": faults.duplicates + kills.duplicates,
        "dangling": faults.dangling + kills.dangling,
        "seconds_folder": folder.seconds,
        "seconds_each": copy_each.seconds,
        "seconds_faults": faults.seconds,
        "api_calls_faults": faults.calls,
        "api_calls_kills": kills.calls,
        "copied_again_faults": faults.copied_twice,
        "copied_again_kills": kills.copied_twice,
    }
    waits = {"CopyFolder": folder.seconds * 1000, "CopyEach": copy_each.seconds * 1000}
    plot = Plot(f"Time to copy {IMAGES} images", {"at 5 writes a second": waits})
    rows = {"Share": share, "CopyFolder": folder, "CopyEach": copy_each, "with faults": faults, "killed": kills}
    return Result(figures, versions, f"{_about()}\n{_table(rows)}", GOALS, plot)


def _minimum_seconds() -> float:
    """Return the minimum seconds that the rate limit allows for all writes."""
    return (IMAGES - BURST) / PER_SECOND


def _about() -> str:
    failing = sum(share for _, share in FAILING.shares)
    return _ABOUT.format(
        images=IMAGES,
        job=JOB_SECONDS,
        lag=LAG_SECONDS,
        rate=PER_SECOND,
        burst=BURST,
        least=_minimum_seconds(),
        share=failing,
        outage=OUTAGE_SECONDS,
        fast=FAST,
        kills=KILLS,
    )


def _table(rows: dict[str, _Outcome]) -> str:
    head = ("phase", "API calls", "s", "copied", "copied twice", "duplicates", "dangling")
    lines = [
        (
            name,
            outcome.calls,
            round(outcome.seconds, 1),
            outcome.copied,
            outcome.copied_twice,
            outcome.duplicates,
            outcome.dangling,
        )
        for name, outcome in rows.items()
    ]
    return (
        f"{table(head, lines)}\n\n"
        "`copied twice` counts images that were copied again because no list showed the first copy yet: this costs a "
        "write and creates an old version of the same file. Share creates its attachments with the rows."
    )


async def _install(connection: Connection) -> None:
    """Install a pool that copies images, whose files are in a folder of the template."""
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
    """The phases, each with a new campaign and a new stand-in."""

    def __init__(self, url: str, connection: Connection, progress: Progress) -> None:
        self._url, self._connection, self._progress = url, connection, progress
        self._rng = random.Random(1)  # noqa: S311 - must be reproducible
        self._campaigns = 0

    async def share(self) -> _Outcome:
        await self._campaign()
        async with ImageKit() as imagekit:
            began = time.perf_counter()
            await self._run_job(imagekit)
            return _Outcome(time.perf_counter() - began, imagekit.calls.total())

    async def folder(self) -> _Outcome:
        faults = Faults(job_seconds=JOB_SECONDS, listing_lag_seconds=LAG_SECONDS)
        async with self._template(Limits(), faults) as imagekit:
            began = time.perf_counter()
            await self._run_job(imagekit, strategy="CopyFolder")
            return await self._outcome(imagekit, began)

    async def copy_each(self) -> _Outcome:
        async with self._template(Limits(writes=Rate(PER_SECOND, BURST)), Faults()) as imagekit:
            began = time.perf_counter()
            await self._run_job(imagekit)
            return await self._outcome(imagekit, began)

    async def faults(self) -> _Outcome:
        async with self._template(UNLIMITED, FAILING) as imagekit:

            async def fail() -> None:
                while len(imagekit.files) < IMAGES * 1.5:  # noqa: ASYNC110 - the stand-in sends no event
                    await asyncio.sleep(0.1)
                imagekit.faults = replace(FAILING, outage_until=imagekit.now() + OUTAGE_SECONDS)

            outage = asyncio.create_task(fail())
            began = time.perf_counter()
            await self._until_done(imagekit)
            await outage
            return await self._outcome(imagekit, began)

    async def kills(self) -> _Outcome:
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
                    await asyncio.wait_for(process.wait(), self._rng.uniform(0.0, 1.4))
                    raise RuntimeError("the Job finished before the last kill")
                process.kill()
                await process.communicate()
                kills += 1
            await self._until_done(imagekit, "--lease", "1s")
            return await self._outcome(imagekit, began)

    @asynccontextmanager
    async def _template(self, limits: Limits, faults: Faults) -> AsyncIterator[ImageKit]:
        """Create a campaign with pending images, and yield a stand-in with their files."""
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
                raise RuntimeError(f"the template has {len(imagekit.files)} images instead of {IMAGES}")
            yield imagekit

    async def _campaign(self) -> None:
        self._campaigns += 1
        await sample.fill(self._connection, f"images-{self._campaigns}", 1, self._progress.say)

    async def _start(
        self, imagekit: ImageKit, *options: str, strategy: str = "CopyEach", rate: int = PER_SECOND
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
            *command, *options, env={**os.environ, **secrets}, stdout=PIPE, stderr=DEVNULL
        )

    async def _run_job(
        self, imagekit: ImageKit, *options: str, strategy: str = "CopyEach", rate: int = PER_SECOND
    ) -> None:
        """Run a Job to its end. Raises RuntimeError if it fails."""
        process = await self._start(imagekit, *options, strategy=strategy, rate=rate)
        output, _ = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"the images Job exited with {process.returncode}: {output.decode()[-1000:]}")

    async def _until_done(self, imagekit: ImageKit, *options: str) -> None:
        """Run Jobs until no image set is pending, as the operator does."""
        unfinished = "SELECT count(*) FROM campaign_pool.image_set WHERE state IN ('pending', 'copying')"
        while await self._connection.fetchval(unfinished):
            await self._run_job(imagekit, *options, rate=FAST)
            copied = await self._connection.fetchval(
                "SELECT copied FROM campaign_pool.image_set ORDER BY queued_at DESC"
            )
            self._progress.say(f"{copied} of {IMAGES} copied")

    async def _outcome(self, imagekit: ImageKit, began: float) -> _Outcome:
        seconds = time.perf_counter() - began
        image_set = await self._connection.fetchrow(
            "SELECT campaign, folder FROM campaign_pool.image_set ORDER BY queued_at DESC LIMIT 1"
        )
        if image_set is None or not image_set["folder"]:
            raise RuntimeError("no image set was processed")
        files = {
            file.full_path: file for file in imagekit.files if file.full_path.startswith(f"{image_set['folder']}/")
        }
        copied = int(
            await self._connection.fetchval(
                "SELECT count(*) FROM campaign_pool.image WHERE campaign = $1 AND state = 'copied'",
                image_set["campaign"],
            )
        )
        blobs = await self._connection.fetch(
            "SELECT key, byte_size, metadata FROM active_storage_blobs WHERE key LIKE $1",
            f"{image_set['folder'][1:]}/%",
        )
        attached = await self._connection.fetchrow(_ATTACHED, image_set["campaign"])
        if attached is None:
            raise RuntimeError("the query returned no row")
        without_file = sum(
            (file := files.get(f"/{row['key']}")) is None
            or file.id not in row["metadata"]
            or len(file.content) != row["byte_size"]
            for row in blobs
        )
        return _Outcome(
            seconds,
            imagekit.calls.total(),
            copied,
            sum(file.versions - 1 for file in files.values()),
            (len(files) - copied) + (len(blobs) - copied) + max(0, attached["written"] - attached["wanted"]),
            without_file + attached["without_blob"],
        )


_ATTACHED = """
WITH wanted AS (
    SELECT e.attachment ->> 'record_type' AS record_type, e.attachment ->> 'record_id' AS record_id
    FROM campaign_pool.image i CROSS JOIN LATERAL jsonb_array_elements(i.attachments) AS e (attachment)
    WHERE i.campaign = $1 AND i.state = 'copied'
)
SELECT (SELECT count(*) FROM wanted)::int AS wanted, count(a.*)::int AS written,
       (count(a.*) FILTER (WHERE b.id IS NULL))::int AS without_blob
FROM wanted w
JOIN active_storage_attachments a ON a.record_type = w.record_type AND a.record_id::text = w.record_id
LEFT JOIN active_storage_blobs b ON b.id = a.blob_id
"""


BENCH = Bench("Images", "the cost of copying images, and the results under faults and kills", run)
