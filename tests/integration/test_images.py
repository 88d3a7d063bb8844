"""Images that arrive: what a Job copies, and what it leaves behind when anything goes wrong."""

import asyncio
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import chain

import asyncpg
import pytest

import chiwar
from campaignpool.errors import ConfigurationError
from campaignpool.ledger import image_queue, retiring
from campaignpool_local.imagekit import Faults, ImageKit, Limits, Rate
from campaignpool_seeder.images.account import Account, CircuitOpenError
from campaignpool_seeder.images.orphans import OrphanSearch
from campaignpool_seeder.images.store import KeyRefusedError, StoreRefusedError, StoreUnavailableError
from campaignpool_seeder.session import LedgerSession, StoppableSleep, StoppedError
from tests.support.image_sets import FOLDER, ODD, World, blueprint, put_template
from tests.support.ledgers import POOL, claim, filled, installed

pytestmark = pytest.mark.integration
BOTH = pytest.mark.parametrize("strategy", ["CopyEach", "CopyFolder"])


@BOTH
async def test_every_image_of_the_template_is_copied(world: World, strategy: str) -> None:
    world.imagekit.faults = Faults(listing_lag_seconds=0.5, job_seconds=4)
    assert await world.job(strategy=strategy) == {"done": 1}
    assert await world.faults() == []
    image_set = await world.image_set()
    assert (image_set["state"], image_set["copied"], image_set["failed"], image_set["cause"]) == (
        "done",
        image_set["images"],
        0,
        None,
    )
    assert image_set["store"] == world.stores[0].account
    below = f"{FOLDER}/{image_set['campaign'].hex}"
    assert [path for path in world.copies() if not path.startswith(f"{below}/template/")] == [
        f"{below}/2/template/twin.webp"  # the name of the other twin
    ]
    odd = f"{below}/template/{ODD[0]}"
    assert odd in world.copies()
    # Three more records show the first odd image, and each shows the one copy of it.
    shown = await world.connection.fetchval(
        "SELECT count(*) FROM active_storage_attachments a JOIN active_storage_blobs b ON b.id = a.blob_id "
        "WHERE '/' || b.key = $1",
        odd,
    )
    assert shown == 4
    # The one that is in no store is shared, and was there with the rows.
    shared = "SELECT count(*) FROM active_storage_attachments a JOIN active_storage_blobs b ON b.id = a.blob_id"
    assert await world.connection.fetchval(f"{shared} WHERE b.service_name = 'local'") == 2
    assert await world.connection.fetchval("SELECT count(*) FROM campaign_pool.images") == 0


async def test_a_file_costs_a_call_and_a_page_another(world: World) -> None:
    await world.job()
    assert world.imagekit.calls == {"copy_file": world.template + 1, "list": 1}  # the twins have one source


async def test_a_folder_costs_ten_calls_at_most(world: World) -> None:
    await world.connection.execute(  # the other twin, for which the folder has no place
        "DELETE FROM campaign_pool.image i USING active_storage_blobs b WHERE b.id::text = i.original AND key = $1",
        ODD[3],
    )
    await world.connection.execute("UPDATE campaign_pool.image_set SET images = images - 1")
    world.imagekit.faults = Faults(listing_lag_seconds=3, job_seconds=190)
    assert await world.job(strategy="CopyFolder") == {"done": 1}
    assert await world.faults() == []
    assert world.imagekit.calls == {"list": 3, "copy_folder": 1, "bulk_job": 5}


@BOTH
async def test_doing_it_again_costs_nothing(world: World, strategy: str) -> None:
    await world.job(strategy=strategy)
    world.imagekit.calls.clear()
    assert await world.job(strategy=strategy) == {}
    assert world.imagekit.calls == {}


FAULTS = {
    "429": Faults(rate_429=0.3, retry_seconds=7),
    "500": Faults(rate_500=0.3),
    "reset": Faults(rate_reset=0.3),
    "lost": Faults(rate_lost=0.3),
    "truncated": Faults(rate_truncated=0.3),
    "slow": Faults(rate_slow=0.1, slow_seconds=0.4),
    "all": Faults(rate_429=0.05, rate_500=0.05, rate_reset=0.05, rate_lost=0.05, listing_lag_seconds=4),
}


