"""Images as the ledger tells of them: what the operator sees, what is pruned, and the commands for people."""

import json
from datetime import timedelta

import pytest

import chiwar
from campaignpool.blueprint import install
from campaignpool.cli import main
from campaignpool.ledger import image_queue, images, pools, retiring
from campaignpool.ledger.database import Connection
from campaignpool.ledger.image_queue import ImageFault, ImageSet
from campaignpool.ledger.images import ImageTotals
from tests.support import ledgers, resources
from tests.support.commands import on
from tests.support.ledgers import POOL
from tests.support.postgres import NewDatabase

pytestmark = pytest.mark.integration

COPIES = {"strategy": "CopyEach", "secretRef": {"name": "imagekit"}}
LEASE, DEADLINE = timedelta(minutes=1), timedelta(hours=2)
ACCOUNT = "imagekit-1"


@pytest.fixture
def url(new_database: NewDatabase, chiwar_template: str) -> str:
    """The sample application with a pool that copies images: two campaigns, nothing copied yet."""
    url = new_database(chiwar_template)

    async def work(connection: Connection) -> None:
        await ledgers.installed(connection, images=COPIES)
        await ledgers.filled(connection, "", 2)

    on(url, work)
    return url


async def leased(connection: Connection) -> ImageSet:
    image_set = await image_queue.lease(connection, POOL, LEASE)
    assert image_set is not None
    assert await image_queue.renew_lease(
        connection, image_set, LEASE, f"/campaigns/{image_set.campaign.hex}", ACCOUNT, None
    )
    return image_set


async def worked_off(connection: Connection, failing: int = 0) -> int:
    """Copy the next image set, all but so many of its images; gives how many it has."""
    image_set = await leased(connection)
    pending = await image_queue.pending(connection, image_set.campaign)
    faults = [ImageFault(image.original, "the file is not there", final=True, pause=0) for image in pending[:failing]]
    await image_queue.fail(connection, image_set.campaign, faults, 8)
    files = [
        {
            "original": image.original,
            "file_id": f"f{image.original}",
            "name": "n",
            "path": f"{image_set.campaign.hex}/{image.original}",
            "url": "u",
            "size": 1,
        }
        for image in pending[failing:]
    ]
    assert await image_queue.settle(connection, image_set.campaign, files) == len(files)
    await image_queue.finish(connection, image_set, 0, DEADLINE, None)
    return len(pending)


async def note(connection: Connection, outcomes: dict[str, float], failures: int, succeeded: bool) -> None:
    query = "SELECT campaign_pool.record_calls($1, $2::text::jsonb, $3, $4, 0, 5, 30, $5)"
    await connection.execute(query, ACCOUNT, json.dumps(outcomes), failures, succeeded, "no answer")


async def seen(connection: Connection) -> ImageTotals:
    return (await pools.observe(connection, POOL)).images


def test_what_waits_over_time_goes_down_by_each_campaign_whose_images_are_copied(url: str) -> None:
    async def work(connection: Connection) -> None:
        total = (await seen(connection)).pending
        await connection.execute("UPDATE campaign_pool.image_set SET queued_at = now() - interval '100 minutes'")
        begun = await images.burn_down(connection, POOL)
        assert [waiting for _, waiting in begun.points] == [total] * len(begun.points)
        assert begun.points[-1][0] - begun.points[0][0] > timedelta(minutes=99)
        assert begun.copied_a_minute == 0
        copied = await worked_off(connection)
        past = "UPDATE campaign_pool.image_set SET finished_at = now() - interval '5 minutes' WHERE state = 'done'"
        await connection.execute(past)
        half = await images.burn_down(connection, POOL)
        assert (half.points[0][1], half.points[-1][1]) == (total, total - copied)
        assert half.copied_a_minute == copied / images.PACE_MINUTES
        await worked_off(connection, failing=2)
        ended = await images.burn_down(connection, POOL)
        assert ended.points[-1][1] == 0
        assert ended.points[-1][0] - ended.points[0][0] == timedelta(hours=1)

    on(url, work)


def test_what_is_due_and_what_waits(url: str) -> None:
    async def work(connection: Connection) -> None:
        before = await seen(connection)
        item = before.pending // 2
        assert item > 0
        assert (before.unfinished, before.due, before.copied, before.accounts) == (2, 2, 0, ())
        assert before.due_since is not None
        await leased(connection)
        during = await seen(connection)
        assert (during.unfinished, during.due) == (2, 1)
        assert during.due_in is not None
        assert 50 < during.due_in <= 60, "when the lease ends"
        await note(connection, {"unavailable": 5}, 5, succeeded=False)
        blocked = await seen(connection)
        assert blocked.due == 0, "also the image set that nobody has begun: the account that was used last is out"
        assert blocked.blocked is not None
        assert (blocked.blocked.name, blocked.blocked.open, blocked.blocked.cause) == (ACCOUNT, True, "no answer")
        assert blocked.blocked.waiting == 2
        await note(connection, {"ok": 1, "seconds": 0.25}, 0, succeeded=True)
        await note(connection, {"ok": 1, "seconds": 0.5}, 0, succeeded=True)
        after = await seen(connection)
        assert (after.due, after.blocked) == (1, None)
        assert after.accounts[0].attempts == {"unavailable": 5, "ok": 2, "seconds": 0.75}
        assert after.accounts[0].calls == {"unavailable": 5, "ok": 2}

    on(url, work)


