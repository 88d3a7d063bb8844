"""The stand-in for ImageKit when things go wrong, as the SDK meets it."""

import asyncio
import math
import os
import signal
import subprocess
import sys

import httpx
import imagekitio
import pytest
from imagekitio import AsyncImageKit

from campaignpool_local.imagekit import UNLIMITED, Faults, ImageKit, Limits, Rate
from tests.support.imagekits import Clock, client_of

SOURCE = "/template/image-0001.png"


async def copy(client: AsyncImageKit, destination: str = "/campaign") -> None:
    await client.files.copy(source_file_path=SOURCE, destination_path=destination)


async def test_more_writes_than_allowed_are_told_how_long_to_wait(
    imagekit: ImageKit, client: AsyncImageKit, clock: Clock
) -> None:
    imagekit.add_images("/template", 1)
    imagekit.limits = Limits()
    allowed = await client.files.with_raw_response.copy(source_file_path=SOURCE, destination_path="/campaign")
    assert allowed.headers["X-RateLimit-Reset"] == "0"
    for _ in range(19):
        await copy(client)
    with pytest.raises(imagekitio.RateLimitError) as refused:
        await copy(client)
    headers = refused.value.response.headers
    assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Interval"]) == ("5", "1000")
    assert headers["X-RateLimit-Reset"] == "200"
    await client.assets.list()  # reads have a limit of their own
    await client.files.upload(file=b"", file_name="empty.txt")  # and uploads have none
    clock.seconds += 0.1
    with pytest.raises(imagekitio.RateLimitError):
        await copy(client)
    clock.seconds += 0.1
    await copy(client)
    assert imagekit.calls == {"copy_file": 23, "list": 1, "upload": 1}
    assert imagekit.responses == {204: 21, 429: 2, 200: 2}


async def test_a_refusal_that_is_not_earned_looks_like_a_real_one(imagekit: ImageKit, client: AsyncImageKit) -> None:
    imagekit.add_images("/template", 1)
    imagekit.faults = Faults(rate_429=1, times=1, retry_seconds=0.05)
    with pytest.raises(imagekitio.RateLimitError) as refused:
        await copy(client)
    assert refused.value.response.headers["X-RateLimit-Reset"] == "50"
    await copy(client)


async def test_a_failed_call_does_nothing_and_answers_in_three_ways(
    imagekit: ImageKit, client: AsyncImageKit
) -> None:
    imagekit.add_images("/template", 1)
    imagekit.faults = Faults(rate_500=1)
    bodies = []
    for _ in range(3):
        with pytest.raises(imagekitio.InternalServerError) as failed:
            await copy(client)
        bodies.append(failed.value.response.text)
    assert isinstance(httpx.Response(500, text=bodies[0]).json(), dict)
    assert bodies[1].startswith("<html>")
    assert bodies[0].startswith(bodies[2])
    assert len(bodies[2]) < len(bodies[0])
    assert len(imagekit.files) == 1


async def test_a_reset_call_does_nothing_and_a_lost_one_takes_effect(
    imagekit: ImageKit, client: AsyncImageKit
) -> None:
    imagekit.add_images("/template", 1)
    for faults, files in ((Faults(rate_reset=1), 1), (Faults(rate_lost=1), 2)):
        imagekit.faults = faults
        with pytest.raises(imagekitio.APIConnectionError):
            await copy(client)
        assert len(imagekit.files) == files
    assert imagekit.responses == {0: 2}


async def test_an_answer_can_break_off(imagekit: ImageKit, client: AsyncImageKit) -> None:
    imagekit.add_images("/template", 5)
    imagekit.faults = Faults(rate_truncated=1)
    with pytest.raises(imagekitio.APIConnectionError):
        await client.assets.list()
    with pytest.raises(imagekitio.APIConnectionError):
        await copy(client)
    assert len(imagekit.files) == 6


async def test_a_slow_call_takes_effect_whether_anybody_waits_or_not(
    imagekit: ImageKit, client: AsyncImageKit
) -> None:
    imagekit.add_images("/template", 1)
    imagekit.faults = Faults(rate_slow=1, slow_seconds=600)
    with pytest.raises(imagekitio.APITimeoutError):
        await copy(client.with_options(timeout=0.2))
    assert len(imagekit.files) == 2


async def test_nothing_gets_through_an_outage(imagekit: ImageKit, client: AsyncImageKit, clock: Clock) -> None:
    imagekit.add_images("/template", 1)
    imagekit.faults = Faults(outage_until=imagekit.now() + 60)
    with pytest.raises(imagekitio.InternalServerError) as failed:
        await copy(client)
    assert failed.value.status_code == 503
    with pytest.raises(imagekitio.APIConnectionError):
        await copy(client)
    clock.seconds += 60
    await copy(client)


