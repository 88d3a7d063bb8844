"""Why a Job's pods do not run: the shapes that a real API server gives, and what the operator makes of them."""

from dataclasses import replace
from typing import Any

import pytest

from campaignpool.api.reasons import Reason
from campaignpool.api.resource import MASTER
from campaignpool.ledger.pools import OwnerCounts
from campaignpool_operator.facts import Observed
from campaignpool_operator.jobs.managed import TRANSIENT_EXIT_CODE, ManagedJob
from campaignpool_operator.jobs.pods import JobPods, Obstacle, summarize, wants_events
from campaignpool_operator.plan.actions import CreateJob, DeleteJob, FinishRun
from campaignpool_operator.plan.plan import LINGER_SECONDS, plan
from campaignpool_operator.status.conditions import find
from campaignpool_operator.status.project import project
from campaignpool_seeder.exits import EX_TEMPFAIL
from tests.support.pools import ago, job, ledger, observed, run, spec

JOB = job()
SCHEDULED = {"type": "PodScheduled", "status": "True"}


def pod(phase: str = "Pending", *conditions: dict[str, Any], name: str = "a", **state: object) -> dict[str, Any]:
    """A pod of JOB whose seeder is in a state."""
    statuses = [{"name": "seeder", "state": state}] if state else []
    limits = {"limits": {"memory": "64Mi"}}
    return {
        "metadata": {"name": name, "uid": f"pod-{name}", "creationTimestamp": "2026-01-01T00:59:00Z"},
        "spec": {"nodeName": "node", "containers": [{"name": "seeder", "resources": limits}]},
        "status": {"phase": phase, "conditions": list(conditions), "containerStatuses": statuses},
    }


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return pod("Pending", SCHEDULED, waiting={"reason": reason, "message": message})


def ended(reason: str, code: int = 1, message: str = "") -> dict[str, Any]:
    return pod("Failed", terminated={"exitCode": code, "reason": reason, "message": message})


def unscheduled(reason: str, message: str) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    return {**pod("Pending", condition), "spec": {"containers": []}}


def refused(message: str) -> dict[str, Any]:
    prefix = 'Error creating: pods "x" is forbidden: '
    return {"metadata": {}, "reason": "FailedCreate", "message": prefix + message, "lastTimestamp": "2026-01-01"}


PULL = (
    'Back-off pulling image "nowhere.invalid/seeder:9": ErrImagePull: failed to pull and unpack image '
    '"nowhere.invalid/seeder:9": no such host'
)
NODES = (
    "0/1 nodes are available: 1 Insufficient memory. no new claims to deallocate, preemption: 0/1 nodes are available"
)
MOUNT = {"metadata": {}, "reason": "FailedMount", "message": 'configmap "ca" not found', "lastTimestamp": "2026"}
CASES: list[tuple[Reason, list[dict[str, Any]], list[dict[str, Any]], str]] = [
    (Reason.IMAGE_PULL_BACK_OFF, [waiting("ImagePullBackOff", PULL)], [], "spec.seeding.image"),
    (Reason.IMAGE_PULL_BACK_OFF, [waiting("ErrImagePull", "no such host")], [], "no such host"),
    (Reason.INVALID_IMAGE_NAME, [waiting("InvalidImageName", "must be lowercase")], [], "must be lowercase"),
    (Reason.ERR_IMAGE_NEVER_PULL, [waiting("ErrImageNeverPull", "not present")], [], "imagePullPolicy"),
    (Reason.CREATE_CONTAINER_CONFIG_ERROR, [waiting("CreateContainerConfigError", "no key url")], [], "no key url"),
    (Reason.UNSCHEDULABLE, [unscheduled("Unschedulable", NODES)], [], "1 Insufficient memory): Add capacity"),
    (Reason.SUSPENDED, [unscheduled("SchedulingGated", "gated")], [], "scheduling gate"),
    (Reason.START_ERROR, [ended("StartError", 128, 'exec: "/nope"')], [], 'exec: "/nope"'),
    (
        Reason.OOM_KILLED,
        [ended("OOMKilled", 137)],
        [],
        "its limit of 64Mi: Raise spec.seeding.resources.limits.memory",
    ),
    (Reason.QUOTA_EXCEEDED, [], [refused("exceeded quota: q, requested: pods=1")], "exceeded quota: q"),
    (Reason.POD_SECURITY_VIOLATION, [], [refused('violates PodSecurity "restricted:latest": x')], "violates"),
    (
        Reason.SERVICE_ACCOUNT_NOT_FOUND,
        [],
        [refused('error looking up service account shp/nope: serviceaccount "nope" not found')],
        "shp/nope",
    ),
    (Reason.POD_REFUSED, [], [refused("admission webhook says no")], "admission webhook says no"),
    (Reason.FAILED_MOUNT, [waiting("ContainerCreating")], [MOUNT], 'configmap "ca" not found'),
    (
        Reason.EVICTED,
        [{**pod("Failed"), "status": {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}}],
        [],
        "low on memory",
    ),
]