@BOTH
@pytest.mark.parametrize("fault", FAULTS)
async def test_faults_leave_no_trace(world: World, fault: str, strategy: str) -> None:
    world.imagekit.faults = FAULTS[fault]
    timeout = 0.15 if fault == "slow" else 20.0
    states = await world.job(world.store(timeout=timeout), strategy=strategy)
    assert states["done"] == 1
    assert await world.faults() == []
    assert await world.connection.fetchval("SELECT count(*) FROM campaign_pool.image WHERE state <> 'copied'") == 0
    if fault == "429":
        assert await world.connection.fetchval("SELECT max(attempts) FROM campaign_pool.image") == 0
    if fault != "all":  # without lag it is seen that a copy without an answer was made
        assert {file.versions for file in world.imagekit.files} == {1}


async def test_what_the_store_says_of_the_rate_is_obeyed(world: World) -> None:
    """The Job believes that it may make ever so many calls, and learns better from each refusal."""
    world.imagekit.limits = Limits(writes=Rate(5, 20))
    began = world.clock.seconds
    assert await world.job() == {"done": 1}
    assert await world.faults() == []
    assert 0 < world.imagekit.responses[429] <= world.imagekit.responses[204]
    assert world.clock.seconds - began >= (world.template - 20) / 5


async def test_one_that_is_not_there_fails_alone_and_is_copied_when_it_is(world: World) -> None:
    missing = world.imagekit.files.at(f"/template/{ODD[1]}")
    assert missing
    world.imagekit.files.delete(missing.id)
    world.template -= 1
    assert await world.job() == {"partial": 1}
    assert await world.faults(but=1) == []
    row = await world.connection.fetchrow("SELECT * FROM campaign_pool.images")
    assert row
    assert (row["state"], row["attempts"], row["fallback_path"]) == ("failed", 1, f"/template/{ODD[1]}")
    assert "404: No file found" in row["cause"]
    assert "404" in (await world.image_set())["cause"]

    world.imagekit.files.put("/template/sub", "no_extension", b"there it is")
    world.template += 1
    assert await world.connection.fetchval("SELECT campaign_pool.requeue_images($1)", POOL) == 1
    world.imagekit.calls.clear()
    assert await world.job() == {"done": 1}
    assert world.imagekit.calls == {"list": 2, "copy_file": 1}
    assert await world.faults() == []


async def test_one_that_never_works_ends_after_so_many_attempts(world: World) -> None:
    store = world.store()
    store.refuses[f"/template/{ODD[0]}"] = StoreUnavailableError("ImageKit answers 500")
    states = await world.job(store, max_attempts=3)
    while (await world.image_set())["state"] != "partial":
        await world.later(300)
        states += await world.job(store, max_attempts=3)
    assert (states["pending"], states["partial"]) == (2, 1)
    assert store.copies[f"/template/{ODD[0]}"] == 3
    assert await world.faults(but=1) == []


async def test_one_that_the_database_refuses_fails_alone(world: World) -> None:
    await world.connection.execute(
        "ALTER TABLE active_storage_blobs ADD CONSTRAINT plain CHECK (key NOT LIKE 'camp%/no_extension')"
    )
    assert await world.job() == {"partial": 1}
    cause = await world.connection.fetchval("SELECT cause FROM campaign_pool.images")
    assert "the database refuses it" in cause
    assert "constraint plain" in cause
    copied = "SELECT count(*) FILTER (WHERE state = 'copied') - count(*) FROM campaign_pool.image"
    assert await world.connection.fetchval(copied) == -1


