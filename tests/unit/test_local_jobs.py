"""The Job controller's decisions, without a server: retries, limits, policies, the order of things."""

from datetime import UTC, datetime, timedelta

import pytest

from campaignpool_local.jobs import TRACKING, Decision, decide, failure_action
from campaignpool_local.values import Json, stamp

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def job(status: Json | None = None, **spec: object) -> Json:
    defaults: Json = {
        "parallelism": 1,
        "completions": 1,
        "backoffLimit": 6,
        "suspend": False,
        "podReplacementPolicy": "TerminatingOrFailed",
    }
    return {
        "metadata": {"name": "seed", "namespace": "demo", "uid": "u"},
        "spec": {**defaults, **spec},
        "status": {"startTime": stamp(START)} if status is None else status,
    }


def pod(phase: str, *, code: int | None = None, ended: float = 0, going: bool = False, counted: bool = False) -> Json:
    terminated = {"terminated": {"exitCode": code, "finishedAt": stamp(at(ended))}}
    return {
        "metadata": {
            "name": f"seed-{phase}-{ended}",
            "namespace": "demo",
            "creationTimestamp": stamp(START),
            **({} if counted else {"finalizers": [TRACKING]}),
            **({"deletionTimestamp": stamp(START)} if going else {}),
        },
        "status": {
            "phase": phase,
            "containerStatuses": [
                {"name": "main", "restartCount": 0, "state": {"running": {}} if code is None else terminated}
            ],
        },
    }


def failed(code: int = 1, ended: float = 0, *, counted: bool = False) -> Json:
    return pod("Failed", code=code, ended=ended, counted=counted)


def look(one: Json, *pods: Json, seconds: float = 0) -> Decision:
    return decide(one, list(pods), at(seconds), backoff=1)


def conditions(decision: Decision) -> list[tuple[str, str]]:
    return [(each["type"], each["reason"]) for each in decision.status.get("conditions", [])]


def rule(action: str, operator: str, *values: int, **more: str) -> Json:
    return {"action": action, "onExitCodes": {"operator": operator, "values": list(values), **more}}


@pytest.mark.parametrize(
    ("rules", "code", "action"),
    [
        ([], 3, "Count"),
        ([rule("FailJob", "In", 3)], 3, "FailJob"),
        ([rule("FailJob", "In", 4)], 3, "Count"),
        ([rule("Ignore", "NotIn", 4)], 3, "Ignore"),
        ([rule("Ignore", "NotIn", 3)], 3, "Count"),
        ([rule("Count", "In", 3), rule("FailJob", "In", 3)], 3, "Count"),
        ([rule("Ignore", "In", 3, containerName="main")], 3, "Ignore"),
        ([rule("Ignore", "In", 3, containerName="other")], 3, "Count"),
        ([rule("FailJob", "NotIn", 3)], 0, "Count"),
        ([{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}], 3, "Count"),
    ],
    ids=str,
)
def test_the_first_rule_that_matches_decides(rules: list[Json], code: int, action: str) -> None:
    assert failure_action(job(podFailurePolicy={"rules": rules}), failed(code))[0] == action


def test_a_new_job_starts_with_its_pods() -> None:
    decision = look(job({}, parallelism=2, completions=3))
    assert decision.create == 2
    assert (decision.status["active"], decision.status["startTime"]) == (2, stamp(START))


def test_no_more_pods_are_made_than_completions_are_left() -> None:
    running = pod("Running")
    done = job({"startTime": stamp(START), "succeeded": 2}, parallelism=2, completions=3)
    assert look(done, running).create == 0
    assert look(done).create == 1


def test_a_failure_is_retried_after_a_pause() -> None:
    decision = look(job(), failed(ended=10), seconds=10.25)
    assert (decision.create, decision.status["failed"], decision.again) == (0, 1, 0.75)
    assert len(decision.counted) == 1
    assert look(job(decision.status), failed(ended=10, counted=True), seconds=11).create == 1


def test_every_pause_is_twice_as_long() -> None:
    failures = [failed(ended=seconds, counted=True) for seconds in (1, 3, 7)]
    waiting = job({"startTime": stamp(START), "failed": 3})
    assert look(waiting, *failures, seconds=7).again == 4