def test_what_ended_is_told_from_a_moment_on(url: str) -> None:
    async def work(connection: Connection) -> None:
        count = await worked_off(connection)
        first = await seen(connection)
        assert first.last_finished_at is not None
        long_ago = first.last_finished_at - timedelta(hours=1)
        (whole,) = await images.finished(connection, POOL, long_ago, first.last_finished_at)
        assert (whole.images, whole.copied, whole.failed, whole.cause) == (count, count, 0, None)
        later = first.last_finished_at + timedelta(hours=1)
        assert await images.finished(connection, POOL, first.last_finished_at, later) == ()
        await worked_off(connection, failing=3)
        (partly,) = await images.finished(connection, POOL, first.last_finished_at, later)
        assert await images.finished(connection, POOL, long_ago, first.last_finished_at) == (whole,)
        assert (partly.copied, partly.failed, partly.cause) == (count - 3, 3, "the file is not there")
        now = await seen(connection)
        assert (now.unfinished, now.pending, now.copied, now.failed, now.partial) == (0, 0, 2 * count - 3, 3, 1)
        assert now.causes == {"the file is not there": 3}
        assert await images.requeue(connection, POOL) == 3
        again = await seen(connection)
        assert (again.pending, again.failed, again.due) == (3, 0, 1)

    on(url, work)


def test_an_image_set_that_gets_no_further_is_named(url: str) -> None:
    async def work(connection: Connection) -> None:
        only = (
            "UPDATE campaign_pool.image_set SET next_at = CASE campaign WHEN $1 THEN now() ELSE now() + '1 hour' END"
        )
        for stalled in (0, 0, 1):
            image_set = await leased(connection)
            await image_queue.finish(connection, image_set, 60, DEADLINE, "its files are in another account")
            images = await seen(connection)
            assert (images.stalled, images.cause) == (stalled, "its files are in another account")
            await connection.execute(only, image_set.campaign)

    on(url, work)


def test_what_is_of_no_use_any_more_is_pruned(url: str) -> None:
    async def work(connection: Connection) -> None:
        count = await worked_off(connection)
        await worked_off(connection, failing=1)
        assert not (await pools.observe(connection, POOL)).prunable, "they may still be retired"
        for _ in range(2):
            await ledgers.claim(connection, chiwar.NEW_USER_ID)
        assert not (await pools.observe(connection, POOL)).prunable, "they may still be released"
        await connection.execute("UPDATE campaign_pool.claimed SET releasable_until = now()")
        assert (await pools.observe(connection, POOL)).prunable
        await pools.prune(connection, POOL)
        facts = await pools.observe(connection, POOL)
        assert not facts.prunable
        assert (facts.images.copied, facts.images.failed) == (count - 1, 1), "what failed is kept"
        assert await connection.fetchval("SELECT count(DISTINCT campaign) FROM campaign_pool.image") == 1
        await connection.execute("DELETE FROM campaign_pool.claimed")
        assert (await pools.observe(connection, POOL)).prunable
        await pools.prune(connection, POOL)
        assert await seen(connection) == ImageTotals()
        assert await connection.fetchval("SELECT count(*) FROM campaign_pool.image") == 0
        assert await connection.fetchval("SELECT count(*) FROM campaign_pool.image_set") == 2, (
            "they say whose folders"
        )

    on(url, work)


def test_what_a_pool_that_is_gone_left_is_not_tried_again(url: str) -> None:
    async def work(connection: Connection) -> None:
        await ledgers.claim(connection, chiwar.NEW_USER_ID)
        await worked_off(connection, failing=1)  # what was claimed comes first
        await connection.execute("UPDATE campaign_pool.claimed SET releasable_until = now()")
        await resources.close(connection, POOL)
        await retiring.retire(connection, POOL)
        while await retiring.remove(connection, POOL, 10):
            pass
        await pools.finish_deletion(connection, POOL)
        assert await install.drop_unused(connection, POOL) == 1
        assert await images.requeue(connection, POOL) == 0

    on(url, work)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    try:
        code = main.main(["images", *words])
    except SystemExit as ended:
        code = int(ended.code or 0)
    return code, *capsys.readouterr()


def test_status_is_a_table_and_retry_tries_again(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    count = on(url, lambda connection: worked_off(connection, failing=2))
    where = ("--pool", POOL, "--database-url", url)
    code, said, complained = run(capsys, "status", *where)
    assert (code, complained) == (0, "")
    heading, pending, partial, total = said.splitlines()
    assert heading.split() == ["CAMPAIGN", "STATE", "CLAIMED", "COPIED", "FAILED", "WHY"]
    assert pending.split()[1:] == ["pending", "no", f"0/{count}", "0"]
    assert partial.split()[1:5] == ["partial", "no", f"{count - 2}/{count}", "2"]
    assert partial.endswith("the file is not there (2)")
    assert total == f"{count - 2} of {2 * count} images of 2 campaigns are copied, 2 failed"
    campaign = partial.split()[0]
    code, said, _ = run(capsys, "status", "--campaign", campaign, "--json", *where)
    (image_set,) = json.loads(said)
    assert (image_set["campaign_id"], image_set["state"], image_set["failed"]) == (campaign, "partial", 2)
    assert run(capsys, "retry", "--campaign", pending.split()[0], *where)[1] == "0 images are retried\n"
    assert run(capsys, "retry", "--campaign", campaign, *where)[:2] == (0, "2 images are retried\n")
    assert run(capsys, "retry", *where)[1] == "0 images are retried\n"


def test_commands_on_what_is_not_there(
    url: str, new_database: NewDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, complained = run(capsys, "status", "--pool", "game/none", "--database-url", url)
    assert code == 1
    assert complained.startswith("campaignpool: there is no pool game/none in this database")
    for word in ("status", "retry"):
        code, _, complained = run(capsys, word, "--pool", POOL, "--database-url", new_database(None))
        assert code == 1
        assert complained.startswith("campaignpool: this database has no ledger")