async def test_what_its_user_did_meanwhile_stays(world: World) -> None:
    """A record that was deleted gets no image, and one with an image of its user's keeps that alone."""
    given = await claim(world.connection, chiwar.NEW_USERS[0])
    key = given["campaign_id"]
    gone, changed = [
        row["id"]
        for row in await world.connection.fetch(
            "SELECT id FROM weapons w WHERE campaign_id::text = $1 AND NOT EXISTS ("
            "    SELECT FROM characters WHERE equipped_weapon_id = w.id) ORDER BY id LIMIT 2",
            key,
        )
    ]
    await world.connection.execute("DELETE FROM carries WHERE weapon_id = $1", gone)
    await world.connection.execute("DELETE FROM image_positions WHERE positionable_id = $1", gone)
    await world.connection.execute(
        "UPDATE characters SET equipped_weapon_id = NULL WHERE equipped_weapon_id = $1", gone
    )
    await world.connection.execute("DELETE FROM weapons WHERE id = $1", gone)
    own = await world.connection.fetchval(
        "INSERT INTO active_storage_blobs (key, filename, service_name, byte_size, checksum, created_at) "
        "VALUES ('own', 'own.png', 'imagekit', 1, 'x', now()) RETURNING id"
    )
    await world.connection.execute(
        "INSERT INTO active_storage_attachments (name, record_type, record_id, blob_id, created_at) "
        "VALUES ('image', 'Weapon', $1, $2, now())",
        changed,
        own,
    )
    assert await world.job() == {"done": 1}
    shown = "SELECT blob_id FROM active_storage_attachments WHERE record_id = $1"
    assert await world.connection.fetch(shown, gone) == []
    assert [row["blob_id"] for row in await world.connection.fetch(shown, changed)] == [own]
    assert await world.faults() == []


@BOTH
async def test_a_campaign_that_is_claimed_meanwhile_is_worked_on(world: World, strategy: str) -> None:
    store = world.store()
    store.before[1] = lambda: claim(world.connection, chiwar.NEW_USERS[0])
    assert await world.job(store, strategy=strategy) == {"done": 1}
    assert not store.before
    assert await world.faults() == []


async def test_what_somebody_waits_for_comes_first(world: World) -> None:
    await filled(world.connection, "", 2, job="more")
    given = (await claim(world.connection, chiwar.NEW_USERS[0]))["campaign_id"]
    await world.connection.execute(
        "UPDATE campaign_pool.image_set a SET queued_at = now() + interval '1 s' FROM campaign_pool.claimed k "
        "WHERE k.id = a.campaign"
    )
    leased = await image_queue.lease(world.connection, POOL, timedelta(minutes=1))
    assert leased
    assert (leased.root_key, leased.claimed) == (given, True)


async def retire(world: World) -> None:
    await retiring.retire(world.connection, POOL)
    assert await retiring.remove(world.connection, POOL, 10) == 1


@BOTH
async def test_a_campaign_that_retires_meanwhile_leaves_no_file(world: World, strategy: str) -> None:
    store = world.store()
    store.before[1 if strategy == "CopyFolder" else 8] = lambda: retire(world)
    assert await world.job(store, strategy=strategy, requests_per_second=1, burst=1) == {"deleting": 2, "gone": 1}
    assert store.copies.total() < world.template - 5  # it noticed, and copied no further
    assert world.copies() == []
    assert await world.faults() == []
    assert await world.image_sets() == []
    assert await world.connection.fetchval("SELECT count(*) FROM campaign_pool.image") == 0


async def test_a_folder_that_is_still_being_copied_is_deleted_after_that(world: World) -> None:
    world.imagekit.faults = Faults(job_seconds=10_000)
    assert (await world.job(strategy="CopyFolder")).keys() == {"pending"}
    await retire(world)
    assert (await world.job(strategy="CopyFolder")).keys() == {"deleting"}
    assert "still copying" in (await world.image_set())["cause"]
    await world.later(10_000)
    assert len(world.copies()) == world.template
    assert await world.job(strategy="CopyFolder") == {"deleting": 1, "gone": 1}
    assert world.copies() == []
    assert await world.faults() == []


async def test_files_in_another_account_are_not_pruned(world: World) -> None:
    await world.job()
    await world.connection.execute("UPDATE campaign_pool.image_set SET store = 'another', folder = folder")
    kept = world.copies()
    files = world.imagekit.files
    image_set = await world.image_set()
    files.delete_folder(image_set["folder"])  # as it looks from this account
    await retire(world)
    assert kept
    assert await world.job() == {"deleting": 1}
    assert "another account" in (await world.image_set())["cause"]


