"""The real operator and real images Jobs, with a stand-in for ImageKit: rows never wait for images, nothing leaks."""

import asyncio
from collections.abc import Callable, Iterator

import asyncpg
import pytest

import chiwar
from campaignpool_local.imagekit import Faults, ImageKit
from tests.support.clusters import needs_local_pods
from tests.support.imagekits import imagekit_thread
from tests.support.images_game import IMAGES, PREPARE, SECRET, ImagesGame
from tests.support.kube import Kube, eventually
from tests.support.operators import Operator, cluster, operator_of
from tests.support.postgres import NewDatabase, Server

pytestmark = [pytest.mark.integration, needs_local_pods]

TEMPLATE = "operator_images_template"
NewGame = Callable[[], "ImagesGame"]


@pytest.fixture(scope="module")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    with cluster(tmp_path_factory.mktemp("kube")) as client:
        yield client


@pytest.fixture(scope="module")
def operator(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with operator_of(kube, tmp_path_factory.mktemp("operator")) as running:
        yield running


@pytest.fixture(scope="module")
def template(pods_server: Server) -> str:
    async def load(url: str) -> None:
        connection = await asyncpg.connect(url)
        try:
            await chiwar.load(connection, scale=0.1)
            await connection.execute(PREPARE)
        finally:
            await connection.close()

    asyncio.run(load(pods_server.create_database(TEMPLATE)))
    return TEMPLATE


@pytest.fixture
def store() -> Iterator[ImageKit]:
    with imagekit_thread() as imagekit:
        imagekit.add_images("/template", IMAGES)
        yield imagekit


@pytest.fixture
def game(
    operator: Operator, kube: Kube, template: str, pods_database: NewDatabase, store: ImageKit
) -> Iterator[ImagesGame]:
    assert operator.alive(), operator.log
    game = ImagesGame(kube, pods_database(template), store)
    yield game
    game.close()


def test_images_follow_the_rows_and_are_told_of(operator: Operator, game: ImagesGame) -> None:
    game.put_key()
    game.begin(size=2, maxConcurrent=1)
    game.has("Ready", "True", "Filled")
    game.counted(0, 2 * IMAGES, 0)
    game.has("ImagesDegraded", "False", "AsExpected")
    eventually(lambda: game.count_events("Normal", "ImagesCopied") == 2, "told of both")
    assert all(
        message.endswith(f"{IMAGES} of {IMAGES}.") for _, why, message in game.events() if why == "ImagesCopied"
    )
    campaign = game.claim(game.users()[0])["campaign_id"]
    assert game.attachments(campaign) == IMAGES
    assert len(game.copies()) >= 2 * IMAGES

    (job, *_) = game.images_jobs()
    assert job["metadata"]["name"].startswith("chiwar-images-")
    runs = [row["job"] for row in game.fetch("SELECT job FROM campaign_pool.run")]
    assert job["metadata"]["name"] not in runs
    assert game.status()["lastSeed"]["job"] in runs
    labels = f'namespace="{game.namespace}",pool="chiwar"'
    eventually(lambda: game.images() == (0, 3 * IMAGES, 0), "those of the claimed campaign, and of its replacement")
    metrics = operator.metrics()
    assert metrics[f'campaignpool_images{{{labels},state="copied"}}'] == 3 * IMAGES
    assert metrics[f"campaignpool_images_queue_age_seconds{{{labels}}}"] == 0
    calls = {key: value for key, value in metrics.items() if key.startswith("campaignpool_image_calls_total{")}
    assert sum(value for key, value in calls.items() if 'outcome="ok"' in key and game.namespace in key) >= 3 * IMAGES
    everything = operator.log + str(game.pool()) + str(game.events()) + str(game.jobs()) + str(metrics)
    assert game.store.private_key not in everything


def test_rows_do_not_wait_for_a_key_that_is_missing(operator: Operator, game: ImagesGame) -> None:
    game.begin(size=1)
    game.has("Ready", "True", "Filled")
    degraded = game.has("ImagesDegraded", "True", "SecretNotFound")
    assert f"no Secret {SECRET} in namespace {game.namespace}: create it" in degraded["message"]
    assert game.condition("Degraded")["status"] == "False"
    assert game.count_events("Warning", "SecretNotFound") == 1
    assert game.images_jobs() == []
    game.put_key()
    game.touch("now")
    game.counted(0, IMAGES, 0)
    game.has("ImagesDegraded", "False", "AsExpected")
    assert game.count_events("Normal", "ImagesRecovered") == 1
    assert operator.alive()


def test_what_failed_is_said_and_tried_again_once_for_each_order(game: ImagesGame) -> None:
    name = f"image-{IMAGES:04}.png"
    lost = game.store.files.at(f"/template/{name}")
    assert lost is not None
    game.store.files.delete(lost.id)
    game.put_key()
    game.begin(size=1)
    degraded = game.has("ImagesDegraded", "True", "ImagesFailed")
    assert "1 images of 1 campaigns were not copied: " in degraded["message"]
    assert "campaignpool.dev/retry-images" in degraded["message"]
    assert game.images() == (0, IMAGES - 1, 1)
    assert game.count_events("Warning", "ImagesPartial") == 1
    game.has("Ready", "True", "Filled")
    game.store.add_images("/template", IMAGES)
    game.retry("1")
    game.counted(0, IMAGES, 0)
    assert game.status()["images"]["retried"] == "1"
    game.has("ImagesDegraded", "False", "AsExpected")
    game.touch("again")
    game.touch("and again")
    assert game.count_events("Normal", "ImagesRetried") == 1


def test_a_job_that_cannot_start_is_replaced_after_its_deadline_and_a_pause(game: ImagesGame) -> None:
    game.begin(size=1)
    game.has("ImagesDegraded", "True", "SecretNotFound")
    game.has("Ready", "True", "Filled")
    game.patch(seeding={"image": "nowhere.invalid/seeder:9", "startDeadlineSeconds": 10})
    game.put_key()
    game.touch("now")
    # The key acts at once, and may make a Job of the image before.
    (first,) = eventually(lambda: [job for job in game.images_jobs() if "nowhere.invalid" in str(job)], "a Job")
    game.has("ImagesDegraded", "True", "ImagePullBackOff")
    (second,) = eventually(
        lambda: [job for job in game.images_jobs() if job["metadata"]["uid"] != first["metadata"]["uid"]]
    )
    assert second["metadata"]["annotations"]["campaignpool.dev/failures"] == "1"
    eventually(lambda: len(game.images_jobs()) == 1, "the first is gone")
    game.patch(seeding={"image": None})
    game.counted(0, IMAGES, 0)
    game.has("ImagesDegraded", "False", "AsExpected")


def test_rows_do_not_wait_for_a_store_that_does_not_answer(game: ImagesGame) -> None:
    game.store.faults = Faults(outage_until=float("inf"))
    game.put_key()
    database = {**game.manifest["spec"]["database"], "maxConnections": 1}
    game.begin(size=1, maxConcurrent=1, database=database)
    game.has("Ready", "True", "Filled")
    eventually(
        lambda: game.fetch("SELECT FROM campaign_pool.account WHERE open_until > '-infinity'"), "the breaker is open"
    )
    working = "SELECT FROM pg_stat_activity WHERE application_name LIKE 'campaignpool-seeder images of%'"
    assert game.fetch(working), "the images Job holds its connection"
    game.claim(game.users()[0])
    eventually(lambda: game.states() == {"ready": 1, "claimed": 1}, "seeded meanwhile")
    game.has("ImagesDegraded", "True", "BreakerOpen")


def test_no_job_is_made_while_the_breaker_is_open(game: ImagesGame) -> None:
    game.put_key()
    game.begin(size=1)
    game.counted(0, IMAGES, 0)
    created = len(game.images_jobs())
    game.fetch(
        "UPDATE campaign_pool.account SET open_until = now() + interval '1 hour', failures = 8, cause = 'no answer'"
    )
    game.claim(game.users()[0])
    degraded = game.has("ImagesDegraded", "True", "BreakerOpen")
    assert degraded["message"].startswith("Calls of ImageKit failed one after the other (no answer)")
    game.has("Ready", "True", "Filled")
    assert game.condition("Degraded")["status"] == "False"
    assert game.images() == (IMAGES, IMAGES, 0)
    assert len(game.images_jobs()) == created
    game.fetch("UPDATE campaign_pool.account SET open_until = '-infinity', failures = 0, cause = NULL")
    game.touch("now")
    game.counted(0, 2 * IMAGES, 0)
    game.has("ImagesDegraded", "False", "AsExpected")
    assert game.count_events("Warning", "BreakerOpen") == game.count_events("Normal", "BreakerClosed") == 1


def test_deletion_deletes_what_was_copied(game: ImagesGame) -> None:
    game.put_key()
    game.begin({"strategy": "CopyFolder"}, size=2)
    game.counted(0, 2 * IMAGES, 0)
    campaign = game.claim(game.users()[0])["campaign_id"]
    game.delete()
    game.gone()
    assert game.states() == {"claimed": 1}
    folder = game.fetch(
        "SELECT folder FROM campaign_pool.image_set a JOIN campaign_pool.claimed c ON c.id = a.campaign"
    )
    assert len(game.copies()) == IMAGES
    assert all(path.startswith(f"{folder[0]['folder']}/") for path in game.copies())
    assert game.attachments(campaign) == IMAGES
    functions = "SELECT FROM pg_proc WHERE pronamespace = 'campaign_pool'::regnamespace AND proname ~ '_r[0-9]+$'"
    assert game.fetch(functions) == []


def test_deletion_finishes_images_of_claims_and_says_what_is_in_the_way(game: ImagesGame) -> None:
    game.begin(size=2)
    game.has("Ready", "True", "Filled")
    campaign = game.claim(game.users()[0])["campaign_id"]
    game.delete()
    degraded = game.has("ImagesDegraded", "True", "SecretNotFound")
    assert "until spec.deletion.timeout has passed" in degraded["message"]
    assert "finalizer campaignpool.dev/finalizer is removed" in degraded["message"]
    eventually(lambda: game.states() == {"claimed": 1}, "what nobody claimed is gone")
    game.put_key()
    game.touch("now")
    game.gone()
    assert game.attachments(campaign) == IMAGES
    assert len(game.copies()) == IMAGES


def test_deletion_gives_up_on_images_after_their_deadline(operator: Operator, game: ImagesGame) -> None:
    game.begin({"deadline": "1s"}, size=1)
    game.has("Ready", "True", "Filled")
    game.claim(game.users()[0])
    game.delete()
    game.gone()
    assert game.count_events("Warning", "ImagesLeftBehind") == 1
    assert "images left in place" in operator.log