@pytest.mark.parametrize(("reason", "pods", "events", "says"), CASES)
def test_each_shape_has_its_reason_and_says_what_to_change(
    reason: Reason, pods: list[dict[str, Any]], events: list[dict[str, Any]], says: str
) -> None:
    obstacle = summarize(JOB, pods, events).obstacle
    assert obstacle is not None
    assert obstacle.reason is reason
    assert says in obstacle.message
    assert "`" not in obstacle.message
    seen = observed(jobs=(JOB,), pods={JOB.name: JobPods(obstacle=obstacle)})
    status = project(seen, plan(seen))
    for kind in ("Ready", "Progressing", "Degraded"):
        condition = find(status, kind)
        assert condition is not None
        assert condition.reason == reason
        assert condition.status == ("True" if kind == "Degraded" else "False")


def test_the_two_texts_of_an_image_that_cannot_be_pulled_are_one_message() -> None:
    back_off = summarize(JOB, [waiting("ImagePullBackOff", PULL)], [])
    assert summarize(JOB, [waiting("ErrImagePull", PULL.rpartition("ErrImagePull: ")[2])], []) == back_off


def test_pods_that_work_are_no_obstacle() -> None:
    assert summarize(JOB, [], []) == JobPods()
    assert summarize(JOB, [waiting("ContainerCreating")], []) == JobPods(pulling=True)
    assert summarize(JOB, [pod("Running", SCHEDULED, running={})], []) == JobPods(started=True)
    first = ended("OOMKilled", 137)
    assert summarize(JOB, [first, pod("Running", SCHEDULED, name="b", running={})], []).obstacle is None
    assert wants_events(JOB, []) == [JOB.uid]
    assert wants_events(JOB, [waiting("ContainerCreating")]) == ["pod-a"]
    assert wants_events(JOB, [pod("Running", SCHEDULED, running={})]) == []


def late(**pods: object) -> Observed:
    """A Job that is older than its start deadline, with these facts about its pods."""
    old = replace(JOB, created_at=ago(121))
    return observed(jobs=(old,), pods={old.name: JobPods(**pods)})  # type: ignore[arg-type] # see JobPods


def test_a_job_without_a_started_pod_after_the_deadline_is_replaced_with_a_pause() -> None:
    obstacle = Obstacle(Reason.UNSCHEDULABLE, "no node takes it")
    result = plan(late(obstacle=obstacle))
    finish, delete = result.actions
    assert isinstance(finish, FinishRun)
    assert isinstance(delete, DeleteJob)
    assert (finish.reason, finish.message) == ("Unschedulable", "no node takes it")
    assert result.failures.count == 1
    assert result.in_flight == 0
    status = project(late(obstacle=obstacle), result)
    degraded = find(status, "Degraded")
    assert degraded is not None
    assert degraded.reason == "Unschedulable"
    (finish, _) = plan(late()).actions
    assert isinstance(finish, FinishRun)
    assert finish.reason == "PodNotStarted"


def test_images_that_are_being_pulled_and_started_pods_are_waited_for() -> None:
    assert plan(late(pulling=True)).actions == ()
    assert plan(late(started=True)).actions == ()
    in_time = observed(jobs=(replace(JOB, created_at=ago(119)),))
    assert plan(in_time).actions == ()