async def test_two_jobs_do_not_get_into_each_others_way(world: World) -> None:
    await filled(world.connection, "", 3, job="more")
    done = await asyncio.gather(world.job(), world.job())
    assert sum((item["done"] for item in done), 0) == 4
    assert world.imagekit.calls == {"copy_file": 4 * (world.template + 1), "list": 4}
    assert await world.faults() == []


async def test_a_job_that_lost_its_lease_leaves_the_image_set_alone(world: World) -> None:
    store = world.store()
    other: list[image_queue.ImageSet | None] = []

    async def take_over() -> None:
        # In one transaction: between the two statements the job itself would find an image set that nobody holds.
        async with world.connection.transaction():
            await world.connection.execute("UPDATE campaign_pool.image_set SET next_at = now(), lease_until = now()")
            other.append(await image_queue.lease(world.connection, POOL, timedelta(minutes=10)))

    store.before[8] = take_over
    assert await world.job(store, requests_per_second=1, burst=1) == {"gone": 1}
    assert store.copies.total() < world.template
    assert other[0]
    assert (await world.image_set())["leases"] == other[0].leases == 2
    await world.later(600)
    assert await world.job() == {"done": 1}
    assert not await image_queue.renew_lease(world.connection, other[0], timedelta(minutes=10), None, None, None)
    assert await image_queue.finish(world.connection, other[0], 0, timedelta(hours=2), "late") == "done"
    assert (await world.image_set())["cause"] is None
    assert await world.faults() == []


async def test_an_outage_is_waited_for_and_costs_no_image(world: World) -> None:
    store = world.store()

    async def fail() -> None:
        world.imagekit.faults = Faults(outage_until=world.clock() + 30)

    store.before[10] = fail
    states = await world.job(store)
    assert states["done"] == 1
    assert await world.faults() == []
    failed = world.imagekit.responses[503] + world.imagekit.responses[0]
    assert 8 <= failed <= 20  # until the breaker opened, and one call each time it was tried
    account = await world.connection.fetchrow("SELECT * FROM campaign_pool.account")
    assert account
    assert (account["failures"], account["opened"], account["cause"]) == (0, 0, None)


@BOTH
async def test_an_outage_without_an_end_ends_the_job_and_no_image(world: World, strategy: str) -> None:
    world.imagekit.faults = Faults(outage_until=math.inf)
    ended: CircuitOpenError | None = None
    for _ in range(10):
        try:
            await world.job(strategy=strategy)
        except CircuitOpenError as error:
            ended = error
            break
        await world.later(60)
    assert ended
    assert ended.retry
    assert "ImageKit" in (await world.image_set())["cause"]
    assert await world.connection.fetchval("SELECT max(attempts) FROM campaign_pool.image") == 0
    world.imagekit.faults = Faults()
    await world.later(300)
    assert (await world.job(strategy=strategy))["done"] == 1
    assert await world.faults() == []


async def test_one_call_finds_out_whether_the_breaker_can_close(world: World) -> None:
    async def token() -> float | None:
        return await image_queue.take_token(world.connection, "a", 100, 100)

    async def failed(number: int = 1) -> None:
        for _ in range(number):
            await image_queue.record_calls(world.connection, "a", {"unavailable": 1}, failures=1, most=3, pause=10)

    assert await token() == 0
    await failed(2)
    assert await token() == 0
    await failed(2)  # the second was under way
    for pause in (10, 20, 40, 80, 160, 160):
        await world.later(pause - 1)
        assert await token() is None
        await world.later(1)
        assert await token() is not None
        assert await token() is None  # that one finds out
        await failed()
    await world.later(160)
    assert await token() is not None
    await world.later(61)  # it never said
    assert await token() is not None
    await image_queue.record_calls(world.connection, "a", {"ok": 1}, succeeded=True, most=3, pause=10)
    assert [await token() for _ in range(3)] == [0, 0, 0]
    counted = await world.connection.fetchval("SELECT attempts::text FROM campaign_pool.account")
    assert counted == '{"ok": 1, "unavailable": 10}'