async def test_a_bulk_deletion_can_be_done_in_part(imagekit: ImageKit, client: AsyncImageKit) -> None:
    ids = [file.id for file in imagekit.add_images("/campaign", 5)]
    imagekit.faults = Faults(rate_partial=1)
    answer = await client.files.bulk.with_raw_response.delete(file_ids=ids)
    deleted = (await answer.parse()).successfully_deleted_file_ids or []
    assert (answer.status_code, len(deleted)) == (207, 2)  # the SDK takes it for a success
    assert {file.id for file in imagekit.files} == set(ids) - set(deleted)


async def test_a_job_comes_late_and_locks_its_folders(
    imagekit: ImageKit, client: AsyncImageKit, clock: Clock
) -> None:
    imagekit.add_images("/template", 9)
    imagekit.faults = Faults(job_seconds=10)

    async def start(destination: str) -> str:
        return (await client.folders.copy(source_folder_path="/template", destination_path=destination)).job_id

    async def seen(job: str) -> tuple[str | None, int]:
        return (await client.folders.job.get(job)).status, len(await client.assets.list(path="/new/template"))

    job = await start("/new")
    assert await seen(job) == ("Pending", 0)
    for destination in ("/new", "/other"):
        with pytest.raises(imagekitio.APIStatusError) as locked:
            await start(destination)
        assert locked.value.status_code == 423
    clock.seconds += 5
    assert await seen(job) == ("Pending", 4)
    clock.seconds += 5
    assert await seen(job) == ("Completed", 9)
    imagekit.faults = Faults(job_seconds=math.inf)
    never = await start("/other")
    clock.seconds += 1e9
    assert (await client.folders.job.get(never)).status == "Pending"


async def test_a_list_is_behind_what_was_written_and_deleted(
    imagekit: ImageKit, client: AsyncImageKit, clock: Clock
) -> None:
    first, _ = imagekit.add_images("/template", 2)
    clock.seconds += 10
    imagekit.faults = Faults(listing_lag_seconds=5)
    await copy(client, "/campaign")
    await client.files.delete(first.id)

    async def names(folder: str) -> list[str | None]:
        return [asset.name for asset in await client.assets.list(path=folder, sort="ASC_NAME")]

    assert await names("/template") == ["image-0001.png", "image-0002.png"]
    assert await names("/campaign") == []
    with pytest.raises(imagekitio.NotFoundError):
        await client.files.get(first.id)  # details are not behind
    clock.seconds += 5
    assert await names("/template") == ["image-0002.png"]
    assert await names("/campaign") == ["image-0001.png"]


async def test_faults_keep_to_their_kinds_of_call(imagekit: ImageKit, client: AsyncImageKit) -> None:
    imagekit.add_images("/template", 1)
    imagekit.faults = Faults(rate_reset=1, kinds=frozenset({"list"}))
    await copy(client)
    with pytest.raises(imagekitio.APIConnectionError):
        await client.assets.list()


async def test_calls_at_once_stay_within_the_limit() -> None:
    limits = Limits(writes=Rate(per_second=0.001, burst=7))
    async with ImageKit(limits=limits) as imagekit, client_of(imagekit) as client:
        imagekit.add_images("/template", 1)
        results = await asyncio.gather(*(copy(client, f"/{n}") for n in range(20)), return_exceptions=True)
    assert sum(result is None for result in results) == 7
    assert sum(isinstance(result, imagekitio.RateLimitError) for result in results) == 13


async def test_a_port_that_is_taken_is_told() -> None:
    async with ImageKit(limits=UNLIMITED) as imagekit:
        port = httpx.URL(imagekit.url).port
        assert port
        with pytest.raises(OSError, match="address already in use"):
            await ImageKit(port).__aenter__()


def test_it_runs_as_a_program() -> None:
    command = [sys.executable, "-m", "campaignpool_local.imagekit", "--key", "private_x", "--images", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            first, second = process.stdout.readline(), process.stdout.readline()
            url = first.partition(" at ")[2].partition(";")[0]
            with imagekitio.ImageKit(private_key="private_x", base_url=url, max_retries=0) as client:
                assert [asset.name for asset in client.assets.list(path="/template")] == [
                    f"image-000{n}.png" for n in (1, 2, 3)
                ]
            picture = httpx.get(second.split()[-1]).raise_for_status()
            assert picture.headers["content-type"] == "image/png"
            os.kill(process.pid, signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
