"""Images, as the operator's pure parts have them: when a Job is made, what is in it, and what is said."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from campaignpool.api.reasons import Reason
from campaignpool.api.resource import seconds
from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.api.status import CampaignPoolStatus, ImagesStatus
from campaignpool.ledger.images import Account, Finished, ImageTotals
from campaignpool.ledger.pools import OwnerCounts
from campaignpool_operator.facts import Event, Fault, Observed
from campaignpool_operator.jobs import images as images_jobs
from campaignpool_operator.jobs import managed, seeding
from campaignpool_operator.jobs.images import BACKOFF_SECONDS, KEPT_SECONDS
from campaignpool_operator.jobs.managed import PoolRef
from campaignpool_operator.jobs.pods import JobPods, Obstacle
from campaignpool_operator.plan.actions import CreateImagesJob, DeleteJob, ImagesAction, RetryImages
from campaignpool_operator.plan.images import ACTIVE_SECONDS, STARTING_SECONDS, plan
from campaignpool_operator.plan.plan import plan as plan_all
from campaignpool_operator.status import images as image_status
from campaignpool_operator.status.conditions import find as condition
from campaignpool_operator.status.project import project
from campaignpool_operator.text import dump
from tests.support.pools import COPIES, NOW, ago, copying, images_job, job, ledger, observed, pool, spec

GOLDEN = Path(__file__).parent.parent / "data" / "images-job.yaml"
NAME = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
POOL = PoolRef("game", "chiwar", "uid-1", generation=3)
DUE = ImageTotals(pending=20, copied=5, unfinished=2, due=2, due_since=ago(5), oldest_queued_at=ago(30))
LATER = replace(DUE, due=0, due_since=None, due_in=42.0)
DONE = ImageTotals(copied=25, last_finished_at=ago(5))
FAILED = ImageTotals(copied=20, failed=5, partial=1, causes={"the file is not there": 5}, last_finished_at=ago(5))
MISSING = Fault(Reason("SecretNotFound"), "there is no Secret imagekit in namespace game: create it", retry=False)
OPEN = Account("imagekit-1", 8, "no answer", NOW + timedelta(seconds=40), open=True, waiting=1)


def actions(seen: Observed) -> list[ImagesAction]:
    return list(plan(seen).actions)


def created(seen: Observed) -> list[tuple[int, int]]:
    """Number and failures of the Jobs that are asked for."""
    return [(action.number, action.failures) for action in actions(seen) if isinstance(action, CreateImagesJob)]


def said(seen: Observed) -> tuple[str, str, str]:
    result = condition(project(seen, plan_all(seen)), image_status.KIND)
    assert result is not None
    return result.status, result.reason, result.message


# --- when a Job is made ------------------------------------------------------------------------------------------


def test_a_job_is_made_for_what_is_due() -> None:
    assert actions(copying(DUE)) == [CreateImagesJob(1, 0, 2, "images of 2 campaigns are due")]
    assert actions(copying(ImageTotals())) == actions(copying(DONE)) == []


def test_what_is_due_later_is_looked_at_then() -> None:
    result = plan(copying(LATER))
    assert result.actions == ()
    assert result.next_check == 42
    assert plan_all(copying(LATER)).next_check == 42


def test_at_most_one_job_is_active() -> None:
    active = images_job(3)
    result = plan(copying(DUE, image_jobs=(active,), pods={active.name: JobPods(started=True)}))
    assert result.actions == ()
    assert result.next_check == ACTIVE_SECONDS


def test_a_job_without_a_started_pod_is_looked_at_more_often() -> None:
    assert plan(copying(DUE, image_jobs=(images_job(3),))).next_check == STARTING_SECONDS


def test_the_number_follows_the_highest_of_the_jobs_that_are_there() -> None:
    assert created(copying(DUE, image_jobs=(images_job(3, "Succeeded"), images_job(4, "Succeeded")))) == [(5, 0)]


def test_images_count_in_nothing_that_seeding_counts() -> None:
    lacking = ledger({}, images=DUE)
    seen = copying(DUE, ledger=lacking, image_jobs=(images_job(),), spec=spec(images=COPIES, maxConcurrent=1))
    without = plan_all(replace(seen, image_jobs=()))
    result = plan_all(seen)
    assert [type(action).__name__ for action in result.actions] == ["CreateJob"]
    assert (result.in_flight, result.promised) == (without.in_flight, without.promised)
    assert plan_all(replace(seen, image_jobs=(images_job(1, "Failed"),))).failures.count == 0


def test_images_go_on_in_a_pause_and_with_a_fault_of_the_rows() -> None:
    assert created(copying(DUE, spec=spec(images=COPIES, paused=True))) == [(1, 0)]
    seen = copying(DUE, fault=Fault(Reason("BlueprintInvalid"), "no such table", retry=False), compiled=None)
    assert [type(action) for action in plan_all(seen).images.actions] == [CreateImagesJob]
    assert plan_all(seen).actions == ()
    assert plan_all(replace(seen, ledger=None)).images.actions == ()


def test_what_a_former_strategy_left_is_worked_off() -> None:
    shares = spec(images={"strategy": "Share", "secretRef": {"name": "imagekit"}})
    assert created(copying(DUE, spec=shares)) == [(1, 0)]
    built = build(shares)
    assert "--strategy=CopyEach" in built["spec"]["template"]["spec"]["containers"][0]["args"]


def test_without_a_key_no_job_is_made_and_rows_are() -> None:
    seen = copying(DUE, images_fault=MISSING, ledger=ledger({}, images=DUE))
    assert actions(seen) == []
    assert [type(action).__name__ for action in plan_all(seen).actions] == ["CreateJob"]


def test_a_job_that_was_made_from_other_settings_is_taken_back_once() -> None:
    (action,) = actions(copying(DUE, image_jobs=(images_job(settings="other"),)))
    assert isinstance(action, DeleteJob)
    assert (action.name, action.kind) == ("chiwar-images-1", "Images")
    assert actions(copying(DUE, image_jobs=(images_job(settings="other", deleting=True),))) == []


@pytest.mark.parametrize(("before", "pause"), [(0, 10), (1, 20), (2, 40), (6, 600), (50, 600)])
def test_each_failure_doubles_the_pause(before: int, pause: int) -> None:
    failed = images_job(7, "Failed", failures=before, finished_at=NOW)
    seen = copying(DUE, image_jobs=(failed,))
    result = plan(seen)
    assert result.actions == ()
    assert (result.failures.count, result.next_check) == (before + 1, pause)
    later = replace(seen, cluster_now=NOW + timedelta(seconds=pause))
    assert created(later) == [(8, before + 1)], "and the next Job carries the count"


PULL = Obstacle(Reason("ImagePullBackOff"), "the pod of Job chiwar-images-7 does not start (not found)")


def stuck(seconds: float, pods: JobPods | None = None, **changes: object) -> Observed:
    """A Job whose pod has not started for so many seconds, after two others."""
    stuck_job = images_job(7, failures=2, created_at=ago(seconds), **changes)
    pods = JobPods(obstacle=PULL) if pods is None else pods
    return copying(DUE, image_jobs=(stuck_job,), pods={stuck_job.name: pods})


def test_a_job_that_no_pod_starts_for_is_replaced_after_its_deadline_and_a_pause() -> None:
    assert actions(stuck(120)) == []
    waiting = plan(stuck(150))
    assert waiting.actions == ()
    assert (waiting.failures.count, waiting.failures.wait, waiting.next_check) == (3, 10, STARTING_SECONDS)
    assert actions(stuck(160)) == [
        DeleteJob("chiwar-images-7", "uid-images-7", "no pod of it started within 120 s", "Images"),
        CreateImagesJob(8, 3, 2, "for Job chiwar-images-7: no pod of it started within 120 s"),
    ]
    status, reason, message = said(stuck(150))
    assert (status, reason) == ("True", "ImagePullBackOff")
    assert "3 images Jobs in a row did not start; the next is created after a pause" in message


def test_a_job_without_any_pod_is_replaced_too_and_says_so() -> None:
    seen = stuck(160, JobPods())
    assert created(seen) == [(8, 3)]
    _, reason, message = said(seen)
    assert reason == "PodNotStarted"
    assert message.startswith(
        "No pod of Job chiwar-images-7 started within 120 s; 3 images Jobs in a row did not start"
    )


@pytest.mark.parametrize("pods", [JobPods(started=True), JobPods(pulling=True)])
def test_a_job_that_started_or_still_pulls_its_image_is_left_alone(pods: JobPods) -> None:
    assert actions(stuck(5000, pods)) == []


def test_a_job_that_is_suspended_or_being_deleted_is_left_alone() -> None:
    assert actions(stuck(5000, suspended=True)) == actions(stuck(5000, deleting=True)) == []


def test_the_job_is_kept_while_nothing_could_be_done_in_its_place() -> None:
    assert actions(replace(stuck(5000), images_fault=MISSING)) == []
    assert actions(replace(stuck(5000), ledger=ledger({}, images=LATER))) == []


def test_the_longest_pause_is_shorter_than_jobs_are_kept() -> None:
    assert BACKOFF_SECONDS[1] < KEPT_SECONDS / 2


def test_a_job_that_ended_in_the_future_does_not_lengthen_the_pause() -> None:
    assert plan(copying(DUE, image_jobs=(images_job(1, "Failed", finished_at=ago(-3600)),))).next_check == 10


def test_a_success_or_a_change_of_the_resource_ends_the_count() -> None:
    failed, good = images_job(1, "Failed", failures=4), images_job(2, "Succeeded", failures=5)
    assert created(copying(DUE, image_jobs=(failed, good))) == [(3, 0)]
    assert created(copying(DUE, image_jobs=(failed,), pool=pool(generation=2))) == [(2, 0)]


def test_a_job_that_ends_well_and_does_nothing_is_no_hot_loop() -> None:
    idle = images_job(1, "Succeeded", created_at=ago(4), finished_at=ago(2))
    result = plan(copying(DUE, image_jobs=(idle,)))
    assert result.actions == ()
    assert result.failures.cause.startswith("JobIncomplete: ")
    came_later = replace(DUE, due_since=ago(1))
    assert created(copying(came_later, image_jobs=(idle,))) == [(2, 0)]


def test_more_work_than_fits_into_one_job_is_no_failure() -> None:
    ended = images_job(1, "Failed", reason="DeadlineExceeded", created_at=ago(8000))
    assert created(copying(replace(DUE, last_finished_at=ago(60)), image_jobs=(ended,))) == [(2, 0)]
    assert plan(copying(DUE, image_jobs=(ended,))).failures.count == 1, "nothing came of it: it never began"


def order(value: str, known: ImagesStatus | None = None, **changes: object) -> Observed:
    status = CampaignPoolStatus(images=known)
    return copying(FAILED, pool=pool(retry_images=value, status=status), **changes)


def test_an_order_to_try_again_is_obeyed_once() -> None:
    retried = ImagesStatus(pending=0, copied=0, failed=0, retried="1")
    assert actions(order("1")) == [RetryImages("1"), CreateImagesJob(1, 0, 1, "another try was asked for")]
    assert actions(order("1", retried)) == actions(order("", retried)) == []
    assert RetryImages("2") in actions(order("2", retried))
    seen = order("1")
    images = project(seen, plan_all(seen)).images
    assert images is not None
    assert images.retried == "1"


def test_an_order_is_obeyed_without_a_pause_but_not_against_an_open_breaker() -> None:
    assert created(order("1", image_jobs=(images_job(1, "Failed", finished_at=NOW),))) == [(2, 1)]
    blocked = replace(FAILED, accounts=(OPEN,))
    assert actions(order("1", ledger=ledger({}, images=blocked))) == [RetryImages("1")]


def test_an_order_that_could_not_be_obeyed_is_not_remembered() -> None:
    seen = order("1")
    todo = plan_all(seen)
    status = project(seen, replace(todo, images=replace(todo.images, actions=())))
    assert status.images is not None
    assert status.images.retried is None


def build(wanted: CampaignPoolSpec) -> dict[str, Any]:
    """The seventh images Job of a pool, after two failures."""
    return managed.build(POOL, images_jobs.job(POOL, wanted, "seeder:1", 7, 2), wanted, "seeder:1")


# --- what is in a Job --------------------------------------------------------------------------------------------


def test_a_job_is_what_the_golden_file_says() -> None:
    """To take a change over: print `yaml.safe_dump(job, sort_keys=False)` into the file, and read the difference."""
    images = {
        **COPIES,
        "secretRef": {"name": "imagekit", "key": "key"},
        "endpoint": "http://kit",
        "deadline": "1h30m",
    }
    wanted = spec(images=images, database={"secretRef": {"name": "database", "key": "dsn"}})
    assert build(wanted) == yaml.safe_load(GOLDEN.read_text())


def existing(**meta: object) -> dict[str, Any]:
    outcome = build(spec(images=COPIES))
    outcome["metadata"] |= {"uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z", **meta}
    return outcome


def test_what_a_job_was_made_from_is_read_back() -> None:
    result = managed.parse(existing())
    assert result is not None
    assert (result.name, result.number, result.failures, result.generation) == ("chiwar-images-7", 7, 2, 3)
    assert result.settings == images_jobs.settings(POOL, spec(images=COPIES), "seeder:1")
    assert result.state == "Active"


def test_jobs_of_the_two_kinds_are_told_apart() -> None:
    seeds = managed.build(POOL, seeding.job(POOL, spec(), 1, 5), spec(), "seeder:1")
    seeds["metadata"] |= {"uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    kinds = [result.component for item in (existing(), seeds) if (result := managed.parse(item))]
    assert kinds == ["images", "seeder"]
    assert managed.parse(existing(annotations={})) is None
    own, theirs = (set(item["spec"]["template"]["metadata"]["labels"].items()) for item in (existing(), seeds))
    parts = seeding.selector("chiwar").split(",")
    wanted = {(key, value) for key, _, value in (part.partition("=") for part in parts)}
    assert wanted <= theirs
    assert not wanted <= own


def test_settings_change_with_what_a_job_is_made_from_and_with_nothing_else() -> None:
    def settings(image: str = "seeder:1", **changes: object) -> str:
        return images_jobs.settings(POOL, spec(**{"images": COPIES, **changes}), image)

    assert settings() == settings(size=3, owners=[{"id": "a", "size": 1}])
    others = [
        settings(images={**COPIES, "strategy": "CopyFolder"}),
        settings(images={**COPIES, "requestsPerSecond": 9}),
        settings(images={**COPIES, "deadline": "3h"}),
        settings(images={**COPIES, "secretRef": {"name": "another"}}),
        settings("seeder:2"),
        settings(seeding={"podTemplate": {"spec": {"nodeSelector": {"a": "b"}}}}),
    ]
    assert len({settings(), *others}) == 7


@pytest.mark.parametrize("name", ["chiwar", "a" * 253, "my.pool." + "x" * 60, "p" * 50 + "..x"])
def test_names_are_valid_however_long_the_pool_s_name(name: str) -> None:
    assert NAME.match(images_jobs.job_name(name, 123456))
    assert images_jobs.job_name(name, 12).endswith("-images-12")


@pytest.mark.parametrize(
    ("text", "wanted"), [("90s", 90), ("15m", 900), ("1h30m", 5400), ("2h", 7200), ("1h1s", 3601)]
)
def test_durations(text: str, wanted: int) -> None:
    assert seconds(text) == wanted


# --- what is said ------------------------------------------------------------------------------------------------


def test_images_as_they_should_be() -> None:
    assert said(copying(DUE))[:2] == said(copying(DONE))[:2] == ("False", "AsExpected")
    status = project(copying(DUE), plan_all(copying(DUE)))
    assert status.images == ImagesStatus(pending=20, copied=5, failed=0)


def test_a_pool_that_copies_nothing_says_so_and_has_no_figures() -> None:
    assert said(observed())[:2] == ("False", "NotCopied")
    assert "images" not in dump(project(observed(), plan_all(observed())))


@pytest.mark.parametrize(
    ("seen", "reason", "says"),
    [
        (copying(DUE, images_fault=MISSING), "SecretNotFound", "There is no Secret imagekit"),
        (
            copying(replace(DUE, accounts=(OPEN,))),
            "BreakerOpen",
            "one after the other (no answer); they are tried again",
        ),
        (
            copying(replace(DUE, cause="the key is refused"), image_jobs=(images_job(1, "Failed"),)),
            "ImagesJobFailed",
            "BackoffLimitExceeded: Job has reached the specified backoff limit; the key is refused",
        ),
        (copying(FAILED), "ImagesFailed", "5 images of 1 campaigns were not copied: the file is not there (5)"),
        (copying(replace(LATER, stalled=1, cause="another account")), "ImagesStalled", "no further: another account"),
    ],
)
def test_each_cause_has_its_reason_and_says_what_to_do(seen: Observed, reason: str, says: str) -> None:
    status, why, message = said(seen)
    assert (status, why) == ("True", reason)
    assert says in message
    degraded = condition(project(seen, plan_all(seen)), "Degraded")
    assert degraded is not None
    assert degraded.status == "False", "rows have nothing to do with it"


def test_a_breaker_that_nothing_waits_for_is_nobody_s_business() -> None:
    assert said(copying(replace(DONE, accounts=(replace(OPEN, waiting=0),))))[:2] == ("False", "AsExpected")


def test_a_fault_that_hides_the_ledger_leaves_what_was_said() -> None:
    fault = Fault(Reason("DatabaseUnreachable"), "no connection", retry=True)
    assert said(copying(DUE, fault=fault, ledger=None))[:2] == ("Unknown", "NotObserved")
    before = project(copying(FAILED), plan_all(copying(FAILED)))
    seen = copying(FAILED, pool=pool(status=before), fault=fault, ledger=None)
    assert said(seen)[:2] == ("True", "ImagesFailed")
    assert project(seen, plan_all(seen)).images == before.images


def test_campaigns_that_wait_for_required_images_are_progress() -> None:
    seen = copying(DUE, ledger=ledger({"": OwnerCounts(imaging=5)}, images=DUE))
    progressing = condition(project(seen, plan_all(seen)), "Progressing")
    assert progressing is not None
    assert (progressing.status, progressing.reason) == ("True", "Imaging")


def told(before: Observed, now: Observed) -> list[Event]:
    was = project(before, plan_all(before))
    later = replace(now, pool=replace(now.pool, status=was))
    return list(image_status.events(later, was, project(later, plan_all(later))))


def reasons(before: Observed, now: Observed) -> list[str]:
    return [item.reason for item in told(before, now)]


def test_transitions_are_events_and_repetitions_are_not() -> None:
    well, missing = copying(DUE), copying(DUE, images_fault=MISSING)
    opened, failed = copying(replace(DUE, accounts=(OPEN,))), copying(FAILED)
    assert reasons(well, well) == reasons(missing, missing) == []
    assert reasons(well, missing) == ["SecretNotFound"]
    assert reasons(missing, well) == ["ImagesRecovered"]
    assert reasons(well, opened) == ["BreakerOpen"]
    assert reasons(opened, well) == ["BreakerClosed", "ImagesRecovered"]
    assert reasons(opened, failed) == ["BreakerClosed", "ImagesFailed"]
    additional = copying(replace(FAILED, failed=6, causes={"the file is not there": 6}))
    assert reasons(failed, additional) == [], "the end of each campaign says it"


def test_the_end_of_a_campaign_s_images_is_an_event_and_many_are_few() -> None:
    whole = Finished("c1", 843, 843, 0, ago(60), ago(9), None)
    partly = Finished("c2", 843, 840, 3, ago(60), ago(8), "the file is not there.")
    assert told(copying(DUE), copying(DUE, images_finished=(whole, partly))) == [
        Event("Normal", "ImagesCopied", "Images of campaign c1 are copied: 843 of 843."),
        Event(
            "Warning", "ImagesPartial", "Images of campaign c2 are not all copied: 840 of 843: the file is not there."
        ),
    ]
    many = told(copying(DUE), copying(DUE, images_finished=(whole,) * 30))
    assert len(many) == image_status.EVENTS + 1
    assert many[-1].message == "Images of 25 more campaigns ended, 25 of them without failures."


def test_what_was_told_is_remembered_to_the_microsecond() -> None:
    moment = ago(5).replace(microsecond=123456)
    seen = copying(replace(DONE, last_finished_at=moment))
    status = project(seen, plan_all(seen))
    assert status.images is not None
    assert status.images.last_finished_at == "2026-01-01T00:59:55.123456Z"
    older = copying(replace(DONE, last_finished_at=ago(500)), pool=pool(status=status))
    assert project(older, plan_all(older)).images == status.images


def test_the_same_facts_give_the_same_status() -> None:
    seen = copying(FAILED)
    status = project(seen, plan_all(seen))
    later = replace(seen, pool=pool(status=status, raw_status=dump(status)), now=NOW + timedelta(minutes=5))
    assert dump(project(later, plan_all(later))) == dump(status)


def test_seeding_jobs_are_no_images_jobs() -> None:
    seen = copying(DUE, jobs=(job(),))
    assert created(seen) == [(1, 0)]
    assert managed.selector("chiwar") in seeding.selector("chiwar")