async def test_ten_jobs_share_one_bucket(world: World) -> None:
    """Tokens that ten sessions take at once are due no faster than the rate, whichever sessions they are."""
    sessions = [await asyncpg.connect(world.url) for _ in range(10)]

    async def take(session: "asyncpg.Connection[asyncpg.Record]") -> list[float]:
        # The clock is read once the token is taken: to take it, a session may have to wait for the others.
        query = "SELECT campaign_pool.take_token('a', 50, 20) + extract(epoch FROM clock_timestamp())::float8"
        return [await session.fetchval(query) for _ in range(12)]

    due = sorted(chain.from_iterable(await asyncio.gather(*(take(session) for session in sessions))))
    for session in sessions:
        await session.close()
    assert len(due) == 120
    for first in range(len(due)):
        for last in range(first, len(due)):
            assert last - first + 1 <= 20 + 50 * (due[last] - due[first]) + 1.5
    assert due[-1] - due[0] <= 100 / 50 * 1.5


async def test_ten_jobs_together_stay_within_the_rate(world: World) -> None:
    """In real time, at the store's own count: nearly no call is one too many, as those of two rates would be."""
    await filled(world.connection, "", 9, job="more")
    async with ImageKit(limits=Limits(writes=Rate(150, 20))) as world.imagekit:
        await put_template(world.connection, world.imagekit)
        pause = StoppableSleep(asyncio.Event())
        jobs = (world.job(pause=pause, requests_per_second=100, burst=20) for _ in range(10))
        states = await asyncio.gather(*jobs)
    assert sum(state["done"] for state in states) == 10
    assert world.imagekit.responses[204] == 10 * (world.template + 1)
    assert world.imagekit.responses[429] <= world.imagekit.responses[204] * 0.05
    assert await world.faults() == []


async def test_a_key_that_is_refused_ends_the_job(world: World) -> None:
    with pytest.raises(KeyRefusedError) as refused:
        await world.job(world.store(key="private_wrong"))
    assert not refused.value.retry
    assert "images.secretRef" in refused.value.message
    assert "private_wrong" not in refused.value.message
    assert "images.secretRef" in (await world.image_set())["cause"]
    await world.later(300)
    assert await world.job() == {"done": 1}


async def test_a_campaign_whose_images_are_required_is_ready_with_the_last(world: World) -> None:
    """It is `imaging` until then, and nobody can claim it."""
    await installed(
        world.connection,
        blueprint=blueprint(),
        images={"strategy": "CopyEach", "secretRef": {"name": "k"}, "requiredForReady": True},
    )
    await world.job()
    await filled(world.connection, "", 1, job="more")
    states = "SELECT array_agg(state::text ORDER BY id) FROM campaign_pool.campaign"
    assert await world.connection.fetchval(states) == ["ready", "imaging"]
    world.imagekit.faults = Faults(rate_500=0.5, kinds=frozenset({"copy_file"}))
    assert (await world.job())["done"] == 1
    assert await world.connection.fetchval(states) == ["ready", "ready"]
    assert await world.faults() == []


async def test_what_is_missing_at_the_deadline_has_failed(world: World) -> None:
    world.imagekit.faults = Faults(job_seconds=math.inf)
    waited = 0
    while (await world.image_set())["state"] != "partial":
        await world.job(strategy="CopyFolder")
        await world.later(600)
        waited += 600
    assert waited >= 6000  # and what each Job waited
    image_set = await world.image_set()
    assert image_set["failed"] == image_set["images"]
    assert "still copying" in image_set["cause"]
    causes = await world.connection.fetch("SELECT DISTINCT cause FROM campaign_pool.image")
    assert [row["cause"] for row in causes] == ["it was not copied before the deadline"]
    assert world.imagekit.calls["copy_folder"] == 1


