"""The Job controller's decisions, without a server: retries, limits, policies, the order of things."""

from datetime import UTC, datetime, timedelta

import pytest

from campaignpool_local.jobs import Decision, counted, decide, failure_action
from campaignpool_local.values import Json, stamp

START = datetime(2026, 1, 1, tzinfo=UTC)
STARTED = {"startTime": stamp(START)}


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def job(status: Json | None = None, **spec: object) -> Json:
    return {
        "metadata": {"name": "seed", "namespace": "demo", "uid": "u"},
        "spec": {"backoffLimit": 6, "suspend": False, **spec},
        "status": STARTED if status is None else status,
    }


def pod(phase: str, code: int | None = None) -> Json:
    state = {"running": {}} if code is None else {"terminated": {"exitCode": code}}
    return {
        "metadata": {"name": "seed-1", "namespace": "demo"},
        "status": {"phase": phase, "containerStatuses": [{"name": "main", "state": state}]},
    }


def after(one: Json, *ended: Json) -> Json:
    """The Job when these pods of it have been counted."""
    for item in ended:
        one = {**one, "status": counted(one, item, START)}
    return one


def look(one: Json, alive: Json | None = None, *, seconds: float = 0, pause: float = 0) -> Decision:
    return decide(one, alive, at(seconds), pause)


def conditions(decision: Decision) -> list[tuple[str, str]]:
    return [(statu["type"], statu["reason"]) for statu in decision.status.get("conditions", [])]


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
    assert failure_action(job(podFailurePolicy={"rules": rules}), pod("Failed", code))[0] == action


def test_a_new_job_starts_with_a_pod() -> None:
    decision = look(job({}))
    assert decision.action == "create a pod"
    assert (decision.status["active"], decision.status["startTime"]) == (1, stamp(START))


def test_there_is_one_pod_at_a_time() -> None:
    assert look(job(), pod("Running")).action == ""


def test_a_failure_is_retried_after_a_pause() -> None:
    failed = after(job(), pod("Failed", 1))
    assert failed["status"]["failed"] == 1
    decision = look(failed, pause=0.75)
    assert (decision.action, decision.again) == ("", 0.75)
    assert look(failed).action == "create a pod"


def test_past_the_limit_the_job_has_failed() -> None:
    decision = look(after(job(backoffLimit=0), pod("Failed", 1)))
    assert conditions(decision) == [("FailureTarget", "BackoffLimitExceeded"), ("Failed", "BackoffLimitExceeded")]
    assert "active" not in decision.status


def test_an_ignored_failure_is_replaced_and_not_counted() -> None:
    policy = {"rules": [rule("Ignore", "In", 42)]}
    decision = look(after(job(backoffLimit=0, podFailurePolicy=policy), pod("Failed", 42)))
    assert decision.action == "create a pod"
    assert "failed" not in decision.status


def test_a_policy_can_fail_the_job_at_once() -> None:
    policy = {"rules": [rule("FailJob", "In", 42)]}
    decision = look(after(job(podFailurePolicy=policy), pod("Failed", 42)))
    assert conditions(decision) == [("FailureTarget", "PodFailurePolicy"), ("Failed", "PodFailurePolicy")]
    assert "exit code 42" in decision.status["conditions"][-1]["message"]


def test_the_deadline_is_awaited_and_then_kept() -> None:
    assert look(job(activeDeadlineSeconds=9), pod("Running"), seconds=4).again == 5
    decision = look(job(activeDeadlineSeconds=9), pod("Running"), seconds=9)
    assert decision.action == "stop the pod"
    assert conditions(decision) == [("FailureTarget", "DeadlineExceeded")]
    stopped = look(job(decision.status, activeDeadlineSeconds=9), seconds=10)
    assert conditions(stopped)[-1] == ("Failed", "DeadlineExceeded")


def test_success_is_written_when_the_pod_has_gone() -> None:
    decision = look(after(job(), pod("Succeeded", 0)), seconds=3)
    assert conditions(decision) == [("SuccessCriteriaMet", "CompletionsReached"), ("Complete", "CompletionsReached")]
    assert decision.status["completionTime"] == stamp(at(3))


def test_suspending_stops_the_pod_without_counting_it_as_a_failure() -> None:
    decision = look(job(suspend=True), pod("Running"))
    assert decision.action == "stop the pod"
    assert conditions(decision) == [("Suspended", "JobSuspended")]
    assert "startTime" not in decision.status
    assert "failed" not in after(job(decision.status, suspend=True), pod("Failed", 143))["status"]


def test_resuming_starts_the_clock_anew() -> None:
    suspended = look(job({}, suspend=True)).status
    decision = look(job(suspended), seconds=60)
    assert decision.status["startTime"] == stamp(at(60))
    assert [(statu["type"], statu["status"]) for statu in decision.status["conditions"]] == [("Suspended", "False")]
    assert decision.action == "create a pod"


def test_a_finished_job_waits_for_its_time_to_live() -> None:
    done = look(after(job(), pod("Succeeded", 0))).status
    waiting = look(job(done, ttlSecondsAfterFinished=10), seconds=4)
    assert (waiting.action, waiting.again) == ("", 6)
    assert look(job(done, ttlSecondsAfterFinished=10), seconds=10).action == "delete the Job"
    assert look(job(done), seconds=10).action == ""


def test_a_job_that_is_going_makes_nothing_new() -> None:
    going = job()
    going["metadata"]["deletionTimestamp"] = stamp(START)
    assert look(going).action == ""