def test_a_success_ends_the_row_of_failures() -> None:
    mixed = [failed(ended=1, counted=True), pod("Succeeded", code=0, ended=2, counted=True)]
    assert look(
        job({"startTime": stamp(START), "succeeded": 1, "failed": 1}, completions=2), *mixed, seconds=2
    ).create


def test_a_failure_is_counted_once() -> None:
    first = look(job(), failed())
    again = look(job(first.status), failed(counted=True))
    assert (first.status["failed"], again.status["failed"]) == (1, 1)


def test_past_the_limit_the_job_has_failed() -> None:
    decision = look(job(backoffLimit=0), failed())
    assert conditions(decision) == [("FailureTarget", "BackoffLimitExceeded"), ("Failed", "BackoffLimitExceeded")]
    assert decision.events == [("Warning", "BackoffLimitExceeded", "Job has reached the specified backoff limit")]
    assert "active" not in decision.status


def test_an_ignored_failure_is_replaced_and_not_counted() -> None:
    policy = {"rules": [rule("Ignore", "In", 42)]}
    decision = look(job(backoffLimit=0, podFailurePolicy=policy), failed(42), seconds=5)
    assert decision.create == 1
    assert "failed" not in decision.status


def test_a_policy_that_fails_the_job_stops_the_other_pods_first() -> None:
    policy = {"rules": [rule("FailJob", "In", 42)]}
    running = pod("Running")
    decision = look(job(parallelism=2, completions=2, podFailurePolicy=policy), failed(42), running)
    assert conditions(decision) == [("FailureTarget", "PodFailurePolicy")]
    assert decision.stop == [running]
    assert (decision.status["failed"], decision.status["terminating"]) == (1, 1)
    stopped = look(job(decision.status, parallelism=2, completions=2), failed(42, counted=True))
    assert conditions(stopped)[-1] == ("Failed", "PodFailurePolicy")


def test_the_deadline_is_awaited_and_then_kept() -> None:
    running = pod("Running")
    assert look(job(activeDeadlineSeconds=9), running, seconds=4).again == 5
    decision = look(job(activeDeadlineSeconds=9), running, seconds=9)
    assert decision.stop == [running]
    assert conditions(decision) == [("FailureTarget", "DeadlineExceeded")]


def test_success_is_written_when_the_last_pod_has_gone() -> None:
    decision = look(job(), pod("Succeeded", code=0), seconds=3)
    assert conditions(decision) == [
        ("SuccessCriteriaMet", "CompletionsReached"),
        ("Complete", "CompletionsReached"),
    ]
    assert decision.status["completionTime"] == stamp(at(3))


def test_suspending_stops_the_pods_without_counting_them_as_failures() -> None:
    running = pod("Running")
    decision = look(job(suspend=True), running)
    assert decision.stop == [running]
    assert conditions(decision) == [("Suspended", "JobSuspended")]
    assert "startTime" not in decision.status
    ended = pod("Failed", code=143, going=True)
    assert "failed" not in look(job(decision.status, suspend=True), ended).status


def test_resuming_starts_the_clock_anew() -> None:
    suspended = look(job({}, suspend=True)).status
    decision = look(job(suspended), seconds=60)
    assert decision.status["startTime"] == stamp(at(60))
    assert [(each["type"], each["status"]) for each in decision.status["conditions"]] == [("Suspended", "False")]
    assert decision.create == 1


def test_a_pod_that_is_still_ending_is_replaced_as_the_policy_says() -> None:
    ending = pod("Running", going=True)
    assert look(job(), ending).create == 1
    assert look(job(podReplacementPolicy="Failed"), ending).create == 0


def test_fewer_pods_are_kept_when_the_parallelism_falls() -> None:
    pods = [pod("Running", ended=number) for number in range(3)]
    assert len(look(job(parallelism=1, completions=5), *pods).stop) == 2


def test_a_finished_job_waits_for_its_time_to_live() -> None:
    done = look(job(), pod("Succeeded", code=0)).status
    waiting = look(job(done, ttlSecondsAfterFinished=10), seconds=4)
    assert (waiting.expired, waiting.again) == (False, 6)
    assert look(job(done, ttlSecondsAfterFinished=10), seconds=10).expired
    assert look(job(done), seconds=10).again is None


def test_a_job_that_is_going_makes_nothing_new() -> None:
    going = job()
    going["metadata"]["deletionTimestamp"] = stamp(START)
    assert look(going).create == 0