def test_the_reason_stays_while_the_next_run_waits() -> None:
    failed = run(1, "Failed", reason="ImagePullBackOff", message="the image cannot be pulled", finished_at=ago(1))
    seen = observed(ledger=ledger({}, failed))
    degraded = find(project(seen, plan(seen)), "Degraded")
    assert degraded is not None
    assert degraded.reason == "ImagePullBackOff"
    assert "the last run failed (the image cannot be pulled); it is retried after 10 s" in degraded.message.lower()


def beside_a_sidecar(code: int, seconds: float = 60, outcome: str | None = "Succeeded") -> Observed:
    seeded = run(1, outcome, campaigns=5 if outcome else 0, finished_at=ago(seconds) if outcome else None)
    counts = {MASTER: OwnerCounts(ready=4)}
    pods = {JOB.name: JobPods(started=True, exit_code=code)}
    return observed(spec=spec(maxConcurrent=1), ledger=ledger(counts, seeded), jobs=(JOB,), pods=pods)


def test_a_seeder_that_succeeded_beside_a_sidecar_holds_no_place_and_its_job_is_deleted() -> None:
    kinds = [type(action) for action in plan(beside_a_sidecar(0)).actions]
    assert kinds == [DeleteJob, CreateJob]
    soon = [type(action) for action in plan(beside_a_sidecar(0, LINGER_SECONDS - 1)).actions]
    assert soon == [CreateJob]


def test_a_seeder_that_failed_beside_a_sidecar_ends_its_run() -> None:
    finish, delete = plan(beside_a_sidecar(1, outcome=None)).actions
    assert isinstance(finish, FinishRun)
    assert (finish.outcome, finish.reason) == ("Failed", "ContainerFailed")
    assert isinstance(delete, DeleteJob)


def test_a_seeder_that_gave_up_on_the_database_is_told_from_one_that_failed() -> None:
    assert TRANSIENT_EXIT_CODE == EX_TEMPFAIL
    assert summarize(JOB, [ended("Error", EX_TEMPFAIL)], []) == JobPods(started=True, transient=True)
    assert summarize(JOB, [ended("Error", 1)], []) == JobPods(started=True)
    beside = pod("Running", terminated={"exitCode": EX_TEMPFAIL, "reason": "Error"})
    seen = observed(jobs=(JOB,), pods={JOB.name: summarize(JOB, [beside], [])})
    finish = next(action for action in plan(seen).actions if isinstance(action, FinishRun))
    assert finish.reason == "SeedingInterrupted"


def test_a_suspended_job_is_waited_for_and_is_not_seeding() -> None:
    held = replace(JOB, suspended=True, created_at=ago(1000))
    seen = observed(jobs=(held,), pods={held.name: summarize(held, [], [])})
    result = plan(seen)
    assert result.actions == ()
    assert result.in_flight == 5
    status = project(seen, result)
    assert status.seeding == 0
    ready = find(status, "Ready")
    assert ready is not None
    assert ready.reason == "Suspended"


@pytest.mark.parametrize(
    ("made", "says"), [(3, "its seeder had made 3 of 5 campaigns"), (None, "its pod had not begun to seed")]
)
def test_a_job_that_took_too_long_says_what_it_was_doing(made: int | None, says: str) -> None:
    ended_job: ManagedJob = job(1, "Failed", reason="DeadlineExceeded", message="active longer than deadline")
    runs = [run(1, campaigns=made)] if made is not None else []
    (finish,) = (
        action
        for action in plan(observed(ledger=ledger({}, *runs), jobs=(ended_job,))).actions
        if isinstance(action, FinishRun)
    )
    assert finish.reason == "DeadlineExceeded"
    assert finish.message is not None
    assert says in finish.message
    assert "spec.seeding.batchSize" in finish.message


def test_a_job_that_failed_takes_its_reason_from_its_pods() -> None:
    pods = {JOB.name: summarize(JOB, [ended("OOMKilled", 137)], [])}
    (finish,) = (
        action
        for action in plan(observed(jobs=(job(1, "Failed"),), pods=pods)).actions
        if isinstance(action, FinishRun)
    )
    assert finish.reason == "OOMKilled"