IMPOSSIBLE: dict[str, tuple[Callable[[World], object], str]] = {
    "root": (
        lambda world: world.connection.execute(
            "UPDATE campaign_pool.image SET source = regexp_replace(source, '^/template', '')"
        ),
        "share no folder but the root",
    ),
    "holds": (
        lambda world: world.connection.execute(
            "UPDATE campaign_pool.image SET source = '/template' || source FROM (SELECT 1) x"
        ),
        "holds more than",
    ),
    "inside": (
        lambda world: world.connection.execute(
            f"UPDATE campaign_pool.image SET source = regexp_replace(source, '^/template', '{FOLDER}')"
        ),
        "spec.images.folder is inside it",
    ),
    "absent": (
        lambda world: world.connection.execute(
            "UPDATE campaign_pool.image SET source = regexp_replace(source, '^/template', '/nowhere')"
        ),
        "No files & folder found",
    ),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
async def test_a_folder_that_cannot_be_copied_says_how_to_mend_it(world: World, case: str) -> None:
    change, why = IMPOSSIBLE[case]
    await change(world)  # type: ignore[misc]
    if case == "holds":
        world.imagekit.add_images("/template/template/others", 3 * world.template)
    with pytest.raises(ConfigurationError) as refused:
        await world.job(strategy="CopyFolder")
    assert why in refused.value.message
    assert "set spec.images.strategy to CopyEach" in refused.value.message
    image_set = await world.image_set()
    assert (image_set["state"], image_set["cause"]) == ("pending", refused.value.message)
    assert world.copies() == []


async def test_an_image_set_that_needs_a_person_holds_up_no_other(world: World) -> None:
    await filled(world.connection, "", 1, job="more")
    await world.connection.execute(
        "UPDATE campaign_pool.image SET source = '/nowhere' || source "
        "WHERE campaign = (SELECT campaign FROM campaign_pool.image_set ORDER BY queued_at, campaign LIMIT 1)"
    )
    with pytest.raises(ConfigurationError):
        await world.job(strategy="CopyFolder")
    assert [row["state"] for row in await world.image_sets()] == ["pending", "done"]


async def test_what_a_copied_folder_lacks_is_copied_alone(world: World) -> None:
    store = world.store()

    def lose() -> None:
        for path in world.copies()[:3]:
            file = world.imagekit.files.at(path)
            assert file
            world.imagekit.files.delete(file.id)

    store.after_bulk = lose
    assert await world.job(store, strategy="CopyFolder") == {"done": 1}
    assert world.imagekit.calls["copy_file"] == 3 + 1
    assert await world.faults() == []


@pytest.mark.parametrize("seconds", [0, 6])
async def test_a_folder_whose_copy_was_not_answered_is_not_copied_twice(world: World, seconds: float) -> None:
    world.imagekit.faults = Faults(
        rate_lost=1, times=1, kinds=frozenset({"copy_folder"}), job_seconds=seconds, seed=3
    )
    states = await world.job(strategy="CopyFolder")
    assert states["done"] == 1
    assert world.imagekit.responses[200] > 0
    assert {file.versions for file in world.imagekit.files} == {1}
    assert await world.faults() == []


async def test_copies_that_are_not_listed_yet_are_looked_for_again(world: World) -> None:
    world.imagekit.faults = Faults(listing_lag_seconds=12)
    assert await world.job() == {"done": 1}
    assert world.imagekit.calls["copy_file"] == world.template + 1
    assert world.imagekit.calls["list"] == 5
    assert await world.connection.fetchval("SELECT max(attempts) FROM campaign_pool.image") == 0


async def test_a_lost_connection_is_opened_again(world: World) -> None:
    store = world.store()
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'campaignpool-seeder%'"
    for number in (5, 12):
        store.before[number] = lambda: world.connection.execute(cut)
    assert await world.job(store) == {"done": 1}
    assert world.imagekit.calls == {"copy_file": world.template + 1, "list": 1}
    assert await world.faults() == []


async def test_asked_to_stop_it_gives_the_image_set_back_at_once(world: World) -> None:
    store = world.store()

    async def stop() -> None:
        world.pause.stop.set()

    store.before[8] = stop
    with pytest.raises(StoppedError):
        await world.job(store)
    world.pause.stop.clear()
    assert await image_queue.next_due(world.connection, POOL) <= 0  # type: ignore[operator]
    assert store.copies.total() < world.template - 8
    world.imagekit.calls.clear()
    assert await world.job() == {"done": 1}
    assert world.imagekit.calls == {"copy_file": world.template + 1 - store.copies.total(), "list": 2}
    assert await world.faults() == []


async def test_the_role_of_seeders_is_all_it_needs(world: World) -> None:
    make = "CREATE ROLE images_job LOGIN PASSWORD 'x' IN ROLE campaign_pool_seeder"
    await world.connection.execute(make)
    try:
        user = re.sub(r"//[^@]+@", "//images_job:x@", world.url)
        assert await world.job(url=user) == {"done": 1}
        await retire(world)
        assert await world.job(url=user) == {"deleting": 1, "gone": 1}
        assert world.copies() == []
    finally:
        await world.connection.execute("DROP ROLE images_job")


async def test_one_that_had_failed_and_is_there_after_all_is_not_lost(world: World) -> None:
    image_set = await world.image_set()
    late = f"/template/{ODD[1]}"
    other = f"/template/{ODD[0]}"
    store = world.store()
    store.refuses = {late: StoreRefusedError("no"), other: StoreUnavailableError("ImageKit answers 500")}

    async def come() -> None:
        world.imagekit.files.put(f"{FOLDER}/{image_set['campaign'].hex}/template/sub", "no_extension", b"late")
        store.refuses.clear()

    store.before[world.template + 1 + 1] = come  # with the first copy of the second round
    assert await world.job(store) == {"pending": 1, "done": 1}
    assert not store.before
    assert await world.faults() == []


async def test_it_stays_within_its_share_of_connections(world: World) -> None:
    await world.connection.execute(
        "SELECT set_config('application_name', $1, false)", f"campaignpool-seeder images of {POOL}"
    )
    with pytest.raises(Exception, match=r"raise spec\.database\.maxConnections"):
        await world.job(max_connections=1)


async def test_folders_that_no_campaign_has_are_found_and_then_deleted(world: World) -> None:
    await world.job()
    orphan, young, named = f"{FOLDER}/{'0' * 32}", f"{FOLDER}/{'1' * 32}", f"{FOLDER}/kept"
    for folder in (orphan, named):
        world.imagekit.files.put(folder, "a.png", b"")
    kept = world.copies()
    world.clock.seconds += 3700
    world.imagekit.files.put(young, "a.png", b"")
    store = world.store()

    async def nothing(*_: object) -> None:
        pass

    async with LedgerSession(world.url, nothing, nothing) as session:
        account = Account(session, store.account, 100, 100, world.pause.now)
        search = OrphanSearch(session, store, account, world.pause)
        now = datetime.fromtimestamp(world.clock.seconds, UTC)
        assert [item.path for item in await search.run(FOLDER, delete=False, now=now)] == [orphan]
        assert world.copies() == sorted([*kept, f"{young}/a.png"])
        assert [item.path for item in await search.run(FOLDER, delete=True, now=now)] == [orphan]
        assert await search.run(FOLDER, delete=True, now=now) == []
    assert world.copies() == sorted([*(path for path in kept if not path.startswith(orphan)), f"{young}/a.png"])


async def test_whose_a_folder_is_stays_known(world: World) -> None:
    """Rows of images are pruned once nothing can undo the claim; the folder is the user's all the same."""
    await world.job()
    await claim(world.connection, chiwar.NEW_USERS[0])
    prune = "SELECT campaign_pool.prune_images($1, 100)"
    assert await world.connection.fetchval(prune, POOL) == 0
    await world.connection.execute("UPDATE campaign_pool.claimed SET releasable_until = now()")
    assert [await world.connection.fetchval(prune, POOL) for _ in range(2)] == [1, 0]
    assert await world.connection.fetchval("SELECT count(*) FROM campaign_pool.image") == 0
    folder = (await world.image_set())["folder"]
    assert await image_queue.folders_known(world.connection, [folder, "/other"]) == {folder}
