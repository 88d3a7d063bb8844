"""The images Job as a pod runs it: a process with arguments, two secrets in its environment and an exit code."""

import asyncio
import base64
import json
import os
import random
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator

import asyncpg
import pytest

from campaignpool_local.imagekit import UNLIMITED, Faults, ImageKit
from campaignpool_seeder.images.imagekit import account_name
from campaignpool_seeder.session import StoppableSleep
from tests.support.image_sets import FOLDER, SimulatedPause, World, put_template
from tests.support.imagekits import Clock
from tests.support.ledgers import POOL, filled
from tests.support.postgres import NewDatabase
from tests.support.processes import killed_after

pytestmark = pytest.mark.integration
KEY = "private_n0body/should+see=this"


@pytest.fixture
async def world(new_database: NewDatabase, images_template: str) -> AsyncIterator[World]:
    """One campaign whose images are to be copied, in a stand-in without limits, in real time."""
    url = new_database(images_template)
    connection, clock = await asyncpg.connect(url), Clock()
    async with ImageKit(limits=UNLIMITED, private_key=KEY) as imagekit:
        world = World(url, connection, imagekit, clock, SimulatedPause(connection, clock))
        await filled(connection, "", 1)
        world.template = await put_template(connection, imagekit)
        yield world
        for store in world.stores:
            await store.__aexit__()
    await connection.close()


async def start(world: World, *words: str, key: str = KEY) -> Process:
    command = [sys.executable, "-m", "campaignpool_seeder.images", *words]
    access = ["--folder", FOLDER, "--endpoint", world.imagekit.url, "--burst", "1"]
    if "--requests-per-second" not in words:
        access += ["--requests-per-second", "500"]
    secrets = {"CAMPAIGNPOOL_DATABASE_URL": world.url, "CAMPAIGNPOOL_IMAGES_KEY": key}
    return await asyncio.create_subprocess_exec(
        *command, *access, env={**os.environ, **secrets}, stdout=PIPE, stderr=PIPE
    )


def job(strategy: str = "CopyEach", *words: str) -> list[str]:
    return ["--pool", POOL, "--strategy", strategy, *words]


async def finished(world: World, *words: str, key: str = KEY) -> tuple[int, str]:
    """Run it to its end; whatever it says, it tells no secret."""
    process = await start(world, *words, key=key)
    out, errors = await process.communicate()
    text = (out + errors).decode()
    assert process.returncode is not None
    hidden = [key.strip(), base64.b64encode(f"{key.strip()}:do_not_set".encode()).decode(), world.url]
    assert not [secret for secret in hidden if secret and secret in text]
    return process.returncode, text


async def test_it_copies_what_is_due(world: World) -> None:
    code, said = await finished(
        world, *job("CopyFolder"), key=f"{KEY}\n"
    )  # as `kubectl create secret --from-file` has it
    assert code == 0, said
    assert "queue is empty done=1" in said
    assert "HTTP Request" not in said
    assert await world.faults() == []
    rows = await world.connection.fetch("SELECT name FROM campaign_pool.account")
    assert [row["name"] for row in rows] == [account_name(KEY)]
    code, said = await finished(world, *job(), "--json-logs")
    assert (code, [json.loads(line)["message"] for line in said.splitlines()]) == (0, ["queue is empty"])


async def test_a_key_that_is_refused_is_said_once_and_not_shown(world: World) -> None:
    code, said = await finished(world, *job(), key="private_wrong")
    assert code == 78
    assert "put a private key of the account into the Secret" in said
    assert "Traceback" not in said


async def test_asked_to_stop_it_ends_between_two_calls(world: World) -> None:
    process = await start(world, *job(), "--requests-per-second", "10")
    assert process.stdout
    async for line in process.stdout:
        if b"copying" in line:
            process.send_signal(signal.SIGTERM)
    assert await process.wait() == 75
    image_set = await world.image_set()
    assert (image_set["state"], image_set["lease_until"]) == ("pending", None)
    copied = len(world.copies())
    assert world.imagekit.calls["copy_file"] == copied < world.template  # no call was broken off
    assert await world.job(pause=StoppableSleep(asyncio.Event())) == {"done": 1}
    assert world.imagekit.calls["copy_file"] == world.template + 1
    assert await world.faults() == []


async def test_killed_at_random_moments_it_leaves_nothing_twice_and_nothing_half(world: World) -> None:
    """kill -9, again and again, while one call in ten fails; the next worker continues."""
    chance = random.Random(1)
    world.imagekit.faults = Faults(rate_lost=0.05, rate_500=0.05)
    for _ in range(4):
        process = await start(world, *job(), "--lease", "1s", "--requests-per-second", "15")
        assert process.stdout
        async for line in process.stdout:
            if b"copying" in line:
                break
        await killed_after(process, chance.uniform(0.0, 0.8))
        await process.communicate()
        if (await world.image_set())["state"] == "done":
            break
    await world.job(pause=StoppableSleep(asyncio.Event()))
    assert (await world.image_set())["state"] == "done"
    assert await world.faults() == []


async def test_orphans_are_reported_and_deleted_on_demand(world: World) -> None:
    await world.job(pause=StoppableSleep(asyncio.Event()))
    kept = world.copies()
    orphan = f"{FOLDER}/{'a' * 32}"
    now, world.imagekit.files._now = world.imagekit.files._now, lambda: time.time() - 7200
    world.imagekit.files.put(orphan, "a.png", b"")
    world.imagekit.files._now = now
    code, said = await finished(world, "orphans", "--delete")
    assert code == 0, said
    assert f"no campaign has the folder {orphan}" in said
    assert "1 folders without a campaign deleted=True" in said
    assert world.copies() == kept
